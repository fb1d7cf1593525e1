"""A message on its way in: how much of it is announced, and what of it has come.

Lives here: the limits on one message, and what becomes of its parts, which are collected, handed
on as they come, or thrown away.  Nothing here parses; the parts come decoded.

Invariant: parts are joined early.  What is held is the message so far and never more than a few
dozen parts: 200,000 reads of one byte each hold 200,000 bytes, not 200,000 objects.
"""

from __future__ import annotations

import enum

from trio_ws._options import Limits
from trio_ws.protocol.events import Piece
from trio_ws.protocol.parts import Parts


class Delivery(enum.Enum):
    """What becomes of the parts of a message."""

    WHOLE = enum.auto()
    STREAMED = enum.auto()
    SKIPPED = enum.auto()


class IncomingMessage:
    """One message that is being received, over any number of frames and reads."""

    __slots__ = (
        "_collected",
        "_fragments",
        "_max_fragments",
        "_max_size",
        "_size",
        "delivery",
    )

    def __init__(
        self,
        delivery: Delivery,
        max_size: int | None,
        max_fragments: int | None = None,
    ) -> None:
        self.delivery: Delivery = delivery
        self._max_size = max_size
        self._max_fragments = max_fragments
        self._size = 0
        self._fragments = 0
        self._collected: Parts | None = None

    @classmethod
    def whole(cls, limits: Limits) -> IncomingMessage:
        """Return a message that is to be collected, within these limits."""
        return cls(Delivery.WHOLE, limits.max_message_size, limits.max_fragments)

    @classmethod
    def streamed(cls, max_size: int | None) -> IncomingMessage:
        """Return a message that is to be handed on as it comes, of at most so many bytes."""
        return cls(Delivery.STREAMED, max_size)

    def admit(self, payload_size: int) -> str | None:
        """Count one more frame by its announced size, or say which limit it exceeds.

        The announcement counts, not what has come: nobody shall wait for a gigabyte to be told
        that a megabyte is allowed.  A frame that is refused is not counted.
        """
        size = self._size + payload_size
        if self._max_size is not None and size > self._max_size:
            return _too_large(size, self._max_size)
        if self._max_fragments is not None and self._fragments >= self._max_fragments:
            return f"message of more than {self._max_fragments} fragments"
        self._size = size
        self._fragments += 1
        return None

    @property
    def room(self) -> int | None:
        """How many bytes may be added to those that were announced; ``None``: any number."""
        return None if self._max_size is None else self._max_size - self._size

    def count(self, size: int) -> None:
        """Count bytes that were not announced: those of a compressed message, within its `room`."""
        self._size += size

    @property
    def overflow(self) -> str:
        """What to say when there is more than there is `room` for."""
        assert self._max_size is not None
        return _too_large(self._max_size + 1, self._max_size)

    def add(self, data: str | bytes, *, final: bool) -> str | bytes | Piece | None:
        """Take what has come of the message; return what is to be handed on now, if anything."""
        if self.delivery is Delivery.WHOLE:
            if self._collected is None and final:
                return data
            if data:
                self._collect(data)
            return self.take() if final else None
        if self.delivery is Delivery.STREAMED and (data or final):
            return Piece(data, final)
        return None

    def stream(self, max_size: int | None) -> str | None:
        """Hand the rest on as it comes; say so if the message is larger than that already.

        What was collected is to be had by `take`.
        """
        self.delivery = Delivery.STREAMED
        self._max_size = max_size
        self._max_fragments = None  # nothing is stored any more, so they may be many
        if max_size is not None and self._size > max_size:
            return _too_large(self._size, max_size)
        return None

    def take(self) -> str | bytes:
        """Return what was collected, and forget it; empty when there is nothing."""
        collected, self._collected = self._collected, None
        return b"" if collected is None else collected.join()

    def _collect(self, data: str | bytes) -> None:
        if self._collected is None:
            self._collected = Parts()
        self._collected.add(data)


def _too_large(size: int, max_size: int) -> str:
    return f"message of {size} bytes or more, {max_size} are accepted"
