"""The payload of an unfragmented message that comes in parts, unmasked and decoded as it comes.

A large message takes many reads; to give each of them to wsproto costs several copies and a slow
unmasking.  Its header was judged before, so that nothing is left to judge but UTF-8, which fails
at the first byte that is wrong.
"""

from __future__ import annotations

import codecs

from trio_ws.protocol.lane import Gathered, mask


class Payload:
    """What is to come of one frame.

    Args:
        size: how much that is, in bytes.
        key: the masking key, empty when it is not masked.
        text: whether it is text.
        whole: whether nobody wants the parts of it by themselves.
    """

    __slots__ = ("_cut", "_gathered", "_key", "_text", "left")

    def __init__(self, size: int, key: bytes, *, text: bool, whole: bool = False) -> None:
        self.left: int = size
        """How much has not come yet, in bytes."""
        # Text is decoded as it comes, to fail as soon as it is wrong; so there are parts of it.
        self._gathered = Gathered(size) if whole and not text else None
        self._key = key
        self._text = text
        self._cut = b""  # the beginning of a character whose end has not come

    def take(self, data: bytes) -> str | bytes:
        """Return what the next part says; a character that is cut comes with the next one.

        Of binary data that is wanted whole, everything comes with the last part.

        Raises:
            UnicodeDecodeError: it is text, and not UTF-8.
        """
        self.left -= len(data)
        key, turn = self._key, len(data) % 4
        self._key = key[turn:] + key[:turn]
        if self._gathered is not None:
            self._gathered.add(data, key)
            return b"" if self.left else self.divide()
        if key:
            data = mask(data, key)
        if not self._text:
            return data
        if self._cut:
            data = self._cut + data
        text, used = codecs.utf_8_decode(data, "strict", not self.left)
        self._cut = data[used:]
        return text

    def divide(self) -> bytes:
        """Return what was kept for the end; from now on each part comes by itself."""
        gathered, self._gathered = self._gathered, None
        return b"" if gathered is None else gathered.take()
