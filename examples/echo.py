"""An echo server: every message goes back to whoever sent it, text as text, binary as binary.

    python echo.py [PORT]

A WebSocket is a Trio channel, so the loop is the one you know.  It ends when the peer closes, and
so does the handler.  A connection that breaks ends its own handler and nothing else.
"""

import sys

import trio

from trio_ws import Server, WebSocket, serve_websocket


async def echo(ws: WebSocket) -> None:
    """Send back what comes: a str is a text message, bytes are a binary one."""
    async for message in ws:
        await ws.send(message)


async def main() -> None:
    """Serve until Ctrl-C."""
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8765
    async with trio.open_nursery() as nursery:
        server: Server = await nursery.start(serve_websocket, echo, "localhost", port)
        print(f"serving on ws://localhost:{server.port}/")


if __name__ == "__main__":
    trio.run(main)
