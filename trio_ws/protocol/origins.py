"""Which pages may connect: the Origin header against the server's policy (RFC 6455 section 10.2).

A browser lets any page open a WebSocket to any server and sends its cookies along; the Origin
header is all that tells the server's own pages from others.  Programs need not send one, and can
send what they like: this protects a browser's user, it authenticates nobody.

Invariant: what cannot be read as an origin is nobody's origin, and refused.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Final, TypeAlias

from trio_ws.protocol.http import Request, parse_authority


class OriginPolicy(enum.Enum):
    """A rule for the Origin header that needs no list."""

    SAME_ORIGIN = "same origin"
    """It names the Host header's host and port, or is not there."""

    ANY_ORIGIN = "any origin"
    """It is not looked at: right only where no cookie and no network gives a client rights."""


SAME_ORIGIN: Final = OriginPolicy.SAME_ORIGIN
ANY_ORIGIN: Final = OriginPolicy.ANY_ORIGIN

Origins: TypeAlias = OriginPolicy | Sequence[str | re.Pattern[str] | None]
"""A policy, or all origins that may connect: strings ("https://example.com"), patterns that match
the whole header, and ``None`` for requests without one."""

_DEFAULT_PORTS = {"http": 80, "https": 443}

# RFC 6454 section 6.2: scheme "://" host [ ":" port ], nothing behind it.
_ORIGIN = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<authority>[!-.0-~]+)")

# RFC 6454 section 6.1: what is written for the origin of a sandboxed frame, a local file, ...
_OPAQUE = "null"


def origin_allowed(request: Request, origins: Origins) -> bool:
    """Return whether a page of the request's origin may connect.

    Strings compare without case, and a scheme's default port is the same as none.
    """
    if origins is ANY_ORIGIN:
        return True
    origin = request.origin
    if isinstance(origins, OriginPolicy):
        return origin is None or _is_same(origin, request.host)
    if origin is None:
        return None in origins
    normal = _normalised(origin)
    return any(
        each.fullmatch(origin) is not None
        if isinstance(each, re.Pattern)
        else normal is not None and normal == _configured(each)
        for each in origins
        if each is not None
    )


def checked_origins(origins: Origins) -> Origins:
    """Return the policy, if there is an origin that each of its members can match.

    For whoever is configured with it: a server asks once, so that no handshake need.

    Raises:
        TypeError: one `str` instead of a sequence, or a member of another type.
        ValueError: a string that no browser sends as an Origin.
    """
    if isinstance(origins, OriginPolicy):
        return origins
    if isinstance(origins, str):
        instead = "ANY_ORIGIN" if origins == "*" else f"[{origins!r:.100}]"
        raise TypeError(f"origins must be a policy or a sequence: write {instead}")
    if not isinstance(origins, Iterable):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(
            f"origins must be SAME_ORIGIN, ANY_ORIGIN or a sequence, not {origins!r:.100}"
        )
    members = tuple(origins)
    for each in members:
        if each is None:
            continue
        if isinstance(each, re.Pattern):
            if not isinstance(each.pattern, str):  # pyright: ignore[reportUnnecessaryIsInstance]
                raise TypeError(f"an origin is a str, so is its pattern, not {each.pattern!r:.100}")
            continue
        if not isinstance(each, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"an origin must be a str, a pattern or None, not {each!r:.100}")
        if _normalised(each) is None:
            raise ValueError(
                f"origin {each!r:.100} is none that a browser sends (ANY_ORIGIN stands for all):"
                " write scheme://host or scheme://host:port, the host in ASCII, nothing behind it"
            )
    return members


def _is_same(origin: str, host: str) -> bool:
    parts = _split(origin)
    theirs = parse_authority(host)
    if parts is None or theirs is None:
        return False
    scheme, ours = parts
    # The scheme itself does not count, because a proxy before us may end the TLS. But a page at
    # the default port of its scheme asks for a Host without a port, whatever that scheme is.
    default = _DEFAULT_PORTS.get(scheme)
    if default is None:
        return False
    return (ours[0], ours[1] or default) == (theirs[0], theirs[1] or default)


def _normalised(origin: str) -> str | None:
    """Return the one form of an origin by which to compare it; ``None`` when it is none."""
    if origin == _OPAQUE:
        return origin
    parts = _split(origin)
    if parts is None:
        return None
    scheme, (host, port) = parts
    return f"{scheme}://{host} {port or _DEFAULT_PORTS.get(scheme)}"


# For what the server's owner wrote, never for what peers send: few strings, asked for each time.
_configured = lru_cache(maxsize=1024)(_normalised)


def _split(origin: str) -> tuple[str, tuple[str, int | None]] | None:
    match = _ORIGIN.fullmatch(origin)
    if match is None:
        return None
    authority = parse_authority(match["authority"])
    return None if authority is None else (match["scheme"].lower(), authority)
