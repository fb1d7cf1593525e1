"""Programs of ours, run as their users run them: each in a process of its own.

Every process lives in a `running` block, which bounds all waiting in it and fails when the program
says something that nobody expects, a traceback for one.
"""

import http.client
import os
import re
import signal
import sys
from collections.abc import AsyncGenerator, Generator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from subprocess import PIPE, STDOUT
from types import MappingProxyType
from urllib.parse import urlsplit

import trio

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "examples"

SECONDS = 30  # what a test with one program may take; it takes a fraction


class Program:
    """A running program: what it prints, errors included, and how it ends."""

    def __init__(self, process: trio.Process) -> None:
        assert process.stdout is not None
        self._process = process
        self._stdout = process.stdout
        self._output = b""  # all of it, from the beginning
        self._taken = 0  # what was returned line by line
        self._ended = False  # and nobody needs to hear of it any more

    @property
    def output(self) -> str:
        """What it has printed, as far as it was read."""
        return self._output.decode()

    async def line(self) -> str:
        """Wait for the next line and return it."""
        while (end := self._output.find(b"\n", self._taken)) < 0:
            more = await self._stdout.receive_some()
            assert more, "the program ended without another line"
            self._output += more
        line = self._output[self._taken : end].decode()
        self._taken = end + 1
        return line

    async def address(self) -> str:
        """Wait for the line that says where it serves, and return the address."""
        line = await self.line()
        match = re.fullmatch(r"(?:serving on )?((?:wss?|https?)://[a-z0-9.]+:[0-9]+/)", line)
        assert match is not None, f"not an address: {line!r}"
        return match[1]

    def send_signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    async def rest(self) -> list[str]:
        """Wait for its end and return the lines that nobody has read."""
        async for more in self._stdout:
            self._output += more
        await self._process.wait()
        self._ended = True
        rest = self._output[self._taken :].decode().splitlines()
        self._taken = len(self._output)
        return rest

    async def finish(self, status: int = 0) -> list[str]:
        """Wait for its end with this exit status, and return the lines that nobody has read."""
        rest = await self.rest()
        assert self._process.returncode == status
        return rest

    async def stop(self) -> None:
        """End it if it runs, as one ends a server, and see that it has nothing more to say."""
        if not self._ended:
            self._process.terminate()
            assert await self.rest() == []
            # 0 is of those that take the signal for themselves; a crash would be 1.
            assert self._process.returncode in (0, -signal.SIGTERM)

    async def aclose(self) -> None:
        """End it, whatever it is at, and keep its last words."""
        with trio.CancelScope(shield=True):
            self._process.kill()
            await self.rest()
            await self._stdout.aclose()


@asynccontextmanager
async def running(
    name: str, *arguments: object, environment: Mapping[str, str] = MappingProxyType({})
) -> AsyncGenerator[Program, None]:
    """Run an example, or "-m" and a module, with these arguments; it ends with the block."""
    file = name if name == "-m" else str(EXAMPLES / name)
    command = [sys.executable, "-W", "error", file, *map(str, arguments)]
    # The checkout may not be installed; and what is printed shall come at once.
    inherited = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    process = await trio.lowlevel.open_process(
        command, stdout=PIPE, stderr=STDOUT, env={**inherited, **environment}
    )
    program = Program(process)
    try:
        with trio.fail_after(SECONDS):
            yield program
            await program.stop()
    except BaseException as error:
        await program.aclose()
        error.add_note(f"{' '.join(command)} printed:\n{program.output}")
        raise
    await program.aclose()


async def finished(name: str, *arguments: object, status: int = 0) -> list[str]:
    """Run an example to its end and return what it printed."""
    async with running(name, *arguments) as program:
        return await program.finish(status)


@contextmanager
def plain_http(address: str) -> Generator[http.client.HTTPConnection, None, None]:
    """Connect to a server that answers plain HTTP."""
    connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=SECONDS)
    try:
        yield connection
    finally:
        connection.close()


async def fetch(address: str, method: str, target: str) -> tuple[int, str | None, str]:
    """Ask for a page as a browser would; return status, content type and body."""

    def ask() -> tuple[int, str | None, str]:
        with plain_http(address) as connection:
            connection.request(method, target)
            response = connection.getresponse()
            return response.status, response.headers["Content-Type"], response.read().decode()

    return await trio.to_thread.run_sync(ask)
