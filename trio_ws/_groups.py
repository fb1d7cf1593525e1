"""Exceptions parted by what their leaves are: a handler with a nursery raises groups."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from trio_ws._exceptions import ConnectionClosed

if TYPE_CHECKING:
    from collections.abc import Callable

    from trio_ws._connection import WebSocket

    Group = BaseExceptionGroup[BaseException]


def is_failure(error: BaseException) -> bool:
    """Tell a failure from what must go up whatever happens: cancellation, Ctrl-C."""
    return isinstance(error, Exception)


def part(
    error: BaseException, matches: Callable[[BaseException], bool]
) -> tuple[BaseException | None, BaseException | None]:
    """Return what matches and what does not; of a group the leaves decide, each for itself.

    A group of one kind comes back as it is: `split` would make another one, of another class.
    """
    if not isinstance(error, BaseExceptionGroup):
        return (error, None) if matches(error) else (None, error)
    group = cast("Group", error)
    # split() asks about the groups too; only their leaves are to count.
    matching, rest = group.split(
        lambda exc: not isinstance(exc, BaseExceptionGroup) and matches(exc)
    )
    if rest is None:
        return group, None
    return (matching, rest) if matching is not None else (None, group)


def without_own_closing(error: BaseException, websocket: WebSocket) -> BaseException | None:
    """Split off every `ConnectionClosed` of this connection: that is a normal end."""
    return part(error, lambda exc: isinstance(exc, ConnectionClosed) and websocket._owns(exc))[1]
