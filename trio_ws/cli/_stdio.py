"""Standard input and output for tasks: neither blocks the event loop, both can be cancelled.

Nothing is done to the files: making them non-blocking, as Trio's own stream of a descriptor does,
would do it to all who share them, the shell that started us for one.  So we wait until the kernel
has, or takes, something, and no more is read or written than goes without waiting.
"""

from __future__ import annotations

import os
import select
import sys
from collections.abc import Awaitable, Callable
from functools import partial

import trio

from trio_ws.cli._failures import UNUSABLE, Failure

_READ_SIZE = 64 * 1024

# POSIX: a pipe that can be written to at all takes so much at once, 512 bytes at least.
_WRITE_SIZE: int = getattr(select, "PIPE_BUF", 512)

MOST_IN_LINE = 64 * 1024 * 1024
"""The longest line, in bytes: beyond it the input is hardly made of lines, /dev/zero for one."""


class Lines:
    """The lines of a file, one by one as they come."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._buffer = bytearray()
        self._searched = 0  # before this there is no line end in the buffer
        self.number = 0
        """How many there were."""

    async def receive(self) -> bytes | None:
        """Wait for the next line and return it without its end; ``None`` when there is none.

        Cancellation loses nothing.

        Raises:
            Failure: it is longer than `MOST_IN_LINE`.
        """
        while (end := self._buffer.find(b"\n", self._searched)) < 0:
            self._searched = len(self._buffer)
            if self._searched > MOST_IN_LINE:
                raise Failure(f"the input has a line of over {MOST_IN_LINE} bytes", UNUSABLE)
            more = await read_some(self._descriptor)
            if not more:
                return self._take(self._searched) if self._buffer else None
            self._buffer += more
        return self._take(end)

    def _take(self, end: int) -> bytes:
        line = bytes(self._buffer[:end]).removesuffix(b"\r")
        del self._buffer[: end + 1]
        self._searched = 0
        self.number += 1
        return line


async def read_some(descriptor: int) -> bytes:
    """Wait for input and return it, empty at the end of it."""
    if sys.platform == "win32":  # pragma: no cover - only sockets can be waited for there
        read = partial(os.read, descriptor, _READ_SIZE)
        return await trio.to_thread.run_sync(read, abandon_on_cancel=True)
    await _wait(trio.lowlevel.wait_readable, descriptor)
    return os.read(descriptor, _READ_SIZE)


async def write_all(descriptor: int, data: bytes) -> None:
    """Write it all; on cancellation some of it has been written."""
    rest = memoryview(data)
    while rest:
        if sys.platform == "win32":  # pragma: no cover - only sockets can be waited for there
            write = partial(os.write, descriptor, rest[:_WRITE_SIZE])
            rest = rest[await trio.to_thread.run_sync(write, abandon_on_cancel=True) :]
            continue
        await _wait(trio.lowlevel.wait_writable, descriptor)
        rest = rest[os.write(descriptor, rest[:_WRITE_SIZE]) :]


async def _wait(until_ready: Callable[[int], Awaitable[None]], descriptor: int) -> None:
    try:
        await until_ready(descriptor)
    except PermissionError:  # epoll's word for a file, which never keeps anybody waiting
        await trio.lowlevel.checkpoint()
