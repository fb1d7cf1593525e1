"""A channel of one's own around a WebSocket, and the check that it is as good as one."""

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import trio
from trio.testing import MockClock

from trio_ws import WebSocket
from trio_ws.testing import check_websocket_channel, memory_websocket_pair


class JSONChannel(trio.abc.Channel[object]):
    """Carries what JSON can say."""

    def __init__(self, websocket: WebSocket) -> None:
        self.websocket = websocket

    async def send(self, value: object) -> None:
        """Send a value; cancellation is as exact as that of `WebSocket.send`."""
        await self.websocket.send(json.dumps(value))

    async def receive(self) -> object:
        """Receive a value; there must be no checkpoint between the message and the return."""
        return json.loads(await self.websocket.receive())

    async def aclose(self) -> None:
        """Close the WebSocket."""
        await self.websocket.aclose()


@asynccontextmanager
async def json_pair() -> AsyncGenerator[tuple[JSONChannel, JSONChannel], None]:
    """Connect two of them in memory."""
    async with memory_websocket_pair() as (client, server):
        yield JSONChannel(client), JSONChannel(server)


async def test_json_channel_keeps_what_a_websocket_promises(autojump_clock: MockClock) -> None:
    """Order, backpressure, exact cancellation, every way to close: 21 promises, both ways."""
    await check_websocket_channel(json_pair, [{"a": [1, None]}, 17, "x" * 65536])
