"""Figures of a connection."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class WebSocketStatistics:
    """What a `WebSocket` has done so far, and what it holds."""

    messages_sent: int
    """Messages committed."""
    messages_received: int
    """Messages that arrived, taken by the application or not."""
    bytes_sent: int
    """Bytes committed, frame headers included."""
    bytes_received: int
    """Bytes read, frame headers included."""
    queued_messages: int
    """Messages that wait for `WebSocket.receive`."""
    buffered_bytes: int
    """Bytes that were committed and that the peer's side has not taken, in bytes."""
    latency: float | None
    """The latest round-trip time of a ping, in seconds; ``None`` before the first."""
    last_activity: float
    """When bytes last arrived, as `trio.current_time` counts."""
