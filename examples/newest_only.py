"""A feed that is never behind: who reads slowly gets less, but never what is old.

    python newest_only.py [PORT]

``send`` waits while the client's buffer is full, so each client gets the values at its own pace.
Who has no room for the next one in PATIENCE seconds is closed; others do not notice.
"""

import sys
from functools import partial

import trio

from trio_ws import Limits, Server, WebSocket, run_siblings, serve_websocket

PATIENCE = 1  # seconds


def newest() -> str:
    """Return the value as it is now; yours may be a price, a position, a picture."""
    return f"{trio.current_time():.2f}".ljust(100_000)


async def send_values(ws: WebSocket) -> None:
    """Send the newest value, again and again, for as long as the client takes them."""
    while True:
        with trio.move_on_after(PATIENCE) as patience:
            await ws.send(newest())
        if patience.cancelled_caught:  # and then nothing of this message was sent
            print("somebody is too slow")
            await ws.aclose(1013, "too slow")
            return
        await trio.sleep(0.01)


async def handler(ws: WebSocket) -> None:
    """Feed one client until it leaves."""
    await run_siblings(ws.discard_messages, partial(send_values, ws))


async def main() -> None:
    """Serve until Ctrl-C."""
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8765
    # A small buffer of our own, so that what waits in it is not old.
    serve = partial(serve_websocket, limits=Limits(max_buffered_bytes=4096))
    async with trio.open_nursery() as nursery:
        server: Server = await nursery.start(serve, handler, "localhost", port)
        print(f"serving on ws://localhost:{server.port}/")


if __name__ == "__main__":
    trio.run(main)
