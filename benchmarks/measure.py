"""Rounds: how long they are, and in which order they are run.

A row's peers are all on stage at once and take turns, so that whatever the machine does to one of
them it does to the others too; those that wait sleep.  The first rounds of each set the length of
the others, warm everything up, and are not counted.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from benchmarks.children import ChildFailed, Cores
from benchmarks.peers import PeerInfo
from benchmarks.results import RowResult
from benchmarks.rows import Row, Stage
from benchmarks.stages import Performance, put_on_stage

MEMORY_WARM_UP = 50  # connections that are opened before the first look at the memory


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """How much is done for a figure."""

    rounds: int
    seconds: float
    """About how long a round takes."""
    memory_connections: int
    memory_rounds: int


FULL = Effort(rounds=5, seconds=0.4, memory_connections=2000, memory_rounds=2)
QUICK = Effort(rounds=3, seconds=0.05, memory_connections=300, memory_rounds=1)

Tell = Callable[[str], None]


def measure_row(
    row: Row, peers: Sequence[PeerInfo], effort: Effort, cores: Cores, tell: Tell
) -> RowResult:
    """Measure a row for all peers that take part in it; one that fails spoils nothing."""
    taking_part = [peer for peer in peers if row.name not in peer.not_in]
    result = RowResult(row.name)
    tell(f"{row.title}: {len(taking_part)} peers")
    measure = _measure_memory if row.stage is Stage.MEMORY else _take_turns
    measure(row, taking_part, effort, cores, result)
    for name, failure in result.failures.items():
        tell(f"  {name} failed: {failure.strip().splitlines()[-1]}")
    return result


def _take_turns(
    row: Row, peers: Sequence[PeerInfo], effort: Effort, cores: Cores, result: RowResult
) -> None:
    with ExitStack() as stack:
        stage = [stack.enter_context(put_on_stage(row, peer, cores)) for peer in peers]

        def each(act: Callable[[Performance], None]) -> None:
            for performance in stage:
                if performance.peer.name not in result.failures:
                    with _failing_alone(result, performance.peer):
                        act(performance)

        each(lambda performance: performance.prepare())
        each(lambda performance: performance.calibrate(effort.seconds))
        for _ in range(effort.rounds):
            each(lambda performance: result.add(performance.peer.name, performance.sample()))


def _measure_memory(
    row: Row, peers: Sequence[PeerInfo], effort: Effort, cores: Cores, result: RowResult
) -> None:
    """Take turns too, but in fresh processes: what was taken once is seldom given back."""
    for _ in range(effort.memory_rounds):
        for peer in peers:
            with _failing_alone(result, peer), put_on_stage(row, peer, cores) as performance:
                performance.prepare()
                performance.round(MEMORY_WARM_UP)
                performance.count = effort.memory_connections
                result.add(peer.name, performance.sample())


@contextmanager
def _failing_alone(result: RowResult, peer: PeerInfo) -> Generator[None, None, None]:
    """Have a failure end the row for this peer, and for no other."""
    try:
        yield
    except ChildFailed as exc:
        result.fail(peer.name, str(exc))
