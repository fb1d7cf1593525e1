"""Tutorial: a chat for browsers, page and all: ``python chat.py [PORT]``."""

import sys
from functools import partial
from pathlib import Path

import trio

from trio_ws import Request, Response, Server, WebSocket, broadcast, serve_websocket

PAGE = Path(__file__).with_name("chat.html").read_bytes()
PATIENCE = 60  # seconds to say a name


class Room:
    """The people of a chat."""

    def __init__(self) -> None:
        self.members: dict[WebSocket, str] = {}

    def tell_all(self, text: str) -> None:
        """Send a line to everybody; whoever does not keep up is closed."""
        broadcast(self.members, text, when_full="close")

    async def chat(self, ws: WebSocket) -> None:
        """Serve one client: its first message is its name, the others are what it says."""
        name = ""
        with trio.move_on_after(PATIENCE):
            name = str(await ws.receive())[:20]
        if not name:
            await ws.aclose(1008, "who are you?")
            return
        self.members[ws] = name
        try:
            self.tell_all(f"{name} is here")
            async for message in ws:
                self.tell_all(f"{name}: {message!s}")
        finally:
            del self.members[ws]
            self.tell_all(f"{name} has left")


def answer(request: Request) -> Response | None:
    """Answer with the page; requests for a WebSocket go on to the handler."""
    return None if request.is_upgrade else Response(200, {"Content-Type": "text/html"}, PAGE)


async def main() -> None:
    """Serve until Ctrl-C."""
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8765
    serve = partial(serve_websocket, process_request=answer)
    async with trio.open_nursery() as nursery:
        server: Server = await nursery.start(serve, Room().chat, "localhost", port)
        print(f"http://localhost:{server.port}/")


if __name__ == "__main__":
    trio.run(main)
