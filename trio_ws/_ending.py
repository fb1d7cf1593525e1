"""How a connection ends: the closing handshake, its limits, and keepalive.

Lives here: every way to the closed stream.  A close flushes what is committed for as long as it
moves, sends our Close, waits for the peer's within ``timeouts.close`` and closes the stream; a
forced close does none of the waiting.

Invariants: whoever waits for anything is released when the connection ends, with the same facts;
every wait here has its limit; no Close frame follows half a frame (it is queued behind it, or
the stream is closed without it).
"""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING

import trio

from trio_ws._caretaker import TICK
from trio_ws._close import Close, CloseCode
from trio_ws._exceptions import closing_facts
from trio_ws._pings import Pings, SentPing
from trio_ws._reading import Reading
from trio_ws.protocol.state import State

if TYPE_CHECKING:
    from trio_ws._caretaker import Caretaker
    from trio_ws._exceptions import ConnectionClosed
    from trio_ws._reading import ConnectionOptions
    from trio_ws._transport import Spawn, Transport
    from trio_ws.protocol.connection import Protocol

# In seconds.  When a block is cancelled its peer shall still get our Close and may answer it;
# but the one who cancels is waiting.
CANCELLED_GRACE = 1.0


class Ending(Reading):
    """The half of a connection that ends it."""

    __slots__ = (
        "_closed_event",
        "_deadline",
        "_ended_by_us",
        "_keepalive_payload",
        "_keepalive_sent_at",
        "_latency",
        "_postponed",
        "_suspected",
    )

    def __init__(
        self,
        protocol: Protocol,
        transport: Transport,
        options: ConnectionOptions,
        caretaker: Caretaker,
        spawn: Spawn,
    ) -> None:
        super().__init__(protocol, transport, options, caretaker, spawn)
        self._closed_event: trio.Event | None = None
        self._deadline = math.inf  # for a closing handshake that nobody waits for
        self._postponed = False  # that deadline, because of unread messages
        self._ended_by_us = False  # by our aclose(): not the peer, the network or keepalive
        self._latency: float | None = None
        self._keepalive_payload: bytes | None = None
        self._keepalive_sent_at = -math.inf
        self._suspected = False  # the keepalive ping is overdue; one more tick and it is over

    # The closing handshake

    async def _close(self, close: Close) -> None:
        """Shake hands and close the stream, every step within its limit.

        May be called again after a cancellation: it then goes on.
        """
        self._forsake_inbox()
        self._send_close(close)
        self._fail_held()  # the peer's Close may lie behind it, and there is no more to come
        await trio.lowlevel.checkpoint()
        self._peer_awaited += 1
        try:
            if self._over and not self._finishing and self._understudy is None:
                await self._finish()
            else:
                self._ensure_reader()
                await self._transport.wait_flushed()
                with trio.move_on_after(self._options.timeouts.close):
                    await self._wait_stream_closed()
        finally:
            self._peer_awaited -= 1

    def _send_close(self, close: Close) -> None:
        if self._protocol.state is State.OPEN:
            self._ended_by_us = self._closed_locally and not self._hung_up
            frame = self._protocol.close(close.code, close.reason)
            self._transport.write(frame)
            self._bytes_sent += len(frame)
            self._transport.seal()
            self._transport.flush_soon()

    async def _wait_stream_closed(self) -> None:
        while not self._closed:
            await self._wait_closed_event()

    async def _wait_closed_event(self) -> None:
        if self._closed_event is None:
            self._closed_event = trio.Event()
        await self._closed_event.wait()

    @property
    def _close_awaited(self) -> bool:
        return self._closed_event is not None

    def _set_closed_event(self) -> None:
        if self._closed_event is not None:
            self._closed_event.set()
            self._closed_event = None

    async def _close_or_abort(self, close: Close) -> None:
        try:
            await self._close(close)
        finally:
            await self._abort()

    async def _abort(self) -> None:
        """Close the stream at once; what was not taken by it is lost."""
        if not self._closed:
            self._finishing = True
            self._end(None)
            await self._transport.close()
            self._note_closed()

    @trio.lowlevel.enable_ki_protection
    async def _leave(self, error: BaseException | None) -> None:
        """Close as the end of a block, or of a handler, demands.

        ``error`` is what left it: nothing closes with 1000, an exception with 1011; on
        cancellation (or anything else that ends the program) with 1001, and then the closing
        handshake has at most a second, whoever is waiting.
        """
        if self._closed:
            self._forsake_inbox()
            return
        if error is None:
            close = Close(CloseCode.NORMAL_CLOSURE)
        elif isinstance(error, Exception):
            close = Close(CloseCode.INTERNAL_ERROR)
        else:
            close = Close(CloseCode.GOING_AWAY)
        try:
            if isinstance(error, Exception) or error is None:
                await self._close(close)
            else:
                await self._close_in_grace(close)
        except trio.Cancelled:
            await self._close_in_grace(close)
            raise
        finally:
            await self._abort()

    async def _close_in_grace(self, close: Close) -> None:
        with trio.move_on_after(CANCELLED_GRACE, shield=True):
            await self._close(close)

    def _drain(self, close: Close) -> None:
        """Send our Close; what the peer sent before it saw that is delivered still."""
        if self._protocol.state is State.OPEN:
            self._draining = True
            self._close_without_waiting(close)

    def _close_without_waiting(self, close: Close) -> None:
        self._send_close(close)
        self._transport.flush_soon()
        self._ensure_reader()
        self._hurry()

    # Closing the stream

    async def _finish(self) -> None:
        if self._finishing:
            return
        self._finishing = True
        try:
            if self._cause is None:
                await self._transport.wait_flushed()
                if self._unread():
                    with trio.move_on_after(self._options.timeouts.close):
                        await self._transport.linger()
        except trio.Cancelled:
            self._finishing = False  # whoever is cancelled here goes on, in its grace or forcefully
            raise
        await self._transport.close()
        self._note_closed()

    async def _finish_if_quick(self) -> None:
        """Close the stream if there is nobody to wait for, and nobody who is at it."""
        alone = self._understudy is None and not self._closed
        if alone and not self._transport.pending and not self._unread():
            await self._finish()

    def _unread(self) -> bool:
        """Tell whether there may be bytes that nobody will read."""
        if self._protocol.failure is not None:
            return True
        try:
            return bool(self._transport.read_nowait(1))
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return False

    def _note_closed(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._end(None)
        self._caretaker.remove(self)
        self._set_closed_event()
        if self._logger.isEnabledFor(logging.INFO):
            self._logger.info("connection closed: %s", self._closing_facts())

    def _closing_facts(self) -> str:
        facts = closing_facts(self._protocol.close_received, self._protocol.close_sent)
        return facts if self._cause is None else f"{facts} ({self._cause!s:.200})"

    def _hang_up(self) -> None:
        # The peer is gone, but what it sent before may be unread still, its Close among it:
        # receive() works that off.  Whoever wants anything else of the peer hears it now.
        self._hung_up = True
        self._release()
        self._set_closed_event()  # for wait_closed(): to the application it is as good as closed

    def _write_failed(self) -> None:
        """Take note that writing failed for good: the transport calls this."""
        if isinstance(self._transport.write_error, trio.TooSlowError):
            self._break(self._transport.write_error)
        else:
            # A reset comes with an end of the reading side; but we do not bet on it.
            self._hang_up()
            self._ensure_reader()
            self._hurry()

    def _break(self, cause: Exception | None) -> None:
        """Give the connection up: close the stream without a closing handshake."""
        self._end(cause)
        self._ensure_reader()

    def _owns(self, error: ConnectionClosed) -> bool:
        """Tell whether this exception speaks of this connection."""
        return error._token is self._token

    # What is timed: the closing handshake that nobody waits for, and keepalive

    def _hurry(self) -> None:
        """Give the peer ``timeouts.close`` to end the connection, though nobody waits here."""
        now = trio.current_time()
        self._deadline = now + self._options.timeouts.close
        self._caretaker.set_alarm(self, now + TICK if self._transport.pending else self._deadline)

    def _ring(self, now: float) -> float:
        if self._over:
            return math.inf
        if self._deadline < math.inf and self._transport.pending:
            # The peer's time begins when it has everything, however long that takes.
            self._deadline = now + self._options.timeouts.close
            return now + TICK
        if now >= self._deadline:
            # While the application has yet to read what came before, the peer's answer lies behind
            # it.  From then on the peer has the usual time, and not what is left of a moment.
            readable = self._receiving or self._may_read()
            if readable and not self._postponed:
                self._break(self._transport.write_error)
                return math.inf
            self._postponed = not readable
            self._deadline = now + self._options.timeouts.close
        next_look = self._see_to_keepalive(now)  # whose ping may fail, and set the deadline
        return min(self._deadline, next_look)

    def _note_latency(self, seconds: float) -> None:
        self._latency = seconds

    def _see_to_keepalive(self, now: float) -> float:
        """Ping a silent peer, give a dead one up; return the time of the next look."""
        keepalive = self._options.keepalive
        if keepalive.interval == math.inf or self._protocol.state is not State.OPEN:
            return math.inf
        if now < self._last_activity + keepalive.interval:
            self._suspected = False
            return self._last_activity + keepalive.interval
        reading = self._understudy is not None or (self._receiving and not self._items)
        if not reading:
            # The pong may lie there unread.  The ping still shows the peer that we live.
            self._send_keepalive(now)
            return now + keepalive.interval
        if self._keepalive_sent_at <= self._last_activity:
            self._send_keepalive(now)
            # Whichever comes first: once the pong is there, the next silence may begin.
            return now + min(keepalive.interval, keepalive.timeout)
        if now < self._keepalive_sent_at + keepalive.timeout:
            return self._keepalive_sent_at + keepalive.timeout
        if not self._suspected:
            # If reading has only just begun again, one tick brings out what had come.
            self._suspected = True
            return now + TICK
        self._send_close(Close(CloseCode.INTERNAL_ERROR, "keepalive timeout"))
        self._break(
            trio.TooSlowError(f"no answer to a keepalive ping in {keepalive.timeout:g} seconds")
        )
        return math.inf

    def _send_keepalive(self, now: float) -> None:
        if self._pings is None:
            self._pings = Pings()
        if self._keepalive_payload is not None:
            self._pings.forget(self._keepalive_payload)  # at most one is on its way
        self._keepalive_payload = self._pings.new_payload()
        self._keepalive_sent_at = now
        self._suspected = False
        self._pings.add(self._keepalive_payload, SentPing(now))
        frame = self._protocol.ping(self._keepalive_payload)
        self._transport.write_ping(frame)
        self._transport.flush_soon()
        self._bytes_sent += len(frame)
