"""Where Redis is and how to be let in: the URL, taken apart.

Invariant: user and password are in no text form and in no message of an exception.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from typing import NoReturn
from urllib.parse import SplitResult, unquote, urlsplit

from trio_ws._exceptions import InvalidURL

_DEFAULT_PORT = 6379


@dataclass(frozen=True, slots=True)
class RedisAddress:
    """A URL taken apart; made by `parse_redis_url`.  As text it is where to connect to."""

    host: str
    """The host; empty for a Unix socket."""

    port: int
    """The TCP port."""

    path: str
    """The Unix socket's path; empty for TCP."""

    ssl_context: ssl.SSLContext | None = field(repr=False)
    """What to speak TLS with, if that."""

    username: str | None = field(repr=False)
    password: str | None = field(repr=False)

    def __str__(self) -> str:
        return self.path or f"{self.host}:{self.port}"


def parse_redis_url(url: str, ssl_context: ssl.SSLContext | None) -> RedisAddress:
    """Take apart ``redis://host:port``, ``rediss://host:port`` (TLS) or ``unix:///path``.

    User and password, percent-encoded, may stand before the host or path: ``user:password@``.  A
    database (``/0``) is allowed and means nothing: in Redis, publishing knows no databases.

    Args:
        url: the URL.
        ssl_context: for ``rediss``; by default one that verifies certificate and host name.

    Raises:
        TypeError: it is no `str`.
        InvalidURL: it is anything else.
    """
    parts, port = _split(url)
    path = unquote(parts.path) if parts.scheme == "unix" else ""
    host = "" if path else parts.hostname or ""
    if not host and not path:
        _refuse(url, "it names neither a host nor a path")
    if ssl_context is None and parts.scheme == "rediss":
        ssl_context = ssl.create_default_context()
    return RedisAddress(
        host=host,
        port=port or _DEFAULT_PORT,
        path=path,
        ssl_context=ssl_context if parts.scheme == "rediss" else None,
        username=unquote(parts.username) if parts.username else None,
        password=unquote(parts.password) if parts.password else None,
    )


def _split(url: object) -> tuple[SplitResult, int | None]:
    if not isinstance(url, str):
        raise TypeError(f"a URL must be a str, not {type(url).__name__}")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:  # its message may show part of a password with a "/" in it
        _refuse(url, "host or port is no good; in a password, / ? # @ are written %2F %3F %23 %40")
    if parts.scheme not in {"redis", "rediss", "unix"}:
        _refuse(url, "a URL of Redis begins with redis://, rediss:// or unix://")
    if parts.query or parts.fragment:
        _refuse(url, "options are keyword arguments, not part of the URL")
    return parts, port


def _refuse(url: str, problem: str) -> NoReturn:
    raise InvalidURL(url, problem) from None
