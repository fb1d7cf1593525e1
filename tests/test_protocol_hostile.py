"""What a hostile peer may send once the connection is open: each violation, and what becomes of it.

A violation always ends the same way: what came before it is delivered, the peer *receives* a Close
that says why, and nothing behind it is looked at or kept.
"""

import codecs
import random
import tracemalloc
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import Concatenate, ParamSpec

import pytest

from tests.helpers import ProtocolPair, both_roles, peer_frame, sent_frames
from trio_ws._close import Close
from trio_ws._options import Limits
from trio_ws.protocol.connection import Event, Ping, Protocol
from trio_ws.protocol.state import Role, State
from trio_ws.testing import Opcode, close_payload

TEXT, BINARY, CONTINUATION = Opcode.TEXT, Opcode.BINARY, Opcode.CONTINUATION
CLOSE, PING, PONG = Opcode.CLOSE, Opcode.PING, Opcode.PONG
CONTROL = (CLOSE, PING, PONG)

KIB = 1024
MIB = 1024 * KIB

P = ParamSpec("P")
Build = Callable[[Role], bytes]


def for_either_role(make: Callable[Concatenate[Role, P], bytes]) -> Callable[P, Build]:
    """Put off what depends on the role: the masking."""

    def frame(*args: P.args, **kwargs: P.kwargs) -> Build:
        return lambda role: make(role, *args, **kwargs)

    return frame


frame = for_either_role(peer_frame)

OPEN_TEXT = frame(TEXT, b"", fin=False)
OPEN_BINARY = frame(BINARY, b"", fin=False)

# The table: what it is, the frames, the code we must close with.  Limits are the default ones.
VIOLATIONS: list[tuple[str, Sequence[Build], int]] = [
    # RFC 6455 section 5.2: reserved bits and opcodes.
    *[(f"rsv-{rsv}-text", [frame(TEXT, b"x", rsv=rsv)], 1002) for rsv in range(1, 8)],
    *[(f"rsv-4-{op.name.lower()}", [frame(op, b"", rsv=4)], 1002) for op in (BINARY, *CONTROL)],
    ("rsv-4-continuation", [OPEN_TEXT, frame(CONTINUATION, b"x", rsv=4)], 1002),
    ("rsv-4-too-large", [frame(TEXT, size=MIB + 1, rsv=4)], 1002),
    *[(f"opcode-{op:#x}", [frame(op, b"x")], 1002) for op in (*range(3, 8), *range(0xB, 0x10))],
    ("opcode-0x3-unfinished", [frame(3, b"x", fin=False)], 1002),
    ("opcode-0x3-too-large", [frame(3, size=MIB + 1)], 1002),
    ("opcode-0xb-in-message", [OPEN_TEXT, frame(0xB)], 1002),
    # Section 5.1: masking.
    *[(f"mask-{op.name.lower()}", [frame(op, wrongly_masked=True)], 1002) for op in Opcode],
    ("mask-too-large", [frame(BINARY, size=MIB + 1, wrongly_masked=True)], 1002),
    ("mask-in-message", [OPEN_TEXT, frame(CONTINUATION, b"x", wrongly_masked=True)], 1002),
    # Section 5.5: control frames.
    *[(f"fragmented-{op.name.lower()}", [frame(op, fin=False)], 1002) for op in CONTROL],
    *[(f"long-{op.name.lower()}", [frame(op, bytes(126))], 1002) for op in CONTROL],
    *[(f"huge-{op.name.lower()}", [frame(op, size=1 << 40)], 1002) for op in CONTROL],
    ("ping-with-16-bit-length", [frame(PING, b"x", size_bytes=2)], 1002),
    ("ping-with-64-bit-length", [frame(PING, b"x", size_bytes=8)], 1002),
    # Section 5.2: the shortest form of the length, its highest bit.
    ("length-0-in-16-bits", [frame(TEXT, b"", size_bytes=2)], 1002),
    ("length-125-in-16-bits", [frame(TEXT, bytes(125), size_bytes=2)], 1002),
    ("length-0-in-64-bits", [frame(TEXT, b"", size_bytes=8)], 1002),
    ("length-126-in-64-bits", [frame(TEXT, bytes(126), size_bytes=8)], 1002),
    ("length-65535-in-64-bits", [frame(BINARY, bytes(65535), size_bytes=8)], 1002),
    ("length-2**63", [frame(BINARY, size=1 << 63)], 1002),
    ("length-2**64-1", [frame(TEXT, size=(1 << 64) - 1)], 1002),
    # Section 5.4: the order of fragments.
    ("continuation-first", [frame(CONTINUATION, b"x")], 1002),
    ("continuation-first-unfinished", [frame(CONTINUATION, b"x", fin=False)], 1002),
    ("continuation-first-empty", [frame(CONTINUATION)], 1002),
    ("continuation-first-too-large", [frame(CONTINUATION, bytes(MIB + 1))], 1002),
    ("continuation-after-end", [OPEN_TEXT, frame(CONTINUATION), frame(CONTINUATION)], 1002),
    ("text-in-text", [OPEN_TEXT, frame(TEXT, b"x")], 1002),
    ("text-in-binary", [OPEN_BINARY, frame(TEXT, b"x")], 1002),
    ("binary-in-text", [OPEN_TEXT, frame(BINARY, b"x")], 1002),
    ("binary-in-binary-unfinished", [OPEN_BINARY, frame(BINARY, b"x", fin=False)], 1002),
    ("empty-text-in-text", [OPEN_TEXT, frame(TEXT)], 1002),
    ("text-in-text-behind-ping", [OPEN_TEXT, frame(PING), frame(TEXT, b"x")], 1002),
    # Sections 5.5.1 and 7.4: Close frames.
    ("close-of-one-byte", [frame(CLOSE, b"\x03")], 1002),
    *[
        (f"close-{code}", [frame(CLOSE, close_payload(code, "x"))], 1002)
        for code in (0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535)
    ],
    ("close-1014-known-difference", [frame(CLOSE, close_payload(1014))], 1002),
    ("close-reason-no-utf8", [frame(CLOSE, b"\x03\xe8\xff")], 1007),
    ("close-reason-cut", [frame(CLOSE, b"\x03\xe8abc\xe2\x82")], 1007),
    ("close-reason-surrogate", [frame(CLOSE, b"\x03\xe8\xed\xa0\x80")], 1007),
    # Section 8.1: text.
    ("text-no-utf8", [frame(TEXT, b"ab\xff")], 1007),
    ("text-cut", [frame(TEXT, b"ab\xe2\x82")], 1007),
    ("text-cut-in-fragments", [frame(TEXT, b"ab\xe2", fin=False), frame(CONTINUATION)], 1007),
    ("text-no-utf8-unfinished", [frame(TEXT, b"\xc0\xaf", fin=False)], 1007),
    ("text-no-utf8-large", [frame(TEXT, b"\xff" * 70000)], 1007),
    ("text-no-utf8-across", [frame(TEXT, b"\xed", fin=False), frame(CONTINUATION, b"\xa0")], 1007),
    # The limits on one message.
    ("too-large", [frame(BINARY, size=MIB + 1)], 1009),
    ("too-large-text-no-utf8", [frame(TEXT, b"\xff" * (MIB + 1))], 1009),
    ("too-large-2**40", [frame(BINARY, size=1 << 40)], 1009),
    ("too-large-2**63-1", [frame(BINARY, size=(1 << 63) - 1)], 1009),
    ("too-large-sum", [frame(BINARY, b"x", fin=False), frame(CONTINUATION, size=MIB)], 1009),
    ("too-large-2**63-1-later", [OPEN_TEXT, frame(CONTINUATION, size=(1 << 63) - 1)], 1009),
    ("too-many-fragments", [OPEN_TEXT, *[frame(CONTINUATION, fin=False)] * 1024], 1009),
]  # fmt: skip

violations = pytest.mark.parametrize(
    ("frames", "code"),
    [pytest.param(frames, code, id=name) for name, frames, code in VIOLATIONS],
)


@violations
@both_roles
@pytest.mark.parametrize("bytewise", [False, True], ids=["one-read", "bytewise"])
def test_violation_is_answered_with_its_code(
    role: Role, frames: Sequence[Build], code: int, bytewise: bool
) -> None:
    """What came before is delivered, the peer gets a Close with the code, the rest is dropped."""
    pair = ProtocolPair(role)
    bad = b"".join(build(role) for build in frames)
    data = peer_frame(role, TEXT, b"before") + bad + peer_frame(role, TEXT, b"after")
    # Long payloads are not what is cut here.
    head, tail = (data[:200], data[200:]) if bytewise else (b"", data)
    for value in head:
        pair.receive(bytes([value]))
    pair.receive(tail)
    assert [event for event in pair.our_events if event not in ("", Ping())] == ["before"]
    assert pair.ours.state is pair.peer.state is State.CLOSED
    assert pair.ours.failure
    assert pair.closes_received_by_peer == [Close(code, pair.ours.failure)]
    assert pair.peer.failure is None
    assert pair.ours.close_sent == pair.peer.close_received
    assert pair.ours.close_received is None


@violations
@both_roles
def test_violation_after_our_close_sends_nothing(
    role: Role, frames: Sequence[Build], code: int
) -> None:
    """Our Close was the last frame; the connection has failed all the same."""
    del code
    protocol = Protocol(role)
    protocol.close(1001)
    protocol.receive_data(b"".join(build(role) for build in frames))
    assert (protocol.state, protocol.close_sent) == (State.CLOSED, Close(1001))
    assert protocol.failure
    assert protocol.data_to_send() == b""


@violations
@both_roles
def test_violation_waits_for_what_stands_before_it(
    role: Role, frames: Sequence[Build], code: int
) -> None:
    """A message of the same read can be answered still, if that is wanted; then it is as always."""
    protocol = Protocol(role)
    protocol.defer_violations = protocol.defer_oversized = True
    bad = b"".join(build(role) for build in frames)
    events = protocol.receive_data(peer_frame(role, TEXT, b"before") + bad + b"after")
    assert events[0] == "before"
    assert all(frame.opcode == PONG for frame in sent_frames(role, protocol.data_to_send()))
    assert (protocol.state, protocol.failure) == (State.OPEN, None)
    assert protocol.send("answer")
    assert protocol.behind is not protocol.held
    protocol.defer_oversized = False
    assert protocol.receive_data(b"") == []
    assert (protocol.state, protocol.behind, protocol.held) == (State.CLOSED, False, False)
    assert protocol.failure
    assert protocol.close_sent == Close(code, protocol.failure)
    assert protocol.data_to_send()


def test_violations_are_many() -> None:
    """The table has not been cut down by mistake."""
    assert len({name for name, _, _ in VIOLATIONS}) == len(VIOLATIONS) >= 80


# Memory and work


@contextmanager
def allowed_to_hold(peak: int) -> Generator[None]:
    """Fail when more than so many bytes are allocated at any time in the block."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] <= peak
    finally:
        tracemalloc.stop()


@both_roles
def test_bytes_after_a_violation_are_not_kept(role: Role) -> None:
    """One bad frame, then 100 MiB: none of it is held."""
    protocol = Protocol(role)
    protocol.receive_data(peer_frame(role, 0xB))
    chunk = bytes(MIB)
    with allowed_to_hold(4 * KIB):
        for _ in range(100):
            assert protocol.receive_data(chunk) == []


@both_roles
@pytest.mark.parametrize("payload", [b"", b"x"], ids=["empty", "one-byte"])
def test_endless_fragments_end_at_the_limit(role: Role, payload: bytes) -> None:
    """Two million tiny fragments are refused at the 1025th, and hold next to nothing until then."""
    protocol = Protocol(role)
    protocol.receive_data(peer_frame(role, TEXT, payload, fin=False))
    fragment = peer_frame(role, CONTINUATION, payload, fin=False)
    with allowed_to_hold(32 * KIB):
        for _ in range(1023):
            protocol.receive_data(fragment)
            assert protocol.state is State.OPEN
        protocol.receive_data(fragment)
    (close,) = sent_frames(role, protocol.data_to_send())
    assert close.close_code == 1009


@both_roles
@pytest.mark.parametrize("opcode", [TEXT, BINARY], ids=["text", "binary"])
def test_frame_that_dribbles_in_holds_its_bytes_only(role: Role, opcode: Opcode) -> None:
    """A frame in reads of one byte each holds its size, twice that when it is joined in the end."""
    protocol = Protocol(role)
    size = 16_000
    data = peer_frame(role, opcode, b"x" * size)
    events: list[Event] = []
    with allowed_to_hold(2 * size + 8 * KIB):
        for position in range(len(data)):
            events += protocol.receive_data(data[position : position + 1])
    assert events == ["x" * size if opcode is TEXT else b"x" * size]


@both_roles
@pytest.mark.parametrize("size", [1 << 40, (1 << 63) - 1])
def test_announced_length_is_not_allocated(role: Role, size: int) -> None:
    """An enormous length costs nothing, also where any size is allowed."""
    protocol = Protocol(role)
    protocol.begin_stream(None)
    with allowed_to_hold(32 * KIB):
        assert protocol.receive_data(peer_frame(role, BINARY, size=size)) == []
        assert len(protocol.receive_data(b"abc")) == 1
    assert protocol.state is State.OPEN


@both_roles
def test_held_message_holds_one_read(role: Role) -> None:
    """While nobody decides, what was read is all that is kept."""
    protocol = Protocol(role)
    protocol.defer_oversized = True
    data = peer_frame(role, BINARY, bytes(16 * KIB), size=1 << 40)
    with allowed_to_hold(64 * KIB):
        protocol.receive_data(data)
    assert protocol.held


# Text (RFC 6455 section 8.1)

GOOD_BEGINNINGS = [b"", b"a", b"\xc3\xa9", "\N{EURO SIGN}".encode(), "a\N{OK HAND SIGN}".encode()]
BAD_SEQUENCES = [
    b"\x80", b"\xbf", b"\xfe", b"\xff", b"\xf5", b"\xf8\x88", b"\xfc\x84",  # never valid
    b"\xc0\x80", b"\xc0\xaf", b"\xc1\xbf", b"\xe0\x80\x80", b"\xe0\x9f\xbf",  # not the shortest
    b"\xf0\x80\x80\x80", b"\xf0\x8f\xbf\xbf",
    b"\xed\xa0\x80", b"\xed\xaf\xbf", b"\xed\xb0\x80", b"\xed\xbf\xbf",  # surrogates
    b"\xed\xa0\xbd\xed\xb8\x80",  # a pair of them: CESU-8
    b"\xf4\x90\x80\x80", b"\xf4\xbf\xbf\xbf",  # beyond U+10FFFF
    b"\xc3a", b"\xc3\xc3", b"\xe2a", b"\xe2\x82a", b"\xe2\x82\xe2",  # cut short by another one
    b"\xf0a", b"\xf0\x9fa", b"\xf0\x9f\x91a", b"\xf0\x9f\x91\xf0",
    b"\xc3\xff", b"\xe2\x82\xff", b"\xf0\x9f\x91\xc0",
    b"\xc3\x28", b"\xa0\xa1", b"\xe2\x28\xa1", b"\xf0\x28\x8c\xbc", b"\xf0\x90\x28\xbc",
    b"\xf8\xa1\xa1\xa1\xa1", b"\xfc\xa1\xa1\xa1\xa1\xa1",
]  # fmt: skip
INVALID_TEXTS = [good + bad + b"b" for good in GOOD_BEGINNINGS for bad in BAD_SEQUENCES]


def first_wrong_byte(text: bytes) -> int:
    """Return how many bytes it takes to see that this is no beginning of UTF-8."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    for count in range(1, len(text) + 1):
        try:
            decoder.decode(text[count - 1 : count])
        except UnicodeDecodeError:
            return count
    raise ValueError(f"{text!r} may be the beginning of UTF-8")


def cuttings(role: Role, text: bytes) -> Iterator[list[bytes]]:
    """Yield each way to cut a text in two: between frames, and between reads of one frame."""
    for cut in range(len(text) + 1):
        yield [
            peer_frame(role, TEXT, text[:cut], fin=False),
            peer_frame(role, CONTINUATION, text[cut:], fin=False),
        ]
        frame = peer_frame(role, TEXT, text, fin=False)
        head = len(frame) - len(text)
        yield [frame[: head + cut], frame[head + cut :]]


@both_roles
@pytest.mark.parametrize("good", GOOD_BEGINNINGS, ids=repr)
def test_invalid_utf8_is_seen_at_once(role: Role, good: bytes) -> None:
    """Up to the first wrong byte all is well, there it fails with 1007, however it is cut."""
    for bad in BAD_SEQUENCES:
        whole = good + bad + b"b"
        valid, invalid = whole[: (at := first_wrong_byte(whole)) - 1], whole[:at]
        for reads in cuttings(role, valid):
            protocol = Protocol(role)
            assert [protocol.receive_data(read) for read in reads] == [[], []]
            assert protocol.state is State.OPEN
        for reads in cuttings(role, invalid):
            protocol = Protocol(role)
            assert [protocol.receive_data(read) for read in reads] == [[], []]
            assert protocol.close_sent == Close(1007, "invalid UTF-8")


def test_invalid_texts_are_many() -> None:
    """The table has not been cut down by mistake."""
    assert len(set(INVALID_TEXTS)) >= 200


@both_roles
@pytest.mark.parametrize("cut", range(1, 4))
def test_text_that_ends_amid_a_character_is_invalid(role: Role, cut: int) -> None:
    """Only its end tells."""
    protocol = Protocol(role)
    payload = "\N{OK HAND SIGN}".encode()[:cut]
    protocol.receive_data(peer_frame(role, TEXT, payload, fin=False))
    assert protocol.state is State.OPEN
    protocol.receive_data(peer_frame(role, CONTINUATION))
    assert protocol.close_sent == Close(1007, "invalid UTF-8")


@both_roles
@pytest.mark.parametrize("bad", BAD_SEQUENCES, ids=repr)
def test_close_reason_is_held_to_utf8_too(role: Role, bad: bytes) -> None:
    """The peer's Close then counts as a violation, not as a Close."""
    pair = ProtocolPair(role)
    assert pair.receive(peer_frame(role, CLOSE, close_payload(1000, "a") + bad)) == []
    assert pair.closes_received_by_peer == [Close(1007, "invalid UTF-8")]
    assert pair.ours.close_received is None


@both_roles
@pytest.mark.parametrize(
    "text",
    ["\ud7ff", "\ue000", "\ufffe\uffff", "\U0010ffff", "\0", "\x7f\x80\u07ff\u0800\U00010000"],
)
def test_unusual_characters_are_valid(role: Role, text: str) -> None:
    """The borders of what UTF-8 can say are inside."""
    protocol = Protocol(role)
    assert protocol.receive_data(peer_frame(role, TEXT, text.encode())) == [text]


# Close codes (RFC 6455 section 7.4)

RECEIVABLE = {*range(1000, 1004), *range(1007, 1014), *range(3000, 5000)}
SENDABLE = RECEIVABLE | {1014}


def received_code(role: Role, code: int) -> int:
    """Return the code of the Close that answers one with this code."""
    protocol = Protocol(role)
    payload = close_payload(code, "reason")
    events = protocol.receive_data(peer_frame(role, CLOSE, payload))
    assert protocol.state is State.CLOSED
    assert events == ([] if protocol.failure else [Close(code, "reason")])
    assert protocol.close_sent is not None
    assert protocol.data_to_send()
    return protocol.close_sent.code


@both_roles
def test_received_close_code_is_echoed_or_refused(role: Role) -> None:
    """Every number that a Close frame can carry: those in use are echoed, others get 1002.

    1014 is among the refused ones: wsproto does not know it.
    """
    # Away from the borders of the ranges one role is enough.
    codes = range(65536) if role is Role.SERVER else [*range(990, 1030), *range(2990, 5010, 5)]
    answers = {code: received_code(role, code) for code in codes}
    assert {code for code, answer in answers.items() if answer == code} == RECEIVABLE & set(codes)
    assert {answer for code, answer in answers.items() if code not in RECEIVABLE} == {1002}


@both_roles
def test_close_sends_codes_in_use_only(role: Role) -> None:
    """Every number that a Close frame can carry, and some that it cannot."""
    sent: set[int] = set()
    protocol = Protocol(role)
    for code in (-1, *range(65536), 65536, 70000, 1 << 40):
        try:
            data = protocol.close(code, "reason")
        except ValueError:
            assert (protocol.state, protocol.close_sent) == (State.OPEN, None)
        else:
            (frame,) = sent_frames(role, data)
            assert (frame.close_code, frame.close_reason) == (code, "reason")
            sent.add(code)
            protocol = Protocol(role)
    assert sent == SENDABLE


@pytest.mark.parametrize(
    ("code", "reason"), [(None, ""), ("1000", ""), ([1000], ""), (1000, None), (1000, b"x")]
)
def test_close_refuses_other_types(code: object, reason: object) -> None:
    """Nothing is sent, and the connection is as it was."""
    protocol = Protocol(Role.SERVER)
    with pytest.raises(TypeError):
        protocol.close(code, reason)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    assert (protocol.state, protocol.data_to_send()) == (State.OPEN, b"")


@both_roles
@pytest.mark.parametrize("reason", ["x" * 123, "\N{EURO SIGN}" * 41, ""])
def test_close_reason_goes_over_whole(role: Role, reason: str) -> None:
    """Up to 123 bytes, and nothing is cut silently."""
    pair = ProtocolPair(role)
    assert pair.send(pair.ours.close(1000, reason)) == [Close(1000, reason)]


# Masks (RFC 6455 section 5.3)


def masking_keys(protocol: Protocol, count: int) -> list[bytes]:
    """Return the keys of that many frames, one kind after the other."""
    makers: list[Callable[[bytes], bytes]] = [protocol.send, protocol.ping, protocol.pong]
    return [makers[number % 3](b"")[2:6] for number in range(count)]


def test_masks_are_fresh_and_unpredictable() -> None:
    """10,000 frames have as many keys, a few chance repetitions apart; seeding changes nothing."""
    protocol = Protocol(Role.CLIENT)
    state = random.getstate()
    try:
        random.seed(0)
        first = masking_keys(protocol, 5000)
        random.seed(0)
        second = masking_keys(protocol, 5000)
    finally:
        random.setstate(state)
    assert len({*first, *second}) > 9990


def test_server_does_not_mask() -> None:
    """RFC 6455 section 5.1: what it sends is on the wire as it is."""
    protocol = Protocol(Role.SERVER)
    assert protocol.send("hello") == b"\x81\x05hello"
    assert protocol.ping(b"hello") == b"\x89\x05hello"
    assert protocol.close(1000) == b"\x88\x02\x03\xe8"


# Floods


@both_roles
def test_pings_of_a_flood_are_answered_within_the_bounds_of_a_read(role: Role) -> None:
    """Each ping costs what its pong does, and nothing is kept from read to read."""
    protocol = Protocol(role)
    read = peer_frame(role, PING, bytes(125)) * 100
    protocol.receive_data(read)
    protocol.pongs_to_send()
    with allowed_to_hold(200 * KIB):
        for _ in range(20):
            assert len(protocol.receive_data(read)) == 100
            assert len(protocol.pongs_to_send()) == 100


@both_roles
def test_limits_hold_for_each_message_anew(role: Role) -> None:
    """Many messages at the limit are fine; nothing adds up between them."""
    protocol = Protocol(role, Limits(max_message_size=4, max_fragments=2))
    message = peer_frame(role, BINARY, b"ab", fin=False) + peer_frame(role, CONTINUATION, b"cd")
    assert protocol.receive_data(message * 100) == [b"abcd"] * 100
