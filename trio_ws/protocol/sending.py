"""The sending half of an open connection, without I/O: messages to bytes.

Lives here: what the application may send and when, and the one wsproto `Connection` of a
connection, which both halves share.  Here must never live: anything about what the peer sends.
How messages are compressed is in ``deflate``.

Invariants: arguments are checked before anything changes, so that a call that raises has sent
nothing; nothing is sent behind a Close frame (RFC 6455 section 5.5.1); state changes go along
`trio_ws.protocol.state.TRANSITIONS`, by `Sending._move_to` alone.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import wsproto.events
from wsproto.connection import Connection, ConnectionState, ConnectionType
from wsproto.frame_protocol import CloseReason

from trio_ws._close import Close, CloseCode, checked_close
from trio_ws._exceptions import ClosedLocally, ConnectionBroken, ConnectionClosed
from trio_ws.protocol.arguments import (
    checked_control_payload,
    checked_message,
    checked_payload,
)
from trio_ws.protocol.deflate import CompressedFrames, Compressor
from trio_ws.protocol.frames import FIN_BINARY, FIN_TEXT, encode_header
from trio_ws.protocol.lane import encode_frame
from trio_ws.protocol.state import TRANSITIONS, Role, State

if TYPE_CHECKING:
    from collections.abc import Hashable

    from typing_extensions import Buffer
    from wsproto.extensions import Extension

    from trio_ws._options import Deflate
    from trio_ws.protocol.prepared import PreparedMessage

# An empty Close of the peer's: masked (with zeros) when the peer is a client.
_PEERS_CLOSE = {Role.CLIENT: b"\x88\x00", Role.SERVER: b"\x88\x80\x00\x00\x00\x00"}

# Members of an enumeration: to look them up costs a tenth of a microsecond each time.
_OPEN = State.OPEN
_CLIENT = Role.CLIENT

_WSPROTO_ROLE = {Role.CLIENT: ConnectionType.CLIENT, Role.SERVER: ConnectionType.SERVER}


class Sending:
    """The half of `trio_ws.protocol.connection.Protocol` that sends."""

    __slots__ = (
        "_closed_by_us",
        "_compressor",
        "_sending_text",
        "_wsproto",
        "close_received",
        "close_sent",
        "compression",
        "role",
        "state",
    )

    def __init__(self, role: Role, compression: Deflate | None) -> None:
        self.role: Role = role
        """Which end of the connection this is."""
        self.compression: Deflate | None = compression
        """What was agreed on, ``None`` when nothing is compressed.  To be read only."""
        self.state: State = State.OPEN
        """OPEN at first; CLOSING from our `close` to the peer's Close; CLOSED after both, after a
        failure and at the end of the stream.  To be read only."""
        self.close_received: Close | None = None
        """The peer's Close, with 1005 when it carried no code.  To be read only."""
        self.close_sent: Close | None = None
        """Ours: by `close`, as the answer to the peer's, or by a failure.  To be read only."""
        self._closed_by_us = False
        self._sending_text: bool | None = None  # of the message whose fragments are being sent
        self._compressor: Compressor | None = None  # made when it is first needed
        self._wsproto: Connection | None = None

    def check_message(self, message: str | Buffer, *, text: bool | None = None) -> None:
        """Raise what `send` would raise about these arguments, whatever the state.

        Raises:
            TypeError, ValueError: as `send`.
        """
        checked_message(message, text=text)

    def send(self, message: str | Buffer, *, text: bool | None = None) -> bytes:
        """Return the bytes of a message, in one frame (RFC 6455 section 6.1).

        Args:
            message: `str` for a text message, or bytes-like.
            text: ``True`` makes a text message of UTF-8 bytes too; ``None`` goes by the type.

        Raises:
            TypeError: the message is of another type; or `str`, and ``text`` is false.
            ValueError: it is text that has no UTF-8, or bytes that are none.
            ConnectionBroken: the connection was closed, not by us.
            ClosedLocally: it was closed by our own `close`.
            RuntimeError: a fragmented message is not complete.
        """
        payload, is_text = checked_payload(message, text=text)
        return self.send_payload(payload, text=is_text)

    def send_payload(self, payload: bytes, *, text: bool) -> bytes:
        """Return the bytes of a message: what `send` does once its arguments are checked.

        Args:
            payload: of a text message its UTF-8.
            text: whether it is a text message.

        Raises:
            ConnectionBroken, ClosedLocally, RuntimeError: as `send`.
        """
        if self.state is not _OPEN or self._sending_text is not None:
            self._check_between_messages()
        if self.compression is None:
            return encode_frame(payload, text, self.role is _CLIENT)
        return self._encode(payload, text=text)

    def send_header(self, size: int, *, text: bool) -> bytes | None:
        """Return the header alone of a message whose payload goes out as it is.

        What `send_payload` returns is then this and the payload, for which nothing was copied.
        ``None`` when the payload does not go out as it is: masked by a client, or compressed.

        Args:
            size: of the payload, in bytes.
            text: whether it is a text message.

        Raises:
            ConnectionBroken, ClosedLocally, RuntimeError: as `send`.
        """
        self._check_between_messages()
        compression = self.compression
        if self.role is _CLIENT or (compression is not None and size >= compression.threshold):
            return None
        return encode_header(FIN_TEXT if text else FIN_BINARY, size)

    def send_prepared(self, message: PreparedMessage) -> bytes:
        """Return the bytes of a message that goes to many connections, like `send`.

        Those that can share the frame get the same object, made for the first of them.

        Raises:
            ConnectionBroken, ClosedLocally, RuntimeError: as `send`.
        """
        self._check_between_messages()
        payload, text = message.payload, message.text
        sharers = self._sharers(len(payload))
        if sharers is None:
            return self._encode(payload, text=text)
        frame = message._frames.get(sharers)
        if frame is None:
            frame = message._frames[sharers] = self._encode(payload, text=text)
        return frame

    def _sharers(self, size: int) -> Hashable | None:
        """Return what connections have in common for which such a message makes the same frame.

        ``None`` when there are no others.
        """
        compression = self.compression
        if self.role is Role.CLIENT:
            return None  # each of its frames has a masking key of its own
        if compression is None or size < compression.threshold:
            return "plain"
        if compression.context_takeover:
            return None  # the frame depends on what was sent before
        return compression.level, compression.window_bits, compression.mem_level

    def _check_between_messages(self) -> None:
        self._check_open()
        if self._sending_text is not None:
            raise RuntimeError("a message is being sent in fragments: its last one comes first")

    def _encode(self, payload: bytes, *, text: bool) -> bytes:
        # RFC 6455 section 5.1: "a client MUST mask all frames that it sends to the server"
        masked = self.role is Role.CLIENT
        compression = self.compression
        if compression is None or len(payload) < compression.threshold:
            return encode_frame(payload, text, masked)
        if self._compressor is None:
            self._compressor = Compressor(compression)
        return encode_frame(self._compressor.compress(payload), text, masked, True)

    def send_fragment(self, part: str | Buffer, *, text: bool, final: bool) -> bytes:
        """Return the bytes of one fragment of a message (RFC 6455 section 5.4).

        Pings, pongs and the Close may come between fragments, another message may not.

        Args:
            part: of a text message `str`, or UTF-8 bytes that end at a character; of a binary
                one bytes-like.
            text: the same for all fragments of a message.
            final: whether the message is complete with this one.

        Raises:
            TypeError, ConnectionBroken, ClosedLocally: as `send`.
            ValueError: as `send`; or the fragment is of another kind than the first.
        """
        data = checked_message(part, text=text)
        self._check_open()
        if self._sending_text is (not text):
            raise ValueError(f"text={text!r}, but the message was begun with text={not text!r}")
        frame = self._send_data(data, final=final)
        self._sending_text = None if final else text
        return frame

    def ping(self, payload: Buffer = b"") -> bytes:
        """Return the bytes of a ping (RFC 6455 section 5.5.2).

        Raises:
            TypeError: the payload is not bytes-like.
            ValueError: it is longer than 125 bytes.
            ConnectionBroken, ClosedLocally: as `send`.
        """
        data = checked_control_payload(payload)
        self._check_open()
        return self._frames().send(wsproto.events.Ping(data))

    def pong(self, payload: Buffer = b"") -> bytes:
        """Return the bytes of a pong nobody asked for (RFC 6455 section 5.5.3).

        Raises:
            TypeError, ValueError, ConnectionBroken, ClosedLocally: as `ping`.
        """
        data = checked_control_payload(payload)
        self._check_open()
        return self._frames().send(wsproto.events.Pong(data))

    def close(self, code: int = CloseCode.NORMAL_CLOSURE, reason: str = "") -> bytes:
        """Return the bytes of our Close, and wait for the peer's (RFC 6455 section 7.1.2).

        Returns ``b""`` when a Close was sent before or the connection has ended.

        Args:
            code: one that may be sent: 1000 to 1003, 1007 to 1014, or 3000 to 4999.
            reason: at most 123 bytes of UTF-8.

        Raises:
            TypeError, ValueError: another code or reason.
        """
        close = checked_close(code, reason)
        if self.state is not State.OPEN:
            return b""
        self._closed_by_us = True
        self._move_to(State.CLOSING)
        return self._send_close(close)

    # The state

    def _move_to(self, state: State) -> None:
        assert state in TRANSITIONS[self.state]
        self.state = state

    def _check_open(self) -> None:
        if self.state is not State.OPEN:
            kind: type[ConnectionClosed] = ClosedLocally if self._closed_by_us else ConnectionBroken
            raise kind(self.close_received, self.close_sent)

    def _send_data(self, data: str | bytes, *, final: bool) -> bytes:
        if isinstance(data, str):
            return self._frames().send(wsproto.events.TextMessage(data, message_finished=final))
        return self._frames().send(wsproto.events.BytesMessage(data, message_finished=final))

    def _note_close_received(self, close: Close) -> None:
        self.close_received = close

    def _send_close(self, close: Close) -> bytes:
        self.close_sent = close
        code = close.code
        if code == CloseCode.NO_STATUS_RECEIVED:
            # The very object: wsproto makes an empty Close of it, but 1000 of the number 1005.
            code = CloseReason.NO_STATUS_RCVD
        return self._frames().send(wsproto.events.CloseConnection(code, close.reason or None))

    # wsproto

    def _frames(self) -> Connection:
        """Return what reads and writes the frames, made when it is first needed."""
        if self._wsproto is None:
            extensions = [] if self.compression is None else [self._extension(self.compression)]
            self._wsproto = Connection(_WSPROTO_ROLE[self.role], extensions)
        return self._wsproto

    def _extension(self, compression: Deflate) -> Extension:
        if compression.threshold == math.inf:
            return CompressedFrames(None)
        if self._compressor is None:
            self._compressor = Compressor(compression)
        return CompressedFrames(self._compressor)

    def _forget_frames(self) -> None:
        """Let go of what reads and writes the frames; a new one knows nothing of this one's."""
        frames, self._wsproto = self._wsproto, None
        if frames is not None:
            # Its parser is a generator that refers to its owner, so the two keep each other.  A
            # Close ends the generator.  (Not in the middle of a frame, for there it is payload;
            # then it is left to the garbage collector.)
            if frames.state is not ConnectionState.CLOSED:
                frames.receive_data(_PEERS_CLOSE[self.role])
            for _ in frames.events():
                pass
