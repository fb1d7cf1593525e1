"""Several paths on one port: rooms, a list of them, and a page for everybody (extra ``routing``).

    python routes.py [PORT]

The rooms are ws://localhost:8765/rooms/kitchen and /rooms/garden.  They want a token, and so does
the list, /rooms: the header ``Authorization: Bearer f3b1c0``.
"""

import sys

import trio

from trio_ws import Request, Response, Router, WebSocket, bearer_auth, broadcast, serve_websocket

rooms: dict[str, set[WebSocket]] = {"kitchen": set(), "garden": set()}
router = Router(process_request=bearer_auth({"f3b1c0": "Ada", "77ab2e": "Grace"}))


@router.websocket("/rooms/<any(kitchen, garden):name>")
async def room(ws: WebSocket, name: str) -> None:
    """Let a client take part in one room; who it is, its token has said."""
    members = rooms[name]
    members.add(ws)
    try:
        async for message in ws:
            broadcast(members, f"{ws.context}: {message!s}", when_full="close")
    finally:
        members.remove(ws)


@router.page("/rooms")
def list_rooms(_request: Request) -> Response:
    """Say how many are where; the router asks for a token here too."""
    return Response(200, body="\n".join(f"{name}: {len(rooms[name])}" for name in rooms))


@router.page("/", process_request=lambda _request: None)
def front_page(_request: Request) -> Response:
    """Answer everybody: its own ``process_request`` stands in for the router's."""
    return Response(200, {"Content-Type": "text/html"}, "<h1>Two rooms</h1>")


async def main(port: int) -> None:
    """Serve until Ctrl-C; the router is both the handler and what answers requests."""
    async with trio.open_nursery() as nursery:
        server = await nursery.start(serve_websocket, router, "localhost", port)
        print(f"serving on http://localhost:{server.port}/")


if __name__ == "__main__":
    trio.run(main, int(sys.argv[1]) if len(sys.argv) > 1 else 8765)
