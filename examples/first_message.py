"""Who may take part: the first message says it, after the connection is open.

    python first_message.py [PORT]

This works from every client and leaves no secret in a URL.  Its price: a stranger gets as far as
your handler, so the handler has to bound how long and how large that message may be.
"""

import hmac
import sys
from functools import partial

import trio

from trio_ws import Limits, Server, WebSocket, serve_websocket

TOKENS = {"f3b1c0": "Ada"}
PATIENCE = 5  # seconds


async def identify(ws: WebSocket) -> str | None:
    """Return who this is, ``None`` if it does not say so in time."""
    with trio.move_on_after(PATIENCE):
        token = str(await ws.receive()).encode()
        for known, user in TOKENS.items():
            if hmac.compare_digest(known.encode(), token):
                return user
    return None


async def handler(ws: WebSocket) -> None:
    """Greet those we know, and echo what they say."""
    user = await identify(ws)
    if user is None:
        await ws.aclose(4401, "who are you?")  # 4000 to 4999 are for applications
        return
    await ws.send(f"hello {user}")
    async for message in ws:
        await ws.send(message)


async def main() -> None:
    """Serve until Ctrl-C."""
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8765
    serve = partial(serve_websocket, limits=Limits(max_message_size=4096))
    async with trio.open_nursery() as nursery:
        server: Server = await nursery.start(serve, handler, "localhost", port)
        print(f"serving on ws://localhost:{server.port}/")


if __name__ == "__main__":
    trio.run(main)
