"""``trio-ws ping``: how long a round trip to a server takes."""

from __future__ import annotations

import argparse
import itertools
import statistics
from functools import partial

import trio

from trio_ws import ConnectionClosed, WebSocket, run_siblings
from trio_ws.cli._client import Target, add_client_arguments
from trio_ws.cli._failures import Failure, Interrupted, closing_failure
from trio_ws.cli._numbers import positive_integer, seconds
from trio_ws.cli._parsing import Subparsers, add_command
from trio_ws.cli._signals import until_signal
from trio_ws.cli._text import duration

_EXAMPLES = """\
Without -c it goes on until Ctrl-C. --timeout also bounds the wait for each
pong. What the server sends meanwhile is dropped.

examples:
  trio-ws ping ws://localhost:8765/
  trio-ws ping -c 5 -i 0.2 wss://example.com/
"""


def add_to(commands: Subparsers) -> None:
    """Enter the command."""
    parser = add_command(commands, "ping", "measure round trips to a server", run, _EXAMPLES)
    parser.add_argument(
        "-c", "--count", metavar="NUMBER", type=positive_integer, help="stop after so many pings"
    )
    parser.add_argument(
        "-i",
        "--interval",
        metavar="SECONDS",
        type=seconds,
        default=1.0,
        help="between a pong and the next ping, %(default)g by default",
    )
    add_client_arguments(parser)


async def run(arguments: argparse.Namespace) -> None:
    """Send pings until there were enough, and print what they tell."""
    pinging = Pinging(Target(arguments), count=arguments.count, interval=arguments.interval)
    try:
        await until_signal(pinging.run)
    except Interrupted:  # the usual end
        if not pinging.round_trips:
            raise
    finally:
        pinging.print_summary()


class Pinging:
    """Pings over one connection."""

    def __init__(self, target: Target, *, count: int | None, interval: float) -> None:
        self._target = target
        self._count = count
        self._interval = interval
        self.round_trips: list[float] = []

    async def run(self) -> None:
        """Connect and ping until there were enough.

        Raises:
            Failure: there was no connection, or no answer.
        """
        began = trio.current_time()
        async with self._target.open() as websocket:
            took = duration(trio.current_time() - began)
            print(f"{self._target}: open after {took}", flush=True)
            try:
                await run_siblings(partial(self._ping, websocket), partial(_drop, websocket))
            except ConnectionClosed as error:
                raise closing_failure(error) from error

    async def _ping(self, websocket: WebSocket) -> None:
        for number in itertools.count(1):  # pragma: no branch - it has no end
            with trio.move_on_after(self._target.timeout) as patience:
                self.round_trips.append(await websocket.ping())
            if patience.cancelled_caught:
                raise Failure(f"no pong for {self._target.timeout:g} seconds")
            print(f"pong {number}: {duration(self.round_trips[-1])}", flush=True)
            if number == self._count:
                return
            await trio.sleep(self._interval)

    def print_summary(self) -> None:
        """Print what the round trips have in common."""
        if self.round_trips:
            figures = (
                min(self.round_trips),
                statistics.mean(self.round_trips),
                max(self.round_trips),
                statistics.pstdev(self.round_trips),
            )
            print("min/avg/max/stddev:", " / ".join(map(duration, figures)), flush=True)


async def _drop(websocket: WebSocket) -> None:
    """Receive without end: pongs lie behind what the server sends."""
    while True:
        await websocket.receive()
