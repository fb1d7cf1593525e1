"""WebSocket frames, read strictly and written freely: the oracle of the tests.

Here lives a second reading of RFC 6455, section 5, written from the text and for clarity, not for
speed.  It must never share code with `trio_ws.protocol` or wsproto: an oracle that is built of what
it judges proves nothing.  Reading accepts what the RFC allows and raises `Violation` on everything
else; writing builds whatever the test asks for, wrong or right.  Nothing here does I/O.
"""

from __future__ import annotations

import codecs
import enum
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Buffer = bytes | bytearray | memoryview

# The longest payload whose size fits in the second byte; also the most a control frame may carry.
_SHORT = 125

# RFC 6455, section 7.4.1, and what IANA has registered since: 1012 to 1014.
_REGISTERED_CODES = frozenset({1000, 1001, 1002, 1003, *range(1007, 1015)})


class Opcode(enum.IntEnum):
    """The opcodes of RFC 6455, section 5.2; all others are reserved."""

    CONTINUATION = 0x0
    TEXT = 0x1
    BINARY = 0x2
    CLOSE = 0x8
    PING = 0x9
    PONG = 0xA


_KNOWN_OPCODES = frozenset(Opcode)


class Violation(Exception):
    """The endpoint under test did what RFC 6455 forbids.

    Attributes:
        data: the bytes in question: those from the first byte of the frame on, or of the head.
    """

    data: bytes

    def __init__(self, problem: str, data: Buffer) -> None:
        super().__init__(problem, bytes(data))
        self.data = bytes(data)

    def __str__(self) -> str:
        shown, more = self.data[:32], "..." if len(self.data) > 32 else ""
        return f"{self.args[0]}: {shown!r}{more}"


class CutShort(Violation):
    """The stream ended in the middle of something; ``data`` is what there was of it."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame as it was on the wire, its payload unmasked.

    Attributes:
        fin: whether this is the last (or only) fragment of its message.
        rsv: the three reserved bits as a number from 0 to 7; RSV1 is 4.
        opcode: one of `Opcode`.
        masked: whether the payload was masked.
        payload: the application data, and what extensions made of it.
    """

    fin: bool
    rsv: int
    opcode: int
    masked: bool
    payload: bytes

    @property
    def close_code(self) -> int:
        """The code in a Close frame, 1005 when it carries none.

        Raises:
            ValueError: this is no Close frame.
        """
        if self.opcode != Opcode.CLOSE:
            raise ValueError(f"{self!r} is no Close frame")
        # "If this Close control frame contains no status code, _The WebSocket Connection Close
        # Code_ is considered to be 1005."  (RFC 6455, section 7.1.5)
        return int.from_bytes(self.payload[:2]) if self.payload else 1005

    @property
    def close_reason(self) -> str:
        """The reason in a Close frame, empty when it carries none.

        Raises:
            ValueError: this is no Close frame.
        """
        if self.opcode != Opcode.CLOSE:
            raise ValueError(f"{self!r} is no Close frame")
        return self.payload[2:].decode()


def close_payload(code: int | None = 1000, reason: str = "") -> bytes:
    """Return the payload of a Close frame; any number from 0 to 65535 is taken as the code.

    ``None`` stands for a Close frame without a code; the reason is then all of the payload.
    """
    return (b"" if code is None else code.to_bytes(2)) + reason.encode()


def build_frame(
    opcode: int,
    payload: Buffer = b"",
    *,
    fin: bool = True,
    rsv: int = 0,
    mask_key: bytes | None = None,
    size: int | None = None,
    size_bytes: Literal[0, 2, 8] | None = None,
) -> bytes:
    """Return the bytes of one frame, allowed by RFC 6455 or not.

    Args:
        opcode: from 0 to 15.
        payload: not masked yet.
        fin: the FIN bit.
        rsv: the reserved bits, from 0 to 7; RSV1 is 4.
        mask_key: the four bytes to mask with; ``None`` leaves the frame unmasked.
        size: the payload's size as the header tells it, in bytes, where that shall be a lie.
        size_bytes: how many bytes the extended length has, where that shall not be the fewest.

    Raises:
        ValueError: an argument does not fit in its field.
    """
    if not (0 <= opcode <= 0xF and 0 <= rsv <= 7 and (mask_key is None or len(mask_key) == 4)):
        raise ValueError(
            f"no frame holds opcode={opcode!r}, rsv={rsv!r} and mask_key={mask_key!r};"
            " 0 to 15, 0 to 7 and four bytes are what fits"
        )
    octets = bytes(payload)
    sizes = _size_field(len(octets) if size is None else size, size_bytes)
    if mask_key is not None:
        sizes[0] |= 0x80
        octets = mask_key + _mask(octets, mask_key)
    return bytes([fin << 7 | rsv << 4 | opcode]) + sizes + octets


def _size_field(size: int, size_bytes: Literal[0, 2, 8] | None) -> bytearray:
    if size_bytes is None:
        size_bytes = 0 if size <= _SHORT else 2 if size < 1 << 16 else 8
    if not 0 <= size < {0: _SHORT + 1, 2: 1 << 16, 8: 1 << 64}[size_bytes]:
        raise ValueError(f"size={size!r} does not fit with size_bytes={size_bytes!r}")
    if size_bytes == 0:
        return bytearray([size])
    return bytearray([126 if size_bytes == 2 else 127]) + size.to_bytes(size_bytes)


def _mask(payload: bytes, key: bytes) -> bytes:
    keys = (key * (len(payload) // 4 + 1))[: len(payload)]
    return (int.from_bytes(payload) ^ int.from_bytes(keys)).to_bytes(len(payload))


def parse_frames(
    data: Buffer, *, masked: bool | None = None, rsv: int = 0
) -> tuple[list[Frame], bytes]:
    """Return the frames at the beginning of these bytes, and the bytes of an unfinished last one.

    Each frame is held against sections 5.1, 5.2, 5.5 and 7.4 of RFC 6455 as soon as the bytes in
    question are there.  How frames follow each other is for `join_messages` to judge, so that one
    may begin anywhere.

    Args:
        masked: whether frames must be masked (a client sends them) or must not (a server);
            ``None`` takes either.
        rsv: the reserved bits that negotiated extensions may set in the first frame of a data
            message, as a number; RSV1 is 4.

    Raises:
        Violation: an endpoint must not send such a frame.
    """
    octets = bytes(data)
    frames = list[Frame]()
    start = 0
    while found := parse_frame(octets, start, masked=masked, rsv=rsv):
        frame, start = found
        frames.append(frame)
    return frames, octets[start:]


def parse_frame(
    data: bytes | bytearray, start: int, *, masked: bool | None, rsv: int
) -> tuple[Frame, int] | None:
    """Return the frame that starts there and where it ends; `parse_frames` takes them one by one.

    ``None`` when not all of it is there yet.
    """
    if len(data) < start + 2:
        return None
    first, second = data[start : start + 2]
    problem = _problem_of_header(first, second, masked=masked, rsv=rsv)
    if problem:
        raise Violation(problem, data[start:])
    position = start + 2
    size = second & 0x7F
    if size > _SHORT:
        extended = 2 if size == 126 else 8
        if len(data) < position + extended:
            return None
        size = int.from_bytes(data[position : position + extended])
        position += extended
        # "Note that in all cases, the minimal number of bytes MUST be used to encode the length
        # [...] the most significant bit MUST be 0"  (RFC 6455, section 5.2)
        if not (_SHORT + 1 if extended == 2 else 1 << 16) <= size < 1 << 63:
            raise Violation(f"length {size} in {extended} bytes", data[start:])
    is_masked = bool(second & 0x80)
    end = position + 4 * is_masked + size
    if len(data) < end:
        return None
    payload = bytes(data[end - size : end])
    if is_masked:
        payload = _mask(payload, bytes(data[position : position + 4]))
    frame = Frame(bool(first & 0x80), first >> 4 & 7, Opcode(first & 0xF), is_masked, payload)
    if frame.opcode == Opcode.CLOSE:
        _check_close(frame, data[start:end])
    return frame, end


def _problem_of_header(first: int, second: int, *, masked: bool | None, rsv: int) -> str | None:
    """Say what is wrong with the first two bytes of a frame, if anything is."""
    opcode = first & 0xF
    is_control = opcode >= 0x8
    if opcode not in _KNOWN_OPCODES:
        return f"reserved opcode {opcode:#x}"
    # "MUST be 0 unless an extension is negotiated that defines meanings for non-zero values"
    # (RFC 6455, section 5.2); those there are (RFC 7692, section 6) mark a message's first frame.
    if first >> 4 & 7 & ~(rsv if opcode in (Opcode.TEXT, Opcode.BINARY) else 0):
        return f"reserved bits {first >> 4 & 7:#05b} without an extension that sets them"
    # "All control frames MUST have a payload length of 125 bytes or less and MUST NOT be
    # fragmented."  (RFC 6455, section 5.5)
    if is_control and not first & 0x80:
        return "fragmented control frame"
    if is_control and second & 0x7F > _SHORT:
        return f"control frame of more than {_SHORT} bytes"
    # "a client MUST mask all frames that it sends to the server [...] A server MUST NOT mask any
    # frames that it sends to the client."  (RFC 6455, section 5.1)
    if masked is not None and masked != bool(second & 0x80):
        return "unmasked frame from a client" if masked else "masked frame from a server"
    return None


def _check_close(frame: Frame, wire: Buffer) -> None:
    """Hold a Close frame's payload against RFC 6455, sections 5.5.1 and 7.4."""
    if len(frame.payload) == 1:
        raise Violation("Close frame with half a code", wire)
    code = frame.close_code
    # 1005 is also what `close_code` says of an empty payload; in a payload it is a violation.
    if frame.payload and code not in _REGISTERED_CODES and code not in range(3000, 5000):
        raise Violation(f"Close frame with code {code}", wire)
    try:
        frame.close_reason  # noqa: B018 - decodes it
    except UnicodeDecodeError as exc:
        raise Violation("Close frame with a reason that is no UTF-8", wire) from exc


class FrameSequence:
    """What may follow what on one direction of a connection; RFC 6455, sections 5.4 to 5.6."""

    __slots__ = ("_closed", "_decoder", "_payload", "_text")

    def __init__(self) -> None:
        self._text: bool | None = None  # what the message in progress is, if there is one
        self._payload = bytearray()
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._closed = False

    def add(self, frame: Frame) -> str | bytes | None:
        """Take the next frame, and return the message that is complete with it, if one is.

        A message that an extension has transformed (RSV bits) is returned as the bytes it was on
        the wire, text or not.

        Raises:
            Violation: the frame must not come here; it was not taken.
        """
        problem = self._problem_of_order(frame)
        if problem:
            raise Violation(problem, frame.payload)
        if frame.opcode >= Opcode.CLOSE:
            self._closed = frame.opcode == Opcode.CLOSE
            return None
        text = self._text
        if text is None:
            text = frame.opcode == Opcode.TEXT and not frame.rsv
        if text:
            try:
                self._decoder.decode(frame.payload, frame.fin)
            except UnicodeDecodeError as exc:
                raise Violation("text message that is no UTF-8", frame.payload) from exc
        self._payload += frame.payload
        if not frame.fin:
            self._text = text
            return None
        message = bytes(self._payload)
        self._text = None
        self._payload.clear()
        return message.decode() if text else message

    def _problem_of_order(self, frame: Frame) -> str | None:
        # "The application MUST NOT send any more data frames after sending a Close frame."
        # (RFC 6455, section 5.5.1); the closing handshake leaves no room for control frames either.
        if self._closed:
            return "frame after a Close frame"
        if frame.opcode == Opcode.CONTINUATION and self._text is None:
            return "continuation frame without a message in progress"
        # "The fragments of one message MUST NOT be interleaved between the fragments of another
        # message"  (RFC 6455, section 5.4)
        if frame.opcode in (Opcode.TEXT, Opcode.BINARY) and self._text is not None:
            return "new message before the last fragment of the one in progress"
        return None


def join_messages(frames: Iterable[Frame]) -> list[str | bytes]:
    """Return the whole messages in these frames, the first of which begins a connection.

    Control frames may lie between fragments and are left out, as is an unfinished last message.
    Text is a str, binary is bytes, and so is whatever an extension has transformed.

    Raises:
        Violation: these frames must not follow each other so, or a text is no UTF-8.
    """
    sequence = FrameSequence()
    return [message for frame in frames if (message := sequence.add(frame)) is not None]
