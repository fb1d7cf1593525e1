"""`WebSocketConnection`: a `trio_ws.WebSocket` as trio-websocket would have it."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Generator
from contextlib import contextmanager

import trio

from trio_ws import _exceptions as native
from trio_ws._close import MAX_REASON_BYTES, Close, CloseCode
from trio_ws._connection import WebSocket
from trio_ws.compat.trio_websocket._endpoint import Endpoint, endpoint_of
from trio_ws.compat.trio_websocket._errors import (
    CloseReason,
    ConnectionClosed,
    DisconnectionTimeout,
)
from trio_ws.compat.trio_websocket._headers import request_pairs, response_pairs
from trio_ws.compat.trio_websocket._options import CONN_TIMEOUT
from trio_ws.protocol.state import Role

_ABNORMAL = Close(CloseCode.ABNORMAL_CLOSURE)


class WebSocketConnection(trio.abc.AsyncResource):
    """A connection, of either role.

    Made by the functions of this module; unlike trio-websocket's it cannot be made by hand.  Any
    number of tasks may send, and any number may receive: each message goes to one of them, first
    come, first served.  Leaving ``async with connection`` closes it with 1000.
    """

    CONNECTION_ID = itertools.count()
    """The number of the next connection."""

    websocket: WebSocket
    """The `trio_ws.WebSocket` behind it: the way on, one function of a program at a time."""

    def __init__(self, websocket: WebSocket, disconnect_timeout: float = CONN_TIMEOUT) -> None:
        self.websocket = websocket
        self._id = next(self.CONNECTION_ID)
        self._disconnect_timeout = disconnect_timeout
        self._receiver = trio.Lock()

    def __str__(self) -> str:
        return f"{'client' if self.is_client else 'server'}-{self._id}"

    # Facts

    @property
    def closed(self) -> CloseReason | None:
        """Why the connection is closed, or closing; ``None`` while it is open."""
        if self.websocket._open:
            return None
        received, sent = self.websocket.close_received, self.websocket.close_sent
        close = received or sent or _ABNORMAL
        # What the peer echoes need not have our reason in it.
        reason = close.reason or (sent.reason if sent and sent.code == close.code else "")
        return CloseReason(int(close.code), reason or None)

    @property
    def is_client(self) -> bool:
        """Whether this is the client's end."""
        return self.websocket._protocol.role is Role.CLIENT

    @property
    def is_server(self) -> bool:
        """Whether this is the server's end."""
        return not self.is_client

    @property
    def local(self) -> Endpoint | str:
        """Our end, or the repr of the stream where that is no TCP connection."""
        return self._endpoint(self.websocket.local_address)

    @property
    def remote(self) -> Endpoint | str:
        """The peer's end, or the repr of the stream where that is no TCP connection."""
        return self._endpoint(self.websocket.peer_address)

    def _endpoint(self, address: object) -> Endpoint | str:
        secure = self.websocket.request.tls is not None
        return endpoint_of(address, self.websocket.stream, secure=secure)

    @property
    def path(self) -> str:
        """The path asked for, and the query, percent-encoded."""
        return self.websocket.request.target

    @property
    def subprotocol(self) -> str | None:
        """The subprotocol agreed on, if any."""
        return self.websocket.subprotocol

    @property
    def handshake_headers(self) -> tuple[tuple[bytes, bytes], ...]:
        """The headers that the peer has sent, but for those of the handshake; in lower case."""
        if self.is_client:
            return tuple(response_pairs(self.websocket.response.headers))
        return tuple(request_pairs(self.websocket.request.headers))

    # Messages

    @trio.lowlevel.enable_ki_protection
    async def get_message(self) -> str | bytes:
        """Receive the next message: `str` for text, `bytes` for binary.

        Messages that came before the peer closed are returned first.  Cancellation loses nothing.

        Raises:
            ConnectionClosed: the connection was closed.
        """
        try:
            self._receiver.acquire_nowait()
        except trio.WouldBlock:
            await self._receiver.acquire()
        try:
            with self._translated():
                return await self.websocket.receive()
        finally:
            self._receiver.release()

    async def send_message(self, message: str | bytes) -> None:
        """Send a message; wait while the outgoing buffer is full.

        When it is cancelled nothing was sent.

        Raises:
            ValueError: the message is neither `str` nor `bytes`.
            ConnectionClosed: the connection was closed.
        """
        if not isinstance(message, (str, bytes)):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ValueError("message must be str or bytes")  # noqa: TRY004 - theirs
        with self._translated():
            await self.websocket.send(message)
        self._check_open()

    def _check_open(self) -> None:
        """Raise if the network has just refused what was written.

        Otherwise the next call would; a program of trio-websocket expects it of this one.
        """
        if not self.websocket._open:
            raise ConnectionClosed(self.closed) from self.websocket._closed_error(receiving=False)

    # Pings

    async def ping(self, payload: bytes | None = None) -> None:
        """Send a ping and wait for its pong.

        Args:
            payload: at most 125 bytes; by default random ones.

        Raises:
            ValueError: a ping with this payload is on its way already.
            ConnectionClosed: the connection was closed before the pong came.
        """
        with self._translated():
            await self.websocket.ping(payload)

    async def pong(self, payload: bytes | None = None) -> None:
        """Send an unsolicited pong.

        Args:
            payload: at most 125 bytes; by default none.

        Raises:
            ConnectionClosed: the connection was closed.
        """
        with self._translated():
            await self.websocket.pong(payload or b"")

    @contextmanager
    def _translated(self) -> Generator[None]:
        try:
            yield
        except native.ConnectionClosed as exc:
            raise ConnectionClosed(self.closed) from exc

    def _is_own_closing(self, error: BaseException) -> bool:
        """Tell whether this says that this connection is closed, in whichever library's words."""
        fact = error.__cause__ if isinstance(error, ConnectionClosed) else error
        return isinstance(fact, native.ConnectionClosed) and self.websocket._owns(fact)

    # Closing

    async def aclose(self, code: int = 1000, reason: str | None = None) -> None:
        """Close the connection; harmless when it is closed already.

        Waits for the peer's Close, but no longer than ``disconnect_timeout`` seconds, or 60 where
        there is no such parameter.  When cancelled it does not wait, and the connection is closed;
        if there is an exception on its way, it is that which goes on, not `trio.Cancelled`.

        Args:
            code: 1000 to 1003, 1007 to 1014, or 3000 to 4999.
            reason: cut at 123 bytes of UTF-8.

        Raises:
            TypeError, ValueError: this code must not be sent; nothing was.
        """
        raising = sys.exc_info()[1] is not None
        text = (reason or "").encode()[:MAX_REASON_BYTES].decode(errors="ignore")
        try:
            await self.websocket.aclose(code, text)
        except trio.Cancelled:
            if not raising:
                raise

    async def _leave(self, error: BaseException | None) -> None:
        """Close as the end of a block, or of a handler, demands; see `WebSocket._leave`.

        Raises:
            DisconnectionTimeout: it took too long, and there is no other exception to hear of.
        """
        if error is not None and not isinstance(error, Exception):
            await self.websocket._leave(error)  # cancelled: 1001, and a second at most
            return
        with trio.move_on_after(self._disconnect_timeout) as limit:
            await self.websocket.aclose()
        if limit.cancelled_caught and error is None:
            raise DisconnectionTimeout
