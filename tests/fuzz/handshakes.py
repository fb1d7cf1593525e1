"""Fuzzing the opening handshake: any bytes to a server, any bytes to a client.

Nothing raises, the cutting changes nothing, and what opens a WebSocket does so too for the strict
reader of `trio_ws.testing`, which understood the same fields.
"""

from __future__ import annotations

from collections.abc import Sequence
from unittest.mock import patch

from tests.fuzz.inputs import parse_input
from trio_ws._exceptions import ConnectionRejected, HandshakeError
from trio_ws._options import Limits
from trio_ws._url import parse_url
from trio_ws.protocol.connection import Protocol
from trio_ws.protocol.handshake import ClientHandshake, ServerHandshake
from trio_ws.protocol.http import Response
from trio_ws.protocol.origins import ANY_ORIGIN
from trio_ws.protocol.state import Role, State
from trio_ws.testing._upgrade import (
    SAMPLE_KEY,
    Head,
    check_upgrade_request,
    check_upgrade_response,
    parse_head,
)

SMALL = Limits(max_header_bytes=300, max_headers=8, max_error_body=30, max_queued_bytes=50)
SUBPROTOCOLS = ("chat", "superchat")
URL = parse_url("ws://localhost/")


def whole_head(data: bytes) -> tuple[Head, int]:
    """Return the head with which these bytes begin, and its size."""
    found = parse_head(data)
    assert found is not None
    return found


def server_handshake(data: bytes) -> None:
    """What a client sends a server, frames behind its request included."""
    given = parse_input(data)
    limits = SMALL if given.kind & 1 else Limits()
    whole, cut = (_server(reads, limits) for reads in ([given.stream], given.reads()))
    assert (cut.request, cut.refusal) == (whole.request, whole.refusal)
    assert cut.trailing_data == whole.trailing_data
    assert len(cut.trailing_data) <= limits.max_queued_bytes
    if cut.refusal is not None:
        head_only = given.stream.startswith(b"HEAD ")
        _check_answer(cut.reject(cut.refusal), cut.refusal, head_only=head_only)
    elif cut.request is not None:
        _check_accepted(cut, given.stream)
        Protocol(Role.SERVER, limits).receive_data(cut.trailing_data)
    else:
        cut.receive_data(None)
        assert cut.state is State.CLOSED
        assert cut.reject(Response(400)) == b""


def _server(reads: Sequence[bytes], limits: Limits) -> ServerHandshake:
    handshake = ServerHandshake(limits=limits, subprotocols=SUBPROTOCOLS, origins=ANY_ORIGIN)
    for read in reads:
        handshake.receive_data(read)
    return handshake


def _check_answer(wire: bytes, response: Response, *, head_only: bool) -> None:
    head, size = whole_head(wire)
    assert head.status == response.status >= 400
    assert head.values("Content-Length") == [str(len(response.body))]
    # A request that was not understood is answered with a body, whatever it began with.
    assert wire[size:] == response.body or (head_only and wire[size:] == b"")


def _check_accepted(handshake: ServerHandshake, stream: bytes) -> None:
    head, size = whole_head(stream)
    request = handshake.request
    assert request is not None
    assert (request.method, request.target) == ("GET", head.target)
    assert request.headers.pairs == head.headers
    assert handshake.trailing_data == stream[size:]
    key = check_upgrade_request(head)
    check_upgrade_response(whole_head(handshake.accept())[0], key, head.headers)


def client_handshake(data: bytes) -> None:
    """What a server answers, frames behind its answer included."""
    given = parse_input(data)
    limits = SMALL if given.kind & 1 else Limits()
    whole, cut = (_client(reads, limits) for reads in ([given.stream], given.reads()))
    assert (cut.state, cut.response) == (whole.state, whole.response)
    assert cut.trailing_data == whole.trailing_data
    assert _essence(cut.error) == _essence(whole.error)
    if cut.state is State.OPEN:
        _check_opened(cut, given.stream)
        Protocol(Role.CLIENT, limits).receive_data(cut.trailing_data)
    else:
        assert cut.response is None
        assert str(cut.error).isprintable()
        assert _body_of(cut.error) <= limits.max_error_body


def _client(reads: Sequence[bytes], limits: Limits) -> ClientHandshake:
    with patch("trio_ws.protocol._client_handshake.new_key", return_value=SAMPLE_KEY):
        handshake = ClientHandshake(URL, subprotocols=SUBPROTOCOLS, limits=limits)
    for read in reads:
        handshake.receive_data(read)
    handshake.receive_data(None)
    return handshake


def _essence(error: HandshakeError | None) -> object:
    """Return what of an error must not depend on the cutting: all but what it quotes."""
    if isinstance(error, ConnectionRejected):
        return error.response
    return str(error).partition(":")[0]


def _body_of(error: HandshakeError | None) -> int:
    return len(error.response.body) if isinstance(error, ConnectionRejected) else 0


def _check_opened(handshake: ClientHandshake, stream: bytes) -> None:
    head, size = whole_head(stream)
    while head.status != 101:  # an interim response
        stream = stream[size:]
        head, size = whole_head(stream)
    check_upgrade_response(head, SAMPLE_KEY, [("Sec-WebSocket-Protocol", ", ".join(SUBPROTOCOLS))])
    assert handshake.response is not None
    assert handshake.response.headers.pairs == head.headers
    assert handshake.trailing_data == stream[size:]
