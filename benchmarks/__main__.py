"""The command line: ``python -m benchmarks``."""

from __future__ import annotations

import argparse
import os
import platform
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.children import Cores
from benchmarks.growth import GROWTHS, measure_growth
from benchmarks.measure import FULL, QUICK, Effort, measure_row
from benchmarks.peers import PEERS, PeerInfo
from benchmarks.report import as_text
from benchmarks.results import Results
from benchmarks.rows import ROWS
from trio_ws.protocol.lane import LANE

RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What was asked for."""

    rows: tuple[str, ...]
    peers: tuple[str, ...]
    effort: Effort
    quick: bool
    directory: Path


def parse(arguments: Sequence[str]) -> Options:
    """Read the command line."""
    row_names = [row.name for row in ROWS] + [growth.row.name for growth in GROWTHS]
    peer_names = [peer.name for peer in PEERS]
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--rows", type=_names(row_names), default=(*row_names,), help=", ".join(row_names)
    )
    parser.add_argument(
        "--peers", type=_names(peer_names), default=(*peer_names,), help=", ".join(peer_names)
    )
    parser.add_argument("--rounds", type=int, help="how many make a median")
    parser.add_argument("--quick", action="store_true", help="a rough look, under two minutes")
    parser.add_argument("--output", type=Path, default=RESULTS, help="where the results go")
    chosen = parser.parse_args(arguments)
    effort = QUICK if chosen.quick else FULL
    if chosen.rounds is not None:
        effort = replace(effort, rounds=chosen.rounds)
    return Options(
        rows=chosen.rows,
        peers=chosen.peers,
        effort=effort,
        quick=chosen.quick,
        directory=chosen.output,
    )


def _names(known: Sequence[str]) -> Callable[[str], tuple[str, ...]]:
    def names(argument: str) -> tuple[str, ...]:
        chosen = tuple(argument.split(","))
        unknown = set(chosen).difference(known)
        if unknown:
            raise argparse.ArgumentTypeError(f"unknown: {', '.join(sorted(unknown))}")
        return chosen

    return names


def run(options: Options) -> Results:
    """Measure what was asked for."""
    cores = Cores.available()
    peers = [peer for peer in PEERS if peer.name in options.peers and _is_there(peer)]
    results = Results(_about(options, cores, peers))
    for row in ROWS:
        if row.name in options.rows:
            results.rows.append(measure_row(row, peers, options.effort, cores, _tell))
    for growth in GROWTHS:
        if growth.row.name in options.rows:
            curve = measure_growth(growth, options.effort, cores, _tell, quick=options.quick)
            results.curves.append(curve)
    return results


def _is_there(peer: PeerInfo) -> bool:
    if peer.versions() is None:
        _tell(f"{peer.title} is left out: not installed")
        return False
    return True


def _about(options: Options, cores: Cores, peers: Sequence[PeerInfo]) -> dict[str, str]:
    """Say what the figures depend on."""
    versions: dict[str, str] = {}
    for peer in peers:
        versions |= peer.versions() or {}
    effort = options.effort
    return {
        "date": time.strftime("%Y-%m-%d"),
        "machine": f"{_processor()}, {os.cpu_count()} cores, Linux {_kernel()}",
        "cores": f"server on {cores.server}, load on {cores.load}",
        "Python": platform.python_version(),
        "trio_ws's fast lane": LANE,
        "versions": ", ".join(f"{name} {number}" for name, number in sorted(versions.items())),
        "rounds": f"{effort.rounds} of about {effort.seconds:g} s",
        "load average before": f"{os.getloadavg()[0]:.2f}",
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _kernel() -> str:
    return platform.release().partition("-")[0]


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)  # noqa: T201 - a command shows how far it is


def main() -> None:
    """Run, print the tables, write JSON and chart."""
    options = parse(sys.argv[1:])
    began = time.monotonic()
    results = run(options)
    results.about["took"] = f"{time.monotonic() - began:.0f} s"
    results.save(options.directory / "results.json")
    print(as_text(results))  # noqa: T201 - a command
    try:
        from benchmarks.chart import draw  # noqa: PLC0415 - figures do without a picture
    except ImportError:
        _tell("no chart: matplotlib is not installed")
    else:
        draw(results, options.directory / "results.svg")
    _tell(f"written to {options.directory}")


if __name__ == "__main__":
    main()
