"""Connections for the tests of `WebSocket`: one end ours and the other by hand, or both ours.

Unless a test says otherwise there is no keepalive, so that with an autojumping clock nothing
happens that the test did not ask for, and a test that hangs fails after an hour of Trio's time.
"""

import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Literal

import pytest
import trio
import trio.testing

from tests.helpers import other
from trio_ws import ClientOptions, Keepalive, Limits, ServerOptions, Timeouts, WebSocket, _opening
from trio_ws._block import websocket_block
from trio_ws._caretaker import Caretaker
from trio_ws._reading import ConnectionOptions
from trio_ws._transport import Spawn, make_transport, start_tls
from trio_ws.protocol.connection import Protocol
from trio_ws.protocol.http import Headers, Request, Response
from trio_ws.protocol.state import Role
from trio_ws.testing import Frame, Opcode, ScriptedPeer, bounded_stream_pair, tls_contexts
from trio_ws.testing._pair import memory_websocket_pair

LIMITS = Limits()
TIMEOUTS = Timeouts()
NO_KEEPALIVE = Keepalive(interval=float("inf"))

# In seconds.  With an autojumping clock a hanging test gets there at once, and otherwise soon
# enough: nothing here takes more than a few seconds.
HANGS = 60.0

StreamPair = tuple[trio.abc.Stream, trio.abc.Stream]
Network = Literal["memory", "trio memory", "socket", "tcp", "tls"]

# Real ones: never together with an autojumping clock.
real_networks = pytest.mark.parametrize("network", ["socket", "tcp", "tls"])


def make_websocket(
    stream: trio.abc.Stream,
    role: Role,
    spawn: Spawn,
    *,
    limits: Limits = LIMITS,
    timeouts: Timeouts = TIMEOUTS,
    keepalive: Keepalive = NO_KEEPALIVE,
    caretaker: Caretaker | None = None,
    trailing_data: bytes = b"",
) -> WebSocket:
    """Return one end of a connection whose opening handshake nobody has to make."""
    websocket = WebSocket(
        Protocol(role, limits),
        make_transport(stream, spawn, limits=limits, timeouts=timeouts),
        request=Request("GET", "/", Headers([("Host", "localhost")])),
        response=Response(200),
        subprotocol=None,
        context=None,
        options=ConnectionOptions(limits, timeouts, keepalive, _opening.logger),
        caretaker=caretaker or Caretaker(spawn),
        spawn=spawn,
    )
    websocket._begin(trailing_data)
    return websocket


@asynccontextmanager
async def scripted(
    role: Role = Role.SERVER,
    *,
    streams: StreamPair | None = None,
    limits: Limits = LIMITS,
    timeouts: Timeouts = TIMEOUTS,
    keepalive: Keepalive = NO_KEEPALIVE,
    trailing_data: bytes = b"",
) -> AsyncGenerator[tuple[WebSocket, ScriptedPeer], None]:
    """Open our end of this role, and put the other one into the hands of the test.

    Leaving the block closes our end as it closes any block; the peer, which answers nothing by
    itself, hangs up behind it.

    Args:
        streams: our stream and the peer's; by default a `bounded_stream_pair`.
    """
    ours, theirs = streams or bounded_stream_pair()

    async def opened(spawn: Spawn) -> WebSocket:
        return make_websocket(
            ours,
            role,
            spawn,
            limits=limits,
            timeouts=timeouts,
            keepalive=keepalive,
            trailing_data=trailing_data,
        )

    with trio.fail_after(HANGS * 60):
        async with (
            ScriptedPeer(theirs, other(role).value) as peer,
            websocket_block(opened) as websocket,
        ):
            yield websocket, peer


@asynccontextmanager
async def pair_over(
    network: Network = "memory",
    *,
    client: ClientOptions | None = None,
    server: ServerOptions | None = None,
) -> AsyncGenerator[tuple[WebSocket, WebSocket], None]:
    """Open both ends of a connection over a network of this kind: the client's, the server's."""
    with trio.fail_after(HANGS):
        streams = await open_streams(network)
        async with memory_websocket_pair(
            streams=streams,
            client={"keepalive": NO_KEEPALIVE, **(client or {})},
            server={"keepalive": NO_KEEPALIVE, **(server or {})},
        ) as both:
            yield both


async def open_streams(network: Network) -> StreamPair:
    """Return a client's and a server's stream that are connected."""
    match network:
        case "memory":
            return bounded_stream_pair()
        case "trio memory":
            return trio.testing.memory_stream_pair()
        case "socket":
            return socket_pair()
        case "tcp":
            return await tcp_pair()
        case "tls":
            return await tls_pair()


def socket_pair() -> tuple[trio.SocketStream, trio.SocketStream]:
    """Return the two ends of a Unix socket pair."""
    near, far = trio.socket.socketpair()
    return trio.SocketStream(near), trio.SocketStream(far)


async def tcp_pair() -> tuple[trio.SocketStream, trio.SocketStream]:
    """Return the two ends of a TCP connection over loopback, the one that connected first."""
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with listener:
        client = await trio.open_tcp_stream(*listener.socket.getsockname()[:2])
        return client, await listener.accept()


async def tls_pair() -> StreamPair:
    """Return the two ends of a TLS connection over loopback, as our own roles make it."""
    contexts = tls_contexts("localhost")
    client_below, server_below = await tcp_pair()
    ends: dict[bool, trio.abc.Stream] = {}

    async def start(stream: trio.SocketStream, *, server_side: bool) -> None:
        ends[server_side] = await start_tls(
            stream,
            contexts.server if server_side else contexts.client,
            server_side=server_side,
            server_hostname=None if server_side else "localhost",
        )

    async def start_server() -> None:
        await start(server_below, server_side=True)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(start_server)
        await start(client_below, server_side=False)
    return ends[False], ends[True]


async def hang_up(stream: trio.SocketStream, *, reset: bool) -> None:
    """Close a socket, by a reset if need be."""
    if reset:
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    await stream.aclose()


async def run_until_idle() -> None:
    """Let all other tasks run until each of them waits, for time to pass or for this one."""
    await trio.testing.wait_all_tasks_blocked()


async def next_frame(peer: ScriptedPeer) -> Frame:
    """Return the next frame that the other end sends, which must not have hung up."""
    frame = await peer.receive_frame()
    assert frame is not None
    return frame


async def next_close(peer: ScriptedPeer) -> Frame:
    """Return the next frame, which must be a Close."""
    frame = await next_frame(peer)
    assert frame.opcode == Opcode.CLOSE
    return frame
