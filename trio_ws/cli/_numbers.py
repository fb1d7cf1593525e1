"""Numbers in arguments: what argparse calls, and whose names it shows when it complains."""

from __future__ import annotations

import argparse


def positive_integer(text: str) -> int:
    """Read a whole number from 1."""
    number = _integer(text, "a whole number")
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not 1 or more")
    return number


def seconds(text: str) -> float:
    """Read a time from 0; "inf" is for ever."""
    try:
        number = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds") from None
    if not number >= 0:  # so written, it refuses NaN too
        raise argparse.ArgumentTypeError(f"{text} is not 0 or more")
    return number


def positive_seconds(text: str) -> float:
    """Read a time above 0; "inf" is for ever."""
    number = seconds(text)
    if number == 0:
        raise argparse.ArgumentTypeError("0 seconds is no time")
    return number


def port(text: str) -> int:
    """Read the number of a port; 0 is for a free one."""
    number = _integer(text, "the number of a port")
    if not 0 <= number <= 65535:
        raise argparse.ArgumentTypeError(f"{text} is not from 0 to 65535")
    return number


def _integer(text: str, what: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not {what}") from None
