"""A feed: the server sends the time, every second, and expects nothing.

    python feed.py [PORT]

Clients may talk all the same, and when they leave, that has to be heard too.  So a handler that
only sends runs ``ws.discard_messages`` beside it: it drops what comes and returns when the client
closes, which ends its sibling.
"""

import sys
from datetime import UTC, datetime
from functools import partial

import trio

from trio_ws import Server, WebSocket, run_siblings, serve_websocket


async def send_time(ws: WebSocket) -> None:
    """Send the time of day for ever."""
    while True:
        await ws.send(datetime.now(UTC).isoformat(timespec="milliseconds"))
        await trio.sleep(1)


async def feed(ws: WebSocket) -> None:
    """Feed one client for as long as it stays."""
    print("somebody came")
    await run_siblings(ws.discard_messages, partial(send_time, ws))
    print("somebody left")


async def main() -> None:
    """Serve until Ctrl-C."""
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8765
    async with trio.open_nursery() as nursery:
        server: Server = await nursery.start(serve_websocket, feed, "localhost", port)
        print(f"serving on ws://localhost:{server.port}/")


if __name__ == "__main__":
    trio.run(main)
