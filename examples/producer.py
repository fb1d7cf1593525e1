"""A producer: a client that sends a file, line by line, and expects no answer.

    python producer.py [URL [FILE]]

Run consumer.py first.  Without FILE it sends its own source.  ``send`` waits while the server is
slower than the file, so a large one is never in memory as a whole.  Leaving the block flushes, and
then waits for the server's Close, which says that the server has read everything before ours.
"""

import sys

import trio

from trio_ws import open_websocket_url


async def main() -> None:
    """Send the file, close, and see whether it all arrived."""
    url = sys.argv[1] if len(sys.argv) > 1 else "ws://localhost:8765/"
    path = sys.argv[2] if len(sys.argv) > 2 else __file__
    async with open_websocket_url(url) as ws, await trio.open_file(path, encoding="utf-8") as file:
        async for line in file:
            await ws.send(line.rstrip("\n"))
    if ws.close_received is None:
        sys.exit("the server did not say goodbye: some lines may be lost")
    print(f"{ws.statistics().messages_sent} lines arrived")


if __name__ == "__main__":
    trio.run(main)
