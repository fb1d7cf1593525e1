"""The asyncio implementation of websockets, on asyncio's loop or on uvloop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, cast

from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, broadcast, serve

from benchmarks.peers.base import HOST, MAX_MESSAGE_SIZE, RoundTrips, Service
from benchmarks.peers.certificates import client_context, server_context
from benchmarks.peers.channels import ChannelHandlers
from benchmarks.peers.loops import AsyncioPeer

KEEPALIVE_SECONDS = 20  # the default


class Server(AsyncioPeer):
    """websockets.asyncio."""

    @asynccontextmanager
    async def serving(self, service: Service) -> AsyncGenerator[int, None]:
        """Serve with `serve`."""
        handlers = ChannelHandlers[Any](service, _publish, self.sleep_forever)
        async with serve(
            handlers.named(service),
            HOST,
            0,
            ssl=server_context(service),
            compression="deflate" if service.deflate else None,
            max_size=MAX_MESSAGE_SIZE,
            ping_interval=KEEPALIVE_SECONDS if service.keepalive else None,
        ) as server:
            [sock] = server.sockets
            yield cast("int", sock.getsockname()[1])

    @asynccontextmanager
    async def connected(self, service: Service, port: int) -> AsyncGenerator[RoundTrips, None]:
        """Connect with `connect`."""
        async with connect(
            service.url(port),
            ssl=client_context(service),
            compression="deflate" if service.deflate else None,
            max_size=MAX_MESSAGE_SIZE,
            ping_interval=None,
        ) as websocket:

            async def round_trips(count: int) -> None:
                for message in service.messages(count):
                    await websocket.send(message)
                    await websocket.recv()

            yield round_trips


class ServerOnUvloop(Server):
    """websockets.asyncio on uvloop."""

    def run(self, main: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run it on uvloop."""
        import uvloop  # noqa: PLC0415 - nobody else needs it

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(main())


async def _publish(websockets: set[ServerConnection], message: str | bytes) -> None:
    broadcast(websockets, message)
