"""A pair of streams in memory that is as unkind as a socket may be, and always in the same way.

`trio.testing.memory_stream_pair` never blocks a sender and never takes half a buffer, so it hides
torn frames and missing backpressure.  Here lives a pair that has bounds: on what the peer leaves
unread, on what one step of ``send_all`` moves, on what one ``receive_some`` returns.  Nothing here
knows a WebSocket, a clock or a file descriptor.

Invariant: at most ``capacity`` bytes are in flight in each direction, and bytes leave a buffer only
in the step that returns them, so that a cancelled ``receive_some`` loses nothing.
"""

from __future__ import annotations

import random
from types import TracebackType

import trio


class OneTask:
    """Admit one task at a time, and tell a second one so as Trio's own streams do."""

    __slots__ = ("_doing", "_taken")

    def __init__(self, doing: str) -> None:
        self._doing = doing
        self._taken = False

    def __enter__(self) -> None:
        if self._taken:
            raise trio.BusyResourceError(f"another task is already {self._doing}")
        self._taken = True

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._taken = False


class _Sizes:
    """How many bytes each step may move: always the most, or drawn from 1 to the most."""

    __slots__ = ("_most", "_rng")

    def __init__(self, most: int, rng: random.Random | None) -> None:
        self._most = most
        # A generator of its own for each end of each direction: the sizes that one task sees then
        # do not depend on the order in which Trio happens to run the tasks.
        self._rng = None if rng is None else random.Random(rng.getrandbits(64))  # noqa: S311 - a test's dice

    def next(self) -> int:
        """Return the bound of the next step, in bytes."""
        return self._most if self._rng is None else self._rng.randint(1, self._most)


class _Pipe:
    """One direction: the bytes in flight, how either end left it, and who waits."""

    __slots__ = (
        "_buffer",
        "_capacity",
        "_changed",
        "_read_sizes",
        "_write_sizes",
        "broken",
        "ended",
        "refused",
    )

    def __init__(self, capacity: int, write_sizes: _Sizes, read_sizes: _Sizes) -> None:
        self._buffer = bytearray()
        self._capacity = capacity
        self._write_sizes = write_sizes
        self._read_sizes = read_sizes
        # The reader waits here while there is nothing to read, the writer while there is no room.
        # They never do so at once, for a capacity is at least one byte.
        self._changed = trio.lowlevel.ParkingLot()
        self.ended: bool = False  # the writer will write no more
        self.refused: bool = False  # the reader will read no more
        self.broken: bool = False  # the writer has reset the connection

    def put(self, data: memoryview) -> int:
        """Take what one step may move, and return how much that was, in bytes."""
        if not self.has_room() or not data:
            return 0
        size = min(len(data), self._capacity - len(self._buffer), self._write_sizes.next())
        self._buffer += data[:size]
        self._changed.unpark_all()
        return size

    def has_room(self) -> bool:
        """Whether the writer may write at least one byte now; raise when it never may."""
        if self.ended:
            raise trio.ClosedResourceError("this stream was closed for sending")
        if self.refused:
            raise trio.BrokenResourceError("the peer has closed its stream")
        return len(self._buffer) < self._capacity

    def take(self, max_bytes: int | None) -> bytes | None:
        """Return bytes, ``b""`` at the end of the stream, ``None`` while there is nothing."""
        if self.refused:
            raise trio.ClosedResourceError("this stream was closed")
        if self.broken:
            raise trio.BrokenResourceError("the peer has reset the connection")
        if not self._buffer:
            return b"" if self.ended else None
        size = self._read_sizes.next()
        if max_bytes is not None:
            size = min(size, max_bytes)
        data = bytes(self._buffer[:size])
        del self._buffer[:size]
        self._changed.unpark_all()
        return data

    async def wait(self) -> None:
        """Wait until the other end did something, or this end was closed."""
        await self._changed.park()

    def end(self) -> None:
        """Say that no more will be written; what was written can still be read."""
        self.ended = True
        self._changed.unpark_all()

    def refuse(self) -> None:
        """Say that nothing will be read any more, and drop what was not."""
        self.refused = True
        self._buffer.clear()
        self._changed.unpark_all()

    def reset(self) -> None:
        """Drop what was not read; the reader finds the stream broken."""
        self.broken = True
        self._buffer.clear()
        self.end()


class BoundedStream(trio.abc.HalfCloseableStream):
    """One end of a connection in memory; `bounded_stream_pair` makes both.

    It behaves as a socket does: sending blocks while the peer does not read, a cancelled `send_all`
    may have sent a part, closing one end gives the other the end of the stream, and then
    `trio.BrokenResourceError` to its senders.
    """

    __slots__ = ("_closed", "_incoming", "_outgoing", "_receiving", "_sending")

    def __init__(self, incoming: _Pipe, outgoing: _Pipe) -> None:
        self._incoming = incoming
        self._outgoing = outgoing
        self._closed = False
        self._sending = OneTask("sending on this stream")
        self._receiving = OneTask("receiving from this stream")

    @property
    def closed(self) -> bool:
        """Whether this end was closed or reset: what a descriptor of -1 says of a socket."""
        return self._closed

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Send all bytes, some at a time, with a checkpoint before each part.

        Blocks while the peer has ``capacity`` bytes unread.  When cancelled it has sent none of the
        bytes or those of the parts before; once the last part is sent it returns, and does not
        raise `trio.Cancelled` any more.

        Raises:
            trio.BusyResourceError: another task is sending.
            trio.BrokenResourceError: the peer has closed or reset its end, before or meanwhile.
            trio.ClosedResourceError: this end was closed, or its sending half.
        """
        with self._sending, memoryview(data) as view, view.cast("B") as octets:
            await trio.lowlevel.checkpoint()
            sent = self._outgoing.put(octets)
            while sent < len(octets):
                await self._wait_room()
                sent += self._outgoing.put(octets[sent:])

    async def wait_send_all_might_not_block(self) -> None:
        """Wait until the peer's buffer has room for at least one byte.

        Cancellation changes nothing.

        Raises:
            trio.BusyResourceError: another task is sending.
            trio.BrokenResourceError: the peer has closed or reset its end, before or meanwhile.
            trio.ClosedResourceError: this end was closed, or its sending half.
        """
        with self._sending:
            await self._wait_room()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """Wait for bytes and return them, ``b""`` at the end of the stream.

        At most ``max_bytes`` and at most the pair's ``max_read`` bytes.  Cancellation loses
        nothing: when this raises `trio.Cancelled`, the bytes are still there for the next call.

        Raises:
            trio.BusyResourceError: another task is receiving.
            trio.BrokenResourceError: the peer has reset the connection.
            trio.ClosedResourceError: this end was closed, before or meanwhile.
            ValueError: ``max_bytes`` is less than 1.
            TypeError: ``max_bytes`` is no integer.
        """
        if max_bytes is not None:
            max_bytes = at_least_one("max_bytes", max_bytes)
        with self._receiving:
            await trio.lowlevel.checkpoint()
            while (data := self._incoming.take(max_bytes)) is None:
                await self._incoming.wait()
            return data

    async def send_eof(self) -> None:
        """Close the sending half: the peer reads what was sent, then the end of the stream.

        Receiving goes on.  Doing it again does nothing.  When cancelled it has done nothing.

        Raises:
            trio.BusyResourceError: another task is sending.
            trio.BrokenResourceError: the peer has reset the connection.
            trio.ClosedResourceError: this end was closed.
        """
        with self._sending:
            await trio.lowlevel.checkpoint()
            if self._closed:
                raise trio.ClosedResourceError("this stream was closed")
            if self._incoming.broken:
                raise trio.BrokenResourceError("the peer has reset the connection")
            self._outgoing.end()

    async def aclose(self) -> None:
        """Close this end: the peer reads what was sent, then the end of the stream.

        What the peer had sent and nobody has read is dropped, and its sending fails from now on.
        Tasks that are inside a method of this end get `trio.ClosedResourceError`.  Idempotent.
        Never blocks; when cancelled it raises `trio.Cancelled` with everything closed.
        """
        self._closed = True
        self._incoming.refuse()
        self._outgoing.end()
        await trio.lowlevel.checkpoint()

    def reset(self) -> None:
        """Close this end as a TCP reset does: what the peer has not read is lost.

        The peer gets `trio.BrokenResourceError` from receiving and from sending; this end is closed
        as `aclose` does it.  Not async: it never waits and is no checkpoint.  Does nothing once
        this end is closed.
        """
        if not self._closed:
            self._closed = True
            self._incoming.refuse()
            self._outgoing.reset()

    async def _wait_room(self) -> None:
        await trio.lowlevel.checkpoint()
        while not self._outgoing.has_room():
            await self._outgoing.wait()


def bounded_stream_pair(
    capacity: int = 65536,
    *,
    max_write: int | None = None,
    max_read: int | None = None,
    rng: random.Random | None = None,
) -> tuple[BoundedStream, BoundedStream]:
    """Make a connection in memory and return its two ends.

    Both directions have the same bounds.  All of it is deterministic: without ``rng`` every step
    moves as much as it may, with ``rng`` the sizes follow from its state at this call.

    Args:
        capacity: how many bytes an end holds unread before its peer's sender blocks.
        max_write: how many bytes one step of ``send_all`` moves at most; between two steps lies a
            checkpoint, where a cancelled ``send_all`` is torn.  ``None``: as many as there is room.
        max_read: how many bytes one ``receive_some`` returns at most.  ``None``: all there are.
        rng: draw the size of each step from 1 to its bound, instead of always taking the bound.

    Raises:
        ValueError: a bound is less than 1.
        TypeError: a bound is no integer.
    """
    most_written = capacity = at_least_one("capacity", capacity)
    most_read = capacity
    if max_write is not None:
        most_written = at_least_one("max_write", max_write)
    if max_read is not None:
        most_read = at_least_one("max_read", max_read)
    there, back = (
        _Pipe(capacity, _Sizes(most_written, rng), _Sizes(most_read, rng)) for _ in range(2)
    )
    return BoundedStream(back, there), BoundedStream(there, back)


def at_least_one(name: str, value: int) -> int:
    """Return the value, or raise in words when it is no integer of at least 1."""
    if not isinstance(value, int):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(f"{name} must be an integer of at least 1, not {value!r}")
    if value < 1:
        raise ValueError(f"{name} must be at least 1, not {value!r}")
    return value
