"""Backoff: how long a client waits."""

import math
import random
from itertools import islice

import pytest

from trio_ws import Backoff


def waits(backoff: Backoff, count: int = 10) -> list[float]:
    """Return the first waits."""
    return list(islice(backoff.waits(), count))


def test_waits_double_up_to_a_minute() -> None:
    """By default, were it not for chance."""
    assert waits(Backoff(jitter=0), 8) == [1, 2, 4, 8, 16, 32, 60, 60]


@pytest.mark.parametrize(
    ("backoff", "expected"),
    [
        (Backoff(initial=0.5, maximum=3, factor=3, jitter=0), [0.5, 1.5, 3, 3]),
        (Backoff(initial=5, maximum=2, jitter=0), [2, 2, 2, 2]),
        (Backoff(factor=1, jitter=0), [1, 1, 1, 1]),
        (Backoff(factor=math.inf, jitter=0), [1, 60, 60, 60]),
    ],
)
def test_waits_go_by_the_options(backoff: Backoff, expected: list[float]) -> None:
    """Each of them counts."""
    assert waits(backoff, 4) == expected


def test_chance_takes_from_all_of_a_wait() -> None:
    """By default a wait may be nearly nothing, and is half of the longest on average."""
    random.seed(1)
    firsts = [waits(Backoff(), 1)[0] for _ in range(1000)]
    assert 0 < min(firsts) < 0.01
    assert 0.99 < max(firsts) <= 1
    assert 0.45 < sum(firsts) / len(firsts) < 0.55


def test_chance_takes_as_much_as_it_may() -> None:
    """The rest of each wait is certain."""
    random.seed(1)
    assert all(0.8 < wait <= 1 for wait in waits(Backoff(factor=1, jitter=0.2), 100))


def test_chance_can_be_repeated() -> None:
    """It is that of the random module, which can be seeded."""
    random.seed(7)
    first = waits(Backoff())
    random.seed(7)
    assert waits(Backoff()) == first


def test_outage_does_not_overflow() -> None:
    """However long it lasts."""
    assert waits(Backoff(factor=10, jitter=0), 1000)[-1] == 60


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"initial": 0}, "Backoff.initial must be from 0.001 to inf, not 0"),
        ({"maximum": 0}, "Backoff.maximum must be from 0.001 to inf, not 0"),
        ({"factor": 0.9}, "Backoff.factor must be from 1 to inf, not 0.9"),
        ({"jitter": -0.1}, "Backoff.jitter must be from 0 to 1, not -0.1"),
        ({"jitter": 1.1}, "Backoff.jitter must be from 0 to 1, not 1.1"),
        ({"reset_after": -1}, "Backoff.reset_after must be from 0 to inf, not -1"),
        ({"max_retry_after": -1}, "Backoff.max_retry_after must be from 0 to inf, not -1"),
        ({"initial": math.nan}, "Backoff.initial must be from 0.001 to inf, not nan"),
    ],
)
def test_values_out_of_range_are_refused(options: dict[str, float], problem: str) -> None:
    """None of them makes a client that never waits, or waits in the past."""
    with pytest.raises(ValueError, match=problem):
        Backoff(**options)


@pytest.mark.parametrize("value", ["1", None, True])
def test_values_that_are_no_numbers_are_refused(value: object) -> None:
    """True is more likely a mistake than a number."""
    with pytest.raises(TypeError, match=r"Backoff\.initial must be a number, not"):
        Backoff(initial=value)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
