"""A chat to be tested. The path names the room, the query the person: ``/kitchen?Ada``."""

import sys
from collections import defaultdict
from functools import partial

import trio

from trio_ws import Server, WebSocket, broadcast, serve_websocket

IDLE = 600  # seconds; whoever says nothing for so long has to go

tell = partial(broadcast, when_full="close")  # and so has whoever does not keep up


class Chat:
    """Rooms by their path, and who is in them; ``/later SECONDS TEXT`` says something later."""

    def __init__(self) -> None:
        self.rooms = defaultdict[str, set[WebSocket]](set)

    async def serve(self, ws: WebSocket) -> None:
        """Serve one person; what it wants to be said later goes with it."""
        room, name = self.rooms[ws.request.path], ws.request.query
        room.add(ws)
        tell(room, f"{name} is here")
        try:
            async with trio.open_nursery() as nursery:
                with trio.move_on_after(IDLE) as patience:
                    async for message in ws:
                        patience.deadline = trio.current_time() + IDLE
                        match str(message).split(maxsplit=2):
                            case ["/later", digits, line] if digits.isdecimal() and len(digits) < 6:
                                nursery.start_soon(tell_later, room, int(digits), line)
                            case words:
                                tell(room, f"{name}: {' '.join(words)}")
                nursery.cancel_scope.cancel()
            if patience.cancelled_caught:
                await ws.aclose(4000, "sleep well")
        finally:
            room.remove(ws)
            tell(room, f"{name} has left")


async def tell_later(room: set[WebSocket], seconds: int, line: str) -> None:
    """Say something after a while."""
    await trio.sleep(seconds)
    tell(room, line)


async def main(port: int) -> None:
    """Serve until Ctrl-C."""
    async with trio.open_nursery() as nursery:
        server: Server = await nursery.start(serve_websocket, Chat().serve, "localhost", port)
        print(f"ws://localhost:{server.port}/")


if __name__ == "__main__":
    trio.run(main, int(sys.argv[1]) if len(sys.argv) > 1 else 8765)
