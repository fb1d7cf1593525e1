"""Tutorial: the chat over TLS, with a certificate and its key from files.

    python chat_tls.py CERTIFICATE KEY [PORT]

Both files are in PEM format.
"""

import ssl
import sys
from functools import partial

import trio

from chat import Room, answer
from trio_ws import Server, serve_websocket


async def main() -> None:
    """Serve until Ctrl-C."""
    certificate, key = sys.argv[1:3]
    port = int(sys.argv[3]) if len(sys.argv) > 3 else 8765
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    serve = partial(serve_websocket, process_request=answer)
    async with trio.open_nursery() as nursery:
        server: Server = await nursery.start(serve, Room().chat, "localhost", port, context)
        print(f"https://localhost:{server.port}/")


if __name__ == "__main__":
    trio.run(main)
