"""Compression of messages (RFC 7692 sections 6 and 7.2), without frames and without handshakes.

Lives here: a `Compressor` and an `Inflater` for each connection that has use for one, and
`CompressedFrames`, which tells wsproto of them.  wsproto's own extension will not do: it loses the
state of a message when a ping comes between its fragments, and inflates without a limit.

Invariants: nothing is inflated that is not asked for, but one byte; a step takes a bounded time,
whatever the input.  What zlib needs is made when it is first used, and let go of after each message
where the next one does not refer to it.

zlib does not tell whether a block is complete.  So a message that was cut short says what there is
of it; what follows it then goes wrong, unless it does not refer to it.
"""

from __future__ import annotations

import zlib
from codecs import getincrementaldecoder
from typing import TYPE_CHECKING

from wsproto.extensions import Extension
from wsproto.frame_protocol import Opcode, RsvBits

if TYPE_CHECKING:
    from codecs import IncrementalDecoder
    from typing import Protocol

    from wsproto.frame_protocol import CloseReason, FrameDecoder, FrameProtocol

    from trio_ws._options import Deflate

    class _Deflating(Protocol):
        """What `zlib.compressobj` makes; its type has no public name."""

        def compress(self, data: bytes, /) -> bytes: ...

        def flush(self, mode: int, /) -> bytes: ...

    class _Inflating(Protocol):
        """What `zlib.decompressobj` makes."""

        @property
        def eof(self) -> bool: ...

        @property
        def unconsumed_tail(self) -> bytes: ...

        @property
        def unused_data(self) -> bytes: ...

        def decompress(self, data: bytes, /, max_length: int = 0) -> bytes: ...


# "Remove 4 octets (that are 0x00 0x00 0xff 0xff) from the tail end" (section 7.2.1); "Append 4
# octets of 0x00 0x00 0xff 0xff to the tail end of the payload of the message" (section 7.2.2).
_TAIL = b"\x00\x00\xff\xff"

# How much is given to zlib at once, in bytes: what it does not take of it is copied each time.
_AT_ONCE = 4096


class Compressor:
    """Compresses our messages, one after the other."""

    __slots__ = ("_options", "_stream")

    def __init__(self, options: Deflate) -> None:
        self._options = options
        self._stream: _Deflating | None = None

    def compress(self, data: bytes, *, final: bool = True) -> bytes:
        """Return the payload of a frame for a message, or for the next part of one.

        The peer can read each part when it has it.

        Args:
            data: the part.
            final: whether it is the last one.
        """
        options = self._options
        stream = self._stream
        if stream is None:
            stream = zlib.compressobj(
                options.level, zlib.DEFLATED, -options.window_bits, options.mem_level
            )
        # Also of nothing this makes an empty block (section 7.2.3.6).
        compressed = stream.compress(data) + stream.flush(zlib.Z_SYNC_FLUSH)
        if not final:
            self._stream = stream
            return compressed
        self._stream = stream if options.context_takeover else None
        return compressed[: -len(_TAIL)]


class Inflater:
    """Decompresses the peer's messages, one after the other.

    A message is had at once, by `inflate_message`, or bit by bit: `begin_message`, then for each
    frame `begin_frame`, and `feed` what comes of it, followed by `read` as long as there is
    something `readable`; when it is `complete`, `end_message`.  `inflate_message` may leave the
    rest to be read so.
    """

    __slots__ = (
        "_ahead",
        "_decoder",
        "_input",
        "_last_frame",
        "_more",
        "_options",
        "_position",
        "_stream",
        "_whole",
        "busy",
    )

    def __init__(self, options: Deflate) -> None:
        self._options = options
        self._stream: _Inflating | None = None
        self._decoder: IncrementalDecoder | None = None  # of a text message
        self._input = b""  # what was fed, read up to _position
        self._position = 0
        self._ahead = b""  # what was inflated and not asked for yet
        self._more = False  # whether zlib may have more to give without more input
        self._last_frame = False
        self._whole = False  # whether all of the message was fed
        self.busy: bool = False
        """Whether a message is in progress.  To be read only."""

    @property
    def readable(self) -> bool:
        """Whether something may be left of what was fed, if only the end of the message."""
        return self._whole or not self._drained

    @property
    def complete(self) -> bool:
        """Whether the message was fed and read to its end."""
        return self._whole and self._drained

    @property
    def _drained(self) -> bool:
        return not (self._ahead or self._more or self._position < len(self._input))

    @property
    def has_more(self) -> bool:
        """Whether a `read` without room found that there is something."""
        return bool(self._ahead)

    def inflate_message(self, payload: bytes, max_size: int, *, text: bool) -> bytes | None:
        """Return a message of at most ``max_size`` bytes; ``None``: read it bit by bit.

        Raises:
            zlib.error: the payload is nothing that was compressed.
        """
        stream = self._stream or self._new_stream()
        # One more, or else nobody would know that there is one more.
        data = stream.decompress(payload + _TAIL, max_size + 1)
        if len(data) <= max_size and not stream.eof:
            self._stream = stream if self._options.peer_context_takeover else None
            return data
        self.begin_message(text=text)
        self._whole = True
        self._input, self._ahead = payload + _TAIL, data
        self._note_step(stream, len(self._input), more=len(data) > max_size)
        return None

    def begin_message(self, *, text: bool) -> None:
        """Take note that a message begins."""
        self.busy = True
        self._decoder = getincrementaldecoder("utf-8")() if text else None

    def begin_frame(self, *, last: bool) -> None:
        """Take note that a frame of the message begins."""
        self._last_frame = last

    def feed(self, data: bytes, *, frame_complete: bool) -> None:
        """Take what has come of the frame's payload; of that before, all was read."""
        self._whole = frame_complete and self._last_frame
        self._input = data + _TAIL if self._whole else data

    def read(self, room: int) -> bytes:
        """Return at most so many bytes more of the message, perhaps none though there are some.

        Without room it looks whether there are some, see `has_more`.  A call takes no longer than
        so many bytes take, or the few thousand of input that it takes at most.

        Raises:
            zlib.error: what was fed is nothing that was compressed.
        """
        if not self._ahead:
            self._ahead = self._step(room or 1)
        data, self._ahead = self._ahead[:room], self._ahead[room:]
        return data

    def decode(self, data: bytes) -> str | bytes:
        """Return what has just been read as what the message is made of.

        Raises:
            UnicodeDecodeError: it is text, and not UTF-8.
        """
        return data if self._decoder is None else self._decoder.decode(data, self.complete)

    def end_message(self) -> None:
        """Take note that the message, which is complete, was taken."""
        self.busy = self._whole = False
        self._decoder = None
        if not self._options.peer_context_takeover:
            self._stream = None

    def _new_stream(self) -> _Inflating:
        return zlib.decompressobj(-(self._options.peer_window_bits or zlib.MAX_WBITS))

    def _step(self, room: int) -> bytes:
        self._stream = stream = self._stream or self._new_stream()
        end = min(self._position + _AT_ONCE, len(self._input))
        data = stream.decompress(self._input[self._position : end], room)
        self._note_step(stream, end, more=len(data) == room)
        return data

    def _note_step(self, stream: _Inflating, end: int, *, more: bool) -> None:
        """Take note of how much of the input up to ``end`` was used."""
        if stream.eof:
            # "Using a DEFLATE Block with "BFINAL" Set to 1" (section 7.2.3.4): what follows it is
            # another stream, which begins with an empty window.
            self._stream = None
            self._more = False
            self._position = end - len(stream.unused_data)
        else:
            self._stream = stream
            self._more = more
            self._position = end - len(stream.unconsumed_tail)
        if self._position == len(self._input):
            self._input, self._position = b"", 0


class CompressedFrames(Extension):
    """What wsproto has to know: where the compression bit may be, and how fragments are made.

    Frames of compressed messages that come in are never given to wsproto, but for those that are
    malformed, which it is to say: it would have them inflated whole.

    Args:
        compressor: ``None`` when our messages go as they are.
    """

    name = "permessage-deflate"

    def __init__(self, compressor: Compressor | None) -> None:
        self._compressor = compressor

    def enabled(self) -> bool:
        """Tell that it was agreed on."""
        return True

    def offer(self) -> bool:
        """Offer nothing: see ``negotiation``."""
        return False

    def frame_inbound_header(
        self,
        proto: FrameDecoder | FrameProtocol,  # noqa: ARG002 - wsproto's interface
        opcode: Opcode,
        rsv: RsvBits,  # noqa: ARG002
        payload_length: int,  # noqa: ARG002
    ) -> CloseReason | RsvBits:
        """Return which reserved bits a frame may have set."""
        # "An endpoint MUST NOT set the "Per-Message Compressed" bit of control frames and non-first
        # fragments of a data message." (section 6)
        return RsvBits(opcode in {Opcode.TEXT, Opcode.BINARY}, False, False)  # noqa: FBT003

    def frame_outbound(
        self,
        proto: FrameDecoder | FrameProtocol,  # noqa: ARG002
        opcode: Opcode,
        rsv: RsvBits,
        data: bytes,
        fin: bool,  # noqa: FBT001
    ) -> tuple[RsvBits, bytes]:
        """Return a frame's reserved bits and its payload."""
        if self._compressor is None or opcode.iscontrol():
            return rsv, data
        first = opcode is not Opcode.CONTINUATION
        return RsvBits(first, rsv.rsv2, rsv.rsv3), self._compressor.compress(data, final=fin)
