"""Which cases there are, and how each is to come out.

The list of those that are not to come out OK is also in ``docs/conformance.rst``; a test holds one
against the other.
"""

import fnmatch
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

# How many cases there are of each kind, in version 25.10.1.
_COUNTS = {
    "1.1": 8,
    "1.2": 8,
    "2": 11,
    "3": 7,
    "4.1": 5,
    "4.2": 5,
    "5": 20,
    "6.1": 3,
    "6.2": 4,
    "6.3": 2,
    "6.4": 4,
    "6.5": 5,
    "6.6": 11,
    "6.7": 4,
    "6.8": 2,
    "6.9": 4,
    "6.10": 3,
    "6.11": 5,
    "6.12": 8,
    "6.13": 5,
    "6.14": 10,
    "6.15": 1,
    "6.16": 3,
    "6.17": 5,
    "6.18": 5,
    "6.19": 5,
    "6.20": 7,
    "6.21": 8,
    "6.22": 34,
    "6.23": 7,
    "7.1": 6,
    "7.3": 6,
    "7.5": 1,
    "7.7": 13,
    "7.9": 9,
    "7.13": 2,
    "9.1": 6,
    "9.2": 6,
    "9.3": 9,
    "9.4": 9,
    "9.5": 6,
    "9.6": 6,
    "9.7": 6,
    "9.8": 6,
    "10.1": 1,
    **{f"12.{kind}": 18 for kind in range(1, 6)},
    **{f"13.{kind}": 18 for kind in range(1, 8)},
}

CASES = tuple(f"{kind}.{n}" for kind, count in _COUNTS.items() for n in range(1, count + 1))

# Sections 12 and 13 are about compression, and take the suite half an hour, in which it mostly
# compresses for itself: this share of them has messages of up to 8 KiB, whole and in fragments.
UNCOMPRESSED = ("[1-9].*", "10.*")
COMPRESSED_SHARE = ("1[23].*.[1-6]", "1[23].*.11")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the suite says of a case: of our answers, and of how the connection was closed."""

    behavior: str
    closing: str

    def __str__(self) -> str:
        return f"{self.behavior}, its closing {self.closing}"


OK = Verdict("OK", "OK")
INFORMATIONAL = Verdict("INFORMATIONAL", "INFORMATIONAL")

# Why: the suite says this of them whatever an implementation does.
NOT_OK = {
    "7.1.6": INFORMATIONAL,
    "7.13.1": INFORMATIONAL,
    "7.13.2": INFORMATIONAL,
}


def select(patterns: Sequence[str], excluded: Sequence[str] = ()) -> list[str]:
    """Return the cases that match one of the patterns, such as ``7.*``, and none of the others.

    Raises:
        ValueError: a pattern matches no case.
    """
    chosen = {case for pattern in patterns for case in _matching(pattern)}
    dropped = {case for pattern in excluded for case in _matching(pattern)}
    return [case for case in CASES if case in chosen - dropped]


def _matching(pattern: str) -> list[str]:
    found = fnmatch.filter(CASES, pattern)
    if not found:
        raise ValueError(f"there is no case {pattern}")
    return found


def complaints(cases: Sequence[str], verdicts: Mapping[str, Verdict]) -> list[str]:
    """Return what is wrong with a run of these cases; a case that is missing or too good, too."""
    wrong: list[str] = []
    for case in cases:
        expected, verdict = NOT_OK.get(case, OK), verdicts.get(case)
        if verdict is None:
            wrong.append(f"{case}: no result")
        elif verdict != expected:
            wrong.append(f"{case}: {verdict}; expected: {expected}")
    wrong += [f"{case}: nobody asked for it" for case in verdicts if case not in cases]
    return wrong
