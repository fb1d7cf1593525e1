"""A graceful shutdown: on SIGTERM or Ctrl-C every client is told, and handlers may finish.

    python graceful_shutdown.py [PORT]

`Server.aclose` stops listening, closes every connection with 1001 (going away), and waits for the
handlers, up to ``grace`` seconds; those still running then are cancelled.  Clients that reconnect
find the next server.  A second signal, while that goes on, ends the process at once.
"""

import signal
import sys

import trio

from trio_ws import Server, WebSocket, serve_websocket


async def echo(ws: WebSocket) -> None:
    """Send back what comes; during a drain the loop ends as after a clean close."""
    async for message in ws:
        await ws.send(message)
    print(f"goodbye to one client, {ws.statistics().messages_sent} messages sent")


async def main() -> None:
    """Serve until a signal comes, then drain."""
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8765
    async with trio.open_nursery() as nursery:
        with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
            server: Server = await nursery.start(serve_websocket, echo, "localhost", port)
            print(f"serving on ws://localhost:{server.port}/")
            number = await anext(signals)
        print(f"{signal.Signals(number).name}: closing {len(server.connections)} connections")
        await server.aclose(reason="the server is restarting", grace=5)
    print("done")


if __name__ == "__main__":
    trio.run(main)
