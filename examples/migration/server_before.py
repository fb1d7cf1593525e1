"""A room where what one says all hear, with the websockets library on Trio.

    python server_before.py [PORT]

``server_after.py`` is the same with trio_ws.
"""

import sys
from functools import partial
from http import HTTPStatus

import trio
from websockets.exceptions import ConnectionClosedError
from websockets.http11 import Request, Response
from websockets.trio.server import Server, ServerConnection, broadcast, serve

members: set[ServerConnection] = set()


def health(connection: ServerConnection, request: Request) -> Response | None:
    """Answer a load balancer; let everybody else go on."""
    return connection.respond(HTTPStatus.OK, "fine\n") if request.path == "/health" else None


async def room(ws: ServerConnection) -> None:
    """Tell all what one says, until it says goodbye."""
    members.add(ws)
    try:
        async for message in ws:
            if message == "goodbye":
                await ws.aclose(4000, "see you")
            else:
                await broadcast(members, message)
    except ConnectionClosedError:
        pass  # it went without a goodbye
    finally:
        members.discard(ws)


async def main() -> None:
    """Serve until Ctrl-C."""
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8765
    start = partial(
        serve,
        room,
        port,
        host="127.0.0.1",
        process_request=health,
        max_size=65536,
        ping_interval=30,
    )
    async with trio.open_nursery() as nursery:
        server: Server = await nursery.start(start)
        print(f"serving on ws://127.0.0.1:{server.listeners[0].socket.getsockname()[1]}/")


if __name__ == "__main__":
    trio.run(main)
