"""`WebSocket`: a connection as a `trio.abc.Channel` of messages, one class for both roles.

Lives here: what the application calls.  Who reads is in ``_reading``, how it ends in ``_ending``,
what is sent in ``_sending``.
A WebSocket is made of a `Protocol`, a transport, a request and a response: it knows no h11 and no
socket.

Invariants of a connection, wherever its code lives:

1. Only ``_reading``, ``_ending`` and ``_sending`` await on the transport after the opening
   handshake; the protocol is never touched across an ``await``.
2. Bytes leave in the order in which the protocol produced them (pings and pongs may overtake).
3. Every waiter is released on close, with the same close facts.
4. Reading, flushing and keepalive never wait for each other.
5. Background tasks never raise, exist only while needed, and end with their connection.
6. The closing handshake is over when our bytes are flushed and the peer's Close, or the end of
   its stream, was seen; a server hangs up first, a client does not wait for that.
7. Nothing is bounded by trust: every queue, buffer, wait and loop has its limit.
8. A file descriptor number is never kept over an ``await``.
"""

from __future__ import annotations

import math
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, cast

import trio

from trio_ws._close import Close, CloseCode, checked_close
from trio_ws._message_streams import MessageReceiver
from trio_ws._reading import RECEIVER_READ_SIZE
from trio_ws._sending import Sending
from trio_ws._statistics import WebSocketStatistics
from trio_ws.protocol.assembly import IncomingMessage
from trio_ws.protocol.connection import Piece

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from types import TracebackType

    from trio_ws._caretaker import Caretaker
    from trio_ws._reading import ConnectionOptions
    from trio_ws._transport import Spawn, Transport
    from trio_ws.protocol.connection import Protocol
    from trio_ws.protocol.http import Request, Response


class WebSocket(  # pyright: ignore[reportIncompatibleMethodOverride] - send(), by position
    Sending, trio.abc.Channel[str | bytes]
):
    """A WebSocket connection: a channel of messages, `str` for text and `bytes` for binary.

    Made by `open_websocket_url`, `serve_websocket` and their kin, for either role.  Any number of
    tasks may send, one at a time may receive.  Leaving ``async with websocket`` closes it: with
    1000, after an exception with 1011, on cancellation with 1001.
    """

    __slots__ = (
        "__weakref__",
        "context",
        "request",
        "response",
        "subprotocol",
    )

    request: Request
    """The request of the opening handshake."""
    response: Response
    """The response of the opening handshake."""
    subprotocol: str | None
    """The subprotocol agreed on, if any."""
    context: object
    """On a server, what ``process_request`` put into `Accept`; ``None`` otherwise."""

    def __init__(
        self,
        protocol: Protocol,
        transport: Transport,
        *,
        request: Request,
        response: Response,
        subprotocol: str | None,
        context: object,
        options: ConnectionOptions,
        caretaker: Caretaker,
        spawn: Spawn,
    ) -> None:
        super().__init__(protocol, transport, options, caretaker, spawn)
        self.request = request
        self.response = response
        self.subprotocol = subprotocol
        self.context = context
        self._messages_sent = 0
        self._streaming_out: trio.lowlevel.Task | None = None

    def _begin(self, trailing_data: bytes) -> None:
        """Take up service, with the bytes that came behind the opening handshake."""
        self._logger.info("connection opened: %s", self)
        self._transport.watch(self._write_failed)
        self._caretaker.add(self)
        interval = self._options.keepalive.interval
        if interval < math.inf:
            self._caretaker.set_alarm(self, self._last_activity + interval)
        if trailing_data:
            self._digest(trailing_data)
        if self._transport.write_error is not None:  # our answer to the handshake met a reset
            self._write_failed()

    def __repr__(self) -> str:
        state = "closed" if self._closed else self._protocol.state.name.lower()
        return (
            f"<WebSocket {self._protocol.role.name.lower()} {self.request.target!r} "
            f"peer={self.peer_address!r} {state}>"
        )

    # Receiving

    async def receive(self) -> str | bytes:
        """Return the next message: `str` if it is text, `bytes` if it is binary.

        Messages that arrived before the peer closed are returned first.  Cancellation loses
        nothing: a message is either returned or still there.

        Raises:
            ConnectionEnded: the peer closed with 1000, 1001 or no code (a `trio.EndOfChannel`).
            ConnectionBroken: it was closed in another way (a `trio.BrokenResourceError`).
            ClosedLocally: after our own `aclose` (a `trio.ClosedResourceError`).
            trio.BusyResourceError: another task is receiving.
        """
        while True:
            item = await self._receive_item()
            if not isinstance(item, Piece):
                return item
            message = self._join(item)
            if message is not None:
                return message

    def _join(self, piece: Piece) -> str | bytes | None:
        """Return the message that is complete with this piece, ``None`` when it is not yet.

        For a `receive_stream` that was cancelled before it had a piece: the message was begun for
        it, and nothing of it shall be lost.
        """
        limits = self._options.limits
        if self._partial is None:
            self._partial = IncomingMessage.whole(limits)
        message = self._partial.add(piece.data, final=piece.final)
        if self._protocol.streaming:
            self._begin_stream(limits.max_message_size)
        if piece.final or self._over:
            self._partial = None
        return cast("str | bytes | None", message)

    @trio.lowlevel.enable_ki_protection
    def receive_nowait(self) -> str | bytes:
        """Return the next message if it is there already; not a checkpoint.

        On a plain socket this looks for bytes that have arrived; on other streams an understudy
        task is called to read, so that a later call finds what came.

        Raises:
            trio.WouldBlock: there is none yet.
            ConnectionClosed, trio.BusyResourceError: as `receive`.
        """
        if self._receiving or self._streamed_by is not None:
            raise self._busy()
        self._caretaker.watch(self)
        message = None
        while message is None and self._item_nowait():
            item = self._take()
            message = self._join(item) if isinstance(item, Piece) else item
        if message is not None:
            return message
        if self._over:
            raise self._closed_error(receiving=True)
        self._ensure_reader()
        raise trio.WouldBlock

    def _item_nowait(self) -> bool:
        """Tell whether there is something in the inbox, having looked for more if there was not."""
        if not self._queued and not self._over:
            self._fail_held()
            self._read_nowait()
        return self._queued > 0

    def _read_nowait(self) -> None:
        if self._protocol.behind:
            self._go_on()
            return
        try:
            data = self._transport.read_nowait(RECEIVER_READ_SIZE)
        except (trio.BrokenResourceError, trio.ClosedResourceError) as exc:
            self._end(exc)
        else:
            if data is not None:
                self._digest(data)

    @asynccontextmanager
    async def receive_stream(
        self, *, max_size: int | None = None
    ) -> AsyncGenerator[MessageReceiver, None]:
        """Receive the next message in pieces as its bytes arrive: ``async for piece in stream``.

        Entering the block waits for the first piece; cancellation while it waits loses nothing.
        ``limits.max_message_size`` does not apply, for nothing is collected.  Leaving the block
        early skips the rest of the message.

        Args:
            max_size: fail the connection with 1009 when the message is larger, in bytes;
                ``None``: any size.

        Raises:
            ConnectionClosed, trio.BusyResourceError: as `receive`.
        """
        if self._receiving or self._streamed_by is not None:
            raise self._busy()
        receiver = MessageReceiver(self, await self._first_piece(max_size))
        try:
            yield receiver
        finally:
            receiver._close()

    async def _first_piece(self, max_size: int | None) -> Piece:
        if self._protocol.streaming or (not self._queued and not self._over):
            self._begin_stream(max_size)
        if self._partial is not None:
            await trio.lowlevel.checkpoint_if_cancelled()
            partial, self._partial = self._partial, None
            return Piece(partial.take(), final=False)
        try:
            item = await self._receive_item()
        except BaseException:
            self._protocol.end_stream()
            raise
        if isinstance(item, Piece):
            return item
        if max_size is not None and _size(item) > max_size:
            self._empty_inbox()
            self._send_close(Close(CloseCode.MESSAGE_TOO_BIG, "message over the limits"))
            self._transport.flush_soon()
            self._end(None)
            raise self._closed_error(receiving=False)
        return Piece(item, final=True)

    def _begin_stream(self, max_size: int | None) -> None:
        self._handle(self._protocol.begin_stream(max_size))
        self._after_protocol()

    def _skip_streamed(self) -> None:
        """Drop the rest of the message that is streamed, what has come and what will."""
        self._streamed_by = None
        self._caretaker.watch(self)  # there is room in the inbox again
        while self._queued:
            piece = self._take()
            assert isinstance(piece, Piece)
            if piece.final:
                return
        self._protocol.skip_stream()

    async def discard_messages(self) -> None:
        """Receive and drop messages until the connection is closed.

        The sibling of a handler that only sends: without it the peer's messages would fill the
        queue, and its Close would stay behind them.  Returns when `receive` would raise
        `ConnectionEnded`.

        Raises:
            ConnectionClosed, trio.BusyResourceError: as `receive`.
        """
        async for _ in self:
            pass

    # Closing

    @trio.lowlevel.enable_ki_protection
    async def aclose(self, code: int = 1000, reason: str = "") -> None:
        """Close the connection; harmless when it is closed already.

        Flushes what was sent for as long as it moves, sends a Close frame, and waits at most
        ``timeouts.close`` seconds for the peer's.  Messages not received yet are dropped; a task
        in `receive` gets `ClosedLocally`.  When cancelled it does not wait: the Close is tried
        once without blocking, and the stream is closed.

        Args:
            code: 1000 to 1003, 1007 to 1014, or 3000 to 4999.
            reason: at most 123 bytes of UTF-8.

        Raises:
            TypeError, ValueError: this code or reason must not be sent; nothing was.
        """
        close = checked_close(code, reason)
        if self._closed:
            self._forsake_inbox()
            await trio.lowlevel.checkpoint()
        else:
            await self._close_or_abort(close)

    async def wait_closed(self) -> None:
        """Wait until the connection is closed, however that comes about.

        The peer's Close is read in its turn: while the queue of unread messages is full, this
        waits for the application to receive, unless the peer hangs up.
        """
        await trio.lowlevel.checkpoint()
        while not self._closed and not self._hung_up:
            self._ensure_reader()
            await self._wait_closed_event()

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._leave(exc_value)

    # Facts

    @property
    def stream(self) -> trio.abc.Stream:
        """The stream below, to look at; reading, writing or closing it breaks the connection."""
        return self._transport.stream

    @property
    def local_address(self) -> object:
        """The address of our end, as the socket gives it; ``None`` where there is none."""
        return self.request.local_address

    @property
    def peer_address(self) -> object:
        """The address of the peer, as the socket gives it; ``None`` where there is none."""
        return self.request.peer_address

    @property
    def latency(self) -> float | None:
        """The latest round-trip time of a ping, in seconds; ``None`` before the first."""
        return self._latency

    @property
    def close_received(self) -> Close | None:
        """The peer's Close frame, if it came."""
        return self._protocol.close_received

    @property
    def close_sent(self) -> Close | None:
        """Our Close frame, if we sent one."""
        return self._protocol.close_sent

    def statistics(self) -> WebSocketStatistics:
        """Return what the connection has done so far, and what it holds."""
        return WebSocketStatistics(
            messages_sent=self._messages_sent,
            messages_received=self._messages_received,
            bytes_sent=self._bytes_sent,
            bytes_received=self._bytes_received,
            queued_messages=self._queued,
            buffered_bytes=self._transport.pending,
            latency=self._latency,
            last_activity=self._last_activity,
        )


def _size(message: str | bytes) -> int:
    return len(message.encode() if isinstance(message, str) else message)
