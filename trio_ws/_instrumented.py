"""A `WebSocket` that tells instruments what happens to it.

It is a class of its own, chosen when a connection is made, so that without instruments not one
instruction is spent on them.  Here every message has to come by, whichever way it takes: all that
is sent is committed in one of three methods, and all that is received gets into the inbox.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from trio_ws._connection import WebSocket
from trio_ws._exceptions import ConnectionClosed
from trio_ws._receiving import size_in_bytes
from trio_ws.protocol.connection import Piece

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from trio_ws._instrument import Instruments
    from trio_ws.protocol.prepared import PreparedMessage


class InstrumentedWebSocket(WebSocket):
    """A `WebSocket` whose ``options.instruments`` are told."""

    __slots__ = ("_opened_at", "_size_received", "_size_sent")

    _opened_at: float
    _size_received: int  # of the message that arrives in pieces, in bytes, as far as it has
    _size_sent: int  # of the message that is sent in fragments

    @property
    def _instruments(self) -> Instruments:
        return self._options.instruments

    # Beginning and end

    def _note_opened(self) -> None:
        super()._note_opened()
        self._opened_at = trio.current_time()
        self._size_received = self._size_sent = 0
        self._instruments.tell(lambda each: each.accepted(self.request, self.response))
        self._instruments.tell(lambda each: each.opened(self))

    def _note_closed(self) -> None:
        if not self._closed:
            super()._note_closed()
            # Not one of its kinds: those say who is to blame, which depends on who asks.
            end = ConnectionClosed(self.close_received, self.close_sent)
            end.__cause__ = self._cause
            duration = trio.current_time() - self._opened_at
            self._instruments.tell(lambda each: each.closed(self, end, duration))

    # Messages out

    def _commit(self, payload: bytes, *, text: bool) -> None:
        super()._commit(payload, text=text)
        self._tell_sent(len(payload), text=text)

    def _send_prepared(self, message: PreparedMessage) -> bool:
        sent = super()._send_prepared(message)
        if sent:
            self._tell_sent(len(message.payload), text=message.text)
        return sent

    @trio.lowlevel.enable_ki_protection
    async def _send_fragment(self, part: str | Buffer, *, text: bool, final: bool) -> None:
        await super()._send_fragment(part, text=text, final=final)
        self._size_sent += size_in_bytes(part)
        if final:
            size, self._size_sent = self._size_sent, 0
            self._tell_sent(size, text=text)

    def _tell_sent(self, size: int, *, text: bool) -> None:
        self._instruments.tell(lambda each: each.message_sent(self, size, text=text))

    # Messages in

    def _put_all(self, items: list[str | bytes | Piece]) -> None:
        for item in items:  # before: the list is the inbox's afterwards
            if isinstance(item, Piece):
                self._note_piece(item)
            else:
                self._tell_received(size_in_bytes(item), text=isinstance(item, str))
        super()._put_all(items)

    def _note_piece(self, piece: Piece) -> None:
        self._size_received += size_in_bytes(piece.data)
        if piece.final:
            size, self._size_received = self._size_received, 0
            self._tell_received(size, text=isinstance(piece.data, str))

    def _skip_streamed(self) -> None:
        super()._skip_streamed()
        self._size_received = 0  # nothing more is heard of that message

    def _tell_received(self, size: int, *, text: bool) -> None:
        self._instruments.tell(lambda each: each.message_received(self, size, text=text))

    # Pings

    def _note_latency(self, seconds: float) -> None:
        super()._note_latency(seconds)
        self._instruments.tell(lambda each: each.ping_answered(self, seconds))


def websocket_class(instruments: Instruments) -> type[WebSocket]:
    """Return what to make a connection of that has these instruments, or none."""
    return InstrumentedWebSocket if instruments else WebSocket
