"""The lanes against wsproto alone: the same bytes, cut anywhere, have to mean the same.

Each case of ``lane_cases`` is driven through `Protocol` on each lane and through `Reference`,
which is one `wsproto.Connection` from the first byte to the last, and our rules: the limits, the
pongs, how a Close is answered.  Events, bytes sent (with a fixed masking key) and the end are
compared after every step.

    python -m tests.lane_differential [--compressed] CASES [FIRST]
"""

from __future__ import annotations

import argparse
import collections
import dataclasses
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import wsproto.events
from wsproto.connection import Connection, ConnectionState, ConnectionType

from tests.deflate_reference import ReferenceDeflate
from tests.helpers import MASK_KEY
from tests.lane_cases import (
    Case,
    Read,
    Send,
    SendClose,
    SendFragment,
    SendPing,
    make_case,
    make_compressed_case,
)
from tests.lanes import LANES, Lane, draw_from, use_lane
from trio_ws._close import Close
from trio_ws._exceptions import ConnectionClosed
from trio_ws._options import Deflate, Limits
from trio_ws.protocol.connection import Event, Ping, Pong, Protocol
from trio_ws.protocol.state import Role, State


@dataclass(frozen=True)
class Seen:
    """All that can be seen of an end after one step."""

    events: tuple[Event, ...]
    sent: bytes | None
    """What the step itself made, ``None`` when it was refused."""
    owed: bytes
    state: State
    close_received: Close | None
    close_sent: Close | None
    failure: str | None


# RFC 6455 section 5.4: the length's own length, by what announces it.
_LENGTH_SIZE = {126: 2, 127: 8}


def header_places(stream: bytes) -> Iterator[tuple[int, int, int]]:
    """Return of each header where it begins, where its length ends, and the payload's size.

    That is so as long as nothing is wrong; behind what is wrong nobody reads.  The last one may
    not be all there.
    """
    start = 0
    while start + 2 <= len(stream):
        second = stream[start + 1]
        length_size = _LENGTH_SIZE.get(second & 0x7F, 0)
        length_end = start + 2 + length_size
        size = second & 0x7F
        if length_size:
            size = int.from_bytes(stream[start + 2 : length_end])
        yield start, length_end, size
        start = length_end + (4 if second & 0x80 else 0) + size


@dataclass(frozen=True)
class Exceeded:
    """A header that announces too much: who finds nothing wrong up to its end fails with 1009."""

    start: int
    length_end: int
    problem: str
    late: int = 0
    """How many bytes later Protocol judges it: not before it has the masking key."""


def limit_exceeded(stream: bytes, limits: Limits, *, compressing: bool) -> Exceeded | None:
    """Return the first header that announces too much; a compressed message announces nothing."""
    size = fragments = 0
    in_progress = compressed = False
    for start, length_end, payload_size in header_places(stream):
        if stream[start] & 0xF > 2:
            continue  # a control frame, or nothing that is known
        if in_progress is (stream[start] & 0xF != 0) or length_end > len(stream):
            return None  # out of order, which wsproto will say; or not there
        if not in_progress:
            compressed = compressing and stream[start] & 0x70 == 0x40
        size += 0 if compressed else payload_size
        fragments += 1
        if size > limits.max_message_size:
            problem = f"message of {size} bytes or more, {limits.max_message_size} are accepted"
            return Exceeded(start, length_end, problem)
        if fragments > limits.max_fragments:
            problem = f"message of more than {limits.max_fragments} fragments"
            key_size = 4 if stream[start + 1] & 0x80 else 0
            return Exceeded(start, length_end, problem, key_size * compressed)
        in_progress = not stream[start] & 0x80
        if not in_progress:
            size = fragments = 0
    return None


class Reference:
    """A `wsproto.Connection`, and our rules.

    Args:
        stream: all that the peer is going to send, so that the limits need no second parser that
            goes along.
        compression: what was agreed on.
    """

    def __init__(
        self, role: Role, limits: Limits, stream: bytes, compression: Deflate | None = None
    ) -> None:
        self.state = State.OPEN
        self.close_received: Close | None = None
        self.close_sent: Close | None = None
        self.failure: str | None = None
        kind = ConnectionType.CLIENT if role is Role.CLIENT else ConnectionType.SERVER
        self._deflate = ReferenceDeflate(compression, limits) if compression else None
        self._wsproto = Connection(kind, [self._deflate] if self._deflate else None)
        self._exceeded = limit_exceeded(stream, limits, compressing=compression is not None)
        self._headers = list(header_places(stream))
        self._stream = stream
        self._there = 0  # what the peer has sent
        self._read = 0  # what wsproto has seen of it
        self._judging = False  # whether it sees a header of which nothing else is wanted
        self._parts: list[str | bytes] = []
        self._owed = b""

    def receive_data(self, data: bytes | None) -> list[Event]:
        """Have wsproto read the bytes, and hold what it says against our rules."""
        events: list[Event] = []
        if data is None:
            self.state = State.CLOSED
        if data is None or self._ended():
            return events
        self._there += len(data)
        stop = self._judged(self._there)
        if self._exceeded is None or stop < self._exceeded.length_end + self._exceeded.late:
            self._read_up_to(stop, events)
            return events
        self._read_up_to(self._exceeded.start, events)
        # Is the header right but for what it announces?  If it is, the message is nobody's.
        self._judging = True
        self._read_up_to(self._exceeded.length_end, [])
        self._judging = False
        if not self._ended():
            self._fail(1009, self._exceeded.problem)
        return events

    def _ended(self) -> bool:
        return self.state is State.CLOSED

    def _judged(self, stop: int) -> int:
        """Return up to where wsproto may read when so much is there.

        Known difference: wsproto has its opinion after two bytes of a header, Protocol waits for
        the length.  The opinion is the same.
        """
        for start, length_end, _ in self._headers:
            if start < stop < length_end:
                return start
        return stop

    def _read_up_to(self, stop: int, events: list[Event]) -> None:
        if self._ended() or stop < self._read:
            return
        self._wsproto.receive_data(self._stream[self._read : stop])
        self._read = stop
        for event in self._wsproto.events():
            self._take(event, events)
            if self._ended():
                return

    def _take(self, event: wsproto.events.Event, events: list[Event]) -> None:
        if isinstance(event, (wsproto.events.TextMessage, wsproto.events.BytesMessage)):
            self._parts.append(event.data if isinstance(event.data, str) else bytes(event.data))
            if event.message_finished:
                events.append(_joined(self._parts))
                self._parts = []
        elif isinstance(event, wsproto.events.Ping):
            if self.state is State.OPEN:
                self._owed += self._wsproto.send(event.response())
            events.append(Ping(bytes(event.payload)))
        elif isinstance(event, wsproto.events.Pong):
            events.append(Pong(bytes(event.payload)))
        elif isinstance(event, wsproto.events.CloseConnection):
            if self._wsproto.state in (ConnectionState.OPEN, ConnectionState.LOCAL_CLOSING):
                wrong = "invalid UTF-8" if event.code == 1007 else f"protocol error: {event.reason}"
                problem = self._deflate.problem if self._deflate else None
                self._fail(event.code, problem or wrong)
                return
            self.close_received = Close(int(event.code), event.reason or "")
            events.append(self.close_received)
            if self.state is State.OPEN:
                self.close_sent = Close(int(event.code))
                self._owed += self._wsproto.send(wsproto.events.CloseConnection(event.code))
            self.state = State.CLOSED

    def _fail(self, code: int, failure: str) -> None:
        if self._judging and code == 1007:
            return  # the frame has no payload and ends what came before; but it is one too many
        self.failure = failure
        if self.state is State.OPEN:
            self.close_sent = Close(int(code), failure)
            self._owed += self._wsproto.send(wsproto.events.CloseConnection(code, failure))
        self.state = State.CLOSED

    def data_to_send(self) -> bytes:
        """Return pongs and the Close that are owed."""
        owed, self._owed = self._owed, b""
        return owed

    def _send(self, event: wsproto.events.Event) -> bytes:
        if self.state is not State.OPEN:
            raise ConnectionClosed(self.close_received, self.close_sent)
        return self._wsproto.send(event)

    def send(self, message: str | bytes) -> bytes:
        """Return a whole message."""
        return self.send_fragment(message, text=isinstance(message, str), final=True)

    def send_fragment(self, part: str | bytes, *, text: bool, final: bool) -> bytes:
        """Return a part of one."""
        assert isinstance(part, str) is text
        if isinstance(part, str):
            return self._send(wsproto.events.TextMessage(part, message_finished=final))
        return self._send(wsproto.events.BytesMessage(part, message_finished=final))

    def ping(self, payload: bytes) -> bytes:
        """Return a ping."""
        return self._send(wsproto.events.Ping(payload))

    def close(self, code: int, reason: str) -> bytes:
        """Return our Close, the first time."""
        if self.state is not State.OPEN:
            return b""
        data = self._send(wsproto.events.CloseConnection(code, reason or None))
        self.state = State.CLOSING
        self.close_sent = Close(code, reason)
        return data


def _joined(parts: Sequence[str | bytes]) -> str | bytes:
    if isinstance(parts[0], str):
        return "".join(part for part in parts if isinstance(part, str))
    return b"".join(part for part in parts if isinstance(part, bytes))


def drive(case: Case, endpoint: Protocol | Reference) -> list[Seen]:
    """Take the steps of a case, and return what was seen after each."""
    seen: list[Seen] = []
    start = 0
    for step in case.steps:
        events: list[Event] = []
        sent: bytes | None = b""
        if isinstance(step, Read):
            data = None if step.stop is None else case.stream[start : step.stop]
            start = step.stop or 0
            events = endpoint.receive_data(data)
        else:
            sent = act(step, endpoint)
        seen.append(
            Seen(
                tuple(events),
                sent,
                endpoint.data_to_send(),
                endpoint.state,
                endpoint.close_received,
                endpoint.close_sent,
                endpoint.failure,
            )
        )
    return seen


def act(
    step: Send | SendFragment | SendPing | SendClose, endpoint: Protocol | Reference
) -> bytes | None:
    """Take a step that is none of the peer's; return what it made, ``None`` when refused."""
    try:
        match step:
            case Send(message):
                return endpoint.send(message)
            case SendFragment(part, final):
                return endpoint.send_fragment(part, text=isinstance(part, str), final=final)
            case SendPing(payload):
                return endpoint.ping(payload)
            case SendClose(code, reason):
                return endpoint.close(code, reason)
    except ConnectionClosed:
        return None


def fixed_key(size: int) -> bytes:
    """Stand in for `os.urandom`, so that everybody masks with the same key."""
    return (MASK_KEY * size)[:size]


class Difference(AssertionError):
    """Two that should have done the same did not."""


def compare(case: Case, lanes: Sequence[Lane] = LANES) -> list[Seen]:
    """Drive a case through wsproto and through these lanes; return what all have seen.

    Raises:
        Difference: they have not seen the same.
    """
    with draw_from(fixed_key):
        reference = Reference(case.role, case.limits, case.stream, case.compression)
        expected = drive(case, reference)
        for lane in lanes:
            with use_lane(lane):
                seen = drive(case, Protocol(case.role, case.limits, case.compression))
            if seen != expected:
                number = next(
                    n
                    for n, pair in enumerate(zip(seen, expected, strict=True))
                    if pair[0] != pair[1]
                )
                raise Difference(
                    f"the {lane.name} lane and wsproto differ after step {number} of {case}:\n"
                    f"  lane:    {seen[number]}\n  wsproto: {expected[number]}"
                )
    return expected


@dataclass
class Tally:
    """What was in the cases, so that nobody is content with cases in which nothing happens."""

    cases: int = 0
    bytes_received: int = 0
    bytes_sent: int = 0
    events: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter[str])
    ends: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter[str])

    def add(self, case: Case, seen: Sequence[Seen]) -> None:
        """Count one more."""
        self.cases += 1
        self.bytes_received += len(case.stream)
        self.bytes_sent += sum(len(each.sent or b"") + len(each.owed) for each in seen)
        self.events.update(type(event).__name__ for each in seen for event in each.events)
        last = seen[-1]
        if last.failure is not None:
            assert last.close_sent is not None
            self.ends[f"failed, our Close has {last.close_sent.code}"] += 1
        elif last.close_received is not None:
            self.ends[f"closed, the peer's Close has {last.close_received.code}"] += 1
        else:
            self.ends[last.state.value] += 1

    def __str__(self) -> str:
        lines = [
            f"{self.cases} cases, {self.bytes_received} bytes received, {self.bytes_sent} sent",
            *(f"{count:8} {what}" for what, count in sorted(self.events.items())),
            *(f"{count:8} {what}" for what, count in sorted(self.ends.items())),
        ]
        return "\n".join(lines)


def run(
    count: int,
    first: int = 0,
    lanes: Sequence[Lane] = LANES,
    *,
    make: Callable[[int], Case] = make_case,
) -> Tally:
    """Compare so many cases, and return what was in them.

    Raises:
        Difference: in one of them, whose number it names.
    """
    tally = Tally()
    for number in range(first, first + count):
        case = make(number)
        try:
            seen = compare(case, lanes)
        except Difference as difference:
            raise Difference(f"case {number}: {difference}") from None
        tally.add(case, seen)
    return tally


def main() -> None:
    """Compare as many cases as the command line says."""
    parser = argparse.ArgumentParser(description="Compare the lanes with wsproto alone.")
    parser.add_argument("cases", type=int, nargs="?", default=20_000, help="how many (%(default)s)")
    parser.add_argument("first", type=int, nargs="?", default=0, help="the number of the first")
    parser.add_argument("--compressed", action="store_true", help="compress messages")
    arguments = parser.parse_args()
    make = make_compressed_case if arguments.compressed else make_case
    tally = run(arguments.cases, arguments.first, make=make)
    sys.stdout.write(f"wsproto and {', '.join(lane.name for lane in LANES)}: {tally}\n")


if __name__ == "__main__":
    main()
