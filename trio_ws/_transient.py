"""What kept a client from its server, judged: will it pass, and when?"""

from __future__ import annotations

import re
import ssl
import time
from email.utils import parsedate_to_datetime

import trio

from trio_ws._close import CloseCode
from trio_ws._exceptions import (
    ConnectionClosed,
    ConnectionRejected,
    HandshakeError,
    HandshakeTimeout,
    ProxyError,
    TLSFailed,
)

_TRANSIENT_CODES = frozenset(
    {
        CloseCode.GOING_AWAY,
        CloseCode.NO_STATUS_RECEIVED,
        CloseCode.ABNORMAL_CLOSURE,
        CloseCode.INTERNAL_ERROR,
        CloseCode.SERVICE_RESTART,
        CloseCode.TRY_AGAIN_LATER,
        CloseCode.BAD_GATEWAY,
    }
)

# What we say to a peer that broke the rules.  It would again, though it did not stay to hear it.
_VERDICTS = frozenset({CloseCode.PROTOCOL_ERROR, CloseCode.INVALID_DATA, CloseCode.MESSAGE_TOO_BIG})

# Failure, unreachable network, unreachable host, refused, expired (RFC 1928 section 6); what SOCKS4
# says in any case but wrong users.
_TRANSIENT_REPLIES = frozenset({1, 3, 4, 5, 6, 0x5B})


def is_transient(failure: Exception) -> bool:
    """Tell whether to connect again after this: what `reconnect_websocket_url` goes by.

    Transient are: errors of the network, name lookup included; `HandshakeTimeout`; responses 5xx
    and 429; connections that ended without a Close frame, or with 1001, 1011 to 1014, or no code.
    What nobody but a person can mend is not: other responses and codes, certificates, wrong
    credentials, a server that speaks something else.

    Args:
        failure: what opening a connection raised, or how it was closed.
    """
    match failure:
        case ConnectionClosed(received=None, sent=sent):
            return sent is None or sent.code not in _VERDICTS
        case ConnectionClosed():
            return failure.code in _TRANSIENT_CODES
        case ConnectionRejected():
            return _is_transient_status(failure.response.status)
        case ProxyError(response=response, reply=reply) if response or reply is not None:
            return (
                _is_transient_status(response.status) if response else reply in _TRANSIENT_REPLIES
            )
        case HandshakeTimeout():
            return True
        case TLSFailed(__cause__=None) | ProxyError(phase="tls", __cause__=None):
            return True  # it just hung up
        case HandshakeError():
            return _is_of_the_network(failure.__cause__)
        case _:
            return isinstance(failure, OSError)


def _is_transient_status(status: int) -> bool:
    return status >= 500 or status == 429


def _is_of_the_network(cause: BaseException | None) -> bool:
    """Tell an end of the stream, or of the way to it, from what was said on it."""
    if isinstance(cause, ssl.SSLError):
        return isinstance(cause, ssl.SSLEOFError | ssl.SSLZeroReturnError)
    return isinstance(cause, OSError | EOFError | trio.BrokenResourceError)


def retry_after(failure: Exception) -> float:
    """Return how long the server asks us to wait, in seconds (RFC 9110 section 10.2.3)."""
    if not isinstance(failure, ConnectionRejected | ProxyError) or failure.response is None:
        return 0
    headers = failure.response.headers
    value = headers.get("Retry-After", "")
    if re.fullmatch("[0-9]+", value):
        return float(value)  # an int of that many digits might not be
    until, now = _timestamp(value), _timestamp(headers.get("Date", ""))
    if until is None:
        return 0
    # By the server's own clock, where we know it.
    return max(0, until - (time.time() if now is None else now))


def _timestamp(date: str) -> float | None:
    try:
        return parsedate_to_datetime(date).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
