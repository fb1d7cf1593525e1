"""A clock for browsers that ticks when it likes: a server that only sends.

python server.py [PORT]
"""

import random
import sys
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import trio

from trio_ws import Request, Response, Server, WebSocket, run_siblings, serve_websocket

PAGE = Path(__file__).with_name("index.html").read_bytes()
LONGEST = 2.0  # between two ticks, in seconds


def answer(request: Request) -> Response | None:
    """Answer with the page; WebSockets go on to `clock`, if they come from that page."""
    wanted = request.path == "/" and not request.is_upgrade
    return Response(200, {"Content-Type": "text/html; charset=utf-8"}, PAGE) if wanted else None


async def tick(ws: WebSocket) -> None:
    """Send the time, at random intervals."""
    while True:
        await ws.send(datetime.now(UTC).isoformat())
        await trio.sleep(random.random() * LONGEST)  # noqa: S311 - no secret


async def clock(ws: WebSocket) -> None:
    """Tick until the browser leaves; whatever it says is dropped."""
    await run_siblings(partial(tick, ws), ws.discard_messages)


async def main() -> None:
    """Serve until Ctrl-C."""
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8765
    serve = partial(serve_websocket, process_request=answer)
    async with trio.open_nursery() as nursery:
        server: Server = await nursery.start(serve, clock, "localhost", port)
        print(f"http://localhost:{server.port}/")


if __name__ == "__main__":
    trio.run(main)
