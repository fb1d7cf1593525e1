"""The server's side of the opening handshake (RFC 6455 section 4.2).

Lives here: what a request must be, and which answer each that is not deserves.  Who else has a say
(the application, a limit on connections) is asked by the caller, between `receive_data` and
`accept` or `reject`.

Invariant: nothing a peer sends raises; it becomes a request, a refusal, or both.  Our answers quote
nothing of what was sent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from trio_ws._options import Deflate, Limits
from trio_ws.protocol._exchange import (
    BadMessage,
    HeadReader,
    encode_final_response,
    encode_head,
    parse_request,
)
from trio_ws.protocol._headers import Headers, HeadersLike, is_token, list_members
from trio_ws.protocol._upgrade import accept_value, checked_extra_headers, is_key
from trio_ws.protocol.http import Request, Response, TLSInfo, names_upgrade, parse_authority
from trio_ws.protocol.negotiation import answer
from trio_ws.protocol.origins import SAME_ORIGIN, Origins, origin_allowed
from trio_ws.protocol.state import State

# Looked up, so that no connection keeps a copy of its own.
_METHODS: Final = {b"GET": "GET", b"HEAD": "HEAD"}

# The values of a request's headers, by name in lower case.
Fields: TypeAlias = Mapping[str, Sequence[str]]


@dataclass(frozen=True, slots=True, init=False)
class Accept:
    """The decision to open the WebSocket that a request asks for, and with what.

    Args:
        subprotocol: one that the client offered; ``None`` leaves the choice to the server's
            preferences.
        headers: added to the response, Set-Cookie for example.
        context: whatever the handler shall find as ``ws.context``.

    Raises:
        TypeError, ValueError: the headers cannot be sent, or are the handshake's own
            (Connection, Upgrade, Content-Length, Transfer-Encoding, ``Sec-WebSocket-*``).
    """

    subprotocol: str | None
    """The subprotocol, ``None`` for the server's choice."""
    headers: Headers
    """More header fields for the response."""
    context: object
    """What becomes `WebSocket.context`."""

    def __init__(
        self, subprotocol: str | None = None, headers: HeadersLike = (), context: object = None
    ) -> None:
        object.__setattr__(self, "subprotocol", subprotocol)
        object.__setattr__(self, "headers", checked_extra_headers(headers))
        object.__setattr__(self, "context", context)


_ACCEPT: Final = Accept()


class ServerHandshake:
    """One opening handshake, from the client's first byte to our answer.

    Feed `receive_data` until there is a `request` or a `refusal`.  Both are there for requests that
    are well-formed but not to be accepted: one that is no upgrade may still be answered with a
    page, one that is an upgrade must not.

    Args:
        limits: of the head; ``max_queued_bytes`` of what comes behind it.
        subprotocols: those we speak, in order of preference, see `checked_subprotocols`.
        origins: whose pages may connect, see `checked_origins`.
        compression: what to agree on if the client offers permessage-deflate; ``None``: nothing.
        peer_address, local_address, tls: facts for the `Request`.
    """

    __slots__ = (
        "_agreement",
        "_answers_head",
        "_compression",
        "_limits",
        "_local_address",
        "_origins",
        "_peer_address",
        "_reader",
        "_subprotocols",
        "_tls",
        "_trailing",
        "compression",
        "refusal",
        "request",
        "response",
        "state",
        "subprotocol",
    )

    state: State
    """CONNECTING until we answer, or the stream ends before there is anything to answer."""

    request: Request | None
    """The client's request, once it is there and is well-formed HTTP."""

    refusal: Response | None
    """What is to be answered by `reject`, if the handshake itself cannot go on."""

    response: Response | None
    """What we have answered."""

    subprotocol: str | None
    """The subprotocol agreed on."""

    compression: Deflate | None
    """The compression agreed on, for the `Protocol`; ``None`` when nothing is to be compressed."""

    def __init__(
        self,
        *,
        limits: Limits = Limits(),
        subprotocols: Sequence[str] = (),
        origins: Origins = SAME_ORIGIN,
        compression: Deflate | None = None,
        peer_address: object = None,
        local_address: object = None,
        tls: TLSInfo | None = None,
    ) -> None:
        self.state = State.CONNECTING
        self.request = None
        self.refusal = None
        self.response = None
        self.subprotocol = None
        self.compression = None
        self._limits = limits
        self._subprotocols = subprotocols
        self._origins = origins
        self._compression = compression
        self._agreement: tuple[Deflate, str] | None = None  # with the header that says so
        self._peer_address = peer_address
        self._local_address = local_address
        self._tls = tls
        self._reader = HeadReader(limits)
        self._trailing = bytearray()
        self._answers_head = False

    @property
    def trailing_data(self) -> bytes:
        """What has come behind an upgrade request: the first frames; nothing after a refusal."""
        return b"" if self.refusal is not None else bytes(self._trailing)

    def receive_data(self, data: bytes | None) -> None:
        """Take what the client sent, ``None`` for the end of its stream.

        Stop reading once there is a `request` or a `refusal`; what comes nevertheless is kept in
        `trailing_data`, within limits.

        Raises:
            RuntimeError: the WebSocket is open, so this is not for the handshake any more.  Never
                because of what was sent.
        """
        if self.state is State.OPEN:
            raise RuntimeError("the opening handshake is over")
        if self.request is not None:
            self._keep(data or b"")
        elif self.refusal is None and self.state is State.CONNECTING:
            if data is None:
                self.state = State.CLOSED
                return
            try:
                self._read(data)
            except BadMessage as exc:
                self.refusal = Response(exc.status, exc.headers, exc.problem)

    def accept(self, accept: Accept = _ACCEPT) -> bytes:
        """Open the WebSocket; return the bytes that say so (RFC 6455 section 4.2.2).

        Raises:
            ValueError: the client did not offer this subprotocol; nothing was changed.
            RuntimeError: there is no request, it is to be refused, or it was answered.
        """
        request = self.request
        if request is None or self.refusal is not None or self.state is not State.CONNECTING:
            raise RuntimeError("there is no request that could be accepted")
        self.subprotocol = self._select(request, accept.subprotocol)
        fields = [
            *("Upgrade", "websocket", "Connection", "Upgrade"),
            *("Sec-WebSocket-Accept", accept_value(request.headers["Sec-WebSocket-Key"])),
        ]
        if self.subprotocol is not None:
            fields += ("Sec-WebSocket-Protocol", self.subprotocol)
        # An extension is agreed on by naming it here (RFC 6455 section 9.1); whatever else the
        # client offers is declined.
        if self._agreement is not None:
            self.compression, extension = self._agreement
            fields += ("Sec-WebSocket-Extensions", extension)
        headers = Headers._of((*fields, *accept.headers._flat))
        self.response = Response._of(101, headers, reason="Switching Protocols")
        self.state = State.OPEN
        return encode_head("HTTP/1.1 101 Switching Protocols", headers)

    def reject(self, response: Response) -> bytes:
        """Answer with this response instead; return its bytes, after which the connection ends.

        There is one answer: once it was given, or when there is nobody left to answer, this
        returns ``b""``.

        Raises:
            ValueError: it is no final response.
            RuntimeError: the WebSocket is open.
        """
        if self.state is State.OPEN:
            raise RuntimeError("the request was accepted")
        if self.state is State.CLOSED:
            return b""
        data = encode_final_response(response, with_body=not self._answers_head)
        self.response = response
        self.state = State.CLOSED
        return data

    def _select(self, request: Request, wanted: str | None) -> str | None:
        """Return the subprotocol for the answer: what is wanted, or else our first one offered."""
        if wanted is None and not self._subprotocols:
            return None
        offered = request.subprotocols
        if wanted is None:
            return next((name for name in self._subprotocols if name in offered), None)
        if wanted not in offered:
            raise ValueError(
                f"the client did not offer the subprotocol {wanted!r:.100}: choose one of"
                f" request.subprotocols, here {offered!r:.200}, or None"
            )
        return wanted

    def _keep(self, data: bytes) -> None:
        self._trailing += data
        if len(self._trailing) > self._limits.max_queued_bytes:
            self._trailing.clear()
            self.refusal = self.refusal or Response(400, body="too much was sent with the request")

    def _read(self, data: bytes) -> None:
        self._reader.feed(data)
        head = self._reader.take_head()
        if head is None:
            return
        event = parse_request(head)
        method = _METHODS.get(event.method)
        self._answers_head = method == "HEAD"
        # "An HTTP/1.1 or higher GET request" (RFC 6455 section 4.2.1); there is no higher version
        # that begins like this.
        if event.http_version != b"1.1":
            raise BadMessage("only HTTP/1.1 is spoken here", 505)
        if method is None:
            raise BadMessage("only GET and HEAD are served here", 405, {"Allow": "GET, HEAD"})
        # RFC 9112 section 3.2.1: origin-form = absolute-path [ "?" query ]. The other forms are
        # for proxies, and a fragment is for nobody but the client itself.
        target = event.target.decode()
        if not target.startswith("/") or "#" in target:
            raise BadMessage("the target of the request is no path")
        headers = Headers._of_peer(event.headers.raw_items())
        fields = headers._grouped()
        _check_fields(fields)
        self.request = Request(
            method, target, headers, self._peer_address, self._local_address, self._tls
        )
        self.refusal = self._refusal_of(self.request, fields)
        self._keep(self._reader.take_rest())

    def _refusal_of(self, request: Request, fields: Fields) -> Response | None:
        """Return the answer to a request that must not be accepted, ``None`` for one that may."""
        if request.method != "GET" or not names_upgrade(fields):
            return Response(
                426, {"Upgrade": "websocket"}, "this is a WebSocket server: ask for an upgrade"
            )
        # First, because another version has other rules for the rest.  "[...] an appropriate HTTP
        # error code (such as 426 Upgrade Required) and a |Sec-WebSocket-Version| header field
        # indicating the version(s) the server is capable of understanding" (section 4.2.2)
        if fields.get("sec-websocket-version") != ["13"]:
            return Response(
                426,
                {"Upgrade": "websocket", "Sec-WebSocket-Version": "13"},
                "version 13 of the WebSocket protocol is spoken here",
            )
        keys = fields.get("sec-websocket-key", ())
        if len(keys) != 1 or not is_key(keys[0]):
            return Response(400, body="there is not one Sec-WebSocket-Key of 16 bytes in base64")
        if not _are_subprotocols(fields.get("sec-websocket-protocol")):
            return Response(400, body="the Sec-WebSocket-Protocol header is malformed")
        if not self._agree(fields.get("sec-websocket-extensions", ())):
            return Response(400, body="the Sec-WebSocket-Extensions header is malformed")
        if len(fields.get("origin", ())) > 1:
            return Response(400, body="there is more than one Origin header")
        if not origin_allowed(request, self._origins):
            return Response(
                403, body="pages of this origin may not connect: the server's origins say which may"
            )
        return None

    def _agree(self, offers: Sequence[str]) -> bool:
        """Choose an extension from what is offered; tell whether that is well-formed."""
        if self._compression is not None:
            try:
                self._agreement = answer(self._compression, offers)
            except ValueError:
                return False
        return True


def _check_fields(fields: Fields) -> None:
    """Hold the headers against what every request must keep to, upgrade or not."""
    # h11 has seen that there is exactly one.
    if parse_authority(fields["host"][0]) is None:
        raise BadMessage("the Host header is malformed")
    # A proxy before us would take for a body what we take for frames, or the reverse.
    if "transfer-encoding" in fields or fields.get("content-length", ["0"]) != ["0"]:
        raise BadMessage("a request with a body is not served here")
    for name, values in fields.items():
        if _is_of_handshake(name) and not "".join(values).isascii():
            raise BadMessage("a header of the opening handshake is not ASCII")


def _is_of_handshake(name: str) -> bool:
    return name in {"connection", "upgrade"} or name.startswith("sec-websocket-")


def _are_subprotocols(values: Sequence[str] | None) -> bool:
    if values is None:
        return True
    names = list_members(values)
    # "one or more comma-separated subprotocol [...] MUST all be unique strings" (RFC 6455
    # section 4.1)
    return bool(names) and all(map(is_token, names)) and len(set(names)) == len(names)
