"""Networks of four kinds in which faults strike: memory and real sockets, bare and below TLS.

Over memory the stream that our end gets is a `StreamAt`, and everything moves a few bytes at a
time.  A socket is different: only for a bare `trio.SocketStream` our end goes straight to the
descriptor, so `SocketAt` strikes there, at ``os.read`` and ``os.write``, and before the opening
handshake is over at the stream's own methods.

The sockets are Unix socket pairs.  What one end has written is at the other end when the system
call returns; nothing is ever under way when Trio has nothing to do, and so the autojumping clock,
which would run past bytes in a network, is right here too.
"""

import errno
import os
import random
import socket
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from unittest import mock

import trio

from tests.injection import Fault, Injector, StreamAt, Trigger
from tests.transports import as_stream
from trio_ws import Limits
from trio_ws._transport import socket as socket_transport
from trio_ws.testing import bounded_stream_pair

# What the kernel is asked for, in bytes; it makes a little more of it.
_SOCKET_BUFFER = 4096


@dataclass(frozen=True, slots=True)
class Network:
    """One kind of network.

    Attributes:
        size: of a message that does not fit into the buffers on its way, in bytes.
        limits: those of our end: its own buffer is full with one such message.
    """

    name: str
    real: bool
    secure: bool
    size: int
    limits: Limits

    @contextmanager
    def open(
        self, injector: Injector
    ) -> Generator[tuple[trio.abc.Stream, trio.abc.Stream], None, None]:
        """Connect; return our end, where the injector strikes, and the peer's."""
        if self.real:
            near, far = (as_stream(end) for end in small_socket_pair())
            with SocketAt(near, injector.trigger, injector.fault).installed():
                try:
                    yield near, far
                except BaseException:  # a test has failed: one leak to report is enough
                    near.socket.close()
                    far.socket.close()
                    raise
        else:
            # A whole TLS handshake in crumbs would take most of the time.
            capacity = 1024 if self.secure else 100
            ours, theirs = bounded_stream_pair(
                capacity, max_write=capacity // 3, rng=random.Random(len(self.name))
            )
            yield injector.stream(ours), theirs


NETWORKS = {
    network.name: network
    for network in (
        Network("memory", False, False, 200, Limits(max_buffered_bytes=150)),
        Network("socket", True, False, 9000, Limits(max_buffered_bytes=4000)),
        Network("TLS in memory", False, True, 2000, Limits(max_buffered_bytes=1500)),
        Network("TLS over socket", True, True, 9000, Limits(max_buffered_bytes=4000)),
    )
}


def small_socket_pair() -> tuple[socket.socket, socket.socket]:
    """Return two connected Unix sockets with buffers as small as they come."""
    pair = socket.socketpair()
    for end in pair:
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SOCKET_BUFFER)
        end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _SOCKET_BUFFER)
    return pair


class _Unstruck(trio.abc.Stream):
    """A socket's stream as Trio made it, while the methods of its class are replaced."""

    _receive_some = staticmethod(trio.SocketStream.receive_some)
    _send_all = staticmethod(trio.SocketStream.send_all)

    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream = stream

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        return await self._receive_some(self._stream, max_bytes)

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await self._send_all(self._stream, data)

    async def wait_send_all_might_not_block(self) -> None:
        await self._stream.wait_send_all_might_not_block()

    async def aclose(self) -> None:
        await self._stream.aclose()


class SocketAt:
    """Lets a trigger strike at the k-th read or write of one socket, however it is made.

    The stream has to stay a plain `trio.SocketStream`; so it is the class's methods, and the
    functions of ``os`` in our module, that are replaced, with regard to this one socket.
    A system call cannot be cancelled half-way: here "amid" means that it takes half of the bytes.
    """

    def __init__(self, stream: trio.SocketStream, trigger: Trigger, fault: Fault) -> None:
        self._stream = stream
        self._trigger = trigger
        self._what, self._when, self._where = fault.value
        self._broken = False
        self._stream_at = StreamAt(_Unstruck(stream), trigger, fault)

    @contextmanager
    def installed(self) -> Generator[None, None, None]:
        """Be in the way of this socket's reads and writes, in this block."""

        async def receive_some(
            stream: trio.SocketStream, max_bytes: int | None = None
        ) -> bytes | bytearray:
            at = self._stream_at if stream is self._stream else _Unstruck(stream)
            return await at.receive_some(max_bytes)

        async def send_all(stream: trio.SocketStream, data: bytes | bytearray | memoryview) -> None:
            at = self._stream_at if stream is self._stream else _Unstruck(stream)
            await at.send_all(data)

        with (
            mock.patch.object(trio.SocketStream, "receive_some", receive_some),
            mock.patch.object(trio.SocketStream, "send_all", send_all),
            mock.patch.object(socket_transport, "os", self),
        ):
            yield

    def read(self, fd: int, size: int) -> bytes:
        """Stand in for `os.read`."""
        due = self._is_due(fd, "read")
        if due and self._when == "before":
            self._strike()
        data = os.read(fd, size)
        if due and self._when == "after":
            self._strike()
        return data

    def write(self, fd: int, data: bytes | memoryview) -> int:
        """Stand in for `os.write`."""
        if not self._is_due(fd, "write"):
            return os.write(fd, data)
        if self._when == "before":
            self._strike()
            return os.write(fd, data)
        written = os.write(fd, data if self._when == "after" else data[: len(data) // 2 or 1])
        # The call tells how much was written; that no more will be, the next one tells.
        if self._what == "cancel":
            self._strike()
        self._broken = self._what == "break"
        return written

    def _is_due(self, fd: int, call: str) -> bool:
        if fd != self._stream.socket.fileno() or call != self._where:
            return False
        self._raise_if_broken()
        return self._trigger.hit()

    def _strike(self) -> None:
        if self._what == "cancel":
            self._trigger.cancel()
        else:
            self._broken = True
            self._raise_if_broken()

    def _raise_if_broken(self) -> None:
        if self._broken:
            raise ConnectionResetError(errno.ECONNRESET, "reset by injection")
