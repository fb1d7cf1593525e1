"""What trio-websocket raises, and what it says about a close.

These exceptions are none of `trio_ws`: programs call them, and derive from them, as trio-websocket
defines them.  The one of trio_ws, which knows more, is their ``__cause__``.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

import wsproto.frame_protocol

from trio_ws import _exceptions as native
from trio_ws.compat.trio_websocket._headers import pairs


class HandshakeError(Exception):
    """A connection could not be opened, or not be closed in time."""


class ConnectionTimeout(HandshakeError):
    """The connection was not open in time."""


class DisconnectionTimeout(HandshakeError):
    """The connection was not closed in time; now it is, without the peer's consent."""


class ConnectionRejected(HandshakeError):
    """The server answered with another response."""

    status_code: int
    """The HTTP status of the response."""

    headers: tuple[tuple[bytes, bytes], ...]
    """Its headers, names in lower case."""

    body: bytes | None
    """Its body, cut at 64 KiB."""

    def __init__(
        self, status_code: int, headers: tuple[tuple[bytes, bytes], ...], body: bytes | None
    ) -> None:
        super().__init__(status_code, headers, body)
        self.status_code = status_code
        self.headers = headers
        self.body = body

    def __repr__(self) -> str:
        return f"{type(self).__name__}<status_code={self.status_code}>"


class ConnectionClosed(Exception):
    """The connection is closed, or closing."""

    reason: CloseReason | None
    """Why."""

    def __init__(self, reason: CloseReason | None) -> None:
        super().__init__(reason)
        self.reason = reason

    def __repr__(self) -> str:
        return f"{type(self).__name__}<{self.reason}>"


class CloseReason:
    """Why a connection was closed."""

    def __init__(self, code: int, reason: str | None) -> None:
        self._code = code
        self._reason = reason

    @property
    def code(self) -> int:
        """The close code."""
        return self._code

    @property
    def name(self) -> str:
        """The name of the close code."""
        try:
            return wsproto.frame_protocol.CloseReason(self._code).name
        except ValueError:
            return _range_of(self._code)

    @property
    def reason(self) -> str | None:
        """The close reason, ``None`` if there is none."""
        return self._reason

    def __repr__(self) -> str:
        return f"{type(self).__name__}<code={self.code}, name={self.name}, reason={self.reason}>"


def _range_of(code: int) -> str:
    """Return the name of the range that a code without a name is in (RFC 6455 section 7.4.2)."""
    if 1000 <= code <= 2999:
        return "RFC_RESERVED"
    if 3000 <= code <= 3999:
        return "IANA_RESERVED"
    if 4000 <= code <= 4999:
        return "PRIVATE_RESERVED"
    return "INVALID_CODE"


@contextmanager
def handshake_errors_translated() -> Generator[None]:
    """Raise what goes wrong in an opening handshake as trio-websocket's exceptions."""
    try:
        yield
    except native.ConnectionRejected as exc:
        response = exc.response
        headers = tuple(pairs(response.headers))
        raise ConnectionRejected(response.status, headers, response.body) from exc
    except native.HandshakeTimeout as exc:
        raise ConnectionTimeout(str(exc)) from exc
    except native.HandshakeError as exc:
        raise HandshakeError(str(exc)) from exc
