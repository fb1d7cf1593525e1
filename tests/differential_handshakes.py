"""Opening handshakes, ours and those of ``websockets``: the same bytes, and what both make of them.

Compared is whether there is a WebSocket, its subprotocol, and the messages behind the handshake; a
client's refusals by status and body too.  How a server words a refusal, and with which status, is
its own business; `Verdict` keeps ours for the list of differences that there may be.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final
from unittest.mock import patch

from websockets.client import ClientProtocol
from websockets.exceptions import InvalidStatus
from websockets.http11 import Request as TheirRequest
from websockets.protocol import Protocol as TheirProtocol, State as TheirState
from websockets.server import ServerProtocol
from websockets.typing import Subprotocol
from websockets.uri import parse_uri

from tests.differential_connections import Difference, Theirs
from tests.handshake_cases import INTERIM, SUBPROTOCOLS, HandshakeCase
from trio_ws._exceptions import ConnectionRejected
from trio_ws._url import parse_url
from trio_ws.protocol.connection import Event, Protocol
from trio_ws.protocol.handshake import ClientHandshake, ServerHandshake
from trio_ws.protocol.origins import ANY_ORIGIN
from trio_ws.protocol.state import Role, State
from trio_ws.testing._upgrade import SAMPLE_KEY

URL = "ws://localhost/"


@dataclass(frozen=True)
class Verdict:
    """What came of an opening handshake."""

    opened: bool = False
    subprotocol: str | None = None
    events: tuple[Event, ...] = ()
    refused: tuple[int, bytes] | None = None
    """The refusal that a client got."""
    why: str = field(default="", compare=False)
    """What is wrong, in the words of whoever says so."""

    def __str__(self) -> str:
        if self.opened:
            return "opened"
        return f"refused {self.refused[0]}" if self.refused else f"failed: {self.why}"


def our_verdict(case: HandshakeCase) -> Verdict:
    """Return what our end makes of a case."""
    return _our_server(case.reads) if case.role is Role.SERVER else _our_client(case.reads)


def _our_server(reads: Iterable[bytes]) -> Verdict:
    server = ServerHandshake(subprotocols=SUBPROTOCOLS, origins=ANY_ORIGIN)
    for read in (*reads, None):
        server.receive_data(read)
    if server.refusal is not None or server.request is None:
        return Verdict(why=server.refusal.body.decode() if server.refusal else "cut off")
    server.accept()
    events = Protocol(Role.SERVER).receive_data(server.trailing_data)
    return Verdict(opened=True, subprotocol=server.subprotocol, events=tuple(events))


def _our_client(reads: Iterable[bytes]) -> Verdict:
    with patch("trio_ws.protocol._client_handshake.new_key", return_value=SAMPLE_KEY):
        client = ClientHandshake(parse_url(URL), subprotocols=SUBPROTOCOLS)
    for read in (*reads, None):
        client.receive_data(read)
    if isinstance(client.error, ConnectionRejected):
        response = client.error.response
        return Verdict(refused=(response.status, response.body), why=str(client.error))
    if client.state is not State.OPEN:
        return Verdict(why=str(client.error))
    events = Protocol(Role.CLIENT).receive_data(client.trailing_data)
    return Verdict(opened=True, subprotocol=client.subprotocol, events=tuple(events))


def their_verdict(case: HandshakeCase) -> Verdict:
    """Return what the other end makes of a case."""
    protocol: ServerProtocol | ClientProtocol
    stream = case.stream
    if case.role is Role.SERVER:
        protocol = ServerProtocol(subprotocols=_names(), select_subprotocol=_select)
    else:
        protocol = ClientProtocol(parse_uri(URL), subprotocols=_names())
        protocol.key = SAMPLE_KEY
        # Theirs takes the first response for the final one, whatever its status.
        while stream.startswith(INTERIM):
            stream = stream.removeprefix(INTERIM)
    # The first frames apart from the head: nobody sends them before there is an answer, and theirs
    # would take them while it is still asked for one.
    end = stream.find(b"\r\n\r\n") + 4
    head, rest = (stream[:end], stream[end:]) if end > 3 else (stream, b"")
    protocol.receive_data(head)
    _answer(protocol)
    if protocol.state is not TheirState.OPEN:
        protocol.receive_data(rest)
        protocol.receive_eof()
        return _refused(protocol)
    protocol.events_received()
    protocol.data_to_send()
    opened = Theirs(case.role, protocol)
    opened.read(rest)
    events = tuple(opened.account.events)
    return Verdict(opened=True, subprotocol=protocol.subprotocol, events=events)


def _names() -> list[Subprotocol]:
    return [Subprotocol(name) for name in SUBPROTOCOLS]


def _select(protocol: ServerProtocol, offered: Sequence[Subprotocol]) -> Subprotocol | None:
    """Choose as ours does: by default theirs refuses a client that offers nothing it speaks."""
    return next((name for name in _names() if name in offered), None)


def _answer(protocol: TheirProtocol) -> None:
    """Have a server answer, if there is a request."""
    if isinstance(protocol, ServerProtocol):
        for event in protocol.events_received():
            assert isinstance(event, TheirRequest)
            protocol.send_response(protocol.accept(event))


def _refused(protocol: TheirProtocol) -> Verdict:
    exc = protocol.handshake_exc
    if isinstance(exc, InvalidStatus):
        response = exc.response
        return Verdict(refused=(response.status_code, bytes(response.body)), why=str(exc))
    return Verdict(why=f"{exc}: {exc.__cause__}" if exc is not None else "nothing")


# Where they part


@dataclass(frozen=True)
class Allowed:
    """A difference that there may be."""

    ours: re.Pattern[str]
    """What our verdict begins with, as text."""
    theirs: re.Pattern[str]
    """What theirs does."""
    reason: str
    """Why ours is right, or just different."""


def _allowed(ours: str, theirs: str, reason: str) -> Allowed:
    return Allowed(re.compile(ours), re.compile(theirs), reason)


ALLOWED: Final[dict[str, Allowed]] = {
    "Host, or framing of a request": _allowed(
        "failed: (this is not valid HTTP|the Host header is malformed)",
        "opened",
        'Theirs leaves Host to whoever is before it.  "A server MUST respond with a 400 [...] to'
        ' any request message that lacks a Host header field", has two, or one that is invalid'
        " (RFC 9112 section 3.2).  And h11 knows more rules for lengths and the request line.",
    ),
    "target": _allowed(
        "failed: the target of the request is no path",
        "opened",
        "Theirs takes any.  The other forms of RFC 9112 section 3.2 are for proxies.",
    ),
    "control character in the request line": _allowed(
        "failed: a line of the head is malformed",
        "opened",
        "Theirs takes a lone CR into the target, which others read as the end of the line.",
    ),
    "subprotocols": _allowed(
        "failed: the Sec-WebSocket-Protocol header is malformed",
        "opened",
        'Theirs takes them twice.  They "MUST all be unique strings" (RFC 6455 section 4.1).',
    ),
    "much behind the handshake": _allowed(
        "failed: too much was sent",
        "opened",
        "More than max_queued_bytes at once with the handshake: nothing unread is unbounded here.",
    ),
    "other upgrades in a request": _allowed(
        "opened",
        "failed: invalid Upgrade header",
        'A request may name several protocols (RFC 9110 section 7.8); theirs wants "websocket" to'
        " be the only one.",
    ),
    "odd members of a list": _allowed(
        "opened",
        "failed: invalid (Connection|Sec-WebSocket-Protocol) header",
        "Beside what counts there is something empty (RFC 9110 section 5.6.1.2), or in Connection"
        " malformed, which means nothing to us; theirs refuses it.",
    ),
    "Content-Length: 0, 0": _allowed(
        "opened",
        "failed: .*unsupported request body",
        "The same value twice may be taken for one (RFC 9110 section 8.6), and h11 does.",
    ),
    "no extension": _allowed(
        "opened",
        "failed: no extensions supported",
        "The header is there and names none: an empty list (RFC 9110 section 5.6.1.2).",
    ),
    "status line without a space": _allowed(
        "opened",
        "failed: .*invalid HTTP status line",
        'h11 takes "HTTP/1.1 101" without a space at its end, which some servers forget.',
    ),
    "body behind 101": _allowed(
        "failed: (the server's answer is no WebSocket handshake: it announces a body"
        "|this is not valid HTTP/1.1)",
        "opened",
        'A server "MUST NOT send" Content-Length or Transfer-Encoding with 1xx (RFC 9110 section'
        " 8.6, RFC 9112 section 6.1); where frames begin would depend on who reads.",
    ),
    "interim response": _allowed(
        "",
        "refused 1",
        "Ours waits for the final one (RFC 9110 section 15.2), theirs takes it for that.",
    ),
    "invalid framing of a refusal": _allowed(
        "failed: this is not (valid )?HTTP",
        "refused",
        "Theirs takes the first of two, or has no use for the body; ours tells that it is no HTTP.",
    ),
    "HTTP/1.0, status 600": _allowed(
        "refused",
        "failed: .*(unsupported protocol|invalid status code)",
        "As a refusal ours takes what h11 takes, for it tells a user more than that it is odd.",
    ),
    "body of a refusal": _allowed(
        "refused",
        "failed: did not receive a valid HTTP response",
        "Of a body that is too large, cut off or malformed ours keeps the beginning.",
    ),
    "long body of a refusal": _allowed(
        "refused",
        "refused",
        "Ours keeps max_error_body of it, 64 KiB; theirs a mebibyte.",
    ),
}


def compare(case: HandshakeCase) -> str | None:
    """Have both ends judge a case; return the name of the difference that there may be.

    Raises:
        Difference: there is another one.
    """
    ours, theirs = our_verdict(case), their_verdict(case)
    if ours == theirs:
        return None
    for name, allowed in ALLOWED.items():
        if allowed.ours.match(str(ours)) and allowed.theirs.match(str(theirs)):
            return name
    raise Difference(f"{case}\nours:   {ours!r}\ntheirs: {theirs!r}")
