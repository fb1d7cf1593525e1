"""HTTP as a WebSocket needs it: what was asked, what is answered, and over which TLS.

Lives here: `Request`, `Response` and `TLSInfo`, values without a thought for how they are written
on the wire (that is ``_exchange``), so that another version of HTTP can bring the same ones.

Invariant: a connection keeps its request and its response for life, so these are small, slotted,
immutable, and refer to nothing but their own facts.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import Self
from urllib.parse import unquote

from trio_ws.protocol._headers import Headers, HeadersLike, is_field_value, list_members

__all__ = ["Headers", "HeadersLike", "Request", "Response", "TLSInfo"]

# RFC 9110 section 7.2: Host = uri-host [ ":" port ].  Of names, what DNS and local resolvers take:
# labels without a hyphen at either end (so no bare "xn--"), underscores as container names have.
_LABEL = r"[0-9A-Za-z_](?:[0-9A-Za-z_-]{0,61}[0-9A-Za-z_])?"
_AUTHORITY = re.compile(
    rf"(?P<host>{_LABEL}(?:\.{_LABEL})*\.?|\[(?P<ip6>[0-9A-Fa-f:.]+)\])(?::(?P<port>[0-9]{{0,5}}))?"
)
_MAX_PORT = 65535

# Framing is for whoever writes a response, and so is the end of the connection.
FRAMING_HEADERS = frozenset({"connection", "content-length", "transfer-encoding"})

# "is always terminated by the first empty line after the header fields" (RFC 9112 section 6.3).
BODILESS = frozenset({204, 304})


def parse_authority(text: str) -> tuple[str, int | None] | None:
    """Return host and port of a Host header, or of what follows the scheme in an Origin.

    The host in lower case, an IPv6 address in its shortest form and without brackets; the port is
    ``None`` where there is none.  ``None`` instead of both when this is not well-formed.
    """
    match = _AUTHORITY.fullmatch(text)
    if match is None:
        return None
    host, ip6, digits = match.groups()
    port = int(digits) if digits else None
    if port is not None and not 0 < port <= _MAX_PORT:
        return None
    if ip6 is None:
        return host.lower(), port
    try:
        return str(ipaddress.IPv6Address(ip6)), port
    except ValueError:
        return None


@dataclass(frozen=True, slots=True)
class TLSInfo:
    """The facts of a TLS connection, as far as its stream tells them."""

    version: str | None = None
    """The version agreed on, for example "TLSv1.3"."""

    cipher: str | None = None
    """The name of the cipher suite."""

    alpn: str | None = None
    """The protocol agreed on by ALPN, if any was."""

    peer_certificate: Mapping[str, object] | None = field(default=None, hash=False)
    """The peer's certificate, verified, in the form of `ssl.SSLSocket.getpeercert`."""


@dataclass(frozen=True, slots=True)
class Request:
    """The request that opens a WebSocket, or asks for something else.

    Header values, the target too, come from the peer as they are: show them with ``repr``.
    """

    method: str
    """In capital letters, as it was sent."""

    target: str
    """Path and query as they were sent, percent-encoded: ASCII that begins with a slash."""

    headers: Headers
    """All header fields."""

    peer_address: object = None
    """Who asked, in the form of `socket.socket.getpeername`; ``None`` where nobody knows."""

    local_address: object = None
    """Who was asked, in the form of `socket.socket.getsockname`; ``None`` where nobody knows."""

    tls: TLSInfo | None = None
    """The facts of the TLS connection, ``None`` when there is none."""

    @property
    def path(self) -> str:
        """The path, percent-decoded; what is no UTF-8 then becomes U+FFFD."""
        return unquote(self.target.partition("?")[0])

    @property
    def query(self) -> str:
        """What follows the question mark, as it was sent; see `urllib.parse.parse_qs`."""
        return self.target.partition("?")[2]

    @property
    def host(self) -> str:
        """The Host header: the name, and the port where it is not the scheme's default."""
        return self.headers.get("Host", "")

    @property
    def origin(self) -> str | None:
        """The Origin header: where the page came from that asks; ``None`` when there is none."""
        return self.headers.get("Origin")

    @property
    def subprotocols(self) -> tuple[str, ...]:
        """The subprotocols offered, in the client's order of preference."""
        return tuple(list_members(self.headers.get_all("Sec-WebSocket-Protocol")))

    @property
    def is_upgrade(self) -> bool:
        """Whether this asks for a WebSocket: a GET that says so in Upgrade and in Connection."""
        return self.method == "GET" and names_upgrade(self.headers._grouped())

    @property
    def secure(self) -> bool:
        """Whether it came over TLS of ours; what a proxy did before us is not known here."""
        return self.tls is not None

    def with_connection(
        self, local_address: object, peer_address: object, tls: TLSInfo | None
    ) -> Self:
        """Return the same request with the facts of the connection it was sent over."""
        return replace(self, local_address=local_address, peer_address=peer_address, tls=tls)


@dataclass(frozen=True, slots=True, init=False)
class Response:
    """An HTTP response: ``Response(200, {"Content-Type": "text/html"}, "<p>hi")``.

    Its framing is not its own business: Content-Length and Connection are added when it is sent.

    Args:
        status: from 200 to 599.
        headers: a mapping, pairs of name and value, or a `Headers`.
        body: `str` goes as UTF-8, and as text/plain if no Content-Type says otherwise.
        reason: the reason phrase; by default that of `http.HTTPStatus`.

    Raises:
        TypeError: an argument is of another type.
        ValueError: a status, header or reason that cannot be sent, a header that is not yours to
            set (Connection, Content-Length, Transfer-Encoding), or a body with a status that has
            none.
    """

    status: int
    """The status code."""
    headers: Headers
    """All header fields, but for those of the framing when it was made here."""
    body: bytes
    """The body; of one received, what fitted into the limits."""
    reason: str
    """The reason phrase, which means nothing to programs."""

    def __init__(
        self,
        status: int,
        headers: HeadersLike = (),
        body: bytes | str = b"",
        reason: str = "",
    ) -> None:
        code, phrase = _checked_status(status, reason)
        fields = Headers(headers)
        for name in fields:
            if name.lower() in FRAMING_HEADERS:
                raise ValueError(f"header {name} is set by whoever sends the response")
        if isinstance(body, str):
            body = body.encode()
            if "Content-Type" not in fields:
                fields = Headers((*fields.pairs, ("Content-Type", "text/plain; charset=utf-8")))
        if not isinstance(body, bytes):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"the body must be bytes or str, not {type(body).__name__}")
        if body and code in BODILESS:
            raise ValueError(f"a response with status {code} has no body")
        self._set(code, fields, body, phrase)

    @classmethod
    def _of(cls, status: int, headers: Headers, body: bytes = b"", reason: str = "") -> Self:
        """Return a response of values that are known to be good, whatever its status."""
        response = cls.__new__(cls)
        response._set(status, headers, body, reason)
        return response

    def _set(self, status: int, headers: Headers, body: bytes, reason: str) -> None:
        object.__setattr__(self, "status", status)
        object.__setattr__(self, "headers", headers)
        object.__setattr__(self, "body", body)
        object.__setattr__(self, "reason", reason)


def names_upgrade(fields: Mapping[str, Sequence[str]]) -> bool:
    """Return whether headers ask for a WebSocket, or grant it (RFC 6455 section 4.2.1).

    Args:
        fields: the values of all headers, by name in lower case.
    """
    return has_member(fields.get("upgrade", ()), "websocket") and has_member(
        fields.get("connection", ()), "upgrade"
    )


def has_member(values: Iterable[str], member: str) -> bool:
    """Return whether the list that these values are together has this member, in any case."""
    return any(each.lower() == member for each in list_members(values))


def _checked_status(status: int, reason: str) -> tuple[int, str]:
    if not isinstance(status, int):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(f"the status must be an int, not {type(status).__name__}")
    # 1xx are no answers: 101 is what accepting sends, the others are interim.
    if not 200 <= status <= 599:
        raise ValueError(f"the status must be from 200 to 599, not {status!r}")
    if not is_field_value(reason):
        raise ValueError(f"the reason phrase {reason!r:.100} cannot be sent")
    return int(status), reason or reason_phrase(status)


def reason_phrase(status: int) -> str:
    """Return the registered reason phrase of a status, "" when there is none."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""
