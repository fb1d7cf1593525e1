"""Several servers on one port: runs worker.py several times, and again when one dies.

    python workers.py REDIS-URL PORT WORKERS

One worker for each core is a good number.  On SIGTERM or Ctrl-C all of them drain.  One that dies
young is started again after longer and longer waits: if none can start, that costs little.
"""

import signal
import socket
import sys
from pathlib import Path

import trio

from trio_ws import Backoff

WORKER = Path(__file__).parent / "worker.py"


def reserve(port: int) -> socket.socket:
    """Take the port for our workers, without listening: even when none runs, it stays ours."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    sock.bind(("127.0.0.1", port))
    return sock


async def keep_running(command: list[str]) -> None:
    """Run a worker, and the next one when it has ended."""
    backoff = Backoff(initial=0.5, maximum=10, reset_after=30)
    waits = backoff.waits()
    while True:
        began = trio.current_time()
        # When this is cancelled, the worker gets a SIGTERM, and five seconds later a SIGKILL.
        process = await trio.run_process(command, check=False)
        print(f"a worker has ended: {process.returncode}")
        if trio.current_time() >= began + backoff.reset_after:
            waits = backoff.waits()
        await trio.sleep(next(waits))


async def main(url: str, port: int, workers: int) -> None:
    """Keep the workers running until a signal comes."""
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals, reserve(port) as sock:
        port = sock.getsockname()[1]
        print(f"serving on ws://127.0.0.1:{port}/")
        async with trio.open_nursery() as nursery:
            for _ in range(workers):
                nursery.start_soon(keep_running, [sys.executable, str(WORKER), url, str(port)])
            await anext(signals)
            nursery.cancel_scope.cancel()


if __name__ == "__main__":
    trio.run(main, sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
