"""Who may connect, from a browser: a session in a cookie, or a one-time ticket in the URL.

    python sessions.py [PORT]

A page cannot set headers of its WebSocket, but its cookies come by themselves.  Logging in is the
business of your web application; here ``GET /`` stands for that, and gives cookie and ticket.
"""

import secrets
import sys
from functools import partial
from http.cookies import SimpleCookie
from urllib.parse import parse_qs

import trio

from trio_ws import Accept, Request, Response, Server, WebSocket, serve_websocket

# Users by secret.  Yours are in a database that both programs can reach, and they expire.
sessions: dict[str, str] = {}
tickets: dict[str, str] = {}


def log_in(user: str) -> Response:
    """Answer somebody who has just proved who it is."""
    session, ticket = secrets.token_urlsafe(), secrets.token_urlsafe()
    sessions[session] = tickets[ticket] = user
    cookie = f"session={session}; HttpOnly; SameSite=Strict"  # with TLS also: Secure
    return Response(200, {"Set-Cookie": cookie}, ticket)


def identify(request: Request) -> Accept | Response:
    """Let in who has a session or a ticket; its user becomes ``ws.context``."""
    if not request.is_upgrade:
        return log_in("Ada")
    cookies = SimpleCookie(request.headers.get("Cookie", ""))
    session = cookies["session"].value if "session" in cookies else ""
    ticket = parse_qs(request.query).get("ticket", [""])[0]
    # A URL is written to logs, so a ticket counts once.
    user = sessions.get(session) or tickets.pop(ticket, None)
    return Accept(context=user) if user else Response(401, body="log in first")


async def greet(ws: WebSocket) -> None:
    """Tell a client who it is."""
    await ws.send(f"you are {ws.context}")


async def main() -> None:
    """Serve until Ctrl-C."""
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8765
    async with trio.open_nursery() as nursery:
        serve = partial(serve_websocket, process_request=identify)
        server: Server = await nursery.start(serve, greet, "localhost", port)
        print(f"http://localhost:{server.port}/")


if __name__ == "__main__":
    trio.run(main)
