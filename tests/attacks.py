"""A server under attack beside somebody innocent, for the tests of hardening.

The attacker has a raw socket and bytes of the test's own; the innocent one is a client of ours
with a connection of its own to the same server.  Whatever the attacker does, the innocent one's
echo is answered: before, after, and in the middle wherever a test asks for it.
"""

import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from typing import Literal, Unpack

import trio

from tests.connections import HANGS
from tests.servers import LOOPBACK, Handler, ServeOptions, client_peer, connect, echo
from trio_ws import Server, WebSocket, open_websocket_url, serve_websocket_listeners
from trio_ws.testing import ScriptedPeer, TLSContexts

# What the innocent one asks for; all others get the handler of the test.
INNOCENT = "/innocent"

# In bytes, of a socket whose other end shall soon notice that nobody reads: the kernel's least.
SMALL_BUFFER = 4096


class Site:
    """A server under attack, and the innocent one.

    Attributes:
        server: serves over loopback.
        tls: what its TLS is made of, ``None`` without.
    """

    def __init__(self, server: Server, tls: TLSContexts | None, innocent: WebSocket) -> None:
        self.server = server
        self.tls = tls
        self._innocent = innocent
        self._rounds = 0

    @property
    def attacked(self) -> list[WebSocket]:
        """The server's ends of the attackers' connections, open or on their way to being closed."""
        websockets = [serving.websocket for serving in self.server._serving]
        return [ws for ws in websockets if ws is not None and ws.request.target != INNOCENT]

    async def attacker(self) -> ScriptedPeer:
        """Connect somebody who sends what the test says; the opening handshake is up to it."""
        return await connect(self.server, self.tls)

    async def deaf_attacker(self) -> ScriptedPeer:
        """Connect somebody whose window is closed as soon as can be, for nobody to read from."""
        sock = trio.socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BUFFER)
        await sock.connect((LOOPBACK, self.server.port))
        return client_peer(trio.SocketStream(sock), self.tls)

    async def check_innocent(self) -> None:
        """See that the innocent one is served."""
        self._rounds += 1
        with trio.fail_after(HANGS):
            await self._innocent.send(f"round {self._rounds}")
            assert await self._innocent.receive() == f"round {self._rounds}"

    async def watch_until_released(self) -> int:
        """Wait as `wait_released`, with the innocent one served meanwhile.

        Returns what waited for an attacker to read it, at most, in bytes.
        """
        most = 0

        async def watch() -> None:
            nonlocal most
            while True:
                for websocket in self.attacked:
                    most = max(most, websocket.statistics().buffered_bytes)
                await trio.lowlevel.checkpoint()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(watch)
            while len(self.server._serving) > 1:
                await self.check_innocent()
            nursery.cancel_scope.cancel()
        return most

    async def wait_released(self) -> None:
        """Wait until the server has nothing left of anybody but the innocent one."""
        with trio.fail_after(HANGS):
            while len(self.server._serving) > 1:
                await self.server._changed.park()


async def _listener(send_buffer: int | None) -> trio.SocketListener:
    """Return a listener on a free port, whose connections have such a buffer."""
    (listener,) = await trio.open_tcp_listeners(0, host=LOOPBACK)
    if send_buffer is not None:
        listener.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer)
    return listener


@asynccontextmanager
async def under_attack(
    handler: Handler = echo,
    *,
    tls: TLSContexts | None = None,
    send_buffer: int | None = None,
    **options: Unpack[ServeOptions],
) -> AsyncGenerator[Site, None]:
    """Run a server on loopback; see before and after the block that the innocent one is served.

    Args:
        handler: for the attackers; the innocent one has an echo.
        tls: with TLS.
        send_buffer: what the kernel shall buffer for each connection, in bytes.
        options: see `serve_websocket`.
    """

    async def handle(ws: WebSocket) -> None:
        await (echo if ws.request.target == INNOCENT else handler)(ws)

    listener = await _listener(send_buffer)
    async with trio.open_nursery() as nursery:

        async def serve(task_status: trio.TaskStatus[Server]) -> None:
            await serve_websocket_listeners(
                handle, [listener], tls and tls.server, task_status=task_status, **options
            )

        server: Server = await nursery.start(serve)
        scheme: Literal["ws", "wss"] = "ws" if tls is None else "wss"
        url = f"{scheme}://localhost:{server.port}{INNOCENT}"
        async with open_websocket_url(url, tls and tls.client) as innocent:
            site = Site(server, tls, innocent)
            await site.check_innocent()
            yield site
            await site.check_innocent()
        nursery.cancel_scope.cancel()


async def flood(peer: ScriptedPeer, data: bytes) -> None:
    """Send this over and over, until the other end has had enough."""
    with suppress(trio.BrokenResourceError):
        while True:
            await peer.send_bytes(data)


async def read_to_the_end(peer: ScriptedPeer) -> bytes:
    """Return what comes until the end of the stream, or until it is reset."""
    received = bytearray()
    with suppress(trio.BrokenResourceError):
        while data := await peer.stream.receive_some():
            received += data
    return bytes(received)
