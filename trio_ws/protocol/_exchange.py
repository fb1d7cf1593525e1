"""One bounded HTTP/1.1 exchange over h11: heads read strictly and in whole, answers written.

Lives here: all that touches h11, and how a response is written.  h11 takes more than RFC 9112
wants taken (bare line feeds, folded lines, control characters) and has no limit for a head that
comes in one piece.  So `HeadReader` looks at the raw bytes first, and h11 sees whole heads only,
which are within the limits.  What a message means to WebSocket is not known here.

Invariant: what comes out depends on the bytes alone, never on how the stream was cut (but for how
much of them the ``detail`` of a `BadMessage` can quote).
"""

from __future__ import annotations

import re
from typing import TypeAlias

import h11

from trio_ws._options import Limits
from trio_ws.protocol._headers import Headers, HeadersLike
from trio_ws.protocol.http import BODILESS, FRAMING_HEADERS, Request, Response

# What `h11.Connection.next_event` returns: an event, or a class that stands for "not now".
H11Event: TypeAlias = h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]

# Any number of whole lines, each with a first byte that is no space (RFC 9112 section 5.2: "A
# server that receives an obs-fold [...] MUST either reject the message [...]"), then tabs, spaces
# and what is visible (RFC 9110 section 5.5), then CR LF.  Possessive: nothing is looked at twice.
_LINES = re.compile(rb"(?:[!-~][\t -~\x80-\xff]*+\r\n)*+")


class BadMessage(Exception):
    """The peer's message is not one that we take; never leaves the protocol layer.

    Attributes:
        problem: what is wrong, in words that quote nothing of the peer's.
        status: what a server answers.
        headers: what the answer needs with that status.
        detail: more for our own eyes, with the peer's bytes in it as ``repr`` shows them.
    """

    def __init__(
        self, problem: str, status: int = 400, headers: HeadersLike = (), *, detail: str = ""
    ) -> None:
        super().__init__(problem)
        self.problem = problem
        self.status = status
        self.headers = headers
        self.detail = detail


class HeadReader:
    """Takes heads of messages off a stream, line by line, within limits.

    The limits hold for all heads together: a server may send any number of interim responses.

    Args:
        limits: ``max_header_bytes`` counts all bytes from the first to the end of the empty line,
            ``max_headers`` the lines between.
        prefix: what each head begins with.
    """

    __slots__ = ("_buffer", "_bytes_left", "_headers_left", "_judged", "_prefix", "_searched")

    def __init__(self, limits: Limits, *, prefix: bytes = b"") -> None:
        self._prefix = prefix
        self._bytes_left = limits.max_header_bytes
        self._headers_left = limits.max_headers + 1  # the first line is no header
        self._buffer = bytearray()
        self._judged = 0  # the lines up to here are good
        self._searched = 0  # there is no line feed between there and here

    def feed(self, data: bytes) -> None:
        """Take bytes off the stream."""
        self._buffer += data

    def take_head(self) -> bytes | None:
        """Return the next head with the empty line that ends it; ``None`` when it is not all there.

        Raises:
            BadMessage: there is a byte that no head has there, or more than the limits allow.
        """
        buffer, limit = self._buffer, self._bytes_left
        if not self._judged:
            self._check_beginning()
        # One byte at a time must not cost a look at the whole line each.
        if buffer.find(b"\n", self._searched, limit) >= 0:
            self._judge_lines()
            if buffer.startswith(b"\r\n", self._judged, limit):
                return self._cut(self._judged + 2)
            if buffer.find(b"\n", self._judged, limit) >= 0:
                raise BadMessage(
                    "a line of the head is malformed: it begins with a space, has a control"
                    " character in it, or does not end in CR LF"
                )
        self._searched = min(len(buffer), limit)
        if len(buffer) > limit:
            if self._judged:
                raise BadMessage("the head is too large", 431)
            raise BadMessage("the first line is too long", 414)
        return None

    def take_rest(self) -> bytes:
        """Return what follows the last head, as far as it has come."""
        rest = bytes(self._buffer)
        self._buffer.clear()
        return rest

    def _check_beginning(self) -> None:
        """Tell what is no HTTP at all by its first bytes: TLS and SSH wait for our answer."""
        buffer, prefix = self._buffer, self._prefix
        if buffer and not (0x21 <= buffer[0] <= 0x7E and prefix.startswith(buffer[: len(prefix)])):
            raise BadMessage("this is not HTTP", detail=repr(bytes(buffer[:32])))

    def _judge_lines(self) -> None:
        lines = _LINES.match(self._buffer, self._judged, self._bytes_left)
        assert lines is not None  # the pattern takes nothing, too
        self._headers_left -= self._buffer.count(b"\n", self._judged, lines.end())
        if self._headers_left < 0:
            raise BadMessage("there are too many headers", 431)
        self._judged = lines.end()

    def _cut(self, end: int) -> bytes:
        head = bytes(self._buffer[:end])
        del self._buffer[:end]
        self._bytes_left -= end
        self._headers_left += 1
        self._judged = self._searched = 0
        return head


def parse_request(head: bytes) -> h11.Request:
    """Return the request that has this head.

    Raises:
        BadMessage: it is no HTTP request.
    """
    event = _next_event(h11.Connection(h11.SERVER), head)
    assert isinstance(event, h11.Request)  # of a whole head h11 makes nothing else
    return event


class ResponseReader:
    """Makes one request, and takes the response to it off the stream, within limits.

    Args:
        request: has no body.
        limits: of heads as `HeadReader` has them, interim responses included;
            ``max_error_body`` of the body, in bytes as they are sent, chunks' sizes included.
    """

    __slots__ = ("_body", "_body_left", "_connection", "_head", "_heads", "request_bytes")

    request_bytes: bytes
    """What is to be sent."""

    def __init__(self, request: Request, limits: Limits) -> None:
        self._heads = HeadReader(limits, prefix=b"HTTP/")
        self._head: h11.Response | None = None  # the final one
        self._body = bytearray()
        self._body_left = limits.max_error_body
        # The first limit is h11's own, for what is incomplete: ours are narrower.
        self._connection = h11.Connection(
            h11.CLIENT, limits.max_header_bytes + limits.max_error_body
        )
        sent = self._connection.send(
            h11.Request(
                method=request.method,
                target=request.target,
                headers=[(n.encode(), v.encode("latin-1")) for n, v in request.headers.pairs],
            )
        )
        self.request_bytes = bytes(sent)

    def receive(self, data: bytes | None) -> Response | None:
        """Take what the server sent, ``None`` for the end of its stream.

        Returns a final response with its body, cut off at the limit and where it stops being
        HTTP, or one that switches protocols (101, 2xx to CONNECT) without what follows it; ``None``
        while there is neither.

        Raises:
            BadMessage: there is no such response.
        """
        if data is None:
            if self._head is None:
                raise BadMessage("the stream ended before there was a response")
            return self._final(self._head)
        if self._head is None:
            self._heads.feed(data)
            while self._head is None and (head := self._heads.take_head()) is not None:
                event = _next_event(self._connection, head)
                if isinstance(event, h11.Response):
                    if self._connection.their_state is h11.SWITCHED_PROTOCOL:
                        return _response(event)
                    self._head = event
                elif (response := _interim(event)) is not None:
                    return response
            data = b"" if self._head is None else self._heads.take_rest()
        if self._head is not None and self._take_body(data):
            return self._final(self._head)
        return None

    def take_rest(self) -> bytes:
        """Return what follows a response that switches protocols, as far as it has come."""
        return self._heads.take_rest()

    def _take_body(self, data: bytes) -> bool:
        """Return whether the body is complete, or all of it that we take."""
        data = data[: self._body_left]
        self._body_left -= len(data)
        try:
            event = _next_event(self._connection, data)
            while isinstance(event, h11.Data):
                self._body += event.data
                event = _next_event(self._connection)
        except BadMessage:
            return True  # what came before it may still tell somebody something
        return event is not h11.NEED_DATA or not self._body_left

    def _final(self, head: h11.Response) -> Response:
        return _response(head, bytes(self._body))


def _interim(event: H11Event) -> Response | None:
    """Return a response 101; ``None`` for the other interim ones, which are skipped.

    "A client MUST be able to parse one or more 1xx responses received prior to a final response,
    even if the client does not expect one." (RFC 9110 section 15.2)
    """
    assert isinstance(event, h11.InformationalResponse)  # or a final one, which is none of ours
    if event.http_version != b"1.1":
        raise BadMessage("there are no interim responses in this version of HTTP")
    return _response(event) if event.status_code == 101 else None


def _response(head: h11.Response | h11.InformationalResponse, body: bytes = b"") -> Response:
    headers = Headers._of_peer(head.headers.raw_items())
    return Response._of(head.status_code, headers, body, head.reason.decode("latin-1"))


def _next_event(connection: h11.Connection, data: bytes = b"") -> H11Event:
    """Return h11's next event, after it was given these bytes, if any.

    Raises:
        BadMessage: the bytes are no HTTP/1.1.
    """
    try:
        if data:  # to h11, no bytes are the end of the stream
            connection.receive_data(data)
        return connection.next_event()
    except Exception as exc:  # noqa: BLE001 - what h11 means to raise is RemoteProtocolError; no peer shall gain by a bug
        exc.__traceback__ = None  # h11's frames refer to it: a cycle that would keep the head
        raise BadMessage("this is not valid HTTP/1.1", detail=f"{exc!s:.200}") from None


def encode_head(start_line: str, headers: Headers) -> bytes:
    """Return the bytes of a head."""
    fields = [f"{name}: {value}" for name, value in headers.pairs]
    return "\r\n".join((start_line, *fields, "", "")).encode("latin-1")


def encode_final_response(response: Response, *, with_body: bool) -> bytes:
    """Return the bytes of the last response on a connection.

    Args:
        with_body: ``False`` in answer to HEAD: the head says what is left out.

    Raises:
        ValueError: this is an interim response.
    """
    if response.status < 200:
        raise ValueError(f"a response with status {response.status} is not a final one")
    # Somebody else's framing, where this is a response that a client of ours received.
    fields = [each for each in response.headers.pairs if each[0].lower() not in FRAMING_HEADERS]
    # "A sender of Upgrade MUST also send an "Upgrade" connection option" (RFC 9110 section 7.8).
    upgrade = "Upgrade" in response.headers
    fields.append(("Connection", "Upgrade, close" if upgrade else "close"))
    if response.status not in BODILESS:
        fields.append(("Content-Length", str(len(response.body))))
    head = encode_head(f"HTTP/1.1 {response.status} {response.reason}", Headers(fields))
    return head + response.body if with_body else head
