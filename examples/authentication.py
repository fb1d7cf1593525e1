"""Who may connect: a password or a token, in the Authorization header of the request.

    python authentication.py

``process_request`` decides before there is a WebSocket, and what it finds out reaches the handler
as ``ws.context``.  Without TLS anybody on the way can read both.
"""

from functools import partial

import trio

from trio_ws import (
    ConnectionRejected,
    Server,
    WebSocket,
    basic_auth,
    bearer_auth,
    open_websocket_url,
    serve_websocket,
)

by_password = basic_auth({"ada": "lovelace"})  # or a function of user and password
by_token = bearer_auth({"f3b1c0": "a script of Ada's"})  # or a function of the token


async def greet(ws: WebSocket) -> None:
    """Tell a client who it is."""
    await ws.send(f"you are {ws.context}")


async def attempt(url: str, **headers: str) -> None:
    """Connect, and print how that goes."""
    try:
        async with open_websocket_url(url, headers=headers) as ws:
            print(await ws.receive())
    except ConnectionRejected as rejected:
        print(f"refused: {rejected.response.status}")


async def main() -> None:
    """Try both ways in, with the right words and the wrong ones."""
    async with trio.open_nursery() as nursery:
        serve = partial(serve_websocket, process_request=by_password)
        server: Server = await nursery.start(serve, greet, "localhost", 0)
        await attempt(f"ws://ada:lovelace@localhost:{server.port}/")
        await attempt(f"ws://ada:babbage@localhost:{server.port}/")
        await server.aclose()
        serve = partial(serve_websocket, process_request=by_token)
        server = await nursery.start(serve, greet, "localhost", 0)
        await attempt(f"ws://localhost:{server.port}/", Authorization="Bearer f3b1c0")
        await attempt(f"ws://localhost:{server.port}/")
        await server.aclose()


if __name__ == "__main__":
    trio.run(main)
