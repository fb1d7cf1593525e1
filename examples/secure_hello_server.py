"""A server with TLS: the ``wss`` of hello_server.py.

    python secure_hello_server.py CERTIFICATE KEY [PORT]

Both files are in PEM format.  To try it out, make a certificate for your own machine:

    openssl req -x509 -newkey rsa:2048 -nodes -days 30 -keyout key.pem -out certificate.pem \
        -subj /CN=localhost -addext subjectAltName=DNS:localhost
"""

import ssl
import sys

import trio

from trio_ws import Server, WebSocket, serve_websocket


async def hello(ws: WebSocket) -> None:
    """Greet whoever says a name."""
    name = await ws.receive()
    await ws.send(f"Hello {name!s}, nobody else can read this!")


async def main() -> None:
    """Serve until Ctrl-C."""
    certificate, key = sys.argv[1:3]
    port = int(sys.argv[3]) if len(sys.argv) > 3 else 8765
    ssl_context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    ssl_context.load_cert_chain(certificate, key)
    async with trio.open_nursery() as nursery:
        server: Server = await nursery.start(serve_websocket, hello, "localhost", port, ssl_context)
        print(f"serving on wss://localhost:{server.port}/")


if __name__ == "__main__":
    trio.run(main)
