"""TLS on a socket: the socket transport with OpenSSL between it and the descriptor.

`trio.SSLStream` costs a dozen scheduler passes and locks for what OpenSSL does in microseconds, so
`ssl.SSLObject` is driven here, in the caller's task as everything on a socket is.  Invariant:
plaintext waits, ciphertext does not.  Data is encrypted when the socket is about to take it, so
that pings and pongs can overtake what was not begun.
"""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

import trio

from trio_ws._transport.outbox import CHUNK_SIZE, Outbox
from trio_ws._transport.records import RECORD_SIZE, Records
from trio_ws._transport.socket import SocketTransport, broken_by, is_plain_socket
from trio_ws._transport.tls_stream import TLSStream

if TYPE_CHECKING:
    from trio_ws._options import Limits, Timeouts
    from trio_ws._transport.base import Spawn

# So much ciphertext may wait, in bytes, before reading waits for it.  Data alone never gets so
# far; what does is TLS's own: answers to a peer that asks (KeyUpdate) and takes no answers.
MAX_SEALED = 2 * CHUNK_SIZE

# At least and at most this is read at once, in bytes: a whole record with what belongs to it, and
# of data what is decrypted within a millisecond.  Were it nothing but KeyUpdates, the least would
# take about 20 ms, the most four times as long; so the most is for data only.
MIN_READ_SIZE = RECORD_SIZE + 1024
MAX_READ_SIZE = 64 * 1024


class SealingOutbox(Outbox):
    """Frames that are encrypted, chunk by chunk, when they are about to leave."""

    __slots__ = ("_records", "_sealed")

    def __init__(self, records: Records) -> None:
        super().__init__()
        self._records = records
        self._sealed: memoryview | None = None  # ciphertext: it goes before anything else

    @property
    def sealed_size(self) -> int:
        """How much of it is encrypted already, in bytes."""
        return len(self._sealed) if self._sealed is not None else 0

    def hold(self, sealed: bytes | memoryview) -> None:
        """Queue ciphertext behind other ciphertext."""
        if self._sealed is not None:
            sealed = b"".join((self._sealed, sealed))
            self.size -= len(self._sealed)
        self._sealed = memoryview(sealed)
        self.size += len(sealed)

    def resume(self, rest: memoryview) -> None:
        """Take the unsent rest of what was begun elsewhere; only ciphertext may be here before."""
        sealed = self.sealed_size
        super().resume(rest)
        self.size += sealed

    def next_chunk(self) -> memoryview:
        """Return the ciphertext to write next; the buffer must not be empty.

        Raises:
            ssl.SSLWantReadError: the peer negotiates anew, and it is its turn.
            ssl.SSLError: TLS broke before.
        """
        if self._sealed is None:
            plain = super().next_chunk()[:CHUNK_SIZE]
            try:
                sealed = self._records.seal(plain)
            except ssl.SSLWantReadError:
                if not self._records.owes:
                    raise
                sealed = self._records.take()
            else:
                super().advance(len(plain))
            self.hold(sealed)
            assert self._sealed is not None
        return self._sealed

    def advance(self, count: int) -> None:
        """Note that the socket took the first ``count`` bytes of the chunk."""
        assert self._sealed is not None
        self.size -= count
        self._sealed = self._sealed[count:] or None


class TLSTransport(SocketTransport):
    """Reads and writes of a `TLSStream`."""

    __slots__ = ("_records",)

    def __init__(self, stream: TLSStream, spawn: Spawn, limits: Limits, timeouts: Timeouts) -> None:
        super().__init__(stream.transport_stream, spawn, limits, timeouts)
        # Never replaced, so it may be of a narrower type.
        self.stream: TLSStream = stream  # pyright: ignore[reportIncompatibleVariableOverride]
        self._records = stream._records
        self._full_reads = int(self._records.more)

    async def read(self, max_bytes: int) -> bytes:
        while isinstance(self._outbox, SealingOutbox) and self._outbox.sealed_size > MAX_SEALED:
            await self.wait_progress()  # who takes no answers asks no more questions
        return await super().read(max_bytes)

    def read_nowait(self, max_bytes: int) -> bytes | None:
        records, full_reads = self._records, self._full_reads
        data = self._open(max_bytes) if records.more else None
        if data is None:
            # A whole record, even if less is asked for: what was not is kept.
            self._read_size = max(self._read_size, MIN_READ_SIZE)
            sealed = super().read_nowait(min(max(max_bytes, MIN_READ_SIZE), MAX_READ_SIZE))
            if sealed is None:
                return None
            records.feed(sealed)
            data = self._open(max_bytes)
            if self._full_reads and len(data or b"") * 4 < len(sealed):
                # KeyUpdates or tiny records, which cost a hundred times as much by the byte.
                self._full_reads = 0  # so the others run before more of it is read
                self._read_size = MIN_READ_SIZE
        if records.more:
            self._full_reads = full_reads + 1  # the next read has nothing to wait for
        return data

    def write_with_header(self, header: bytes, payload: bytes) -> None:
        self.write(header + payload)  # records are made of copies in any case

    def _open(self, max_bytes: int) -> bytes | None:
        records = self._records
        try:
            return records.open(max_bytes)
        except ssl.SSLError as exc:
            raise broken_by(exc) from exc
        finally:
            if records.owes:
                self._queue().hold(records.take())
                self.flush_soon()
            if records.renegotiating:
                records.renegotiating = False
                self.wake()

    def _queue(self) -> SealingOutbox:
        outbox = self._outbox
        if not isinstance(outbox, SealingOutbox):
            outbox = SealingOutbox(self._records)
            if self.write_error is None and not self.closed:
                self._outbox = outbox
        return outbox

    def _write_now(self, frame: bytes | memoryview) -> memoryview | None:
        """Encrypt a chunk and write what the kernel takes; return the rest of the plaintext."""
        begun, later = frame, None
        if len(frame) > CHUNK_SIZE:
            begun, later = memoryview(frame)[:CHUNK_SIZE], memoryview(frame)[CHUNK_SIZE:]
        try:
            sealed = self._records.seal(begun)
        except ssl.SSLWantReadError:
            return memoryview(frame)
        except ssl.SSLError as exc:
            self.fail_writing(broken_by(exc))
            return None
        rest = super()._write_now(sealed)
        if rest:
            self._queue().hold(rest)
            self.flush_soon()
        return later

    async def _flush_chunk(self, outbox: Outbox) -> None:
        try:
            await super()._flush_chunk(outbox)
        except trio.BrokenResourceError as exc:
            if not isinstance(exc.__cause__, ssl.SSLWantReadError):
                raise
        else:
            return
        # TLS 1.2: the peer negotiates anew, and nothing is sent until its answer was read.
        with trio.move_on_after(self._stall):
            await self.wait_progress()
            return
        raise trio.TooSlowError(f"TLS was not renegotiated in {self._stall:g} seconds")


async def start_tls(
    stream: trio.abc.Stream,
    ssl_context: ssl.SSLContext,
    *,
    server_side: bool,
    server_hostname: str | None,
) -> TLSStream | trio.SSLStream[trio.abc.Stream]:
    """Begin TLS on a connected stream and shake hands; what is returned owns the stream.

    On cancellation and on an error the stream is left to the caller to close.

    Raises:
        trio.BrokenResourceError: the TLS handshake failed; ``__cause__`` is the `ssl.SSLError`.
    """
    tls: TLSStream | trio.SSLStream[trio.abc.Stream]
    if is_plain_socket(stream):
        tls = TLSStream(
            stream, ssl_context, server_side=server_side, server_hostname=server_hostname
        )
    else:
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
