"""One message in pieces: sent in fragments, or received as its bytes arrive.

`WebSocket.send_stream` and `WebSocket.receive_stream` hand these out; each is good for one
message, inside its block.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from trio_ws.protocol.connection import Piece

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from trio_ws._receiving import Receiving
    from trio_ws._sending import Sending


class MessageSender:
    """One message on its way out, fragment by fragment."""

    __slots__ = ("_begun", "_open", "_text", "_websocket")

    def __init__(self, websocket: Sending, *, text: bool) -> None:
        self._websocket = websocket
        self._text = text
        self._begun = False
        self._open = True

    @trio.lowlevel.enable_ki_protection
    async def send(self, part: str | Buffer) -> None:
        """Send the next part of the message as one fragment (RFC 6455 section 5.4).

        A part of a text message is a `str`, or UTF-8 bytes that end at a character.  Returns when
        the part is committed; when it raises `trio.Cancelled`, the part was not sent.

        Raises:
            TypeError, ValueError: the part is of the wrong type, or no UTF-8; nothing was sent.
            trio.ClosedResourceError: the block of `WebSocket.send_stream` was left.
            ConnectionClosed: the connection was closed before the message was complete.
        """
        if not self._open:
            raise trio.ClosedResourceError("the send_stream() block of this message was left")
        await self._websocket._send_fragment(part, text=self._text, final=False)
        self._begun = True

    async def _complete(self) -> None:
        await self._websocket._send_fragment("" if self._text else b"", text=self._text, final=True)


class MessageReceiver(trio.abc.ReceiveChannel[str | bytes]):
    """One message on its way in, piece by piece; text is cut at characters."""

    __slots__ = ("_closed", "_first", "_websocket", "text")

    text: bool
    """Whether it is a text message: its pieces are then `str`, otherwise `bytes`."""

    def __init__(self, websocket: Receiving, first: Piece) -> None:
        self._websocket = websocket
        self._first: Piece | None = first
        self._closed = False
        self.text = isinstance(first.data, str)
        if not first.final:
            websocket._streamed_by = self

    @trio.lowlevel.enable_ki_protection
    async def receive(self) -> str | bytes:
        """Return the next piece, as large as it happened to arrive.

        Cancellation loses nothing.

        Raises:
            trio.EndOfChannel: the message is complete.
            trio.ClosedResourceError: the block of `WebSocket.receive_stream` was left.
            ConnectionBroken, ClosedLocally: the connection was closed before the message was
                complete.
            trio.BusyResourceError: another task is receiving.
        """
        if self._closed:
            raise trio.ClosedResourceError("the receive_stream() block of this message was left")
        websocket = self._websocket
        if self._first is not None:
            await trio.lowlevel.checkpoint_if_cancelled()
            piece, self._first = self._first, None
            return piece.data
        if websocket._streamed_by is not self:
            await trio.lowlevel.checkpoint()
            raise trio.EndOfChannel
        item = await websocket._receive_item(by=self)
        assert isinstance(item, Piece)
        if item.final:
            websocket._streamed_by = None
        return item.data

    @trio.lowlevel.enable_ki_protection
    async def aclose(self) -> None:
        """Skip the rest of the message, without waiting for it; also when cancelled."""
        self._close()
        await trio.lowlevel.checkpoint()

    def _close(self) -> None:
        self._closed = True
        self._first = None
        if self._websocket._streamed_by is self:
            self._websocket._skip_streamed()
