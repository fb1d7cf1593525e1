"""TLS: a `trio.SSLStream` over the socket transport, seen as a stream that never blocks.

Because the stream below takes all bytes at once (socket first, then its buffer), awaiting
``SSLStream.send_all`` costs a few scheduler passes and never waits for the peer.  So a sender may
await it itself, under a shield: no task hop, and no torn record.  Writers that cannot await queue
plaintext and call the flusher.
"""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

import trio

from trio_ws._transport.base import Spawn, Transport
from trio_ws._transport.outbox import CHUNK_SIZE, Outbox
from trio_ws._transport.socket import SocketTransport, is_plain_socket

if TYPE_CHECKING:
    from trio_ws._options import Limits, Timeouts

# A sender brings out at most this many chunks besides waiting writers; then the flusher does.
MAX_CHUNKS_PER_SEND = 4


class NeverBlockingStream(trio.abc.Stream):
    """The socket transport as a stream whose ``send_all`` never fails, and never blocks.

    A failed write is remembered by the transport; reading goes on, for the peer's Close may
    still be there, and `trio.SSLStream` would stop reading if ``send_all`` raised.

    Until a `TLSTransport` serves it, which limits what it writes by itself, ``send_all`` waits
    for the peer as that of any stream does.
    """

    __slots__ = ("_most_pending", "read_scope", "served", "socket")

    def __init__(self, socket: SocketTransport, limits: Limits) -> None:
        self.socket: SocketTransport = socket
        self.served: bool = False
        # The shield around `TLSTransport.read`, let down here while there is nothing to lose.
        self.read_scope: trio.CancelScope = trio.CancelScope()
        # Senders never get so far.  What does, TLS itself owes: the answers to KeyUpdates.
        self._most_pending = limits.max_buffered_bytes + 2 * CHUNK_SIZE

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        # No checkpoint: trio.SSLStream makes one around each call.
        self.socket.write(bytes(data))
        if not self.served:
            await self.socket.wait_flushed()

    async def wait_send_all_might_not_block(self) -> None:
        await trio.lowlevel.checkpoint()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        self.read_scope.shield = False
        try:
            while self.socket.pending > self._most_pending:
                await self.socket.wait_progress()  # who takes no answers asks no more questions
            return await self.socket.read(max_bytes or CHUNK_SIZE)
        finally:
            self.read_scope.shield = True

    async def aclose(self) -> None:
        await self.socket.close()


class TLSTransport(Transport):
    """Reads and writes of a `trio.SSLStream` over a `NeverBlockingStream`."""

    __slots__ = ("_pumping", "_socket")

    settles = True
    # Never replaced, so it may be of a narrower type.
    stream: trio.SSLStream[NeverBlockingStream]  # pyright: ignore[reportIncompatibleVariableOverride]

    def __init__(
        self,
        stream: trio.SSLStream[NeverBlockingStream],
        spawn: Spawn,
        limits: Limits,
        timeouts: Timeouts,
    ) -> None:
        super().__init__(stream, spawn, limits, timeouts)
        self._socket = stream.transport_stream.socket
        self._socket.watch(self._socket_failed)
        self._pumping = False  # some task is in stream.send_all
        stream.transport_stream.served = True
        if self._socket.write_error is not None:
            self._socket_failed()

    def _socket_failed(self) -> None:
        assert self._socket.write_error is not None
        self.fail_writing(self._socket.write_error)

    @property
    def pending(self) -> int:
        return super().pending + self._socket.pending

    def hangup_fd(self) -> int | None:
        return self._socket.hangup_fd()

    async def read(self, max_bytes: int) -> bytes | bytearray:
        # Decrypted data does not make a descriptor readable: SSLStream looks there first.
        # Cancelled anywhere but below, where it waits for bytes, it would lose what it has
        # decrypted, or a record that it owes the peer.
        await trio.lowlevel.checkpoint_if_cancelled()
        data: bytes | bytearray = b""
        with trio.CancelScope(shield=True) as self.stream.transport_stream.read_scope:
            data = await self.stream.receive_some(max_bytes)
        return data  # noqa: RET504 - for all that type checkers know, a scope swallows exceptions

    @trio.lowlevel.enable_ki_protection
    async def settle(self) -> None:
        if not self._pumping:
            with trio.CancelScope(shield=True):
                try:
                    for _ in range(MAX_CHUNKS_PER_SEND):
                        if not self._outbox or self._socket.full:
                            break
                        await self._pump(self._outbox)
                except (trio.BrokenResourceError, trio.ClosedResourceError):
                    pass  # noted by _pump: the next sender is told
            self.flush_soon()
            if not self.full:
                self.wake()

    async def settle_last(self) -> None:
        with trio.CancelScope(shield=True):
            while self._pumping and not self.closed:
                await self.wait_progress()  # another is at it, for a few scheduler passes
        await self.settle()

    def flush_soon(self) -> None:
        if not self._pumping:
            super().flush_soon()

    async def _flush_chunk(self, outbox: Outbox) -> None:
        if self._socket.full:
            await self._socket.wait_flushed()
        elif self._pumping:
            await self.wait_progress()  # a sender is at it, for a few scheduler passes
        else:
            await self._pump(outbox)

    async def _pump(self, outbox: Outbox) -> None:
        part = outbox.next_chunk()[:CHUNK_SIZE]
        self._pumping = True
        try:
            await self.stream.send_all(part)
        except BaseException as exc:
            # Nobody knows how much of it was encrypted: never send it a second time.
            self.fail_writing(trio.BrokenResourceError(f"TLS broke: {exc!r}"))
            raise
        finally:
            self._pumping = False
            self.wake()
        outbox.advance(len(part))

    # What is waited for may happen here or in the socket's buffer, and what waits moves from one
    # to the other meanwhile: so all wait in one place.

    async def wait_progress(self) -> None:
        await self._socket.wait_progress()

    def wake(self) -> None:
        self._socket.wake()

    async def send_eof(self) -> None:
        # We never send close_notify, so TCP's half-close says it for TLS as well.
        await self._socket.send_eof()

    async def close(self) -> None:
        self._socket.watch(None)
        await super().close()


async def start_tls(
    stream: trio.abc.Stream,
    ssl_context: ssl.SSLContext,
    spawn: Spawn,
    *,
    server_side: bool,
    server_hostname: str | None,
    limits: Limits,
    timeouts: Timeouts,
) -> trio.SSLStream[trio.abc.Stream]:
    """Begin TLS on a connected stream and shake hands; what is returned owns the stream.

    On cancellation and on an error the stream is left to the caller to close.

    Raises:
        trio.BrokenResourceError: the TLS handshake failed; ``__cause__`` is the `ssl.SSLError`.
    """
    if is_plain_socket(stream):
        stream = NeverBlockingStream(SocketTransport(stream, spawn, limits, timeouts), limits)
    tls = trio.SSLStream(
        stream,
        ssl_context,
        server_hostname=server_hostname,
        server_side=server_side,
        # WebSocket has a closing handshake of its own: the Close frames, not TLS's
        # close_notify, tell a complete connection from one that was cut.
        https_compatible=True,
    )
    await tls.do_handshake()
    return tls
