"""Renewed certificates without a restart: SIGHUP has the files read again.

    python reload_certificates.py CERTIFICATE KEY [PORT]

Connections that are open go on as they are; new ones get the new certificate.
"""

import signal
import ssl
import sys

import trio

from trio_ws import Server, WebSocket, serve_websocket


async def echo(ws: WebSocket) -> None:
    """Send back what comes."""
    async for message in ws:
        await ws.send(message)


def server_context(certificate: str, key: str) -> ssl.SSLContext:
    """Make the context of a server from files in PEM format."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    return context


def renew(context: ssl.SSLContext, certificate: str, key: str) -> None:
    """Read the files into a context in use, if they are good."""
    try:
        # First into one that nobody uses: half a renewal must not replace what works.
        server_context(certificate, key)
        context.load_cert_chain(certificate, key)
        print("new connections get the new certificate")
    except OSError as error:  # ssl.SSLError is one
        print(f"the old certificate stays: {error}")


async def main() -> None:
    """Serve until Ctrl-C, and renew at each SIGHUP."""
    certificate, key = sys.argv[1:3]
    port = int(sys.argv[3]) if len(sys.argv) > 3 else 8765
    context = server_context(certificate, key)
    with trio.open_signal_receiver(signal.SIGHUP) as signals:
        async with trio.open_nursery() as nursery:
            server: Server = await nursery.start(serve_websocket, echo, "localhost", port, context)
            print(f"serving on wss://localhost:{server.port}/")
            async for _ in signals:
                renew(context, certificate, key)


if __name__ == "__main__":
    trio.run(main)
