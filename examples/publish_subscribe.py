"""Rooms: what somebody says in a room is heard by all who are in it, in whichever process.

    python publish_subscribe.py [PORT [REDIS-URL]]

The path names the room: ws://localhost:8765/kitchen.  Any number of these that are given the same
Redis (redis://localhost) share their rooms; without one, the rooms are of this process alone.
"""

import sys
from contextlib import AbstractAsyncContextManager, nullcontext
from functools import partial

import trio

from trio_ws import Server, WebSocket, run_siblings, serve_websocket
from trio_ws.pubsub import Broker, MemoryBroker, MessagesMissed, Subscription, open_redis_broker


async def hear(subscription: Subscription, ws: WebSocket) -> None:
    """Tell the client what is said, and when it may have missed something."""
    while True:
        try:
            await ws.send(await subscription.receive())
        except MessagesMissed:
            await ws.send("(you may have missed something)")


async def speak(broker: Broker, ws: WebSocket) -> None:
    """Tell the room what the client says."""
    async for message in ws:
        await broker.publish(ws.request.target, message)


async def member(broker: Broker, ws: WebSocket) -> None:
    """Let a client be in a room for as long as it stays."""
    async with broker.subscribe(ws.request.target) as subscription:
        await ws.send(f"(you are in {ws.request.target})")
        await run_siblings(partial(speak, broker, ws), partial(hear, subscription, ws))


async def main() -> None:
    """Serve until Ctrl-C."""
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8765
    opening: AbstractAsyncContextManager[Broker] = nullcontext(MemoryBroker())
    if len(sys.argv) > 2:
        opening = open_redis_broker(sys.argv[2])
    async with opening as broker, trio.open_nursery() as nursery:
        serve = partial(serve_websocket, partial(member, broker), "localhost", port)
        server: Server = await nursery.start(serve)
        print(f"serving on ws://localhost:{server.port}/")


if __name__ == "__main__":
    trio.run(main)
