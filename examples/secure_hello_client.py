"""A client with TLS, and what it looks like when the server's certificate is not to be trusted.

    python secure_hello_client.py [URL [CERTIFICATES]]

Run secure_hello_server.py first.  CERTIFICATES is a PEM file of those to trust; for a certificate
that you made yourself, that certificate.  Without it the system's authorities decide, as they do
in a browser, and for a public ``wss`` URL no ssl_context is needed at all.
"""

import ssl
import sys

import trio

from trio_ws import TLSFailed, open_websocket_url


async def main() -> None:
    """Greet, or say why the server is not to be trusted."""
    url = sys.argv[1] if len(sys.argv) > 1 else "wss://localhost:8765/"
    trusted = sys.argv[2] if len(sys.argv) > 2 else None
    ssl_context = ssl.create_default_context(cafile=trusted)
    try:
        async with open_websocket_url(url, ssl_context) as ws:
            await ws.send("Ada")
            print(await ws.receive())
    except TLSFailed as error:
        sys.exit(f"no connection: {error}")


if __name__ == "__main__":
    trio.run(main)
