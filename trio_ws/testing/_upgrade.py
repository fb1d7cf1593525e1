"""The opening handshake, read strictly and written plainly: the other half of the oracle.

Here lives a second reading of RFC 6455, sections 4.1 and 4.2, independent of `trio_ws.protocol` and
of h11 for the reason that `trio_ws.testing._frames` gives.  Nothing here does I/O.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass

from trio_ws.testing._frames import Violation

# The example of RFC 6455, section 1.3: tests want the same bytes in every run.
SAMPLE_KEY = "dGhlIHNhbXBsZSBub25jZQ=="

# No endpoint under test has a reason to send more, in bytes; an endless head must not be awaited.
MAX_HEAD = 65536

_START = re.compile(r"HTTP/1\.1 [1-5][0-9]{2} [\t -~\x80-\xff]*|[A-Z]+ [!-~]+ HTTP/1\.1")
# RFC 9110, section 5: the name is a token; the value has no control character but the tab.
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[\t -~\x80-\xff]*")


@dataclass(frozen=True, slots=True)
class Head:
    """The head of an HTTP/1.1 request or response as it was on the wire.

    Attributes:
        start: the request line or the status line.
        headers: names and values in their order, names as they were written.
    """

    start: str
    headers: tuple[tuple[str, str], ...]

    def values(self, name: str) -> list[str]:
        """Return the values of all headers of this name, in any case, in their order."""
        return [value for key, value in self.headers if key.lower() == name.lower()]

    def items(self, name: str) -> list[str]:
        """Return the members of the comma-separated list that these headers make together."""
        return [item.strip(" \t") for value in self.values(name) for item in value.split(",")]

    @property
    def status(self) -> int | None:
        """The status code of a response, ``None`` for a request."""
        return int(self.start[9:12]) if self.start.startswith("HTTP/") else None

    @property
    def target(self) -> str | None:
        """The target of a request, ``None`` for a response."""
        return self.start.split(" ")[1] if self.status is None else None


def parse_head(data: bytes | bytearray) -> tuple[Head, int] | None:
    """Return the head at the beginning of these bytes and its size in bytes.

    ``None`` while not all of it is there.

    Raises:
        Violation: no HTTP/1.1 endpoint sends such a head.
    """
    end = data.find(b"\r\n\r\n")
    if end < 0:
        if len(data) > MAX_HEAD:
            raise Violation(f"head of more than {MAX_HEAD} bytes", data)
        return None
    start, *lines = data[:end].decode("latin-1").split("\r\n")
    if not _START.fullmatch(start):
        raise Violation("neither a request line nor a status line", data)
    headers = list[tuple[str, str]]()
    for line in lines:
        name, colon, value = line.partition(":")
        if not (colon and _NAME.fullmatch(name) and _VALUE.fullmatch(value)):
            raise Violation(f"malformed header {line!r}", data)
        headers.append((name, value.strip(" \t")))
    return Head(start, tuple(headers)), end + 4


def build_head(start: str, headers: Iterable[tuple[str, str]]) -> bytes:
    """Return the bytes of a head, right or wrong; nothing is checked or added."""
    lines = [start, *(f"{name}: {value}" for name, value in headers), "", ""]
    return "\r\n".join(lines).encode("latin-1")


def upgrade_request(
    target: str = "/",
    *,
    host: str = "localhost",
    key: str = SAMPLE_KEY,
    headers: Iterable[tuple[str, str]] = (),
) -> bytes:
    """Return the opening handshake of a client (RFC 6455, section 4.1).

    Args:
        host: the value of the Host header.
        key: the value of Sec-WebSocket-Key; by default that of the example in the RFC.
        headers: more headers, after those that an opening handshake must have.
    """
    return build_head(
        f"GET {target} HTTP/1.1",
        [
            ("Host", host),
            ("Upgrade", "websocket"),
            ("Connection", "Upgrade"),
            ("Sec-WebSocket-Key", key),
            ("Sec-WebSocket-Version", "13"),
            *headers,
        ],
    )


def upgrade_response(key: str = SAMPLE_KEY, *, headers: Iterable[tuple[str, str]] = ()) -> bytes:
    """Return the answer by which a server accepts (RFC 6455, section 4.2.2).

    Args:
        key: the Sec-WebSocket-Key of the request.
        headers: more headers, after those that the answer must have.
    """
    return build_head(
        "HTTP/1.1 101 Switching Protocols",
        [
            ("Upgrade", "websocket"),
            ("Connection", "Upgrade"),
            ("Sec-WebSocket-Accept", accept_value(key)),
            *headers,
        ],
    )


def accept_value(key: str) -> str:
    """Return the Sec-WebSocket-Accept that answers this Sec-WebSocket-Key."""
    # RFC 6455, section 4.2.2, step 5.4; the GUID is that of section 1.3.  What SHA-1 no longer
    # promises is not asked of it here.
    salted = (key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode("latin-1")
    return base64.b64encode(hashlib.sha1(salted, usedforsecurity=False).digest()).decode("ascii")


def check_upgrade_request(head: Head) -> str:
    """Hold a client's opening handshake against RFC 6455, section 4.1; return its key.

    Raises:
        Violation: it is not one; the message says in what.
    """
    keys = head.values("Sec-WebSocket-Key")
    offered = head.items("Sec-WebSocket-Protocol")
    _raise_first(
        head,
        (not head.start.startswith("GET "), "the method is not GET"),
        (len(head.values("Host")) != 1, "not exactly one Host header"),
        (not _has_token(head, "Upgrade", "websocket"), "no websocket in Upgrade"),
        (not _has_token(head, "Connection", "upgrade"), "no upgrade in Connection"),
        (head.values("Sec-WebSocket-Version") != ["13"], "Sec-WebSocket-Version is not 13"),
        (len(keys) != 1 or not _is_key(keys[0]), "not one Sec-WebSocket-Key of 16 bytes"),
        (len(set(offered)) != len(offered) or "" in offered, "empty or repeated subprotocols"),
    )
    return keys[0]


def check_upgrade_response(head: Head, key: str, offered: Iterable[tuple[str, str]]) -> None:
    """Hold a server's answer against RFC 6455, sections 4.1 and 4.2.2.

    Args:
        key: the Sec-WebSocket-Key of the request.
        offered: the request's headers, of which those with subprotocols and extensions count.

    Raises:
        Violation: it does not accept, or not rightly; the message says in what.
    """
    request = Head("", tuple(offered))
    chosen = head.values("Sec-WebSocket-Protocol")
    _raise_first(
        head,
        (head.status != 101, "the status is not 101"),
        (not _has_token(head, "Upgrade", "websocket"), "no websocket in Upgrade"),
        (not _has_token(head, "Connection", "upgrade"), "no upgrade in Connection"),
        (head.values("Sec-WebSocket-Accept") != [accept_value(key)], "wrong Sec-WebSocket-Accept"),
        (
            len(chosen) > 1 or not set(chosen) <= set(request.items("Sec-WebSocket-Protocol")),
            "a subprotocol that was not offered",
        ),
        (not _extensions(head) <= _extensions(request), "an extension that was not offered"),
    )


def _raise_first(head: Head, *problems: tuple[bool, str]) -> None:
    for present, problem in problems:
        if present:
            raise Violation(problem, build_head(head.start, head.headers))


def _has_token(head: Head, name: str, token: str) -> bool:
    return token in (item.lower() for item in head.items(name))


def _extensions(head: Head) -> set[str]:
    # Their names are enough here: no parameter has a comma in it.
    return {item.split(";")[0].strip() for item in head.items("Sec-WebSocket-Extensions")}


def _is_key(key: str) -> bool:
    try:
        return len(base64.b64decode(key, validate=True)) == 16
    except (binascii.Error, ValueError):  # ValueError: not even ASCII
        return False
