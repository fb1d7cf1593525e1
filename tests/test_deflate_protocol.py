"""`Protocol` with compression: limits, order, violations, bounds, and what is shared."""

import random
import tracemalloc
import zlib
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given, settings, strategies as st
from wsproto import WSConnection
from wsproto.connection import ConnectionState, ConnectionType
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    Request,
    TextMessage,
)
from wsproto.extensions import PerMessageDeflate

from tests.helpers import both_roles, other, peer_frame, sent_frames
from trio_ws._exceptions import ClosedLocally, ConnectionBroken
from trio_ws._options import Deflate, Limits
from trio_ws._url import parse_url
from trio_ws.protocol.connection import Event, Piece, Ping, Pong, Protocol
from trio_ws.protocol.handshake import ClientHandshake, ServerHandshake
from trio_ws.protocol.prepared import PreparedMessage
from trio_ws.protocol.state import Role, State
from trio_ws.testing import Opcode, parse_frames

RSV1 = 4
MIB = 1024 * 1024
ALL = Deflate(threshold=0)
TEXT, BINARY, CONTINUATION = Opcode.TEXT, Opcode.BINARY, Opcode.CONTINUATION


def deflated(data: bytes) -> bytes:
    """Return a message's payload, compressed by zlib as it comes."""
    stream = zlib.compressobj(9, zlib.DEFLATED, -15)
    return (stream.compress(data) + stream.flush(zlib.Z_SYNC_FLUSH))[:-4]


BOMB = deflated(bytes(16 * MIB))


def compressed(role: Role, data: bytes, opcode: int = BINARY, fin: bool = True) -> bytes:
    """Return the peer's frame with this message, or with the beginning of one."""
    return peer_frame(role, opcode, deflated(data), fin=fin, rsv=RSV1)


def drain(protocol: Protocol, data: bytes = b"") -> Iterator[list[Event]]:
    """Yield what each call returns until nothing is left over."""
    yield protocol.receive_data(data)
    while protocol.behind:
        yield protocol.receive_data(b"")


def all_events(protocol: Protocol, data: bytes = b"") -> list[Event]:
    """Return it all."""
    return [event for events in drain(protocol, data) for event in events]


# Sending


@both_roles
def test_messages_are_compressed_from_the_threshold_on(role: Role) -> None:
    """A shorter one goes as it is and leaves no trace: the next one is what it would have been."""
    options = Deflate(threshold=10)
    protocol, without = Protocol(role, Limits(), options), Protocol(role, Limits(), options)
    peer = Protocol(other(role), Limits(), Deflate())
    first, short, second = "abcdefghij", "abcdefghi", "\N{EURO SIGN}" * 4  # 10, 9, 12 bytes
    wire = [protocol.send(message) for message in (first, short, second)]
    assert peer.receive_data(b"".join(wire)) == [first, short, second]
    frames = [sent_frames(role, each, rsv=RSV1)[0] for each in wire]
    assert [frame.rsv for frame in frames] == [RSV1, 0, RSV1]
    assert frames[1].payload == short.encode()
    others = [sent_frames(role, without.send(each), rsv=RSV1)[0] for each in (first, second)]
    assert [frame.payload for frame in others] == [frames[0].payload, frames[2].payload]


@both_roles
def test_fragments_are_compressed_whatever_their_size(role: Role) -> None:
    """Each can be read when it is there, with pings between them; so can an empty last one."""
    ours = Protocol(role, Limits(), Deflate(threshold=1000))
    peer = Protocol(other(role), Limits(), Deflate())
    peer.begin_stream(None)
    wire = [
        ours.send_fragment("on", text=True, final=False),
        ours.ping(b"?"),
        ours.send_fragment("e", text=True, final=False),
        ours.send_fragment("", text=True, final=True),
    ]
    rsv = [frame.rsv for each in wire for frame in sent_frames(role, each, rsv=RSV1)]
    assert rsv == [RSV1, 0, 0, 0]
    events = [peer.receive_data(each) for each in wire]
    assert events == [[Piece("on", False)], [Ping(b"?")], [Piece("e", False)], [Piece("", True)]]
    assert peer.receive_data(ours.send("whole")) == ["whole"]


@both_roles
def test_nothing_is_compressed_beyond_any_threshold(role: Role) -> None:
    """Neither messages nor fragments; the peer's still are."""
    protocol = Protocol(role, Limits(), Deflate(threshold=float("inf")))
    wire = protocol.send(b"a" * 1000)
    wire += protocol.send_fragment(b"a" * 1000, text=False, final=True)
    assert [len(frame.payload) for frame in sent_frames(role, wire)] == [1000, 1000]
    assert protocol.receive_data(compressed(role, b"abc")) == [b"abc"]


@both_roles
def test_arguments_are_checked_before_anything_is_compressed(role: Role) -> None:
    """What raises has not touched the context."""
    protocol, untouched = Protocol(role, Limits(), ALL), Protocol(role, Limits(), ALL)
    for wrong in ("\ud800", 1, None):
        with pytest.raises((ValueError, TypeError)):
            protocol.send(wrong)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    protocol.send_fragment(b"", text=False, final=False)
    with pytest.raises(RuntimeError):
        protocol.send(b"between")
    with pytest.raises(RuntimeError):
        protocol.send_prepared(PreparedMessage(b"between"))
    protocol.send_fragment(b"", text=False, final=True)
    untouched.send(b"")
    first, second = (
        sent_frames(role, each.send(b"abc"), rsv=RSV1)[0].payload for each in (protocol, untouched)
    )
    assert first == second


@both_roles
def test_nothing_is_compressed_after_our_close(role: Role) -> None:
    """As without compression."""
    protocol = Protocol(role, Limits(), ALL)
    protocol.close()
    with pytest.raises(ClosedLocally):
        protocol.send("late")
    with pytest.raises(ClosedLocally):
        protocol.send_prepared(PreparedMessage("late"))


# Frames that are shared


def frames_of(message: PreparedMessage, *protocols: Protocol) -> list[bytes]:
    """Have all of them send it."""
    return [protocol.send_prepared(message) for protocol in protocols]


def server(compression: Deflate | None = None) -> Protocol:
    """Return a server's end."""
    return Protocol(Role.SERVER, Limits(), compression)


def test_servers_without_compression_share_a_frame() -> None:
    """And those for which the message is below the threshold: the same object, made once."""
    message = PreparedMessage("x" * 100)
    first, *others = frames_of(
        message, server(), server(), server(Deflate(threshold=101)), server(Deflate(level=9))
    )
    assert all(frame is first for frame in others)
    assert first == server().send("x" * 100)


def test_servers_that_forget_share_a_frame_for_each_setting() -> None:
    """Without takeover a frame depends on the settings alone."""
    message = PreparedMessage(b"x" * 1000)
    forgetting = Deflate(context_takeover=False)
    one, two = server(forgetting), server(forgetting)
    one.send(b"something else before" * 10)
    first, second = frames_of(message, one, two)
    assert first is second
    for other_settings in (
        Deflate(context_takeover=False, level=9),
        Deflate(context_takeover=False, window_bits=9),
        Deflate(context_takeover=False, mem_level=9),
    ):
        assert frames_of(message, server(other_settings))[0] is not first
    peer = Protocol(Role.CLIENT, Limits(), Deflate())
    assert peer.receive_data(first) == [b"x" * 1000]


def test_whoever_keeps_a_context_compresses_for_itself() -> None:
    """Its frame depends on what it sent before."""
    message = PreparedMessage("abc" * 100)
    one, two = server(Deflate()), server(Deflate())
    frames = [frame for _ in range(2) for frame in frames_of(message, one, two)]
    assert len({id(frame) for frame in frames}) == 4
    assert len(frames[2]) < len(frames[0])
    peer = Protocol(Role.CLIENT, Limits(), Deflate())
    assert peer.receive_data(frames[0] + frames[2]) == ["abc" * 100] * 2
    assert message._frames == {}


@pytest.mark.parametrize("compression", [None, Deflate(context_takeover=False)])
def test_clients_share_nothing(compression: Deflate | None) -> None:
    """Each frame of a client's is masked with a key of its own."""
    message = PreparedMessage(b"\xc3\xa9" * 100, text=True)
    client = Protocol(Role.CLIENT, Limits(), compression)
    first, second = frames_of(message, client, client)
    assert first != second
    assert Protocol(Role.SERVER, Limits(), Deflate()).receive_data(first) == ["é" * 100]


def test_prepared_messages_are_checked() -> None:
    """When they are made, and not when somebody sends them."""
    with pytest.raises(TypeError, match="str or bytes-like"):
        PreparedMessage(1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    with pytest.raises(UnicodeDecodeError):
        PreparedMessage(b"\xff", text=True)
    closed = server()
    closed.receive_data(None)
    with pytest.raises(ConnectionBroken):
        closed.send_prepared(PreparedMessage("late"))


# Receiving


@both_roles
def test_control_frames_between_fragments_change_nothing(role: Role) -> None:
    """F11: at every place, compressed or not; wsproto's own extension loses the message."""
    message = random.Random(3).randbytes(200) * 2
    payload = deflated(message)
    for cuts in ((1,), (1, 100), (0, 50, 51), (len(payload),)):
        protocol = Protocol(role, Limits(), ALL)
        wire, opcode, rsv = b"", BINARY, RSV1
        for start, stop in zip((0, *cuts), (*cuts, None), strict=True):
            wire += peer_frame(role, Opcode.PING, b"1") + peer_frame(role, Opcode.PONG, b"2")
            wire += peer_frame(role, opcode, payload[start:stop], fin=stop is None, rsv=rsv)
            opcode, rsv = CONTINUATION, 0
        events = protocol.receive_data(wire)
        assert events[-1] == message
        assert events[:-1] == [Ping(b"1"), Pong(b"2")] * (len(cuts) + 1)


@both_roles
def test_messages_need_not_be_compressed(role: Role) -> None:
    """Some are and some are not, whole or in fragments."""
    wire = peer_frame(role, TEXT, b"plain") + compressed(role, b"compressed", TEXT)
    wire += peer_frame(role, TEXT, b"pl", fin=False) + peer_frame(role, CONTINUATION, b"ain")
    wire += compressed(role, b"compressed", TEXT)
    for step in (1, len(wire)):
        protocol = Protocol(role, Limits(), ALL)
        parts = [wire[start : start + step] for start in range(0, len(wire), step)]
        events = [event for part in parts for event in protocol.receive_data(part)]
        assert events == ["plain", "compressed", "plain", "compressed"]


@both_roles
def test_reserved_bits_are_refused_where_nothing_was_agreed_on(role: Role) -> None:
    """F12: also beside a connection on which it was."""
    with_it, without = Protocol(role, Limits(), ALL), Protocol(role)
    frame = compressed(role, b"abc")
    assert with_it.receive_data(frame) == [b"abc"]
    assert without.receive_data(frame) == []
    assert without.close_sent is not None
    assert without.close_sent.code == 1002


VIOLATIONS: list[tuple[str, list[Callable[[Role], bytes]], int]] = [
    ("RSV1 on a ping", [lambda r: peer_frame(r, Opcode.PING, b"", rsv=RSV1)], 1002),
    ("RSV1 on a pong", [lambda r: peer_frame(r, Opcode.PONG, b"", rsv=RSV1)], 1002),
    ("RSV1 on a Close", [lambda r: peer_frame(r, Opcode.CLOSE, b"", rsv=RSV1)], 1002),
    (
        "RSV1 on a continuation",
        [
            lambda r: compressed(r, b"abc", fin=False),
            lambda r: peer_frame(r, CONTINUATION, b"\0", rsv=RSV1),
        ],
        1002,
    ),
    (
        "RSV1 on a continuation of what is not compressed",
        [
            lambda r: peer_frame(r, BINARY, b"abc", fin=False),
            lambda r: peer_frame(r, CONTINUATION, b"\0", rsv=RSV1),
        ],
        1002,
    ),
    ("RSV1 and RSV2", [lambda r: peer_frame(r, BINARY, b"\0", rsv=RSV1 | 2)], 1002),
    ("RSV1 and RSV3", [lambda r: peer_frame(r, BINARY, b"\0", rsv=RSV1 | 1)], 1002),
    (
        "RSV2 on a continuation",
        [
            lambda r: compressed(r, b"abc", fin=False),
            lambda r: peer_frame(r, CONTINUATION, b"\0", rsv=2),
        ],
        1002,
    ),
    ("wrongly masked", [lambda r: peer_frame(r, BINARY, b"\0", rsv=4, wrongly_masked=True)], 1002),
    ("length not minimal", [lambda r: peer_frame(r, BINARY, b"\0", rsv=4, size_bytes=8)], 1002),
    (
        "continuation with a length not minimal",
        [
            lambda r: compressed(r, b"abc", fin=False),
            lambda r: peer_frame(r, CONTINUATION, b"\0", size_bytes=2),
        ],
        1002,
    ),
    (
        "another message within",
        [lambda r: compressed(r, b"abc", fin=False), lambda r: peer_frame(r, TEXT, b"abc")],
        1002,
    ),
    (
        "another compressed message within",
        [lambda r: compressed(r, b"abc", fin=False), lambda r: compressed(r, b"abc")],
        1002,
    ),
    ("nothing to continue", [lambda r: peer_frame(r, CONTINUATION, b"\0", rsv=RSV1)], 1002),
    ("reserved block type", [lambda r: peer_frame(r, BINARY, b"\x07", rsv=RSV1)], 1007),
    (
        "bad data in a fragment",
        [
            lambda r: compressed(r, b"abc", fin=False),
            lambda r: peer_frame(r, CONTINUATION, b"\x07"),
        ],
        1007,
    ),
    ("no UTF-8", [lambda r: compressed(r, b"\xff", TEXT)], 1007),
    ("UTF-8 that is cut", [lambda r: compressed(r, b"\xe2\x82", TEXT)], 1007),
    ("surrogates", [lambda r: compressed(r, b"\xed\xa0\x80", TEXT)], 1007),
    ("no UTF-8 in a fragment", [lambda r: compressed(r, b"a\xffa", TEXT, fin=False)], 1007),
    ("bomb", [lambda r: peer_frame(r, BINARY, BOMB, rsv=RSV1)], 1009),
    (
        "bomb in fragments",
        [lambda r: peer_frame(r, BINARY, BOMB[:9000], fin=False, rsv=RSV1)],
        1009,
    ),
    (
        "too many fragments",
        [
            lambda r: compressed(r, b"abc", fin=False),
            lambda r: peer_frame(r, CONTINUATION, b"", fin=False) * 1024,
        ],
        1009,
    ),
]


@both_roles
@pytest.mark.parametrize(
    ("frames", "code"), [pytest.param(*row[1:], id=row[0]) for row in VIOLATIONS]
)
@pytest.mark.parametrize("cut", ["nowhere", "everywhere"])
def test_violations_fail_the_connection(
    role: Role, frames: list[Callable[[Role], bytes]], code: int, cut: str
) -> None:
    """With the right code, which the peer gets; and what stands before them is received."""
    protocol = Protocol(role, Limits(), ALL)
    wire = compressed(role, b"before", TEXT) + b"".join(build(role) for build in frames)
    wire += compressed(role, b"after")
    wire = wire[:20_000]
    step = 1 if cut == "everywhere" else len(wire)
    events: list[Event] = []
    for start in range(0, len(wire), step):
        events += protocol.receive_data(wire[start : start + step])
    assert events == ["before"]
    assert protocol.state is State.CLOSED
    [close] = sent_frames(role, protocol.data_to_send())
    assert (close.opcode, close.close_code) == (Opcode.CLOSE, code)


@both_roles
def test_violation_waits_for_what_stands_before_it(role: Role) -> None:
    """As other violations do, where that is wanted."""
    for bad in (b"\x07", deflated(b"\xff")):
        protocol = Protocol(role, Limits(), ALL)
        protocol.defer_violations = True
        wire = compressed(role, b"before", TEXT) + peer_frame(role, TEXT, bad, rsv=RSV1)
        calls = list(drain(protocol, wire))
        assert calls == [["before"], []]
        assert protocol.state is State.CLOSED


# Limits


@both_roles
@pytest.mark.parametrize("limit", [1, 125, 1000, 70_000])
def test_limit_is_exact_to_the_byte(role: Role, limit: int) -> None:
    """In one frame, in fragments, in parts; what does not compress too."""
    for content in (b"a" * limit, random.Random(limit).randbytes(limit)):
        payload, over = deflated(content), deflated(content + b"a")
        for size in (1, 7, 1 << 20):
            protocol = Protocol(role, Limits(max_message_size=limit), ALL)
            assert _in_fragments(protocol, payload, size) == [content]
            assert protocol.state is State.OPEN
            assert _in_fragments(protocol, over, size) == []
            assert protocol.close_sent is not None
            assert protocol.close_sent.code == 1009
            expected = f"message of {limit + 1} bytes or more, {limit} are accepted"
            assert protocol.failure == expected


def _in_fragments(protocol: Protocol, payload: bytes, size: int) -> list[Event]:
    """Have a message in fragments, at most a thousand of them, received."""
    size = max(size, len(payload) // 1000 + 1)
    starts = range(0, len(payload), size)
    events: list[Event] = []
    for start in starts:
        first, last = start == 0, start + size >= len(payload)
        opcode = BINARY if first else CONTINUATION
        part = payload[start : start + size]
        rsv = RSV1 if first else 0
        events += protocol.receive_data(peer_frame(protocol.role, opcode, part, fin=last, rsv=rsv))
    return events


@both_roles
def test_oversized_message_is_held_and_can_be_streamed(role: Role) -> None:
    """Nothing of it is lost, and what is behind it waits."""
    content = b"0123456789" * 1000
    for wire in (
        compressed(role, content),
        peer_frame(role, BINARY, deflated(content)[:20], fin=False, rsv=RSV1)
        + peer_frame(role, CONTINUATION, deflated(content)[20:]),
    ):
        protocol = Protocol(role, Limits(max_message_size=3000), ALL)
        protocol.defer_oversized = True
        assert protocol.receive_data(wire + compressed(role, b"behind", TEXT)) == []
        assert protocol.held
        assert not protocol.behind
        assert protocol.receive_data(compressed(role, b"more", TEXT)) == []
        *pieces, behind, more = protocol.begin_stream(None)
        assert b"".join(_data(piece) for piece in pieces) == content
        assert (behind, more) == ("behind", "more")
        assert protocol.state is State.OPEN


@both_roles
def test_oversized_message_that_nobody_wants_fails(role: Role) -> None:
    """By `fail_held`, by the next read when it may not be held, or by the stream's own limit."""
    for end in ("fail_held", "read", "stream"):
        protocol = Protocol(role, Limits(max_message_size=3000), ALL)
        protocol.defer_oversized = True
        assert protocol.receive_data(compressed(role, bytes(10_000))) == []
        if end == "fail_held":
            protocol.fail_held()
        elif end == "read":
            protocol.defer_oversized = False
            protocol.receive_data(b"")
        else:
            pieces = protocol.begin_stream(5000)
            assert sum(len(_data(piece)) for piece in pieces) == 5000
        assert protocol.close_sent is not None
        assert protocol.close_sent.code == 1009


@both_roles
def test_too_many_fragments_are_held(role: Role) -> None:
    """As those of other messages are."""
    protocol = Protocol(role, Limits(max_fragments=1), ALL)
    protocol.defer_oversized = True
    first, second = deflated(b"abc")[:4], deflated(b"abc")[4:]
    wire = peer_frame(role, BINARY, first, fin=False, rsv=RSV1)
    assert protocol.receive_data(wire + peer_frame(role, CONTINUATION, second)) == []
    assert protocol.held
    assert b"".join(_data(piece) for piece in protocol.begin_stream(None)) == b"abc"
    assert not protocol.message_in_progress


def _data(event: Event) -> bytes:
    assert isinstance(event, Piece)
    assert isinstance(event.data, bytes)
    return event.data


# Bounds


@both_roles
@pytest.mark.parametrize("kind", ["whole", "streamed", "skipped"])
def test_bombs_are_inflated_a_little_at_a_time(role: Role, kind: str) -> None:
    """16 MiB from 16 KiB: no call makes much of it, whoever wants it; no memory is taken."""
    protocol = Protocol(role, Limits(max_message_size=1 << 30), ALL)
    protocol.inflate_per_call = 64 * 1024
    if kind != "whole":
        protocol.begin_stream(None)
    wire = peer_frame(role, BINARY, BOMB, rsv=RSV1) + compressed(role, b"behind", TEXT)
    calls = largest = size = 0
    last: list[Event] = []
    tracemalloc.start()
    try:
        for events in drain(protocol, wire):
            calls += 1
            if kind == "skipped":
                protocol.skip_stream()
            for event in events:
                if isinstance(event, Piece):
                    largest, size = max(largest, len(event.data)), size + len(event.data)
                elif isinstance(event, bytes):
                    size = len(event)
            last = events or last
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert calls >= 16 * MIB // (128 * 1024)
    assert largest <= 64 * 1024
    assert last[-1] == "behind"
    assert size == (16 * MIB if kind != "skipped" else largest)
    assert peak < (36 * MIB if kind == "whole" else MIB)


@both_roles
def test_many_small_bombs_are_inflated_a_few_at_a_time(role: Role) -> None:
    """A read of messages of 1 KiB that are 1 MiB each does not become all of them at once."""
    protocol = Protocol(role, Limits(), ALL)
    protocol.inflate_per_call = 64 * 1024
    wire = compressed(role, bytes(MIB)) * 20
    sizes = [sum(map(len, events)) for events in _messages(protocol, wire)]
    assert sum(sizes) == 20 * MIB
    assert max(sizes) == MIB


def _messages(protocol: Protocol, wire: bytes) -> Iterator[list[bytes]]:
    for events in drain(protocol, wire):
        yield [event for event in events if isinstance(event, bytes)]


@both_roles
def test_many_empty_messages_are_received_some_at_a_time(role: Role) -> None:
    """Each counts, though nothing is in it: it takes its time."""
    protocol = Protocol(role, Limits(), ALL)
    protocol.inflate_per_call = 64 * 100
    calls = list(drain(protocol, compressed(role, b"", TEXT) * 1000))
    assert [len(events) for events in calls] == [100] * 10


@both_roles
def test_streams_that_end_within_a_message_are_counted(role: Role) -> None:
    """Two bytes are an empty stream, and however many there are, a call does not take all."""
    protocol = Protocol(role, Limits(), ALL)
    protocol.inflate_per_call = 6400
    payload = b"\x03\x00" * 20_000 + b"\0"
    calls = list(drain(protocol, peer_frame(role, BINARY, payload, rsv=RSV1)))
    assert len(calls) == 20_000 // 100
    assert [event for events in calls for event in events] == [b""]


@both_roles
def test_closed_connection_forgets_what_was_left_over(role: Role) -> None:
    """At the end of the stream, whatever was still to be inflated."""
    protocol = Protocol(role, Limits(), ALL)
    protocol.inflate_per_call = 1000
    protocol.begin_stream(None)
    assert protocol.receive_data(peer_frame(role, BINARY, BOMB, rsv=RSV1))
    assert protocol.behind
    assert protocol.receive_data(None) == []
    assert (protocol.state, protocol.behind) == (State.CLOSED, False)
    assert protocol.receive_data(b"") == []


# Whatever the cutting and the budget

documents = st.lists(
    st.one_of(st.text(max_size=40), st.binary(max_size=40), st.just("ab" * 200)), max_size=6
)


@settings(deadline=None)
@given(documents, st.sampled_from(Role), st.data())
def test_cutting_and_budget_change_nothing(
    messages: list[str | bytes], role: Role, data: st.DataObject
) -> None:
    """The same messages, one by one or by the read, in fragments or whole, at any pace."""
    takeover = data.draw(st.booleans())
    peer = Protocol(other(role), Limits(), Deflate(threshold=0, context_takeover=takeover))
    wire = b""
    for message in messages:
        size = data.draw(st.sampled_from([1000, 1000, 3, 100]))
        text = isinstance(message, str)
        parts = [message[start : start + size] for start in range(0, len(message), size)] or [b""]
        if len(parts) == 1:
            wire += peer.send(message)
            continue
        for index, part in enumerate(parts, 1):
            wire += peer.send_fragment(part, text=text, final=index == len(parts))
    protocol = Protocol(role, Limits(), Deflate(peer_context_takeover=takeover))
    protocol.inflate_per_call = data.draw(st.sampled_from([None, 1, 100, 1000]))
    protocol.frames_per_call = data.draw(st.sampled_from([None, 1]))
    step = data.draw(st.sampled_from([1, 2, 10, 100_000]))
    events: list[Event] = []
    for start in range(0, len(wire), step):
        events += all_events(protocol, wire[start : start + step])
    assert events == messages


# wsproto's own extension, as a peer


@pytest.mark.parametrize("takeover", [True, False])
def test_wsproto_as_client_and_our_server_understand_each_other(takeover: bool) -> None:
    """Its offer has windows in it, its fragments are no blocks."""
    wish = Deflate(threshold=0, context_takeover=takeover, peer_context_takeover=takeover)
    client, handshake = WSConnection(ConnectionType.CLIENT), ServerHandshake(compression=wish)
    handshake.receive_data(
        client.send(Request(host="localhost", target="/", extensions=[PerMessageDeflate()]))
    )
    client.receive_data(handshake.accept())
    assert any(isinstance(event, AcceptConnection) for event in client.events())
    assert handshake.compression is not None
    assert handshake.compression.context_takeover is takeover
    _exchange_with_wsproto(Protocol(Role.SERVER, Limits(), handshake.compression), client)


@pytest.mark.parametrize("takeover", [True, False])
def test_wsproto_as_server_and_our_client_understand_each_other(takeover: bool) -> None:
    """It answers all that is asked for."""
    wish = Deflate(threshold=0, context_takeover=takeover, peer_context_takeover=takeover)
    server, handshake = (
        WSConnection(ConnectionType.SERVER),
        ClientHandshake(parse_url("ws://localhost/"), compression=wish),
    )
    server.receive_data(handshake.data_to_send())
    list(server.events())
    handshake.receive_data(server.send(AcceptConnection(extensions=[PerMessageDeflate()])))
    assert handshake.state is State.OPEN
    assert handshake.compression is not None
    assert handshake.compression.peer_context_takeover is takeover
    _exchange_with_wsproto(Protocol(Role.CLIENT, Limits(), handshake.compression), server)


def _exchange_with_wsproto(ours: Protocol, theirs: WSConnection) -> None:
    for text in ("text é" * 50, "", "a", "text é" * 50):
        cut, data = len(text) // 2, text.encode()
        for whole, first, second in (
            (
                TextMessage(text),
                TextMessage(text[:cut], message_finished=False),
                TextMessage(text[cut:]),
            ),
            (
                BytesMessage(data),
                BytesMessage(data[:cut], message_finished=False),
                BytesMessage(data[cut:]),
            ),
        ):
            assert ours.receive_data(theirs.send(whole)) == [whole.data]
            assert ours.receive_data(theirs.send(first) + theirs.send(second)) == [whole.data]
        for message in (text, data):
            theirs.receive_data(ours.send(message))
            assert _messages_of_wsproto(theirs) == [message]
    assert theirs.state is ConnectionState.OPEN
    frames, _ = parse_frames(ours.send("text é" * 50), rsv=RSV1)
    assert frames[0].rsv == RSV1


def _messages_of_wsproto(theirs: WSConnection) -> list[str | bytes]:
    """Return what has come; each message is one event, for each has come in one frame."""
    return [
        event.data if isinstance(event, TextMessage) else bytes(event.data)
        for event in theirs.events()
        if isinstance(event, (TextMessage, BytesMessage))
    ]
