"""Fuzzing what users hand in as text: URLs, and headers of requests and responses.

It is refused by an exception that says so, or the bytes that are made of it read back as the same.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from tests.fuzz.handshakes import whole_head
from tests.fuzz.inputs import parse_input
from trio_ws._exceptions import InvalidURL
from trio_ws._url import parse_url
from trio_ws.protocol.handshake import Accept, ClientHandshake, ServerHandshake
from trio_ws.protocol.http import Response
from trio_ws.testing import upgrade_request

T = TypeVar("T")

Pairs = list[tuple[str, str]]


def as_text(data: bytes) -> str:
    """Return any bytes as text, half characters and all."""
    return data.decode("utf-8", "surrogateescape")


def url(data: bytes) -> None:
    """A URL: what is made of it, a server of ours understands as it was meant."""
    text = as_text(data)
    try:
        parsed = parse_url(text)
    except InvalidURL as exc:
        assert str(exc).isprintable()  # noqa: PT017 - it may be made as well
        return
    assert parse_url(str(parsed)).host == parsed.host
    request = ClientHandshake(parsed).data_to_send()
    server = ServerHandshake()
    server.receive_data(request)
    assert server.refusal is None
    assert server.request is not None
    assert server.request.target == parsed.target
    assert server.request.headers["Host"] == parsed.host_header
    assert server.request.headers.get("Authorization") == parsed.authorization


def headers(data: bytes) -> None:
    """Headers of a request, of an answer that accepts, and of one that refuses."""
    given = parse_input(data)
    pairs = [_pair(line) for line in given.stream.split(b"\n\n")]
    _request_headers(pairs)
    _accept_headers(pairs)
    _response_headers(pairs, given.how + given.kind * 4)


def _pair(line: bytes) -> tuple[str, str]:
    name, _, value = as_text(line).partition("=")
    return name, value


def _made(make: Callable[[], T]) -> T | None:
    """Return what is made, ``None`` where that is refused by a ``ValueError`` of ours."""
    try:
        return make()
    except UnicodeError:  # not ours: it came from further down
        raise
    except ValueError as exc:
        assert str(exc).isprintable()  # noqa: PT017 - it may be made as well
        return None


def _request_headers(pairs: Pairs) -> None:
    handshake = _made(lambda: ClientHandshake(parse_url("ws://localhost/"), headers=pairs))
    if handshake is not None:
        wire = handshake.data_to_send()
        head, size = whole_head(wire)
        assert size == len(wire)
        assert head.start == "GET / HTTP/1.1"
        # Host is written first, and so in our own way.
        given = {("Host" if name.lower() == "host" else name, value) for name, value in pairs}
        assert given <= set(head.headers)


def _accept_headers(pairs: Pairs) -> None:
    server = ServerHandshake()
    server.receive_data(upgrade_request())
    accept = _made(lambda: Accept(headers=pairs))
    if accept is not None:
        wire = server.accept(accept)
        head, size = whole_head(wire)
        assert size == len(wire)
        assert list(head.headers[-len(pairs) :]) == pairs


def _response_headers(pairs: Pairs, status: int) -> None:
    server = ServerHandshake()
    reason, body = pairs[0]
    try:
        response = Response(status, pairs[1:], body, reason)
    except ValueError as exc:  # a surrogate in a body has no UTF-8
        assert isinstance(exc, UnicodeEncodeError) or str(exc).isprintable()  # noqa: PT017 - as above
        return
    wire = server.reject(response)
    head, size = whole_head(wire)
    assert head.start == f"HTTP/1.1 {status} {response.reason}"
    assert set(pairs[1:]) <= set(head.headers)
    assert wire[size:] == body.encode()
