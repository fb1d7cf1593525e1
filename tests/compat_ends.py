"""Connections by trio-websocket's interface: by the original, by ours in its place, or by both.

A test takes the two modules as arguments and says the same to either.  Connections are over
streams in memory: the original leaves sockets open in places, and that is not what is tested.
"""

import itertools
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from types import ModuleType
from typing import Any

import pytest
import trio
import trio_websocket as theirs

from tests.servers import LOOPBACK
from trio_ws.compat import trio_websocket as ours
from trio_ws.testing import MemoryListener, ScriptedPeer, bounded_stream_pair

Library = ModuleType

# A connection, a request or a server of either library: they have no type in common.
Either = Any

Handler = Callable[[Either], Awaitable[object]]

NAMES = {theirs: "theirs", ours: "ours"}

HANGS = 30.0  # in seconds

both_libraries = pytest.mark.parametrize("library", [theirs, ours], ids=NAMES.__getitem__)

all_pairs = pytest.mark.parametrize(
    ("client", "server"), [*itertools.product([theirs, ours], repeat=2)], ids=NAMES.__getitem__
)


class Serving:
    """A server of one of the libraries, and how to connect to it."""

    def __init__(self, listener: MemoryListener, nursery: trio.Nursery) -> None:
        self.listener = listener
        self.nursery = nursery

    async def connect(
        self, client: Library, resource: str = "/room?x=1", **options: object
    ) -> Either:
        """Connect by one of the libraries."""
        stream = await self.listener.connect()
        wrap = client.wrap_client_stream
        return await wrap(self.nursery, stream, "localhost", resource, **options)

    async def peer(self) -> ScriptedPeer:
        """Connect by hand."""
        return ScriptedPeer(await self.listener.connect(), "client")


@asynccontextmanager
async def serving(
    server: Library, handler: Handler, **options: object
) -> AsyncGenerator[Serving, None]:
    """Run a server in memory, and cancel it in the end, its connections with it."""
    listener = MemoryListener()
    with trio.fail_after(HANGS):
        async with trio.open_nursery() as nursery:
            await nursery.start(server.WebSocketServer(handler, [listener], **options).run)
            yield Serving(listener, nursery)
            nursery.cancel_scope.cancel()


@asynccontextmanager
async def serving_tcp(
    server: Library, handler: Handler, tls: ssl.SSLContext | None = None
) -> AsyncGenerator[Either, None]:
    """Run a server on a free port, and cancel it in the end."""
    with trio.fail_after(HANGS):
        async with trio.open_nursery() as nursery:
            yield await nursery.start(server.serve_websocket, handler, LOOPBACK, 0, tls)
            nursery.cancel_scope.cancel()


@asynccontextmanager
async def connected(
    client: Library, server: Library, handler: Handler, **options: Any
) -> AsyncGenerator[Either, None]:
    """Connect to a server in memory whose handler gets the accepted connection.

    Args:
        options: the client's.
    """

    async def accept(request: Either) -> None:
        await handler(await request.accept())

    async with serving(server, accept) as running:
        yield await running.connect(client, **options)


@asynccontextmanager
async def client_of_peer(
    client: Library, **options: object
) -> AsyncGenerator[tuple[Either, ScriptedPeer, trio.Nursery], None]:
    """Connect a client to a server in the hands of the test.

    Yields the nursery of its background tasks too, and cancels that in the end.
    """
    near, far = bounded_stream_pair()
    peer = ScriptedPeer(far, "server")
    with trio.fail_after(HANGS * 60):
        async with peer, trio.open_nursery() as nursery:
            nursery.start_soon(peer.server_handshake)
            wrap = client.wrap_client_stream
            yield await wrap(nursery, near, "localhost", "/", **options), peer, nursery
            nursery.cancel_scope.cancel()


async def echo(connection: Either) -> None:
    """Send back what comes, until the end."""
    while True:
        try:
            message = await connection.get_message()
        except (theirs.ConnectionClosed, ours.ConnectionClosed):
            return
        await connection.send_message(message)


async def linger(connection: Either) -> None:
    """Receive nothing and end never."""
    await trio.sleep_forever()
