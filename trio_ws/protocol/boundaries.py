"""Where frames end: the length in a frame's header, read without judging the rest of it.

wsproto tells nobody how long a frame is, and takes whatever it is given.  With the length known
the bytes can be cut at the frame's end, so that each frame, or what has come of it, is handed
over on its own: what must not be parsed yet never gets there.  Whether a frame is allowed is
judged elsewhere.
"""

from __future__ import annotations

# By the first length field.  "Note that in all cases, the minimal number of bytes MUST be used to
# encode the length"; and "the most significant bit MUST be 0" (RFC 6455 section 5.2).
_PAYLOAD_SIZES = {126: range(126, 1 << 16), 127: range(1 << 16, 1 << 63)}
_SMALL = range(126)


def measure_frame(data: bytes, start: int) -> tuple[int, int] | None:
    """Return the size of the frame that starts there and of its payload, both in bytes.

    ``None`` when its length has not come yet.  RFC 6455 section 5.2.
    """
    if len(data) < start + 2:
        return None
    second = data[start + 1]
    payload_size = second & 0x7F
    header_size = 2
    if payload_size > 125:
        header_size = 4 if payload_size == 126 else 10
        if len(data) < start + header_size:
            return None
        payload_size = int.from_bytes(data[start + 2 : start + header_size], "big")
    if second & 0x80:
        header_size += 4  # the masking key
    return header_size + payload_size, payload_size


def is_sound_data_header(
    data: bytes, start: int, payload_size: int, *, masked: bool, reserved: int = 0
) -> bool:
    """Tell whether there is nothing wrong with the header of a data frame but perhaps its size.

    Args:
        data: what was read.
        start: where the frame begins in it.
        payload_size: what `measure_frame` says.
        masked: whether it has to be masked.
        reserved: the reserved bits, as they have to be.
    """
    second = data[start + 1]
    return (
        data[start] & 0x70 == reserved
        and bool(second & 0x80) is masked
        and payload_size in _PAYLOAD_SIZES.get(second & 0x7F, _SMALL)
    )
