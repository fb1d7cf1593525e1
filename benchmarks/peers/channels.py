"""Handlers for all libraries whose connection is iterated over and has ``await send(message)``.

They are the same lines for trio_ws and for websockets, with no layer between that would cost
time.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Generic, Protocol, TypeVar

from benchmarks.peers.base import Service


class Channel(Protocol):
    """What these handlers use of a connection."""

    def __aiter__(self) -> AsyncIterator[str | bytes]:
        """Return what receives."""
        ...

    async def send(self, message: str | bytes, /) -> None:
        """Send a message."""


C = TypeVar("C", bound=Channel)


class ChannelHandlers(Generic[C]):
    """The five handlers, for the connections of one server."""

    def __init__(
        self,
        service: Service,
        publish: Callable[[set[C], str | bytes], Awaitable[None]],
        sleep_forever: Callable[[], Awaitable[None]],
    ) -> None:
        self._message = service.message
        self._size = service.size
        self._publish = publish
        self._sleep_forever = sleep_forever
        self._clients: set[C] = set()

    def named(self, service: Service) -> Callable[[C], Awaitable[None]]:
        """Return the one that the service asks for."""
        handler: Callable[[C], Awaitable[None]] = getattr(self, service.handler)
        return handler

    async def echo(self, websocket: C) -> None:
        """Send every message back."""
        async for message in websocket:
            await websocket.send(message)

    async def sink(self, websocket: C) -> None:
        """Receive, and answer what is of another size."""
        size = self._size
        async for message in websocket:
            if len(message) != size:
                await websocket.send(message)

    async def source(self, websocket: C) -> None:
        """Send as many messages as are asked for."""
        message = self._message
        async for request in websocket:
            for _ in range(int(request)):
                await websocket.send(message)

    async def fan_out(self, websocket: C) -> None:
        """Have everybody get a message when somebody asks for it."""
        self._clients.add(websocket)
        async for _ in websocket:
            await self._publish(self._clients, self._message)

    async def elsewhere(self, _: C) -> None:
        """Never receive."""
        await self._sleep_forever()
