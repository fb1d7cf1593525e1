"""Registration: the server knows who is connected, and tells everybody what anybody says.

    python registration.py [PORT]

``send_nowait`` never waits, so one client that does not read cannot hold up the others: when its
buffer is full, it misses the message.  And because nothing in `broadcast` awaits, nobody can come
or go while it loops.
"""

import sys

import trio

from trio_ws import ConnectionClosed, Server, WebSocket, serve_websocket

connected: set[WebSocket] = set()


def broadcast(message: str | bytes) -> None:
    """Send a message to everybody who can take it now."""
    for ws in connected:
        try:
            ws.send_nowait(message)
        except trio.WouldBlock:
            print(f"{ws.peer_address} is too slow and misses a message")
        except ConnectionClosed:
            pass  # it is on its way out: its own handler will hear of that


async def handler(ws: WebSocket) -> None:
    """Register one client for as long as it stays."""
    connected.add(ws)
    try:
        broadcast(f"{len(connected)} connected")
        async for message in ws:
            broadcast(message)
    finally:
        connected.remove(ws)
        broadcast(f"{len(connected)} connected")


async def main() -> None:
    """Serve until Ctrl-C."""
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8765
    async with trio.open_nursery() as nursery:
        server: Server = await nursery.start(serve_websocket, handler, "localhost", port)
        print(f"serving on ws://localhost:{server.port}/")


if __name__ == "__main__":
    trio.run(main)
