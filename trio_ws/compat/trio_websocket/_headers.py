"""Headers as trio-websocket has them: a list of pairs of `bytes`, names in lower case."""

from __future__ import annotations

from collections.abc import Iterable

from trio_ws.protocol.http import FRAMING_HEADERS, Headers

Pairs = list[tuple[bytes, bytes]]

# What wsproto keeps to itself of a request, and of a response that opens.
_OF_REQUESTS = frozenset({"host", "sec-websocket-extensions", "sec-websocket-protocol"})
_OF_RESPONSES = frozenset(
    {
        *("connection", "upgrade", "sec-websocket-accept"),
        *("sec-websocket-extensions", "sec-websocket-protocol"),
    }
)


def request_pairs(headers: Headers) -> Pairs:
    """Return the headers of a request that a server shows."""
    return pairs(headers, without=_OF_REQUESTS)


def response_pairs(headers: Headers) -> Pairs:
    """Return the headers of a response that a client shows."""
    return pairs(headers, without=_OF_RESPONSES)


def pairs(headers: Headers, *, without: frozenset[str] = frozenset()) -> Pairs:
    """Return headers, but for those of these names, which are in lower case."""
    return [
        (name.lower().encode("latin-1"), value.encode("latin-1"))
        for name, value in headers.pairs
        if name.lower() not in without
    ]


def from_pairs(given: Iterable[tuple[bytes, bytes]] | None) -> list[tuple[str, str]]:
    """Return what a user gave as ``extra_headers`` as trio_ws wants it."""
    return [(_text(name), _text(value)) for name, value in given or ()]


def of_rejection(given: Iterable[tuple[bytes, bytes]] | None) -> list[tuple[str, str]]:
    """Return what a user gave for a response, but for its framing, which is not the user's."""
    return [pair for pair in from_pairs(given) if pair[0].lower() not in FRAMING_HEADERS]


def _text(given: bytes | str) -> str:
    # wsproto takes str as well, whatever the annotations say.
    return given if isinstance(given, str) else bytes(given).decode("latin-1")
