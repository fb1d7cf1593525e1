"""Exceptions parted by what their leaves are."""

from collections.abc import Sequence
from typing import cast

import pytest
import trio

from trio_ws._groups import is_failure, part


def is_value_error(exc: BaseException) -> bool:
    """Match some; a group is never asked about."""
    assert not isinstance(exc, BaseExceptionGroup)
    return isinstance(exc, ValueError)


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        (ValueError("a bug"), True),
        (ExceptionGroup("bugs", [ValueError("a bug")]), True),
        (KeyboardInterrupt(), False),
        (SystemExit(), False),
        (BaseExceptionGroup("mixed", [ValueError("a bug"), KeyboardInterrupt()]), False),
    ],
)
def test_failure_is_what_an_except_exception_catches(error: BaseException, failure: bool) -> None:
    """Ctrl-C and the like are none, whatever they are grouped with."""
    assert is_failure(error) is failure


async def test_cancellation_is_no_failure() -> None:
    """`trio.Cancelled` must go up to its scope."""
    with trio.CancelScope() as scope:
        scope.cancel()
        with pytest.raises(trio.Cancelled) as caught:
            await trio.lowlevel.checkpoint()
        assert not is_failure(caught.value)
        raise caught.value


@pytest.mark.parametrize(
    ("error", "matches"), [(ValueError("a bug"), True), (TypeError("another"), False)]
)
def test_plain_exception_is_on_one_side_itself(error: Exception, matches: bool) -> None:
    """It is the very object, without a group around it."""
    matching, rest = part(error, is_value_error)
    assert (matching if matches else rest) is error
    assert (rest if matches else matching) is None


def leaves(error: BaseException | None) -> list[str]:
    """Return the messages of the leaves."""
    if isinstance(error, BaseExceptionGroup):
        group = cast("BaseExceptionGroup[BaseException]", error)
        return [text for each in group.exceptions for text in leaves(each)]
    return [] if error is None else [str(error)]


@pytest.mark.parametrize(
    ("errors", "matching", "rest"),
    [
        ([ValueError("a")], ["a"], []),
        ([TypeError("b")], [], ["b"]),
        ([ValueError("a"), TypeError("b"), ValueError("c")], ["a", "c"], ["b"]),
        ([ExceptionGroup("inner", [ValueError("a"), TypeError("b")])], ["a"], ["b"]),
        ([ExceptionGroup("inner", [ValueError("a")]), TypeError("b")], ["a"], ["b"]),
    ],
)
def test_group_is_parted_leaf_by_leaf(
    errors: Sequence[Exception], matching: list[str], rest: list[str]
) -> None:
    """Each leaf decides for itself, however deep it is; an empty side is ``None``."""
    parted = part(ExceptionGroup("outer", errors), is_value_error)
    assert [leaves(side) for side in parted] == [matching, rest]
    assert all(side is None or leaves(side) for side in parted)


class OwnGroup(BaseExceptionGroup[BaseException]):
    """A group of an application, which says nothing of how to derive another."""


@pytest.mark.parametrize("matches", [True, False])
def test_group_of_one_kind_is_on_one_side_itself(matches: bool) -> None:
    """It is the very object, of whatever class: nothing of what it carries is lost."""
    group = OwnGroup("of my own", [BaseExceptionGroup("inner", [KeyboardInterrupt()])])
    matching, rest = part(group, lambda exc: isinstance(exc, KeyboardInterrupt) is matches)
    assert (matching if matches else rest) is group
    assert (rest if matches else matching) is None
