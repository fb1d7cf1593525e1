"""Registration: the server knows who is connected, and tells everybody what anybody says.

    python registration.py [PORT]

`broadcast` never waits, so one client that does not read cannot hold up the others: when its buffer
is full, it misses the message.
"""

import sys

import trio

from trio_ws import Server, WebSocket, broadcast, serve_websocket

connected: set[WebSocket] = set()


def tell_all(message: str | bytes) -> None:
    """Send a message to everybody who can take it now."""
    for ws in broadcast(connected, message, when_full="drop").dropped:
        print(f"{ws.peer_address} is too slow and misses a message")


async def handler(ws: WebSocket) -> None:
    """Register one client for as long as it stays."""
    connected.add(ws)
    try:
        tell_all(f"{len(connected)} connected")
        async for message in ws:
            tell_all(message)
    finally:
        connected.remove(ws)
        tell_all(f"{len(connected)} connected")


async def main() -> None:
    """Serve until Ctrl-C."""
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8765
    async with trio.open_nursery() as nursery:
        server: Server = await nursery.start(serve_websocket, handler, "localhost", port)
        print(f"serving on ws://localhost:{server.port}/")


if __name__ == "__main__":
    trio.run(main)
