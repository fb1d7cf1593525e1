"""The fast lane in plain Python: ordinary data frames to messages, and messages to frames.

A frame is *ordinary* when it is a whole text or binary message (FIN, no reserved bit), masked as
its direction demands, with its length in the shortest form, entirely there, within the size limit
and, if text, valid UTF-8.  Everything else is left untouched for wsproto, which judges it.  So
nothing here decides that a frame is wrong, and ``_speedups.pyx``, the same functions compiled,
decides no more.

A compressed one is ordinary with its bit set; what is in it is not inflated here.

Invariant: `decode_frames` stops before the first frame that is not ordinary, and says where.
"""

from __future__ import annotations

import os
import struct

from trio_ws.protocol.boundaries import is_sound_data_header, measure_frame
from trio_ws.protocol.events import Event

FIN_TEXT = 0x81
FIN_BINARY = 0x82
MASKED = 0x80
COMPRESSED = 0x40  # RSV1, the "Per-Message Compressed" bit (RFC 7692 section 6)

_WHOLE_MESSAGES = (FIN_TEXT, FIN_BINARY)

# First byte, second byte, extended length: "in network byte order" (RFC 6455 section 5.2).
_medium_header = struct.Struct("!BBH").pack
_large_header = struct.Struct("!BBQ").pack

# Masking keys, drawn from the operating system many at a time: a system call for each frame would
# cost more than building it.  "The masking key needs to be unpredictable" (section 5.3).
_KEYS_AT_ONCE = 256
_divide = struct.Struct("4s" * _KEYS_AT_ONCE).unpack
_unused_keys: list[bytes] = []
if hasattr(os, "register_at_fork"):
    # A child process must not use what its parent has.
    os.register_at_fork(after_in_child=_unused_keys.clear)

# From about this size on, in bytes, `mask` is faster byte by byte than with large numbers.
_LARGE = 8192
_EVERY_BYTE = bytes(range(256))


def _fresh_key() -> bytes:
    """Return a masking key that was never used.

    It is taken in a single step of the interpreter, so that another thread, or a signal handler,
    gets another one.
    """
    try:
        return _unused_keys.pop()
    except IndexError:
        drawn: list[bytes] = [*_divide(os.urandom(4 * _KEYS_AT_ONCE))]
        key = drawn.pop()
        _unused_keys.extend(drawn)
        return key


def decode_frames(
    data: bytes, position: int, masked: bool, max_size: int, messages: list[Event]
) -> int:
    """Append to ``messages`` what the ordinary frames from ``position`` on say.

    Args:
        data: what was read.
        position: where a frame begins in it.
        masked: whether frames have to be masked, which those of clients have.
        max_size: of a message, in bytes.
        messages: `str` for text and `bytes` for binary are appended here.

    Returns:
        Where the first frame begins that is not ordinary, or not entirely there.
    """
    end = len(data)
    while position + 2 <= end:
        first = data[position]
        size = data[position + 1] - MASKED if masked else data[position + 1]
        if first not in _WHOLE_MESSAGES or not 0 <= size <= 127:
            break
        begin = position + 2
        if size > 125:
            length_size = 2 if size == 126 else 8
            size = int.from_bytes(data[begin : begin + length_size])
            # "the minimal number of bytes MUST be used to encode the length" (section 5.2)
            if size < (126 if length_size == 2 else 65536):
                break
            begin += length_size
        payload_begin = begin + 4 if masked else begin
        stop = payload_begin + size
        if size > max_size or stop > end:
            break
        payload = data[payload_begin:stop]
        if masked:
            payload = mask(payload, data[begin:payload_begin])
        if first == FIN_BINARY:
            messages.append(payload)
        else:
            try:
                messages.append(payload.decode())
            except UnicodeDecodeError:
                break
        position = stop
    return position


def compressed_payload(data: bytes, position: int, masked: bool) -> tuple[bytes, int] | None:
    """Return the payload of an ordinary compressed frame, and where the frame ends.

    ``None`` when it is none, or not entirely there.

    Args:
        data: what was read.
        position: where a frame begins in it.
        masked: whether it has to be masked.
    """
    sizes = measure_frame(data, position)
    if sizes is None or data[position] & ~COMPRESSED not in _WHOLE_MESSAGES:
        return None
    frame_size, size = sizes
    stop = position + frame_size
    if stop > len(data) or not is_sound_data_header(
        data, position, size, masked=masked, reserved=COMPRESSED
    ):
        return None
    payload = data[stop - size : stop]
    return (mask(payload, data[stop - size - 4 : stop - size]) if masked else payload), stop


def encode_frame(payload: bytes, text: bool, masked: bool, compressed: bool = False) -> bytes:
    """Return a whole message as one frame (RFC 6455 section 5.2).

    Args:
        payload: of a text message its UTF-8, of a compressed one what it was compressed to.
        text: whether it is a text message.
        masked: whether to mask it, with a fresh random key: a client has to.
        compressed: whether it is a compressed one.
    """
    first = FIN_TEXT if text else FIN_BINARY
    if compressed:
        first |= COMPRESSED
    header = encode_header(first, len(payload), MASKED if masked else 0)
    if not masked:
        return header + payload
    # "the client MUST pick a fresh masking key from the set of allowed 32-bit values"
    key = _fresh_key()
    return header + key + mask(payload, key)


def encode_header(first: int, size: int, mask_bit: int = 0) -> bytes:
    """Return the header of a frame up to its masking key, from its first byte and its length."""
    if size <= 125:
        return bytes((first, mask_bit | size))
    if size <= 0xFFFF:
        return _medium_header(first, mask_bit | 126, size)
    return _large_header(first, mask_bit | 127, size)


class Gathered:
    """A binary payload that comes in parts and becomes one object, of a size that is announced.

    Compiled, each part is unmasked straight into its place, so that a large message is neither
    copied nor joined; and never is more reserved than sixteen times what has come.

    Args:
        size: how much is to come, in bytes.
    """

    __slots__ = ("_data", "_left")

    def __init__(self, size: int) -> None:
        if size < 0:
            raise ValueError("size must not be negative")
        self._data = bytearray()
        self._left = size

    def add(self, data: bytes, key: bytes) -> None:
        """Take the next part, masked with this key, unless that is empty.

        Raises:
            ValueError: it is more than was announced.
        """
        if len(data) > self._left:
            raise ValueError("more than was announced")
        self._left -= len(data)
        self._data += mask(data, key) if key else data

    def take(self) -> bytes:
        """Return what has come; nothing may be added afterwards."""
        data = bytes(self._data)
        self._data.clear()
        self._left = 0
        return data


def mask(payload: bytes, key: bytes) -> bytes:
    """Mask or unmask: "the same algorithm applies regardless of the direction" (section 5.3)."""
    size = len(payload)
    if size < _LARGE:
        keys = (key * (size // 4 + 1))[:size]
        return (int.from_bytes(payload) ^ int.from_bytes(keys)).to_bytes(size)
    result = bytearray(size)
    for i in range(4):  # "octet i of the original data" with "octet [...] i modulo 4" of the key
        result[i::4] = payload[i::4].translate(mask(_EVERY_BYTE, key[i : i + 1] * 4))
    return bytes(result)
