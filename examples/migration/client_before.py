"""Somebody in the room, with the websockets library on Trio.

    python client_before.py [URL]

``client_after.py`` is the same with trio_ws.
"""

import sys

import trio
from websockets.exceptions import ConnectionClosed
from websockets.trio.client import connect


async def main() -> None:
    """Say hello, see that the server is there, say goodbye, and tell how it ended."""
    url = sys.argv[1] if len(sys.argv) > 1 else "ws://127.0.0.1:8765/"
    async with connect(url, compression=None, open_timeout=5, proxy=None) as ws:
        await ws.send("hello")
        with trio.fail_after(5):
            print("heard:", await ws.recv())
        pong = await ws.ping()
        await pong.wait()
        print("the server is there" if ws.latency > 0 else "no answer")
        await ws.send("goodbye")
        try:
            await ws.recv()
        except ConnectionClosed as closed:
            if closed.rcvd is not None:
                print("closed:", closed.rcvd.code, closed.rcvd.reason)


if __name__ == "__main__":
    trio.run(main)
