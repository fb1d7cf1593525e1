"""``trio-ws`` in the hands of a test, within its process: arguments in, an exit status out.

Programs in processes of their own are in `tests/running.py`, terminals in `tests/terminals.py`.
"""

import os
import sys
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from unittest import mock

import trio

from trio_ws.cli._main import execute, parse


class Outcome:
    """How a command has ended; there is a status once it has."""

    status: int | None = None


async def run_command(*arguments: object) -> int:
    """Run a command and return its exit status."""
    return await execute(parse([str(argument) for argument in arguments]))


@asynccontextmanager
async def command(*arguments: object) -> AsyncGenerator[Outcome, None]:
    """Run a command beside the block, and wait for its end after it."""
    outcome = Outcome()

    async def run() -> None:
        outcome.status = await run_command(*arguments)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run)
        yield outcome


class Pipes:
    """Standard input and output of this process, the other ends."""

    def __init__(self, stdin: int, stdout: int) -> None:
        self._stdin = trio.lowlevel.FdStream(stdin)
        self._stdout = trio.lowlevel.FdStream(stdout)
        self._read = b""

    async def write(self, data: bytes) -> None:
        """Write what the command reads."""
        await self._stdin.send_all(data)

    async def end_input(self) -> None:
        """End what the command reads."""
        await self._stdin.aclose()

    async def read(self, size: int) -> bytes:
        """Wait for so many bytes of output, and return them."""
        while len(self._read) < size:
            await self._read_more()
        return self._take(size)

    async def read_line(self) -> str:
        """Wait for a line of output, and return it without its end."""
        while (end := self._read.find(b"\n")) < 0:
            await self._read_more()
        return self._take(end + 1)[:-1].decode()

    async def _read_more(self) -> None:
        more = await self._stdout.receive_some()
        assert more, "the output has ended"
        self._read += bytes(more)

    def _take(self, size: int) -> bytes:
        data, self._read = self._read[:size], self._read[size:]
        return data

    async def end_output(self) -> None:
        """Read no more."""
        await self._stdout.aclose()

    async def aclose(self) -> None:
        """Close both."""
        await self._stdin.aclose()
        await self._stdout.aclose()


@asynccontextmanager
async def pipes() -> AsyncGenerator[Pipes, None]:
    """Let code of this process find pipes as its standard input and output."""
    (stdin, their_stdin), (their_stdout, stdout) = os.pipe(), os.pipe()
    ours = Pipes(their_stdin, their_stdout)
    try:
        with as_stdio(stdin, stdout):
            yield ours
    finally:
        await ours.aclose()


@contextmanager
def as_stdio(stdin: int, stdout: int) -> Generator[None]:
    """Let code of this process find these descriptors as its standard input and output."""
    with (
        open(stdin, encoding="utf-8") as reading,
        open(stdout, "w", encoding="utf-8") as writing,
        mock.patch.multiple(sys, stdin=reading, stdout=writing),
    ):
        yield
