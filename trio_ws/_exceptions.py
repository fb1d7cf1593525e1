"""All that this library raises of its own: blame is in the type, facts are attributes.

WebSocketError
├── ConnectionClosed
│   ├── ConnectionEnded      also trio.EndOfChannel          receive() after a clean close
│   ├── ConnectionBroken     also trio.BrokenResourceError   the peer or the network ended it
│   └── ClosedLocally        also trio.ClosedResourceError   use after our own aclose()
├── HandshakeError
│   ├── ConnectionRejected                                   answered with another response
│   ├── HandshakeTimeout     also TimeoutError
│   ├── TLSFailed
│   └── ProxyError                                           the proxy did not connect us
└── InvalidURL               also ValueError

Invariant: a message made here is one line of bounded length, with a peer's text in it only as a
repr and no password.  No class here has ``__slots__``: their layout would conflict
with Trio's and OSError's.
"""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import TYPE_CHECKING, Literal

import trio

from trio_ws._close import Close, CloseCode

if TYPE_CHECKING:
    from trio_ws.protocol.http import Response

Phase = Literal["connect", "proxy", "tls", "handshake"]

# How much of a response's body, in bytes, or of a URL, in characters, a message shows.
_MAX_SHOWN = 200


class WebSocketError(Exception):
    """Base of all exceptions of this library.  They can be copied and pickled."""

    def __reduce__(self) -> tuple[object, ...]:
        # Not by calling the class with `args`, as exceptions do by themselves: these classes make
        # their message of other arguments.  OSError's __new__ would not take `args` back either.
        state = {**self.__dict__, "args": self.args}
        state.pop("_token", None)
        return _blank, (type(self),), state


class ConnectionClosed(WebSocketError):
    """The connection is closed, or closing: one of the three subclasses says who is to blame.

    ``__cause__`` is the transport's error, if there was one.
    """

    received: Close | None
    """What the peer's Close frame said; ``None`` if none was received."""

    sent: Close | None
    """What our own Close frame said; ``None`` if none was sent."""

    # By which the handler's own connection is known, without a reference to it: that would be a
    # cycle through the traceback.  It says nothing in another process, so it is not pickled.
    _token: object | None = None

    _blame = ""  # before the facts, where the type alone leaves a question

    def __init__(self, received: Close | None, sent: Close | None) -> None:
        super().__init__(self._blame + closing_facts(received, sent))
        self.received = received
        self.sent = sent

    @property
    def code(self) -> int:
        """The close code received; 1005 for a Close without one, 1006 when there was no Close."""
        return CloseCode.ABNORMAL_CLOSURE.value if self.received is None else self.received.code

    @property
    def reason(self) -> str:
        """The close reason received, if any."""
        return "" if self.received is None else self.received.reason

    @property
    def clean(self) -> bool:
        """Whether the closing handshake was completed: both Close frames were seen."""
        return self.received is not None and self.sent is not None


class ConnectionEnded(ConnectionClosed, trio.EndOfChannel):
    """The peer closed cleanly, with 1000, 1001 or no code, and all it sent has been received."""


class ConnectionBroken(ConnectionClosed, trio.BrokenResourceError):
    """The connection ended abnormally, or it was used for sending after the peer closed it."""


class ClosedLocally(ConnectionClosed, trio.ClosedResourceError):
    """The connection was used after it was closed on our own side."""

    _blame = "closed on this side before, by aclose() or the end of its block or handler; "


class HandshakeError(WebSocketError):
    """The opening handshake failed; of this very class when the peer does not speak WebSocket.

    For example, what came is no HTTP response, or the stream ended before there was one; then
    ``__cause__`` is the transport's error, or `EOFError` where the server just hung up.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message)


class ConnectionRejected(HandshakeError):
    """The request for a WebSocket was answered with another response."""

    response: Response
    """The response: status, headers and body, the body cut at ``Limits.max_error_body``."""

    def __init__(self, response: Response) -> None:
        summary = _summary(response)
        if 300 <= response.status <= 399 and (location := response.headers.get("Location")):
            summary += f", a redirect to {_shown(_without_credentials(location))}"
        super().__init__(f"the request was answered with {summary}")
        self.response = response


class HandshakeTimeout(HandshakeError, TimeoutError):
    """The connection was not open within ``Timeouts.open``."""

    phase: Phase
    """What it had come to: "connect" (name lookup and TCP), "proxy" (to it, and through it),
    "tls" or "handshake" (HTTP)."""

    seconds: float
    """How long it was given, in seconds."""

    def __init__(self, phase: Phase, seconds: float) -> None:
        super().__init__(f"{_UNFINISHED[phase]} within {seconds:g} seconds")
        self.phase = phase
        self.seconds = seconds


class TLSFailed(HandshakeError):
    """TLS could not be established; ``__cause__`` is what ``ssl`` says about it."""


class ProxyError(HandshakeError):
    """The proxy could not be reached, or did not connect us; nothing was sent to the server.

    ``__cause__`` is the transport's error, where it was one.
    """

    phase: Literal["connect", "tls", "tunnel"]
    """What failed: "connect" (name lookup of the proxy and TCP to it), "tls" (with the proxy), or
    "tunnel" (what it answered)."""

    response: Response | None
    """What an HTTP proxy answered instead of connecting us: 407 for wrong credentials, say."""

    reply: int | None
    """The code of a SOCKS proxy's reply, if there was one (RFC 1928 section 6)."""

    def __init__(
        self,
        message: str,
        phase: Literal["connect", "tls", "tunnel"],
        *,
        response: Response | None = None,
        reply: int | None = None,
    ) -> None:
        if response is not None:
            message = f"{message} {_summary(response)}"
        super().__init__(message)
        self.phase = phase
        self.response = response
        self.reply = reply


class InvalidURL(WebSocketError, ValueError):
    """A URL that cannot be connected to (RFC 6455 section 3)."""

    url: str
    """The URL, without user and password: ``***`` stands for them."""

    problem: str
    """What is wrong with it."""

    def __init__(self, url: str, problem: str) -> None:
        self.url = _without_credentials(url)
        self.problem = problem
        super().__init__(f"{_shown(self.url)}: {problem}")


_UNFINISHED: dict[Phase, str] = {
    "connect": "the name lookup and the TCP connection did not succeed",
    "proxy": "the proxy did not connect us",
    "tls": "the TLS handshake was not completed",
    "handshake": "the opening handshake was not completed",
}


def _blank(kind: type[WebSocketError]) -> WebSocketError:
    """Return an exception without its state, for ``__setstate__``."""
    return kind.__new__(kind)


def closing_facts(received: Close | None, sent: Close | None) -> str:
    """Say which Close frames there were."""
    if received is None and sent is None:
        return "no Close frame received or sent"
    theirs = "no Close frame received" if received is None else f"received {received}"
    ours = "no Close frame sent" if sent is None else f"sent {sent}"
    return f"{theirs}; {ours}"


def _summary(response: Response) -> str:
    """Return the status, in our own words for it, and the beginning of the body."""
    try:
        status = f"{response.status} ({HTTPStatus(response.status).phrase})"
    except ValueError:
        status = str(response.status)
    if not response.body:
        return status
    # Cut before it is decoded: the peer decides neither on the work nor on the length.
    text = _shown(response.body[:_MAX_SHOWN].decode("utf-8", "replace"))
    return f"{status}: {text}{'...' if len(response.body) > _MAX_SHOWN else ''}"


def _shown(text: str) -> str:
    """Return the repr of a text, cut to a bounded length."""
    return f"{text[:_MAX_SHOWN]!r}{'...' if len(text) > _MAX_SHOWN else ''}"


def _without_credentials(url: str) -> str:
    # All up to the last @: in a URL that cannot be parsed there is no telling where a password
    # ends.  One with a raw "/" or "@" in it, or an @ that was encoded with the rest, is just why.
    return re.sub(r"\A([A-Za-z][A-Za-z0-9+.-]*://)?.*(@|%40)", r"\1***\2", url, flags=re.DOTALL)
