"""The oracle of frames: what it reads, what it refuses, and that it agrees with wsproto."""

import copy
import pickle
from collections.abc import Callable
from typing import Literal

import pytest
from hypothesis import given, settings, strategies as st
from wsproto.connection import Connection, ConnectionState, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, TextMessage

from trio_ws.testing import (
    CutShort,
    Frame,
    Opcode,
    Violation,
    build_frame,
    close_payload,
    join_messages,
    parse_frames,
)

KEY = b"\x37\xfa\x21\x3d"

TEXT, BINARY, CONTINUATION = Opcode.TEXT, Opcode.BINARY, Opcode.CONTINUATION


def frame(opcode: int, payload: bytes = b"", *, fin: bool = True, rsv: int = 0) -> Frame:
    """Return an unmasked frame."""
    return Frame(fin, rsv, opcode, masked=False, payload=payload)


# Building and reading


@pytest.mark.parametrize(
    ("wire", "expected"),
    [
        ("81 05 48 65 6c 6c 6f", frame(TEXT, b"Hello")),
        ("81 85 37 fa 21 3d 7f 9f 4d 51 58", Frame(True, 0, TEXT, True, b"Hello")),
        ("01 03 48 65 6c", frame(TEXT, b"Hel", fin=False)),
        ("80 02 6c 6f", frame(CONTINUATION, b"lo")),
        ("89 05 48 65 6c 6c 6f", frame(Opcode.PING, b"Hello")),
        ("8a 85 37 fa 21 3d 7f 9f 4d 51 58", Frame(True, 0, Opcode.PONG, True, b"Hello")),
        ("82 7e 01 00" + "00" * 256, frame(BINARY, bytes(256))),
        ("82 7f 00 00 00 00 00 01 00 00" + "00" * 65536, frame(BINARY, bytes(65536))),
    ],
)
def test_frame_is_that_of_the_rfc(wire: str, expected: Frame) -> None:
    """The examples of RFC 6455, section 5.7, are read and built."""
    octets = bytes.fromhex(wire)
    assert parse_frames(octets) == ([expected], b"")
    built = build_frame(
        expected.opcode,
        expected.payload,
        fin=expected.fin,
        mask_key=KEY if expected.masked else None,
    )
    assert built == octets


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65535, 65536])
@pytest.mark.parametrize("key", [None, KEY])
def test_frame_survives_at_every_size_of_its_header(size: int, key: bytes | None) -> None:
    """What is built is read back, with the size in as few bytes as can be."""
    payload = bytes(number % 251 for number in range(size))
    wire = build_frame(BINARY, payload, mask_key=key)
    assert parse_frames(wire) == ([Frame(True, 0, BINARY, key is not None, payload)], b"")


@pytest.mark.parametrize("size", [0, 125, 126, 65536])
@pytest.mark.parametrize("key", [None, KEY])
def test_frame_is_awaited_until_its_last_byte(size: int, key: bytes | None) -> None:
    """Every beginning of it is unfinished, the header's included."""
    wire = build_frame(BINARY, bytes(size), mask_key=key)
    for end in [*range(min(len(wire), 20)), len(wire) - 1]:
        assert parse_frames(wire[:end]) == ([], wire[:end])


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_frames_are_built_and_read_from_any_buffer(
    kind: type[bytes | bytearray | memoryview],
) -> None:
    """Bytes-like is good enough."""
    wire = build_frame(TEXT, kind(b"Hello"))
    assert parse_frames(kind(wire)) == ([frame(TEXT, b"Hello")], b"")


@pytest.mark.parametrize(
    ("size", "size_bytes", "header"),
    [
        (5, 2, "82 7e 00 05"),
        (5, 8, "82 7f 00 00 00 00 00 00 00 05"),
        (None, 2, "82 7e 00 03"),
        (2**62, None, "82 7f 40 00 00 00 00 00 00 00"),
        (2**64 - 1, None, "82 7f ff ff ff ff ff ff ff ff"),
        (125, None, "82 7d"),
    ],
)
def test_build_frame_lies_about_the_size_when_told_to(
    size: int | None, size_bytes: Literal[0, 2, 8] | None, header: str
) -> None:
    """The header tells what the test says, the payload is as it is."""
    wire = build_frame(BINARY, b"abc", size=size, size_bytes=size_bytes)
    assert wire == bytes.fromhex(header) + b"abc"


@pytest.mark.parametrize(
    "call",
    [
        lambda: build_frame(16),
        lambda: build_frame(-1),
        lambda: build_frame(TEXT, rsv=8),
        lambda: build_frame(TEXT, mask_key=b"123"),
        lambda: build_frame(TEXT, size=126, size_bytes=0),
        lambda: build_frame(TEXT, size=65536, size_bytes=2),
        lambda: build_frame(TEXT, size=2**64),
        lambda: build_frame(TEXT, size=-1),
    ],
)
def test_build_frame_refuses_what_fits_in_no_frame(call: Callable[[], bytes]) -> None:
    """Any frame can be built, but only frames."""
    with pytest.raises(ValueError, match=r"no frame holds|does not fit"):
        call()


# Strictness, one frame at a time


@pytest.mark.parametrize("opcode", [0x3, 0x4, 0x5, 0x6, 0x7, 0xB, 0xC, 0xD, 0xE, 0xF])
def test_reserved_opcode_is_a_violation(opcode: int) -> None:
    """RFC 6455, section 5.2."""
    with pytest.raises(Violation, match=f"reserved opcode {opcode:#x}"):
        parse_frames(build_frame(opcode))


@pytest.mark.parametrize(
    ("opcode", "rsv", "allowed", "violation"),
    [
        (TEXT, 4, 4, False),
        (BINARY, 4, 4, False),
        (BINARY, 5, 7, False),
        (TEXT, 4, 0, True),
        (TEXT, 2, 4, True),
        (TEXT, 6, 4, True),
        (BINARY, 1, 0, True),
        (CONTINUATION, 4, 4, True),  # RFC 7692, section 6.1: on the first fragment only
        (Opcode.PING, 4, 4, True),
        (Opcode.CLOSE, 4, 4, True),
    ],
)
def test_reserved_bits_need_an_extension(
    opcode: int, rsv: int, allowed: int, violation: bool
) -> None:
    """RFC 6455, section 5.2."""
    wire = build_frame(opcode, rsv=rsv)
    if violation:
        with pytest.raises(Violation, match=r"reserved bits 0b[01]{3} without an extension"):
            parse_frames(wire, rsv=allowed)
    else:
        assert parse_frames(wire, rsv=allowed) == ([frame(opcode, rsv=rsv)], b"")


@pytest.mark.parametrize("opcode", [Opcode.CLOSE, Opcode.PING, Opcode.PONG])
@pytest.mark.parametrize(
    ("fin", "size", "problem"),
    [(False, 0, "fragmented control frame"), (True, 126, "control frame of more than 125 bytes")],
)
def test_control_frames_are_small_and_whole(
    opcode: int, fin: bool, size: int, problem: str
) -> None:
    """RFC 6455, section 5.5; seen in the first two bytes."""
    with pytest.raises(Violation, match=problem):
        parse_frames(build_frame(opcode, bytes(size), fin=fin)[:2])


@pytest.mark.parametrize(
    ("size", "size_bytes"), [(0, 2), (125, 2), (0, 8), (65535, 8), (2**63, 8), (2**64 - 1, 8)]
)
def test_length_is_minimal_and_positive(size: int, size_bytes: Literal[2, 8]) -> None:
    """RFC 6455, section 5.2; seen in the header."""
    with pytest.raises(Violation, match=f"length {size} in {size_bytes} bytes"):
        parse_frames(build_frame(BINARY, size=size, size_bytes=size_bytes))


@pytest.mark.parametrize(
    ("masked", "key", "problem"),
    [(True, None, "unmasked frame from a client"), (False, KEY, "masked frame from a server")],
)
def test_masking_is_right_for_the_role(masked: bool, key: bytes | None, problem: str) -> None:
    """RFC 6455, section 5.1; either is taken where no role is given."""
    wire = build_frame(TEXT, b"x", mask_key=key)
    with pytest.raises(Violation, match=problem):
        parse_frames(wire, masked=masked)
    assert len(parse_frames(wire, masked=not masked)[0]) == 1
    assert len(parse_frames(wire)[0]) == 1


def accepts_close(code: int) -> bool:
    """Return whether a Close frame with this code is read."""
    try:
        (close,), _ = parse_frames(build_frame(Opcode.CLOSE, close_payload(code, "why")))
    except Violation as violation:
        return not str(violation).startswith(f"Close frame with code {code}: ")
    return (close.close_code, close.close_reason) == (code, "why")


def test_close_code_is_one_that_may_be_sent() -> None:
    """RFC 6455, section 7.4, and the registry at IANA; around every border."""
    codes = {*range(1100), *range(2990, 3010), *range(4990, 5010), 65535}
    assert {code for code in codes if accepts_close(code)} == {
        *range(1000, 1004),
        *range(1007, 1015),
        *range(3000, 3010),
        *range(4990, 5000),
    }


def test_close_without_a_code_stands_for_1005() -> None:
    """RFC 6455, section 7.1.5."""
    (close,), _ = parse_frames(build_frame(Opcode.CLOSE, close_payload(None)))
    assert (close.close_code, close.close_reason) == (1005, "")


@pytest.mark.parametrize(
    ("payload", "problem"),
    [(b"\x03", "half a code"), (b"\x03\xe8\xff", "no UTF-8"), (b"\x03\xe8\xc3", "no UTF-8")],
)
def test_close_payload_is_a_code_and_a_text(payload: bytes, problem: str) -> None:
    """RFC 6455, section 5.5.1."""
    with pytest.raises(Violation, match=problem):
        parse_frames(build_frame(Opcode.CLOSE, payload))


def test_only_a_close_frame_has_a_close_code() -> None:
    """Asking another frame is a mistake of the test."""
    with pytest.raises(ValueError, match="is no Close frame"):
        _ = frame(Opcode.PING).close_code
    with pytest.raises(ValueError, match="is no Close frame"):
        _ = frame(TEXT, b"\x03\xe8why").close_reason


def test_violation_shows_the_frame_from_its_first_byte() -> None:
    """The frames before it are left out, and of a long one only the beginning is shown."""
    wire = build_frame(TEXT, b"fine") + build_frame(0x3, bytes(100))
    with pytest.raises(Violation) as caught:
        parse_frames(wire)
    assert caught.value.data == build_frame(0x3, bytes(100))
    shown = bytes.fromhex("83 64") + bytes(30)
    assert str(caught.value) == f"reserved opcode 0x3: {shown!r}..."


@pytest.mark.parametrize("kind", [Violation, CutShort])
def test_violation_survives_copy_and_pickle(kind: type[Violation]) -> None:
    """With all it knows."""
    original = kind("what is wrong", bytearray(b"here"))
    for twin in (copy.copy(original), pickle.loads(pickle.dumps(original))):
        assert type(twin) is kind
        assert str(twin) == "what is wrong: b'here'"
        assert twin.data == b"here"


# One after the other

HEL, LO, WHOLE, PING, CLOSE = (
    frame(TEXT, b"Hel", fin=False),
    frame(CONTINUATION, b"lo"),
    frame(BINARY, b"\xff"),
    frame(Opcode.PING),
    frame(Opcode.CLOSE),
)


@pytest.mark.parametrize(
    ("frames", "messages"),
    [
        ([], []),
        ([WHOLE], [b"\xff"]),
        ([HEL, LO], ["Hello"]),
        ([PING, HEL, PING, PING, LO, PING, WHOLE, CLOSE], ["Hello", b"\xff"]),
        ([HEL, frame(CONTINUATION, fin=False), LO], ["Hello"]),
        ([frame(TEXT), frame(BINARY)], ["", b""]),
        ([WHOLE, HEL], [b"\xff"]),
        ([HEL, CLOSE], []),
        # A character may be cut by a fragment.
        ([frame(TEXT, b"\xe2\x82", fin=False), frame(CONTINUATION, b"\xac")], ["€"]),
        # What an extension has transformed is neither text nor checked.
        ([frame(TEXT, b"\xff", rsv=4, fin=False), LO, HEL, LO], [b"\xfflo", "Hello"]),
    ],
)
def test_messages_are_joined_from_fragments(
    frames: list[Frame], messages: list[str | bytes]
) -> None:
    """Text is str, binary is bytes; control frames and an unfinished end are left out."""
    assert join_messages(frames) == messages


@pytest.mark.parametrize(
    ("frames", "problem"),
    [
        ([LO], "continuation frame without a message in progress"),
        ([HEL, LO, LO], "continuation frame without a message in progress"),
        ([HEL, HEL], "new message before the last fragment of the one in progress"),
        ([HEL, PING, WHOLE], "new message before the last fragment of the one in progress"),
        ([CLOSE, WHOLE], "frame after a Close frame"),
        ([CLOSE, CLOSE], "frame after a Close frame"),
        ([HEL, CLOSE, LO], "frame after a Close frame"),
        ([CLOSE, PING], "frame after a Close frame"),
        ([frame(TEXT, b"\xff")], "text message that is no UTF-8"),
        ([frame(TEXT, b"\xe2\x82")], "text message that is no UTF-8"),
        ([frame(TEXT, b"\xff", fin=False)], "text message that is no UTF-8"),
        ([HEL, frame(CONTINUATION, b"\xff")], "text message that is no UTF-8"),
        ([frame(TEXT, b"\xed\xa0\x80")], "text message that is no UTF-8"),
    ],
)
def test_messages_in_a_wrong_order_are_a_violation(frames: list[Frame], problem: str) -> None:
    """RFC 6455, sections 5.4, 5.5.1 and 5.6."""
    with pytest.raises(Violation, match=problem):
        join_messages(frames)


# Properties

small, large = st.binary(max_size=125), st.integers(126, 70000).map(bytes)
key = st.none() | st.binary(min_size=4, max_size=4)
frames_to_build = st.tuples(
    st.sampled_from([TEXT, BINARY, CONTINUATION]), small | large, key
) | st.tuples(st.sampled_from([Opcode.PING, Opcode.PONG]), small, key)


@given(st.lists(frames_to_build, max_size=5), st.data())
def test_frames_do_not_depend_on_how_the_bytes_are_cut(
    built: list[tuple[Opcode, bytes, bytes | None]], data: st.DataObject
) -> None:
    """Reading up to a cut and on from the rest gives the same frames."""
    wire = b"".join(build_frame(opcode, payload, mask_key=key) for opcode, payload, key in built)
    cut = data.draw(st.integers(0, len(wire)))
    before, rest = parse_frames(wire[:cut])
    after, left = parse_frames(rest + wire[cut:])
    assert (before + after, left) == parse_frames(wire)
    assert [(each.opcode, each.payload) for each in before + after] == [
        (opcode, payload) for opcode, payload, _ in built
    ]


# Frames right and wrong, mostly right: else no sequence gets past its first.
any_frame = st.builds(
    build_frame,
    st.sampled_from([TEXT, BINARY, CONTINUATION, CONTINUATION, Opcode.PING, Opcode.PONG, 0x3, 0xB]),
    st.sampled_from(["", "a", "é", "€uro"]).map(str.encode) | st.binary(max_size=130),
    fin=st.booleans(),
    rsv=st.sampled_from([0] * 9 + [4]),
    mask_key=st.sampled_from([KEY] * 9 + [None]),
    size_bytes=st.sampled_from([None] * 9 + [2]),
)
any_close = st.builds(
    build_frame,
    st.just(Opcode.CLOSE),
    st.builds(close_payload, st.integers(990, 1013) | st.integers(1015, 5010), st.text(max_size=20))
    | st.binary(max_size=1),
    mask_key=st.just(KEY),
)


@settings(max_examples=300)
@given(st.lists(any_frame, max_size=8), st.just(b"") | any_close)
def test_oracle_and_wsproto_agree(frames: list[bytes], close: bytes) -> None:
    """Two readings of the RFC, written apart, take the same frames from a client; 1014 apart."""
    wire = b"".join(frames) + close
    assert oracle_takes(wire) == wsproto_takes(wire)


def oracle_takes(wire: bytes) -> list[str | bytes] | None:
    """Return the messages in what a client sends, ``None`` when something is wrong with them."""
    try:
        return join_messages(parse_frames(wire, masked=True)[0])
    except Violation:
        return None


def wsproto_takes(wire: bytes) -> list[str | bytes] | None:
    """Return the same, as wsproto sees it."""
    connection = Connection(ConnectionType.SERVER)
    connection.receive_data(wire)
    messages: list[str | bytes] = []
    text, binary = "", b""
    for event in connection.events():
        match event:
            case TextMessage():
                text += event.data
                if event.message_finished:
                    messages.append(text)
                    text = ""
            case BytesMessage():
                binary += event.data
                if event.message_finished:
                    messages.append(binary)
                    binary = b""
            # A Close frame is announced with the state changed, a fault of the peer's without.
            case CloseConnection() if connection.state is ConnectionState.OPEN:
                return None
            case _:
                pass
    return messages
