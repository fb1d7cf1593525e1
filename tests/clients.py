"""Servers in the hands of a test, for the tests of the client: beside it, in memory and over TCP.

They are no servers of ours: what they send is what a script says, and what they receive is held
against the strict reading of RFC 6455 in `trio_ws.testing`.
"""

import socket
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Literal

import trio

from tests.connections import HANGS
from trio_ws.testing import BoundedStream, Frame, Opcode, ScriptedPeer, bounded_stream_pair

Script = Callable[[ScriptedPeer], Awaitable[object]]

# What `trio.abc.HostnameResolver.getaddrinfo` returns.
AddressInfos = list[
    tuple[Literal[socket.AddressFamily.AF_INET], socket.SocketKind, int, str, tuple[str, int]]
    | tuple[
        Literal[socket.AddressFamily.AF_INET6],
        socket.SocketKind,
        int,
        str,
        tuple[str, int, int, int] | tuple[int, bytes],
    ]
]

LOOPBACK = "127.0.0.1"


@asynccontextmanager
async def beside(async_fn: Callable[[], Awaitable[object]]) -> AsyncGenerator[None, None]:
    """Run something beside the block, and wait for its end after it; the body must not raise."""
    with trio.fail_after(HANGS * 60):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(async_fn)
            yield


@asynccontextmanager
async def scripted_server(script: Script) -> AsyncGenerator[BoundedStream, None]:
    """Run the server's end of a connection in memory by this script; yield the client's.

    When the script is over, the server hangs up.
    """
    ours, theirs = bounded_stream_pair()

    async def serve() -> None:
        async with ScriptedPeer(theirs, "server") as peer:
            await script(peer)

    async with beside(serve):
        yield ours


@asynccontextmanager
async def listening(
    script: Callable[[trio.SocketStream], Awaitable[object]], host: str = LOOPBACK
) -> AsyncGenerator[int, None]:
    """Accept one connection on a free port for this script, and yield the port."""
    (listener,) = await trio.open_tcp_listeners(0, host=host)

    async def serve() -> None:
        async with listener, await listener.accept() as stream:
            await script(stream)

    async with beside(serve):
        yield listener.socket.getsockname()[1]


async def accept_and_close(peer: ScriptedPeer) -> None:
    """Be a server that accepts, says nothing and ends as the client does."""
    await peer.server_handshake()
    await answer_close(peer)


async def answer_close(peer: ScriptedPeer) -> int:
    """Wait for the Close, answer it and hang up; return its code."""
    frame = await next_close(peer)
    await peer.send_frame(Opcode.CLOSE, frame.payload)
    await peer.aclose()
    return frame.close_code


async def next_close(peer: ScriptedPeer) -> Frame:
    """Return the next frame, which must be a Close."""
    frame = await peer.receive_frame()
    assert frame is not None
    assert frame.opcode == Opcode.CLOSE
    return frame


async def silent(stream: trio.abc.Stream) -> None:
    """Read until the client hangs up or resets, and say nothing."""
    try:
        while await stream.receive_some():
            pass
    except trio.BrokenResourceError:
        pass


class Everywhere(trio.abc.HostnameResolver):
    """Finds every name on loopback, and remembers what was asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def getaddrinfo(  # noqa: PLR0917 - the interface's signature
        self,
        host: bytes | None,
        port: bytes | str | int | None,
        family: int = 0,
        type: int = 0,  # noqa: A002 - the interface's name
        proto: int = 0,
        flags: int = 0,
    ) -> AddressInfos:
        """Say that it is this machine."""
        assert host is not None
        assert isinstance(port, int)
        self.asked.append(host.decode())
        address = (LOOPBACK, port)
        return [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", address)]

    async def getnameinfo(
        self, sockaddr: tuple[str, int] | tuple[str, int, int, int], flags: int
    ) -> tuple[str, str]:
        """Fail: nobody asks."""
        raise NotImplementedError


class Nowhere(Everywhere):
    """Finds no name."""

    async def getaddrinfo(self, *args: object, **kwargs: object) -> AddressInfos:
        """Fail as the system's resolver does."""
        await trio.lowlevel.checkpoint()
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")


def resolve_everywhere() -> Everywhere:
    """Find every name on loopback until the end of this `trio.run`."""
    resolver = Everywhere()
    trio.socket.set_custom_hostname_resolver(resolver)
    return resolver
