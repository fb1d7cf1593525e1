"""Whether trio_ws reaches what it has to reach."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.peers import find_peer
from benchmarks.results import Results, RowResult, scaled
from benchmarks.rows import ROWS, Bar, Row


@dataclass(frozen=True, slots=True)
class Verdict:
    """A bar, and what was measured."""

    row: str
    claim: str
    measured: str
    reached: bool


def verdicts(results: Results) -> Iterator[Verdict]:
    """Judge all bars for which there are figures."""
    rows = {row.name: row for row in ROWS}
    for result in results.rows:
        row = rows[result.row]
        for bar in row.bars:
            verdict = _judge(bar, row, result)
            if verdict is not None:
                yield verdict


def _judge(bar: Bar, row: Row, result: RowResult) -> Verdict | None:
    subject = find_peer(bar.of).title
    if bar.most is not None:
        if bar.of not in result.peers:
            return None
        value = scaled(result.peers[bar.of].value, row)
        claim = f"{subject} at most {bar.most:g} {row.unit}"
        return Verdict(row.name, claim, f"{value:.1f} {row.unit}", value <= bar.most)
    ratio = result.ratio(bar.peer, bar.of)
    if ratio is None:
        return None
    claim = f"{find_peer(bar.peer).title} takes at least {bar.ratio:.2f} times {subject}"
    cpu, base = result.peers[bar.peer].cpu, result.peers[bar.of].cpu
    beside = f" (CPU {cpu / base:.2f})" if cpu and base else ""
    return Verdict(row.name, claim, f"{ratio:.2f}{beside}", ratio >= bar.ratio)
