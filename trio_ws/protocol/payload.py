"""The payload of an unfragmented message that comes in parts, unmasked and decoded as it comes.

A large message takes many reads; to give each of them to wsproto costs several copies and a slow
unmasking.  Its header was judged before, so that nothing is left to judge but UTF-8, which fails
at the first byte that is wrong.
"""

from __future__ import annotations

import codecs

from trio_ws.protocol.lane import mask


class Payload:
    """What is to come of one frame."""

    __slots__ = ("_cut", "_key", "_text", "left")

    def __init__(self, size: int, key: bytes, *, text: bool) -> None:
        self.left: int = size
        """How much has not come yet, in bytes."""
        self._key = key  # empty: not masked
        self._text = text
        self._cut = b""  # the beginning of a character whose end has not come

    def take(self, data: bytes) -> str | bytes:
        """Return what the next part says; a character that is cut comes with the next one.

        Raises:
            UnicodeDecodeError: it is text, and not UTF-8.
        """
        self.left -= len(data)
        if self._key:
            data, turn = mask(data, self._key), len(data) % 4
            self._key = self._key[turn:] + self._key[:turn]
        if not self._text:
            return data
        if self._cut:
            data = self._cut + data
        text, used = codecs.utf_8_decode(data, "strict", not self.left)
        self._cut = data[used:]
        return text
