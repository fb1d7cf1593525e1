"""What the stress scripts have in common: the server under attack, the innocent one, figures.

A script measures, prints a line per figure, and fails where a figure is beyond its bound; the
bounds are generous, for they shall hold on a busy machine too.  Linux only: figures of the server
come from ``/proc``.
"""

import argparse
import json
import math
import os
import resource
import statistics
import subprocess
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import trio

from trio_ws.testing import upgrade_request

ROOT = Path(__file__).parent.parent.parent
LOOPBACK = "127.0.0.1"
KIB = 1024
MIB = 1024 * KIB

# How many connections are begun at once.
AT_ONCE = 100


def allow_many_descriptors() -> int:
    """Raise the limit on descriptors as far as may be, and return it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


class Figures:
    """Collects figures, prints them, and remembers whether all were within their bounds."""

    def __init__(self) -> None:
        self.bad: list[str] = []

    def add(self, name: str, value: float, unit: str, *, most: float = math.inf) -> None:
        """Take one figure; larger than ``most`` it is a failure."""
        good = value <= most
        bound = "" if most == math.inf else f"  (at most {most:g})"
        sys.stdout.write(f"{'' if good else 'TOO MUCH: '}{name}: {value:.4g} {unit}{bound}\n")
        sys.stdout.flush()
        if not good:
            self.bad.append(name)


class Target:
    """The server under attack, seen from outside.

    Attributes:
        port: where it listens.
        descriptors_before: how many it had open before anybody came.
        rss_before: its memory then, in bytes.
    """

    def __init__(self, port: int, pid: int) -> None:
        self.port = port
        self._proc = Path("/proc") / str(pid)
        self.descriptors_before = self.descriptors
        self.rss_before = self.rss

    def _status(self, field: str) -> int:
        for line in (self._proc / "status").read_text().splitlines():
            if line.startswith(field):
                return int(line.split()[1]) * KIB
        raise KeyError(field)

    @property
    def rss(self) -> int:
        """Resident memory, in bytes."""
        return self._status("VmRSS")

    @property
    def peak_growth(self) -> int:
        """How far memory has risen at most since `reset`, in bytes."""
        return self._status("VmHWM") - self.rss_before

    @property
    def cpu(self) -> float:
        """Processor time used so far, in seconds."""
        fields = (self._proc / "stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    @property
    def descriptors(self) -> int:
        """How many are open."""
        return len(list((self._proc / "fd").iterdir()))

    def reset(self) -> None:
        """Begin to measure anew."""
        (self._proc / "clear_refs").write_text("5")  # VmHWM becomes VmRSS
        self.descriptors_before = self.descriptors
        self.rss_before = self.rss

    async def wait_released(self, *, left: int = 0, within: float = 60) -> float:
        """Wait until at most so many connections are left; return how long it took, in seconds."""
        began = trio.current_time()
        with trio.fail_after(within):
            while self.descriptors > self.descriptors_before + left:  # noqa: ASYNC110 - another process
                await trio.sleep(0.05)
        return trio.current_time() - began


@asynccontextmanager
async def process(*args: str) -> AsyncGenerator[trio.Process, None]:
    """Run one of our modules; end it by ending its stdin."""
    run = partial(
        trio.run_process,
        [sys.executable, "-m", *args],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    async with trio.open_nursery() as nursery:
        started: trio.Process = await nursery.start(run)
        assert started.stdin is not None
        assert started.stdout is not None
        async with started.stdin, started.stdout:
            yield started


async def read_all(stream: trio.abc.ReceiveStream) -> bytes:
    """Return what comes until the end."""
    received = bytearray()
    async for data in stream:
        received += data
    return bytes(received)


@asynccontextmanager
async def target(**options: float) -> AsyncGenerator[Target, None]:
    """Run the server under attack."""
    async with process("tests.stress.target", json.dumps(options)) as server:
        assert server.stdout is not None
        port = int(await server.stdout.receive_some())
        await warm_up(port)
        yield Target(port, server.pid)


async def warm_up(port: int) -> None:
    """Have the server import and allocate what it needs once."""
    for _ in range(20):
        stream = await opened(port)
        await trio.aclose_forcefully(stream)
    await trio.sleep(0.2)


class Innocent:
    """What the innocent one reports in the end; times in seconds."""

    times: list[float]

    @property
    def median(self) -> float:
        """The median round trip."""
        return statistics.median(self.times)

    @property
    def p99(self) -> float:
        """All but one in a hundred round trips were faster."""
        return sorted(self.times)[len(self.times) * 99 // 100]

    def report(self, figures: Figures, *, most: float = 0.5) -> None:
        """Add its figures."""
        figures.add("innocent round trips", len(self.times), "")
        figures.add("innocent median", self.median * 1000, "ms")
        figures.add("innocent p99", self.p99 * 1000, "ms", most=most * 1000)


@asynccontextmanager
async def innocent(server: Target) -> AsyncGenerator[Innocent, None]:
    """Have somebody innocent echo during the block; its figures are there afterwards."""
    result = Innocent()
    async with process("tests.stress.innocent", str(server.port)) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        assert await child.stdout.receive_some() == b"ready\n"
        yield result
        await child.stdin.aclose()
        result.times = json.loads(await read_all(child.stdout))


async def opened(port: int, path: str = "/") -> trio.SocketStream:
    """Open a raw connection, opening handshake included."""
    return await shaken(await trio.open_tcp_stream(LOOPBACK, port), path)


async def shaken(stream: trio.SocketStream, path: str) -> trio.SocketStream:
    """Shake hands on a raw connection, and return it."""
    await stream.send_all(upgrade_request(path))
    received = b""
    while b"\r\n\r\n" not in received:
        data = await stream.receive_some()
        assert data, "the server hung up"
        received += data
    return stream


async def open_many(
    count: int, open_one: Callable[[], Awaitable[trio.SocketStream]]
) -> list[trio.SocketStream]:
    """Open so many connections, some of them at once."""
    streams: list[trio.SocketStream] = []
    limit = trio.CapacityLimiter(AT_ONCE)

    async def one() -> None:
        async with limit:
            streams.append(await open_one())

    async with trio.open_nursery() as nursery:
        for _ in range(count):
            nursery.start_soon(one)
    return streams


async def close_all(streams: list[trio.SocketStream]) -> None:
    """Hang up."""
    for stream in streams:
        await trio.aclose_forcefully(stream)


def main(script: Callable[[Figures, bool], Awaitable[None]]) -> None:
    """Run a script by itself: ``--short`` for a form that takes a few seconds."""
    parser = argparse.ArgumentParser(description=script.__doc__)
    parser.add_argument("--short", action="store_true")
    raise SystemExit(run(script, short=parser.parse_args().short))


def run(script: Callable[[Figures, bool], Awaitable[None]], *, short: bool) -> int:
    """Run a script; return 1 when a figure was beyond its bound."""
    allow_many_descriptors()
    figures = Figures()
    trio.run(script, figures, short)
    return int(bool(figures.bad))
