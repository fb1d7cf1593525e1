"""The smallest client: it says a name and prints the greeting.

    python hello_client.py [URL]

Run hello_server.py first.
"""

import sys

import trio

from trio_ws import open_websocket_url


async def main() -> None:
    """Open a connection, exchange two messages; leaving the block closes the connection."""
    url = sys.argv[1] if len(sys.argv) > 1 else "ws://localhost:8765/"
    async with open_websocket_url(url) as ws:
        await ws.send("Ada")
        print(await ws.receive())


if __name__ == "__main__":
    trio.run(main)
