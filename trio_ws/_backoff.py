"""How long a client waits before it connects again."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """How long to wait before connecting again: up to twice as long each time, by chance.

    Raises:
        TypeError: a value is neither `int` nor `float`.
        ValueError: a value is out of its range.
    """

    initial: float = 1
    """How long the first wait is at most, in seconds.  A server that is started again is there in
    a second or two, and an attempt or two before that hurt nobody."""

    maximum: float = 60
    """How long any wait is at most, in seconds.  Nobody is away for more than a minute after the
    end of an outage, and a thousand clients meanwhile make about 30 attempts a second."""

    factor: float = 2
    """How much longer each wait may be than the one before, at least 1.  From a second to a minute
    it takes six attempts."""

    jitter: float = 1
    """How much of each wait is left to chance, from 0 to 1.  All of it: the clients that a server
    has lost in one moment come back as evenly as can be."""

    reset_after: float = 10
    """How long a connection must have been open, in seconds, for the waits to begin anew.  A server
    that falls over at the first message is not taken for one that works."""

    max_retry_after: float = 600
    """How long a wait that the server asks for by Retry-After is granted at most, in seconds.  Who
    asks for more than ten minutes is asked again after ten."""

    def __post_init__(self) -> None:
        _check("initial", self.initial, 0.001)  # less is no wait
        _check("maximum", self.maximum, 0.001)
        _check("factor", self.factor, 1)
        _check("jitter", self.jitter, 0, 1)
        _check("reset_after", self.reset_after, 0)
        _check("max_retry_after", self.max_retry_after, 0)

    def waits(self) -> Iterator[float]:
        """Return the waits, one after the other, without end; chance is that of ``random``."""
        longest = min(self.initial, self.maximum)
        while True:
            yield longest * (1 - self.jitter * random.random())  # noqa: S311 - no secret
            longest = min(longest * self.factor, self.maximum)


def _check(name: str, value: object, least: float, most: float = math.inf) -> None:
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise TypeError(f"Backoff.{name} must be a number, not {value!r}")
    if not least <= value <= most:  # so written, it refuses NaN too
        raise ValueError(f"Backoff.{name} must be from {least:g} to {most:g}, not {value!r}")
