"""This library against ``websockets``: the same bytes, cut anywhere, have to mean the same.

Half of the cases are open connections (`tests.differential_connections`), half are opening
handshakes (`tests.differential_handshakes`), each for both roles, right and wrong.  Where the two
differ there is an entry in one of two lists that says when they may and why; all else fails.

    python -m tests.differential_websockets CASES [FIRST]
"""

from __future__ import annotations

import argparse
import collections
import dataclasses
import sys
from collections.abc import Iterator
from dataclasses import dataclass

from tests import differential_connections, differential_handshakes
from tests.differential_connections import Difference
from tests.handshake_cases import make_handshake_case
from tests.lane_cases import make_case


@dataclass
class Tally:
    """What came of the cases."""

    cases: int = 0
    same: int = 0
    allowed: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter[str])
    """How often two differed as they may, by the name of the entry."""

    def __str__(self) -> str:
        lines = [
            f"{self.cases} cases, {self.same} of them the same to both",
            *(f"{count:8} {name}" for name, count in self.allowed.most_common()),
        ]
        return "\n".join(lines)


def entries() -> Iterator[str]:
    """Yield the names of all differences that there may be."""
    yield from (f"connection: {name}" for name in differential_connections.ALLOWED)
    yield from (f"handshake: {name}" for name in differential_handshakes.ALLOWED)


def compare(number: int) -> str | None:
    """Compare one case; return the name of the difference that there may be.

    Raises:
        Difference: there is another one.
    """
    if number % 2:
        kind, difference = "handshake", differential_handshakes.compare(make_handshake_case(number))
    else:
        kind, difference = "connection", differential_connections.compare(make_case(number))
    return difference and f"{kind}: {difference}"


def run(count: int, first: int = 0) -> Tally:
    """Compare so many cases, and return what came of them.

    Raises:
        Difference: in one of them, whose number it names.
    """
    tally = Tally()
    for number in range(first, first + count):
        try:
            difference = compare(number)
        except Difference as exc:
            raise Difference(f"case {number}: {exc}") from None
        tally.cases += 1
        if difference is None:
            tally.same += 1
        else:
            tally.allowed[difference] += 1
    return tally


def main() -> None:
    """Compare as many cases as the command line says."""
    parser = argparse.ArgumentParser(description="Compare trio_ws with websockets.")
    parser.add_argument("cases", type=int, nargs="?", default=20_000, help="how many (%(default)s)")
    parser.add_argument("first", type=int, nargs="?", default=0, help="the number of the first")
    arguments = parser.parse_args()
    sys.stdout.write(f"trio_ws and websockets: {run(arguments.cases, arguments.first)}\n")


if __name__ == "__main__":
    main()
