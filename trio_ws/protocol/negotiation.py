"""How permessage-deflate is agreed on in the opening handshake (RFC 7692 section 7.1).

Lives here: what a client offers, what a server answers, what a client makes of the answer.  What
was agreed on is a `Deflate` too, in which windows and takeovers are no longer wishes.

Invariant: a parameter that is unknown, there twice, or has a value that it must not have makes a
server decline the offer that it is in, and a client fail the handshake (section 7.1, last
paragraphs); nothing is guessed.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from trio_ws._options import Deflate
from trio_ws.protocol._extensions import Extension, parse_extensions

_NAME: Final = "permessage-deflate"
_SERVER_BITS: Final = "server_max_window_bits"
_CLIENT_BITS: Final = "client_max_window_bits"
_SERVER_ALONE: Final = "server_no_context_takeover"
_CLIENT_ALONE: Final = "client_no_context_takeover"

# "a decimal integer value without leading zeroes between 8 to 15, inclusive" (section 7.1.2.1)
_BITS: Final = {str(bits): bits for bits in range(8, 16)}
_ALL_BITS: Final = 15  # without the parameter: "32,768"
_LEAST_BITS: Final = 9  # zlib has none of 8; to decompress, more than is needed is no harm


def offer(wish: Deflate) -> str:
    """Return what a client offers, as the value of Sec-WebSocket-Extensions."""
    # Without a value, as browsers do: we take any window that the server wants (section 7.1.2.2).
    parameters = [_CLIENT_BITS]
    if wish.peer_window_bits is not None and wish.peer_window_bits < _ALL_BITS:
        parameters.append(f"{_SERVER_BITS}={wish.peer_window_bits}")
    if not wish.peer_context_takeover:
        parameters.append(_SERVER_ALONE)
    if not wish.context_takeover:
        parameters.append(_CLIENT_ALONE)
    return "; ".join([_NAME, *parameters])


def answer(wish: Deflate, offers: Iterable[str]) -> tuple[Deflate, str] | None:
    """Return what a server agrees on, and the header value that says so; ``None``: on nothing.

    The first offer counts that can be accepted: the client has them in its order of preference.

    Args:
        wish: what we would like.
        offers: the values of Sec-WebSocket-Extensions, from the request.

    Raises:
        ValueError: they are malformed.
    """
    for extension in parse_extensions(offers):
        if extension.name == _NAME:
            try:
                return _accept(wish, _parameters(extension, value_optional=_CLIENT_BITS))
            except ValueError:
                continue  # "MUST decline": that one, there may be others
    return None


def _accept(wish: Deflate, offered: dict[str, int | None]) -> tuple[Deflate, str]:
    """Return what is agreed on when this is accepted, and the answer.

    Raises:
        ValueError: it cannot be.
    """
    window_bits = offered.get(_SERVER_BITS) or _ALL_BITS
    if window_bits < _LEAST_BITS:
        raise ValueError("zlib cannot keep to so small a window")
    agreed = replace(
        wish,
        window_bits=min(window_bits, wish.window_bits),
        # "If a received extension negotiation offer doesn't have the "client_max_window_bits"
        # extension parameter, the corresponding extension negotiation response to the offer MUST
        # NOT include" it (section 7.1.2.2).
        peer_window_bits=_ALL_BITS,
        context_takeover=wish.context_takeover and _SERVER_ALONE not in offered,
        peer_context_takeover=wish.peer_context_takeover and _CLIENT_ALONE not in offered,
    )
    parameters: list[str] = []
    if _SERVER_BITS in offered:
        parameters.append(f"{_SERVER_BITS}={agreed.window_bits}")
    if _CLIENT_BITS in offered:
        bits = min(offered[_CLIENT_BITS] or _ALL_BITS, wish.peer_window_bits or wish.window_bits)
        agreed = replace(agreed, peer_window_bits=max(bits, _LEAST_BITS))
        if bits < _ALL_BITS:
            parameters.append(f"{_CLIENT_BITS}={bits}")
    if not agreed.context_takeover:
        parameters.append(_SERVER_ALONE)
    if not agreed.peer_context_takeover:
        parameters.append(_CLIENT_ALONE)
    return agreed, "; ".join([_NAME, *parameters])


def conclude(wish: Deflate | None, answers: Iterable[str]) -> Deflate | None:
    """Return what a client has agreed on by the server's answer; ``None``: on nothing.

    Args:
        wish: what was offered, see `offer`; ``None``: nothing was.
        answers: the values of Sec-WebSocket-Extensions, from the response.

    Raises:
        ValueError: the answer is none that could be given to the offer.
    """
    extensions = parse_extensions(answers)
    for extension in extensions:
        if wish is None or extension.name != _NAME:
            raise ValueError(
                f"it uses the extension {extension.name!r:.100}, which was not offered"
            )
    if wish is None or not extensions:
        return None
    if len(extensions) > 1:
        raise ValueError("it uses the extension permessage-deflate twice")
    return _conclude(wish, _parameters(extensions[0], value_optional=None))


def _conclude(wish: Deflate, given: dict[str, int | None]) -> Deflate:
    peer_bits = given.get(_SERVER_BITS) or _ALL_BITS
    if wish.peer_window_bits is not None and peer_bits > wish.peer_window_bits:
        raise ValueError(f"{_SERVER_BITS} is {peer_bits}, {wish.peer_window_bits} was asked for")
    if not wish.peer_context_takeover and _SERVER_ALONE not in given:
        raise ValueError(f"{_SERVER_ALONE} is missing, which was asked for")
    bits = given.get(_CLIENT_BITS) or _ALL_BITS
    return replace(
        wish,
        window_bits=max(_LEAST_BITS, min(bits, wish.window_bits)),
        # In a window of 8 bits we cannot compress, but nobody has to (section 6.1).
        threshold=wish.threshold if bits >= _LEAST_BITS else math.inf,
        context_takeover=wish.context_takeover and _CLIENT_ALONE not in given,
        peer_window_bits=max(_LEAST_BITS, peer_bits),
        peer_context_takeover=_SERVER_ALONE not in given,
    )


def _parameters(extension: Extension, *, value_optional: str | None) -> dict[str, int | None]:
    """Return the parameters by name, window sizes as numbers.

    Args:
        extension: permessage-deflate.
        value_optional: the parameter that may have a value and need not.

    Raises:
        ValueError: one of them is not as it must be.
    """
    parameters: dict[str, int | None] = {}
    for name, value in extension.parameters:
        if name in parameters:
            raise ValueError(f"its parameter {name} is there twice")
        if name in {_SERVER_ALONE, _CLIENT_ALONE}:
            good = value is None
        elif name in {_SERVER_BITS, _CLIENT_BITS}:
            good = value in _BITS or (value is None and name == value_optional)
        else:
            raise ValueError(f"its parameter {name!r:.50} is unknown")
        if not good:
            raise ValueError(f"its parameter {name} has the value {value!r:.50}")
        parameters[name] = None if value is None else _BITS[value]
    return parameters
