"""A client that is interrupted at random times while it opens, uses and closes connections.

    python -m tests.programs.interrupted_client SEED ROUNDS

Its server runs in another thread, which no interrupt reaches.  Ends with an AssertionError when an
interrupt has done more than to end the client: one KeyboardInterrupt comes out, and the server is
left without connections.
"""

import os
import queue
import random
import signal
import sys
import threading
import time

import trio

from tests.programs.interrupted_server import leaves
from tests.servers import echo
from trio_ws import Server, open_websocket_url, serve_websocket

# In seconds: a few connections.
LATEST_INTERRUPT = 0.05


class ServerThread:
    """A server in a thread of its own."""

    def __init__(self) -> None:
        started = queue.Queue[tuple[Server, trio.lowlevel.TrioToken, trio.Nursery]]()

        async def serve() -> None:
            async with trio.open_nursery() as nursery:
                server: Server = await nursery.start(serve_websocket, echo, "127.0.0.1", 0)
                started.put((server, trio.lowlevel.current_trio_token(), nursery))

        self._thread = threading.Thread(target=trio.run, args=(serve,))
        self._thread.start()
        self.server, self._token, self._nursery = started.get()

    def stop(self) -> None:
        """Drain it: every handler ends by itself, for the clients are gone."""

        async def drain() -> None:
            await self.server.aclose(grace=60)

        trio.from_thread.run(drain, trio_token=self._token)
        self._thread.join()


def run(port: int, delay: float) -> None:
    """Open connections until the interrupt, and see what comes out."""

    def interrupt() -> None:
        time.sleep(delay)
        os.kill(os.getpid(), signal.SIGINT)

    interrupting = threading.Thread(target=interrupt)

    @trio.lowlevel.enable_ki_protection  # the test is not what is tested
    async def start() -> None:
        interrupting.start()

    async def main() -> None:
        await start()
        while True:
            async with open_websocket_url(f"ws://127.0.0.1:{port}/") as ws:
                for _ in range(5):
                    await ws.send("hello")
                    await ws.receive()

    kinds: list[type[BaseException]] = []
    try:
        trio.run(main)
    except BaseException as exc:  # noqa: BLE001 - all of it is looked at
        kinds = leaves(exc)
    interrupting.join()
    assert kinds == [KeyboardInterrupt], kinds


if __name__ == "__main__":
    random.seed(int(sys.argv[1]))
    thread = ServerThread()
    try:
        for _ in range(int(sys.argv[2])):
            run(thread.server.port, random.uniform(0, LATEST_INTERRUPT))
    finally:
        thread.stop()
