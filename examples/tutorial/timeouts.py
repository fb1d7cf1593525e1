"""Tutorial: a client that does not wait for ever, and a server that takes its time.

    python timeouts.py

Server and clients are tasks of one process.
"""

import trio

from trio_ws import Server, WebSocket, open_websocket_url, serve_websocket


async def slow_echo(ws: WebSocket) -> None:
    """Send back what comes, a second later."""
    try:
        async for message in ws:
            await trio.sleep(1)
            await ws.send(message)
    finally:
        print(f"server: the client said {ws.close_received}")


async def lose_patience_once(url: str) -> None:
    """Wait for one call a while, and then once more."""
    async with open_websocket_url(url) as ws:
        await ws.send("hello")
        with trio.move_on_after(0.3) as patience:
            print(await ws.receive())
        if patience.cancelled_caught:
            print("client: no answer in 0.3 seconds")
        print(f"client: now there is one, {await ws.receive()!r}")


async def lose_patience_for_good(url: str) -> None:
    """Give a whole conversation a while, and give it up."""
    with trio.move_on_after(0.3):
        async with open_websocket_url(url) as ws:
            await ws.send("hello again")
            print(await ws.receive())
    print("client: enough of this")


async def main() -> None:
    """Be both clients, one after the other."""
    async with trio.open_nursery() as nursery:
        server: Server = await nursery.start(serve_websocket, slow_echo, "localhost", 0)
        url = f"ws://localhost:{server.port}/"
        await lose_patience_once(url)
        await lose_patience_for_good(url)
        await server.aclose()


if __name__ == "__main__":
    trio.run(main)
