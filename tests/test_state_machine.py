"""Two ends of a connection without I/O, and anything that may happen between them.

Hypothesis plays both applications and the network: they send, stream, ping and close in any order,
the bytes travel in any pieces, and either direction may end at any moment.  What is expected is
kept beside in a few lists; what is on the wire is read by `trio_ws.testing`, strictly.

``pytest --hypothesis-profile=campaign`` tries many more.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings, strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.helpers import other, sent_frames
from trio_ws._close import Close
from trio_ws._exceptions import ClosedLocally, ConnectionBroken, ConnectionClosed
from trio_ws._options import Limits
from trio_ws.protocol.assembly import Delivery
from trio_ws.protocol.connection import Event, Piece, Ping, Protocol
from trio_ws.protocol.state import TRANSITIONS, Role, State
from trio_ws.testing import Opcode
from trio_ws.testing._frames import FrameSequence

LIMITS = Limits(max_message_size=30, max_fragments=3)

texts = st.text(max_size=12)
messages = texts | st.binary(max_size=12) | st.sampled_from(["x" * 31, bytes(40), "\u20ac" * 10])
payloads = st.binary(max_size=8)
codes = st.sampled_from([1000, 1001, 1011, 4000])
roles = st.sampled_from(Role)


@dataclass
class Sent:
    """A message that one application has sent, or begun to."""

    content: str | bytes
    fragments: int = 1
    complete: bool = True

    @property
    def size(self) -> int:
        """Its size as limits count it, in bytes."""
        return len(self.content.encode() if isinstance(self.content, str) else self.content)


@dataclass
class End:
    """One end, the wire that leads away from it, and what is expected of it."""

    protocol: Protocol
    wire: bytes = b""
    """What it has written and the other end has not read."""
    cut: bool = False
    """Whether its stream ends behind that."""
    state: State = State.OPEN
    sequence: FrameSequence = field(default_factory=FrameSequence)
    sent: list[Sent] = field(default_factory=list[Sent])
    arrived: int = 0
    """How many of the other end's messages have arrived here, or were skipped."""
    partial: str | bytes | None = None
    """What has come of the one that is streamed."""
    limit: int = LIMITS.max_message_size
    """The smallest size that was ever too much here."""
    pings: list[bytes] = field(default_factory=list[bytes])
    """What it has to answer."""
    pongs: list[bytes] = field(default_factory=list[bytes])
    """Its answers."""


class Connection(RuleBasedStateMachine):
    """Both ends."""

    def __init__(self) -> None:
        super().__init__()
        self.ends = {role: End(Protocol(role, LIMITS)) for role in Role}

    # The wire

    def write(self, end: End, data: bytes) -> None:
        """Put bytes of an end on its wire; all of them are frames that it may send now."""
        for frame in sent_frames(end.protocol.role, data):
            end.sequence.add(frame)
        end.wire += data

    def settle(self, end: End) -> None:
        """Write what an end owes, and see where it stands."""
        state = end.protocol.state
        assert state is end.state or state in TRANSITIONS[end.state]
        end.state = state
        owed = end.protocol.data_to_send()
        assert end.protocol.data_to_send() == b""
        answers = [
            each for each in sent_frames(end.protocol.role, owed) if each.opcode == Opcode.PONG
        ]
        end.pongs += [each.payload for each in answers]
        self.write(end, owed)

    def digest(self, end: End, events: list[Event]) -> None:
        """Hold what an end has received against what the other one has sent."""
        sent = self.ends[other(end.protocol.role)].sent
        for event in events:
            if isinstance(event, (str, bytes)):
                assert (sent[end.arrived].content, sent[end.arrived].complete) == (event, True)
                end.arrived += 1
            elif isinstance(event, Piece):
                self._take_piece(end, sent[end.arrived], event)
            elif isinstance(event, Ping):
                end.pings.append(event.payload)
            elif isinstance(event, Close):
                assert event == end.protocol.close_received
        if end.protocol.failure is not None and end.state is not State.CLOSED:
            # The one that was to arrive, or the one that is skipped.
            self._check_failure(end, sent[max(end.arrived - 1, 0) : end.arrived + 1])

    def _take_piece(self, end: End, message: Sent, piece: Piece) -> None:
        before: Any = end.partial if end.partial is not None else message.content[:0]
        assert isinstance(message.content, type(piece.data))
        partial: str | bytes = before + piece.data
        end.partial = partial
        assert partial == message.content[: len(partial)]
        if piece.final:
            assert (partial, message.complete) == (message.content, True)
            end.arrived += 1
            end.partial = None

    def _check_failure(self, end: End, messages: list[Sent]) -> None:
        """The only reason for a failure is a message over the limits."""
        assert any(
            message.size > end.limit or message.fragments > LIMITS.max_fragments
            for message in messages
        )
        if end.state is State.OPEN:
            assert end.protocol.close_sent is not None
            assert end.protocol.close_sent.code == 1009

    # The applications

    def try_to(self, end: End, *, in_message: bool) -> type[Exception] | None:
        """Return the exception that sending has to raise now."""
        if end.protocol.state is State.OPEN:
            busy = bool(end.sent) and not end.sent[-1].complete
            return RuntimeError if busy and not in_message else None
        return ClosedLocally if end.protocol._closed_by_us else ConnectionBroken

    @rule(role=roles, message=messages)
    def send(self, role: Role, message: str | bytes) -> None:
        """One application sends a message."""
        end = self.ends[role]
        error = self.try_to(end, in_message=False)
        if error is None:
            self.write(end, end.protocol.send(message))
            end.sent.append(Sent(message))
        else:
            with pytest.raises(error):
                end.protocol.send(message)

    @rule(role=roles, part=messages, final=st.booleans())
    def send_fragment(self, role: Role, part: str | bytes, final: bool) -> None:
        """One application sends a part of a message."""
        end = self.ends[role]
        text = isinstance(part, str)
        begun = bool(end.sent) and not end.sent[-1].complete
        error = self.try_to(end, in_message=True)
        if error is None and begun and isinstance(end.sent[-1].content, str) is not text:
            error = ValueError
        if error is not None:
            with pytest.raises(error):
                end.protocol.send_fragment(part, text=text, final=final)
            return
        self.write(end, end.protocol.send_fragment(part, text=text, final=final))
        if begun:
            message = end.sent[-1]
            content: Any = message.content
            message.content = content + part
            message.fragments += 1
            message.complete = final
        else:
            end.sent.append(Sent(part, complete=final))

    @rule(role=roles, payload=payloads, solicited=st.booleans())
    def ping(self, role: Role, payload: bytes, solicited: bool) -> None:
        """One application sends a ping, or a pong that nobody asked for."""
        end = self.ends[role]
        send = end.protocol.ping if solicited else end.protocol.pong
        error = self.try_to(end, in_message=True)
        if error is None:
            self.write(end, send(payload))
        else:
            with pytest.raises(error):
                send(payload)

    @rule(role=roles, code=codes, reason=st.sampled_from(["", "bye"]))
    def close(self, role: Role, code: int, reason: str) -> None:
        """One application begins the closing handshake, or has no need to."""
        end = self.ends[role]
        was_open = end.protocol.state is State.OPEN
        data = end.protocol.close(code, reason)
        assert bool(data) is was_open
        if was_open:
            assert end.protocol.close_sent == Close(code, reason)
        self.write(end, data)
        self.settle(end)

    # The network

    @rule(role=roles, size=st.integers(1, 60))
    def carry(self, role: Role, size: int) -> None:
        """Some of what an end has written arrives."""
        end = self.ends[role]
        reader = self.ends[other(role)]
        if not reader.protocol.held and end.wire:
            data, end.wire = end.wire[:size], end.wire[size:]
            self.digest(reader, reader.protocol.receive_data(data))
            self.settle(reader)

    @precondition(lambda self: any(end.wire for end in self.ends.values()))
    @rule(role=roles)
    def carry_all(self, role: Role) -> None:
        """All of it does."""
        self.carry(role, len(self.ends[role].wire))

    @rule(role=roles, often=st.integers(0, 9))
    def cut(self, role: Role, often: int) -> None:
        """A stream ends, now and then, where it is."""
        if often == 0:
            self.ends[role].cut = True
            self._carry_end(role)

    def _carry_end(self, role: Role) -> None:
        if self.ends[role].cut and not self.ends[role].wire:
            reader = self.ends[other(role)]
            self.digest(reader, reader.protocol.receive_data(None))
            assert reader.protocol.state is State.CLOSED
            self.settle(reader)

    # Streaming

    @rule(role=roles, limit=st.sampled_from([None, None, 5, 100]))
    def begin_stream(self, role: Role, limit: int | None) -> None:
        """One application wants the next message in pieces."""
        end = self.ends[role]
        if limit is not None:
            end.limit = min(end.limit, limit)
        self.digest(end, end.protocol.begin_stream(limit))
        self.settle(end)

    @rule(role=roles, size=st.integers(1, 10))
    def begin_to_stream(self, role: Role, size: int) -> None:
        """One application wants it so, and there is already something."""
        self.begin_stream(role, None)
        self.carry(other(role), size)

    @rule(role=roles)
    def skip_stream(self, role: Role) -> None:
        """One application has lost interest in the message that it streams."""
        end = self.ends[role]
        message = end.protocol._message
        if message is not None and message.delivery is Delivery.STREAMED:
            end.arrived += 1
            end.partial = None
        end.protocol.skip_stream()

    @rule(role=roles)
    def end_stream(self, role: Role) -> None:
        """One application takes it back that it wants the next message in pieces."""
        end = self.ends[role]
        streaming = end.protocol.streaming
        assert end.protocol.end_stream() <= streaming
        assert not end.protocol.end_stream()

    @rule(role=roles, defer=st.booleans())
    def defer(self, role: Role, defer: bool) -> None:
        """Nobody waits for a message, or somebody does."""
        end = self.ends[role]
        end.protocol.defer_oversized = defer
        if not defer and end.protocol.held:
            end.protocol.fail_held()
            self.digest(end, [])
            self.settle(end)

    # What always holds

    @invariant()
    def nothing_is_owed(self) -> None:
        """Each ping that was heard has its pong, in its order, unless we were about to close."""
        for end in self.ends.values():
            assert end.state is end.protocol.state
            assert end.protocol.data_to_send() == b""
            assert end.pongs == end.pings[: len(end.pongs)]
            if end.state is State.OPEN:
                assert end.pongs == end.pings

    @invariant()
    def closed_ends_hold_nothing(self) -> None:
        """An end that is closed is idle, and refuses to send."""
        for end in self.ends.values():
            if end.state is State.CLOSED:
                assert not end.protocol.held
                assert not end.protocol.message_in_progress
                assert not end.protocol.streaming
                with pytest.raises(ConnectionClosed):
                    end.protocol.ping()

    def teardown(self) -> None:
        """Whatever it was, it ends: everything arrives, both close, and agree on how."""
        for role in Role:
            self.defer(role, defer=False)
        self.close(Role.CLIENT, 1000, "")
        while any(end.wire for end in self.ends.values()):
            for role in Role:
                self.carry(role, 1 << 20)
                self._carry_end(role)
        cut_short = {role for role in Role if self.ends[role].cut}
        for role in Role:  # whoever is done hangs up
            self.ends[role].cut = True
            self._carry_end(role)
        for role in Role:
            one, two = self.ends[role], self.ends[other(role)]
            assert one.protocol.state is State.CLOSED
            if one.protocol.close_received is not None:
                assert one.protocol.close_received == two.protocol.close_sent
                assert one.protocol.close_sent is not None
            elif not cut_short:
                assert one.protocol.failure is not None
            if one.protocol.failure is None and other(role) not in cut_short:
                complete = [each for each in two.sent if each.complete]
                assert one.arrived >= len(complete)
        self.nothing_is_owed()
        self.closed_ends_hold_nothing()


quick = settings(
    deadline=None,
    max_examples=max(80, settings().max_examples // 4),
    stateful_step_count=40,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)


def test_two_ends_with_anything_between_them() -> None:
    """Messages arrive whole and in order, states move forward, both ends finish and agree."""
    run_state_machine_as_test(Connection, settings=quick)


def _no_pongs(protocol: Protocol) -> list[bytes]:
    protocol._owed_pongs = None
    return []


def _no_last_message(protocol: Protocol, data: bytes | None) -> list[Event]:
    return RECEIVE_DATA(protocol, data)[:1]


def _no_answer(protocol: Protocol, close: object, events: list[Event]) -> None:
    protocol._end()


def _nothing_skipped(protocol: Protocol) -> None:
    protocol._next_message = None


RECEIVE_DATA = Protocol.receive_data

MISTAKES: dict[str, Callable[..., object]] = {
    "pongs_to_send": _no_pongs,
    "receive_data": _no_last_message,
    "_take_close": _no_answer,
    "skip_stream": _nothing_skipped,
}


@pytest.mark.parametrize("name", MISTAKES)
def test_state_machine_finds_mistakes(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """An end with any of these would not get through."""
    monkeypatch.setattr(Protocol, name, MISTAKES[name])
    unshrunk = settings(
        quick,
        max_examples=2000,
        phases=[Phase.generate],
        database=None,
        report_multiple_bugs=False,
    )
    with pytest.raises((AssertionError, IndexError)):
        run_state_machine_as_test(Connection, settings=unshrunk)
