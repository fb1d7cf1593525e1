"""The figures of a run, and their JSON.

Plain data: what was measured in each round, in seconds or bytes.  Medians and ratios are worked
out when they are asked for, so that the JSON says everything there is to say.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from benchmarks.rows import Row

SCHEMA = 1


@dataclass(frozen=True, slots=True)
class Sample:
    """What one round gave, for one message (or client, or connection)."""

    value: float
    """Wall time in seconds; memory in bytes."""
    cpu: float | None
    """CPU time of the server's process in seconds; ``None`` where memory is measured."""
    load_cpu: float | None = None
    """That of the other process, where there is one."""


@dataclass(slots=True)
class Series:
    """The rounds of one peer in one row, or of one point of a curve."""

    samples: list[Sample] = field(default_factory=list[Sample])

    @property
    def value(self) -> float:
        """The median."""
        return statistics.median(sample.value for sample in self.samples)

    @property
    def cpu(self) -> float | None:
        """The median of the CPU times, where there are any."""
        return _median([sample.cpu for sample in self.samples])

    @property
    def load_bound(self) -> bool:
        """Whether the load was busier than the server, which so might do better."""
        cpu, load_cpu = self.cpu, _median([sample.load_cpu for sample in self.samples])
        return cpu is not None and load_cpu is not None and load_cpu > cpu

    @property
    def spread(self) -> float:
        """Half the distance of the extremes, as a share of the median."""
        values = [sample.value for sample in self.samples]
        return (max(values) - min(values)) / 2 / self.value


@dataclass(slots=True)
class RowResult:
    """What a row gave, by peer."""

    row: str
    peers: dict[str, Series] = field(default_factory=dict[str, Series])
    failures: dict[str, str] = field(default_factory=dict[str, str])

    def add(self, peer: str, sample: Sample) -> None:
        """Note what a round gave."""
        self.peers.setdefault(peer, Series()).samples.append(sample)

    def fail(self, peer: str, words: str) -> None:
        """Note that there will be no figures of this peer."""
        self.failures[peer] = words
        self.peers.pop(peer, None)

    def ratio(self, peer: str, to: str) -> float | None:
        """Return how many times as much this peer takes as the other one."""
        if peer not in self.peers or to not in self.peers:
            return None
        return self.peers[peer].value / self.peers[to].value


@dataclass(slots=True)
class Curve:
    """How the cost of trio_ws grows with one thing."""

    name: str
    title: str
    x: str
    """What grows."""
    points: dict[int, Series] = field(default_factory=dict[int, Series])
    note: str = ""
    """Why it ends where it ends, if that was not the plan."""


@dataclass(slots=True)
class Results:
    """Everything that a run gave."""

    about: dict[str, str]
    """The machine, the versions, the options."""
    rows: list[RowResult] = field(default_factory=list[RowResult])
    curves: list[Curve] = field(default_factory=list[Curve])

    def save(self, path: Path) -> None:
        """Write the JSON."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"schema": SCHEMA, **asdict(self)}, indent=1) + "\n")

    @classmethod
    def load(cls, path: Path) -> Results:
        """Read what `save` wrote.

        Raises:
            ValueError: it is of another version of this program.
        """
        data = json.loads(path.read_text())
        if data["schema"] != SCHEMA:
            raise ValueError(f"{path} has schema {data['schema']}, not {SCHEMA}")
        return cls(
            data["about"],
            [
                RowResult(
                    row["row"],
                    {peer: _series(series) for peer, series in row["peers"].items()},
                    row["failures"],
                )
                for row in data["rows"]
            ],
            [
                Curve(
                    curve["name"],
                    curve["title"],
                    curve["x"],
                    {int(x): _series(series) for x, series in curve["points"].items()},
                    curve["note"],
                )
                for curve in data["curves"]
            ],
        )


def scaled(value: float, row: Row) -> float:
    """Return a figure in the row's unit."""
    return value * row.scale


def _series(data: dict[str, list[dict[str, float]]]) -> Series:
    return Series([Sample(**sample) for sample in data["samples"]])


def _median(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None
