"""A chat with rooms for the browser: page and WebSockets come from one port.

The path names the room.  A client says its name, then what it likes; it gets JSON about all that
happens.  Servers with the same REDIS_URL in their environment share their rooms; the second one on
a machine takes another port.
"""

import os
import re
import signal
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from functools import partial
from pathlib import Path

import trio

from trio_ws import CloseCode, Limits, Request, Response, WebSocket, serve_websocket
from trio_ws.demo._rooms import Room
from trio_ws.pubsub import Broker, BrokerUnavailable, MemoryBroker, open_redis_broker

PAGE = Path(__file__).with_name("index.html").read_bytes()
MOST_ROOMS = 1000
GRACE = 1.0  # in seconds, for browsers to say goodbye; one that sleeps never does


def answer(request: Request) -> Response | None:
    """Answer with the page at the path of a room; its WebSockets may come in."""
    if not re.fullmatch(r"/[\w-]{0,32}", request.path):
        return Response(404, body="no room has such a name")
    if request.is_upgrade:
        return None
    return Response(200, {"Content-Type": "text/html; charset=utf-8"}, PAGE)


class Chat:
    """The rooms of this server: an empty one stays until its place is needed."""

    def __init__(self, broker: Broker, nursery: trio.Nursery) -> None:
        self._broker = broker
        self._nursery = nursery
        self._rooms: dict[str, Room] = {}  # of the empty ones, the one left first comes first
        self._opening_room = trio.Lock()

    def answer(self, request: Request) -> Response | None:
        """Answer, and refuse whoever would open one room too many."""
        if request.is_upgrade and request.path not in self._rooms:
            taken = sum(room.visitors > 0 for room in self._rooms.values())
            if taken >= MOST_ROOMS:
                return Response(503, body="there are too many rooms")
        return answer(request)

    async def take_part(self, ws: WebSocket) -> None:
        """Have somebody in, from the first message, which is the name, to the end."""
        try:
            async with self._visit(ws.request.path) as room:
                await self._talk(ws, room)
        except BrokerUnavailable:  # for a room that is new; the page tries again
            await ws.aclose(CloseCode.TRY_AGAIN_LATER, "the server has lost its broker")

    async def _talk(self, ws: WebSocket, room: Room) -> None:
        name = str(await ws.receive()).strip()[:24] or "somebody"
        try:
            await room.enter(ws, name)
            async for message in ws:
                await room.publish(ws, what="say", name=name, text=str(message))
        finally:
            with trio.move_on_after(1, shield=True):
                await room.leave(ws)

    @asynccontextmanager
    async def _visit(self, path: str) -> AsyncGenerator[Room, None]:
        """Have a room that stays for the length of a block."""
        async with self._opening_room:
            room = self._rooms.get(path) or await self._open(path)
            room.visitors += 1
        try:
            yield room
        finally:
            room.visitors -= 1
            self._rooms[path] = self._rooms.pop(path)

    async def _open(self, path: str) -> Room:
        too_many = len(self._rooms) + 1 - MOST_ROOMS
        empty = [path for path, room in self._rooms.items() if room.visitors == 0]
        for longest_empty in empty[: max(too_many, 0)]:
            self._rooms.pop(longest_empty).close()
        room: Room = await self._nursery.start(Room(self._broker, path).run)
        self._rooms[path] = room
        return room


async def serve_chat(port: int, announce: Callable[[str], object] = print) -> None:
    """Serve until Ctrl-C or SIGTERM, then close all connections with 1001.

    Args:
        port: another one is taken if it is not free.
        announce: called with the address once it can be connected to.
    """
    redis = os.environ.get("REDIS_URL")
    opening: AbstractAsyncContextManager[Broker] = (
        open_redis_broker(redis) if redis else nullcontext(MemoryBroker())
    )
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with opening as broker, trio.open_nursery() as nursery:
            chat = Chat(broker, nursery)
            limits = Limits(max_message_size=4096)
            serve = partial(serve_websocket, process_request=chat.answer, limits=limits)
            try:
                server = await nursery.start(serve, chat.take_part, "localhost", port)
            except OSError:  # taken, by another one of these most likely
                server = await nursery.start(serve, chat.take_part, "localhost", 0)
            announce(f"http://localhost:{server.port}/")
            await anext(signals)
            await server.aclose(grace=GRACE)
            nursery.cancel_scope.cancel()
