"""The load generator: plain sockets and frames made beforehand, no WebSocket library.

It runs in a process of its own, on another core than the server under test, and is to be so light
that the server is what takes the time: it counts bytes and looks at none of them.

Invariant: `Work.run` returns only when all answers to what it sent are there, so that rounds do
not reach into one another.
"""

from __future__ import annotations

import os
import select
import socket
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import NoReturn

from benchmarks.clocks import Stopwatch, Timed
from benchmarks.frames import END, REQUEST, client_close, client_frame, payload, server_frame
from benchmarks.rows import Load

READ_SIZE = 1024 * 1024
FLOOD_SIZE = 256 * 1024  # sent with one call, in bytes
SMALL = 16 * 1024  # fits into the kernel's buffers, there and back, in bytes
BATCH = 50  # connections opened at once: less than anybody's backlog


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to do to whom."""

    load: Load
    port: int
    size: int
    text: bool
    connections: int
    echoes_frames: bool = False
    """Whether what comes back is the very frame that was sent, mask and all: a yardstick's."""

    def answer_size(self) -> int:
        """Return the length of the answer to a message, in bytes."""
        if self.echoes_frames:
            return len(client_frame(payload(self.size), text=self.text))
        return len(server_frame(payload(self.size), text=self.text))


class Work(ABC):
    """What one load generator does, again and again."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.frame = client_frame(payload(plan.size), text=plan.text)
        self.answer_size = plan.answer_size()
        self.sockets = open_connections(plan.port, plan.connections)

    def run(self, count: int) -> Timed:
        """Do about this much, and tell how much it was and how long it took."""
        stopwatch = Stopwatch()
        return stopwatch.stop(self.work(count))

    @abstractmethod
    def work(self, count: int) -> int:
        """Do about this much; return how much it was."""


class Flood(Work):
    """Send messages back to back; the server answers only the last one."""

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan)
        self._per_call = max(1, FLOOD_SIZE // len(self.frame))
        self._block = self.frame * self._per_call
        self._last = client_frame(END, text=plan.text)
        self._answer_size = len(server_frame(END, text=plan.text))

    def work(self, count: int) -> int:
        """Send so many messages."""
        sock = self.sockets[0]
        for _ in range(count // self._per_call):
            sock.sendall(self._block)
        sock.sendall(self.frame * (count % self._per_call) + self._last)
        _read(sock, self._answer_size)
        return count


class Drain(Work):
    """Ask for messages and take them as they come."""

    def work(self, count: int) -> int:
        """Take so many messages."""
        # The yardstick reads the number too, and it knows nothing of masks.
        request = client_frame(str(count).encode(), text=True, masked=False)
        self.sockets[0].sendall(request)
        size = len(server_frame(payload(self.plan.size), text=self.plan.text))
        _read(self.sockets[0], count * size)
        return count


class ClosedLoop(Work):
    """Send on each connection the next message when the answer to the last one is there."""

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan)
        self._fds = [sock.fileno() for sock in self.sockets]
        self._poll = _polling(self._fds)

    def work(self, count: int) -> int:
        """Send so many messages, spread over the connections as the server answers."""
        poll, read, write = self._poll, os.read, os.write
        frame, answer_size = self.frame, self.answer_size
        missing = dict.fromkeys(self._fds, answer_size)
        to_come = count = max(count, len(self._fds))
        to_send = count - len(self._fds)
        for fd in self._fds:
            write(fd, frame)
        while to_come:
            for fd, _ in poll():
                left = missing[fd] - len(read(fd, answer_size) or _hung_up())
                if left:
                    missing[fd] = left
                    continue
                missing[fd] = answer_size
                to_come -= 1
                if to_send:
                    to_send -= 1
                    write(fd, frame)
        return count


class Exchange(Work):
    """Send one message after the other, on one connection."""

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan)
        self._buffer = bytearray(READ_SIZE)
        self._small = len(self.frame) <= SMALL
        self.sockets[0].setblocking(self._small)

    def work(self, count: int) -> int:
        """Send so many messages."""
        exchange = self._exchange_small if self._small else self._exchange_large
        for _ in range(count):
            exchange(self.sockets[0])
        return count

    def _exchange_small(self, sock: socket.socket) -> None:
        sock.send(self.frame)
        to_come = self.answer_size
        while to_come:
            to_come -= sock.recv_into(self._buffer) or _hung_up()

    def _exchange_large(self, sock: socket.socket) -> None:
        # The yardstick answers before it has all: whoever did not read meanwhile would hang.
        poller = select.poll()
        poller.register(sock, select.POLLIN | select.POLLOUT)
        rest = memoryview(self.frame)
        to_come = self.answer_size
        while to_come:
            [(_, events)] = poller.poll()
            if events & select.POLLIN:
                to_come -= sock.recv_into(self._buffer) or _hung_up()
            elif events & select.POLLOUT:
                rest = rest[sock.send(rest) :]
                if not rest:
                    poller.modify(sock, select.POLLIN)
            else:
                _hung_up()


class FanOut(Work):
    """Have one message sent to all connections."""

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan)
        self._poll = _polling([sock.fileno() for sock in self.sockets])
        self._request = client_frame(END, text=True)
        self._answer_size = len(server_frame(payload(plan.size), text=plan.text))

    def work(self, count: int) -> int:
        """Have messages sent until so many connections have got one."""
        poll, read, size = self._poll, os.read, self._answer_size
        clients = len(self.sockets)
        times = max(1, count // clients)
        for _ in range(times):
            self.sockets[0].send(self._request)
            to_come = size * clients
            while to_come:
                for fd, _ in poll():
                    to_come -= len(read(fd, size) or _hung_up())
        return times * clients


class Churn(Work):
    """Open connections and close them, a batch at a time."""

    def work(self, count: int) -> int:
        """Open and close so many, rounded up to batches."""
        batches = -(-count // BATCH)
        close = client_close()
        for _ in range(batches):
            batch = open_connections(self.plan.port, BATCH)
            for sock in batch:
                sock.sendall(close)
            for sock in batch:
                while sock.recv(256):  # its Close, and then the end of the stream
                    pass
                sock.close()
        return batches * BATCH


class Hold(Work):
    """Open connections and leave them alone."""

    def work(self, count: int) -> int:
        """Open so many more."""
        self.sockets += open_connections(self.plan.port, count)
        return count


WORKS: dict[Load, type[Work]] = {
    "flood": Flood,
    "drain": Drain,
    "closed_loop": ClosedLoop,
    "exchange": Exchange,
    "fan_out": FanOut,
    "churn": Churn,
    "hold": Hold,
}


def open_connections(port: int, count: int) -> list[socket.socket]:
    """Connect and shake hands so many times."""
    sockets: list[socket.socket] = []
    while len(sockets) < count:
        batch = [_connect(port) for _ in range(min(BATCH, count - len(sockets)))]
        for sock in batch:
            sock.sendall(REQUEST)
        for sock in batch:
            _read_response(sock)
        sockets += batch
    return sockets


def _connect(port: int) -> socket.socket:
    sock = socket.create_connection(("127.0.0.1", port))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def _read_response(sock: socket.socket) -> None:
    head = b""
    while not head.endswith(b"\r\n\r\n"):  # servers here do not speak first
        head += sock.recv(4096) or _hung_up()
    if b" 101 " not in head:
        raise ConnectionError(f"the server answered {head!r}")


def _read(sock: socket.socket, size: int) -> None:
    buffer = bytearray(READ_SIZE)
    while size:
        size -= sock.recv_into(buffer, min(size, READ_SIZE)) or _hung_up()


def _polling(fds: list[int]) -> Callable[[], list[tuple[int, int]]]:
    """Return what waits for bytes on any of these, and tells on which there are some."""
    epoll = select.epoll(len(fds))
    for fd in fds:
        epoll.register(fd, select.EPOLLIN)
    return partial(epoll.poll, maxevents=len(fds))


def _hung_up() -> NoReturn:
    raise ConnectionError("the server hung up")
