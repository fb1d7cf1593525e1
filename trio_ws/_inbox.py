"""What came and was not taken yet.

Invariant: items leave in the order in which they came.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trio_ws._caretaker import Watched
from trio_ws.protocol.connection import Piece

if TYPE_CHECKING:
    from trio_ws._options import Limits

# What a queued message counts besides its own length, in bytes, so that tiny messages count too.
MESSAGE_OVERHEAD = 64

# An idle connection has no list of its own.
_EMPTY: list[str | bytes | Piece] = []


class Inbox(Watched):
    """What a connection begins with: its queue of messages, and of pieces of a streamed one."""

    __slots__ = ("_items", "_limits", "_taken")

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._items = _EMPTY
        self._taken = 0  # waiting are _items[_taken:]

    def _put(self, item: str | bytes | Piece) -> None:
        if self._items is _EMPTY:
            self._items = [item]
        else:
            self._items.append(item)

    def _take(self) -> str | bytes | Piece:
        item = self._items[self._taken]
        self._taken += 1
        if self._taken == len(self._items):
            self._empty_inbox()
        elif self._taken >= 64 and self._taken * 2 >= len(self._items):
            del self._items[: self._taken]  # amortised: each item moves at most once more
            self._taken = 0
        return item

    def _empty_inbox(self) -> None:
        self._items = _EMPTY
        self._taken = 0

    @property
    def _queued(self) -> int:
        return len(self._items) - self._taken

    def _inbox_over(self, share: float) -> bool:
        """Tell whether the inbox holds this share of its limits, or more."""
        count = self._queued
        if not count:
            return False
        limits = self._limits
        if count >= limits.max_queued_messages * share:
            return True
        waiting = self._items[self._taken :]
        size = count * MESSAGE_OVERHEAD
        for item in waiting:
            size += len(item.data if isinstance(item, Piece) else item)
        return size >= limits.max_queued_bytes * share
