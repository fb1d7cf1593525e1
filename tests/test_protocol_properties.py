"""What holds for all inputs: any cutting, any bytes, any order of calls.

The limits are tiny here, so that they are met as often as everything else.
"""

import tracemalloc
from collections.abc import Sequence
from dataclasses import dataclass, field

from hypothesis import HealthCheck, given, settings, strategies as st

from tests.helpers import peer_frame, sent_frames
from trio_ws._close import Close
from trio_ws._options import Limits
from trio_ws.protocol.connection import Event, Piece, Ping, Pong, Protocol
from trio_ws.protocol.state import Role, State
from trio_ws.testing import Frame, Opcode, close_payload

LIMITS = Limits(max_message_size=200, max_fragments=4)

CONTROL = [Opcode.CLOSE, Opcode.PING, Opcode.PONG]

# The suite has a time to keep, and the machine may be busy.
common = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

roles = st.sampled_from(Role)
payloads = st.one_of(
    st.binary(max_size=20),
    st.text(max_size=10).map(str.encode),
    st.sampled_from([bytes(125), b"x" * 126, b"x" * 200, "\N{EURO SIGN}".encode() * 60]),
)


@st.composite
def good_frames(draw: st.DrawFn, role: Role) -> bytes:
    """Frames that may come in this order: a message in fragments, with control frames between."""
    opcode = draw(st.sampled_from([Opcode.TEXT, Opcode.BINARY]))
    payload = draw(payloads)
    if opcode is Opcode.TEXT:
        payload = payload.decode(errors="replace").encode()
    cuts = sorted(draw(st.lists(st.integers(0, len(payload)), max_size=4)))
    parts = [payload[a:b] for a, b in zip([0, *cuts], [*cuts, len(payload)], strict=True)]
    data = b""
    for number, part in enumerate(parts):
        kind = opcode if number == 0 else Opcode.CONTINUATION
        data += peer_frame(role, kind, part, fin=number == len(parts) - 1)
        if draw(st.booleans()):
            data += peer_frame(role, draw(st.sampled_from(CONTROL[1:])), draw(payloads)[:125])
    return data


@st.composite
def any_frame(draw: st.DrawFn, role: Role) -> bytes:
    """One frame, which may be wrong in any way, or cut short."""
    data = peer_frame(
        role,
        draw(st.integers(0, 15)),
        draw(payloads),
        fin=draw(st.booleans()),
        rsv=draw(st.sampled_from([0, 0, 0, 4, 1])),
        size=draw(st.sampled_from([None, None, None, 0, 1, 126, 201, 1 << 16, 1 << 62])),
        size_bytes=8 if draw(st.booleans()) else None,
        wrongly_masked=draw(st.integers(0, 9)) == 0,
    )
    return data[: draw(st.integers(1, len(data)))] if draw(st.booleans()) else data


@st.composite
def streams(draw: st.DrawFn, role: Role) -> bytes:
    """Bytes of a peer's: mostly good, often with something bad or a Close at the end."""
    parts = draw(st.lists(good_frames(role), max_size=4))
    end = draw(
        st.one_of(
            st.just(b""),
            any_frame(role),
            st.binary(max_size=30),
            st.sampled_from([None, 1000, 1004, 4000]).map(
                lambda code: peer_frame(role, Opcode.CLOSE, close_payload(code))
            ),
        )
    )
    return b"".join([*parts, end, draw(st.sampled_from([b"", b"\x81\x00", b"\x81\x80abcd"]))])


@st.composite
def cuttings(draw: st.DrawFn, data: bytes) -> list[bytes]:
    """The same bytes in any number of reads."""
    if draw(st.integers(0, 4)) == 0:
        return [data[position : position + 1] for position in range(len(data))]
    cuts = sorted(draw(st.lists(st.integers(0, len(data)), max_size=12)))
    return [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]


@dataclass
class Outcome:
    """All that can be seen of what a protocol made of its reads."""

    events: list[Event] = field(default_factory=list[Event])
    owed: list[tuple[int, bytes]] = field(default_factory=list[tuple[int, bytes]])
    ended: tuple[State, Close | None, Close | None, str | None] | None = None


def outcome(protocol: Protocol, reads: Sequence[bytes], first: Sequence[Event] = ()) -> Outcome:
    """Feed the reads, collect what comes of them."""
    seen = Outcome([*first])
    for read in reads:
        seen.events += protocol.receive_data(read)
        frames: list[Frame] = sent_frames(protocol.role, protocol.data_to_send())
        seen.owed += [(frame.opcode, frame.payload) for frame in frames]
    seen.ended = (
        protocol.state,
        protocol.close_received,
        protocol.close_sent,
        protocol.failure,
    )
    return seen


def joined(events: Sequence[Event]) -> list[Event]:
    """Return the events with the pieces of each message joined, and moved to its last one."""
    result: list[Event] = []
    text: str | None = None
    binary: bytes | None = None
    for event in events:
        if not isinstance(event, Piece):
            result.append(event)
            continue
        assert event.data or event.final
        if isinstance(event.data, str):
            assert binary is None
            text = (text or "") + event.data
        else:
            assert text is None
            binary = (binary or b"") + event.data
        if event.final:
            result += [message for message in (text, binary) if message is not None]
            text = binary = None
    return result


@common
@given(st.data(), roles, st.booleans())
def test_any_cutting_gives_the_same_events(data: st.DataObject, role: Role, closing: bool) -> None:
    """How bytes are divided into reads cannot be told from what they mean."""
    stream = data.draw(streams(role))
    reads = data.draw(cuttings(stream))
    one, many = Protocol(role, LIMITS), Protocol(role, LIMITS)
    if closing:
        one.close()
        many.close()
    assert outcome(many, reads) == outcome(one, [stream])


@common
@given(st.data(), roles)
def test_streamed_messages_are_the_same_messages(data: st.DataObject, role: Role) -> None:
    """In pieces or whole, at any cutting: what is received is the same, limits apart."""
    stream = data.draw(st.lists(good_frames(role), max_size=3).map(b"".join))
    limits = Limits(max_message_size=1000, max_fragments=1000)
    whole = outcome(Protocol(role, limits), [stream])
    streaming = Protocol(role, limits)
    streamed = Outcome()
    for read in data.draw(cuttings(stream)):
        if not streaming.streaming and data.draw(st.booleans()):
            streamed.events += streaming.begin_stream(None)
        streamed.events += streaming.receive_data(read)
    assert [e for e in joined(streamed.events) if isinstance(e, (str, bytes))] == [
        e for e in whole.events if isinstance(e, (str, bytes))
    ]


@common
@given(st.data(), roles)
def test_deferring_and_streaming_lose_nothing(data: st.DataObject, role: Role) -> None:
    """Whatever is held comes as pieces, if somebody wants it, and then all behind it."""
    stream = data.draw(st.lists(good_frames(role), max_size=4).map(b"".join))
    protocol = Protocol(role, Limits(max_message_size=10, max_fragments=2))
    protocol.defer_oversized = True
    events: list[Event] = []
    for read in data.draw(cuttings(stream)):
        events += protocol.receive_data(read)
        while protocol.held:
            events += protocol.begin_stream(None)
    whole = Protocol(role).receive_data(stream)
    for kind in ((str, bytes), (Ping, Pong)):
        assert [e for e in joined(events) if isinstance(e, kind)] == [
            e for e in whole if isinstance(e, kind)
        ]
    assert protocol.state is State.OPEN


@common
@given(st.data(), roles)
def test_any_bytes_never_raise(data: st.DataObject, role: Role) -> None:
    """No input and no order of calls makes a method raise because of what a peer sent."""
    protocol = Protocol(role, LIMITS)
    calls = st.sampled_from(
        ["data", "data", "data", "close", "stream", "skip", "end", "fail", "defer", "eof"]
    )
    for call in data.draw(st.lists(calls, max_size=12)):
        match call:
            case "data":
                read = data.draw(st.one_of(any_frame(role), streams(role), st.binary(max_size=40)))
                protocol.receive_data(read)
            case "close":
                protocol.close(1000)
            case "stream":
                protocol.begin_stream(data.draw(st.sampled_from([None, 0, 5, 500])))
            case "skip":
                protocol.skip_stream()
            case "end":
                protocol.end_stream()
            case "fail":
                protocol.fail_held()
            case "defer":
                protocol.defer_oversized = not protocol.defer_oversized
            case _:
                protocol.receive_data(None)
        frames = sent_frames(role, protocol.data_to_send())
        closes = [frame for frame in frames if frame.opcode == Opcode.CLOSE]
        assert frames[-1:] == closes or not closes
        assert (protocol.failure is None) or protocol.state is State.CLOSED
        assert not (protocol.held and protocol.state is State.CLOSED)


@settings(common, max_examples=20)
@given(st.data(), roles, st.integers(1, 400))
def test_memory_is_bounded_by_the_limit_and_one_read(
    data: st.DataObject, role: Role, read_size: int
) -> None:
    """Whatever comes, no more is held than a message at the limit and what was read last."""
    limits = Limits(max_message_size=5000, max_fragments=50)
    parts = [
        peer_frame(role, Opcode.TEXT, b"x" * 100, fin=False),
        *(peer_frame(role, Opcode.CONTINUATION, b"x" * 100, fin=False) for _ in range(60)),
    ]
    stream = b"".join(data.draw(st.permutations(parts)) if data.draw(st.booleans()) else parts)
    stream += data.draw(any_frame(role)) + bytes(5000)
    protocol = Protocol(role, limits)
    protocol.defer_oversized = data.draw(st.booleans())
    # One frame of parsing, wsproto's objects, and a few dozen parts that are not joined yet.
    allowance = 8192
    Protocol(role, limits).receive_data(parts[0])  # what is made once for all connections
    tracemalloc.start()
    try:
        for position in range(0, len(stream), read_size):
            if protocol.held:
                break
            protocol.receive_data(stream[position : position + read_size])
            held, _ = tracemalloc.get_traced_memory()
            assert held <= limits.max_message_size * 1.25 + read_size + allowance
    finally:
        tracemalloc.stop()


messages = st.one_of(st.text(max_size=20), st.binary(max_size=20))


@common
@given(st.data(), roles)
def test_whatever_is_sent_arrives_in_order(data: st.DataObject, role: Role) -> None:
    """Messages, fragments, pings and a Close of ours, at any cutting, reach the peer as sent."""
    ours, peer = Protocol(role), Protocol(Role.SERVER if role is Role.CLIENT else Role.CLIENT)
    wire = b""
    expected: list[Event] = []
    for message in data.draw(st.lists(messages, max_size=6)):
        empty: str | bytes = "" if isinstance(message, str) else b""
        if data.draw(st.booleans()):
            wire += ours.send(message)
        else:
            cut = data.draw(st.integers(0, len(message)))
            text = isinstance(message, str)
            for part, final in ((message[:cut], False), (message[cut:], False), (empty, True)):
                wire += ours.send_fragment(part, text=text, final=final)
                wire += ours.ping(b"between")
                expected.append(Ping(b"between"))
        expected.append(message)
    if data.draw(st.booleans()):
        wire += ours.close(4000, "done")
        expected.append(Close(4000, "done"))
    sent_frames(role, wire)
    seen = outcome(peer, data.draw(cuttings(wire)))
    for kind in ((str, bytes), (Ping,), (Close,)):
        assert [e for e in seen.events if isinstance(e, kind)] == [
            e for e in expected if isinstance(e, kind)
        ]
    assert len([opcode for opcode, _ in seen.owed if opcode == Opcode.PONG]) == expected.count(
        Ping(b"between")
    )
