"""The rows of the table: what is measured, how, and which bars trio_ws has to reach.

Data alone.  A row is measured for every peer in the same way; a new row is one entry here, unless
it needs a load of a new kind.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import Literal

Handler = Literal["echo", "sink", "source", "fan_out", "elsewhere"]
"""What the server under test does with a connection.

- ``echo`` sends every message back.
- ``sink`` receives, and answers only what is not of the row's size.
- ``source`` sends as many messages, one by one, as the message says that asks for them.
- ``fan_out`` sends one message to all connections for every one that comes.
- ``elsewhere`` never receives.
"""

Load = Literal["flood", "drain", "closed_loop", "exchange", "fan_out", "churn", "hold"]
"""What the load generator does; see ``load``."""


class Stage(Enum):
    """Which processes take part."""

    LOADED = auto()
    """The server on one core, the load generator on another."""
    ONE_PROCESS = auto()
    """The peer's own client and server in one process, so on one core."""
    TWO_PROCESSES = auto()
    """The peer's own client and server, each on a core of its own."""
    MEMORY = auto()
    """As LOADED, with fresh processes each time, and what is measured is memory."""


@dataclass(frozen=True, slots=True)
class Bar:
    """What trio_ws has to reach in a row.

    Either a peer takes at least ``ratio`` times what ``of`` takes, or the figure of ``of`` is
    ``most`` at most, in the row's unit.
    """

    peer: str = ""
    ratio: float = 1.0
    of: str = "trio_ws"
    most: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the table."""

    name: str
    title: str
    unit: str
    """Of the figures, after scaling by ``scale``."""
    stage: Stage = Stage.LOADED
    handler: Handler = "echo"
    load: Load = "closed_loop"
    size: int = 64
    """Of a message, in bytes."""
    text: bool = True
    connections: int = 1
    tls: bool = False
    deflate: bool = False
    """Whether messages are compressed: each peer's way, as it comes."""
    scale: float = 1e6
    """From seconds, or bytes, to the unit."""
    bars: tuple[Bar, ...] = ()


# The pure lane has to be faster than what else there is for Trio.
_PURE_BARS = (
    Bar("websockets-trio", of="trio_ws-pure"),
    Bar("trio-websocket", of="trio_ws-pure"),
)

ROWS = (
    Row(
        name="round-trip",
        title="echo round trip, 64 B, client and server in one process",
        unit="µs",
        stage=Stage.ONE_PROCESS,
        bars=(
            Bar("raw-trio"),
            Bar("websockets-uvloop", 1.4),
            Bar("websockets-trio", 3.5),
            Bar("picows", 1 / 1.7),
            *_PURE_BARS,
        ),
    ),
    Row(
        name="round-trip-4k",
        title="echo round trip, 4 KiB, client and server in one process",
        unit="µs",
        stage=Stage.ONE_PROCESS,
        size=4096,
        bars=_PURE_BARS,
    ),
    Row(
        name="round-trip-two",
        title="echo round trip, 64 B, client and server on two cores",
        unit="µs",
        stage=Stage.TWO_PROCESSES,
        bars=_PURE_BARS,
    ),
    Row(
        name="receive",
        title="server receives 64 B back to back",
        unit="µs/message",
        handler="sink",
        load="flood",
        bars=(Bar("picows"), *_PURE_BARS),
    ),
    Row(
        name="send",
        title="server sends 64 B back to back, one send() each",
        unit="µs/message",
        handler="source",
        load="drain",
        bars=(Bar("picows"), *_PURE_BARS),
    ),
    Row(
        name="echo-50",
        title="server echoes 64 B to 50 clients, closed loop",
        unit="µs/message",
        connections=50,
        bars=(Bar("aiohttp"), *_PURE_BARS),
    ),
    Row(
        name="fan-out",
        title="fan-out of one 64 B message to 1,000 clients",
        unit="µs/client",
        handler="fan_out",
        load="fan_out",
        connections=1000,
        bars=(Bar("picows"), *_PURE_BARS),
    ),
    Row(
        name="echo-1m",
        title="server echoes 1 MiB",
        unit="µs/message",
        load="exchange",
        size=1024 * 1024,
        text=False,
        bars=(
            Bar("raw-trio", 1 / 1.3),
            Bar("aiohttp"),
            Bar("websockets-asyncio"),
            Bar("websockets-uvloop"),
            *_PURE_BARS,
        ),
    ),
    Row(
        name="wss",
        title="wss echo round trip, 64 B, client and server in one process",
        unit="µs",
        stage=Stage.ONE_PROCESS,
        tls=True,
        bars=(Bar("websockets-asyncio", 1.15), Bar("raw-trio"), *_PURE_BARS),
    ),
    Row(
        name="deflate",
        title="deflate echo round trip, 1 kB of JSON, client and server in one process",
        unit="µs",
        stage=Stage.ONE_PROCESS,
        size=1000,
        deflate=True,
        bars=(
            Bar("aiohttp"),
            Bar("websockets-asyncio"),
            Bar("websockets-uvloop"),
            Bar("websockets-trio"),
            Bar("websockets-trio", of="trio_ws-pure"),
        ),
    ),
    Row(
        name="connections",
        title="connections opened and closed",
        unit="µs/connection",
        load="churn",
        bars=_PURE_BARS,
    ),
    Row(
        name="memory-receiving",
        title="memory of an idle connection, handler in receive()",
        unit="KiB",
        stage=Stage.MEMORY,
        load="hold",
        scale=1 / 1024,
        bars=(Bar(most=10),),
    ),
    Row(
        name="memory-elsewhere",
        title="memory of an idle connection, handler elsewhere",
        unit="KiB",
        stage=Stage.MEMORY,
        handler="elsewhere",
        load="hold",
        scale=1 / 1024,
        bars=(Bar(most=12),),
    ),
)
