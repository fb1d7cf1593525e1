"""A picture of the results: what the peers take for each that trio_ws takes, and the curves."""

# matplotlib annotates its functions in part.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import math
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.peers import PEERS, find_peer
from benchmarks.results import Curve, Results
from benchmarks.rows import ROWS

BASE = PEERS[0].name


def draw(results: Results, path: Path) -> None:
    """Write an SVG."""
    curves = [curve for curve in results.curves if curve.points]
    panels = (1 if results.rows else 0) + len(curves)
    if not panels:
        return
    heights = [max(3.0, 0.13 * _bars(results))] * bool(results.rows) + [3.5] * len(curves)
    drawing = Figure(figsize=(9, sum(heights)), layout="constrained")
    axes = drawing.subplots(panels, 1, squeeze=False, height_ratios=heights)[:, 0].tolist()
    if results.rows:
        _draw_ratios(axes.pop(0), results)
    for curve in curves:
        _draw_curve(axes.pop(0), curve)
    drawing.savefig(path)


def _bars(results: Results) -> int:
    return sum(len(result.peers) for result in results.rows)


def _draw_ratios(axes: Axes, results: Results) -> None:
    titles = {row.name: row.title for row in ROWS}
    colours = {peer.name: f"C{number}" for number, peer in enumerate(PEERS)}
    labelled: set[str] = set()
    position = 0.0
    ticks: list[float] = []
    labels: list[str] = []
    for result in results.rows:
        begin = position
        for name in result.peers:
            ratio = result.ratio(name, BASE)
            if ratio is not None and name != BASE:
                label = "" if name in labelled else find_peer(name).title
                # From 1 on: shorter and longer are to be seen at once.
                axes.barh(position, math.log2(ratio), color=colours[name], label=label)
                labelled.add(name)
                position += 1
        ticks.append((begin + position - 1) / 2)
        labels.append(titles[result.row])
        position += 1
    axes.set_yticks(ticks, labels, fontsize=8)
    axes.invert_yaxis()
    axes.axvline(0, color="black", linewidth=0.8)
    powers = range(-2, 6)
    axes.set_xticks(list(powers), [f"{2.0**power:g}" for power in powers])
    axes.set_xlabel("wall time, or memory, for each of trio_ws (right of 1: trio_ws is ahead)")
    axes.legend(fontsize=8, loc="lower right")


def _draw_curve(axes: Axes, curve: Curve) -> None:
    xs = list(curve.points)
    axes.plot(xs, [series.value * 1e6 for series in curve.points.values()], "o-", label="wall")
    cpus = [(series.cpu or math.nan) * 1e6 for series in curve.points.values()]
    axes.plot(xs, cpus, "s--", label="CPU of the server")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_title(f"trio_ws: {curve.title}", fontsize=9)
    axes.set_xlabel(curve.x)
    axes.set_ylabel("µs/message")
    axes.legend(fontsize=8)
