"""Tutorial: a program that says something in the chat, over TLS.

    python visitor.py URL CERTIFICATES

CERTIFICATES is a PEM file with those to trust.
"""

import ssl
import sys

import trio

from trio_ws import open_websocket_url


async def main() -> None:
    """Say a name and a line, and print what the chat says to that."""
    url, trusted = sys.argv[1:3]
    ssl_context = ssl.create_default_context(cafile=trusted)
    async with open_websocket_url(url, ssl_context) as ws:
        await ws.send("Visitor")
        print(await ws.receive())
        await ws.send("what a nice place")
        print(await ws.receive())


if __name__ == "__main__":
    trio.run(main)
