"""The outgoing buffer: whole frames that the stream has not taken yet.

Lives here: the order in which waiting bytes leave.  Not here: any stream, any waiting.

Invariant: a frame that was begun is finished before anything else goes out.  Between frames,
pings and pongs overtake what waits (RFC 6455 section 5.5: control frames "MAY be injected in the
middle of a fragmented message"), a Close never does: it is queued like data.
"""

from __future__ import annotations

from collections import deque

# One write takes about this much: small frames are joined up to it, and what it holds can no
# longer be overtaken.  The size of trio's and asyncio's usual socket reads.
CHUNK_SIZE = 64 * 1024


class Outbox:
    """Frames in the order in which they will leave."""

    __slots__ = ("_chunk", "_frames", "_pong", "_urgent", "size")

    def __init__(self) -> None:
        self._chunk: memoryview | None = None  # what is being written, from its first unsent byte
        self._urgent: list[bytes] = []  # pings
        self._pong: bytes | None = None
        self._frames: deque[bytes] = deque()
        self.size: int = 0  # in bytes, everything together

    def __bool__(self) -> bool:
        return self.size > 0

    def resume(self, rest: memoryview) -> None:
        """Take the unsent rest of what was begun elsewhere; the buffer must be empty."""
        self._chunk = rest
        self.size = len(rest)

    def append(self, frame: bytes) -> None:
        """Queue a frame behind all others."""
        self._frames.append(frame)
        self.size += len(frame)

    def overtake(self, frame: bytes) -> None:
        """Queue a ping: it goes before all data that was not begun."""
        self._urgent.append(frame)
        self.size += len(frame)

    def replace_pong(self, frame: bytes) -> None:
        """Queue a pong in place of the one that waits, if one does.

        RFC 6455 section 5.5.3: "If an endpoint receives a Ping frame and has not yet sent Pong
        frame(s) in response to previous Ping frame(s), the endpoint MAY elect to send a Pong
        frame for only the most recently processed Ping frame."
        """
        if self._pong is not None:
            self.size -= len(self._pong)
        self._pong = frame
        self.size += len(frame)

    def next_chunk(self) -> memoryview:
        """Return the bytes to write next; the buffer must not be empty."""
        if self._chunk is None:
            self._chunk = memoryview(self._assemble())
        return self._chunk

    def _assemble(self) -> bytes:
        if self._pong is not None or self._urgent:
            controls = self._urgent
            if self._pong is not None:
                controls.append(self._pong)
            self._pong, self._urgent = None, []
            return b"".join(controls)
        first = self._frames.popleft()
        total = len(first)
        if total >= CHUNK_SIZE or not self._frames:
            return first
        parts = [first]
        while self._frames and total + len(self._frames[0]) <= CHUNK_SIZE:
            parts.append(self._frames.popleft())
            total += len(parts[-1])
        return b"".join(parts)

    def advance(self, count: int) -> None:
        """Note that the stream took the first ``count`` bytes of the chunk."""
        assert self._chunk is not None
        self.size -= count
        self._chunk = self._chunk[count:] if count < len(self._chunk) else None
