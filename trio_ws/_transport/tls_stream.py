"""TLS over a socket, as a stream: how it is begun, and what `WebSocket.stream` shows of it.

The opening handshake of WebSocket goes through this stream; then `TLSTransport` takes over its
records and its socket.
"""

from __future__ import annotations

import os
import ssl
from contextlib import suppress
from typing import TYPE_CHECKING, Literal, overload

import trio

from trio_ws._transport.outbox import CHUNK_SIZE
from trio_ws._transport.records import RECORD_SIZE, Records

if TYPE_CHECKING:
    from typing import Any


class TLSStream(trio.abc.Stream):
    """TLS over a TCP or Unix socket: `WebSocket.stream` of a ``wss`` connection.

    It is there to be asked; the questions are those of `ssl.SSLObject`.  Streams that are no plain
    sockets have a `trio.SSLStream` instead, which can be asked the same.
    """

    __slots__ = ("_half_sent", "_records", "_turn", "transport_stream")

    def __init__(
        self,
        stream: trio.SocketStream,
        ssl_context: ssl.SSLContext,
        *,
        server_side: bool,
        server_hostname: str | None,
    ) -> None:
        self.transport_stream: trio.SocketStream = stream
        """The stream below."""
        self._records: Records = Records(
            ssl_context, server_side=server_side, server_hostname=server_hostname
        )
        self._turn = trio.Lock()  # of whoever sends records: they must leave as they were made
        self._half_sent = False

    # What was negotiated

    def cipher(self) -> tuple[str, str, int] | None:
        """Return the cipher: its name, its protocol and its secret bits."""
        return self._records.object.cipher()

    @overload
    def getpeercert(
        self, binary_form: Literal[False] = ...
    ) -> dict[str, Any] | None: ...  # pragma: no cover - types

    @overload
    def getpeercert(
        self, binary_form: Literal[True]
    ) -> bytes | None: ...  # pragma: no cover - types

    def getpeercert(
        self,
        binary_form: bool = False,  # noqa: FBT001, FBT002 - as in ssl
    ) -> dict[str, Any] | bytes | None:
        """Return the peer's certificate, if it has shown one; as DER bytes if so wished."""
        return self._records.object.getpeercert(binary_form)

    def get_channel_binding(self, cb_type: str = "tls-unique") -> bytes | None:
        """Return what authentication can be bound to (RFC 5929)."""
        return self._records.object.get_channel_binding(cb_type)

    def selected_alpn_protocol(self) -> str | None:
        """Return the protocol that ALPN chose, if it was used."""
        return self._records.object.selected_alpn_protocol()

    def version(self) -> str | None:
        """Return the version of TLS, such as ``"TLSv1.3"``."""
        return self._records.object.version()

    # The stream

    async def do_handshake(self) -> None:
        """Make the TLS handshake; that of a WebSocket's stream is made.

        Raises:
            trio.BrokenResourceError: it failed; ``__cause__`` is the `ssl.SSLError`.
        """
        records = self._records
        try:
            while not records.shake_hands():
                await self._send_owed()
                records.feed(await self.transport_stream.receive_some(RECORD_SIZE))
        except ssl.SSLError as exc:
            raise self._broken(exc) from exc
        if records.owes:
            await self._send_owed()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """Return decrypted bytes, ``b""`` at the end of the stream."""
        records = self._records
        await trio.lowlevel.checkpoint()
        data = self._open(max_bytes)  # what came together with the end of the handshake, too
        while data is None:
            if records.owes:
                await self._send_owed()
            records.feed(await self.transport_stream.receive_some(CHUNK_SIZE))
            data = self._open(max_bytes)
        return data

    def _open(self, max_bytes: int | None) -> bytes | None:
        try:
            return self._records.open(max_bytes or CHUNK_SIZE)
        except ssl.SSLError as exc:
            raise self._broken(exc) from exc

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Encrypt data and send it.

        Raises:
            trio.BrokenResourceError: the stream broke, or an earlier call was cancelled.
        """
        view = memoryview(data)
        async with self._turn:
            for at in range(0, len(view), CHUNK_SIZE):
                await self._send_records(self._seal(view[at : at + CHUNK_SIZE]))

    def _seal(self, data: memoryview) -> bytes:
        try:
            return self._records.seal(data)
        except ssl.SSLError as exc:
            raise self._broken(exc) from exc

    async def _send_owed(self) -> None:
        async with self._turn:
            await self._send_records(self._records.take())

    async def _send_records(self, sealed: bytes) -> None:
        if self._half_sent:
            raise trio.BrokenResourceError("an earlier call was cut short in the midst of a record")
        self._half_sent = True
        await self.transport_stream.send_all(sealed)
        self._half_sent = False

    def _broken(self, exc: ssl.SSLError) -> trio.BrokenResourceError:
        """Tell the peer, if that needs no waiting; return what to raise."""
        alert = self._records.take()
        if alert and not self._half_sent:
            with suppress(OSError):
                os.write(self.transport_stream.socket.fileno(), alert)
        return trio.BrokenResourceError(f"TLS broke: {exc}")

    async def wait_send_all_might_not_block(self) -> None:
        """Wait until the socket takes bytes."""
        async with self._turn:
            await self.transport_stream.wait_send_all_might_not_block()

    async def aclose(self) -> None:
        """Close the socket; without TLS's good-bye, since WebSocket has its own."""
        await self.transport_stream.aclose()
