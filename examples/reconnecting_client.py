"""A client that comes back: it prints what a feed sends, through restarts of the server.

    python reconnecting_client.py [URL]

Run feed.py, stop it, and run it again.  The handler is a loop as in any client; that its end means
another connection is for ``reconnect_websocket_url`` to know, which says so in the log.
"""

import logging
import sys

import trio

from trio_ws import WebSocket, reconnect_websocket_url


async def show(ws: WebSocket) -> None:
    """Print what comes, for as long as this connection lasts."""
    print("connected")
    async for message in ws:
        print(message)


async def main() -> None:
    """Stay connected until the server closes with 1000."""
    url = sys.argv[1] if len(sys.argv) > 1 else "ws://localhost:8765/"
    await reconnect_websocket_url(show, url)
    print("done")


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(name)s: %(message)s")
    trio.run(main)
