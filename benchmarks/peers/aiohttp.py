"""aiohttp."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

from aiohttp import ClientSession, ClientWebSocketResponse, web

from benchmarks.peers.base import HOST, MAX_MESSAGE_SIZE, RoundTrips, Service
from benchmarks.peers.certificates import client_context, server_context
from benchmarks.peers.loops import AsyncioPeer

Send: TypeAlias = Callable[[Any], Awaitable[None]]


class Server(AsyncioPeer):
    """aiohttp's server and client, on asyncio; no heartbeat unless asked for."""

    @asynccontextmanager
    async def serving(self, service: Service) -> AsyncGenerator[int, None]:
        """Serve with an `aiohttp.web` application."""
        handlers = _Handlers(service, self.sleep_forever)

        async def handle(request: web.Request) -> web.WebSocketResponse:
            websocket = web.WebSocketResponse(
                max_msg_size=MAX_MESSAGE_SIZE, compress=service.deflate
            )
            await websocket.prepare(request)
            await getattr(handlers, service.handler)(websocket, _send(websocket, service))
            return websocket

        application = web.Application()
        application.router.add_get("/", handle)
        runner = web.AppRunner(application, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, HOST, 0, ssl_context=server_context(service))
        await site.start()
        yield runner.addresses[0][1]

    @asynccontextmanager
    async def connected(self, service: Service, port: int) -> AsyncGenerator[RoundTrips, None]:
        """Connect with a `ClientSession`."""
        async with (
            ClientSession() as session,
            session.ws_connect(
                service.url(port),
                ssl=client_context(service) or True,
                max_msg_size=MAX_MESSAGE_SIZE,
                compress=15 if service.deflate else 0,
            ) as websocket,
        ):
            send = _send(websocket, service)

            async def round_trips(count: int) -> None:
                for message in service.messages(count):
                    await send(message)
                    await websocket.receive()

            yield round_trips


def _send(websocket: web.WebSocketResponse | ClientWebSocketResponse, service: Service) -> Send:
    return websocket.send_str if service.text else websocket.send_bytes


class _Handlers:
    def __init__(self, service: Service, sleep_forever: Callable[[], Awaitable[None]]) -> None:
        self._message = service.message
        self._size = service.size
        self._sleep_forever = sleep_forever
        self._clients: set[Send] = set()

    async def echo(self, websocket: web.WebSocketResponse, send: Send) -> None:
        async for message in websocket:
            await send(message.data)

    async def sink(self, websocket: web.WebSocketResponse, send: Send) -> None:
        size = self._size
        async for message in websocket:
            if len(message.data) != size:
                await send(message.data)

    async def source(self, websocket: web.WebSocketResponse, send: Send) -> None:
        message = self._message
        async for request in websocket:
            for _ in range(int(request.data)):
                await send(message)

    async def fan_out(self, websocket: web.WebSocketResponse, send: Send) -> None:
        self._clients.add(send)
        async for _ in websocket:
            for client_send in self._clients:
                await client_send(self._message)

    async def elsewhere(self, _: web.WebSocketResponse, __: Send) -> None:
        await self._sleep_forever()
