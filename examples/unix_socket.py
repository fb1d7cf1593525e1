"""Over a Unix socket, server and client: for processes on one machine.

    python unix_socket.py

Who may connect is a matter of file permissions; here the socket lies in a directory that only our
own user may enter.
"""

import tempfile

import trio

from trio_ws import Server, WebSocket, open_websocket_unix, serve_websocket_listeners


async def echo(ws: WebSocket) -> None:
    """Send back what comes."""
    async for message in ws:
        await ws.send(message)


async def listen(path: str) -> trio.SocketListener:
    """Listen at this path."""
    sock = trio.socket.socket(trio.socket.AF_UNIX, trio.socket.SOCK_STREAM)
    await sock.bind(path)
    sock.listen()
    return trio.SocketListener(sock)


async def main() -> None:
    """Serve, connect, and end both."""
    with tempfile.TemporaryDirectory() as directory:
        path = f"{directory}/echo"
        listeners = [await listen(path)]
        async with trio.open_nursery() as nursery:
            server: Server = await nursery.start(serve_websocket_listeners, echo, listeners)
            print(f"serving on {path}")
            async with open_websocket_unix(path) as ws:
                await ws.send("no port in sight")
                print(await ws.receive())
            await server.aclose()


if __name__ == "__main__":
    trio.run(main)
