"""The server that the attacks are driven against, in a process of its own.

python -m tests.stress.target OPTIONS: prints its port, and serves until its stdin ends.
"""

import json
import logging
import math
import os
import socket
import struct
import sys
import time
from contextlib import suppress
from typing import Any

import trio

from tests.stress.measure import allow_many_descriptors
from trio_ws import (
    ConnectionClosed,
    Keepalive,
    Limits,
    Server,
    Timeouts,
    WebSocket,
    broadcast,
    serve_websocket_listeners,
)

# In bytes, of the kernel, for each connection; it takes twice that.
RECEIVE_BUFFER = 128 * 1024


members: set[WebSocket] = set()


async def feed(rate: float) -> None:
    """Tell everybody at /feed what time it is, so often a second."""
    due = trio.current_time()
    while True:
        message = struct.pack("!d", time.perf_counter()) + bytes(992)
        broadcast(members, message, when_full="drop")
        due += 1 / rate
        await trio.sleep_until(due)


async def handle(ws: WebSocket) -> None:
    """Do what the target of the request says: echo, receive, receive slowly, or send."""
    with suppress(ConnectionClosed):
        match ws.request.target:
            case "/feed":
                members.add(ws)
                try:
                    await ws.discard_messages()
                finally:
                    members.remove(ws)
            case "/receive":
                await ws.discard_messages()
            case "/send":
                while True:
                    await ws.send(bytes(10_000))
            case "/slow":
                async for _ in ws:
                    await trio.sleep(0.1)
            case _:
                async for message in ws:
                    await ws.send(message)


async def main(options: dict[str, Any]) -> None:
    """Serve."""
    get = options.get
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    # Or else the kernel keeps up to 32 MiB of a flood for us to read when its sender is long gone.
    listener.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)

    async def serve(task_status: trio.TaskStatus[Server]) -> None:
        await serve_websocket_listeners(
            handle,
            [listener],
            limits=Limits(max_message_size=get("max_message_size", 2**20)),
            timeouts=Timeouts(open=get("open", 10), stall=get("stall", 20), close=1),
            keepalive=Keepalive(interval=get("interval", math.inf), timeout=get("timeout", 20)),
            task_status=task_status,
        )

    async with trio.open_nursery() as nursery, trio.lowlevel.FdStream(os.dup(0)) as stdin:
        server: Server = await nursery.start(serve)
        if "feed" in options:
            nursery.start_soon(feed, options["feed"])
        sys.stdout.write(f"{server.port}\n")
        sys.stdout.flush()
        await stdin.receive_some()
        nursery.cancel_scope.cancel()


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING)
    allow_many_descriptors()
    trio.run(main, json.loads(sys.argv[1]))
