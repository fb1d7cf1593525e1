"""Options that travel as frozen objects: limits, timeouts, keepalive, compression.

Lives here: numbers, each with its unit and the reason of its default beside it.  Sizes are in
bytes, times in seconds.  The invariant: an object of these classes that exists is valid; what it
bounds is bounded.  Nothing here acts on them.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Literal, TypeAlias

from trio_ws._other_names import named_options


@named_options(of="Limits")
@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a peer may make us hold, per connection; all at least 1, and none can be switched off.

    Raises:
        TypeError: a value is no `int`.
        ValueError: a value is less than 1.
    """

    max_message_size: int = 1024 * 1024
    """The largest message to receive, in bytes, of UTF-8 where it is text; over it the connection
    fails with 1009.  1 MiB is far above what most applications exchange, and little enough to
    lose to a hostile peer.  ``receive_stream()`` reads larger ones, in pieces."""

    max_fragments: int = 1024
    """The most fragments that a message may have; over it the connection fails with 1009.  Even
    empty fragments cost time, and nobody needs less than 1 KiB a fragment for a message of
    1 MiB."""

    max_queued_messages: int = 16
    """How many messages received may wait for ``receive()`` before reading pauses.  Enough for a
    burst while a handler is busy; few, so that TCP soon tells the peer of a slow one."""

    max_queued_bytes: int = 64 * 1024
    """How many bytes of messages received may wait for ``receive()`` before reading pauses, each
    message counting 64 bytes more.  A message is read whole, so one may stand above it."""

    max_buffered_bytes: int = 64 * 1024
    """How many outgoing bytes may wait for the network before ``send()`` waits too.  The kernel
    has buffers of its own; this one only keeps it supplied.  One message may stand above it."""

    max_header_bytes: int = 16 * 1024
    """The longest request or response head.  h11's own limit (but h11 does not hold to it when all
    comes at once), and that of IIS; Tomcat's is 8 KiB, nginx's 32 KiB."""

    max_headers: int = 100
    """The most header fields in a request or response.  The limit of Apache and of Python's
    ``http.client``; browsers send about 20."""

    max_error_body: int = 64 * 1024
    """The longest body of a rejecting response that is kept; the rest is cut off.  Any error page
    that is worth reading fits."""

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            _check_count(f"Limits.{field.name}", getattr(self, field.name))


@named_options(of="Timeouts")
@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """How long to wait for a peer, in seconds; ``math.inf`` is for ever.

    There is none for ``send()``, ``receive()`` or ``ping()``: callers have cancel scopes.

    Raises:
        TypeError: a value is neither `int` nor `float`.
        ValueError: a value is not above 0.
    """

    open: float = 10
    """From the name lookup, or from an accepted stream, to the end of the opening handshake: TCP,
    TLS and HTTP together.  Three lost packets in a row still fit: TCP repeats after 1, 3 and 7
    seconds."""

    close: float = 10
    """For the peer's Close after ours was sent.  As long as opening may take: it is one round
    trip, but the peer may have messages of ours to read before."""

    stall: float = 20
    """For some progress on outgoing bytes; then the connection is broken.  As long as keepalive
    waits for a pong: a peer that takes nothing is no better than one that says nothing.  Progress
    is 4 KiB; over a stream that is no socket, and does not tell how far it got, it is 64 KiB."""

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            _check_seconds(f"Timeouts.{field.name}", getattr(self, field.name))


@named_options(of="Keepalive")
@dataclass(frozen=True, slots=True, kw_only=True)
class Keepalive:
    """When to ask a silent peer for a sign of life; ``Keepalive(interval=math.inf)`` never does.

    Any byte that arrives counts as life.  The timeout does not run while we ourselves do not read.

    Raises:
        TypeError: a value is neither `int` nor `float`.
        ValueError: a value is not above 0.
    """

    interval: float = 20
    """The silence, in seconds, after which a ping is sent.  Below the 30 to 60 seconds after which
    common proxies and address translators drop a silent connection."""

    timeout: float = 20
    """How long the answer may take, in seconds; then the connection is broken.  With the interval
    a vanished peer is noticed in 40 seconds; less, and a train's tunnel would do."""

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            _check_seconds(f"Keepalive.{field.name}", getattr(self, field.name))


@named_options(of="Deflate")
@dataclass(frozen=True, slots=True, kw_only=True)
class Deflate:
    """How messages are compressed, where the peer agrees: permessage-deflate (RFC 7692).

    Saves bytes, costs time and memory.  The windows and the takeovers are what we wish for; what
    was agreed on is in `WebSocket.compression`.  Sizes are in bytes.

    Raises:
        TypeError: a value is of another type.
        ValueError: a value is outside of what its description says.
    """

    level: int = 1
    """From 1, fast, to 9, small.  1, because messages are short: what more effort finds in them
    is about a seventh, and it costs half as much time again."""

    window_bits: int = 12
    """How far back our compressor may look, 9 to 15: 12 is 4 KiB.  It takes four times as much
    memory for each connection.  Messages are some hundred bytes long, so 4 KiB hold several of
    them, and 32 KiB find hardly more."""

    mem_level: int = 5
    """What our compressor works in, 1 to 9: 5 is 16 KiB for each connection, an eighth of what
    zlib takes by default.  Messages are hardly larger for it."""

    threshold: float = 128
    """Messages shorter than this go as they are.  Below 128 bytes the headers of TCP and IP
    outweigh what could be saved.  0 compresses all; ``math.inf`` none, so that only the peer's
    are.  Messages sent in fragments, whose size nobody knows, are compressed unless it is that."""

    context_takeover: bool = True
    """Whether a message may refer to the ones we sent before.  That makes messages that are alike
    a sixth smaller, or far more.  ``False`` frees the memory after each message, and lets
    connections share what is sent to many."""

    peer_window_bits: int | None = None
    """How far back the peer's compressor may look, 9 to 15, for it takes as much memory here to
    decompress; ``None``: on a server the same as ``window_bits``, on a client as the server likes.
    Browsers let a server choose; some servers refuse a client that wants to."""

    peer_context_takeover: bool = True
    """Whether the peer's messages may refer to the ones it sent before.  ``False`` frees the
    memory after each of them."""

    def __post_init__(self) -> None:
        _check_within("Deflate.level", self.level, 1, 9)
        # zlib knows no window of 8 bits, which the RFC has too.
        _check_within("Deflate.window_bits", self.window_bits, 9, 15)
        _check_within("Deflate.mem_level", self.mem_level, 1, 9)
        _check_bytes("Deflate.threshold", self.threshold)
        _check_bool("Deflate.context_takeover", self.context_takeover)
        if self.peer_window_bits is not None:
            _check_within("Deflate.peer_window_bits", self.peer_window_bits, 9, 15)
        _check_bool("Deflate.peer_context_takeover", self.peer_context_takeover)


def check_options(limits: object, timeouts: object, keepalive: object) -> None:
    """Refuse what is no object of these classes, before anything is done.

    Raises:
        TypeError: one of them is something else, a number most likely.
    """
    for name, value, expected in (
        ("limits", limits, Limits),
        ("timeouts", timeouts, Timeouts),
        ("keepalive", keepalive, Keepalive),
    ):
        if not isinstance(value, expected):
            kind, field = expected.__name__, dataclasses.fields(expected)[0].name
            instead = "math.inf" if value is None and expected is not Limits else "..."
            instead = repr(value) if isinstance(value, int | float) else instead
            example = f"{name}={kind}({field}={instead})"
            raise TypeError(f"{name} must be a {kind}, not {value!r:.100}: write {example}")


Compression: TypeAlias = Deflate | Literal["deflate"] | None
"""The option ``compression``: ``"deflate"`` is ``Deflate()``, ``None`` is none."""


def check_redirects(count: object) -> None:
    """Refuse what is no number of redirects to follow.

    Raises:
        TypeError: it is no `int`.
        ValueError: it is less than 0.
    """
    if not isinstance(count, int):
        raise TypeError(f"max_redirects must be an int, 0 for none, not {count!r:.100}")
    if count < 0:
        raise ValueError(f"max_redirects must be 0 or more, not {count!r}")


def checked_compression(compression: Compression) -> Deflate | None:
    """Return how to compress, or that it is not wanted.

    Raises:
        TypeError: it is nothing of what `Compression` says.
        ValueError: it is another `str`.
    """
    if compression is None or isinstance(compression, Deflate):
        return compression
    if not isinstance(compression, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(f'compression must be a Deflate, "deflate" or None, not {compression!r}')
    if compression != "deflate":
        raise ValueError(f'compression must be "deflate", not {compression!r}')
    return Deflate()


def _check_within(name: str, value: object, least: int, most: int) -> None:
    _check_count(name, value)
    assert isinstance(value, int)
    if not least <= value <= most:
        raise ValueError(f"{name} must be from {least} to {most}, not {value!r}")


def _check_bytes(name: str, value: object) -> None:
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise TypeError(f"{name} must be a number of bytes, not {value!r}")
    if not value >= 0:  # so written, it refuses NaN too
        raise ValueError(f"{name} must be 0 or more (math.inf for never), not {value!r}")


def _check_bool(name: str, value: object) -> None:
    if not isinstance(value, bool):
        raise TypeError(f"{name} must be True or False, not {value!r}")


def _check_count(name: str, value: object) -> None:
    # Not an index: True and 2.0 are more likely mistakes than numbers.
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{name} must be an int, not {value!r}")
    if value < 1:
        raise ValueError(f"{name} must be at least 1, not {value!r}")


def _check_seconds(name: str, value: object) -> None:
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise TypeError(
            f"{name} must be a number of seconds, not {value!r:.100} (math.inf is for ever)"
        )
    if not value > 0:  # so written, it refuses NaN too
        raise ValueError(f"{name} must be above 0 seconds (math.inf for ever), not {value!r}")
