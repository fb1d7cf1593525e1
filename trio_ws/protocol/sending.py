"""The sending half of an open connection, without I/O: messages to bytes.

Lives here: what the application may send and when, and the one wsproto `Connection` of a
connection, which both halves share.  Here must never live: anything about what the peer sends.

Invariants: arguments are checked before anything changes, so that a call that raises has sent
nothing; nothing is sent behind a Close frame (RFC 6455 section 5.5.1); state changes go along
`trio_ws.protocol.state.TRANSITIONS`, by `Sending._move_to` alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import wsproto.events
from wsproto.connection import Connection, ConnectionState, ConnectionType
from wsproto.frame_protocol import CloseReason

from trio_ws._close import Close, CloseCode, checked_close
from trio_ws._exceptions import ClosedLocally, ConnectionBroken, ConnectionClosed
from trio_ws.protocol.arguments import checked_control_payload, checked_message
from trio_ws.protocol.lane import encode_frame
from trio_ws.protocol.state import TRANSITIONS, Role, State

if TYPE_CHECKING:
    from typing_extensions import Buffer

# An empty Close of the peer's: masked (with zeros) when the peer is a client.
_PEERS_CLOSE = {Role.CLIENT: b"\x88\x00", Role.SERVER: b"\x88\x80\x00\x00\x00\x00"}

_WSPROTO_ROLE = {Role.CLIENT: ConnectionType.CLIENT, Role.SERVER: ConnectionType.SERVER}


class Sending:
    """The half of `trio_ws.protocol.connection.Protocol` that sends."""

    __slots__ = (
        "_closed_by_us",
        "_sending_text",
        "_wsproto",
        "close_received",
        "close_sent",
        "role",
        "state",
    )

    def __init__(self, role: Role) -> None:
        self.role: Role = role
        """Which end of the connection this is."""
        self.state: State = State.OPEN
        """OPEN at first; CLOSING from our `close` to the peer's Close; CLOSED after both, after a
        failure and at the end of the stream.  To be read only."""
        self.close_received: Close | None = None
        """The peer's Close, with 1005 when it carried no code.  To be read only."""
        self.close_sent: Close | None = None
        """Ours: by `close`, as the answer to the peer's, or by a failure.  To be read only."""
        self._closed_by_us = False
        self._sending_text: bool | None = None  # of the message whose fragments are being sent
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
        data = checked_message(message, text=text)
        self._check_open()
        if self._sending_text is not None:
            raise RuntimeError("a message is being sent in fragments: its last one comes first")
        # RFC 6455 section 5.1: "a client MUST mask all frames that it sends to the server"
        masked = self.role is Role.CLIENT
        if isinstance(data, str):
            return encode_frame(data.encode(), True, masked)
        return encode_frame(data, False, masked)

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
            self._wsproto = Connection(_WSPROTO_ROLE[self.role])
        return self._wsproto

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
