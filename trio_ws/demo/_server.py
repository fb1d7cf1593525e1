"""A chat with rooms for the browser: page and WebSockets come from one port.

The path names the room.  A client says its name, then what it likes; it gets JSON about all that
happens.  Servers with the same REDIS_URL in their environment share their rooms; the second one on
a machine takes another port.
"""

import os
import re
import signal
from contextlib import AbstractAsyncContextManager, nullcontext
from functools import partial
from pathlib import Path

import trio

from trio_ws import Limits, Request, Response, WebSocket, serve_websocket
from trio_ws.demo._rooms import Room
from trio_ws.pubsub import Broker, MemoryBroker, open_redis_broker

PAGE = Path(__file__).with_name("index.html").read_bytes()
MOST_ROOMS = 1000
rooms: dict[str, Room] = {}
opening_room = trio.Lock()


def answer(request: Request) -> Response | None:
    """Answer with the page at the path of a room; its WebSockets go on to `chat`."""
    if not re.fullmatch(r"/[\w-]{0,32}", request.path):
        return Response(404, body="no room has such a name")
    if request.is_upgrade:
        full = len(rooms) >= MOST_ROOMS and request.path not in rooms
        return Response(503, body="there are too many rooms") if full else None
    return Response(200, {"Content-Type": "text/html; charset=utf-8"}, PAGE)


async def chat(broker: Broker, nursery: trio.Nursery, ws: WebSocket) -> None:
    """Take part, from the first message, which is the name, to the end of the connection."""
    path = ws.request.path
    async with opening_room:
        if path not in rooms:
            rooms[path] = await nursery.start(Room(broker, path).run)
    name = str(await ws.receive()).strip()[:24] or "somebody"
    try:
        await rooms[path].enter(ws, name)
        async for message in ws:
            await rooms[path].publish(ws, what="say", name=name, text=str(message))
    finally:
        with trio.move_on_after(1, shield=True):
            await rooms[path].leave(ws)


async def serve_chat(port: int) -> None:
    """Serve until Ctrl-C or SIGTERM, then close all connections with 1001."""
    redis = os.environ.get("REDIS_URL")
    opening: AbstractAsyncContextManager[Broker] = (
        open_redis_broker(redis) if redis else nullcontext(MemoryBroker())
    )
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with opening as broker, trio.open_nursery() as nursery:
            serve = partial(
                serve_websocket, process_request=answer, limits=Limits(max_message_size=4096)
            )
            handler = partial(chat, broker, nursery)
            try:
                server = await nursery.start(serve, handler, "localhost", port)
            except OSError:  # taken, by another one of these most likely
                server = await nursery.start(serve, handler, "localhost", 0)
            print(f"http://localhost:{server.port}/")
            await anext(signals)
            await server.aclose()
            nursery.cancel_scope.cancel()
