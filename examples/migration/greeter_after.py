"""A server that greets by name, with trio_ws.

    python greeter_after.py [PORT]

``greeter_before.py`` is the same with trio-websocket.
"""

import sys
from functools import partial

import trio

from trio_ws import ANY_ORIGIN, Accept, Request, Response, Server, WebSocket, serve_websocket


def ask_for_name(request: Request) -> Accept | Response:
    """Let those in who say who they are."""
    name = request.path.removeprefix("/")
    return Accept(context=name) if name else Response(404, body="who are you?\n")


async def greet(ws: WebSocket) -> None:
    """Say hello, and repeat what is said."""
    await ws.send(f"hello, {ws.context}")
    async for message in ws:
        await ws.send(f"{ws.context} says: {message!s}")
    print(f"{ws.context} has left: {ws.close_received and ws.close_received.code}")


async def main() -> None:
    """Serve until Ctrl-C."""
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8765
    serve = partial(serve_websocket, process_request=ask_for_name, origins=ANY_ORIGIN)
    async with trio.open_nursery() as nursery:
        server: Server = await nursery.start(serve, greet, "127.0.0.1", port)
        print(f"serving on ws://127.0.0.1:{server.port}/")


if __name__ == "__main__":
    trio.run(main)
