"""One of several servers on one port, joined by Redis; workers.py runs one for each core.

    python worker.py REDIS-URL PORT

With SO_REUSEPORT each has a socket of its own on the port, and the kernel spreads the connections.
What a client of one says reaches the clients of all through Redis; a `MemoryBroker` would reach
those of this process.  On a signal it drains: clients are told, and come back to another worker.
"""

import os
import signal
import sys
from functools import partial

import trio

from trio_ws import Server, WebSocket, run_siblings, serve_websocket_listeners
from trio_ws.pubsub import Broker, open_redis_broker


async def handler(broker: Broker, ws: WebSocket) -> None:
    """Tell everybody, whichever worker they have, what this client says."""

    async def speak() -> None:
        async for message in ws:
            await broker.publish("everybody", message)

    async def hear() -> None:
        async for message in subscription:  # after MessagesMissed the client is to start afresh
            await ws.send(message)

    async with broker.subscribe("everybody") as subscription:
        await ws.send(f"worker {os.getpid()}")
        await run_siblings(speak, hear)


async def listen(port: int) -> trio.SocketListener:
    """Listen on a port that others may listen on too."""
    sock = trio.socket.socket()
    sock.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_REUSEPORT, 1)
    await sock.bind(("127.0.0.1", port))
    sock.listen()
    return trio.SocketListener(sock)


async def main(url: str, port: int) -> None:
    """Serve until a signal comes, then drain."""
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async with open_redis_broker(url) as broker, trio.open_nursery() as nursery:
            serve = partial(serve_websocket_listeners, partial(handler, broker))
            server: Server = await nursery.start(serve, [await listen(port)])
            print(f"worker {os.getpid()} serves")
            await anext(signals)
            await server.aclose(reason="this worker is restarting", grace=4)


if __name__ == "__main__":
    trio.run(main, sys.argv[1], int(sys.argv[2]))
