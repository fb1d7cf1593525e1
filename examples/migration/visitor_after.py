"""Visit the server that greets, with trio_ws.

    python visitor_after.py URL

``visitor_before.py`` is the same with trio-websocket.
"""

import sys

import trio

from trio_ws import open_websocket_url


async def main(url: str) -> None:
    """Say something, and hear it."""
    async with open_websocket_url(f"{url}Ada") as ws:
        print(await ws.receive())
        await ws.send("how nice")
        print(await ws.receive())


if __name__ == "__main__":
    trio.run(main, sys.argv[1])
