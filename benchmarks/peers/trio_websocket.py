"""trio-websocket."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from functools import partial

import trio
from trio_websocket import (
    ConnectionClosed,
    WebSocketConnection,
    WebSocketRequest,
    open_websocket_url,
    serve_websocket,
)

from benchmarks.peers.base import HOST, MAX_MESSAGE_SIZE, RoundTrips, Service
from benchmarks.peers.certificates import client_context, server_context
from benchmarks.peers.loops import TrioPeer


class Server(TrioPeer):
    """trio-websocket; it has no keepalive and no compression."""

    @asynccontextmanager
    async def serving(self, service: Service) -> AsyncGenerator[int, None]:
        """Serve with `serve_websocket`."""
        handle = getattr(_Handlers(service), service.handler)

        async def accept(request: WebSocketRequest) -> None:
            with suppress(ConnectionClosed):
                await handle(await request.accept())

        serve = partial(serve_websocket, max_message_size=MAX_MESSAGE_SIZE)
        async with trio.open_nursery() as nursery:
            server = await nursery.start(serve, accept, HOST, 0, server_context(service))
            yield server.port

    @asynccontextmanager
    async def connected(self, service: Service, port: int) -> AsyncGenerator[RoundTrips, None]:
        """Connect with `open_websocket_url`."""
        async with open_websocket_url(
            service.url(port), client_context(service), max_message_size=MAX_MESSAGE_SIZE
        ) as websocket:
            message = service.message

            async def round_trips(count: int) -> None:
                for _ in range(count):
                    await websocket.send_message(message)
                    await websocket.get_message()

            yield round_trips


class _Handlers:
    def __init__(self, service: Service) -> None:
        self._message = service.message
        self._size = service.size
        self._clients: set[WebSocketConnection] = set()

    async def echo(self, websocket: WebSocketConnection) -> None:
        while True:
            await websocket.send_message(await websocket.get_message())

    async def sink(self, websocket: WebSocketConnection) -> None:
        size = self._size
        while True:
            message = await websocket.get_message()
            if len(message) != size:
                await websocket.send_message(message)

    async def source(self, websocket: WebSocketConnection) -> None:
        message = self._message
        while True:
            for _ in range(int(await websocket.get_message())):
                await websocket.send_message(message)

    async def fan_out(self, websocket: WebSocketConnection) -> None:
        self._clients.add(websocket)
        while True:
            await websocket.get_message()
            for client in self._clients:
                await client.send_message(self._message)

    async def elsewhere(self, _: WebSocketConnection) -> None:
        await trio.sleep_forever()
