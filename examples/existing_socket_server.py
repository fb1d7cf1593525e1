"""A WebSocket over a stream that somebody else accepted: here, Trio's own TCP server.

    python existing_socket_server.py [PORT]

For inherited sockets, tunnels, tests in memory: any trio.abc.Stream will do.  `wrap_server_stream`
owns the stream and closes it.  It knows of no other connection, so what `serve_websocket` does for
its handlers is ours to do here: see to it that one bad connection does not end the server.
"""

import sys
from functools import partial

import trio

from trio_ws import WebSocketError, wrap_server_stream


async def serve_stream(stream: trio.SocketStream) -> None:
    """Echo over one stream, whatever becomes of it."""
    try:
        async with wrap_server_stream(stream) as ws:
            async for message in ws:
                await ws.send(message)
    except WebSocketError as error:  # no WebSocket request at all, or a connection that broke
        print(f"lost: {error}")


async def main() -> None:
    """Serve until Ctrl-C."""
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8765
    serve = partial(trio.serve_tcp, serve_stream, port, host="127.0.0.1")
    async with trio.open_nursery() as nursery:
        listeners: list[trio.SocketListener] = await nursery.start(serve)
        host, port = listeners[0].socket.getsockname()
        print(f"serving on ws://{host}:{port}/")


if __name__ == "__main__":
    trio.run(main)
