"""Transports of all kinds with a peer at the other end, over real sockets where there are any.

The peer is not ours: it is a plain trio stream, so that what it reads is what was on the wire.  It
reads when a test says so, and its buffers are small: nothing is easier than to make it block.
"""

import functools
import socket
import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Literal

import pytest
import trio

from trio_ws._options import Limits, Timeouts
from trio_ws._transport import (
    TLSStream,
    Transport,
    close_forcefully,
    make_transport,
    start_tls,
)
from trio_ws._transport.records import Records
from trio_ws.testing import TLSContexts, bounded_stream_pair, tls_contexts

Kind = Literal["socket", "tls", "stream"]

KINDS: tuple[Kind, ...] = ("socket", "tls", "stream")

every_kind = pytest.mark.parametrize("kind", KINDS)

# More than all buffers below take, in bytes, so that a part of it has to wait.
TOO_MUCH = 300_000

# Asked for as the kernel's buffer, in bytes; it makes a little more of it.
SEND_BUFFER = 4096

contexts = functools.cache(tls_contexts)


def socket_pair(*, send_buffer: int | None = SEND_BUFFER) -> tuple[socket.socket, socket.socket]:
    """Return two connected Unix sockets, what one sends being at the other at once."""
    near, far = socket.socketpair()
    if send_buffer is not None:
        near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer)
    return near, far


def tcp_pair() -> tuple[socket.socket, socket.socket]:
    """Return two sockets connected over loopback."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        near = socket.create_connection(listener.getsockname())
        far, _ = listener.accept()
    return near, far


def as_stream(plain: socket.socket) -> trio.SocketStream:
    """Return a trio stream over this socket, which it owns from now on."""
    return trio.SocketStream(trio.socket.from_stdlib_socket(plain))


@dataclass(frozen=True, slots=True)
class Wire:
    """A transport of ours and its peer."""

    transport: Transport
    peer: trio.abc.Stream
    """Reads and writes what our end writes and reads."""
    below: trio.abc.Stream
    """What lies below the peer's TLS; the peer itself where there is none."""
    nursery: trio.Nursery
    """Where the background tasks live; there are no other tasks in it."""

    @property
    def tasks(self) -> int:
        """How many background tasks there are."""
        return len(self.nursery.child_tasks)


async def secured(
    near: trio.abc.Stream,
    far: trio.abc.Stream,
    *,
    tls: TLSContexts | None = None,
) -> tuple[TLSStream | trio.SSLStream[trio.abc.Stream], trio.SSLStream[trio.abc.Stream]]:
    """Shake hands over these streams, near being the server; return both ends."""
    tls = tls or contexts()
    peer = trio.SSLStream(far, tls.client, server_hostname="localhost", https_compatible=True)
    async with trio.open_nursery() as shaking:
        shaking.start_soon(peer.do_handshake)
        ours = await start_tls(near, tls.server, server_side=True, server_hostname=None)
    return ours, peer


def handshaken(
    version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3, *, tls: TLSContexts | None = None
) -> tuple[Records, Records]:
    """Return a client and a server between which TLS stands, without anything between them."""
    tls = tls or tls_contexts()
    tls.client.maximum_version = version
    client = Records(tls.client, server_side=False, server_hostname="localhost")
    server = Records(tls.server, server_side=True, server_hostname=None)
    while not client.shake_hands():
        server.feed(client.take())
        server.shake_hands()
        client.feed(server.take())
    if flight := client.take():  # of TLS 1.3: the client comes last
        server.feed(flight)
        server.shake_hands()
    return client, server


class Renegotiation:
    """Stands before the `ssl.SSLObject` of records: TLS 1.2 negotiates anew, which delays writes.

    As OpenSSL does it, but Python's ssl module cannot begin it.

    Args:
        records: of the end that is asked to negotiate, and has to write first.
        owed: what that is, as data.
    """

    def __init__(self, records: Records, owed: bytes = b"") -> None:
        self._genuine = records.object
        self._owed = owed
        self.over = False

    def write(self, data: bytes | memoryview) -> int:
        """Take nothing before the end."""
        if self.over:
            return self._genuine.write(data)
        if self._owed:
            self._genuine.write(self._owed)
            self._owed = b""
        raise ssl.SSLWantReadError

    def read(self, max_bytes: int) -> bytes:
        """Read the peer's answer, which is data too; there it ends."""
        data = self._genuine.read(max_bytes)
        self.over = True
        return data

    def pending(self) -> int:
        """Return how much is decrypted."""
        return self._genuine.pending()


@asynccontextmanager
async def open_wire(
    kind: Kind, *, max_buffered: int = 1000, stall: float = 20, max_write: int | None = None
) -> AsyncGenerator[Wire, None]:
    """Open a transport with a peer that does not read by itself; close both at the end.

    Args:
        kind: which transport.
        max_buffered: the limit of its outgoing buffer, in bytes.
        stall: its patience with the peer, in seconds.
        max_write: see `bounded_stream_pair`, over which the stream transport runs.
    """
    limits, timeouts = Limits(max_buffered_bytes=max_buffered), Timeouts(stall=stall)
    ours: trio.abc.Stream
    peer: trio.abc.Stream
    below: trio.abc.Stream
    if kind == "stream":
        ours, peer = bounded_stream_pair(4096, max_write=max_write)
    else:
        near, far = socket_pair()
        ours, peer = as_stream(near), as_stream(far)
    below = peer
    async with trio.open_nursery() as nursery:
        if kind == "tls":
            ours, peer = await secured(ours, peer)
        transport = make_transport(ours, nursery.start_soon, limits=limits, timeouts=timeouts)
        try:
            yield Wire(transport, peer, below, nursery)
        finally:
            await transport.close()
            await close_forcefully(peer)


async def send(transport: Transport, frame: bytes) -> None:
    """Send as the connection does: wait for turn and room, then commit and be uncancellable."""
    await transport.wait_room()
    try:
        transport.write(frame)
    finally:
        transport.release()


def commit(transport: Transport, frame: bytes) -> None:
    """Send as one does who cannot wait."""
    transport.write(frame)
    transport.flush_soon()


async def receive_exactly(stream: trio.abc.ReceiveStream, count: int) -> bytes:
    """Return so many bytes, or fewer at the end of the stream."""
    received = bytearray()
    while len(received) < count and (data := await stream.receive_some(count - len(received))):
        received += data
    return bytes(received)


def numbered(count: int, size: int = 100) -> list[bytes]:
    """Return frames that tell where they begin and which they are; all of this size, in bytes."""
    return [b"<%06d%s>" % (number, b"." * (size - 8)) for number in range(count)]
