"""Frames and the closing handshake, without I/O: bytes to messages and messages to bytes.

Lives here: `Protocol`, one end of an open connection, as its user sees it; how bytes are parsed is
in ``receiving``, how they are made in ``sending``.  Here must never live: I/O, clocks, tasks, the
opening handshake.

Invariants: a peer never makes a method raise; it can only fail the connection.  Once failed,
closed or at the end of the stream nothing is parsed, kept or sent any more.  State changes go
along `trio_ws.protocol.state.TRANSITIONS`, by `Protocol._move_to` alone.
"""

from __future__ import annotations

from trio_ws._close import CloseCode
from trio_ws._options import Deflate, Limits
from trio_ws.protocol.assembly import Delivery, IncomingMessage
from trio_ws.protocol.events import Event, Piece, Ping, Pong
from trio_ws.protocol.inflating import Inflating
from trio_ws.protocol.state import Role, State

__all__ = ["Event", "Piece", "Ping", "Pong", "Protocol"]

# Immutable, and one for all.
_DEFAULT_LIMITS = Limits()


class Protocol(Inflating):
    """One end of an open WebSocket connection, sans I/O.

    Bytes that were read go into `receive_data`, which returns what they mean; afterwards
    `data_to_send` has what the peer is owed for them.  All other methods that make bytes return
    them, to be written in the order in which they were made; until they are called nothing of
    theirs is in `data_to_send`.

    Args:
        role: which end this is.
        limits: of these ``max_message_size`` and ``max_fragments`` apply here.
        compression: what the opening handshake agreed on (its ``compression``).
    """

    # An idle connection is this object and nothing else: all that is big is made when needed.
    __slots__ = ()

    def __init__(
        self,
        role: Role,
        limits: Limits = _DEFAULT_LIMITS,
        compression: Deflate | None = None,
    ) -> None:
        super().__init__(role, limits, compression)

    @property
    def message_in_progress(self) -> bool:
        """Whether a message has begun to arrive and is not complete."""
        return self._message is not None or self.held

    @property
    def streaming(self) -> bool:
        """Whether the message in progress, or else the next one, comes as `Piece` events."""
        message = self._next_message or self._message
        return message is not None and message.delivery is Delivery.STREAMED

    # Receiving

    def receive_data(self, data: bytes | bytearray | None) -> list[Event]:
        """Take bytes that were read, in any cutting, and return what they mean.

        Never raises because of what the peer sent.  A violation fails the connection (RFC 6455
        section 7.1.7): what came before it is returned, a Close with the right code is in
        `data_to_send`, the state is CLOSED, and what follows is dropped; with ``defer_violations``
        that is left to the next call if there is something to return.  After our `close` messages
        are returned still, but pings are not answered.

        Args:
            data: what was read; ``None`` at the end of the stream.
        """
        if self.state is State.CLOSED:
            return []
        if data is None:
            self._end()
            return []
        if self._violation is not None:
            self._fail(*self._violation)
            return []
        if self.held and not self.defer_oversized:
            self.fail_held()
            return []
        if self._unparsed:
            data, self._unparsed = self._unparsed + data, b""
        if self.held:
            self._unparsed = bytes(data)
            return []
        return self._parse(bytes(data))

    def data_to_send(self) -> bytes:
        """Return what the peer is owed, and forget it.

        That is pongs in the order of their pings (RFC 6455 section 5.5.2), but for those that
        `pongs_to_send` returned, and behind them the Close that answers the peer's or fails the
        connection.
        """
        data = self._owed_close
        self._owed_close = b""
        if self._owed_pongs is not None:
            data = b"".join(self.pongs_to_send()) + data
        return data

    def pongs_to_send(self) -> list[bytes]:
        """Return the pongs alone, each a frame, oldest first, and forget them.

        "If an endpoint receives a Ping frame and has not yet sent Pong frame(s) in response to
        previous Ping frame(s), the endpoint MAY elect to send a Pong frame for only the most
        recently processed Ping frame."  (RFC 6455 section 5.5.3)
        """
        pongs, self._owed_pongs = self._owed_pongs, None
        return pongs or []

    def fail_held(self) -> None:
        """Fail the connection with 1009 because nobody wants the message that is held."""
        if self.held:
            limits = self._limits
            over = f"over max_message_size ({limits.max_message_size})"
            over += f" or max_fragments ({limits.max_fragments})"
            self._fail(CloseCode.MESSAGE_TOO_BIG, over)

    # Streaming

    def begin_stream(self, max_size: int | None) -> list[Event]:
        """Have the message in progress, or else the next one, in pieces as its bytes arrive.

        Returns what is there already: what was collected of it, and what was held behind it.
        After its last piece, the one that is ``final``, messages are whole again.  While one is
        streamed already, only the limit changes.

        Args:
            max_size: the connection is failed with 1009 when the message is larger, in bytes;
                ``None``: any size.  Other limits do not apply, for nothing is stored.
        """
        if self.state is State.CLOSED:
            return []
        events: list[Event] = []
        message = self._message
        if message is None or message.delivery is Delivery.SKIPPED:
            self._next_message = IncomingMessage.streamed(max_size)
        else:
            too_large = message.stream(max_size)
            if too_large is not None:
                self._fail(CloseCode.MESSAGE_TOO_BIG, too_large)
                return []
            collected = message.take()
            if self._payload is not None:
                collected = self._payload.divide() or collected
            if collected:
                events.append(Piece(collected, final=False))
        if self.held:
            self.held = False
            unparsed, self._unparsed = self._unparsed, b""
            events += self._parse(unparsed)
        return events

    def skip_stream(self) -> None:
        """Drop the rest of the streamed message as it arrives; harmless when none is streamed.

        It stays within the limit of its stream.  If it has not begun, this is `end_stream`.
        """
        self._next_message = None
        if self._message is not None and self._message.delivery is Delivery.STREAMED:
            self._message.delivery = Delivery.SKIPPED

    def end_stream(self) -> bool:
        """Take `begin_stream` back if its message has not begun, and tell whether that was so.

        If it has, its pieces keep coming, up to its end or `skip_stream`.
        """
        taken_back = self._next_message is not None
        self._next_message = None
        return taken_back
