"""Tutorial: a client that sends two messages and prints what comes back.

    python echo_client.py [URL]

Run echo_server.py first.
"""

import sys

import trio

from trio_ws import open_websocket_url


async def main() -> None:
    """Talk to the server; leaving the block closes the connection."""
    url = sys.argv[1] if len(sys.argv) > 1 else "ws://localhost:8765/"
    async with open_websocket_url(url) as ws:
        await ws.send("hello")
        print(repr(await ws.receive()))
        await ws.send(b"\x00\xff")
        print(repr(await ws.receive()))


if __name__ == "__main__":
    trio.run(main)
