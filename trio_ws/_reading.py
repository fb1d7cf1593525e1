"""Who reads: the reading role, and the understudy.

Exactly one task at a time has the *reading role*.  While the application waits in ``receive()``,
that task has it: it waits for bytes, decodes them and returns, no other task involved.  While the
application is elsewhere, an *understudy*, a task called for the purpose, takes the role: it
answers pings, notices the close and fills the inbox up to its limits.  A ``receive()`` that finds
the inbox empty takes the role back.

Invariants: messages enter and leave the inbox in the order in which they came; nothing is read
while the inbox is over its limits, except to throw it away; between reading bytes and having
acted on all of them there is no ``await``.
"""

from __future__ import annotations

import logging
from abc import abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

import trio

from trio_ws._caretaker import Caretaker
from trio_ws._exceptions import ClosedLocally, ConnectionBroken, ConnectionClosed, ConnectionEnded
from trio_ws._inbox import Inbox
from trio_ws._instrument import Instruments
from trio_ws._pace import PACE
from trio_ws._pings import Pings
from trio_ws._transport import without_frames
from trio_ws.protocol.assembly import IncomingMessage
from trio_ws.protocol.connection import Piece, Pong, Protocol
from trio_ws.protocol.lane import LANE
from trio_ws.protocol.state import State

if TYPE_CHECKING:
    from trio_ws._options import Keepalive, Limits, Timeouts
    from trio_ws._transport import Spawn, Transport
    from trio_ws.protocol.connection import Event

# A member of an enumeration takes a while to look up.
_OPEN = State.OPEN

_MESSAGES = frozenset({str, bytes})

# In bytes.  With a receiver waiting a read may be large, it goes straight to the application.
# Without one it fills the inbox, and the inbox shall not overshoot its limit by much.
# (In plain Python decoding that much of tiny messages would keep the others waiting.)
RECEIVER_READ_SIZE = (256 if LANE == "compiled" else 64) * 1024
UNDERSTUDY_READ_SIZE = 16 * 1024

# Control frames and fragments take some tens of microseconds each: so many, then the others run.
FRAMES_PER_TURN = 64
# In bytes, which take some tenths of a millisecond: compressed they may have been a thousandth.
INFLATED_PER_TURN = 64 * 1024


@dataclass(frozen=True, slots=True)
class ConnectionOptions:
    """What all connections of one server, or one client connection, go by."""

    limits: Limits
    timeouts: Timeouts
    keepalive: Keepalive
    logger: logging.Logger
    instruments: Instruments = field(default_factory=Instruments)


class Reading(Inbox):
    """The half of a connection that reads."""

    __slots__ = (
        "_bytes_received",
        "_bytes_sent",
        "_caretaker",
        "_cause",
        "_closed",
        "_closed_locally",
        "_draining",
        "_finishing",
        "_hung_up",
        "_last_activity",
        "_messages_received",
        "_options",
        "_over",
        "_partial",
        "_peer_awaited",
        "_pings",
        "_protocol",
        "_receiving",
        "_role_freed",
        "_spawn",
        "_streamed_by",
        "_token",
        "_transport",
        "_understudy",
    )

    def __init__(
        self,
        protocol: Protocol,
        transport: Transport,
        options: ConnectionOptions,
        caretaker: Caretaker,
        spawn: Spawn,
    ) -> None:
        super().__init__(options.limits)
        self._protocol = protocol
        protocol.frames_per_call = FRAMES_PER_TURN
        protocol.inflate_per_call = INFLATED_PER_TURN
        protocol.defer_violations = True
        self._transport = transport
        self._options = options
        self._caretaker = caretaker
        self._spawn = spawn
        self._partial: IncomingMessage | None = None  # pieces that were to be streamed, see _join
        # The role: the receiver's while _receiving, unless an understudy still has it.
        self._receiving = False
        self._understudy: trio.CancelScope | None = None
        self._role_freed: trio.Event | None = None
        self._streamed_by: object | None = None  # who has the message in progress in pieces
        self._peer_awaited: int = 0  # tasks that wait for the peer's answer: in ping() or aclose()
        # How it ended.
        self._over = False  # nothing more will be read
        self._hung_up = False  # nothing more can be written; unread messages may be left
        self._closed = False  # the stream is closed
        self._finishing = False  # some task is closing it
        self._closed_locally = False  # by our aclose(): unread messages are dropped
        self._draining = False  # by Server.aclose(): they are not
        self._cause: Exception | None = None
        self._token = object()
        # Figures.
        self._pings: Pings | None = None
        self._messages_received = 0
        self._bytes_received = 0
        self._bytes_sent: int = 0
        self._last_activity = trio.current_time()

    # For the other half

    @abstractmethod
    async def _finish(self) -> None:
        """Close the stream, reading being over."""

    @property
    @abstractmethod
    def _close_awaited(self) -> bool:
        """Whether a task waits for the stream to be closed."""

    @abstractmethod
    def _note_latency(self, seconds: float) -> None:
        """Note the round-trip time of a ping."""

    @property
    def _open(self) -> bool:
        """Whether a message may be sent."""
        return self._protocol.state is _OPEN and not self._hung_up

    @property
    def _logger(self) -> logging.Logger:
        return self._options.logger

    def _forsake_inbox(self) -> None:
        """Drop what was not received: from now on the connection is closed by us."""
        self._closed_locally = True
        self._empty_inbox()
        self._partial = None

    def _may_read(self, share: float = 1.0) -> bool:
        """Tell whether an understudy may read on."""
        return self._closed_locally or not (self._protocol.held or self._inbox_over(share))

    def _fail_held(self) -> None:
        """Fail the connection if a message is held: whoever is here does not want it in pieces."""
        if self._protocol.held:
            self._protocol.fail_held()
            self._after_protocol()

    # The understudy's side of the role

    def _ensure_reader(self) -> None:
        """Call an understudy, unless somebody reads or nothing may be read."""
        if self._understudy is not None or self._closed or self._finishing:
            return
        if self._over or (not self._receiving and self._may_read()):
            self._call_understudy()

    def _call_understudy(self) -> None:
        self._understudy = trio.CancelScope(shield=True)
        self._spawn(self._stand_in, self._understudy)

    @trio.lowlevel.enable_ki_protection
    async def _stand_in(self, scope: trio.CancelScope) -> None:
        # Shielded, and ended only by its connection: a cancelled nursery must not keep the
        # Close frame from going out, nor the peer's from being seen.
        with scope:
            while not self._over and self._may_read():
                size = RECEIVER_READ_SIZE if self._closed_locally else UNDERSTUDY_READ_SIZE
                await self._read(size)
        self._understudy = None
        if self._role_freed is not None:
            self._role_freed.set()
            self._role_freed = None
        if self._over:
            with trio.CancelScope(shield=True):
                await self._finish()
        elif not self._receiving:
            if not self._may_read():
                self._caretaker.pause(self)
            elif self._peer_awaited:
                self._ensure_reader()
            else:
                self._caretaker.watch(self)  # the receiver that wanted the role has left, too

    # Reading, whoever does it

    async def _read(self, max_bytes: int) -> None:
        if self._protocol.behind:
            await trio.lowlevel.checkpoint()  # a flood must not keep the others waiting
            PACE.restart()
            self._parse(b"")
            return
        try:
            data = await self._transport.read(max_bytes)
        except Exception as exc:  # noqa: BLE001 - whatever a stream raises ends this connection alone
            self._end(exc)
        else:
            self._digest(data, PACE.restart())

    def _digest(self, data: bytes | bytearray, now: float) -> None:
        """Act on bytes that were read; ``b""`` is the end of the stream."""
        if self._over:
            return
        self._last_activity = now
        self._bytes_received += len(data)
        self._parse(data or None)

    def _parse(self, data: bytes | bytearray | None) -> None:
        """Act on bytes: ``b""`` means those that were read before and not parsed yet."""
        protocol = self._protocol
        # A message over the limits is held until somebody wants it, for that may be somebody who
        # wants it in pieces; also when it comes together with the message that is waited for.
        protocol.defer_oversized = not self._closed_locally
        events = protocol.receive_data(data)
        # Most often there are messages and nothing else, and then nothing is owed to the peer:
        # they become the queue, without a look at each in Python.
        if protocol.state is _OPEN and _MESSAGES.issuperset(map(type, events)):
            self._messages_received += len(events)
            self._put_all(cast("list[str | bytes | Piece]", events))
        else:
            self._handle(events)
            self._after_protocol()

    def _handle(self, events: list[Event]) -> None:
        items: list[str | bytes | Piece] = []
        for event in events:
            if isinstance(event, (str, bytes)):
                self._messages_received += 1
                items.append(event)
            elif isinstance(event, Piece):
                self._messages_received += event.final
                items.append(event)
            elif isinstance(event, Pong) and self._pings is not None:
                latency = self._pings.answer(event.payload, self._last_activity)
                if latency is not None:
                    self._put_all(items)  # instruments are told in the order in which it all came
                    items = []
                    self._note_latency(latency)
        self._put_all(items)
        if self._closed_locally:
            self._empty_inbox()

    def _after_protocol(self) -> None:
        """Send what the protocol owes the peer; end when it says so."""
        protocol = self._protocol
        pongs = protocol.pongs_to_send()
        if pongs:
            self._transport.write_pongs(pongs)
            self._bytes_sent += sum(map(len, pongs))
        owed = protocol.data_to_send()
        if owed:
            self._transport.write(owed)
            self._bytes_sent += len(owed)
        if pongs or owed:
            self._transport.flush_soon()
        if protocol.state is State.CLOSED:
            self._end(None)

    def _end(self, cause: Exception | None) -> None:
        """Note that nothing more will be read; release everybody who waits for the peer."""
        if self._over:
            return
        self._over = True
        # Without its frames, which refer to us: no cycle.
        self._cause = without_frames(cause) if cause else self._transport.write_error
        if self._protocol.state is not State.CLOSED:
            self._protocol.receive_data(None)
        if self._understudy is not None:
            self._understudy.cancel()  # it goes on to close the stream
        self._release()
        if self._peer_awaited or self._close_awaited:
            self._ensure_reader()  # to close the stream

    def _release(self) -> None:
        self._transport.seal()
        if self._pings is not None:
            self._pings.release()

    def _closed_error(self, *, receiving: bool) -> ConnectionClosed:
        """Return a fresh exception that says how the connection ended."""
        received, sent = self._protocol.close_received, self._protocol.close_sent
        kind: type[ConnectionClosed] = ConnectionBroken
        if self._closed_locally or (self._draining and not receiving):
            kind = ClosedLocally
        elif receiving and received is not None and (received.clean or self._draining):
            kind = ConnectionEnded
        error = kind(received, sent)
        error.__cause__ = self._cause
        error._token = self._token
        return error

    # What the caretaker calls

    def _look_after(self, ticks_away: int) -> bool:
        if self._receiving or self._understudy is not None:
            return False
        if ticks_away < 2:
            return True
        if self._over or self._may_read(share=0.5):
            self._ensure_reader()
        else:
            self._caretaker.pause(self)
        return False

    def _paused_fd(self) -> int | None:
        if self._receiving or self._understudy is not None or self._over or self._hung_up:
            return None
        return self._transport.hangup_fd()
