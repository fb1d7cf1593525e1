"""Close codes and reasons: what a Close frame says, and what may be said in one.

Lives here: the value that both directions share.  `Close` takes whatever a peer sent, for a value
must be able to tell what happened; `checked_close` is the only door for what we send.  What a peer
may send is decided where its frames are parsed, not here.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

# "All control frames MUST have a payload length of 125 bytes or less" (RFC 6455 section 5.5); the
# code takes two of them.
MAX_REASON_BYTES = 123


class CloseCode(enum.IntEnum):
    """The close codes with a meaning of their own (RFC 6455 section 7.4.1 and its registry)."""

    NORMAL_CLOSURE = 1000
    """What the connection was made for is done."""
    GOING_AWAY = 1001
    """A server goes down, or a browser leaves the page."""
    PROTOCOL_ERROR = 1002
    """The peer broke the protocol."""
    UNSUPPORTED_DATA = 1003
    """A kind of message that cannot be handled, such as binary where only text is."""
    NO_STATUS_RECEIVED = 1005
    """Never sent: stands for a Close frame without a code."""
    ABNORMAL_CLOSURE = 1006
    """Never sent: stands for an end without a Close frame."""
    INVALID_DATA = 1007
    """The content of a message does not fit its kind, such as text that is not UTF-8."""
    POLICY_VIOLATION = 1008
    """A message against the rules, where no other code fits or the rule is not to be told."""
    MESSAGE_TOO_BIG = 1009
    """A message over the receiver's limits."""
    MANDATORY_EXTENSION = 1010
    """Sent by clients: the server did not agree to an extension that they need."""
    INTERNAL_ERROR = 1011
    """Something unexpected kept us from going on."""
    SERVICE_RESTART = 1012
    """The server restarts: come again, after a random delay."""
    TRY_AGAIN_LATER = 1013
    """The server has too much to do."""
    BAD_GATEWAY = 1014
    """A gateway got an invalid answer from the server behind it."""
    TLS_HANDSHAKE = 1015
    """Never sent: stands for a TLS handshake that failed."""


# Each of them "is a reserved value and MUST NOT be set as a status code in a Close control frame by
# an endpoint" (RFC 6455 section 7.4.1).
_NEVER_SENT = frozenset(
    {CloseCode.NO_STATUS_RECEIVED, CloseCode.ABNORMAL_CLOSURE, CloseCode.TLS_HANDSHAKE}
)
_CLEAN = frozenset({CloseCode.NORMAL_CLOSURE, CloseCode.GOING_AWAY, CloseCode.NO_STATUS_RECEIVED})


@dataclass(frozen=True, slots=True)
class Close:
    """What a Close frame says (RFC 6455 section 5.5.1): as text ``1001 (going away) 'reason'``."""

    code: int = CloseCode.NORMAL_CLOSURE.value
    """The close code; 1005 when the frame carried none."""

    reason: str = ""
    """The close reason, for people who debug, not for users; often empty."""

    @property
    def clean(self) -> bool:
        """Whether whoever sent this was simply done: 1000, 1001, or no code at all."""
        return self.code in _CLEAN

    def __str__(self) -> str:
        text = f"{int(self.code)} ({_meaning(self.code)})"
        # The reason is the peer's text.  Its repr has no line break, no escape sequence of a
        # terminal and no invisible character in it, so that one event stays one line of a log.
        return f"{text} {self.reason!r}" if self.reason else text


def checked_close(code: int, reason: str) -> Close:
    """Return what a Close frame is to say, when it may (RFC 6455 section 7.4).

    Args:
        code: 1000 to 1003, 1007 to 1014, or 3000 to 4999.
        reason: at most 123 bytes of UTF-8.

    Raises:
        TypeError: the code is no `int` (or a `bool`), or the reason no `str`.
        ValueError: the code must not be sent, or the reason is too long or has no UTF-8 (because
            of a lone surrogate).
    """
    return Close(_checked_code(code), _checked_reason(reason))


def _checked_code(code: object) -> int:
    if not isinstance(code, int) or isinstance(code, bool):
        hint = ": write reason=... for a reason" if isinstance(code, str) else ""
        raise TypeError(f"a close code must be an int, not {type(code).__name__}{hint}")
    if not _may_be_sent(code):
        raise ValueError(
            f"close code {int(code)} must not be sent; 1000 to 1003, 1007 to 1014 and 3000 to 4999"
            " may be, of which 4000 to 4999 are free for applications"
        )
    # A plain number, whether it came as CloseCode or not: what was sent looks the same in logs.
    return int(code)


def _may_be_sent(code: int) -> bool:
    # "0-999: Status codes in the range 0-999 are not used", 1004 is "Reserved", 1016-2999 "are
    # reserved for definition by this protocol", 3000-3999 by "libraries, frameworks, and
    # applications" and 4000-4999 "for private use" (RFC 6455 section 7.4).
    return 3000 <= code <= 4999 or (_name(code) is not None and code not in _NEVER_SENT)


def _checked_reason(reason: object) -> str:
    if not isinstance(reason, str):
        raise TypeError(f"a close reason must be a str, not {type(reason).__name__}")
    size = len(reason.encode())  # UnicodeEncodeError, which is a ValueError, for a lone surrogate
    if size > MAX_REASON_BYTES:
        raise ValueError(
            f"a close reason may have {MAX_REASON_BYTES} bytes of UTF-8, this has {size}"
        )
    return reason


def _meaning(code: int) -> str:
    if 3000 <= code <= 3999:
        return "registered"
    if 4000 <= code <= 4999:
        return "application"
    return _name(code) or "unknown"


def _name(code: int) -> str | None:
    """Return the name of a code in words, if it has one."""
    try:
        return CloseCode(code).name.lower().replace("_", " ")
    except ValueError:
        return None
