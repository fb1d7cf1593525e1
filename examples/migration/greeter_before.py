"""A server that greets by name, with trio-websocket.

    python greeter_before.py [PORT]

``greeter_compat.py`` is the same with one import changed, ``greeter_after.py`` with trio_ws.
"""

import sys

import trio
from trio_websocket import ConnectionClosed, WebSocketRequest, WebSocketServer, serve_websocket


async def greet(request: WebSocketRequest) -> None:
    """Say hello to whoever says who they are, and repeat what they say."""
    name = request.path.removeprefix("/")
    if not name:
        await request.reject(404, body=b"who are you?\n")
        return
    connection = await request.accept()
    try:
        await connection.send_message(f"hello, {name}")
        while True:
            message = await connection.get_message()
            await connection.send_message(f"{name} says: {message!s}")
    except ConnectionClosed as closed:
        print(f"{name} has left: {closed.reason and closed.reason.code}")


async def main() -> None:
    """Serve until Ctrl-C."""
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8765
    async with trio.open_nursery() as nursery:
        server: WebSocketServer = await nursery.start(
            serve_websocket, greet, "127.0.0.1", port, None
        )
        print(f"serving on ws://127.0.0.1:{server.port}/")


if __name__ == "__main__":
    trio.run(main)
