"""Sending from a worker thread: blocking work that reports how far it is.

    python from_thread.py [PORT]

Blocking code would stop the event loop and with it every connection, so it runs in a thread.  A
thread must not touch a WebSocket itself; ``trio.from_thread.run`` has Trio do it and waits until
it is done.  When the connection is gone, that call raises, and so the work ends early.
"""

import hashlib
import sys

import trio

from trio_ws import Server, WebSocket, serve_websocket

ROUNDS = 4


def stretch(ws: WebSocket, password: bytes) -> str:
    """Do something slow, in a worker thread, with an interim report after each round."""
    for done in range(1, ROUNDS + 1):
        password = hashlib.pbkdf2_hmac("sha256", password, b"salt", 50_000)
        trio.from_thread.run(ws.send, f"round {done} of {ROUNDS}")
    return password.hex()


async def handler(ws: WebSocket) -> None:
    """Stretch each password that comes; pings are answered meanwhile."""
    async for message in ws:
        password = message.encode() if isinstance(message, str) else message
        await ws.send(await trio.to_thread.run_sync(stretch, ws, password))


async def main() -> None:
    """Serve until Ctrl-C."""
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8765
    async with trio.open_nursery() as nursery:
        server: Server = await nursery.start(serve_websocket, handler, "localhost", port)
        print(f"serving on ws://localhost:{server.port}/")


if __name__ == "__main__":
    trio.run(main)
