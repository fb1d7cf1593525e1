"""The Trio implementation of websockets."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import trio
from websockets.trio.client import connect
from websockets.trio.server import ServerConnection, broadcast, serve

from benchmarks.peers.base import HOST, MAX_MESSAGE_SIZE, RoundTrips, Service
from benchmarks.peers.certificates import client_context, server_context
from benchmarks.peers.channels import ChannelHandlers
from benchmarks.peers.loops import TrioPeer

KEEPALIVE_SECONDS = 20  # the default


class Server(TrioPeer):
    """websockets.trio."""

    @asynccontextmanager
    async def serving(self, service: Service) -> AsyncGenerator[int, None]:
        """Serve with `serve`."""
        handlers = ChannelHandlers[Any](service, _publish, self.sleep_forever)
        run = partial(
            serve,
            handlers.named(service),
            0,
            host=HOST,
            ssl=server_context(service),
            compression="deflate" if service.deflate else None,
            max_size=MAX_MESSAGE_SIZE,
            ping_interval=KEEPALIVE_SECONDS if service.keepalive else None,
        )
        async with trio.open_nursery() as nursery:
            server = await nursery.start(run)
            [listener] = server.listeners
            yield listener.socket.getsockname()[1]

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


async def _publish(websockets: set[ServerConnection], message: str | bytes) -> None:
    await broadcast(websockets, message)
