"""Visit the server that greets, with trio-websocket.

    python visitor_before.py URL

``visitor_after.py`` is the same with trio_ws.
"""

import sys

import trio
from trio_websocket import open_websocket_url


async def main(url: str) -> None:
    """Say something, and hear it."""
    async with open_websocket_url(f"{url}Ada") as connection:
        print(await connection.get_message())
        await connection.send_message("how nice")
        print(await connection.get_message())


if __name__ == "__main__":
    trio.run(main, sys.argv[1])
