"""Figures of a connection and of a server.

Invariant: no message is counted twice, or for a server apart: what a connection counts is added
up when somebody asks, and once when it has ended.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from trio_ws._connection import WebSocket


@dataclass(frozen=True, slots=True)
class WebSocketStatistics:
    """What a `WebSocket` has done since it is open, and what it holds; final once it is closed."""

    messages_sent: int
    """Messages committed."""
    messages_received: int
    """Messages that arrived in full, whether or not the application has taken them; without those
    whose `WebSocket.receive_stream` block was left before their end had come."""
    bytes_sent: int
    """Bytes committed: all frames, as they are on the wire but for TLS."""
    bytes_received: int
    """Bytes read, of the same kind."""
    queued_messages: int
    """Messages that wait for `WebSocket.receive`; while one is streamed, its pieces."""
    buffered_bytes: int
    """Bytes committed that wait here for the network to take them."""
    latency: float | None
    """The latest round-trip time of a ping, in seconds; ``None`` before the first."""
    last_activity: float
    """When bytes last arrived, as `trio.current_time` counts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerStatistics:
    """What a `Server` has done since it was started, and what it holds."""

    listeners: int
    """Listeners that are open; none when it drains."""
    handshakes: int
    """Opening handshakes in progress, TLS included."""
    connections: int
    """Connections that are open or whose handler has not ended: those that ``max_connections``
    limits."""
    accepted: int
    """Opening handshakes, so far, that became connections."""
    rejected: Mapping[int, int] = field(hash=False)
    """Opening handshakes, so far, that were answered with another response, by its status: 408 for
    clients that took too long, 503 for those that came when there was no room."""
    failed: int
    """Opening handshakes, so far, that ended without an answer: TLS failed, no request came."""
    closed: int
    """Connections, so far, that are closed and whose handlers have ended."""
    handler_failures: int
    """Handlers, so far, that raised anything but the end of their connection."""
    messages_sent: int
    """Messages committed, on all connections, open and closed."""
    messages_received: int
    """Messages that arrived in full, on all connections."""
    bytes_sent: int
    """Bytes committed, on all connections: frames, without opening handshakes and TLS."""
    bytes_received: int
    """Bytes read, on all connections, of the same kind."""


class Tally:
    """What a server adds up."""

    __slots__ = (
        "bytes_received",
        "bytes_sent",
        "closed",
        "failed",
        "handler_failures",
        "messages_received",
        "messages_sent",
        "rejected",
    )

    def __init__(self) -> None:
        self.rejected: Counter[int] = Counter()
        self.failed: int = 0
        self.closed: int = 0
        self.handler_failures: int = 0
        # Of the connections that have ended.
        self.messages_sent: int = 0
        self.messages_received: int = 0
        self.bytes_sent: int = 0
        self.bytes_received: int = 0

    def add(self, websocket: WebSocket) -> None:
        """Note that a connection has ended."""
        self.closed += 1
        self.messages_sent += websocket._messages_sent
        self.messages_received += websocket._messages_received
        self.bytes_sent += websocket._bytes_sent
        self.bytes_received += websocket._bytes_received

    def statistics(
        self, websockets: Sequence[WebSocket], *, listeners: int, handshakes: int
    ) -> ServerStatistics:
        """Return it, with what the connections have done that have not ended."""
        return ServerStatistics(
            listeners=listeners,
            handshakes=handshakes,
            connections=len(websockets),
            accepted=len(websockets) + self.closed,
            rejected=dict(self.rejected),
            failed=self.failed,
            closed=self.closed,
            handler_failures=self.handler_failures,
            messages_sent=self.messages_sent + sum(ws._messages_sent for ws in websockets),
            messages_received=self.messages_received
            + sum(ws._messages_received for ws in websockets),
            bytes_sent=self.bytes_sent + sum(ws._bytes_sent for ws in websockets),
            bytes_received=self.bytes_received + sum(ws._bytes_received for ws in websockets),
        )
