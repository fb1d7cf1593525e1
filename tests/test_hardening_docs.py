"""What ``docs/security.rst`` says is so: its limits, its figures, its tests."""

import dataclasses
import math
import re
from pathlib import Path

import pytest

from tests.shown import missing, named_in
from tests.test_hardening_memory import most_held
from trio_ws import Keepalive, Limits, Timeouts

KIB = 1024
MIB = 1024 * KIB
TEXT = (Path(__file__).parent.parent / "docs" / "security.rst").read_text()

ROW = re.compile(r"^    \* - ([A-Z][0-9]+)$", re.MULTILINE)


def written(value: float) -> str:
    """Return a default as the documentation writes it."""
    if isinstance(value, float):
        return f"{value:g} s"
    for unit, name in ((MIB, "MiB"), (KIB, "KiB")):
        if value >= unit and value % unit == 0 and value != 1024:
            return f"{value // unit} {name}"
    return str(value)


DEFAULTS = [
    (f"{type(options).__name__}.{field.name}", getattr(options, field.name))
    for options in (Limits(), Timeouts(), Keepalive())
    for field in dataclasses.fields(options)
]


@pytest.mark.parametrize(("name", "value"), DEFAULTS, ids=[row[0] for row in DEFAULTS])
def test_limits_are_documented_with_their_defaults(name: str, value: float) -> None:
    """Every one there is."""
    seconds = float(value) if name.startswith(("Timeouts", "Keepalive")) else value
    assert f"    * - :attr:`{name}`\n      - {written(seconds)}\n" in TEXT


def test_attacks_are_all_there_and_shown_by_tests_that_exist() -> None:
    """No row of any table is missing, and none points to nowhere."""
    expected = [f"H{n}" for n in range(1, 20)] + [f"F{n}" for n in range(1, 18)]
    expected += [f"S{n}" for n in range(1, 9)]
    expected += [f"D{n}" for n in range(1, 19)] + [f"R{n}" for n in range(1, 22)]
    assert ROW.findall(TEXT) == expected
    assert missing(named_in(TEXT)) == []
    assert len(named_in(TEXT)) >= len(expected)


@pytest.mark.parametrize(
    ("message", "tls", "words"),
    [
        (MIB, False, "With the default limits and messages of 1 MiB that is {} MiB"),
        (MIB, True, "{} MiB with TLS"),
        (64 * KIB, False, "of 64 KiB and messages of that size it is {} MiB"),
    ],
)
def test_memory_is_documented_by_the_formula(message: int, tls: bool, words: str) -> None:
    """The figures are those of the formula that the worst cases are held against."""
    limits = Limits(max_message_size=message)
    figure = math.ceil(most_held(limits, message, tls=tls, read=256 * KIB) / MIB * 10) / 10
    assert words.format(figure) in " ".join(TEXT.split())
