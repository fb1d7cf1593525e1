"""How a target reads its input: two bytes that choose the options, then what goes in."""

from __future__ import annotations

import random
from itertools import pairwise
from typing import NamedTuple


class Input(NamedTuple):
    """What a target is given."""

    how: int
    """Chooses how the stream is cut, and whatever else chance shall decide."""
    kind: int
    """Bits, each an option of the target."""
    stream: bytes

    def reads(self) -> list[bytes]:
        """Return the stream as it is read: in single bytes, or cut at places that ``how`` chose."""
        return split(self.stream, self.how)


def parse_input(data: bytes) -> Input:
    """Return what any bytes mean as an input."""
    how, kind = (data[:2] + bytes(2))[:2]
    return Input(how, kind, data[2:])


def split(data: bytes, how: int) -> list[bytes]:
    """Cut the bytes in the manner of this number; together they are what they were."""
    if how % 16 == 0:
        return [data[place : place + 1] for place in range(len(data))]
    places = random.Random(how).choices(range(len(data) + 1), k=how % 8)
    return [data[a:b] for a, b in pairwise(sorted({0, *places, len(data)}))]
