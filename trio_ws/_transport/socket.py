"""Straight on the socket: plain TCP and Unix sockets, without a task switch on the way.

``SocketStream.send_all`` and ``receive_some`` cost two scheduler passes each and a system call
that fails; so reads here wait for readability and read once, and writes go to the descriptor in
the caller's task.  Opening, half-closing and closing stay trio's, so that whoever waits on the
socket is woken.  Invariant: a descriptor number is never kept over an ``await``.
"""

from __future__ import annotations

import math
import os
import socket as stdlib_socket
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, TypeGuard

import trio

from trio_ws._pace import PACE
from trio_ws._transport.base import Spawn, Transport
from trio_ws._transport.outbox import Outbox

if TYPE_CHECKING:
    from trio_ws._options import Limits, Timeouts

if sys.platform != "win32":  # pragma: no branch - as the tests do not run there
    import fcntl
    import termios

# In bytes.  A read takes memory of this size before it knows how much there is: little while
# messages are small, much while they are large or many, so that few system calls are needed.
MIN_READ_SIZE = 4 * 1024
MAX_READ_SIZE = 256 * 1024

# While all reads are full nothing has to be waited for; every so many of them others may run.
FULL_READS_PER_YIELD = 4

# Writes further apart than this, in seconds, are no burst: a system call takes about a tenth of it.
BURST_SECONDS = 0.0001

# A peer that takes less than this within ``Timeouts.stall`` counts as stalled, in bytes.
MIN_PROGRESS = 4096


def is_plain_socket(stream: trio.abc.Stream) -> TypeGuard[trio.SocketStream]:
    """Tell whether we may go straight to the descriptor below this stream."""
    # Exactly SocketStream: a subclass wants its own send_all and receive_some called.
    # On Windows a socket's number is no file descriptor that os.read could use.
    return type(stream) is trio.SocketStream and sys.platform != "win32"


class SocketTransport(Transport):
    """Reads and writes of the descriptor of a `trio.SocketStream`."""

    __slots__ = ("_full_reads", "_read_size", "_socket", "_wrote_at", "_wrote_in_turn")

    def __init__(
        self, stream: trio.SocketStream, spawn: Spawn, limits: Limits, timeouts: Timeouts
    ) -> None:
        super().__init__(stream, spawn, limits, timeouts)
        self._socket = stream.socket
        self._read_size = MIN_READ_SIZE
        self._full_reads = 0  # in a row: there may be more at once
        self._wrote_in_turn = -1
        self._wrote_at = -math.inf
        self._set_user_timeout(timeouts.stall)

    def _set_user_timeout(self, seconds: float) -> None:
        # A peer that has vanished is found even while nobody reads or writes here: unanswered
        # keepalive pings make the kernel give up (RFC 5482).
        option = getattr(stdlib_socket, "TCP_USER_TIMEOUT", None)
        is_tcp = self._socket.family in (stdlib_socket.AF_INET, stdlib_socket.AF_INET6)
        if option is not None and is_tcp and math.isfinite(seconds):
            with suppress(OSError):
                milliseconds = max(1, int(min(seconds * 1000, 2**31 - 1)))  # 0 is the default
                self._socket.setsockopt(stdlib_socket.IPPROTO_TCP, option, milliseconds)

    async def read(self, max_bytes: int) -> bytes:
        while True:
            fd = self._socket.fileno()
            if fd < 0:
                raise trio.ClosedResourceError("the socket is closed")
            if not self._full_reads:
                await trio.lowlevel.wait_readable(fd)
            elif self._full_reads % FULL_READS_PER_YIELD:
                await trio.lowlevel.checkpoint_if_cancelled()
            else:
                await trio.lowlevel.checkpoint()  # a flood must not keep the others waiting
            data = self.read_nowait(max_bytes)
            if data is not None:
                return data

    def read_nowait(self, max_bytes: int) -> bytes | None:
        fd = self._socket.fileno()
        if fd < 0:
            raise trio.ClosedResourceError("the socket is closed")
        size = min(self._read_size, max_bytes)
        try:
            data = os.read(fd, size)
        except (BlockingIOError, InterruptedError):
            self._full_reads = 0
            return None
        except OSError as exc:
            raise trio.BrokenResourceError(f"the connection broke: {exc}") from exc
        if len(data) == size or size != MIN_READ_SIZE:  # most reads are small, and change nothing
            self._adapt(size, len(data))
        return data

    def _adapt(self, size: int, received: int) -> None:
        """Choose the size of the next read by what this one brought."""
        if received == size:
            self._full_reads += 1
            self._read_size = max(self._read_size, min(4 * size, MAX_READ_SIZE))
        else:
            self._full_reads = 0
            if received < size // 4 and size > MIN_READ_SIZE:
                self._read_size = size // 2

    def hangup_fd(self) -> int | None:
        fd = self._socket.fileno()
        return fd if fd >= 0 else None

    @property
    def crowded(self) -> bool:
        # As that of any transport, but for every message: no call of another property.
        outbox = self._outbox
        return self.turn_taken or (outbox is not None and outbox.size >= self._max_buffered)

    def write(self, frame: bytes) -> None:
        outbox = self._outbox
        if outbox is not None and outbox.size:
            outbox.append(frame)
        elif self._in_burst():
            self._queue().append(frame)
            self.flush_soon()
        else:
            rest = self._write_now(frame)
            if rest:
                self._queue().resume(rest)
                self.flush_soon()

    def _in_burst(self) -> bool:
        """Tell whether this write follows another so closely that the two may share a system call.

        The first of a burst goes out at once, so a message on its own is never delayed; what
        follows without anybody else having run waits for the flusher, whose turn comes next.
        """
        now = time.perf_counter()  # not Trio's clock: this is about the processor's time
        follows = PACE.turn == self._wrote_in_turn and now - self._wrote_at < BURST_SECONDS
        self._wrote_in_turn = PACE.turn
        self._wrote_at = now
        return follows

    def write_with_header(self, header: bytes, payload: bytes) -> None:
        if self._outbox or self.write_error is not None or self.closed:
            self.write(header + payload)
            return
        written = 0
        try:
            written = os.writev(self._socket.fileno(), (header, payload))
        except (BlockingIOError, InterruptedError):
            pass
        except OSError as exc:
            self.fail_writing(broken_by(exc))
            return
        if written < len(header):
            self._queue().resume(memoryview(header[written:] + payload))
        elif written < len(header) + len(payload):
            self._queue().resume(memoryview(payload)[written - len(header) :])
        self.flush_soon()

    def write_head(self, head: bytes) -> None:
        self.write(head)  # what the kernel does not take is begun, and so not overtaken

    def write_ping(self, frame: bytes) -> None:
        if self._outbox:
            self._outbox.overtake(frame)
        else:
            self.write(frame)

    def _write_now(self, frame: bytes) -> memoryview | None:
        """Write what the kernel takes; return the rest, which must go out before all else."""
        if self.write_error is not None or self.closed:
            return None
        written = 0
        try:
            written = os.write(self._socket.fileno(), frame)
        except (BlockingIOError, InterruptedError):
            pass
        except OSError as exc:
            self.fail_writing(broken_by(exc))
            return None
        return memoryview(frame)[written:] if written < len(frame) else None

    async def _flush_chunk(self, outbox: Outbox) -> None:
        try:
            outbox.advance(os.write(self._socket.fileno(), outbox.next_chunk()))
        except (BlockingIOError, InterruptedError):
            await self._wait_writable()
        except OSError as exc:
            raise broken_by(exc) from exc
        else:
            if outbox:
                await trio.lowlevel.checkpoint()  # a peer that is quick must not hold up the others

    async def _wait_writable(self) -> None:
        while True:
            fd = self._socket.fileno()
            if fd < 0:
                raise trio.ClosedResourceError("the socket is closed")
            unsent = self._unsent()
            with trio.move_on_after(self._stall):
                await trio.lowlevel.wait_writable(fd)
                return
            # The kernel calls a socket writable only when little is unsent (TCP_NOTSENT_LOWAT),
            # so on a slow link much may have moved meanwhile: ask how much.
            if unsent - self._unsent() < MIN_PROGRESS:
                raise trio.TooSlowError(f"the peer took no data for {self._stall:g} seconds")

    def _unsent(self) -> int:
        """Bytes in the kernel that the peer has not taken, where the kernel says."""
        if sys.platform == "win32":  # pragma: no cover - is_plain_socket() is false there
            return 0
        with suppress(OSError, ValueError):  # ValueError: the socket is closed
            answer = fcntl.ioctl(self._socket.fileno(), termios.TIOCOUTQ, b"\0\0\0\0")
            return int.from_bytes(answer, sys.byteorder)
        return 0

    def _write_the_rest(self) -> None:
        """Give the kernel what it takes without waiting: the end of a burst, our Close."""
        with suppress(OSError):
            while self._outbox:
                written = os.write(self._socket.fileno(), self._outbox.next_chunk())
                self._outbox.advance(written)

    async def send_eof(self) -> None:
        with suppress(OSError):
            self._socket.shutdown(stdlib_socket.SHUT_WR)

    async def close(self) -> None:
        if not self.closed:
            self._write_the_rest()
        await super().close()

    async def _close_stream(self) -> None:
        self._socket.close()  # trio's way has a checkpoint


def broken_by(exc: OSError) -> trio.BrokenResourceError:
    error = trio.BrokenResourceError(f"the connection broke: {exc}")
    error.__cause__ = exc
    return error
