"""Any trio stream that was handed to us: memory streams, tunnels, somebody's `trio.SSLStream`.

Only the flusher calls ``send_all``, so that no user's cancellation can tear a frame; it does so in
slices, so that a big frame does not look stalled while it moves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from trio_ws._transport.base import Transport
from trio_ws._transport.outbox import CHUNK_SIZE, Outbox

if TYPE_CHECKING:
    from trio_ws._options import Limits, Timeouts
    from trio_ws._transport.base import Spawn


class StreamTransport(Transport):
    """Reads and writes of a `trio.abc.Stream` that we know nothing more of."""

    __slots__ = ("_flush_scope",)

    def __init__(
        self, stream: trio.abc.Stream, spawn: Spawn, limits: Limits, timeouts: Timeouts
    ) -> None:
        super().__init__(stream, spawn, limits, timeouts)
        self._flush_scope: trio.CancelScope | None = None

    async def read(self, max_bytes: int) -> bytes | bytearray:
        return await self.stream.receive_some(max_bytes)

    def write(self, frame: bytes) -> None:
        super().write(frame)
        self.flush_soon()

    def write_ping(self, frame: bytes) -> None:
        super().write_ping(frame)
        self.flush_soon()

    async def _flush_chunk(self, outbox: Outbox) -> None:
        part = outbox.next_chunk()[:CHUNK_SIZE]
        with trio.move_on_after(self._stall) as self._flush_scope:
            await self.stream.send_all(part)
        if not self._flush_scope.cancelled_caught:
            outbox.advance(len(part))
            return
        raise trio.TooSlowError(f"the peer took no data for {self._stall:g} seconds")

    async def send_eof(self) -> None:
        if isinstance(self.stream, trio.abc.HalfCloseableStream):
            await self.stream.send_eof()

    async def close(self) -> None:
        if self._flush_scope is not None:
            self._flush_scope.cancel()  # a write in progress would only break on the closed stream
        await super().close()
