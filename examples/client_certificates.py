"""Clients that show a certificate: TLS says who they are before a byte of HTTP.

    python client_certificates.py

Needs trustme, for certificates of a moment: pip install 'trio_ws[testing]'
"""

import ssl

import trio
import trustme

from trio_ws import Server, WebSocket, WebSocketError, open_websocket_url, serve_websocket

authority = trustme.CA()
TRUSTED = authority.cert_pem.bytes().decode()  # yours is a file: cafile="authority.pem"


def make_context(purpose: ssl.Purpose, *identities: str) -> ssl.SSLContext:
    """Make a context that trusts the authority, with certificates for these identities."""
    context = ssl.create_default_context(purpose, cadata=TRUSTED)
    for identity in identities:
        with authority.issue_cert(identity).private_key_and_cert_chain_pem.tempfile() as path:
            context.load_cert_chain(path)
    return context


async def greet(ws: WebSocket) -> None:
    """Tell a client who it is; TLS has verified that."""
    tls = ws.request.tls
    if tls is not None and tls.peer_certificate is not None:
        await ws.send(f"you are {tls.peer_certificate['subjectAltName']}")


async def main() -> None:
    """Come with a certificate, and without."""
    context = make_context(ssl.Purpose.CLIENT_AUTH, "localhost")
    context.verify_mode = ssl.CERT_REQUIRED
    async with trio.open_nursery() as nursery:
        server: Server = await nursery.start(serve_websocket, greet, "localhost", 0, context)
        for identities in (["ada@example.com"], []):
            client = make_context(ssl.Purpose.SERVER_AUTH, *identities)
            try:
                async with open_websocket_url(f"wss://localhost:{server.port}/", client) as ws:
                    print(await ws.receive())
            except WebSocketError as error:
                print(f"{type(error).__name__}: {error}")
        await server.aclose()


if __name__ == "__main__":
    trio.run(main)
