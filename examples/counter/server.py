"""A counter that all browsers share: who changes it changes it for everybody.

    python server.py [PORT]

Every change is told to all; who does not keep up is closed, and its page connects again.
"""

import json
import sys
from functools import partial
from pathlib import Path

import trio

from trio_ws import Request, Response, Server, WebSocket, broadcast, serve_websocket

PAGE = Path(__file__).with_name("index.html").read_bytes()
STEPS = {"up": 1, "down": -1}
watching: set[WebSocket] = set()
value = 0


def answer(request: Request) -> Response | None:
    """Answer with the page; WebSockets go on to `counter`, if they come from that page."""
    wanted = request.path == "/" and not request.is_upgrade
    return Response(200, {"Content-Type": "text/html; charset=utf-8"}, PAGE) if wanted else None


def tell_all() -> None:
    """Tell everybody how things are."""
    state = json.dumps({"value": value, "watching": len(watching)})
    broadcast(watching, state, when_full="close")


async def counter(ws: WebSocket) -> None:
    """Take steps from one browser, and drop what is none."""
    global value  # noqa: PLW0603 - the state that is shared
    watching.add(ws)
    tell_all()
    try:
        async for message in ws:
            value += STEPS.get(str(message), 0)
            tell_all()
    finally:
        watching.discard(ws)
        tell_all()


async def main() -> None:
    """Serve until Ctrl-C."""
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8765
    serve = partial(serve_websocket, process_request=answer)
    async with trio.open_nursery() as nursery:
        server: Server = await nursery.start(serve, counter, "localhost", port)
        print(f"http://localhost:{server.port}/")


if __name__ == "__main__":
    trio.run(main)
