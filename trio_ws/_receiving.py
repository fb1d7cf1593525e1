"""The receiving half of a WebSocket: messages, whole or in pieces, on their way in.

Lives here: the receiver's side of the reading role (``_reading``).  Invariant: there is no
checkpoint after an item was taken from the inbox, so that cancellation loses nothing.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, cast

import trio

from trio_ws._async_block import async_block
from trio_ws._close import Close, CloseCode
from trio_ws._ending import Ending
from trio_ws._exceptions import ConnectionEnded
from trio_ws._message_streams import MessageReceiver
from trio_ws._pace import PACE, checkpoint as paced_checkpoint
from trio_ws._reading import RECEIVER_READ_SIZE
from trio_ws.protocol.assembly import IncomingMessage
from trio_ws.protocol.connection import Piece

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Coroutine

    from typing_extensions import Buffer


class Receiving(Ending):
    """The half of a `WebSocket` that receives."""

    __slots__ = ()

    @trio.lowlevel.enable_ki_protection
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
        return await self._receive(iterating=False)

    def __anext__(self) -> Coroutine[object, object, str | bytes]:
        return self._receive(iterating=True)  # no coroutine of its own around it

    @trio.lowlevel.enable_ki_protection
    async def _receive(self, *, iterating: bool) -> str | bytes:
        items = self._items
        # Most messages of a busy peer wait here when they are asked for.  Written out, because
        # calls took a third of the time of a small message.
        if items and self._streamed_by is None and not self._receiving and not PACE.due():
            message = items[-1]
            if not isinstance(message, Piece):
                await trio.lowlevel.checkpoint_if_cancelled()
                del items[-1]
                if self._peer_awaited or not self._watched:
                    self._note_left()
                return message
        try:
            while True:
                item = await self._receive_item()
                if not isinstance(item, Piece):
                    return item
                joined = self._join(item)
                if joined is not None:
                    return joined
        except ConnectionEnded:
            if iterating:
                raise StopAsyncIteration from None
            raise

    def _note_left(self) -> None:
        """Note that the application has what it came for, and may be away for long."""
        if self._watched:
            self._left_at = self._caretaker.ticks
        else:
            self._caretaker.watch(self)
        if self._peer_awaited:
            self._ensure_reader()

    @trio.lowlevel.enable_ki_protection
    async def _receive_item(self, by: object | None = None) -> str | bytes | Piece:
        """Return the next message, or piece while one is streamed."""
        if self._receiving or self._streamed_by is not by:
            raise self._busy()
        self._receiving = True
        try:
            if self._items:
                await paced_checkpoint()
            while not self._items:
                if self._over or self._understudy is not None or self._protocol.held:
                    await self._get_ready_to_read()
                else:
                    await self._read(RECEIVER_READ_SIZE)
            return self._items.pop()
        finally:
            self._receiving = False
            self._note_left()

    def _busy(self) -> trio.BusyResourceError:
        if self._receiving:
            return trio.BusyResourceError(
                "another task is already receiving from this WebSocket: let one task receive, and"
                " pass the messages on by a memory channel"
            )
        return trio.BusyResourceError(
            "a receive_stream() is open, and its message comes first: receive from that, or leave"
            " its block"
        )

    async def _get_ready_to_read(self) -> None:
        self._fail_held()
        if self._over:
            await trio.lowlevel.checkpoint()
            await self._finish_if_quick()
            # A message that was cut off must not look like one that is complete.
            raise self._closed_error(receiving=self._streamed_by is None)
        await self._take_role_back()

    async def _take_role_back(self) -> None:
        await trio.lowlevel.checkpoint_if_cancelled()  # whoever leaves at once needs no role
        assert self._understudy is not None
        self._understudy.cancel()
        if self._role_freed is None:
            self._role_freed = trio.Event()
        await self._role_freed.wait()

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

    # Without waiting

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
            item = self._items.pop()
            message = self._join(item) if isinstance(item, Piece) else item
        if message is not None:
            return message
        if self._over:
            raise self._closed_error(receiving=True)
        self._ensure_reader()
        raise trio.WouldBlock

    def _item_nowait(self) -> bool:
        """Tell whether there is something in the inbox, having looked for more if there was not."""
        if not self._items and not self._over:
            self._fail_held()
            self._read_nowait()
        return bool(self._items)

    def _read_nowait(self) -> None:
        if self._protocol.behind:
            self._parse(b"")
            return
        try:
            data = self._transport.read_nowait(RECEIVER_READ_SIZE)
        except (trio.BrokenResourceError, trio.ClosedResourceError) as exc:
            self._end(exc)
        else:
            if data is not None:
                self._digest(data, trio.current_time())

    # In pieces

    @async_block("stream")
    @trio.lowlevel.enable_ki_protection  # the block has its own frame
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
        if self._protocol.streaming or (not self._items and not self._over):
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
        if max_size is not None and size_in_bytes(item) > max_size:
            self._empty_inbox()
            self._send_close(Close(CloseCode.MESSAGE_TOO_BIG, "message over max_size"))
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
        while self._items:
            piece = self._items.pop()
            assert isinstance(piece, Piece)
            if piece.final:
                return
        self._protocol.skip_stream()

    async def discard_messages(self) -> None:
        """Receive and drop messages until the connection is closed.

        The sibling of a handler that only sends: without it the peer's messages would fill the
        queue, and its Close would stay behind them.  Returns when `receive` would raise
        `ConnectionEnded`.  When cancelled, it has dropped what had come until then.

        Raises:
            ConnectionClosed, trio.BusyResourceError: as `receive`.
        """
        with suppress(ConnectionEnded):
            while True:
                await self.receive()


def size_in_bytes(data: str | Buffer) -> int:
    """Return the size of a message, or of a part of one, in bytes; of text, of its UTF-8."""
    if isinstance(data, str):
        return len(data) if data.isascii() else len(str.encode(data))
    return memoryview(data).nbytes
