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

# Until something comes a connection has no list of its own; to this one nothing is ever added.
_EMPTY: list[str | bytes | Piece] = []


class Inbox(Watched):
    """What a connection begins with: its queue of messages, and of pieces of a streamed one."""

    __slots__ = ("_items", "_limits")

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        # Back to front: the next one is the last, and to take it is to pop it.
        self._items = _EMPTY

    def _put_all(self, items: list[str | bytes | Piece]) -> None:
        """Queue these in their order; the list is ours from now on.

        Most of the time the queue is empty, and what was read becomes the queue as it is.
        """
        items.reverse()
        items += self._items  # few: nothing is read while there are many
        self._items = items

    def _empty_inbox(self) -> None:
        self._items = _EMPTY

    def _inbox_over(self, share: float) -> bool:
        """Tell whether the inbox holds this share of its limits, or more."""
        count = len(self._items)
        if not count:
            return False
        limits = self._limits
        if count >= limits.max_queued_messages * share:
            return True
        size = count * MESSAGE_OVERHEAD
        for item in self._items:
            size += len(item.data if isinstance(item, Piece) else item)
        return size >= limits.max_queued_bytes * share
