"""What both ends of an opening handshake have in common: the key's answer, and users' input.

Lives here: the rules of RFC 6455 section 4 that are the same for client and server, and the checks
of what an application adds to a handshake.  They raise before anything is made or sent.
"""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
from collections.abc import Iterable

from trio_ws.protocol._headers import Headers, HeadersLike, is_token

# RFC 6455 section 1.3: a value "unlikely to be used by network endpoints that do not understand
# the WebSocket Protocol".
_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

# "a base64-encoded value that, when decoded, is 16 bytes in length" (RFC 6455 section 4.2.1)
_KEY = re.compile(r"[A-Za-z0-9+/]{22}==")

_OURS = frozenset({"connection", "content-length", "transfer-encoding", "upgrade"})


_INSTEAD = {
    "sec-websocket-extensions": "write compression=...",
    "sec-websocket-protocol": "write subprotocols=[...]",
}


def new_key() -> str:
    """Return a new Sec-WebSocket-Key."""
    # "The nonce MUST be selected randomly for each connection" (RFC 6455 section 4.1).
    return base64.b64encode(secrets.token_bytes(16)).decode()


def is_key(text: str) -> bool:
    """Return whether this can be a Sec-WebSocket-Key."""
    return _KEY.fullmatch(text) is not None


def accept_value(key: str) -> str:
    """Return the Sec-WebSocket-Accept that answers this key (RFC 6455 section 4.2.2)."""
    # It proves that the server knows the protocol, and guards nothing.
    digest = hashlib.sha1((key + _GUID).encode(), usedforsecurity=False).digest()
    return base64.b64encode(digest).decode()


def checked_subprotocols(subprotocols: Iterable[str]) -> tuple[str, ...]:
    """Return the names of subprotocols as they may be offered or chosen.

    Raises:
        TypeError: one `str` instead of a sequence of them, or a name that is none.
        ValueError: a name that is no token, or that is there twice.
    """
    if isinstance(subprotocols, str):
        raise TypeError(f"subprotocols must be a sequence: write [{subprotocols!r:.100}]")
    if not isinstance(subprotocols, Iterable):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(f"subprotocols must be a sequence of str, not {subprotocols!r:.100}")
    names = tuple(subprotocols)
    for index, name in enumerate(names):
        if not isinstance(name, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"a subprotocol must be a str, not {type(name).__name__}")
        # "non-empty strings with characters in the range U+0021 to U+007E not including separator
        # characters [...] and MUST all be unique strings" (RFC 6455 section 4.1)
        if not is_token(name):
            raise ValueError(
                f"subprotocol {name!r:.100} is no token, which has letters, digits and some signs"
                " but no space"
            )
        if name in names[:index]:
            raise ValueError(f"subprotocol {name!r:.100} is there twice")
    return names


def checked_extra_headers(headers: HeadersLike) -> Headers:
    """Return what an application adds to the headers of an opening handshake.

    Raises:
        TypeError, ValueError: see `Headers`; or a header that is the handshake's own.
    """
    fields = Headers(headers)
    for name in fields:
        folded = name.lower()
        if folded in _OURS or folded.startswith("sec-websocket-"):
            instead = _INSTEAD.get(folded, "leave it out")
            raise ValueError(f"header {name} is set by the opening handshake itself: {instead}")
    return fields
