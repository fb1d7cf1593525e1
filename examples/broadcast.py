"""Broadcast: one message to everybody; whoever is too slow for it is let go.

    python broadcast.py

Two clients read what the server sends and one does not.  ``broadcast`` waits for nobody: the
third one's buffer fills up, and it is closed with 1013.  With ``when_full="drop"`` it would stay
and miss pictures until it reads.
"""

import trio

from trio_ws import Server, WebSocket, broadcast, open_websocket_url, serve_websocket

PICTURE = bytes(256 * 1024)
watching: set[WebSocket] = set()
everybody_is_here = trio.Event()


async def watch(ws: WebSocket) -> None:
    """Keep one connection among those that watch, for as long as it stays."""
    watching.add(ws)
    if len(watching) == 3:
        everybody_is_here.set()
    try:
        await ws.discard_messages()
    finally:
        watching.remove(ws)


async def read(url: str) -> None:
    """Take pictures as they come."""
    async with open_websocket_url(url) as ws:
        async for _ in ws:
            pass


async def stare(url: str) -> None:
    """Take no pictures."""
    async with open_websocket_url(url):
        await trio.sleep_forever()


async def main() -> None:
    """Send pictures until somebody was too slow."""
    async with trio.open_nursery() as nursery:
        server: Server = await nursery.start(serve_websocket, watch, "localhost", 0)
        for client in (read, read, stare):
            nursery.start_soon(client, f"ws://localhost:{server.port}/")
        await everybody_is_here.wait()
        result = broadcast(watching, PICTURE, when_full="close")
        while not result.closed:
            await trio.sleep(0.01)
            result = broadcast(watching, PICTURE, when_full="close")
        print(f"{len(result.sent)} got the last picture, {len(result.closed)} was too slow")
        nursery.cancel_scope.cancel()


if __name__ == "__main__":
    trio.run(main)
