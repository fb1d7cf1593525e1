"""Open connections, ours and those of ``websockets``: the same bytes, and what both make of them.

The cases are those of ``lane_cases``: what a peer sends, right or wrong, cut anywhere, and what is
sent meanwhile.  Both ends get them without I/O.  What ``websockets`` leaves to its I/O (joining
fragments, decoding text) `Theirs` does as its connections do it.

Not compared at all:

- the words of a failure, which are nobody's contract;
- the reason in the answer to a Close: theirs is echoed, ours is the code alone, for "the endpoint
  typically echos the status code it received" (RFC 6455 section 5.5.1);
- what is sent behind a Close: theirs still answers pings there, ours does not, and a peer that has
  been told of the end has no use for it;
- the number of fragments, for which theirs has no limit.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

from websockets.client import ClientProtocol
from websockets.frames import Frame as TheirFrame, Opcode as TheirOpcode
from websockets.protocol import Protocol as TheirProtocol, State as TheirState
from websockets.server import ServerProtocol
from websockets.uri import parse_uri

from tests.lane_cases import Case, Read, Send, SendClose, SendFragment, SendPing
from tests.lane_differential import act, header_places
from trio_ws._close import Close
from trio_ws._options import Limits
from trio_ws.protocol.connection import Event, Ping, Pong, Protocol
from trio_ws.protocol.state import Role, State
from trio_ws.testing import Opcode, parse_frames

OwnStep = Send | SendFragment | SendPing | SendClose

MANY = 1 << 30


class Difference(AssertionError):
    """The two did not do the same, and no entry of a list says why."""


@dataclass
class Account:
    """What can be seen of a connection when all is over."""

    events: list[Event] = field(default_factory=list[Event])
    sent: list[tuple[int, bool, bytes]] = field(default_factory=list[tuple[int, bool, bytes]])
    """What we have sent up to our Close: opcode, FIN, payload; of the Close the code alone."""
    end: str = "open"
    """Or ``cut off``, ``closed``, ``failed``."""
    closing: bool = field(default=False, compare=False)
    """Whether we had begun to close, so that no failure shows its code."""

    def failed(self, code: int) -> bool:
        """Tell whether it failed with this code, as far as can be seen."""
        return self.end == "failed" and (self.closing or self.sent[-1][2] == code.to_bytes(2))

    def add_sent(self, data: bytes, role: Role) -> None:
        """Take note of what was put on the wire."""
        frames, rest = parse_frames(data, masked=role is Role.CLIENT)
        assert not rest
        for frame in frames:
            if self.sent and self.sent[-1][0] == Opcode.CLOSE:
                return
            size = 2 if frame.opcode == Opcode.CLOSE else None
            self.sent.append((frame.opcode, frame.fin, frame.payload[:size]))


class Ours:
    """A connection of ours."""

    def __init__(self, role: Role, max_size: int) -> None:
        self.account = Account()
        self.protocol = Protocol(role, Limits(max_message_size=max_size, max_fragments=MANY))

    def read(self, data: bytes | None) -> None:
        """Take what the peer sent."""
        self.account.events += self.protocol.receive_data(data)
        self.account.add_sent(self.protocol.data_to_send(), self.protocol.role)

    def act(self, step: OwnStep) -> None:
        """Send something, if that is still possible."""
        self.account.add_sent(act(step, self.protocol) or b"", self.protocol.role)
        self.account.closing |= self.protocol.state is State.CLOSING

    @property
    def stopped(self) -> bool:
        """Whether it takes nothing any more."""
        return self.protocol.state is State.CLOSED

    def finish(self) -> Account:
        """Return what was seen."""
        if self.protocol.failure is not None:
            self.account.end = "failed"
        elif self.protocol.close_received is not None:
            self.account.end = "closed"
        elif self.protocol.state is State.CLOSED:
            self.account.end = "cut off"
        return self.account


class Theirs:
    """A connection of ``websockets``, with as much as is needed of what its I/O adds."""

    def __init__(self, role: Role, protocol: TheirProtocol) -> None:
        self.account = Account()
        self.protocol = protocol
        self._role = role
        self._parts: list[bytes] = []
        self._text = False

    def read(self, data: bytes | None) -> None:
        """Take what the peer sent."""
        if data is None:
            self.protocol.receive_eof()
            if self.account.end == "open":
                self.account.end = "cut off"
        else:
            self.protocol.receive_data(data)
        for frame in self.protocol.events_received():
            assert isinstance(frame, TheirFrame)
            self._take(frame.opcode, bytes(frame.data), fin=frame.fin)
        exc = self.protocol.parser_exc
        if exc is not None and not isinstance(exc, EOFError):
            self.account.end = "failed"
        self._note_sent()

    def _take(self, opcode: TheirOpcode, payload: bytes, *, fin: bool) -> None:
        account = self.account
        if opcode is TheirOpcode.PING:
            account.events.append(Ping(payload))
        elif opcode is TheirOpcode.PONG:
            account.events.append(Pong(payload))
        elif opcode is TheirOpcode.CLOSE:
            close = self.protocol.close_rcvd
            assert close is not None
            account.events.append(Close(int(close.code), close.reason))
            account.end = "closed"
        else:
            self._take_data(opcode, payload, fin=fin)

    def _take_data(self, opcode: TheirOpcode, payload: bytes, *, fin: bool) -> None:
        if opcode is not TheirOpcode.CONT:
            self._text = opcode is TheirOpcode.TEXT
        self._parts.append(payload)
        if not fin:
            return
        message = b"".join(self._parts)
        self._parts = []
        try:
            self.account.events.append(message.decode() if self._text else message)
        except UnicodeDecodeError:
            self.protocol.fail(1007)
            self.account.end = "failed"

    def act(self, step: OwnStep) -> None:
        """Send something, if that is still possible."""
        if self.protocol.state is TheirState.OPEN:
            self._send(step)
            self._note_sent()
            self.account.closing |= self.protocol.state is TheirState.CLOSING

    def _send(self, step: OwnStep) -> None:
        protocol = self.protocol
        match step:
            case SendPing(payload):
                protocol.send_ping(payload)
            case SendClose(code, reason):
                protocol.send_close(code, reason)
            case SendFragment(_, final) if protocol.expect_continuation_frame:
                protocol.send_continuation(_encoded(step.part), final)
            case SendFragment(str() as part, final):
                protocol.send_text(part.encode(), final)
            case SendFragment(bytes() as part, final):
                protocol.send_binary(part, final)
            case Send(str() as message):
                protocol.send_text(message.encode())
            case _:
                assert isinstance(step, Send)
                protocol.send_binary(_encoded(step.message))

    def _note_sent(self) -> None:
        self.account.add_sent(b"".join(self.protocol.data_to_send()), self._role)

    @property
    def stopped(self) -> bool:
        """Whether it takes nothing any more."""
        return self.account.end != "open"

    def finish(self) -> Account:
        """Return what was seen."""
        return self.account


def _encoded(part: str | bytes) -> bytes:
    return part.encode() if isinstance(part, str) else part


def their_protocol(role: Role, max_size: int) -> TheirProtocol:
    """Return one end of a connection of ``websockets`` that is open."""
    if role is Role.SERVER:
        return ServerProtocol(state=TheirState.OPEN, max_size=max_size)
    return ClientProtocol(parse_uri("ws://localhost/"), state=TheirState.OPEN, max_size=max_size)


def drive(case: Case, endpoint: Ours | Theirs, *, up_to: int | None = None) -> Account:
    """Take the steps of a case, or those before a place in its stream; return what was seen."""
    stream = case.stream[:up_to]
    # Frame by frame, as far as one read has several: theirs decodes text only between two calls.
    ends = {start for start, _, _ in header_places(stream)}
    start = 0
    for step in case.steps:
        if not isinstance(step, Read):
            endpoint.act(step)
        elif step.stop is None:
            if up_to is None:
                endpoint.read(None)
        else:
            stop = min(step.stop, len(stream))
            places = sorted({start, stop} | {end for end in ends if start < end < stop})
            for a, b in pairwise(places):
                endpoint.read(stream[a:b])
            start = stop
    return endpoint.finish()


# Where they part


@dataclass(frozen=True)
class Place:
    """The frame at which our end stopped, or the last one."""

    start: int
    """Where it begins in the stream."""
    data: bytes
    """The stream from there on."""
    size: int
    """Its payload's size, as it is announced."""
    begin: int
    """Where its payload begins in ``data``, or will."""
    in_message: bool
    """Whether a fragmented message is in progress."""

    @property
    def whole(self) -> bool:
        """Whether it is all there."""
        return len(self.data) >= self.begin + self.size

    @property
    def minimal(self) -> bool:
        """Whether its length is in the shortest form."""
        widest = {126: range(126, 1 << 16), 127: range(1 << 16, 1 << 63)}
        return self.size in widest.get(self.data[1] & 0x7F, range(126))

    @property
    def control(self) -> bool:
        """Whether it is a control frame, known or not."""
        return bool(self.data[0] & 8)


def place_of_stop(case: Case) -> Place:
    """Return the first frame at which one of the two stops; the last one if neither does."""
    stream = case.stream
    stops = [_stop(stream, endpoint) for endpoint in endpoints(case)]
    frames = [each for each in header_places(stream) if each[0] < min(stops)]
    start, length_end, size = frames[-1] if frames else (0, 2, 0)
    in_message = False
    for before, _, _ in frames[:-1]:
        if not stream[before] & 8:
            in_message = not stream[before] & 0x80
    data = stream[start:]
    return Place(start, data, size, length_end - start + 4 * (data[1:2] > b"\x7f"), in_message)


def _stop(stream: bytes, endpoint: Ours | Theirs) -> int:
    """Return how many bytes there were when this end stopped."""
    for place in range(len(stream)):
        if endpoint.stopped:
            return place
        endpoint.read(stream[place : place + 1])
    return len(stream)


@dataclass(frozen=True)
class Allowed:
    """A difference that there may be."""

    reason: str
    """Why ours is right, or just different."""
    applies: Callable[[Place, Account, Account], bool]
    """Tells whether it is this one, given where, our account, and theirs."""


def _reason(account: Account) -> str:
    last = account.events[-1] if account.events else None
    return last.reason if isinstance(last, Close) else ""


def _control_over_limit(place: Place, ours: Account, theirs: Account) -> bool:
    return place.control and theirs.failed(1009)


def _long_length(place: Place, ours: Account, theirs: Account) -> bool:
    return not place.minimal and ours.failed(1002)


def _header_to_come(place: Place, ours: Account, theirs: Account) -> bool:
    waiting = len(place.data) <= place.begin and ours.end in ("open", "cut off")
    return waiting and theirs.end == "failed"


def _bad_gateway(place: Place, ours: Account, theirs: Account) -> bool:
    return ours.failed(1002) and [*ours.events, Close(1014, _reason(theirs))] == theirs.events


def _not_utf8(place: Place, ours: Account, theirs: Account) -> bool:
    text = place.data[0] & 0x7F <= Opcode.TEXT
    return text and ours.failed(1007) and theirs.events[: len(ours.events)] == ours.events


def _payload_first(place: Place, ours: Account, theirs: Account) -> bool:
    late = theirs.failed(1009) or (not place.whole and theirs.end in ("open", "cut off"))
    return late and ours.failed(1002) and ours.events == theirs.events


def _reason_first(place: Place, ours: Account, theirs: Account) -> bool:
    is_close = place.data[0] == 0x80 | Opcode.CLOSE
    return is_close and ours.failed(1002) and theirs.failed(1007)


def _sent_meanwhile(place: Place, ours: Account, theirs: Account) -> bool:
    same = ours.end == theirs.end == "failed" and ours.events == theirs.events
    before = min(len(ours.sent), len(theirs.sent)) - 1
    return same and ours.sent[:before] == theirs.sent[:before]


ALLOWED: Final[dict[str, Allowed]] = {
    "control frame over the limit": Allowed(
        "Theirs holds pings, pongs and Closes, and also what is left of the limit in the middle of"
        " a message, against the limit on messages.  Ours are bounded by the 125 bytes of RFC 6455"
        " section 5.5.",
        _control_over_limit,
    ),
    "length not in its shortest form": Allowed(
        'Theirs takes it, or fails with 1009.  "The minimal number of bytes MUST be used to encode'
        ' the length", "the most significant bit MUST be 0" (section 5.2).',
        _long_length,
    ),
    "header still to come": Allowed(
        "Theirs judges the first two bytes of a frame, ours waits for the length behind them, and"
        " of a frame out of order for the first byte of its payload.",
        _header_to_come,
    ),
    "Close with 1014": Allowed(
        "IANA has registered it, wsproto does not know it: a gap of ours, described where it is.",
        _bad_gateway,
    ),
    "text that is no UTF-8": Allowed(
        "Ours fails at the first byte that is wrong, theirs when the message is complete and the"
        " application takes it: what is between the two is different.",
        _not_utf8,
    ),
    "payload before judgement": Allowed(
        "Theirs waits for the payload of a frame with a wrong header, and refuses its size before;"
        " ours judges the header by itself, and what is malformed is worse than what is large.",
        _payload_first,
    ),
    "Close with two mistakes": Allowed(
        "Code and reason are both wrong: theirs names the reason (1007), ours the code (1002).",
        _reason_first,
    ),
    "sent while a wrong frame came": Allowed(
        "Both fail, one at the header and one at the end of the frame: what the application sends"
        " between the two is sent by one.",
        _sent_meanwhile,
    ),
}


def endpoints(case: Case) -> tuple[Ours, Theirs]:
    """Return both ends, to be driven through the case."""
    max_size = case.limits.max_message_size
    return Ours(case.role, max_size), Theirs(case.role, their_protocol(case.role, max_size))


def accounts(case: Case, up_to: int | None = None) -> tuple[Account, Account]:
    """Return what both ends make of a case, or of the part before a place in its stream."""
    ours, theirs = (drive(case, endpoint, up_to=up_to) for endpoint in endpoints(case))
    return ours, theirs


def compare(case: Case) -> str | None:
    """Drive both ends through a case; return the name of the difference that there may be.

    Raises:
        Difference: there is another one.
    """
    ours, theirs = accounts(case)
    if ours == theirs:
        return None
    place = place_of_stop(case)
    same, as_theirs = accounts(case, place.start)
    if same == as_theirs:
        for name, allowed in ALLOWED.items():
            if allowed.applies(place, ours, theirs):
                return name
    raise Difference(f"{case}\n{place}\nours:   {ours}\ntheirs: {theirs}")
