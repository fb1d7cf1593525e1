"""Server and client in one process: the first example of the README.

    python hello.py

It prints what the client said, as the server sent it back.
"""

import trio

from trio_ws import Server, WebSocket, open_websocket_url, serve_websocket


async def echo(ws: WebSocket) -> None:
    """Send every message back: a str is text, bytes are binary."""
    async for message in ws:
        await ws.send(message)


async def main() -> None:
    """Serve on a free port, and talk to that server."""
    async with trio.open_nursery() as nursery:
        server: Server = await nursery.start(serve_websocket, echo, "localhost", 0)
        async with open_websocket_url(f"ws://localhost:{server.port}/") as ws:
            await ws.send("hello")
            print(await ws.receive())
        await server.aclose()


if __name__ == "__main__":
    trio.run(main)
