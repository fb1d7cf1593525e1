"""URLs: what a client connects to, asks for and proves itself with, and the proxy it goes through.

Lives here: `parse_url` and `parse_proxy_url`, the only doors for URLs, and the values they make.
What is not plainly a URL of RFC 6455 section 3 is refused, never repaired: a URL that two parsers
read differently leads somewhere else than its reader thought.  (Only the path and the query are
made ASCII.)

Invariant: every field of a `WebSocketURL` is ASCII that can go into a request as it is, and a
password is in ``authorization`` or ``password`` alone, which no text form shows.
"""

from __future__ import annotations

import base64
import ipaddress
import re
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import quote, unquote_to_bytes

from trio_ws._exceptions import InvalidURL

# Neither control characters, whitespace of any script, nor halves of characters (surrogates).
_UNPRINTABLE = re.compile(r"[\x00-\x20\x7f-\x9f\s\ud800-\udfff]")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_MISWRITTEN_SCHEME = re.compile("wss?:|[a-z]*:?/", re.IGNORECASE)
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")

# RFC 3986 section 3.3: pchar = unreserved / pct-encoded / sub-delims / ":" / "@", then "/" between
# segments and "?", which a query may have too.  quote() adds the unreserved ones.
_TARGET_SAFE = "%!$&'()*+,;=:@/?"

# RFC 3986 section 3.2 without the userinfo: host [ ":" port ].
_HOST_AND_PORT = re.compile(r"(?:\[(?P<ip6>[^\[\]]*)\]|(?P<name>[^:\[\]]*))(?::(?P<port>.*))?")
_PORT = re.compile(r"[0-9]{1,5}")
_DEFAULT_PORT = {False: 80, True: 443}
_MAX_PORT = 65535

# Of HTTP that of the scheme, of SOCKS that of the registry.
_PROXY_PORT: Final = {
    "http": 80,
    "https": 443,
    "socks4": 1080,
    "socks4a": 1080,
    "socks5": 1080,
    "socks5h": 1080,
}
_MAX_SOCKS5_CREDENTIAL = 255  # bytes: one gives the length (RFC 1929 section 2)

# What DNS and local resolvers take: labels without a hyphen at either end, underscores as the names
# of containers have.  A dot at the end says that the name is complete.
_LABEL = r"[0-9a-z_](?:[0-9a-z_-]{0,61}[0-9a-z_])?"
_HOST_NAME = re.compile(rf"(?=.{{1,253}}\.?\Z){_LABEL}(?:\.{_LABEL})*\.?")
_MAX_HOST_NAME = 253
# Resolvers read a name that ends in a number as an IPv4 address, in notations (127.1, 0x7f000001)
# that hide which one.
_ENDS_IN_NUMBER = re.compile(r"(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)\.?")
# IDNA 2003, the standard library's, makes other names of these ("ss" of sharp s) than browsers do,
# which follow IDNA 2008: sharp s, final sigma, and the two zero-width joiners.
_IDNA_DEVIATIONS = re.compile("[\u00df\u1e9e\u03c2\u200c\u200d]")


@dataclass(frozen=True, slots=True)
class WebSocketURL:
    """A URL taken apart; made by `parse_url`.  As text it is the URL without user and password."""

    secure: bool
    """Whether it is a ``wss`` URL."""

    host: str
    """What to connect to and what TLS must prove: a name in lower case (IDNA-encoded), or an IP
    address in its shortest form, without brackets."""

    port: int
    """The port, the scheme's default (80, 443) if the URL has none."""

    target: str
    """The path and query to ask for: "resource name" in RFC 6455 section 3, at least "/"."""

    authorization: str | None = field(default=None, repr=False)
    """The value of the Authorization header that user and password make: Basic (RFC 7617)."""

    @property
    def host_header(self) -> str:
        """The value of the Host header: host, and the port unless it is the scheme's default."""
        # '/host/ plus optionally ":" followed by /port/ (when not using the default port)' (RFC
        # 6455 section 4.1).
        host = _in_brackets(self.host)
        return host if self.port == _DEFAULT_PORT[self.secure] else self.authority

    @property
    def authority(self) -> str:
        """Host and port, which is always there: what a proxy is asked to connect to."""
        return f"{_in_brackets(self.host)}:{self.port}"

    def __str__(self) -> str:
        return f"{'wss' if self.secure else 'ws'}://{self.host_header}{self.target}"


@dataclass(frozen=True, slots=True)
class ProxyURL:
    """A proxy; made by `parse_proxy_url`.  As text it is the URL without user and password."""

    scheme: str
    """``http``, ``https``, ``socks4``, ``socks4a``, ``socks5`` or ``socks5h``."""

    host: str
    """As `WebSocketURL.host`."""

    port: int
    """The port, the scheme's default (80, 443, 1080) if the URL has none."""

    user: str | None = field(default=None, repr=False)
    """Who we are to the proxy; ``None`` if the URL does not say."""

    password: str | None = field(default=None, repr=False)
    """What goes with it, "" if there is none."""

    @property
    def authorization(self) -> str | None:
        """The value of the Proxy-Authorization header that these make: Basic (RFC 7617)."""
        return None if self.user is None else _basic(self.user, self.password or "")

    def __str__(self) -> str:
        return f"{self.scheme}://{_in_brackets(self.host)}:{self.port}"


def parse_url(url: str) -> WebSocketURL:
    """Take a ``ws`` or ``wss`` URL apart (RFC 6455 section 3).

    Beyond ASCII, a host is encoded by IDNA, path and query as UTF-8.  What these may not have in
    them unencoded, quotes and brackets for example, is percent-encoded too.  Dot segments are left
    alone.

    Raises:
        TypeError: it is no `str`.
        InvalidURL: it is another kind of URL, has a fragment, or does not follow RFC 3986.  IPv6
            zone identifiers are refused, for they mean nothing to the server and to TLS.
    """
    _check_text(url)
    scheme, separator, rest = url.partition("://")
    secure = _is_secure(url, scheme if separator else "")
    authority, target = _split(rest)
    userinfo, _, host_and_port = authority.rpartition("@")
    host, port = _parse_host_and_port(url, host_and_port)
    return WebSocketURL(
        secure=secure,
        host=host,
        port=_DEFAULT_PORT[secure] if port is None else port,
        target=target,
        authorization=_basic(*_credentials(url, userinfo)) if userinfo else None,
    )


def parse_proxy_url(url: str) -> ProxyURL:
    """Take the URL of a proxy apart.

    Raises:
        TypeError: it is no `str`.
        InvalidURL: it is another kind of URL, has more to it than a proxy has use for, or
            credentials that its protocol cannot carry.
    """
    _check_text(url)
    scheme, separator, rest = url.partition("://")
    scheme = scheme.lower()
    if not separator or scheme not in _PROXY_PORT:
        raise InvalidURL(url, f"the URL of a proxy begins with one of {', '.join(_PROXY_PORT)}")
    if rest.partition("/")[2] or "?" in rest:
        raise InvalidURL(url, "the URL of a proxy ends with its port")
    userinfo, _, host_and_port = rest.removesuffix("/").rpartition("@")
    host, port = _parse_host_and_port(url, host_and_port)
    user, password = _credentials(url, userinfo) if userinfo else (None, None)
    if user is not None and password is not None:
        _check_socks_credentials(url, scheme, user, password)
    return ProxyURL(scheme, host, port or _PROXY_PORT[scheme], user, password)


def _check_socks_credentials(url: str, scheme: str, user: str, password: str) -> None:
    if scheme.startswith("socks4") and (password or not user.isascii()):
        raise InvalidURL(url, "SOCKS4 has no password, and a user in ASCII")
    if scheme.startswith("socks5") and not all(
        1 <= len(each.encode()) <= _MAX_SOCKS5_CREDENTIAL for each in (user, password)
    ):
        raise InvalidURL(url, "for SOCKS5, user and password have from 1 to 255 bytes each")


def _in_brackets(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _check_text(url: object) -> None:
    if not isinstance(url, str):
        raise TypeError(f"a URL must be a str, not {type(url).__name__}")
    if unprintable := _UNPRINTABLE.search(url):
        raise InvalidURL(url, _about_unprintable(url, unprintable[0]))
    if "\\" in url:  # browsers take it for a slash, others for part of the host
        raise InvalidURL(url, "there is a backslash in it; a slash is meant, or %5C")
    if _BAD_ESCAPE.search(url):
        raise InvalidURL(url, "a percent sign without two hexadecimal digits; %25 is meant")
    # "Fragment identifiers are meaningless in the context of WebSocket URIs and MUST NOT be used on
    # these URIs. [...] the character "#", when not indicating the start of a fragment, MUST be
    # escaped as %23" (RFC 6455 section 3).
    if "#" in url:
        raise InvalidURL(url, "a WebSocket URL has no fragment; # as part of it is written %23")


def _about_unprintable(url: str, character: str) -> str:
    if url != url.strip():
        return "there is whitespace around it; url.strip() is without"
    if character == " ":
        return "there is a space in it; as part of a path or query it is written %20"
    return f"there is {character!a} in it: whitespace, a control character or a surrogate"


def _is_secure(url: str, scheme: str) -> bool:
    match scheme.lower():
        case "ws":
            return False
        case "wss":
            return True
        case "http":
            raise InvalidURL(url, "this is an http URL; write ws:// instead")
        case "https":
            raise InvalidURL(url, "this is an https URL; write wss:// instead")
        case _:
            expected = "a WebSocket URL begins with ws:// or wss://"
            if not scheme and not _MISWRITTEN_SCHEME.match(url):
                expected += ", which is missing here"
            raise InvalidURL(url, expected)


def _split(rest: str) -> tuple[str, str]:
    """Return the authority, and the target as it goes into the request."""
    before_query, _, query = rest.partition("?")
    authority, _, path = before_query.partition("/")
    # The "resource-name" is made of '"/" if the path component is empty', the path, '"?" if the
    # query component is non-empty', and the query (RFC 6455 section 3).
    target = f"/{path}?{query}" if query else f"/{path}"
    return authority, quote(target, safe=_TARGET_SAFE)


def _parse_host_and_port(url: str, text: str) -> tuple[str, int | None]:
    match = _HOST_AND_PORT.fullmatch(text)
    if match is None:
        raise InvalidURL(url, "the brackets around an IPv6 address are wrong")
    ip6, name, port = match.groups()
    if port and ":" in port:
        raise InvalidURL(url, "there is a colon too many; an IPv6 address is written in brackets")
    host = _parse_name(url, name) if ip6 is None else _parse_ip6(url, ip6)
    # The port may be empty (RFC 3986 section 3.2.3).
    return host, _parse_port(url, port) if port else None


def _parse_port(url: str, text: str) -> int:
    # What is no port is not quoted: after a password with a raw slash in it, that is the password.
    if _PORT.fullmatch(text) is None or not 1 <= int(text) <= _MAX_PORT:
        raise InvalidURL(url, f"the port must be a number from 1 to {_MAX_PORT}")
    return int(text)


def _parse_ip6(url: str, text: str) -> str:
    if "%" in text:
        raise InvalidURL(url, "an IPv6 address with a zone identifier cannot be used")
    try:
        return str(ipaddress.IPv6Address(text))
    except ValueError:
        pass  # raised outside, so that the exception has no context that quotes the URL
    raise InvalidURL(url, "there is no IPv6 address in the brackets")


def _parse_name(url: str, name: str) -> str:
    if not name:
        raise InvalidURL(url, "there is no host in it")
    host = name.lower() if name.isascii() else _idna(url, name)
    if _HOST_NAME.fullmatch(host) is None:
        raise InvalidURL(url, "the host is not a name that can be looked up")
    if _ENDS_IN_NUMBER.fullmatch(host) and not _is_ip4(host):
        raise InvalidURL(url, "an IPv4 address is written as four decimal numbers")
    return host


def _is_ip4(host: str) -> bool:
    try:
        ipaddress.IPv4Address(host)
    except ValueError:
        return False
    return True


def _idna(url: str, name: str) -> str:
    if _IDNA_DEVIATIONS.search(name):
        raise InvalidURL(url, "the standards disagree on this host; write its xn-- form")
    # The codec has taken quadratic time for long names (CVE-2022-45061).
    if len(name) <= _MAX_HOST_NAME:
        try:
            return name.encode("idna").decode("ascii").lower()
        except UnicodeError:
            pass  # as in _parse_ip6
    raise InvalidURL(url, "the host cannot be encoded by IDNA")


def _credentials(url: str, userinfo: str) -> tuple[str, str]:
    """Return user and password, such as RFC 7617 section 2 can carry."""
    if "@" in userinfo:
        raise InvalidURL(url, "there is an @ in the user or the password; it is written %40")
    user, _, password = (unquote_to_bytes(part) for part in userinfo.partition(":"))
    # "The user-id and password MUST NOT contain any control characters", and "a user-id containing
    # a colon character is invalid" (RFC 7617 section 2).
    if b":" in user:
        raise InvalidURL(url, "a user with a colon in it cannot be sent")
    try:
        decoded = user.decode(), password.decode()
    except UnicodeDecodeError:
        pass  # as in _parse_ip6
    else:
        if not _CONTROL.search(decoded[0] + decoded[1]):
            return decoded
    raise InvalidURL(url, "user and password must be UTF-8 without control characters")


def _basic(user: str, password: str) -> str:
    """Return them as RFC 7617 section 2 has it, in UTF-8."""
    return f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode('ascii')}"
