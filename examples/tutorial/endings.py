"""Tutorial: three ways in which a client may leave, and what the server sees.

    python endings.py

Server and clients are tasks of one process.
"""

import trio

from trio_ws import ConnectionClosed, Server, WebSocket, open_websocket_url, serve_websocket


async def handler(ws: WebSocket) -> None:
    """Print what one client sends, and how it ends."""
    try:
        async for message in ws:
            print(f"  received {message!r}")
        print("  the loop ended")
    except ConnectionClosed as closed:
        print(f"  the loop raised {type(closed).__name__} with code {closed.code}")


async def main() -> None:
    """Be those three clients, one after the other."""
    async with trio.open_nursery() as nursery:
        server: Server = await nursery.start(serve_websocket, handler, "localhost", 0)
        url = f"ws://localhost:{server.port}/"

        print("one leaves the block:")
        async with open_websocket_url(url) as ws:
            await ws.send("goodbye")

        print("one has a reason:")
        async with open_websocket_url(url) as ws:
            await ws.send("you bore me")
            await ws.aclose(4000, "bored")

        print("one pulls the plug:")
        async with open_websocket_url(url) as ws:
            await ws.send("hel")
            await ws.stream.aclose()

        await server.aclose()


if __name__ == "__main__":
    trio.run(main)
