"""A chat for the browser, page and WebSockets from one port: python examples/chat/server.py [PORT].

A client says its name, then what it likes; it gets JSON about all that anybody does.
"""

import json
import signal
import sys
from contextlib import suppress
from functools import partial
from pathlib import Path

import trio

from trio_ws import ConnectionClosed, Limits, Request, Response, WebSocket, serve_websocket

PAGE = Path(__file__).with_name("index.html").read_bytes()
members: dict[WebSocket, str] = {}


def tell_all(**event: str) -> None:
    """Tell everybody what happened; who does not keep up misses it."""
    message = json.dumps(event | {"people": sorted(members.values())})
    for ws in members:
        with suppress(trio.WouldBlock, ConnectionClosed):
            ws.send_nowait(message)


async def chat(ws: WebSocket) -> None:
    """Take part, from the first message, which is the name, to the end of the connection."""
    name = members[ws] = str(await ws.receive())[:24]
    tell_all(what="join", name=name)
    try:
        async for message in ws:
            tell_all(what="say", name=name, text=str(message))
    finally:
        del members[ws]
        tell_all(what="leave", name=name)


def answer(request: Request) -> Response | None:
    """Answer with the page; WebSockets go on to `chat`, if they come from that page."""
    wanted = request.path == "/" and not request.is_upgrade
    return Response(200, {"Content-Type": "text/html; charset=utf-8"}, PAGE) if wanted else None


async def main(port: int) -> None:
    """Serve until Ctrl-C or SIGTERM, then close all connections with 1001."""
    serve = partial(serve_websocket, process_request=answer, limits=Limits(max_message_size=4096))
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with trio.open_nursery() as nursery:
            server = await nursery.start(serve, chat, "localhost", port)
            print(f"http://localhost:{server.port}/")
            await anext(signals)
            await server.aclose()


if __name__ == "__main__":
    trio.run(main, int(sys.argv[1]) if len(sys.argv) > 1 else 8765)
