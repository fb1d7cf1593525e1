"""The smallest server: it takes one name per connection and answers with a greeting.

    python hello_server.py [PORT]

Then run hello_client.py in another terminal.  Port 0 takes a free one.
"""

import sys

import trio

from trio_ws import Server, WebSocket, serve_websocket


async def hello(ws: WebSocket) -> None:
    """Greet whoever says a name; returning closes the connection."""
    name = await ws.receive()  # a str, or bytes if the client sends binary
    await ws.send(f"Hello {name!s}!")


async def main() -> None:
    """Serve until Ctrl-C."""
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8765
    async with trio.open_nursery() as nursery:
        server: Server = await nursery.start(serve_websocket, hello, "localhost", port)
        print(f"serving on ws://localhost:{server.port}/")


if __name__ == "__main__":
    trio.run(main)
