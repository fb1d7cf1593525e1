"""Bytes in and out of a trio stream: what every transport has in common.

Lives here: the turn of the writers, the room in the outgoing buffer, the flusher.  The three
transports (socket, TLS, any stream) say how bytes are read and how one chunk is written.  Nothing
here knows a WebSocket frame from another; the connection hands over whole frames.

Invariants: `Transport.write` never blocks and never tears; bytes leave in the order in which they
were written (but for controls, see ``outbox``); no cancellation of a caller reaches a write that
was begun, because only the flusher, shielded, waits in the middle of a frame.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

import trio

from trio_ws._transport.outbox import Outbox

if TYPE_CHECKING:
    from trio_ws._options import Limits, Timeouts

# How background tasks are started: `nursery.start_soon` of the nursery they shall live in.
Spawn = Callable[..., object]

# While draining before a close we read and drop no more than this, in bytes: a peer that floods
# us shall not be able to keep us.
MAX_LINGER_BYTES = 1024 * 1024


class Transport(ABC):
    """One stream, read by one task at a time, written by whoever has the turn."""

    __slots__ = (
        "_flushing",
        "_max_buffered",
        "_on_write_error",
        "_outbox",
        "_progress",
        "_spawn",
        "_stall",
        "_turns",
        "closed",
        "sealed",
        "stream",
        "turn_taken",
        "write_error",
    )

    def __init__(
        self, stream: trio.abc.Stream, spawn: Spawn, limits: Limits, timeouts: Timeouts
    ) -> None:
        self.stream: trio.abc.Stream = stream
        self.closed: bool = False
        self.sealed: bool = False
        self.write_error: Exception | None = None
        self.turn_taken: bool = False
        self._spawn = spawn
        self._max_buffered = limits.max_buffered_bytes
        self._stall = timeouts.stall
        # All of these are made when first needed: an idle connection has none of them.
        self._outbox: Outbox | None = None
        self._turns: trio.lowlevel.ParkingLot | None = None
        self._progress: trio.lowlevel.ParkingLot | None = None
        self._flushing = False
        self._on_write_error: Callable[[], object] | None = None

    def watch(self, on_write_error: Callable[[], object] | None) -> None:
        """Call this function once, without arguments, when writing has failed for good."""
        self._on_write_error = on_write_error

    # Reading

    @abstractmethod
    async def read(self, max_bytes: int) -> bytes | bytearray:
        """Wait for bytes and return them, ``b""`` at the end of the stream.

        Cancellation loses nothing.

        Raises:
            trio.BrokenResourceError: the stream broke; ``__cause__`` says how.
            trio.ClosedResourceError: we closed it meanwhile.
        """

    def read_nowait(self, max_bytes: int) -> bytes | bytearray | None:  # noqa: ARG002
        """Return what can be had without waiting, ``None`` when that is nothing."""
        return None

    def hangup_fd(self) -> int | None:
        """Return the descriptor on which a hang-up can be seen without reading, if any."""
        return None

    # Writing

    @property
    def pending(self) -> int:
        """Bytes that were written here and that the stream has not taken, in bytes."""
        return self._outbox.size if self._outbox is not None else 0

    @property
    def crowded(self) -> bool:
        """Whether a sender has to wait for its turn or for room."""
        return self.turn_taken or self.full

    @property
    def full(self) -> bool:
        """Whether the outgoing buffer holds as much as it may."""
        return self.pending >= self._max_buffered

    def write(self, frame: bytes) -> None:
        """Commit a frame: queue it behind all others; never block."""
        self._queue().append(frame)

    def write_with_header(self, header: bytes, payload: bytes) -> None:
        """Commit a frame whose payload is large enough that copying it is to be avoided."""
        self.write(header + payload)

    def write_head(self, head: bytes) -> None:
        """Commit the head of an answer, the first thing written: no ping or pong overtakes it."""
        self._queue().resume(memoryview(head))
        self.flush_soon()

    def write_ping(self, frame: bytes) -> None:
        """Commit a ping, ahead of the data frames that were not begun."""
        self._queue().overtake(frame)

    def write_pongs(self, frames: list[bytes]) -> None:
        """Commit pongs, ahead of the data frames that were not begun; the newest is enough."""
        if self._outbox:
            self._outbox.replace_pong(frames[-1])
        else:
            self.write(b"".join(frames))

    def flush_soon(self) -> None:
        """Have what waits brought out by the flusher."""
        if not self._flushing and self._outbox and self.write_error is None:
            self._flushing = True
            self._spawn(self._flush)

    def _queue(self) -> Outbox:
        if self.closed or self.write_error is not None:
            return Outbox()  # nobody will bring it out: what is put in is dropped
        if self._outbox is None:
            self._outbox = Outbox()
        return self._outbox

    @trio.lowlevel.enable_ki_protection
    async def _flush(self) -> None:
        # Shielded: whoever is cancelled, a frame that was begun is finished or the stream ends.
        with trio.CancelScope(shield=True):
            try:
                while self._outbox and not self.closed:
                    await self._flush_chunk(self._outbox)
                    if not self.full:
                        self.wake()
            except Exception as exc:  # noqa: BLE001 - whatever it is ends this connection alone
                self.fail_writing(exc)
            finally:
                self._flushing = False
                self.wake()

    @abstractmethod
    async def _flush_chunk(self, outbox: Outbox) -> None:
        """Write one chunk, or wait until some of it can be written."""

    def fail_writing(self, exc: Exception) -> None:
        """Give writing up; reading goes on, for the peer's Close may still be there."""
        self._outbox = None
        if self.write_error is None and not self.closed:
            self.write_error = without_frames(exc)
            if self._on_write_error is not None:
                self._on_write_error()
        self.seal()

    # Waiting: one turn, handed on in the order of arrival, and room, for which only the
    # holder of the turn waits

    async def wait_room(self) -> None:
        """Wait for the turn and for room in the buffer; the caller then owes `release`.

        First come, first served.  When this raises (cancellation), nothing is owed.  Once
        `sealed` it waits for nothing, and the turn is nobody's: the caller must not write then.
        """
        if self.turn_taken and not self.sealed:
            if self._turns is None:
                self._turns = trio.lowlevel.ParkingLot()
            await self._turns.park()  # `release` leaves turn_taken as it is: the turn is ours
        else:
            await trio.lowlevel.checkpoint_if_cancelled()
            self.turn_taken = True
        try:
            await self.wait_room_in_turn()
        except BaseException:
            self.release()
            raise

    async def wait_room_in_turn(self) -> None:
        """Wait for room, the turn being ours."""
        while self.full and not self.sealed:
            await self.wait_progress()

    def release(self) -> None:
        """Hand the turn on."""
        if self._turns:
            self._turns.unpark()
        else:
            self.turn_taken = False

    async def wait_flushed(self) -> None:
        """Wait until the stream has taken all bytes, or never will."""
        while self.pending and self.write_error is None and not self.closed:
            await self.wait_progress()

    async def wait_progress(self) -> None:
        """Wait until something moved, or never will."""
        if self._progress is None:
            self._progress = trio.lowlevel.ParkingLot()
        await self._progress.park()

    def seal(self) -> None:
        """Let senders go who wait for turn or room: no further frame of theirs will be wanted."""
        self.sealed = True
        if self._turns:
            # Whoever has the turn may be elsewhere, in the body of a send_stream() for example.
            self._turns.unpark_all()
        self.wake()

    def wake(self) -> None:
        """Let everybody look again who waits for progress."""
        if self._progress:
            self._progress.unpark_all()

    # Ending

    async def send_eof(self) -> None:  # noqa: B027 - not every stream can
        """Say that no more bytes will come, where the stream can say that."""

    async def linger(self) -> None:
        """Half-close where possible, then read and drop until the end of the stream.

        Closing a socket with unread data in it sends a reset, and the reset may overtake our
        Close frame on its way to the application at the other end.
        """
        try:
            await self.send_eof()
            left = MAX_LINGER_BYTES
            while left > 0 and (data := await self.read(65536)):
                left -= len(data)
        except Exception:  # noqa: BLE001, S110 - gone already: nothing left to protect
            pass

    async def close(self) -> None:
        """Close the stream at once, without waiting for anybody."""
        self.closed = True
        self._outbox = None
        self._on_write_error = None
        await self._close_stream()
        self.seal()

    async def _close_stream(self) -> None:
        with trio.CancelScope(shield=True), suppress(Exception):  # it is gone in any case
            await trio.aclose_forcefully(self.stream)


def without_frames(exc: Exception) -> Exception:
    """Return an exception that can be kept: without the frames that it and its causes went through.

    Those refer to their callers, and so to whoever was writing, and to us: a cycle.
    """
    chain: list[BaseException] = [exc]
    for link in chain:
        link.__traceback__ = None
        chain += [
            below
            for below in (link.__cause__, link.__context__)
            if below is not None and below not in chain
        ]
    return exc
