"""Tutorial: a chat for terminals; whoever is connected hears what anybody says.

    python chat_first.py [PORT]

It knows no names yet, and has no page.
"""

import sys

import trio

from trio_ws import Server, WebSocket, broadcast, serve_websocket

members: set[WebSocket] = set()


async def chat(ws: WebSocket) -> None:
    """Let one client take part, for as long as it stays."""
    members.add(ws)
    try:
        async for message in ws:
            broadcast(members, message, when_full="close")
    finally:
        members.remove(ws)


async def main() -> None:
    """Serve until Ctrl-C."""
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8765
    async with trio.open_nursery() as nursery:
        server: Server = await nursery.start(serve_websocket, chat, "localhost", port)
        print(f"serving on ws://localhost:{server.port}/")


if __name__ == "__main__":
    trio.run(main)
