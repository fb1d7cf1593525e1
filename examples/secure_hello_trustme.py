"""A test rig with real TLS: server and client in one process, with a certificate of a moment.

    python secure_hello_trustme.py

Nothing is written to disk and nobody else trusts this certificate.  The same lines make a test:
put them into an async test function and assert instead of printing.

Needs trustme: pip install 'trio_ws[testing]'
"""

import trio

from trio_ws import Server, WebSocket, open_websocket_url, serve_websocket
from trio_ws.testing import tls_contexts


async def hello(ws: WebSocket) -> None:
    """Greet whoever says a name."""
    name = await ws.receive()
    await ws.send(f"Hello {name!s}, nobody else can read this!")


async def main() -> None:
    """Serve on a free port, connect to it, and end both."""
    contexts = tls_contexts("localhost")
    async with trio.open_nursery() as nursery:
        server: Server = await nursery.start(
            serve_websocket, hello, "localhost", 0, contexts.server
        )
        url = f"wss://localhost:{server.port}/"
        print(f"serving on {url}")
        async with open_websocket_url(url, contexts.client) as ws:
            await ws.send("Ada")
            print(await ws.receive())
            if ws.request.tls is not None:
                print(f"over {ws.request.tls.version}")
        await server.aclose()


if __name__ == "__main__":
    trio.run(main)
