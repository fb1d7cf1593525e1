"""What a peer's bytes mean: the events that `Protocol.receive_data` returns.

Values only, the same for both roles.  A whole message is the bare `str` (text) or `bytes`
(binary), and the peer's Close is a `trio_ws.Close`; the rest is here.
"""

from __future__ import annotations

from dataclasses import dataclass

from trio_ws._close import Close


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of a message that is streamed, as large as it happened to arrive."""

    data: str | bytes
    """`str` in a text message, cut at characters, `bytes` in a binary one.  Empty only where
    ``final``."""

    final: bool
    """Whether the message is complete with it."""


@dataclass(frozen=True, slots=True)
class Ping:
    """A ping of the peer's (RFC 6455 section 5.5.2).  While we are open its pong is queued."""

    payload: bytes = b""
    """What its pong has to carry, at most 125 bytes."""


@dataclass(frozen=True, slots=True)
class Pong:
    """A pong of the peer's (RFC 6455 section 5.5.3), asked for or not."""

    payload: bytes = b""
    """That of the ping it answers, if it answers one."""


Event = str | bytes | Piece | Ping | Pong | Close
