"""A bad network on demand: it splits, delays, stalls, resets and vanishes when the test says so.

`Faults` says what is wrong, `FaultyStream` makes the owner of one stream see it.  Here lives only
what is done to bytes on their way; nothing here knows a WebSocket.  Time is Trio's, so that
`trio.testing.MockClock` makes a slow network fast.

Invariant: bytes are never changed, reordered or invented, and a cancelled ``receive_some`` loses
none; only `Faults.vanish` and `Faults.reset` lose any.
"""

from __future__ import annotations

import enum
import errno
import math
import os
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from itertools import repeat
from typing import Literal

import trio

from trio_ws.testing._streams import OneTask, at_least_one

Direction = Literal["sending", "receiving"]

# How much a delay may hold, in bytes: as much as `bounded_stream_pair` does.  Without a bound, a
# sender that never has to wait would fill the memory before any time has passed.
_MOST_IN_FLIGHT = 65536


class _Kind(enum.Enum):
    STALL = enum.auto()
    RESET = enum.auto()
    VANISH = enum.auto()


class _Line:
    """One direction: how many bytes may still pass, and what happens then."""

    __slots__ = ("allowance", "kind")

    def __init__(self) -> None:
        self.kind: _Kind | None = None
        self.allowance: float = math.inf

    @property
    def struck(self) -> _Kind | None:
        """What has happened to this direction."""
        return self.kind if self.allowance == 0 else None

    def room(self, size: int) -> int:
        """Return how many of so many bytes may pass."""
        return int(min(size, self.allowance))


class Faults:
    """What is wrong with the network of a stream: nothing, until a method is called.

    All methods may be called at any time, also while the stream is in use, and none of them waits.
    Of `stall`, `reset` and `vanish` the latest call holds, until one of the last two has struck;
    they raise ValueError or TypeError when their arguments make no sense.
    The directions are those of the stream's owner.  Several streams may share one: the same befalls
    all of them, and their bytes are counted together.
    """

    __slots__ = ("_below", "_changed", "_delay", "_lines", "_sizes")

    def __init__(self) -> None:
        self._lines: dict[Direction, _Line] = {"sending": _Line(), "receiving": _Line()}
        self._sizes: Iterator[int] | None = None
        self._delay = 0.0
        self._changed = trio.lowlevel.ParkingLot()
        self._below = dict[trio.CancelScope, _Line]()  # calls in the streams below

    def split(self, sizes: int | Iterable[int] | None) -> None:
        """Split what is received: each ``receive_some`` returns so many bytes at most.

        Args:
            sizes: 1 splits at every byte; an iterable gives the sizes of the pieces one after
                the other, and behind its end all is whole again;
                ``random.Random(seed).choices(range(1, 100), k=1000)`` makes some up.  ``None``
                ends it.

        Raises:
            ValueError: a size is less than 1; one from an iterable is looked at when it is its
                turn, and then ``receive_some`` raises this.
            TypeError: a size is no integer, likewise.
        """
        if sizes is None:
            self._sizes = None
        elif isinstance(sizes, int):
            self._sizes = repeat(at_least_one("sizes", sizes))
        else:
            self._sizes = iter(sizes)

    def delay(self, seconds: float) -> None:
        """Let everything arrive so many seconds later; 0 ends it for what is sent from now on.

        At most 64 KiB are under way; what is sent on top of them waits.

        Raises:
            ValueError: this is less than 0.
        """
        if not seconds >= 0:
            raise ValueError(f"a delay is 0 seconds or more, not {seconds!r}")
        self._delay = seconds

    def stall(self, *, after: int = 0, only: Direction | None = None) -> None:
        """Let nothing move until `resume`: sending and receiving wait, nothing is lost.

        A ``send_all`` that has begun already is finished.

        Args:
            after: so many more bytes move in a direction, each direction counting for itself.
            only: this direction stalls and the other does not.
        """
        self._plan(_Kind.STALL, after, only)

    def resume(self) -> None:
        """End every `stall`, those that are yet to come included."""
        for line in self._lines.values():
            if line.kind is _Kind.STALL:
                line.kind, line.allowance = None, math.inf
        self._changed.unpark_all()

    def reset(self, *, after: int = 0, only: Direction | None = None) -> None:
        """Reset the connection: whoever sends or receives gets `trio.BrokenResourceError`.

        What was not received yet is lost.  The peer notices when the stream is closed.  Final.

        Args:
            after: so many more bytes move in one direction or the other, then both are broken.
            only: the direction in which they are counted.
        """
        self._plan(_Kind.RESET, after, only)

    def vanish(self, *, after: int = 0, only: Direction | None = None) -> None:
        """Let the peer vanish without a word: writes go nowhere, reads never return.

        It is what a pulled plug looks like (a half-open connection).  Final; the peer sees the same
        from its side until the stream is closed.

        Args:
            after: so many more bytes move in a direction, each direction counting for itself.
            only: this direction is dead and the other lives on.
        """
        self._plan(_Kind.VANISH, after, only)

    def _plan(self, kind: _Kind, after: int, only: Direction | None) -> None:
        if after:
            after = at_least_one("after", after)
        if only not in {None, *self._lines}:
            raise ValueError(f'only is "sending" or "receiving", not {only!r}')
        for direction, line in self._lines.items():
            if only in (None, direction) and line.struck in (None, _Kind.STALL):
                line.kind, line.allowance = kind, after
        self._strike()

    def _count(self, line: _Line, passed: int) -> None:
        line.allowance = max(0, line.allowance - passed)  # may have been cut down meanwhile
        self._strike()

    def _strike(self) -> None:
        """Make happen what is due: a reset is for both directions, and calls below are over."""
        if any(line.struck is _Kind.RESET for line in self._lines.values()):
            for line in self._lines.values():
                line.kind, line.allowance = _Kind.RESET, 0
        for scope, line in self._below.items():
            if line.struck in (_Kind.RESET, _Kind.VANISH):
                scope.cancel()
        self._changed.unpark_all()

    @contextmanager
    def _interruptible(
        self, line: _Line, deadline: float = math.inf
    ) -> Generator[trio.CancelScope]:
        """Call a stream below in this block; a reset, or the peer's vanishing, ends it."""
        with trio.CancelScope(deadline=deadline) as scope:
            self._below[scope] = line
            try:
                yield scope
            finally:
                del self._below[scope]

    def _next_size(self) -> float:
        """Return the bound of the next piece, in bytes."""
        size = None if self._sizes is None else next(self._sizes, None)
        return math.inf if size is None else at_least_one("a size", size)


class FaultyStream(trio.abc.Stream):
    """A stream whose owner sees the network as `Faults` says it is.

    It cannot be half-closed.  Around a `trio.SocketStream` it is served as a stream, without what
    the library does for plain sockets.  For faults below TLS, put a `trio.SSLStream` around it.

    Args:
        stream: any stream; closed with this one.
        faults: what is wrong; by default one of its own, in `faults`.
    """

    __slots__ = (
        "_arrived",
        "_closed",
        "_receiving",
        "_sending",
        "_stream",
        "faults",
    )

    faults: Faults
    """What is wrong with this stream."""

    def __init__(self, stream: trio.abc.Stream, faults: Faults | None = None) -> None:
        self.faults = faults or Faults()
        self._stream = stream
        self._arrived = deque[tuple[float, bytes]]()  # when it may be received, and what
        self._closed = False
        self._sending = OneTask("sending on this stream")
        self._receiving = OneTask("receiving from this stream")

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Send all bytes, as far as the network lets them through.

        When cancelled, or interrupted by a fault, it has sent a part of them, as on any stream.

        Raises:
            trio.BusyResourceError: another task is sending.
            trio.BrokenResourceError: the connection was reset, or the stream below is broken.
            trio.ClosedResourceError: this stream was closed.
        """
        with self._sending, memoryview(data) as view, view.cast("B") as octets:
            await trio.lowlevel.checkpoint()
            line = self._line("sending")
            sent = 0
            while await self._sending_works():
                part = octets[sent : sent + line.room(len(octets) - sent)]
                with self.faults._interruptible(line) as interrupted:
                    await self._stream.send_all(part)
                if not interrupted.cancelled_caught:
                    sent += len(part)
                    self.faults._count(line, len(part))
                if sent == len(octets):
                    break

    async def wait_send_all_might_not_block(self) -> None:
        """Wait until bytes may move.

        Raises:
            trio.BusyResourceError, trio.BrokenResourceError, trio.ClosedResourceError: as
                `send_all`.
        """
        with self._sending:
            await trio.lowlevel.checkpoint()
            if await self._sending_works():
                with self.faults._interruptible(self._line("sending")):
                    await self._stream.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """Wait for bytes and return them as the network brings them, ``b""`` at their end.

        Cancellation loses nothing.

        Raises:
            trio.BusyResourceError: another task is receiving.
            trio.BrokenResourceError: the connection was reset, or the stream below is broken.
            trio.ClosedResourceError: this stream was closed.
            ValueError, TypeError: ``max_bytes`` is no integer of at least 1.
        """
        if max_bytes is not None:
            max_bytes = at_least_one("max_bytes", max_bytes)
        with self._receiving:
            await trio.lowlevel.checkpoint()
            while True:
                self._check_usable()
                if self._line("receiving").struck is not None:
                    await self.faults._changed.park()
                elif self._arrived and self._arrived[0][0] <= trio.current_time():
                    return self._take(max_bytes or math.inf)
                else:
                    await self._read()

    async def aclose(self) -> None:
        """Close this stream and the one below; only now does the peer notice a fault.

        Tasks inside a method of this stream get `trio.ClosedResourceError`.  Idempotent; what
        happens on cancellation is for the stream below to say.
        """
        self._closed = True
        self._arrived.clear()
        self.faults._changed.unpark_all()
        await self._stream.aclose()

    def _line(self, direction: Direction) -> _Line:
        return self.faults._lines[direction]

    def _check_usable(self) -> None:
        if self._closed:
            raise trio.ClosedResourceError("this stream was closed")
        if self._line("receiving").struck is _Kind.RESET:
            reset = ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET))
            raise trio.BrokenResourceError("the connection was reset") from reset

    async def _sending_works(self) -> bool:
        """Wait while sending is stalled; tell whether bytes that are sent now get anywhere."""
        self._check_usable()
        while self._line("sending").struck is _Kind.STALL:
            await self.faults._changed.park()
            self._check_usable()
        return self._line("sending").struck is None

    async def _read(self) -> None:
        """Wait for more bytes from below, or until the first of those that came may be received."""
        # Whatever comes meanwhile is on its way at once: a delay does not make the network narrow.
        deadline = self._arrived[0][0] if self._arrived else math.inf
        room = _MOST_IN_FLIGHT - sum(len(data) for _, data in self._arrived)
        ended = bool(self._arrived) and not self._arrived[-1][1]
        with self.faults._interruptible(self._line("receiving"), deadline):
            if ended or not room:
                await self.faults._changed.park()
                return
            data = await self._stream.receive_some(room)
            self._arrived.append((trio.current_time() + self.faults._delay, bytes(data)))

    def _take(self, max_bytes: float) -> bytes:
        due, data = self._arrived[0]
        line = self._line("receiving")
        size = line.room(int(min(len(data), max_bytes, self.faults._next_size())))
        self._arrived.popleft()  # not before: a size may turn out to be none
        if data[size:]:
            self._arrived.appendleft((due, data[size:]))
        self.faults._count(line, size)
        return data[:size]
