"""permessage-deflate for wsproto, as plainly as can be, for `tests.lane_differential` to compare.

Shares nothing with ``trio_ws.protocol.inflating``, and with ``deflate`` only how messages are sent.
"""

from __future__ import annotations

import codecs
import zlib
from typing import Any

from wsproto.frame_protocol import CloseReason, FrameDecoder, FrameProtocol, Opcode, RsvBits

from trio_ws._options import Deflate, Limits
from trio_ws.protocol.deflate import CompressedFrames, Compressor

TAIL = b"\x00\x00\xff\xff"


class ReferenceDeflate(CompressedFrames):
    """Inflates what wsproto gives it, at once, within the limit on messages."""

    def __init__(self, compression: Deflate, limits: Limits) -> None:
        super().__init__(Compressor(compression))
        self.problem: str | None = None
        """What was wrong, if something was."""
        self._compression = compression
        self._max_size = min(limits.max_message_size, 1 << 40)
        self._stream: Any = None
        self._size = 0
        self._utf8: codecs.IncrementalDecoder | None = None
        self._in_progress = False  # a message, compressed or not
        self._compressed = False  # this message
        self._control = False  # this frame

    def frame_inbound_header(
        self, proto: FrameDecoder | FrameProtocol, opcode: Opcode, rsv: RsvBits, payload_length: int
    ) -> CloseReason | RsvBits:
        """Return what may be set, or say that a compressed message was to go on.

        wsproto asks again when the masking key was not there yet.
        """
        self._control = opcode.iscontrol()
        if not self._control and self._in_progress:
            if self._compressed and opcode is not Opcode.CONTINUATION and self._plain(proto, rsv):
                return self._fail(
                    CloseReason.PROTOCOL_ERROR, "protocol error: expected CONTINUATION"
                )
        elif not self._control:
            self._compressed = rsv.rsv1
            self._size = 0
            text = opcode is Opcode.TEXT
            self._utf8 = codecs.getincrementaldecoder("utf-8")() if text else None
        return super().frame_inbound_header(proto, opcode, rsv, payload_length)

    def _plain(self, proto: FrameDecoder | FrameProtocol, rsv: RsvBits) -> bool:
        """Tell whether there is nothing else wrong with a header, which is worse."""
        assert isinstance(proto, FrameDecoder)
        masked = bool(proto.buffer.buffer[1] & 0x80)
        return not (rsv.rsv2 or rsv.rsv3) and masked is not proto.client

    def frame_inbound_payload_data(
        self,
        proto: FrameDecoder | FrameProtocol,
        data: bytes,
    ) -> bytes | CloseReason:
        """Return what it inflates to."""
        if self._control:
            return data
        self._in_progress = True
        return self._inflate(data) if self._compressed else data

    def frame_inbound_complete(
        self,
        proto: FrameDecoder | FrameProtocol,
        fin: bool,
    ) -> bytes | CloseReason | None:
        """Return what is left at the end of a message."""
        if self._control or not fin:
            return None
        rest = self._inflate(TAIL, final=True) if self._compressed else b""
        if not self._compression.peer_context_takeover:
            self._stream = None
        self._in_progress = self._compressed = False
        return rest

    def _inflate(self, data: bytes, *, final: bool = False) -> bytes | CloseReason:
        inflated = b""
        try:
            while data:
                if self._stream is None or self._stream.eof:
                    self._stream = zlib.decompressobj(-(self._compression.peer_window_bits or 15))
                room = self._max_size - self._size
                part = self._stream.decompress(data, room + 1)
                if self._utf8 is not None:
                    self._utf8.decode(part[:room])
                if len(part) > room:
                    limit = self._max_size
                    problem = f"message of {limit + 1} bytes or more, {limit} are accepted"
                    return self._fail(CloseReason.MESSAGE_TOO_BIG, problem)
                self._size += len(part)
                inflated += part
                data = self._stream.unused_data
            if self._utf8 is not None:
                self._utf8.decode(b"", final)
        except (zlib.error, UnicodeDecodeError):
            problem = "invalid compressed data, or invalid UTF-8 in it"
            return self._fail(CloseReason.INVALID_FRAME_PAYLOAD_DATA, problem)
        return inflated

    def _fail(self, code: CloseReason, problem: str) -> CloseReason:
        self.problem = problem
        return code
