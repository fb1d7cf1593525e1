"""Header fields: `Headers`, what may be in them, and the lists that their values are.

Lives here: the one place that decides which names and values are allowed, for ours and for users'.
What a peer sent was held against a stricter grammar on its way in (``_exchange``) and is taken as
it is.  No meaning of any field is known here.

Invariant: a `Headers` holds tokens for names, and for values Latin-1 text without control
characters (but the tab) and without space around it, so that writing it to the wire and reading it
back gives the same fields.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, Self, cast

HeadersLike = Mapping[str, str] | Iterable[tuple[str, str]]
"""Whatever makes a `Headers`: a mapping, pairs of name and value, or another `Headers`."""

# RFC 9110 section 5.6.2: token = 1*tchar
TCHARS: Final = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_TOKEN = re.compile(TCHARS)
# RFC 9110 section 5.5: field-value = *field-content, which neither begins nor ends with a space.
_VALUE = re.compile(r"(?:[!-~\x80-\xff](?:[\t -~\x80-\xff]*[!-~\x80-\xff])?)?")

# A connection keeps its request for life.  These strings are in nearly every handshake; sharing
# them leaves a typical browser's request half of its size.
_COMMON: Final[dict[bytes, str]] = {
    text.encode(): text
    for text in (
        *("Accept", "Accept-Encoding", "Accept-Language", "Authorization", "Cache-Control"),
        *("Connection", "Cookie", "Host", "Origin", "Pragma", "User-Agent", "X-Forwarded-For"),
        *("Sec-Fetch-Dest", "Sec-Fetch-Mode", "Sec-Fetch-Site", "Sec-WebSocket-Accept"),
        *("Sec-WebSocket-Extensions", "Sec-WebSocket-Key", "Sec-WebSocket-Protocol"),
        *("Sec-WebSocket-Version", "Upgrade", "X-Forwarded-Proto", "X-Real-IP"),
        *("*/*", "13", "empty", "gzip, deflate, br", "gzip, deflate, br, zstd", "keep-alive"),
        *("keep-alive, Upgrade", "no-cache", "permessage-deflate", "same-origin", "upgrade"),
        *("permessage-deflate; client_max_window_bits", "websocket", "WebSocket", "cross-site"),
    )
}

# What nobody wants to find in a log.
_SECRET = frozenset({"authorization", "cookie", "proxy-authorization", "set-cookie"})


class Headers(Mapping[str, str]):
    """Header fields, in their order: an immutable mapping whose names have no case.

    A name may be there more than once: ``headers[name]`` joins its values with ", ", which is
    what they mean together (RFC 9110 section 5.3); `get_all` gives them one by one, as Set-Cookie
    wants it.  Iterating gives each name once, as it was first written.

    Values are `str`, one character per byte (Latin-1): what a peer sent beyond ASCII has no known
    encoding (RFC 9110 section 5.5), and so it can be printed, stored and turned back into bytes
    without any error.  ``value.encode("latin-1").decode()`` gives the text where it was UTF-8.

    Args:
        headers: a mapping, pairs of name and value, or another `Headers`.

    Raises:
        TypeError: a name or a value is no `str`.
        ValueError: a name is no token, or a value cannot be in a header.
    """

    __slots__ = ("_flat",)

    # Names and values in turn: no tuple per field, and none that the garbage collector tracks.
    _flat: tuple[str, ...]

    def __init__(self, headers: HeadersLike = ()) -> None:
        if isinstance(headers, Headers):
            self._flat = headers._flat
            return
        flat = list[str]()
        if isinstance(headers, Mapping):
            headers = cast("Mapping[str, str]", headers).items()
        for name, value in _pairs(headers):
            _check(name, value)
            flat += (name, value)
        self._flat = tuple(flat)

    @classmethod
    def _of(cls, flat: tuple[str, ...]) -> Self:
        """Return headers of names and values in turn, which are known to be good."""
        headers = cls.__new__(cls)
        headers._flat = flat
        return headers

    @classmethod
    def _of_peer(cls, raw_items: Iterable[tuple[bytes, bytes]]) -> Self:
        """Return headers as a peer sent them, held against the grammar already."""
        common = _COMMON.get
        return cls._of(
            tuple([common(raw) or raw.decode("latin-1") for item in raw_items for raw in item])
        )

    @property
    def pairs(self) -> tuple[tuple[str, str], ...]:
        """All fields as pairs of name and value, in their order."""
        return tuple(zip(self._flat[::2], self._flat[1::2], strict=True))

    def get_all(self, name: str) -> list[str]:
        """Return the values of all fields of this name, in their order."""
        wanted = name.lower()
        fields = iter(self._flat)
        return [value for name, value in zip(fields, fields, strict=True) if name.lower() == wanted]

    def _grouped(self) -> dict[str, list[str]]:
        """Return the values by name in lower case: for whoever asks for many names at once."""
        grouped: dict[str, list[str]] = {}
        fields = iter(self._flat)
        for name, value in zip(fields, fields, strict=True):
            grouped.setdefault(name.lower(), []).append(value)
        return grouped

    def __getitem__(self, name: str) -> str:
        values = self.get_all(name)
        if not values:
            raise KeyError(name)
        return ", ".join(values)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and bool(self.get_all(name))

    def __iter__(self) -> Iterator[str]:
        seen = dict[str, str]()
        for name in self._flat[::2]:
            seen.setdefault(name.lower(), name)
        return iter(seen.values())

    def __len__(self) -> int:
        return len({name.lower() for name in self._flat[::2]})

    def __eq__(self, other: object) -> bool:
        return self._folded() == other._folded() if isinstance(other, Headers) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._folded())

    def __repr__(self) -> str:
        shown = [(n, "..." if n.lower() in _SECRET else v) for n, v in self.pairs]
        return f"Headers({shown!r})"

    def _folded(self) -> tuple[tuple[str, str], ...]:
        return tuple([(name.lower(), value) for name, value in self.pairs])


def is_token(text: str) -> bool:
    """Return whether this is a token as RFC 9110 section 5.6.2 defines it."""
    return _TOKEN.fullmatch(text) is not None


def is_field_value(text: str) -> bool:
    """Return whether this can be the value of a header, and comes out as it went in."""
    return _VALUE.fullmatch(text) is not None


def list_members(values: Iterable[str]) -> list[str]:
    """Return the members of the comma-separated list that these values are together.

    "A recipient MUST parse and ignore a reasonable number of empty list elements" (RFC 9110
    section 5.6.1.2).  For lists of tokens: a comma inside a quoted string would cut it.
    """
    return [
        stripped for v in values for member in v.split(",") if (stripped := member.strip(" \t"))
    ]


def _pairs(headers: object) -> Iterator[tuple[str, str]]:
    """Go through what users hand in as pairs.

    Raises:
        TypeError: it is none.
    """
    if isinstance(headers, str | bytes) or not isinstance(headers, Iterable):
        kind = type(headers).__name__  # not what it says, which may be secret
        raise TypeError(f'headers must be a mapping such as {{"Name": "value"}}, not {kind}')
    for pair in cast("Iterable[object]", headers):
        if not _is_pair(pair):
            kind = type(pair).__name__
            raise TypeError(f'each header must be a pair such as ("Name", "value"), not {kind}')
        name, value = cast("tuple[str, str]", pair)
        yield name, value


def _is_pair(value: object) -> bool:
    return isinstance(value, tuple | list) and len(cast("list[object]", value)) == 2


def _check(name: str, value: str) -> None:
    # The annotations say str; what comes here is what users hand in.
    for text in (name, value):
        if not isinstance(text, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"header {name!r:.100} must be made of str, not {type(text).__name__}")
    if not is_token(name):
        raise ValueError(
            f"header name {name!r:.100} is no token, which has letters, digits and some signs but"
            f" no space and no colon (its value: {value!r:.100})"
        )
    if not is_field_value(value):
        raise ValueError(
            f"value {value!r:.100} of header {name} has a control character, a character beyond"
            " Latin-1, or space around it"
        )
