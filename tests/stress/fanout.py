"""S1: a message to a thousand readers, a hundred times a second, and ten that never read.

python -m tests.stress.fanout [--short]
"""

import select
import socket
import struct
import threading
import time
from functools import partial

import trio

from tests.stress.measure import (
    KIB,
    LOOPBACK,
    MIB,
    Figures,
    allow_many_descriptors,
    close_all,
    main,
    open_many,
    opened,
    shaken,
    target,
)

RATE = 100  # messages a second
HEADER = 4  # bytes, of a frame of this size
SIZE = 1000  # of a message, in bytes: when it was sent, and nothing
FRAME = HEADER + SIZE
SENT_AT = struct.Struct("!d")

NEVER_READ = 10
STALL = 20.0  # seconds
READ_SIZE = 256 * KIB


class Readers(threading.Thread):
    """Reads from all of these sockets, as lightly as can be, and notes how old each message is."""

    def __init__(self, streams: list[trio.SocketStream]) -> None:
        super().__init__(daemon=True)
        self.ages: list[float] = []
        self._sockets = {stream.socket.fileno(): stream for stream in streams}
        self._rests = dict.fromkeys(self._sockets, b"")
        self._done = False

    def run(self) -> None:
        """Read until stopped."""
        with select.epoll() as poll:
            for fd in self._sockets:
                poll.register(fd, select.EPOLLIN)
            while not self._done:
                for fd, _ in poll.poll(0.1):
                    self._read(fd)

    def _read(self, fd: int) -> None:
        with socket.socket(fileno=fd) as sock:
            data = self._rests[fd] + sock.recv(READ_SIZE, socket.MSG_DONTWAIT)
            sock.detach()
        now = time.perf_counter()
        whole = len(data) // FRAME * FRAME
        for start in range(HEADER, whole, FRAME):
            self.ages.append(now - SENT_AT.unpack_from(data, start)[0])
        self._rests[fd] = data[whole:]

    def stop(self) -> None:
        """Read no more."""
        self._done = True
        self.join()


async def never_reading(port: int) -> trio.SocketStream:
    """Open a connection that takes very little before somebody reads from it."""
    plain = trio.socket.socket()
    plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 * KIB)
    await plain.connect((LOOPBACK, port))
    return await shaken(trio.SocketStream(plain), "/feed")


async def fanout(figures: Figures, short: bool) -> None:
    """Open, listen, count."""
    count, seconds, stall = (100, 5, 2.0) if short else (1000, 60, STALL)
    allow_many_descriptors()
    async with target(stall=stall, feed=RATE) as server:
        streams = await open_many(count, partial(opened, server.port, "/feed"))
        readers = Readers(streams)
        readers.start()
        await trio.sleep(1)  # what came before they read is old
        server.reset()
        readers.ages.clear()
        began, cpu = trio.current_time(), server.cpu
        idle = [await never_reading(server.port) for _ in range(NEVER_READ)]
        await server.wait_released(within=3 * stall)
        figures.add("those that never read were dropped in", trio.current_time() - began, "s")
        await trio.sleep_until(began + seconds)
        cpu = server.cpu - cpu
        readers.stop()
        ages = sorted(readers.ages)
        expected = count * RATE * seconds
        figures.add("messages received", len(ages), f"of about {expected}")
        figures.add("messages missing", max(0.0, 1 - len(ages) / expected) * 100, "%", most=5)
        figures.add("age, median", ages[len(ages) // 2] * 1000, "ms")
        figures.add(
            "age, p99", ages[len(ages) * 99 // 100] * 1000, "ms", most=500 if short else 100
        )
        figures.add(
            "memory above that of the open connections",
            server.peak_growth / KIB,
            "KiB",
            most=(NEVER_READ * 64 * KIB + 8 * MIB) / KIB,
        )
        figures.add("processor", cpu / (trio.current_time() - began) * 100, "%")
        await close_all([*streams, *idle])


if __name__ == "__main__":
    main(fanout)
