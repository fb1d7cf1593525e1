"""Tutorial: a server that sends every message back.

    python echo_server.py [PORT]

It says who comes and who leaves; Ctrl-C ends it.
"""

import sys

import trio

from trio_ws import Server, WebSocket, serve_websocket


async def echo(ws: WebSocket) -> None:
    """Serve one client: send back what it sends, until it closes."""
    print("somebody came")
    async for message in ws:
        await ws.send(message)
    print(f"somebody left, and said {ws.close_received}")


async def main() -> None:
    """Serve until Ctrl-C."""
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8765
    async with trio.open_nursery() as nursery:
        server: Server = await nursery.start(serve_websocket, echo, "localhost", port)
        print(f"serving on ws://localhost:{server.port}/")


if __name__ == "__main__":
    trio.run(main)
