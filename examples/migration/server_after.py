"""A room where what one says all hear, with trio_ws.

    python server_after.py [PORT]

``server_before.py`` is the same with websockets.  New is a policy for readers who are too slow,
``when_full``.  Gone is the ``except``: that its own connection ends is no error of a handler.
"""

import sys
from functools import partial

import trio

import trio_ws
from trio_ws import Keepalive, Limits, Request, Response, Server, WebSocket

members: set[WebSocket] = set()


def health(request: Request) -> Response | None:
    """Answer a load balancer; let everybody else go on."""
    return Response(200, body="fine\n") if request.path == "/health" else None


async def room(ws: WebSocket) -> None:
    """Tell all what one says, until it says goodbye."""
    members.add(ws)
    try:
        async for message in ws:
            if message == "goodbye":
                await ws.aclose(4000, "see you")
            else:
                trio_ws.broadcast(members, message, when_full="close")
    finally:
        members.discard(ws)


async def main() -> None:
    """Serve until Ctrl-C."""
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8765
    serve = partial(
        trio_ws.serve_websocket,
        process_request=health,
        limits=Limits(max_message_size=65536),
        keepalive=Keepalive(interval=30),
    )
    async with trio.open_nursery() as nursery:
        server: Server = await nursery.start(serve, room, "127.0.0.1", port)
        print(f"serving on ws://127.0.0.1:{server.port}/")


if __name__ == "__main__":
    trio.run(main)
