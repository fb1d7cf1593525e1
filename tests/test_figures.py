"""Figures that the documentation plans with are about those that were measured last."""

import re
from pathlib import Path

import pytest

from tests.test_migration import tables

DOCS = Path(__file__).parent.parent / "docs"
TABLES = [*tables((DOCS / "performance-figures.inc").read_text(encoding="utf-8"))]
MEASURED = {
    row[0].partition(" (")[0]: row[1]  # without the unit
    for table in reversed(TABLES)  # the first table counts, the next has CPU times
    for row in table
}
PLANNED = {
    row[0]: row[1]
    for table in tables((DOCS / "scaling.rst").read_text(encoding="utf-8"))
    for row in table
}

# What is planned with, what was measured, and how many units of the one are one of the other.
FIGURES = [
    ("a small message received and answered", "10", 1),
    (
        "a small message sent to one of many (fan-out)",
        "fan-out of one 64 B message to 1,000 clients",
        1,
    ),
    ("a handshake and a close", "connections opened and closed", 1000),
    ("waits in ``receive()``", "memory of an idle connection, handler in receive()", 1),
    ("does something else", "memory of an idle connection, handler elsewhere", 1),
]


def first_number(text: str) -> float:
    """Return the first number of a cell."""
    match = re.match(r"[\d.,]+", text)
    assert match is not None, text
    return float(match[0].replace(",", ""))


@pytest.mark.parametrize(("planned", "measured", "units"), FIGURES)
def test_planned_figure_is_about_the_measured_one(planned: str, measured: str, units: int) -> None:
    """A machine differs from itself by a third now and then, and not by more."""
    found = first_number(MEASURED[measured])
    assert first_number(PLANNED[planned]) * units == pytest.approx(found, rel=1 / 3)
