"""What a client comes back from, and when it was asked to."""

import ssl
from collections.abc import Mapping
from email.utils import formatdate

import pytest
import trio

from trio_ws import (
    Close,
    ClosedLocally,
    ConnectionBroken,
    ConnectionEnded,
    ConnectionRejected,
    HandshakeError,
    HandshakeTimeout,
    InvalidURL,
    ProxyError,
    Response,
    TLSFailed,
    is_transient,
)
from trio_ws._transient import retry_after


def caused(error: Exception, cause: Exception) -> Exception:
    """Return an error with a cause."""
    error.__cause__ = cause
    return error


@pytest.mark.parametrize("code", [1001, 1005, 1006, 1011, 1012, 1013, 1014])
def test_code_that_is_transient(code: int) -> None:
    """The server goes away, restarts, is overloaded, or says nothing."""
    assert is_transient(ConnectionBroken(Close(code), None))
    assert is_transient(ConnectionEnded(Close(code), Close(code)))


@pytest.mark.parametrize("code", [1000, 1002, 1003, 1007, 1008, 1009, 1010, 1015, 3000, 4000, 4999])
def test_code_that_is_not(code: int) -> None:
    """It is done, or it would be the same again, or it is the application's."""
    assert not is_transient(ConnectionBroken(Close(code), None))


@pytest.mark.parametrize(
    ("received", "sent", "transient"),
    [
        (None, None, True),
        (None, Close(1011, "keepalive timeout"), True),
        (None, Close(1000), True),
        (None, Close(1002), False),
        (None, Close(1007), False),
        (None, Close(1009), False),
        (Close(1001), Close(1009), True),
        (Close(1002), Close(1001), False),
    ],
)
def test_code_of_ours_counts_where_it_is_a_verdict(
    received: Close | None, sent: Close | None, transient: bool
) -> None:
    """A peer that breaks the rules does so again, whether it answers our Close or hangs up."""
    assert is_transient(ConnectionBroken(received, sent)) is transient


@pytest.mark.parametrize(
    ("status", "transient"),
    [
        *((status, False) for status in (200, 302, 400, 401, 403, 404, 426)),
        *((status, True) for status in (429, 500, 502, 503, 504, 599)),
    ],
)
def test_response_that_is_transient(status: int, transient: bool) -> None:
    """It is the server's trouble; 4xx is ours. The same holds for a proxy's."""
    assert is_transient(ConnectionRejected(Response(status))) is transient
    assert is_transient(ProxyError("no", "tunnel", response=Response(status))) is transient


@pytest.mark.parametrize(
    ("failure", "transient"),
    [
        (OSError("no route"), True),
        (ConnectionRefusedError(), True),
        (HandshakeTimeout("tls", 10), True),
        (HandshakeError("this is not HTTP"), False),
        (caused(HandshakeError("the stream ended"), EOFError()), True),
        (caused(HandshakeError("it broke"), trio.BrokenResourceError()), True),
        (TLSFailed("it hung up"), True),
        (caused(TLSFailed("it hung up"), ssl.SSLEOFError()), True),
        (caused(TLSFailed("it broke"), ConnectionResetError()), True),
        (caused(TLSFailed("wrong name"), ssl.SSLCertVerificationError()), False),
        (caused(TLSFailed("no version"), ssl.SSLError()), False),
        (ProxyError("garbage", "tunnel"), False),
        (caused(ProxyError("not there", "connect"), OSError()), True),
        (ProxyError("it hung up", "tls"), True),
        (caused(ProxyError("wrong name", "tls"), ssl.SSLCertVerificationError()), False),
        (caused(ProxyError("it hung up", "tunnel"), EOFError()), True),
        (ProxyError("no", "tunnel", reply=1), True),
        (ProxyError("no", "tunnel", reply=2), False),
        (ProxyError("no", "tunnel", reply=0x5B), True),
        (ProxyError("no", "tunnel", reply=0x5D), False),
        (InvalidURL("ws:", "no host"), False),
        (ValueError("no such header"), False),
        (ImportError("no library"), False),
    ],
    ids=repr,
)
def test_failure_that_is_transient(failure: Exception, transient: bool) -> None:
    """What the network does is, what somebody said is not."""
    assert is_transient(failure) is transient


def test_own_close_is_done() -> None:
    """Nobody asks, but if somebody did."""
    assert not is_transient(ClosedLocally(Close(1000), Close(1000)))


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, 0),
        ({"Retry-After": "120"}, 120),
        ({"Retry-After": "0"}, 0),
        ({"Retry-After": "9" * 5000}, float("inf")),
        ({"Retry-After": "-5"}, 0),
        ({"Retry-After": "1.5"}, 0),
        ({"Retry-After": "soon"}, 0),
        ({"Retry-After": ""}, 0),
        (
            {
                "Retry-After": "Fri, 31 Dec 1999 23:59:59 GMT",
                "Date": "Fri, 31 Dec 1999 23:59:29 GMT",
            },
            30,
        ),
        (
            {
                "Retry-After": "Fri, 31 Dec 1999 23:59:59 GMT",
                "Date": "Fri, 31 Dec 1999 23:59:59 GMT",
            },
            0,
        ),
        (
            {
                "Retry-After": "Fri, 31 Dec 1999 23:59:00 GMT",
                "Date": "Fri, 31 Dec 1999 23:59:59 GMT",
            },
            0,
        ),
        ({"Retry-After": "Fri, 31 Dec 1999 23:59:59 GMT"}, 0),
        ({"Retry-After": "Fri, 99 Dec 1999 23:59:59 GMT", "Date": "soon"}, 0),
        ({"Retry-After": "Fri, 31 Dec 99999999999 23:59:59 GMT"}, 0),
    ],
)
@pytest.mark.parametrize("status", [429, 503])
def test_retry_after(headers: Mapping[str, str], seconds: float, status: int) -> None:
    """Seconds, or a date by the server's own clock; anything else is nothing."""
    response = Response(status, headers)
    assert retry_after(ConnectionRejected(response)) == seconds
    assert retry_after(ProxyError("no", "tunnel", response=response)) == seconds


def test_retry_after_by_our_own_clock() -> None:
    """Where the server does not say what time it has."""
    response = Response(503, {"Retry-After": formatdate(usegmt=True, timeval=4_000_000_000)})
    assert retry_after(ConnectionRejected(response)) > 1000


@pytest.mark.parametrize("failure", [OSError(), ProxyError("no", "connect"), HandshakeError("no")])
def test_failure_without_a_response_asks_for_nothing(failure: Exception) -> None:
    """There is nowhere to ask it."""
    assert retry_after(failure) == 0
