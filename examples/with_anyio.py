"""trio_ws in a program written for anyio, run on its Trio backend.

    python with_anyio.py [URL]

Run echo.py first.  anyio's task groups, cancel scopes and memory streams are Trio's there, so
they and a WebSocket go together as they are; on anyio's asyncio backend trio_ws does not run.
"""

import sys

import anyio
from anyio.streams.memory import MemoryObjectSendStream

from trio_ws import WebSocket, open_websocket_url


async def collect(ws: WebSocket, into: MemoryObjectSendStream[str | bytes]) -> None:
    """Hand on what comes, until the end."""
    async with into:
        async for message in ws:
            await into.send(message)


async def main() -> None:
    """Send three messages and print their echoes, with a bound on the time it takes."""
    url = sys.argv[1] if len(sys.argv) > 1 else "ws://localhost:8765/"
    into, echoes = anyio.create_memory_object_stream[str | bytes](3)
    with anyio.fail_after(10):
        async with open_websocket_url(url) as ws, anyio.create_task_group() as tasks, echoes:
            tasks.start_soon(collect, ws, into)
            for word in ("one", "two", "three"):
                await ws.send(word)
                print(await echoes.receive())
            tasks.cancel_scope.cancel()


if __name__ == "__main__":
    anyio.run(main, backend="trio")
