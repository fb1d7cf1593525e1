"""The library as the suite sees it, one role a process: ``python -m tests.autobahn.driver``.

Whatever comes is sent back, until the suite closes.  Keepalive is off, for the suite takes an
unexpected ping for a mistake, and the limits leave room for the messages of its section 9.
"""

import argparse
import functools
import math
import sys
from contextlib import suppress
from typing import Literal, TypedDict

import trio

from trio_ws import (
    ConnectionClosed,
    Keepalive,
    Limits,
    Server,
    WebSocket,
    open_websocket_url,
    serve_websocket,
)

# Cases 9.1.6 and 9.3.1: a message of 16 MiB; one of 4 MiB in fragments of 64 bytes.
_LIMITS = Limits(max_message_size=16 * 1024 * 1024, max_fragments=65_537)
_KEEPALIVE = Keepalive(interval=math.inf)


class Options(TypedDict):
    """What both roles take."""

    limits: Limits
    keepalive: Keepalive
    compression: Literal["deflate"] | None


async def echo(ws: WebSocket) -> None:
    """Send back what comes, until the end; how the suite ends it is for the suite to judge."""
    with suppress(ConnectionClosed):
        async for message in ws:
            await ws.send(message)


async def be_client(url: str, agent: str, *, options: Options) -> None:
    """Connect to the suite once for each of its cases, and have it write the report."""
    async with open_websocket_url(f"{url}/getCaseCount", **options) as ws:
        count = int(await ws.receive())
    for number in range(1, count + 1):
        case = f"{url}/runCase?case={number}&agent={agent}"
        async with open_websocket_url(case, **options) as ws:
            await echo(ws)
    async with open_websocket_url(f"{url}/updateReports?agent={agent}", **options) as ws:
        await ws.wait_closed()


async def be_server(*, options: Options) -> None:
    """Serve for ever on a free port, and print which it is."""
    async with trio.open_nursery() as nursery:
        serve = functools.partial(serve_websocket, echo, "127.0.0.1", 0, **options)
        server: Server = await nursery.start(serve)
        sys.stdout.write(f"{server.port}\n")
        sys.stdout.flush()


def main() -> None:
    """Play the role that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--deflate", action="store_true", help="allow compression")
    roles = parser.add_subparsers(dest="role", required=True)
    roles.add_parser("server")
    client = roles.add_parser("client")
    client.add_argument("url")
    client.add_argument("agent")
    arguments = parser.parse_args()
    options: Options = {
        "limits": _LIMITS,
        "keepalive": _KEEPALIVE,
        "compression": "deflate" if arguments.deflate else None,
    }
    if arguments.role == "client":
        run = functools.partial(be_client, arguments.url, arguments.agent, options=options)
    else:
        run = functools.partial(be_server, options=options)
    trio.run(run)


if __name__ == "__main__":
    main()
