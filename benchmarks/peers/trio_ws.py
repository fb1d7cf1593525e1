"""trio_ws itself."""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial

import trio

from benchmarks.peers.base import HOST, MAX_MESSAGE_SIZE, RoundTrips, Service
from benchmarks.peers.certificates import client_context, server_context
from benchmarks.peers.channels import ChannelHandlers
from benchmarks.peers.loops import TrioPeer
from trio_ws import (
    Deflate,
    Keepalive,
    Limits,
    WebSocket,
    broadcast,
    open_websocket_url,
    serve_websocket,
)
from trio_ws.protocol import LANE

LIMITS = Limits(max_message_size=MAX_MESSAGE_SIZE)


class Server(TrioPeer):
    """trio_ws, on its compiled lane where it was built."""

    @asynccontextmanager
    async def serving(self, service: Service) -> AsyncGenerator[int, None]:
        """Serve with `serve_websocket`."""
        handlers = ChannelHandlers[WebSocket](service, _publish, self.sleep_forever)
        serve = partial(
            serve_websocket,
            limits=LIMITS,
            keepalive=_keepalive(service),
            compression=_compression(service),
        )
        async with trio.open_nursery() as nursery:
            server = await nursery.start(
                serve, handlers.named(service), HOST, 0, server_context(service)
            )
            yield server.port

    @asynccontextmanager
    async def connected(self, service: Service, port: int) -> AsyncGenerator[RoundTrips, None]:
        """Connect with `open_websocket_url`."""
        async with open_websocket_url(
            service.url(port),
            client_context(service),
            limits=LIMITS,
            keepalive=_keepalive(service),
            compression=_compression(service),
        ) as websocket:

            async def round_trips(count: int) -> None:
                for message in service.messages(count):
                    await websocket.send(message)
                    await websocket.receive()

            yield round_trips


class PureServer(Server):
    """trio_ws without its compiled lane."""

    def __init__(self) -> None:
        if LANE != "pure":
            raise RuntimeError("trio_ws was imported before TRIO_WS_PURE was set")


def _keepalive(service: Service) -> Keepalive:
    return Keepalive() if service.keepalive else Keepalive(interval=math.inf)


def _compression(service: Service) -> Deflate | None:
    return Deflate() if service.deflate else None


async def _publish(websockets: set[WebSocket], message: str | bytes) -> None:
    broadcast(websockets, message, when_full="drop")
