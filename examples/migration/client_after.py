"""Somebody in the room, with trio_ws.

    python client_after.py [URL]

``client_before.py`` is the same with websockets.
"""

import sys

import trio

from trio_ws import ConnectionClosed, Timeouts, open_websocket_url


async def main() -> None:
    """Say hello, see that the server is there, say goodbye, and tell how it ended."""
    url = sys.argv[1] if len(sys.argv) > 1 else "ws://127.0.0.1:8765/"
    async with open_websocket_url(url, timeouts=Timeouts(open=5)) as ws:
        await ws.send("hello")
        with trio.fail_after(5):
            print("heard:", await ws.receive())
        round_trip = await ws.ping()
        print("the server is there" if round_trip > 0 else "no answer")
        await ws.send("goodbye")
        try:
            await ws.receive()
        except ConnectionClosed as closed:
            if closed.received is not None:
                print("closed:", closed.received.code, closed.received.reason)


if __name__ == "__main__":
    trio.run(main)
