"""The parsing of compressed messages, without I/O (RFC 7692 section 6).

They never get to wsproto, which would have whatever a frame says inflated at once.  Small ones are
inflated whole, past everything; what is in pieces, too large, or to be had in pieces is inflated
bit by bit (``deflate``), within the limits of the message and of the call.

Invariants: no more of a message is inflated than its limit and one byte; a call inflates no more
than ``inflate_per_call`` and one step.
"""

from __future__ import annotations

import sys
import zlib
from typing import TYPE_CHECKING

from trio_ws._close import CloseCode
from trio_ws.protocol.boundaries import is_sound_data_header, measure_frame
from trio_ws.protocol.deflate import Inflater
from trio_ws.protocol.frames import COMPRESSED
from trio_ws.protocol.lane import compressed_payload, decode_frames
from trio_ws.protocol.payload import Payload
from trio_ws.protocol.receiving import Receiving

if TYPE_CHECKING:
    from trio_ws._options import Deflate, Limits
    from trio_ws.protocol.events import Event
    from trio_ws.protocol.state import Role

_FIN = 0x80
_OPCODE = 0x0F
_TEXT = 0x1
_BINARY = 0x2

# The most that is inflated in a step, in bytes.
_STEP = 64 * 1024

# What a step, or a small message, counts besides its own length, in bytes, for it takes time too.
_OVERHEAD = 64

# More than there is memory, and no number that is too large for zlib.
_UNLIMITED = sys.maxsize // 2


class Inflating(Receiving):
    """Parsing, with compressed messages among the others."""

    __slots__ = ("_inflate_left", "_inflater", "inflate_per_call")

    def __init__(self, role: Role, limits: Limits, compression: Deflate | None) -> None:
        super().__init__(role, limits, compression)
        self.inflate_per_call: int | None = None
        """How much one call of `receive_data` inflates, about, in bytes; ``None``: all there is.
        Few bytes may become very many, which take their time and their place."""
        self._inflate_left = 0
        self._inflater: Inflater | None = None  # made when it is first needed

    def _resume(self, events: list[Event]) -> None:
        self._inflate_left = self.inflate_per_call or _UNLIMITED
        if self._undrained:
            self._inflate(events)

    def _stop_short(self, unparsed: bytes) -> None:
        super()._stop_short(unparsed)
        if self._undrained and not self.held:
            self.behind = True

    @property
    def _undrained(self) -> bool:
        """Whether something is left of what was parsed already."""
        return self._inflater is not None and self._inflater.readable

    # Whole messages

    def _take_compressed(self, data: bytes, start: int, events: list[Event]) -> int:
        while start < len(data) and data[start] & COMPRESSED:
            stop = self._take_message(data, start, events)
            if stop == start or self._stopped:
                return stop
            start = decode_frames(
                data, stop, self._peer_masks, self._limits.max_message_size, events
            )
        return start

    def _take_message(self, data: bytes, start: int, events: list[Event]) -> int:
        """Take the frame that starts there if it is ordinary; return where the next one starts."""
        found = compressed_payload(data, start, self._peer_masks)
        if found is None:
            return start
        payload, stop = found
        text = data[start] & _OPCODE == _TEXT
        at_most = min(self._limits.max_message_size, self._inflate_left)
        inflater = self._get_inflater()
        try:
            message = inflater.inflate_message(payload, at_most, text=text)
            if message is not None:
                self._spend(len(message))
                events.append(message.decode() if text else message)
        except (zlib.error, UnicodeDecodeError):
            self._refuse_content(events)
        else:
            if message is None:
                self._admit(0)
                self._inflate(events)
        return stop

    # Fragments, and what is too large to be had at once

    def _begin_frame(self, data: bytes, start: int, events: list[Event]) -> int | None:
        sizes = self._measure_compressed(data, start)
        if sizes is None:
            return super()._begin_frame(data, start, events)
        frame_size, payload_size = sizes
        begin = start + frame_size - payload_size
        continues, opcode = self._message is not None, data[start] & _OPCODE
        if continues and opcode:
            self._refuse(CloseCode.PROTOCOL_ERROR, "protocol error: expected CONTINUATION", events)
            return None
        if begin > len(data):
            self._unparsed = data[start:]
            return None
        over = self._admit(0)  # what it announces says nothing about its size
        if over is not None:
            self._hold_or_fail(over, data[start:])
            return None
        inflater = self._get_inflater()
        if not continues:
            inflater.begin_message(text=opcode == _TEXT)
        inflater.begin_frame(last=bool(data[start] & _FIN))
        key = data[begin - 4 : begin] if self._peer_masks else b""
        self._payload = Payload(payload_size, key, text=False)
        self._frame_left = payload_size
        return begin

    def _measure_compressed(self, data: bytes, start: int) -> tuple[int, int] | None:
        """Return the sizes of a frame and its payload, if it is for the message in progress.

        Or for the next one, and that is compressed.  ``None`` for any other, and for one that is
        malformed, which is left to wsproto.
        """
        first = data[start]
        opcode = first & _OPCODE
        busy = self._inflater is not None and self._inflater.busy
        # While another message is in progress no compressed one may begin, nor any other.
        begins = self.compression is not None and self._message is None and first & COMPRESSED
        if opcode > _BINARY or not (busy or begins):
            return None
        sizes = measure_frame(data, start)
        # "An endpoint MUST NOT set the "Per-Message Compressed" bit of control frames and non-first
        # fragments of a data message." (section 6)
        reserved = first & COMPRESSED if opcode else 0
        masked = self._peer_masks
        if sizes is not None and is_sound_data_header(
            data, start, sizes[1], masked=masked, reserved=reserved
        ):
            return sizes
        return None

    def _take_payload(self, data: bytes, events: list[Event]) -> None:
        inflater = self._inflater
        if inflater is None or not inflater.busy:
            super()._take_payload(data, events)
            return
        payload = self._payload
        assert payload is not None
        part = payload.take(data)
        assert isinstance(part, bytes)
        if not payload.left:
            self._payload = None
        inflater.feed(part, frame_complete=not payload.left)
        self._inflate(events)

    def _inflate(self, events: list[Event]) -> None:
        """Go on with the message in progress, as far as its limits and this call let it."""
        inflater = self._get_inflater()
        try:
            while not self._stopped and inflater.readable:
                self._inflate_step(inflater, events)
        except (zlib.error, UnicodeDecodeError):
            self._refuse_content(events)

    def _inflate_step(self, inflater: Inflater, events: list[Event]) -> None:
        message = self._message
        assert message is not None
        room = message.room
        data = inflater.read(_STEP if room is None else min(room, _STEP))
        if room == 0 and inflater.has_more:
            self._hold_or_fail(message.overflow, b"")
            return
        message.count(len(data))
        self._spend(len(data))
        part, final = inflater.decode(data), inflater.complete
        if final:
            inflater.end_message()
        if part or final:
            self._add(part, events, final=final)

    def _spend(self, size: int) -> None:
        self._inflate_left -= size + _OVERHEAD
        if self._inflate_left <= 0:
            self._stopped = True

    def _get_inflater(self) -> Inflater:
        if self._inflater is None:
            assert self.compression is not None
            self._inflater = Inflater(self.compression)
        return self._inflater

    # Ending

    def _refuse_content(self, events: list[Event]) -> None:
        # 1007: "data within a message that was not consistent with the type of the message"
        # (RFC 6455 section 7.4.1).  RFC 7692 names no code; with the frame nothing is wrong.
        # Which of the two is seen first depends on how the message was cut into reads.
        problem = "invalid compressed data, or invalid UTF-8 in it"
        self._refuse(CloseCode.INVALID_DATA, problem, events)

    def _end(self) -> None:
        super()._end()
        self._inflater = None
        self._compressor = None
