"""Servers for tests, in memory and over loopback, and peers of theirs in the hands of the test.

The peers are no clients of ours: what they send is what a test says, and what they receive is held
against the strict reading of RFC 6455 in `trio_ws.testing`.
"""

import functools
import socket
import struct
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Literal, Unpack

import pytest
import trio

from trio_ws import (
    Server,
    ServerOptions,
    WebSocket,
    open_websocket_url,
    serve_websocket,
    serve_websocket_listeners,
)
from trio_ws._transport import socket_below
from trio_ws.testing import (
    BoundedStream,
    Frame,
    Head,
    MemoryListener,
    MemoryServer,
    Opcode,
    ScriptedPeer,
    TLSContexts,
    tls_contexts,
)
from trio_ws.testing._servers import FaultyListener

Handler = Callable[[WebSocket], Awaitable[object]]

LOOPBACK = "127.0.0.1"

# A certificate authority for all tests that do not ask for a name of their own.
contexts = functools.cache(tls_contexts)

over_tcp_and_tls = pytest.mark.parametrize("secure", [False, True], ids=["tcp", "tls"])


class ServeOptions(ServerOptions, total=False):
    """The keyword arguments of `serve_websocket`."""

    max_connections: int | None
    handler_nursery: trio.Nursery | None
    isolate_handlers: bool


async def echo(ws: WebSocket) -> None:
    """Send back what comes, until the end."""
    async for message in ws:
        await ws.send(message)


async def linger(ws: WebSocket) -> None:
    """Receive nothing and end never."""
    await trio.sleep_forever()


@asynccontextmanager
async def serve_on_loopback(
    handler: Handler,
    *,
    tls: TLSContexts | None = None,
    host: str = LOOPBACK,
    **options: Unpack[ServeOptions],
) -> AsyncGenerator[Server, None]:
    """Run a server on a free port, and cancel it in the end."""
    serve = functools.partial(
        serve_websocket, handler, host, 0, tls.server if tls else None, **options
    )
    async with trio.open_nursery() as nursery:
        server: Server = await nursery.start(serve)
        yield server
        nursery.cancel_scope.cancel()


class Through(trio.abc.HalfCloseableStream):
    """A stream in memory with a layer around it, for subclasses to change one thing."""

    def __init__(self, stream: BoundedStream) -> None:
        self.stream = stream

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """Receive from below."""
        return await self.stream.receive_some(max_bytes)

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Send to below."""
        await self.stream.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        """Wait for below."""
        await self.stream.wait_send_all_might_not_block()

    async def send_eof(self) -> None:
        """Half-close below."""
        await self.stream.send_eof()

    async def aclose(self) -> None:
        """Close below."""
        await self.stream.aclose()


class WrappingListener(trio.abc.Listener[trio.abc.Stream]):
    """A listener whose streams are wrapped as they are accepted."""

    def __init__(
        self, listener: MemoryListener, wrap: Callable[[BoundedStream], trio.abc.Stream]
    ) -> None:
        self._listener = listener
        self._wrap = wrap

    async def accept(self) -> trio.abc.Stream:
        """Accept from below."""
        return self._wrap(await self._listener.accept())

    async def aclose(self) -> None:
        """Close below."""
        await self._listener.aclose()


@asynccontextmanager
async def serve_memory(
    handler: Handler,
    listener: MemoryListener | None = None,
    *,
    wrap: Callable[[BoundedStream], trio.abc.Stream] = lambda stream: stream,
    tls: TLSContexts | None = None,
    **options: Unpack[ServeOptions],
) -> AsyncGenerator[MemoryServer, None]:
    """Run a server in memory, like `serve_in_memory` but with all that `serve_websocket` takes."""
    listener = listener or MemoryListener()
    serve = functools.partial(
        serve_websocket_listeners,
        handler,
        [WrappingListener(listener, wrap)],
        tls.server if tls else None,
        **options,
    )
    async with trio.open_nursery() as nursery:
        yield MemoryServer(await nursery.start(serve), FaultyListener(listener))
        nursery.cancel_scope.cancel()


async def peer_of(server: MemoryServer) -> ScriptedPeer:
    """Connect to a server in memory, and return the client's end."""
    return ScriptedPeer(await server.connect(), "client")


async def open_peer(server: MemoryServer, target: str = "/") -> ScriptedPeer:
    """Connect to a server in memory, make the opening handshake, and return the client's end."""
    peer = await peer_of(server)
    await peer.client_handshake(target)
    return peer


async def connect(server: Server, tls: TLSContexts | None = None) -> ScriptedPeer:
    """Connect to a server on loopback, begin TLS if asked to, and return the client's end."""
    return client_peer(await trio.open_tcp_stream(LOOPBACK, server.port), tls)


def client_peer(stream: trio.abc.Stream, tls: TLSContexts | None) -> ScriptedPeer:
    """Return the client's end of a connected stream, with TLS if asked to."""
    if tls is not None:
        stream = trio.SSLStream(
            stream, tls.client, server_hostname="localhost", https_compatible=True
        )
    return ScriptedPeer(stream, "client")


async def answered(peer: ScriptedPeer) -> tuple[Head, bytes]:
    """Wait for a response and the end of the connection; return head and body of it."""
    head = await peer.receive_head()
    body = await peer.receive_bytes(int(head.values("Content-Length")[0]))
    assert await peer.stream.receive_some() == b""
    await peer.aclose()
    return head, body


async def closed_with(peer: ScriptedPeer) -> int | None:
    """Wait for a Close frame and answer it; return its code, ``None`` for the end without one."""
    while frame := await peer.receive_frame():
        if frame.opcode == Opcode.CLOSE:
            await peer.send_frame(Opcode.CLOSE, frame.payload)
            assert await peer.stream.receive_some() == b""
            return frame.close_code
    return None


async def ended_with(peer: ScriptedPeer) -> int | None:
    """Wait for the end of the stream, after whole frames; return the code of the Close in it."""
    frames, rest = await peer.receive_frames()
    assert rest == b""
    return close_code_of(frames)


def close_code_of(frames: list[Frame]) -> int | None:
    """Return the code of the Close that these frames end with, ``None`` when there is none."""
    assert all(frame.opcode != Opcode.CLOSE for frame in frames[:-1])
    last = frames[-1] if frames else None
    return last.close_code if last is not None and last.opcode == Opcode.CLOSE else None


def socket_of(peer: ScriptedPeer) -> trio.SocketStream:
    """Return the socket below a peer that `connect` made."""
    stream = socket_below(peer.stream)
    assert stream is not None
    return stream


def reset(peer: ScriptedPeer) -> None:
    """Close a connection over a socket by a reset, as a crashed or a hostile peer does."""
    stream = socket_of(peer)
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    stream.socket.close()


async def check_echo(server: Server, tls: TLSContexts | None = None) -> None:
    """See that an innocent client is served."""
    scheme: Literal["ws", "wss"] = "ws" if tls is None else "wss"
    url = f"{scheme}://localhost:{server.port}/"
    async with open_websocket_url(url, None if tls is None else tls.client) as ws:
        await ws.send("hello")
        assert await ws.receive() == "hello"


async def check_echo_in_memory(server: MemoryServer) -> None:
    """See that an innocent client is served."""
    async with server.open_websocket() as ws:
        await ws.send("hello")
        assert await ws.receive() == "hello"
