"""The header Sec-WebSocket-Extensions (RFC 6455 section 9.1): its grammar, and nothing else.

What an extension or a parameter means is not known here.  One pass from left to right, so that
the longest header takes no longer than its length says.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from trio_ws.protocol._headers import TCHARS, is_token

_NAME = re.compile(rf"[ \t]*({TCHARS})[ \t]*")
# extension-param = token [ "=" (token | quoted-string) ]
_PARAMETER = re.compile(
    rf';[ \t]*({TCHARS})[ \t]*(?:=[ \t]*(?:({TCHARS})|"((?:[^"\\]|\\.)*)")[ \t]*)?'
)
_EMPTY = re.compile(r"[ \t]*(?:,|$)")
_ESCAPED = re.compile(r"\\(.)")


@dataclass(frozen=True, slots=True)
class Extension:
    """An extension as it is offered, or agreed on."""

    name: str
    parameters: tuple[tuple[str, str | None], ...] = ()
    """Names and values, in their order; ``None``: without a value."""


def parse_extensions(values: Iterable[str]) -> list[Extension]:
    """Return the extensions that these values of the header name together, in their order.

    Raises:
        ValueError: it does not conform to the grammar.
    """
    text = ", ".join(values)
    extensions: list[Extension] = []
    position = 0
    while position < len(text):
        # "A recipient MUST parse and ignore a reasonable number of empty list elements" (RFC 9110
        # section 5.6.1.2)
        if empty := _EMPTY.match(text, position):
            position = empty.end()
            continue
        extension, position = _parse_extension(text, position)
        extensions.append(extension)
        if text[position : position + 1] not in {"", ","}:
            raise ValueError(f"malformed at {text[position:]!r:.50}")
        position += 1
    return extensions


def _parse_extension(text: str, position: int) -> tuple[Extension, int]:
    match = _NAME.match(text, position)
    if match is None:
        raise ValueError(f"malformed at {text[position:]!r:.50}")
    name = match[1]
    parameters: list[tuple[str, str | None]] = []
    while parameter := _PARAMETER.match(text, match.end()):
        match = parameter
        parameters.append((match[1], match[2] if match[3] is None else _unquoted(match[3])))
    return Extension(name, tuple(parameters)), match.end()


def _unquoted(text: str) -> str:
    # "the value after quoted-string unescaping MUST conform to the 'token' ABNF"
    value = _ESCAPED.sub(r"\1", text)
    if not is_token(value):
        raise ValueError(f"the value {value!r:.50} is no token")
    return value
