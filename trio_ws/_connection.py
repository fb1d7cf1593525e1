"""`WebSocket`: a connection as a `trio.abc.Channel` of messages, one class for both roles.

Lives here: what the application calls to close and to look.  Who reads is in ``_reading``, how it
ends in ``_ending``, what is received in ``_receiving``, what is sent in ``_sending``.
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

import inspect
import math
from types import FunctionType
from typing import TYPE_CHECKING, NoReturn

import trio

from trio_ws._close import Close, checked_close
from trio_ws._other_names import names_elsewhere
from trio_ws._receiving import Receiving
from trio_ws._sending import Sending
from trio_ws._statistics import WebSocketStatistics

if TYPE_CHECKING:
    from types import TracebackType

    from trio_ws._caretaker import Caretaker
    from trio_ws._options import Deflate
    from trio_ws._reading import ConnectionOptions
    from trio_ws._transport import Spawn, Transport
    from trio_ws.protocol.connection import Protocol
    from trio_ws.protocol.http import Request, Response


# In warnings ("was never awaited") and errors they are to have the name that users know.
for _half in (Receiving, Sending):
    for _name, _method in vars(_half).items():
        if isinstance(_method, FunctionType) and not _name.startswith("_"):
            _method.__qualname__ = f"WebSocket.{_name}"
            inspect.unwrap(_method).__qualname__ = _method.__qualname__


@names_elsewhere
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

    def _begin(self, trailing_data: bytes) -> None:
        """Take up service, with the bytes that came behind the opening handshake."""
        self._transport.watch(self._write_failed)
        self._caretaker.add(self)
        interval = self._options.keepalive.interval
        if interval < math.inf:
            self._caretaker.set_alarm(self, self._last_activity + interval)
        self._note_opened()
        if trailing_data:
            self._digest(trailing_data, self._last_activity)
        if self._transport.write_error is not None:  # our answer to the handshake met a reset
            self._write_failed()

    def _note_opened(self) -> None:
        self._logger.info("connection opened: %s", self)

    def __repr__(self) -> str:
        state = "closed" if self._closed else self._protocol.state.name.lower()
        return (
            f"<WebSocket {self._protocol.role.name.lower()} {self.request.target!r} "
            f"peer={self.peer_address!r} {state}>"
        )

    if not TYPE_CHECKING:  # there it is an error that these are missing

        def __iter__(self) -> NoReturn:
            raise TypeError("a WebSocket is iterated over by `async for message in websocket:`")

        def __enter__(self) -> NoReturn:
            raise TypeError("a WebSocket is entered by `async with`, not by `with`")

        __exit__ = None  # with looks for it before it enters

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
        waits for the application to receive, unless the peer hangs up.  It says nothing of how it
        was closed, and changes nothing, also when it is cancelled.
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
        """The stream below, to look at; reading, writing or closing it breaks the connection.

        With TLS it is a `TLSStream`, or a `trio.SSLStream` where TLS runs over no plain socket.
        """
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
    def compression(self) -> Deflate | None:
        """What was agreed on about compression, ``None`` when nothing is compressed.

        Of our wishes, the option ``compression``, it has the windows and takeovers that hold.
        """
        return self._protocol.compression

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
            queued_messages=len(self._items),
            buffered_bytes=self._transport.pending,
            latency=self._latency,
            last_activity=self._last_activity,
        )
