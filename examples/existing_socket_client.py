"""A WebSocket over a stream that you connected yourself, here to set an option of its socket.

    python existing_socket_client.py [HOST [PORT]]

Run echo.py or existing_socket_server.py first.  `wrap_client_stream` owns the stream and closes
it.  The URL says what the request asks for; where it goes was settled when the stream was made.
"""

import sys

import trio

from trio_ws import wrap_client_stream


async def main() -> None:
    """Connect, then speak WebSocket over that connection."""
    host = sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1"
    port = int(sys.argv[2]) if len(sys.argv) > 2 else 8765
    stream = await trio.open_tcp_stream(host, port)
    stream.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_RCVBUF, 1024 * 1024)
    async with wrap_client_stream(stream, f"ws://{host}:{port}/") as ws:
        await ws.send("over a socket of my own")
        print(await ws.receive())


if __name__ == "__main__":
    trio.run(main)
