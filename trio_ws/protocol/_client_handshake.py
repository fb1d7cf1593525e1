"""The client's side of the opening handshake (RFC 6455 section 4.1).

Lives here: the request we make, and what its answer must be.  Where to connect, and how long to
wait, is the caller's business; so is a redirect, which is an answer like any other refusal.

Invariant: nothing a server sends raises; it opens the WebSocket, or becomes an `error` for the
caller to raise.  What a server sends is bounded, whatever it is: interim responses and heads by
``max_header_bytes`` and ``max_headers`` together, the body of a refusal by ``max_error_body``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from trio_ws._exceptions import ConnectionRejected, HandshakeError
from trio_ws._options import Deflate, Limits
from trio_ws._url import WebSocketURL
from trio_ws.protocol._exchange import BadMessage, ResponseReader
from trio_ws.protocol._headers import Headers, HeadersLike, list_members
from trio_ws.protocol._upgrade import (
    accept_value,
    checked_extra_headers,
    checked_subprotocols,
    new_key,
)
from trio_ws.protocol.http import Request, Response, has_member, parse_authority
from trio_ws.protocol.negotiation import conclude, offer
from trio_ws.protocol.state import State

# What the handshake makes of its other arguments, unless it is given as a header.
_ONCE: Final = ("Host", "Origin", "Authorization")

# RFC 9112 section 3.2.1, visible characters; "Fragment identifiers are meaningless in the context
# of WebSocket URIs" (RFC 6455 section 3).
_TARGET = re.compile(r"/[!-\"$-~]*")


class ClientHandshake:
    """One opening handshake, from our request to the server's answer.

    Send `data_to_send`, then feed `receive_data` until `state` is no longer CONNECTING.

    Args:
        url: whom to ask, and for what.
        subprotocols: offered, in order of preference.
        headers: further headers.  Host, Origin and Authorization may be among them, once each, and
            take precedence over what the URL says.
        origin: the Origin header, which programs need not send.
        compression: what to offer; ``None``: nothing.
        limits: of what the server answers.

    Raises:
        TypeError, ValueError: this cannot make a request.
    """

    __slots__ = (
        "_compression",
        "_limits",
        "_offered",
        "_reader",
        "_to_send",
        "_trailing",
        "compression",
        "error",
        "request",
        "response",
        "state",
        "subprotocol",
    )

    state: State
    """CONNECTING until the server has answered, then OPEN, or CLOSED with an `error`."""

    request: Request
    """Our request."""

    response: Response | None
    """The server's answer, where it opens the WebSocket; any other is in the `error`."""

    subprotocol: str | None
    """The subprotocol that the server chose."""

    compression: Deflate | None
    """The compression agreed on, for the `Protocol`; ``None`` when nothing is to be compressed."""

    error: HandshakeError | None
    """For the caller to raise: `ConnectionRejected` where the server answered with another
    response, which is in it, otherwise why its answer is none."""

    def __init__(
        self,
        url: WebSocketURL,
        *,
        subprotocols: Sequence[str] = (),
        headers: HeadersLike = (),
        origin: str | None = None,
        compression: Deflate | None = None,
        limits: Limits = Limits(),
    ) -> None:
        self._offered = checked_subprotocols(subprotocols)
        self._compression = compression
        self.request = _request(
            url, self._offered, compression, checked_extra_headers(headers), origin
        )
        self.response = None
        self.subprotocol = None
        self.compression = None
        self.error = None
        self.state = State.CONNECTING
        self._limits = limits
        # Let go of when there is an answer: it holds a parser and its buffers.
        self._reader: ResponseReader | None = ResponseReader(self.request, limits)
        self._to_send = self._reader.request_bytes
        self._trailing = bytearray()

    @property
    def trailing_data(self) -> bytes:
        """What has come behind the answer that opens the WebSocket: the first frames."""
        return bytes(self._trailing)

    def data_to_send(self) -> bytes:
        """Return the request, the first time."""
        data, self._to_send = self._to_send, b""
        return data

    def receive_data(self, data: bytes | None) -> None:
        """Take what the server sent, ``None`` for the end of its stream.

        Never raises on anything sent.  Stop reading once the state is no longer CONNECTING; what
        comes nevertheless behind an answer that opens is kept in `trailing_data`, within limits.
        """
        if self._reader is None:
            self._keep(data or b"")
            return
        try:
            response = self._reader.receive(data)
            if response is None:
                return
            if response.status == 101:
                self._open(response, self._reader.take_rest())
            else:
                self._fail(ConnectionRejected(response))
        except BadMessage as exc:
            self._fail(HandshakeError(f"{exc}: {exc.detail}" if exc.detail else str(exc)))

    def _open(self, response: Response, rest: bytes) -> None:
        problem = self._problem_of(response.headers)
        if problem is not None:
            raise BadMessage(f"the server's answer is no WebSocket handshake: {problem}")
        self.response = response
        self.subprotocol = response.headers.get("Sec-WebSocket-Protocol")
        self.state = State.OPEN
        self._reader = None
        self._keep(rest)

    def _problem_of(self, headers: Headers) -> str | None:
        """Say what is wrong with an answer 101; ``None`` for one that opens (section 4.1)."""
        # "[...] or the |Upgrade| header field contains a value that is not an ASCII
        # case-insensitive match for the value "websocket"": it is the one thing to change to.
        upgrade = list_members(headers.get_all("Upgrade"))
        if [each.lower() for each in upgrade] != ["websocket"]:
            return f"its Upgrade header names {upgrade!r:.100}"
        if not has_member(headers.get_all("Connection"), "upgrade"):
            return "its Connection header does not name Upgrade"
        accept = headers.get_all("Sec-WebSocket-Accept")
        if accept != [accept_value(self.request.headers["Sec-WebSocket-Key"])]:
            return f"its Sec-WebSocket-Accept is {accept!r:.100}, which does not answer our key"
        chosen = headers.get_all("Sec-WebSocket-Protocol")
        if len(chosen) > 1 or not set(chosen) <= set(self._offered):
            return (
                f"it chose the subprotocol {', '.join(chosen)!r:.100}, which was not offered"
                f" by subprotocols={list(self._offered)!r:.200}"
            )
        try:
            self.compression = conclude(
                self._compression, headers.get_all("Sec-WebSocket-Extensions")
            )
        except ValueError as exc:
            return f"its Sec-WebSocket-Extensions: {exc}"
        if "Transfer-Encoding" in headers or headers.get("Content-Length", "0") != "0":
            return "it announces a body, which a switch of protocols has none of"
        return None

    def _keep(self, data: bytes) -> None:
        if self.state is State.OPEN:
            self._trailing += data
            if len(self._trailing) > self._limits.max_queued_bytes:
                self._fail(HandshakeError("too much was sent behind the server's answer"))

    def _fail(self, error: HandshakeError) -> None:
        self.error = error
        self.state = State.CLOSED
        self.response = None
        self._reader = None
        self._trailing.clear()


def _request(
    url: WebSocketURL,
    subprotocols: tuple[str, ...],
    compression: Deflate | None,
    extra: Headers,
    origin: str | None,
) -> Request:
    for name in _ONCE:
        if len(extra.get_all(name)) > 1:
            raise ValueError(f"there may be only one {name} header")
    if origin is not None and "Origin" in extra:
        raise ValueError("the origin is given twice: as such, and in the headers")
    host = extra.get("Host", url.host_header)
    if parse_authority(host) is None:
        raise ValueError(f"no Host header can be {host!r:.100}")
    if not _TARGET.fullmatch(url.target):
        raise ValueError(f"no request can have the target {url.target!r:.100}")
    fields = [
        ("Host", host),  # first, where proxies look for it (RFC 9110 section 7.2)
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Key", new_key()),
        ("Sec-WebSocket-Version", "13"),
    ]
    if origin is not None:
        fields.append(("Origin", origin))
    if subprotocols:
        fields.append(("Sec-WebSocket-Protocol", ", ".join(subprotocols)))
    if compression is not None:
        fields.append(("Sec-WebSocket-Extensions", offer(compression)))
    if url.authorization is not None and "Authorization" not in extra:
        fields.append(("Authorization", url.authorization))
    fields += [(name, value) for name, value in extra.pairs if name.lower() != "host"]
    return Request("GET", url.target, Headers(fields))
