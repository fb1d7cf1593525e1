"""Both at once: one sibling takes jobs from the client, another sends the results.

    python consumer_and_producer.py [PORT]

Sending and receiving do not wait for each other, and the channel between them bounds what may pile
up: a client that sends jobs faster than it takes results is made to wait.  Whichever sibling ends
first ends the other, and an error in either comes out as it was raised.
"""

import sys
from functools import partial

import trio

from trio_ws import Server, WebSocket, run_siblings, serve_websocket


async def consume(ws: WebSocket, jobs: trio.MemorySendChannel[str | bytes]) -> None:
    """Take the client's messages as jobs."""
    async for message in ws:
        await jobs.send(message)


async def produce(ws: WebSocket, jobs: trio.MemoryReceiveChannel[str | bytes]) -> None:
    """Greet, and then do one job after the other."""
    await ws.send("send me words")
    async for job in jobs:
        await ws.send(job[::-1])


async def handler(ws: WebSocket) -> None:
    """Run both for one client; when the client closes, `consume` returns and `produce` ends."""
    send_jobs, receive_jobs = trio.open_memory_channel[str | bytes](10)
    with send_jobs, receive_jobs:
        await run_siblings(partial(consume, ws, send_jobs), partial(produce, ws, receive_jobs))


async def main() -> None:
    """Serve until Ctrl-C."""
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8765
    async with trio.open_nursery() as nursery:
        server: Server = await nursery.start(serve_websocket, handler, "localhost", port)
        print(f"serving on ws://localhost:{server.port}/")


if __name__ == "__main__":
    trio.run(main)
