"""A consumer: a server that takes what clients send, prints it, and never answers.

    python consumer.py [PORT]

producer.py is its counterpart.  While ``consume`` is busy with one message, the next ones wait in
the connection's queue; when that is full, the client is made to wait.  Nothing is lost, and a fast
client costs no more memory than a slow one.
"""

import sys

import trio

from trio_ws import ConnectionBroken, Server, WebSocket, serve_websocket


async def consume(message: str | bytes) -> None:
    """Do something with a message; yours may well take its time."""
    print(f"got {message!r}")
    await trio.lowlevel.checkpoint()


async def consumer(ws: WebSocket) -> None:
    """Consume what one client sends, and tell the two ways apart in which that ends."""
    try:
        async for message in ws:
            await consume(message)
        print("that was all")
    except ConnectionBroken as closed:
        print(f"there may have been more: {closed}")


async def main() -> None:
    """Serve until Ctrl-C."""
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8765
    async with trio.open_nursery() as nursery:
        server: Server = await nursery.start(serve_websocket, consumer, "localhost", port)
        print(f"serving on ws://localhost:{server.port}/")


if __name__ == "__main__":
    trio.run(main)
