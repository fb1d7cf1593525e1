"""A thread that Trio did not start, a driver's for example, has news for all clients.

    python foreign_thread.py [PORT]

Such a thread needs the token of the Trio run that it wants to enter.  What it has Trio do runs in
Trio's thread, between two tasks: so ``broadcast``, which never waits, is safe there.
"""

import sys
import threading
import time

import trio

from trio_ws import Server, WebSocket, broadcast, serve_websocket

connected: set[WebSocket] = set()


def tell_all(message: str) -> None:
    """Tell everybody; runs in Trio's thread."""
    broadcast(connected, message, when_full="drop")


def measure(token: trio.lowlevel.TrioToken) -> None:
    """Measure for ever; runs in a thread of its own."""
    while True:
        time.sleep(0.1)
        try:
            trio.from_thread.run_sync(tell_all, f"{time.time():.1f}", trio_token=token)
        except trio.RunFinishedError:
            return


async def handler(ws: WebSocket) -> None:
    """Register one client for as long as it stays; what it says does not matter."""
    connected.add(ws)
    try:
        await ws.discard_messages()
    finally:
        connected.remove(ws)


async def main() -> None:
    """Serve until Ctrl-C."""
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8765
    token = trio.lowlevel.current_trio_token()
    threading.Thread(target=measure, args=[token], daemon=True).start()
    async with trio.open_nursery() as nursery:
        server: Server = await nursery.start(serve_websocket, handler, "localhost", port)
        print(f"serving on ws://localhost:{server.port}/")


if __name__ == "__main__":
    trio.run(main)
