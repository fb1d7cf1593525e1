"""What the processes of a row do: the ``main`` of each kind of `Child`."""

from __future__ import annotations

import gc
import os
import resource
import threading
from contextlib import AsyncExitStack
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Literal

from benchmarks.clocks import Stopwatch, cpu_seconds
from benchmarks.load import WORKS, Plan
from benchmarks.peers import Service, load_peer

Question = Literal["cpu", "memory"]
"""What a server is asked: the CPU seconds it has used, or the bytes it has in memory."""


def serve(pipe: Connection, peer_name: str, service: Service) -> None:
    """Run a server: answer with its port, then questions about this process, for ever."""
    peer = load_peer(peer_name)

    async def main() -> None:
        async with peer.serving(service) as port:
            pipe.send(port)
            # A thread that waits for a question costs the event loop nothing.
            threading.Thread(target=_answer_questions, args=(pipe,), daemon=True).start()
            await peer.sleep_forever()

    peer.run(main)


def _answer_questions(pipe: Connection) -> None:
    while True:
        try:
            question: Question = pipe.recv()
        except EOFError:
            os._exit(0)
        pipe.send(cpu_seconds() if question == "cpu" else resident_bytes())


def generate_load(pipe: Connection) -> None:
    """Be told the plan, connect, answer that this is done, then work as much as asked, for ever."""
    plan: Plan = pipe.recv()
    work = WORKS[plan.load](plan)
    gc.collect()
    gc.disable()
    pipe.send(None)
    while True:
        count: int = pipe.recv()
        pipe.send(work.run(count))


def run_client(pipe: Connection, peer_name: str, service: Service) -> None:
    """Run a peer's own client: be told the port, connect, answer, then work as much as asked.

    When the port is ``None``, its own server runs in this very process and event loop.
    """
    peer = load_peer(peer_name)
    port: int | None = pipe.recv()

    async def main() -> None:
        async with AsyncExitStack() as stack:
            to = await stack.enter_async_context(peer.serving(service)) if port is None else port
            round_trips = await stack.enter_async_context(peer.connected(service, to))
            pipe.send(None)
            while True:
                count = await peer.in_thread(pipe.recv)
                stopwatch = Stopwatch()
                await round_trips(count)
                pipe.send(stopwatch.stop(count))

    peer.run(main)


def resident_bytes() -> int:
    """Return the memory that this process has, in bytes, garbage not counted."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
