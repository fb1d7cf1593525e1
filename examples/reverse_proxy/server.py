"""A server behind nginx or HAProxy, which tells its clients who they are.

    python server.py [PORT]

Beside it: nginx.conf and haproxy.cfg, for one of the two before it.
"""

import ipaddress
import sys
from functools import partial
from typing import Any

import trio

from trio_ws import Accept, Request, Server, WebSocket, serve_websocket

PROXIES = {"127.0.0.1", "::1"}


def client_address(request: Request) -> str:
    """Return who asked: what our own proxy says in the last X-Forwarded-For, if it was that.

    What stands before the last entry came from outside, so anybody may have written it.
    """
    address: Any = request.peer_address
    peer = str(address[0]) if address else ""  # a Unix socket's peer has no address
    entries = request.headers.get("X-Forwarded-For", "").split(",")
    try:
        return str(ipaddress.ip_address(entries[-1].strip())) if peer in PROXIES else peer
    except ValueError:  # no proxy was in between
        return peer


async def tell(ws: WebSocket) -> None:
    """Tell the client its address, then echo."""
    await ws.send(f"you are {ws.context}")
    async for message in ws:
        await ws.send(message)


async def main() -> None:
    """Serve until Ctrl-C, to this machine alone."""
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8765
    serve = partial(
        serve_websocket,
        process_request=lambda request: Accept(context=client_address(request)),
    )
    async with trio.open_nursery() as nursery:
        server: Server = await nursery.start(serve, tell, "127.0.0.1", port)
        print(f"serving on ws://127.0.0.1:{server.port}/")


if __name__ == "__main__":
    trio.run(main)
