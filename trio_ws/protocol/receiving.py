"""The parsing half of an open connection, without I/O: bytes to messages.

Ordinary messages go past everything by the fast lane (``lane``), the payloads of large ones are
taken as they come (``payload``), compressed ones are known in ``inflating`` alone; wsproto gets
the rest, one frame at a time, or what has come of it.  It remembers nothing between messages, so
that it need not know of those that went past it.

Invariants: a peer never makes a method raise; it can only fail the connection.  Once failed,
closed or at the end of the stream nothing is parsed or kept any more.
"""

from __future__ import annotations

from abc import abstractmethod

import wsproto.events
from wsproto.connection import ConnectionState
from wsproto.events import BytesMessage, CloseConnection, TextMessage

from trio_ws._close import Close, CloseCode
from trio_ws._options import Deflate, Limits
from trio_ws.protocol.assembly import Delivery, IncomingMessage
from trio_ws.protocol.boundaries import is_sound_data_header, measure_frame
from trio_ws.protocol.events import Event, Ping, Pong
from trio_ws.protocol.lane import decode_frames
from trio_ws.protocol.payload import Payload
from trio_ws.protocol.sending import Sending
from trio_ws.protocol.state import Role, State

_FIN = 0x80


class Receiving(Sending):
    """The half of `trio_ws.protocol.connection.Protocol` that parses."""

    __slots__ = (
        "_frame_left",
        "_limits",
        "_message",
        "_next_message",
        "_owed_close",
        "_owed_pongs",
        "_payload",
        "_peer_masks",
        "_stopped",
        "_unparsed",
        "_violation",
        "behind",
        "defer_oversized",
        "defer_violations",
        "failure",
        "frames_per_call",
        "held",
    )

    def __init__(self, role: Role, limits: Limits, compression: Deflate | None) -> None:
        super().__init__(role, compression)
        self.failure: str | None = None
        """Why we failed the connection, in words; ``None`` when we did not.  To be read only."""
        self.defer_oversized: bool = False
        """Whether a message over the limits is *held* instead of failing the connection.  To be
        set while nobody waits for a message: who comes next may want to stream it."""
        self.held: bool = False
        """Whether parsing stopped before a message over the limits.  `fail_held` or `begin_stream`
        go on; until then nothing more should be read.  To be read only."""
        self.frames_per_call: int | None = None
        """How many frames that are not ordinary messages one call of `receive_data` parses;
        ``None``: all there are.  They take long enough for many to keep others waiting."""
        self.defer_violations: bool = False
        """Whether a violation waits for the next call when something stands before it in this one:
        a message that came in time can then be answered, however the stream was cut."""
        self.behind: bool = False
        """Whether parsing stopped for ``frames_per_call`` or ``inflate_per_call``, or before a
        violation: ``receive_data(b"")`` goes on.  Until then nothing more should be read.  To be
        read only."""
        self._limits = limits
        self._unparsed = b""  # not given to wsproto: the beginning of a header, or what is held
        self._stopped = False  # whether nothing more may be parsed in this call
        self._frame_left = 0  # how much is to come of the frame that has begun, in bytes
        self._message: IncomingMessage | None = None  # the message in progress
        self._next_message: IncomingMessage | None = None  # prepared: what becomes of the next one
        self._payload: Payload | None = None  # of the frame that has begun, unless wsproto has it
        self._violation: tuple[CloseCode, str] | None = None  # that waits for the next call
        # RFC 6455 section 5.1: "a client MUST mask all frames that it sends to the server"
        self._peer_masks = role is Role.SERVER
        self._owed_pongs: list[bytes] | None = None
        self._owed_close = b""

    def _parse(self, data: bytes) -> list[Event]:
        """Return what the bytes mean."""
        events: list[Event] = []
        start, end = 0, len(data)
        frames = 0
        self.behind = self._stopped = False
        if self.compression is not None:
            self._resume(events)
        while start < end and not self._stopped:
            if not self._frame_left:
                if self._message is None and self._next_message is None:
                    start = decode_frames(
                        data, start, self._peer_masks, self._limits.max_message_size, events
                    )
                    if self.compression is not None:
                        start = self._take_compressed(data, start, events)
                    if start >= end or self._stopped:
                        break
                begin = self._begin_frame(data, start, events)
                if begin is None:
                    break
                start = begin
            stop = min(start + self._frame_left, end)
            self._frame_left -= stop - start
            take = self._take_frame if self._payload is None else self._take_payload
            take(data[start:stop], events)
            start = stop
            frames += 1
            if frames == self.frames_per_call:
                self._stopped = True
        if self._stopped:
            self._stop_short(data[start:])
        if events and isinstance(events[-1], (Ping, Pong)) and self._idle():
            # A keepalive's work is done; until the next one this need not lie about.
            self._forget_frames()
        return events

    def _stop_short(self, unparsed: bytes) -> None:
        if self.state is not State.CLOSED and self._violation is None:
            self._unparsed = unparsed
            self.behind = bool(unparsed) and not self.held

    # For the other half, where something is compressed

    @abstractmethod
    def _resume(self, events: list[Event]) -> None:
        """Go on with what was read before."""

    @abstractmethod
    def _take_compressed(self, data: bytes, start: int, events: list[Event]) -> int:
        """Take compressed messages, and ordinary ones between them; return where others start."""

    def _idle(self) -> bool:
        """Tell whether nothing has begun that wsproto would have to remember."""
        return (
            self.state is State.OPEN
            and self._message is None
            and self._sending_text is None
            and not self._frame_left
        )

    def _begin_frame(self, data: bytes, start: int, events: list[Event]) -> int | None:  # noqa: ARG002 - for ``inflating``
        """Look at the header that starts there; return where what is to be taken begins.

        ``None`` when the header has not come yet, or the frame is held, or it failed the
        connection.
        """
        sizes = measure_frame(data, start)
        if sizes is None:
            self._unparsed = data[start:]
            return None
        frame_size, payload_size = sizes
        if data[start] & 0x0F <= 0x2:
            begins_message = self._message is None
            if not self._admit_announced(data, start, payload_size):
                return None
            begin = start + frame_size - payload_size
            if begins_message and begin <= len(data) and self._is_whole(data, start, payload_size):
                key = data[begin - 4 : begin] if self._peer_masks else b""
                assert self._message is not None  # it was admitted
                whole = self._message.delivery is Delivery.WHOLE
                text = data[start] & 0x0F == 0x1
                self._payload = Payload(payload_size, key, text=text, whole=whole)
                self._frame_left = payload_size
                return begin
        self._frame_left = frame_size
        return start

    def _is_whole(self, data: bytes, start: int, payload_size: int) -> bool:
        """Tell whether this is the header of an unfragmented message, with nothing wrong in it."""
        unfragmented = data[start] & _FIN and data[start] & 0x0F
        return bool(unfragmented) and self._is_sound(data, start, payload_size)

    def _is_sound(self, data: bytes, start: int, payload_size: int) -> bool:
        return is_sound_data_header(data, start, payload_size, masked=self._peer_masks)

    def _admit_announced(self, data: bytes, start: int, payload_size: int) -> bool:
        """Hold a data frame against the limits; if it is over them, hold it or fail."""
        continues = data[start] & 0x0F == 0
        if continues is (self._message is None):
            return True  # out of order: wsproto will say so
        over = self._admit(payload_size)
        if over is None:
            return True
        if not self._is_sound(data, start, payload_size):
            return True  # wsproto will say so: that it is malformed is worse than its size
        self._hold_or_fail(over, data[start:])
        return False

    def _admit(self, payload_size: int) -> str | None:
        """Count one more frame of the message in progress, or say which limit it exceeds."""
        message = self._message or self._next_message or IncomingMessage.whole(self._limits)
        over = message.admit(payload_size)
        if over is None:
            self._message = message
            self._next_message = None if message is self._next_message else self._next_message
        return over

    def _hold_or_fail(self, over: str, unparsed: bytes) -> None:
        """Leave a message over the limits to who may want it in pieces, or fail the connection."""
        message = self._message or self._next_message
        if self.defer_oversized and (message is None or message.delivery is Delivery.WHOLE):
            self.held = self._stopped = True
            self._unparsed = unparsed
        else:
            self._fail(CloseCode.MESSAGE_TOO_BIG, over)

    def _take_payload(self, data: bytes, events: list[Event]) -> None:
        payload = self._payload
        assert payload is not None
        try:
            part = payload.take(data)
        except UnicodeDecodeError:
            self._refuse(CloseCode.INVALID_DATA, "invalid UTF-8", events)
            return
        if not payload.left:
            self._payload = None
        self._add(part, events, final=not payload.left)

    def _take_frame(self, data: bytes, events: list[Event]) -> None:
        """Have a frame parsed, or a part of one, and act on what it says."""
        frames = self._frames()
        frames.receive_data(data)
        # At most one event, for it is at most one frame; and none of a part that says nothing.
        event = next(frames.events(), None)
        if isinstance(event, (TextMessage, BytesMessage)):
            part = event.data if isinstance(event.data, str) else bytes(event.data)
            self._add(part, events, final=event.message_finished)
        elif isinstance(event, wsproto.events.Ping):
            # "Upon receipt of a Ping frame, an endpoint MUST send a Pong frame in response, unless
            # it already received a Close frame" (RFC 6455 section 5.5.2); and it "MUST NOT send
            # any more data frames after sending a Close frame" (5.5.1): wsproto sends nothing.
            if self.state is State.OPEN:
                if self._owed_pongs is None:
                    self._owed_pongs = []
                self._owed_pongs.append(frames.send(event.response()))
            events.append(Ping(bytes(event.payload)))
        elif isinstance(event, wsproto.events.Pong):
            events.append(Pong(bytes(event.payload)))
        elif isinstance(event, CloseConnection):
            # For a violation wsproto makes the same event as for a Close, but then its state
            # stays as it was.
            if frames.state in (ConnectionState.OPEN, ConnectionState.LOCAL_CLOSING):
                self._fail_parsing(event, events)
            else:
                self._take_close(event, events)

    def _add(self, part: str | bytes, events: list[Event], *, final: bool) -> None:
        message = self._message
        assert message is not None  # its first frame was admitted
        deliverable = message.add(part, final=final)
        if final:
            self._message = None
        if deliverable is not None:
            events.append(deliverable)

    def _take_close(self, event: CloseConnection, events: list[Event]) -> None:
        close = Close(int(event.code), event.reason or "")
        self._note_close_received(close)
        if self.state is State.OPEN:
            # "If an endpoint receives a Close frame and did not previously send a Close frame,
            # the endpoint MUST send a Close frame in response."  (RFC 6455 section 5.5.1) "When
            # sending a Close frame in response, the endpoint typically echos the status code".
            self._owed_close = self._send_close(Close(close.code))
        events.append(close)
        self._end()

    # Ending

    def _fail_parsing(self, event: CloseConnection, events: list[Event]) -> None:
        # Known difference: wsproto takes 1014 (Bad Gateway), which IANA registered after RFC 6455,
        # for a reserved code, so a peer that sends it is answered 1002.  We may send it.
        if event.code == CloseCode.INVALID_DATA:
            self._refuse(CloseCode.INVALID_DATA, "invalid UTF-8", events)
        else:
            self._refuse(CloseCode(event.code), f"protocol error: {event.reason}", events)

    def _refuse(self, code: CloseCode, failure: str, events: list[Event]) -> None:
        """Fail the connection for a violation: now, or when what came before it was seen."""
        if self.defer_violations and events:
            self._violation = code, failure
            self.behind = self._stopped = True
        else:
            self._fail(code, failure)

    def _fail(self, code: CloseCode, failure: str) -> None:
        """_Fail the WebSocket Connection_ (RFC 6455 section 7.1.7)."""
        self.failure = failure
        if self.state is State.OPEN:  # otherwise our Close was sent, and it is the last frame
            self._owed_close = self._send_close(Close(int(code), failure))
        self._end()

    def _end(self) -> None:
        """Parse nothing more, and keep nothing that was for parsing."""
        self._move_to(State.CLOSED)
        self._stopped = True
        self._forget_frames()
        self._unparsed = b""
        self._frame_left = 0
        self._payload = None
        self._violation = None
        self._message = None
        self._next_message = None
        self.held = False
        self.behind = False
