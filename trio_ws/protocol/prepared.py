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

    __slots__ = ("_frames", "payload", "text")

    payload: bytes
    """What is sent, text as UTF-8."""
    text: bool
    """Whether it is a text message."""

    def __init__(self, message: str | Buffer, *, text: bool | None = None) -> None:
        self.payload, self.text = checked_payload(message, text=text)
        # Those that were made, by what connections that share one have in common.
        self._frames: dict[Hashable, bytes] = {}
