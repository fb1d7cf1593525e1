"""A pseudo-terminal in the hands of a test: what a program shows there, and what is typed.

The other end is a program's standard input and output, of one in a process of its own or of code
in this one; what it writes is drawn by `pyte`, which is a terminal without a window.
"""

import fcntl
import os
import struct
import sys
import termios
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from typing import Any
from unittest import mock

import pyte
import trio
from prompt_toolkit.application import create_app_session

from tests.running import ROOT

COLUMNS, LINES = 80, 40
SECONDS = 30  # what a test with a terminal may take; it takes a fraction


class _Screen(pyte.Screen):
    """A screen that refuses to be asked where its cursor is, and the like."""

    def write_process_input(self, data: str) -> None:
        """Fail: whoever asks must wait for the answer, and a terminal may have none."""
        raise AssertionError("the terminal was asked something")


class PseudoTerminal:
    """A pseudo-terminal, our end of it."""

    def __init__(self, stream: trio.lowlevel.FdStream, slave: int) -> None:
        self._stream = stream
        self._slave = slave
        self._screen = _Screen(COLUMNS, LINES)
        self._drawing = pyte.ByteStream(self._screen)
        self._before = self.attributes()
        self._drawn = trio.Event()

    @property
    def lines(self) -> list[str]:
        """What is to be seen, without the empty lines at the end."""
        shown = "\n".join(line.rstrip() for line in self._screen.display)
        return shown.rstrip("\n").split("\n")

    def attributes(self) -> list[Any]:
        """Return how the terminal is set: echo, line mode, and so on."""
        return termios.tcgetattr(self._slave)

    def is_as_before(self) -> bool:
        """Return whether it is set as it was in the beginning, and shows the cursor."""
        return self.attributes() == self._before and not self._screen.cursor.hidden

    async def type(self, text: str) -> None:
        """Press keys; a surrogate is a byte that is no character."""
        await self._stream.send_all(text.encode("utf-8", "surrogateescape"))

    async def see(self, *lines: str) -> None:
        """Wait until these are the last lines on the screen."""
        await self.wait_until(lambda: self.lines[-len(lines) :] == list(lines))

    async def see_somewhere(self, text: str) -> None:
        """Wait until this is on the screen."""
        await self.wait_until(lambda: any(text in line for line in self.lines))

    async def wait_until(self, condition: Callable[[], bool]) -> None:
        """Wait until something holds that depends on what is to be seen."""
        try:
            while not condition():
                await self._drawn.wait()
        except BaseException as error:
            error.add_note("\n".join(["the screen:", *self.lines]))
            raise

    async def draw(self) -> None:
        """Draw what comes, for ever."""
        while True:
            self._drawing.feed(bytes(await self._stream.receive_some()))
            self._drawn.set()
            self._drawn = trio.Event()

    @asynccontextmanager
    async def program(self, *arguments: object) -> AsyncGenerator[trio.Process, None]:
        """Run ``trio-ws`` here, in a process of its own; it is ended with the block."""
        process = await trio.lowlevel.open_process(
            [sys.executable, "-W", "error", "-m", "trio_ws", *map(str, arguments)],
            stdin=self._slave,
            stdout=self._slave,
            stderr=self._slave,
            env={**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm-256color"},
            start_new_session=True,
        )
        try:
            yield process
        finally:
            with trio.CancelScope(shield=True):
                process.kill()
                await process.wait()

    @contextmanager
    def as_stdout(self) -> Generator[None]:
        """Let code of this process find the terminal as its standard output."""
        with (
            os.fdopen(os.dup(self._slave), "w", encoding="utf-8") as stdout,
            mock.patch.object(sys, "stdout", stdout),
        ):
            yield

    @contextmanager
    def as_stdio(self) -> Generator[None]:
        """Let code of this process find the terminal as its standard input and output."""
        with (
            self.as_stdout(),
            os.fdopen(os.dup(self._slave), encoding="utf-8") as stdin,
            mock.patch.object(sys, "stdin", stdin),
            mock.patch.dict(os.environ, TERM="xterm-256color"),
            create_app_session(),
        ):
            yield


@asynccontextmanager
async def pseudo_terminal() -> AsyncGenerator[PseudoTerminal, None]:
    """Open a terminal for a test."""
    master, slave = os.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
    try:
        async with trio.lowlevel.FdStream(master) as stream:
            terminal = PseudoTerminal(stream, slave)
            with trio.fail_after(SECONDS):
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(terminal.draw)
                    yield terminal
                    nursery.cancel_scope.cancel()
    finally:
        os.close(slave)
