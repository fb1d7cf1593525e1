"""A message for many connections, which is encoded once for all that can share the frame."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trio_ws.protocol.arguments import checked_payload

if TYPE_CHECKING:
    from collections.abc import Hashable

    from typing_extensions import Buffer


class PreparedMessage:
    """A message that `Protocol.send_prepared` of any number of connections takes.

    Args:
        message: `str` for a text message, or bytes-like.
        text: ``True`` makes a text message of UTF-8 bytes too; ``None`` goes by the type.

    Raises:
        TypeError, ValueError: as `Protocol.send`.
    """

    __slots__ = ("frames", "payload", "text")

    def __init__(self, message: str | Buffer, *, text: bool | None = None) -> None:
        self.payload: bytes
        self.text: bool
        self.payload, self.text = checked_payload(message, text=text)
        self.frames: dict[Hashable, bytes] = {}
        """Those that were made, by what connections that share one have in common."""
