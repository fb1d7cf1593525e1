"""The sending half of a WebSocket: messages, fragments, pings and pongs on their way out.

Lives here: the point of commitment.  Whatever has to be waited for, cancellation included, comes
before it; behind it nothing raises `trio.Cancelled` any more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from trio_ws._async_block import async_block
from trio_ws._close import Close
from trio_ws._message_streams import MessageSender
from trio_ws._pace import PACE, checkpoint as paced_checkpoint
from trio_ws._pings import Pings, SentPing
from trio_ws._receiving import Receiving
from trio_ws.protocol.arguments import checked_control_payload, checked_payload
from trio_ws.protocol.state import State

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from typing_extensions import Buffer

    from trio_ws._caretaker import Caretaker
    from trio_ws._reading import ConnectionOptions
    from trio_ws._transport import Spawn, Transport
    from trio_ws.protocol.connection import Protocol
    from trio_ws.protocol.prepared import PreparedMessage


# A member of an enumeration takes a while to look up.
_OPEN = State.OPEN

# In bytes.  From here on it takes longer to copy a payload than to spare the copy; measured.
LARGE_PAYLOAD = 32 * 1024


class Sending(Receiving):
    """The half of a `WebSocket` that sends."""

    __slots__ = ("_messages_sent", "_streaming_out")

    def __init__(
        self,
        protocol: Protocol,
        transport: Transport,
        options: ConnectionOptions,
        caretaker: Caretaker,
        spawn: Spawn,
    ) -> None:
        super().__init__(protocol, transport, options, caretaker, spawn)
        self._messages_sent = 0
        self._streaming_out: trio.lowlevel.Task | None = None  # who has a send_stream open

    @trio.lowlevel.enable_ki_protection
    async def send(self, message: str | Buffer, *, text: bool | None = None) -> None:
        """Send a message: `str` as text, bytes-like as binary.

        Waits while the outgoing buffer is full (``limits.max_buffered_bytes``), senders being
        served in the order in which they came.  When it returns, the message is committed: the
        peer gets it whole and in order, or the connection is lost.  When it raises, also
        `trio.Cancelled`, nothing of the message was sent and the connection is as it was.

        Args:
            message: the whole message.
            text: ``True`` sends UTF-8 bytes as a text message; ``None`` goes by the type.

        Raises:
            TypeError, ValueError: the message is of another type, or no UTF-8.
            ConnectionClosed: the connection was closed, see `ConnectionBroken` and
                `ClosedLocally`.
            RuntimeError: this very task has a `send_stream` open.
        """
        payload, is_text = checked_payload(message, text=text)
        others_are_due = PACE.due()
        if self._transport.crowded or others_are_due:
            await self._send_in_turn(payload, text=is_text, others_first=others_are_due)
        else:
            await trio.lowlevel.checkpoint_if_cancelled()
            self._commit(payload, text=is_text)

    async def _send_in_turn(self, payload: bytes, *, text: bool, others_first: bool) -> None:
        if self._transport.turn_taken:
            self._check_not_streaming()
        elif others_first:
            await trio.lowlevel.checkpoint()
            PACE.restart()
        await self._transport.wait_room()
        try:
            self._commit(payload, text=text)
        finally:
            self._transport.release()

    def _check_not_streaming(self) -> None:
        if self._streaming_out is trio.lowlevel.current_task():
            raise RuntimeError(
                "leave the send_stream() block before sending another message; inside it, send"
                " parts by `await stream.send(...)`"
            )

    def _commit(self, payload: bytes, *, text: bool) -> None:
        # From here on nothing raises Cancelled: the message is sent, or it is not.
        protocol = self._protocol
        if protocol.state is not _OPEN or self._hung_up:
            raise self._closed_error(receiving=False)
        if len(payload) >= LARGE_PAYLOAD and self._write_large(payload, text=text):
            return
        self._write_message(protocol.send_payload(payload, text=text))

    def _write_large(self, payload: bytes, *, text: bool) -> bool:
        """Write a message without copying its payload; tell whether that could be done."""
        header = self._protocol.send_header(len(payload), text=text)
        if header is None:
            return False
        self._transport.write_with_header(header, payload)
        self._messages_sent += 1
        self._bytes_sent += len(header) + len(payload)
        return True

    def _write_message(self, frame: bytes) -> None:
        self._transport.write(frame)
        self._messages_sent += 1
        self._bytes_sent += len(frame)

    def _send_prepared(self, message: PreparedMessage) -> bool:
        """Commit a message if that means no waiting, and tell whether it was; to an open one."""
        if self._transport.crowded:
            return False
        self._write_message(self._protocol.send_prepared(message))
        return True

    def _check_writable(self) -> None:
        if not self._open:
            raise self._closed_error(receiving=False)

    @trio.lowlevel.enable_ki_protection
    def send_nowait(self, message: str | Buffer, *, text: bool | None = None) -> None:
        """Send a message, or fail at once if that would mean to wait.

        Like `send` otherwise; not a checkpoint.

        Raises:
            trio.WouldBlock: the outgoing buffer is full, other senders wait, or a `send_stream`
                is open; nothing was sent.
            TypeError, ValueError, ConnectionClosed: as `send`.
        """
        payload, is_text = checked_payload(message, text=text)
        self._check_writable()
        if self._transport.crowded:
            raise trio.WouldBlock
        self._commit(payload, text=is_text)

    @async_block("stream")
    @trio.lowlevel.enable_ki_protection  # the block has its own frame
    async def send_stream(self, *, text: bool) -> AsyncGenerator[MessageSender, None]:
        """Send one message in fragments: ``await stream.send(part)`` inside the block.

        Other senders wait until the block is left; pings, pongs and the close do not.  Leaving it
        normally completes the message.  Leaving it by an exception or cancellation once a part
        was sent closes the connection with 1011, for a peer cannot be told to forget half a
        message.

        Args:
            text: whether it is a text message, of `str`, or a binary one, of bytes-like parts.

        Raises:
            ConnectionClosed: the connection was closed before the message was complete.
        """
        self._check_not_streaming()
        await self._transport.wait_room()
        sender = MessageSender(self, text=text)
        self._streaming_out = trio.lowlevel.current_task()
        try:
            self._check_writable()
            yield sender
            await sender._complete()
        except BaseException:
            if sender._begun and self._open:
                self._close_without_waiting(Close(1011, "message not completed"))
            raise
        finally:
            sender._open = False
            self._streaming_out = None
            self._transport.release()

    @trio.lowlevel.enable_ki_protection
    async def _send_fragment(self, part: str | Buffer, *, text: bool, final: bool) -> None:
        await paced_checkpoint()
        await self._transport.wait_room_in_turn()
        self._check_writable()
        frame = self._protocol.send_fragment(part, text=text, final=final)
        self._transport.write(frame)
        self._messages_sent += final
        self._bytes_sent += len(frame)

    # Pings

    @trio.lowlevel.enable_ki_protection
    async def ping(self, payload: Buffer | None = None) -> float:
        """Send a ping, wait for its pong and return the round-trip time in seconds.

        The pong is read in its turn: while the queue of unread messages is full, this waits for
        the application to receive.  No more than 16 pings are on their way at once, further ones
        wait.  Cancellation gives the ping up and harms nothing.

        Args:
            payload: what the peer is to send back, at most 125 bytes; by default a random one.

        Raises:
            TypeError, ValueError: the payload is no bytes-like object, too long, or on its way.
            ConnectionClosed: the connection was closed before the pong came.
        """
        if self._pings is None:
            self._pings = Pings()
        pings = self._pings
        data = pings.new_payload() if payload is None else checked_control_payload(payload)
        await paced_checkpoint()
        while pings.full and not self._over and not self._hung_up:
            await pings.wait_room()
        self._check_writable()
        if data in pings:
            raise ValueError(f"a ping with this payload is on its way already: {data!r}")
        frame = self._protocol.ping(data)
        ping = SentPing(trio.current_time(), trio.Event())
        pings.add(data, ping)
        self._transport.write_ping(frame)
        self._transport.flush_soon()
        self._bytes_sent += len(frame)
        return await self._wait_for_pong(data, ping)

    async def _wait_for_pong(self, payload: bytes, ping: SentPing) -> float:
        assert ping.done is not None
        assert self._pings is not None
        self._peer_awaited += 1
        self._ensure_reader()
        try:
            await ping.done.wait()
        finally:
            self._peer_awaited -= 1
            if ping.round_trip is None:  # or else the payload may be on its way again
                self._pings.forget(payload)
        if ping.round_trip is None:
            raise self._closed_error(receiving=False)
        return ping.round_trip

    @trio.lowlevel.enable_ki_protection
    async def pong(self, payload: Buffer = b"") -> None:
        """Send an unsolicited pong, a one-way heartbeat (RFC 6455 section 5.5.3).

        Pings are answered without this.  It never waits for room; when cancelled, it has sent
        nothing.

        Args:
            payload: at most 125 bytes.

        Raises:
            TypeError, ValueError: the payload is no bytes-like object, or too long.
            ConnectionClosed: the connection was closed.
        """
        await paced_checkpoint()
        self._check_writable()
        frame = self._protocol.pong(payload)
        self._transport.write_pongs([frame])
        self._transport.flush_soon()
        self._bytes_sent += len(frame)
