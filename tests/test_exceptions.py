"""The exceptions: what they are, what they say, and that they travel."""

import copy
import pickle
from typing import Literal

import pytest
import trio
from hypothesis import given, settings, strategies as st

import trio_ws._exceptions
from trio_ws._close import Close, CloseCode
from trio_ws._exceptions import (
    ClosedLocally,
    ConnectionBroken,
    ConnectionClosed,
    ConnectionEnded,
    ConnectionRejected,
    HandshakeError,
    HandshakeTimeout,
    InvalidURL,
    ProxyError,
    TLSFailed,
    WebSocketError,
)
from trio_ws.protocol.http import Response

GOING_AWAY = Close(1001, "restart")

# One of each, made as the library makes them.
EXCEPTIONS: list[WebSocketError] = [
    WebSocketError("something"),
    ConnectionClosed(GOING_AWAY, None),
    ConnectionEnded(GOING_AWAY, Close(1001)),
    ConnectionBroken(None, None),
    ClosedLocally(None, Close(1000)),
    HandshakeError("no HTTP response"),
    ConnectionRejected(Response(403, {"X-Reason": "age"}, "too young")),
    HandshakeTimeout("tls", 2.5),
    TLSFailed("self-signed certificate"),
    ProxyError("the proxy answered with", "tunnel", response=Response(407, (), "who?")),
    InvalidURL("ftp://host/", "no WebSocket URL"),
]

every_exception = pytest.mark.parametrize(
    "original", EXCEPTIONS, ids=[type(exc).__name__ for exc in EXCEPTIONS]
)


# The tree


@pytest.mark.parametrize(
    ("kind", "bases"),
    [
        (WebSocketError, (Exception,)),
        (ConnectionClosed, (WebSocketError,)),
        (ConnectionEnded, (ConnectionClosed, trio.EndOfChannel)),
        (ConnectionBroken, (ConnectionClosed, trio.BrokenResourceError)),
        (ClosedLocally, (ConnectionClosed, trio.ClosedResourceError)),
        (HandshakeError, (WebSocketError,)),
        (ConnectionRejected, (HandshakeError,)),
        (HandshakeTimeout, (HandshakeError, TimeoutError)),
        (TLSFailed, (HandshakeError,)),
        (ProxyError, (HandshakeError,)),
        (InvalidURL, (WebSocketError, ValueError)),
    ],
)
def test_exception_has_its_place_in_the_tree(
    kind: type[WebSocketError], bases: tuple[type[Exception], ...]
) -> None:
    """What a caller may catch it as does not change."""
    assert kind.__bases__ == bases


def test_tables_of_this_file_have_every_exception() -> None:
    """A new exception needs its place in the tables above."""
    defined = {
        value
        for value in vars(trio_ws._exceptions).values()
        if isinstance(value, type) and issubclass(value, WebSocketError)
    }
    assert {type(exc) for exc in EXCEPTIONS} == defined


@every_exception
def test_exception_is_drawn_in_the_docstring(original: WebSocketError) -> None:
    """The tree at the top of the module has all of them."""
    assert f" {type(original).__name__}" in f" {trio_ws._exceptions.__doc__}".replace("\n", " ")


# Travelling


@every_exception
@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_exception_survives_pickling(original: WebSocketError, protocol: int) -> None:
    """It arrives in another process with all its facts."""
    assert_same(pickle.loads(pickle.dumps(original, protocol)), original)


@every_exception
def test_exception_survives_copying(original: WebSocketError) -> None:
    """A copy has all the facts, and is another exception."""
    for duplicate in (copy.copy(original), copy.deepcopy(original)):
        assert duplicate is not original
        assert_same(duplicate, original)


def assert_same(duplicate: object, original: WebSocketError) -> None:
    """Assert that this is an exception of the same kind that says the same."""
    assert type(duplicate) is type(original)
    assert isinstance(duplicate, WebSocketError)
    assert str(duplicate) == str(original)
    assert repr(duplicate) == repr(original)
    assert duplicate.args == original.args
    assert vars(duplicate) == vars(original)


def test_exception_takes_notes_and_attributes_along() -> None:
    """What a program has added goes with it."""
    original = HandshakeTimeout("connect", 1)
    original.add_note("while fetching quotes")
    duplicate = pickle.loads(pickle.dumps(original))
    assert duplicate.__notes__ == ["while fetching quotes"]
    assert duplicate.phase == "connect"


class QuotaClosed(ConnectionClosed):
    """An exception of some application, with another constructor."""

    def __init__(self, quota: int) -> None:
        super().__init__(Close(4008), None)
        self.quota = quota


def test_exception_of_an_application_survives_pickling() -> None:
    """A subclass may have a constructor of its own."""
    assert_same(pickle.loads(pickle.dumps(QuotaClosed(7))), QuotaClosed(7))


def test_connection_closed_leaves_its_token_at_home() -> None:
    """Which connection it was of means nothing in another process."""
    assert ConnectionBroken(None, None)._token is None
    original = ConnectionBroken(None, None)
    original._token = object()
    assert pickle.loads(pickle.dumps(original))._token is None
    assert_same(pickle.loads(pickle.dumps(original)), ConnectionBroken(None, None))
    assert original._token is not None


# ConnectionClosed


@pytest.mark.parametrize(
    ("received", "sent", "facts", "text"),
    [
        (None, None, (1006, "", False), "no Close frame received or sent"),
        (
            GOING_AWAY,
            Close(1001),
            (1001, "restart", True),
            "received 1001 (going away) 'restart'; sent 1001 (going away)",
        ),
        (
            None,
            Close(1011, "no answer"),
            (1006, "", False),
            "no Close frame received; sent 1011 (internal error) 'no answer'",
        ),
        (
            Close(1005),
            None,
            (1005, "", False),
            "received 1005 (no status received); no Close frame sent",
        ),
        (
            Close(4000, "a\r\n\x1b[0m"),
            Close(4000),
            (4000, "a\r\n\x1b[0m", True),
            r"received 4000 (application) 'a\r\n\x1b[0m'; sent 4000 (application)",
        ),
    ],
)
def test_connection_closed_says_what_both_sides_said(
    received: Close | None, sent: Close | None, facts: tuple[int, str, bool], text: str
) -> None:
    """The code and reason are those received; F15: the text is one line."""
    exc = ConnectionClosed(received, sent)
    assert (exc.received, exc.sent) == (received, sent)
    assert (exc.code, exc.reason, exc.clean) == facts
    assert str(exc) == text


@pytest.mark.parametrize("received", [None, Close(1000), Close(CloseCode.GOING_AWAY)])
def test_connection_closed_code_can_be_compared_with_close_codes(received: Close | None) -> None:
    """A code is a number, whether it has a name or not."""
    code = ConnectionClosed(received, None).code
    assert CloseCode(code) == code


# The opening handshake


@pytest.mark.parametrize(
    ("response", "text"),
    [
        (Response(404), "the request was answered with 404 (Not Found)"),
        (
            Response(403, (), "too young"),
            "the request was answered with 403 (Forbidden): 'too young'",
        ),
        (Response(599, (), b"?"), "the request was answered with 599: '?'"),
        (Response(200, (), b"a\r\n\x1b]0;\x07\xff"), None),
        (Response(500, (), "\x9b31m\u202e" * 100), None),
        # The words for the status are ours, not the peer's.
        (
            Response(403, (), b"", "\x9b31mForbidden"),
            "the request was answered with 403 (Forbidden)",
        ),
    ],
)
def test_connection_rejected_names_status_and_body(response: Response, text: str | None) -> None:
    """F15: the text is one bounded line, whatever the response."""
    exc = ConnectionRejected(response)
    assert exc.response is response
    assert str(exc).isprintable()
    assert text is None or str(exc) == text


def test_connection_rejected_shows_the_beginning_of_a_long_body() -> None:
    """200 bytes tell what it is about."""
    assert str(ConnectionRejected(Response(500, (), b"x" * 200))).endswith(f"'{'x' * 200}'")
    assert str(ConnectionRejected(Response(500, (), b"x" * 201))).endswith(f"'{'x' * 200}'...")


@settings(deadline=None)
@given(status=st.integers(200, 599), body=st.binary(max_size=1000))
def test_connection_rejected_is_one_bounded_line_whatever_the_body(
    status: int, body: bytes
) -> None:
    """No body makes a text that a terminal or a log could trip over."""
    text = str(ConnectionRejected(Response(status, (), b"" if status in {204, 304} else body)))
    assert text.isprintable()
    assert len(text) < 1000


@pytest.mark.parametrize(
    ("phase", "text"),
    [
        ("connect", "the name lookup and the TCP connection did not succeed within 2.5 seconds"),
        ("proxy", "the proxy did not connect us within 2.5 seconds"),
        ("tls", "the TLS handshake was not completed within 2.5 seconds"),
        ("handshake", "the opening handshake was not completed within 2.5 seconds"),
    ],
)
def test_handshake_timeout_names_its_phase(
    phase: Literal["connect", "proxy", "tls", "handshake"], text: str
) -> None:
    """It says how far it had come, and is no OSError with a number."""
    exc = HandshakeTimeout(phase, 2.5)
    assert (exc.phase, exc.seconds) == (phase, 2.5)
    assert str(exc) == text
    assert exc.errno is None


@pytest.mark.parametrize(
    ("location", "shown"),
    [
        ("/elsewhere", "'/elsewhere'"),
        ("https://user:secret@host/", "'https://***@host/'"),
        ("/" + "x" * 300, "'/" + "x" * 199 + "'..."),
    ],
)
def test_rejection_shows_where_it_redirects(location: str, shown: str) -> None:
    """Without a password, and not at any length."""
    exc = ConnectionRejected(Response(302, {"Location": location}))
    assert str(exc) == f"the request was answered with 302 (Found), a redirect to {shown}"


@pytest.mark.parametrize("response", [Response(302), Response(201, {"Location": "/elsewhere"})])
def test_rejection_without_a_redirect_shows_none(response: Response) -> None:
    """With other statuses a Location means something else."""
    assert "redirect" not in str(ConnectionRejected(response))


def test_proxy_error_has_facts() -> None:
    """What failed, and what was answered."""
    exc = ProxyError("the proxy answered with", "tunnel", response=Response(407, (), "who?"))
    expected = "the proxy answered with 407 (Proxy Authentication Required): 'who?'"
    assert str(exc) == expected
    assert (exc.phase, exc.reply) == ("tunnel", None)
    assert exc.response is not None
    other = ProxyError("no", "connect", reply=5)
    assert (str(other), other.phase, other.response, other.reply) == ("no", "connect", None, 5)


# InvalidURL


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("ftp://host/", "ftp://host/"),
        ("", ""),
        ("ws://user:secret@host:0/", "ws://***@host:0/"),
        ("WS://secret@host:0/", "WS://***@host:0/"),
        ("ws://user:sec/ret@host/", "ws://***@host/"),
        ("ws://user:sec@ret@host/", "ws://***@host/"),
        ("ws://user:sec#ret@host/", "ws://***@host/"),
        ("ws://user:sec?ret@host/", "ws://***@host/"),
        ("ws://user:sec\nret@host/", "ws://***@host/"),
        ("ws://user:secret%40host/", "ws://***%40host/"),
        ("user:secret@host", "***@host"),
        ("ws:user:secret@host", "***@host"),
        ("://user:secret@host", "***@host"),
        ("ws://***@host:0/", "ws://***@host:0/"),
    ],
)
def test_invalid_url_never_shows_a_password(url: str, shown: str) -> None:
    """Neither text nor attribute nor arguments have it, however wrong the URL is."""
    exc = InvalidURL(url, "it is wrong")
    assert (exc.url, exc.problem) == (shown, "it is wrong")
    assert str(exc) == f"{shown!r}: it is wrong"
    assert "sec" not in f"{exc!r}{exc.args}{vars(exc)}{pickle.dumps(exc)!r}"


def test_invalid_url_is_one_bounded_line() -> None:
    """F15: a URL may come from anywhere too."""
    exc = InvalidURL("ws://\r\n\x1b[2J\ud800" + "x" * 1000, "it is wrong")
    assert str(exc).isprintable()
    assert str(exc).startswith(r"'ws://\r\n\x1b[2J\ud800xxx")
    assert str(exc).endswith("x'...: it is wrong")
    assert len(str(exc)) < 300
