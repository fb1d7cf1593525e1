"""Pings on their way, and the round-trip times that their pongs tell (RFC 6455 section 5.5.2)."""

from __future__ import annotations

import os
from dataclasses import dataclass

import trio

# More than this many at once tell nothing that fewer would not; further ones wait.
MAX_OUTSTANDING = 16


@dataclass(slots=True, eq=False)
class SentPing:
    """One ping; ``round_trip`` (in seconds) stays ``None`` until it is answered."""

    sent_at: float
    done: trio.Event | None = None  # None: a keepalive ping, nobody waits for it
    round_trip: float | None = None


class Pings:
    """Pings that were sent and not answered, oldest first."""

    __slots__ = ("_outstanding", "_waiting")

    def __init__(self) -> None:
        self._outstanding: dict[bytes, SentPing] = {}
        self._waiting = trio.lowlevel.ParkingLot()

    def __contains__(self, payload: bytes) -> bool:
        return payload in self._outstanding

    @property
    def full(self) -> bool:
        """Whether a further ping has to wait."""
        return len(self._outstanding) >= MAX_OUTSTANDING

    async def wait_room(self) -> None:
        """Wait until a ping was answered or given up."""
        await self._waiting.park()

    def new_payload(self) -> bytes:
        """Return a payload that is not on its way and that a peer cannot guess."""
        while (payload := os.urandom(4)) in self._outstanding:
            pass  # once in 2**28 at most
        return payload

    def add(self, payload: bytes, ping: SentPing) -> None:
        """Note that a ping was sent."""
        self._outstanding[payload] = ping

    def forget(self, payload: bytes) -> None:
        """Give a ping up: its pong will be taken for an unsolicited one."""
        if self._outstanding.pop(payload, None) is not None:
            self._waiting.unpark()

    def answer(self, payload: bytes, now: float) -> float | None:
        """Note a pong; return the round-trip time of its ping, ``None`` when it is unsolicited.

        RFC 6455 section 5.5.3 lets a peer answer only the newest of several pings, so a pong
        answers all earlier ones too.
        """
        if payload not in self._outstanding:
            return None
        latest = self._outstanding[payload]
        for answered, ping in list(self._outstanding.items()):  # pragma: no branch - it is found
            self.forget(answered)
            ping.round_trip = now - ping.sent_at
            if ping.done is not None:
                ping.done.set()
            if ping is latest:
                break
        return latest.round_trip

    def release(self) -> None:
        """Let everybody go who waits for a pong: none will come."""
        for ping in self._outstanding.values():
            if ping.done is not None:
                ping.done.set()
        self._outstanding.clear()
        self._waiting.unpark_all()
