"""Fuzzing open connections: any bytes to both roles, on both lanes, whole and streamed.

Nothing raises, lanes and cuttings agree, what is sent is allowed, and what was understood is what
the strict reader of `trio_ws.testing` understands.
"""

from __future__ import annotations

import codecs
import random
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

from tests.fuzz.inputs import parse_input
from tests.helpers import sent_frames
from tests.lanes import LANES, use_lane
from trio_ws._close import Close
from trio_ws._options import Deflate, Limits
from trio_ws.protocol.connection import Event, Ping, Pong, Protocol
from trio_ws.protocol.state import TRANSITIONS, Role, State
from trio_ws.testing import Opcode, Violation
from trio_ws.testing._frames import Frame, FrameSequence, parse_frame

UTF8 = codecs.getincrementaldecoder("utf-8")

# RFC 6455 section 5.2: two bytes, eight of the length, four of the masking key.
LONGEST_HEADER = 14

# IANA registered it after RFC 6455, and wsproto does not know it yet: see `Protocol`.
BAD_GATEWAY = 1014

RSV1 = 4

# Limits that many messages exceed.
FEW = Limits(max_message_size=20, max_fragments=2)


@dataclass(frozen=True)
class Reading:
    """What the strict reader understands of a stream."""

    events: list[Event]
    wrong: bool
    """Whether it stopped at something wrong, and enough of that was there for everyone to see."""
    right: bool
    """Whether it found nothing wrong, and no frame that is not all there."""


def read_strictly(stream: bytes, role: Role, inflater: Inflater | None = None) -> Reading:
    """Return what an endpoint of this role has to understand, up to the first thing wrong."""
    events: list[Event] = []
    sequence = FrameSequence()
    start = 0
    first: Frame | None = None  # of the message in progress
    while start < len(stream):
        try:
            rsv = RSV1 if inflater is not None else 0
            found = parse_frame(stream, start, masked=role is Role.SERVER, rsv=rsv)
        except Violation:
            return Reading(events, wrong=len(stream) - start >= LONGEST_HEADER, right=False)
        if found is None:
            return Reading(events, wrong=False, right=False)
        frame, start = found
        first = frame if frame.opcode in (Opcode.TEXT, Opcode.BINARY) else first
        try:
            message = sequence.add(frame)
            if frame.opcode < Opcode.CLOSE and inflater is not None and first and first.rsv:
                # At every fragment, for what is wrong may show before the end of the message.
                inflated = inflater.inflate(frame, text=first.opcode == Opcode.TEXT)
                message = None if message is None else inflated
        except (Violation, UnicodeDecodeError, zlib.error):
            return Reading(events, wrong=True, right=False)
        event = _control_event(frame) if message is None else message
        if isinstance(event, Close) and event.code == BAD_GATEWAY:
            return Reading(events, wrong=True, right=False)
        if event is not None:
            events.append(event)
        if isinstance(event, Close):
            break
    return Reading(events, wrong=False, right=True)


class Inflater:
    """Decompresses messages, frame by frame (RFC 7692 section 7.2.2)."""

    def __init__(self, *, takeover: bool) -> None:
        self._takeover = takeover
        self._stream = zlib.decompressobj(-15)
        self._decoder = UTF8()
        self._message = b""

    def inflate(self, frame: Frame, *, text: bool) -> str | bytes:
        """Return what the message is so far, before it was compressed."""
        if frame.opcode != Opcode.CONTINUATION:
            self._message = b""
            self._decoder = UTF8()
            if not self._takeover:
                self._stream = zlib.decompressobj(-15)
        part = self._inflate(frame.payload + (b"\x00\x00\xff\xff" if frame.fin else b""))
        self._message += part
        if not text:
            return self._message
        self._decoder.decode(part, frame.fin)
        return self._message.decode() if frame.fin else ""

    def _inflate(self, data: bytes) -> bytes:
        inflated = b""
        while data:
            inflated += self._stream.decompress(data)
            data = b""
            if self._stream.eof:  # a block that says to be the last: what follows begins anew
                data = self._stream.unused_data
                self._stream = zlib.decompressobj(-15)
        return inflated


def _control_event(frame: Frame) -> Event | None:
    match frame.opcode:
        case Opcode.PING:
            return Ping(frame.payload)
        case Opcode.PONG:
            return Pong(frame.payload)
        case Opcode.CLOSE:
            return Close(frame.close_code, frame.close_reason)
        case _:
            return None


@dataclass(frozen=True)
class Outcome:
    """All that can be seen of what a protocol made of its reads."""

    events: list[Event]
    owed: list[tuple[int, bytes]]
    failure: str | None
    close_sent: Close | None
    state: State


def frames(data: bytes) -> None:
    """Frames of a peer's."""
    given = parse_input(data)
    role = Role.SERVER if given.kind & 1 else Role.CLIENT
    limits = Limits(max_message_size=100, max_fragments=3) if given.kind & 2 else Limits()
    outcomes: list[Outcome] = []
    for lane in LANES:
        with use_lane(lane):
            outcomes += [
                _outcome(Protocol(role, limits), reads, closing=bool(given.kind & 4))
                for reads in ([given.stream], given.reads())
            ]
    _stream_some(given.reads(), Protocol(role, FEW), random.Random(given.how))
    assert all(outcome == outcomes[0] for outcome in outcomes)
    if not given.kind & 2:
        _hold_against(read_strictly(given.stream, role), outcomes[0])


def deflate(data: bytes) -> None:
    """Frames of a peer's where compression was agreed on, and messages of ours."""
    given = parse_input(data)
    role = Role.SERVER if given.kind & 1 else Role.CLIENT
    limits = Limits(max_message_size=300, max_fragments=3) if given.kind & 2 else Limits()
    takeover = bool(given.kind & 4)
    agreed = Deflate(
        threshold=0, context_takeover=takeover, peer_context_takeover=takeover, peer_window_bits=15
    )
    outcomes: list[Outcome] = []
    for lane in LANES:
        with use_lane(lane):
            outcomes += [
                _outcome(Protocol(role, limits, agreed), reads)
                for reads in ([given.stream], given.reads())
            ]
    _stream_some(given.reads(), Protocol(role, FEW, agreed), random.Random(given.how))
    assert all(outcome == outcomes[0] for outcome in outcomes)
    assert all(_size(event) <= limits.max_message_size for event in outcomes[0].events)
    if not given.kind & 2:
        reading = read_strictly(given.stream, role, Inflater(takeover=takeover))
        _hold_against(reading, outcomes[0])
    _send_compressed(given.reads(), agreed)


def _size(event: Event) -> int:
    return len(event) if isinstance(event, (str, bytes)) else 0


def _send_compressed(parts: Sequence[bytes], agreed: Deflate) -> None:
    """Send these as messages, and then as one in fragments; they arrive as they were."""
    ours, peer = Protocol(Role.CLIENT, Limits(), agreed), Protocol(Role.SERVER, Limits(), agreed)
    wire = b"".join(ours.send(part) for part in parts)
    wire += b"".join(ours.send_fragment(part, text=False, final=False) for part in parts)
    wire += ours.send_fragment(b"", text=False, final=True)
    assert peer.receive_data(wire) == [*parts, b"".join(parts)]


def _hold_against(reading: Reading, outcome: Outcome) -> None:
    assert outcome.events == reading.events
    assert not (reading.wrong and outcome.failure is None)
    assert not (reading.right and outcome.failure is not None)


def _outcome(protocol: Protocol, reads: Sequence[bytes], *, closing: bool = False) -> Outcome:
    if closing:
        protocol.close()
    events: list[Event] = []
    owed: list[tuple[int, bytes]] = []
    for read in reads:
        before = protocol.state
        events += protocol.receive_data(read)
        assert protocol.state is before or protocol.state in TRANSITIONS[before]
        sent = sent_frames(protocol.role, protocol.data_to_send())
        owed += [(frame.opcode, frame.payload) for frame in sent]
    assert protocol.data_to_send() == b""
    assert not (closing and owed)
    return Outcome(events, owed, protocol.failure, protocol.close_sent, protocol.state)


def _stream_some(reads: Sequence[bytes], protocol: Protocol, chance: random.Random) -> None:
    """Have messages in pieces now and then, and hold what is over the limits."""
    protocol.defer_oversized = chance.random() < 0.7
    for read in reads:
        protocol.receive_data(read)
        while protocol.held:
            protocol.begin_stream(chance.choice([None, 50]))
        match chance.randrange(8):
            case 0:
                protocol.begin_stream(None)
            case 1:
                protocol.skip_stream()
            case 2:
                protocol.end_stream()
            case _:
                pass
        sent_frames(protocol.role, protocol.data_to_send())
    protocol.receive_data(None)
    assert protocol.state is State.CLOSED
