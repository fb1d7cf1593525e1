"""The lanes: which frames they take, what they make of them, and how they build frames.

Each test runs on every lane there is, and where the one in Python says what a result is, the
compiled one has to say the same.
"""

import importlib.util
import itertools
import os
import random
import struct
import subprocess
import sys
import threading
import tracemalloc
from pathlib import Path

import pytest
import wsproto.events
from hypothesis import example, given, strategies as st
from wsproto.connection import Connection, ConnectionType

from tests.helpers import MASK_KEY
from tests.lanes import LANES, MODULES, PURE, Lane, draw_from, each_lane
from trio_ws.protocol import frames
from trio_ws.protocol.events import Event
from trio_ws.testing import Opcode, Violation, build_frame, parse_frames
from trio_ws.testing._frames import parse_frame

CHECKOUT = Path(__file__).parent.parent

both_directions = pytest.mark.parametrize("masked", [True, False], ids=["masked", "plain"])

SIZES = [0, 1, 2, 3, 4, 5, 7, 8, 9, 63, 64, 65, 125, 126, 127, 1000, 8191, 8192, 8193, 8195]
LARGE_SIZES = [0xFFFF, 0x10000, 0x10001, 200_003]


def frame(opcode: int, payload: bytes, *, masked: bool, rsv: int = 0, fin: bool = True) -> bytes:
    """Return a frame that is right but for what the arguments say."""
    return build_frame(opcode, payload, fin=fin, rsv=rsv, mask_key=MASK_KEY if masked else None)


def ordinary(data: bytes, position: int, *, masked: bool, max_size: int) -> tuple[list[Event], int]:
    """Say what a lane has to say, with the strict parser of `trio_ws.testing`."""
    messages: list[Event] = []
    while True:
        try:
            found = parse_frame(data, position, masked=masked, rsv=0)
        except Violation:
            break
        if found is None:
            break
        parsed, end = found
        if not parsed.fin or parsed.opcode not in (Opcode.TEXT, Opcode.BINARY):
            break
        if len(parsed.payload) > max_size:
            break
        if parsed.opcode == Opcode.BINARY:
            messages.append(parsed.payload)
        else:
            try:
                messages.append(parsed.payload.decode())
            except UnicodeDecodeError:
                break
        position = end
    return messages, position


# Decoding


@each_lane
@both_directions
@pytest.mark.parametrize("size", SIZES + LARGE_SIZES)
def test_decoding_takes_ordinary_frames_of_any_size(lane: Lane, masked: bool, size: int) -> None:
    """Text in and beyond ASCII, and binary, one behind the other, with something before."""
    binary = random.Random(size).randbytes(size)
    ascii_text = "".join(chr(octet & 0x7F) for octet in binary)
    # Its only character beyond ASCII is the last one: so late it is noticed.
    text = ascii_text[: max(size - 2, 0)] + "é" * (size >= 2)
    data = b"before" + b"".join(
        [
            frame(Opcode.TEXT, ascii_text.encode(), masked=masked),
            frame(Opcode.BINARY, binary, masked=masked),
            frame(Opcode.TEXT, text.encode(), masked=masked),
        ]
    )
    assert lane.decode(data, 6, masked=masked) == ([ascii_text, binary, text], len(data))


@each_lane
def test_decoded_text_is_text_as_any_other(lane: Lane) -> None:
    """It has the hash, the kind and the uses of an equal text that Python made."""
    for text in ["", "a", "key", "x" * 100, "é", "\N{EURO SIGN}", "\N{GRINNING FACE}", "a\0b"]:
        (decoded,), _ = lane.decode(frame(Opcode.TEXT, text.encode(), masked=True), masked=True)
        assert isinstance(decoded, str)
        assert {text: 1}[decoded] == 1
        assert decoded.isascii() is text.isascii()
        assert sys.getsizeof(decoded) <= sys.getsizeof(text) + len(text.encode()) + 1
        assert (decoded + "!").encode() == (text + "!").encode()
        assert decoded.upper() == text.upper()


@each_lane
@both_directions
def test_decoding_stops_before_any_other_frame(lane: Lane, masked: bool) -> None:
    """Fragments, control frames, reserved bits and opcodes, the wrong masking: not for a lane."""
    good = frame(Opcode.TEXT, b"good", masked=masked)
    others = [
        frame(first & 0xF, b"x", fin=first >= 0x80, rsv=first >> 4 & 7, masked=masked)
        for first in range(256)
        if first not in (0x81, 0x82)
    ]
    for other in [*others, frame(Opcode.TEXT, b"x", masked=not masked)]:
        assert lane.decode(good + other + good, masked=masked) == (["good"], len(good))


@each_lane
@both_directions
@pytest.mark.parametrize("size", [0, 1, 125, 126, 300, 0xFFFF, 0x10000])
def test_decoding_stops_before_a_frame_that_is_not_all_there(
    lane: Lane, masked: bool, size: int
) -> None:
    """Wherever it is cut, and whatever lies behind what was read in this process's memory."""
    for opcode in (Opcode.TEXT, Opcode.BINARY):
        whole = frame(opcode, b"x" * size, masked=masked)
        header = len(whole) - size
        for end in {*range(header), header + size // 2, len(whole) - 1} - {len(whole)}:
            assert lane.decode(whole[:end], masked=masked) == ([], 0)
            assert lane.decode(whole + whole[:end], masked=masked)[1] == len(whole)


@each_lane
@both_directions
@pytest.mark.parametrize(
    ("size", "size_bytes"),
    [
        (0, 2),
        (125, 2),
        (0, 8),
        (126, 8),
        (0xFFFF, 8),
        (1 << 31, 8),
        (1 << 32, 8),
        ((1 << 63) - 1, 8),
        (1 << 63, 8),
        ((1 << 63) + 5, 8),
        ((1 << 64) - 14, 8),
        ((1 << 64) - 1, 8),
    ],
)
def test_decoding_stops_before_lengths_that_are_wrong_or_enormous(
    lane: Lane, masked: bool, size: int, size_bytes: int
) -> None:
    """Longer than they need be, larger than memory, or with the first bit set."""
    length = bytes((0x82, (126 if size_bytes == 2 else 127) | (0x80 if masked else 0)))
    data = length + size.to_bytes(size_bytes) + bytes(0x10000 + 14)
    for max_size in (1 << 20, (1 << 63) - 1, 1 << 63, (1 << 64) - 1, 1 << 64, 1 << 100):
        assert lane.decode(data, masked=masked, max_size=max_size) == ([], 0)


@each_lane
@both_directions
@pytest.mark.parametrize("size", [0, 1, 125, 126, 0xFFFF, 0x10000])
def test_decoding_stops_before_a_message_over_the_limit(
    lane: Lane, masked: bool, size: int
) -> None:
    """As large as the limit is right, one byte more is not."""
    data = frame(Opcode.BINARY, bytes(size), masked=masked)
    for max_size in (size, size + 1, (1 << 63) - 1, 1 << 63, 1 << 64, 1 << 100):
        assert lane.decode(data, masked=masked, max_size=max_size) == ([bytes(size)], len(data))
    for max_size in (size - 1, -1, -(1 << 100)):
        assert lane.decode(data, masked=masked, max_size=max_size) == ([], 0)


@each_lane
@both_directions
@pytest.mark.parametrize("filler", [b"", b"a" * 7, b"a" * 100])
@pytest.mark.parametrize(
    "wrong",
    [
        b"\xff",
        b"\x80",
        b"\xc0\x80",  # NUL in too many bytes
        b"\xed\xa0\x80",  # a surrogate
        b"\xf4\x90\x80\x80",  # above U+10FFFF
        b"\xe2\x82",  # cut
    ],
)
def test_decoding_stops_before_text_that_is_not_utf8(
    lane: Lane, masked: bool, filler: bytes, wrong: bytes
) -> None:
    """What is to become of it is for wsproto to say."""
    good = frame(Opcode.TEXT, b"good", masked=masked)
    bad = frame(Opcode.TEXT, filler + wrong, masked=masked)
    assert lane.decode(good + bad + good, masked=masked) == (["good"], len(good))


@each_lane
@pytest.mark.parametrize("position", [0, 1, 2, 3, 100, sys.maxsize])
def test_decoding_behind_the_end_finds_nothing(lane: Lane, position: int) -> None:
    """Also far behind it."""
    assert lane.decode(b"", position) == ([], position)
    assert lane.decode(b"\x82", position) == ([], position)


INTERESTING = [
    *(b"\x81\x82\x01\x02\x00\x80\x88\x89\x8a\xc1\xf2"),  # first bytes
    *(b"\x00\x01\x02\x7d\x7e\x7f\x80\x81\x82\xfd\xfe\xff"),  # second bytes
]
wire = st.lists(
    st.sampled_from(INTERESTING).map(lambda octet: bytes((octet,)))
    | st.binary(max_size=6)
    | st.builds(frame, st.sampled_from([1, 2]), st.binary(max_size=200), masked=st.booleans())
).map(b"".join)


@each_lane
@given(wire, st.integers(0, 8), st.booleans(), st.sampled_from([0, 1, 100, 1 << 20]))
@example(b"\x81\x80\0\0\0\0", 0, True, 0)
def test_decoding_agrees_with_the_strict_parser(
    lane: Lane, data: bytes, position: int, masked: bool, max_size: int
) -> None:
    """For any bytes: exactly the ordinary frames are taken, and what is said is what they say."""
    expected = ordinary(data, position, masked=masked, max_size=max_size)
    assert lane.decode(data, position, masked=masked, max_size=max_size) == expected


# Compressed frames, which are taken one by one


@each_lane
@both_directions
@pytest.mark.parametrize("size", SIZES + LARGE_SIZES)
def test_compressed_payload_is_that_of_the_frame(lane: Lane, masked: bool, size: int) -> None:
    """Of text and binary, with something before and behind; cut anywhere it is not there."""
    payload = random.Random(size).randbytes(size)
    for opcode in (Opcode.TEXT, Opcode.BINARY):
        wire = frame(opcode, payload, rsv=4, masked=masked)
        end = 6 + len(wire)
        assert lane.compressed_payload(b"before" + wire + b"x", 6, masked) == (payload, end)
        for stop in {0, 1, 2, 3, 4, 5, 9, 10, 13, len(wire) // 2, len(wire) - 1}:
            if stop < len(wire):
                assert lane.compressed_payload(wire[:stop], 0, masked) is None


@each_lane
@both_directions
def test_no_other_frame_is_compressed(lane: Lane, masked: bool) -> None:
    """Not one without the bit, with others, that is a fragment, or wrong in any way."""
    for first in range(256):
        wire = frame(first & 0xF, b"x", fin=first >= 0x80, rsv=first >> 4 & 7, masked=masked)
        found = lane.compressed_payload(wire, 0, masked)
        assert (found is not None) is (first in {0xC1, 0xC2})
        assert lane.compressed_payload(wire, 0, not masked) is None
    for first in (0xC1, 0xC2):
        for length in (b"\x7e\x00\x7d", b"\x7f" + bytes(6) + b"\xff\xff", b"\x7f" + b"\xff" * 8):
            head = bytes([first, length[0] | 0x80 * masked]) + length[1:]
            assert lane.compressed_payload(head + bytes(70_000), 0, masked) is None


@each_lane
@both_directions
def test_compressed_frames_are_encoded_with_their_bit(lane: Lane, masked: bool) -> None:
    """Else they are as any other."""
    for size in SIZES:
        for text in (True, False):
            wire = lane.encode_frame(bytes(size), text, masked, True)
            (parsed,), rest = parse_frames(wire, masked=masked, rsv=4)
            assert (parsed.rsv, parsed.payload, rest) == (4, bytes(size), b"")
            assert (parsed.opcode == Opcode.TEXT) is text


# Encoding


@each_lane
@both_directions
@pytest.mark.parametrize("text", [True, False], ids=["text", "binary"])
@pytest.mark.parametrize("size", SIZES + LARGE_SIZES)
def test_encoded_frames_are_read_by_everyone(
    lane: Lane, masked: bool, text: bool, size: int
) -> None:
    """The strict parser, wsproto and the lane itself find in it what was sent, and nothing else."""
    payload = (b"a" if text else b"\xfe") * size
    message: str | bytes = payload.decode() if text else payload
    data = lane.encode_frame(payload, text, masked)
    (parsed,), rest = parse_frames(data, masked=masked)
    assert rest == b""
    assert parsed.fin
    assert parsed.rsv == 0
    assert parsed.opcode == (Opcode.TEXT if text else Opcode.BINARY)
    assert parsed.payload == payload
    reader = Connection(ConnectionType.SERVER if masked else ConnectionType.CLIENT)
    reader.receive_data(data)
    (event,) = reader.events()
    assert isinstance(event, (wsproto.events.TextMessage, wsproto.events.BytesMessage))
    assert event.message_finished
    assert event.data == message
    assert lane.decode(data, masked=masked) == ([message], len(data))


@each_lane
@both_directions
@pytest.mark.parametrize("size", [0, 5, 125, 126, 70_000])
def test_encoded_frames_are_those_of_wsproto(lane: Lane, masked: bool, size: int) -> None:
    """With the same masking key they are the same bytes."""
    writer = Connection(ConnectionType.CLIENT if masked else ConnectionType.SERVER)
    with draw_from(lambda count: (MASK_KEY * count)[:count]):
        expected = writer.send(wsproto.events.BytesMessage(bytes(size)))
        assert lane.encode_frame(bytes(size), False, masked) == expected


class Subclass(bytes):
    """As numpy.bytes_ is one."""


@each_lane
@both_directions
def test_encoding_takes_subclasses_of_bytes(lane: Lane, masked: bool) -> None:
    """What an application has may be one."""
    data = lane.encode_frame(Subclass(b"abc"), False, masked)
    assert type(data) is bytes
    assert parse_frames(data)[0][0].payload == b"abc"


# Masking


@each_lane
@pytest.mark.parametrize("key", [b"\0\0\0\0", b"\xff\xff\xff\xff", MASK_KEY, b"\x80\0\0\x01"])
@pytest.mark.parametrize("size", SIZES)
def test_masking_is_what_the_rfc_says(lane: Lane, key: bytes, size: int) -> None:
    """Octet by octet; and twice is not at all."""
    payload = random.Random(size).randbytes(size)
    masked = bytes(octet ^ key[i % 4] for i, octet in enumerate(payload))
    assert lane.mask(payload, key) == masked
    assert lane.mask(masked, key) == payload


def keys_of(lane: Lane, count: int) -> list[bytes]:
    """Return the masking keys of so many frames."""
    return [lane.encode_frame(b"", False, True)[2:] for _ in range(count)]


@each_lane
def test_masking_keys_are_used_once(lane: Lane) -> None:
    """The operating system is asked often enough that none of 10,000 frames shares its key."""
    numbers = itertools.count()

    def next_numbers(size: int) -> bytes:
        return b"".join(next(numbers).to_bytes(4) for _ in range(size // 4))

    with draw_from(next_numbers):
        keys = keys_of(lane, 10_000)
    assert {len(key) for key in keys} == {4}
    assert len(set(keys)) == 10_000
    drawn = next(numbers)
    assert {int.from_bytes(key) for key in keys} <= set(range(drawn))
    assert drawn <= 11_024  # none is thrown away


@each_lane
def test_masking_keys_are_random(lane: Lane) -> None:
    """10,000 drawn from 32 bits are different, give or take a coincidence, and use all bits."""
    keys = keys_of(lane, 10_000)
    assert len(set(keys)) >= 9_990
    for bit in range(32):
        ones = sum(int.from_bytes(key) >> bit & 1 for key in keys)
        assert 4_500 <= ones <= 5_500  # ten standard deviations


@each_lane
def test_masking_keys_do_not_follow_a_seed(lane: Lane) -> None:
    """Whoever seeds `random` makes them no more predictable."""
    lane.forget_keys()
    state = random.getstate()
    try:
        random.seed(1)
        first = keys_of(lane, 100)
        lane.forget_keys()
        random.seed(1)
        assert random.getstate() == random.Random(1).getstate()
        assert not set(keys_of(lane, 100)) & set(first)
    finally:
        random.setstate(state)


@each_lane
def test_masking_keys_are_not_shared_by_threads(lane: Lane) -> None:
    """Each thread may run its own event loop."""
    numbers = itertools.count()

    def next_numbers(size: int) -> bytes:
        return b"".join(next(numbers).to_bytes(4) for _ in range(size // 4))

    used: list[list[bytes]] = []
    threads = [threading.Thread(target=lambda: used.append(keys_of(lane, 3000))) for _ in range(4)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with draw_from(next_numbers):
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
    finally:
        sys.setswitchinterval(interval)
    keys = [key for some in used for key in some]
    assert len(keys) == len(set(keys)) == 12_000


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@each_lane
def test_masking_keys_are_drawn_anew_in_a_child_process(lane: Lane) -> None:
    """A fork copies what was drawn; the child must not use it too."""
    program = f"""
import os
from {MODULES[lane.name]} import encode_frame

def keys():
    return [encode_frame(b"", False, True)[2:].hex() for _ in range(3)]

keys()  # now more are drawn than used
read_end, write_end = os.pipe()
if os.fork() == 0:
    os.write(write_end, " ".join(keys()).encode())
    os._exit(0)
os.wait()
print(*keys(), os.read(read_end, 100).decode())
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=CHECKOUT, capture_output=True, text=True, check=True
    )
    keys = done.stdout.split()
    assert len(keys) == 6
    # Six out of 32 bits: that two are the same happens once in 300 million runs.
    assert len(set(keys)) == 6


@each_lane
@pytest.mark.parametrize("random_bytes", [b"", b"abc", None, "text"])
def test_encoding_without_random_bytes_raises(lane: Lane, random_bytes: object) -> None:
    """Nothing but bytes, and enough of them, is taken for a key; later frames are as always."""

    def source(size: int) -> object:
        return random_bytes

    with draw_from(source):
        with pytest.raises((OSError, TypeError, struct.error)):
            lane.encode_frame(b"payload", False, True)
        assert lane.encode_frame(b"payload", False, False) == b"\x82\x07payload"
    assert parse_frames(lane.encode_frame(b"payload", False, True))[0][0].payload == b"payload"


@each_lane
def test_encoding_without_randomness_raises(lane: Lane) -> None:
    """What the operating system says reaches the application."""

    def source(size: int) -> object:
        raise OSError("no random bytes today")

    with draw_from(source), pytest.raises(OSError, match="today"):
        lane.encode_frame(b"payload", False, True)


def test_frames_works_where_processes_cannot_fork(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on Windows: there is nothing to be told of."""
    monkeypatch.delattr(os, "register_at_fork", raising=False)
    spec = importlib.util.spec_from_file_location("frames_without_fork", frames.__file__)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert parse_frames(module.encode_frame(b"a", True, True))[0][0].payload == b"a"


# What is compiled must not harm the process, whatever it is given.


@each_lane
def test_lane_leaks_nothing(lane: Lane) -> None:
    """Neither the messages nor what is made on the way to refusing a frame."""
    data = b"".join(
        frame(opcode, payload, masked=True)
        for opcode, payload in [
            (Opcode.TEXT, b"ascii" * 20),
            (Opcode.TEXT, "é".encode() * 50),
            (Opcode.BINARY, bytes(100)),
            (Opcode.TEXT, b"\xff" * 100),
        ]
    )
    payload = b"p" * 100

    def use() -> None:
        for _ in range(1500):
            assert len(lane.decode(data, masked=True)[0]) == 3
            assert lane.decode(data, masked=False)[0] == []
            lane.encode_frame(payload, True, True)
            lane.mask(payload, MASK_KEY)

    use()
    references = [sys.getrefcount(item) for item in (data, payload, MASK_KEY)]
    tracemalloc.start()
    try:
        use()
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert [sys.getrefcount(item) for item in (data, payload, MASK_KEY)] == references
    # Some keys drawn and not used yet; a leak would be 1500 objects of 100 bytes.
    assert held < 40_000


NOTHING: list[Event] = []
WRONG_ARGUMENTS: list[tuple[str, tuple[object, ...]]] = [
    ("decode_frames", (None, 0, True, 1, NOTHING)),
    ("decode_frames", ("text", 0, True, 1, NOTHING)),
    ("decode_frames", (1, 0, True, 1, NOTHING)),
    ("decode_frames", (b"\x82\x00", None, False, 1, NOTHING)),
    ("decode_frames", (b"\x82\x00", "0", False, 1, NOTHING)),
    ("decode_frames", (b"\x82\x00", 0, False, None, NOTHING)),
    ("decode_frames", (b"\x82\x00", 0, False, "1", NOTHING)),
    ("decode_frames", (b"\x82\x00", 0, False, 1, None)),
    ("decode_frames", (b"\x82\x00", 0, False, 1, ())),
    ("decode_frames", (b"\x82\x00", 0, False)),
    ("compressed_payload", (None, 0, True)),
    ("compressed_payload", ("text", 0, True)),
    ("compressed_payload", (b"\xc2\x00", None, False)),
    ("compressed_payload", (b"\xc2\x00", 0)),
    ("encode_frame", (None, False, False)),
    ("encode_frame", (None, False, True)),
    ("encode_frame", ("text", False, False)),
    ("encode_frame", (1, False, True)),
    ("encode_frame", (["list"], False, True)),
    ("mask", (None, MASK_KEY)),
    ("mask", ("text", MASK_KEY)),
    ("mask", (b"data", None)),
    ("mask", (b"data", "text")),
]


@each_lane
@pytest.mark.parametrize(("function", "arguments"), WRONG_ARGUMENTS)
def test_lane_refuses_arguments_of_other_types(
    lane: Lane, function: str, arguments: tuple[object, ...]
) -> None:
    """With an exception, and no harm to the process."""
    with pytest.raises((TypeError, AttributeError)):
        getattr(lane, function)(*arguments)


@pytest.mark.parametrize("position", [-1, -2, -(1 << 62), -(1 << 70), 1 << 63])
def test_compiled_lane_refuses_what_would_be_outside_of_memory(position: int) -> None:
    """Python counts from the end; a pointer must not."""
    for lane in LANES:
        if lane is not PURE:
            with pytest.raises((ValueError, OverflowError)):
                lane.decode(b"\x82\x00", position)
            with pytest.raises((ValueError, OverflowError)):
                lane.compressed_payload(b"\xc2\x00", position, False)


@pytest.mark.parametrize("key", [b"", b"abc", b"abcde"])
def test_compiled_lane_refuses_keys_of_other_lengths(key: bytes) -> None:
    """Python would mask with any; a pointer is to four bytes."""
    for lane in LANES:
        if lane is not PURE:
            with pytest.raises(ValueError, match="4 bytes"):
                lane.mask(b"data", key)
