"""Compression without frames: what comes out of `Compressor` goes into `Inflater`."""

import itertools
import json
import random
import tracemalloc
import zlib
from collections.abc import Iterator

import pytest
from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage, Ping, TextMessage

from trio_ws._options import Deflate
from trio_ws.protocol.deflate import CompressedFrames, Compressor, Inflater
from trio_ws.testing import Opcode, parse_frames

MIB = 1024 * 1024

# RFC 7692 section 7.2.3: what "Hello" may be compressed to.
HELLO = [
    pytest.param("f2 48 cd c9 c9 07 00", id="one block"),
    pytest.param("00 05 00 fa ff 48 65 6c 6c 6f 00", id="no compression"),
    pytest.param("f3 48 cd c9 c9 07 00 00", id="BFINAL"),
    pytest.param("f2 48 05 00 00 00 ff ff ca c9 c9 07 00", id="two blocks"),
]


def read_all(inflater: Inflater, room: int = 1 << 20) -> bytes:
    """Read what is left of a message, so many bytes at a time."""
    data = b""
    while inflater.readable:
        data += inflater.read(room)
        if inflater.complete:
            inflater.end_message()
    return data


def inflate_at_once(inflater: Inflater, payload: bytes, max_size: int = 1000) -> bytes:
    """Inflate a message, at once as far as that goes."""
    data = inflater.inflate_message(payload, max_size, text=False)
    return read_all(inflater) if data is None else data


def inflate_in_pieces(inflater: Inflater, payload: bytes, *, size: int, room: int) -> bytes:
    """Inflate a message of one frame that is fed and read in pieces of these sizes."""
    inflater.begin_message(text=False)
    inflater.begin_frame(last=True)
    data = b""
    for start in range(0, len(payload) or 1, size):
        assert inflater.busy
        complete = start + size >= len(payload)
        inflater.feed(payload[start : start + size], frame_complete=complete)
        data += read_all(inflater, room)
    assert not inflater.busy
    return data


def messages(count: int = 30) -> Iterator[bytes]:
    """Yield messages that are alike, some empty, some large, some without any order."""
    chance = random.Random(7)
    for number in range(count):
        text = json.dumps({"id": number, "values": [chance.randrange(99) for _ in range(30)]})
        yield chance.choice([b"", text.encode(), text.encode() * 40, chance.randbytes(5000)])


settings = pytest.mark.parametrize(
    ("level", "bits", "mem_level", "takeover"),
    [(1, 9, 1, True), (1, 12, 5, True), (6, 12, 5, False), (9, 15, 9, True), (1, 9, 9, False)],
)


@settings
def test_messages_come_out_as_they_went_in(
    level: int, bits: int, mem_level: int, takeover: bool
) -> None:
    """Whatever the settings: at once, or bit by bit, one way after the other."""
    ours = Deflate(
        level=level, window_bits=bits, mem_level=mem_level, context_takeover=takeover, threshold=0
    )
    compressor = Compressor(ours)
    inflater = Inflater(Deflate(peer_window_bits=bits, peer_context_takeover=takeover))
    ways = itertools.cycle([None, (1, 1), (7, 100), (5000, 1 << 20)])
    for message, way in zip(messages(), ways, strict=False):
        payload = compressor.compress(message)
        if way is None:
            assert inflater.inflate_message(payload, len(message), text=False) == message
        else:
            size, room = way
            assert inflate_in_pieces(inflater, payload, size=size, room=room) == message


def test_context_is_taken_over_only_where_that_was_agreed_on() -> None:
    """With it the second of two equal messages is tiny; without it both are the same."""
    message = random.Random(1).randbytes(1000)
    keeping, forgetting = Compressor(Deflate()), Compressor(Deflate(context_takeover=False))
    assert len(keeping.compress(message)) > 1000
    assert len(keeping.compress(message)) < 20
    assert forgetting.compress(message) == forgetting.compress(message)


def test_window_is_no_larger_than_agreed_on() -> None:
    """What lies further back than that is not referred to."""
    message = random.Random(1).randbytes(100)
    for bits in range(9, 16):
        options = Deflate(window_bits=bits, peer_window_bits=bits)
        near, far = (
            message + random.Random(2).randbytes(size) + message for size in (9, 1 << bits)
        )
        assert len(Compressor(options).compress(near)) < len(near) - 50
        payload = Compressor(options).compress(far)
        assert len(payload) > len(far)
        assert Inflater(options).inflate_message(payload, len(far), text=False) == far


@pytest.mark.parametrize("final", [True, False])
def test_parts_can_be_read_as_they_come(final: bool) -> None:
    """Each part of a message ends at the end of a byte, also one of nothing."""
    compressor, stream = Compressor(Deflate()), zlib.decompressobj(-15)
    for part in [b"", b"one", b"", b"two", b"two"]:
        payload = compressor.compress(part, final=final)
        assert stream.decompress(payload + (b"\0\0\xff\xff" if final else b"")) == part


@pytest.mark.parametrize("payload", HELLO)
@pytest.mark.parametrize("takeover", [True, False])
def test_hello_of_the_rfc_is_read(payload: str, takeover: bool) -> None:
    """All its examples, at once and bit by bit; and afterwards the first one again."""
    data = bytes.fromhex(payload)
    for way in (None, 1, 100):
        inflater = Inflater(Deflate(peer_context_takeover=takeover))
        if way is None:
            assert inflate_at_once(inflater, data) == b"Hello"
        else:
            assert inflate_in_pieces(inflater, data, size=way, room=100) == b"Hello"
        hello = bytes.fromhex("f2 48 cd c9 c9 07 00")
        assert inflater.inflate_message(hello, 5, text=False) == b"Hello"


def test_second_hello_of_the_rfc_refers_to_the_first() -> None:
    """Section 7.2.3.2: with the window taken over, and not without."""
    first, second = bytes.fromhex("f2 48 cd c9 c9 07 00"), bytes.fromhex("f2 00 11 00 00")
    keeping, forgetting = Inflater(Deflate()), Inflater(Deflate(peer_context_takeover=False))
    for inflater in (keeping, forgetting):
        assert inflater.inflate_message(first, 5, text=False) == b"Hello"
    assert keeping.inflate_message(second, 5, text=False) == b"Hello"
    with pytest.raises(zlib.error):
        forgetting.inflate_message(second, 5, text=False)


def test_streams_may_end_within_a_message() -> None:
    """Blocks with BFINAL, one behind the other: what follows each is another stream."""
    parts = [b"one ", b"two ", b"", b"three"]
    payload = b"".join(_final(part) for part in parts) + b"\0"
    inflater = Inflater(Deflate())
    for _ in range(2):
        assert inflater.inflate_message(payload, 100, text=False) is None
        assert read_all(inflater) == b"one two three"
        assert inflate_in_pieces(inflater, payload, size=3, room=2) == b"one two three"


def _final(data: bytes) -> bytes:
    compressor = zlib.compressobj(6, zlib.DEFLATED, -15)
    return compressor.compress(data) + compressor.flush()


@pytest.mark.parametrize("limit", [1, 2, 100, 999, 1000, 1001, 32768, 65536, 1 << 20])
def test_limit_is_exact(limit: int) -> None:
    """A message of just the limit is had at once, one of a byte more is not; nothing is lost."""
    for content in (b"a" * (limit + 1), random.Random(limit).randbytes(limit + 1)):
        inflater = Inflater(Deflate(peer_context_takeover=False))
        good, bad = (Compressor(Deflate()).compress(each) for each in (content[:-1], content))
        assert inflater.inflate_message(good, limit, text=False) == content[:-1]
        assert inflater.inflate_message(bad, limit, text=False) is None
        assert inflater.read(limit) == content[:-1]
        assert inflater.read(0) == b""
        assert inflater.has_more
        assert read_all(inflater) == content[-1:]


def test_reading_without_room_only_looks() -> None:
    """It finds the end as well as more."""
    payload = Compressor(Deflate()).compress(b"abc")
    inflater = Inflater(Deflate())
    inflater.begin_message(text=False)
    inflater.begin_frame(last=True)
    inflater.feed(payload, frame_complete=True)
    assert inflater.read(2) == b"ab"
    assert inflater.read(0) == b""
    assert inflater.has_more
    assert inflater.read(1) == b"c"
    assert not inflater.has_more
    assert inflater.read(0) == b""
    assert not inflater.has_more
    assert inflater.complete


def test_text_is_decoded_as_it_is_read() -> None:
    """Characters that are cut come with the next piece; what is cut at the end is no text."""
    inflater = Inflater(Deflate())
    for text, end in (("a\N{EURO SIGN}b", b""), ("a", b"\xe2\x82")):
        payload = Compressor(Deflate()).compress(text.encode() + end)
        inflater.begin_message(text=True)
        inflater.begin_frame(last=True)
        inflater.feed(payload, frame_complete=True)
        pieces: list[str | bytes] = [inflater.decode(inflater.read(2))]
        if end:
            with pytest.raises(UnicodeDecodeError):
                inflater.decode(inflater.read(100))
        else:
            pieces += [inflater.decode(inflater.read(100)) for _ in range(2)]
            assert pieces == ["a", "\N{EURO SIGN}b", ""]
            inflater.end_message()


@pytest.mark.parametrize(
    "payload",
    [
        pytest.param(b"\x07", id="reserved block type"),
        pytest.param(b"\x00\x05\x00\x05\x00Hello\x00", id="wrong stored length"),
        pytest.param(b"\xf2\x00\x11\x00\x00", id="reference before the beginning"),
        pytest.param(_final(b"Hello") + b"garbage", id="garbage behind BFINAL"),
        pytest.param(b"\xfd\xff\xff\xff", id="bad code lengths"),
    ],
)
def test_what_nobody_compressed_is_an_error(payload: bytes) -> None:
    """At once, and bit by bit."""
    with pytest.raises(zlib.error):
        inflate_at_once(Inflater(Deflate()), payload)
    with pytest.raises(zlib.error):
        inflate_in_pieces(Inflater(Deflate()), payload, size=1, room=10)


def test_messages_cut_short_never_hang_and_stay_within_their_size() -> None:
    """Nobody says that something is missing, so this is what can be promised."""
    message = json.dumps(list(range(300))).encode()
    payload = Compressor(Deflate()).compress(message)
    for size in range(len(payload)):
        inflater = Inflater(Deflate(peer_context_takeover=False))
        try:
            data = inflater.inflate_message(payload[:size], len(message), text=False)
        except zlib.error:
            continue
        if data is None:
            data = inflater.read(len(message))
        assert len(data) <= len(message)


def test_bombs_take_no_more_memory_than_is_read_of_them() -> None:
    """256 MiB in 256 KiB: a megabyte of it at once, or 64 KiB at a time."""
    compressor = zlib.compressobj(9, zlib.DEFLATED, -15)
    mebibyte = compressor.compress(bytes(MIB)) + compressor.flush(zlib.Z_FULL_FLUSH)
    bomb = (mebibyte * 256)[:-4]
    assert len(bomb) < 300_000
    inflater = Inflater(Deflate())
    tracemalloc.start()
    try:
        assert inflater.inflate_message(bomb, MIB, text=False) is None
        read = len(inflater.read(MIB + 1))
        _, at_once = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        for _ in range(50):
            read += len(inflater.read(1 << 16))
        _, in_pieces = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert read == MIB + 1 + 50 * (1 << 16)
    assert at_once < 4 * MIB
    assert in_pieces < MIB


def test_memory_is_taken_at_the_first_message_and_given_back_without_takeover() -> None:
    """Neither of the two holds anything of zlib's before, nor between messages that stand alone."""
    options = Deflate(context_takeover=False, peer_context_takeover=False)
    tracemalloc.start()
    try:
        compressors = [Compressor(options) for _ in range(100)]
        inflaters = [Inflater(options) for _ in range(100)]
        for compressor, inflater in zip(compressors, inflaters, strict=True):
            inflater.inflate_message(compressor.compress(b"abc"), 3, text=False)
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 100 * 400
    assert compressors
    assert inflaters


# As wsproto's extension


def test_wsproto_compresses_fragments_with_it() -> None:
    """The bit is on the first fragment alone; control frames are what they were."""
    ours = Connection(ConnectionType.SERVER, [CompressedFrames(Compressor(Deflate()))])
    wire = ours.send(TextMessage("abc", message_finished=False))
    wire += ours.send(Ping(b"ping"))
    wire += ours.send(TextMessage("abc", message_finished=True))
    wire += ours.send(BytesMessage(b"", message_finished=True))
    frames, _ = parse_frames(bytes(wire), masked=False, rsv=4)
    opcodes = [Opcode.TEXT, Opcode.PING, Opcode.CONTINUATION, Opcode.BINARY]
    assert [(frame.opcode, frame.rsv) for frame in frames] == list(
        zip(opcodes, [4, 0, 0, 4], strict=True)
    )
    first, ping, second, empty = (frame.payload for frame in frames)
    assert ping == b"ping"
    inflater = Inflater(Deflate())
    assert inflater.inflate_message(first + second, 6, text=True) == b"abcabc"
    assert inflater.inflate_message(empty, 6, text=False) == b""


def test_wsproto_compresses_nothing_without_a_compressor() -> None:
    """That is for a threshold of infinity."""
    ours = Connection(ConnectionType.SERVER, [CompressedFrames(None)])
    assert ours.send(TextMessage("abc")) == b"\x81\x03abc"


def test_wsproto_is_offered_nothing() -> None:
    """What is agreed on is agreed on elsewhere; to wsproto it is a fact."""
    extension = CompressedFrames(None)
    assert extension.enabled()
    assert extension.offer() is False
