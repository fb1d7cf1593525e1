"""Two WebSockets over memory, and applications that do anything at their ends.

Hypothesis writes what each task does, and how small the pieces are in which the network carries
bytes; Trio runs it with a clock that jumps.  What was sent arrives, in order, or the connection is
over for both, and for the same reason.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import cast

import pytest
import trio
import trio.testing
from hypothesis import HealthCheck, given, settings, strategies as st

from tests.connections import NO_KEEPALIVE
from trio_ws import ConnectionClosed, Keepalive, Limits, Timeouts, WebSocket
from trio_ws.testing import bounded_stream_pair, memory_websocket_pair

common = settings(
    deadline=None,
    max_examples=max(16, settings().max_examples // 6),
    suppress_health_check=[HealthCheck.too_slow],
)

texts = st.text(max_size=8) | st.just("x" * 200)
messages = texts | st.binary(max_size=8) | st.just(bytes(300))

Step = tuple[str, object]

sending = st.one_of(
    st.tuples(st.just("send"), messages),
    st.tuples(st.just("send_nowait"), messages),
    st.tuples(st.just("stream"), st.lists(texts, max_size=3).map(tuple)),
    st.tuples(st.just("ping"), st.none()),
    st.tuples(st.just("pong"), st.none()),
    st.tuples(st.just("sleep"), st.sampled_from([0.0, 1.0])),
    st.tuples(st.just("cancelled"), messages),
)
receiving = st.lists(
    st.sampled_from(["receive", "receive", "receive", "stream", "skip", "nowait", "away"])
)
closing = st.none() | st.sampled_from([1000, 1001, 4000])


@dataclass
class Application:
    """What one end does, and what it has seen."""

    steps: Sequence[Step]
    reads: Sequence[str]
    close: int | None
    sent: list[str | bytes] = field(default_factory=list[str | bytes])
    received: list[str | bytes | None] = field(default_factory=list[str | bytes | None])
    """``None`` for one that was skipped."""

    async def run(self, websocket: WebSocket) -> None:
        """Do all of it, as two tasks."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._receive, websocket)
            try:
                for step in self.steps:
                    await self._do(websocket, *step)
                if self.close is not None:
                    await websocket.aclose(self.close)
            except ConnectionClosed:
                assert websocket.close_received or websocket.close_sent

    async def _do(self, websocket: WebSocket, what: str, with_what: object) -> None:
        match what, with_what:
            case "send", str() | bytes() as message:
                await websocket.send(message)
                self.sent.append(message)
            case "send_nowait", str() | bytes() as message:
                with suppress(trio.WouldBlock):
                    websocket.send_nowait(message)
                    self.sent.append(message)
                await trio.lowlevel.checkpoint()
            case "stream", tuple():
                parts = cast("tuple[str, ...]", with_what)
                async with websocket.send_stream(text=True) as stream:
                    for part in parts:
                        await stream.send(part)
                self.sent.append("".join(parts))
            case "ping", _:  # behind messages that nobody reads, its pong may take a while
                assert 0 <= await websocket.ping() < 300
            case "pong", _:
                await websocket.pong(b"here")
            case "cancelled", str() | bytes() as message:
                with trio.CancelScope() as scope:
                    scope.cancel()
                    await websocket.send(message)
                assert scope.cancelled_caught
            case _, float() as seconds:
                await trio.sleep(seconds)
            case _:
                raise AssertionError(what)

    async def _receive(self, websocket: WebSocket) -> None:
        try:
            for how in self.reads:
                await self._read(websocket, how)
            async for message in websocket:
                self.received.append(message)
        except ConnectionClosed:
            pass

    async def _read(self, websocket: WebSocket, how: str) -> None:
        match how:
            case "receive":
                self.received.append(await websocket.receive())
            case "stream":
                pieces: list[str | bytes] = []
                async with websocket.receive_stream() as stream:
                    pieces = [piece async for piece in stream]
                texts = [each for each in pieces if isinstance(each, str)]
                rest = b"".join(each for each in pieces if isinstance(each, bytes))
                self.received.append("".join(texts) or rest)
            case "skip":
                async with websocket.receive_stream():
                    self.received.append(None)
            case "nowait":
                with suppress(trio.WouldBlock):
                    self.received.append(websocket.receive_nowait())
                await trio.lowlevel.checkpoint()
            case _:
                await trio.sleep(3)


applications = st.builds(
    Application, steps=st.lists(sending, max_size=6), reads=receiving, close=closing
)


def play(client: Application, server: Application, piece: int, *, keepalive: bool) -> None:
    """Have two applications talk over a network that carries so many bytes at once."""

    async def main() -> None:
        streams = bounded_stream_pair(capacity=64, max_write=piece, max_read=piece)
        limits = Limits(max_buffered_bytes=100, max_queued_bytes=400, max_queued_messages=2)
        timeouts = Timeouts(stall=math.inf)
        pings = Keepalive(interval=0.5) if keepalive else NO_KEEPALIVE
        with trio.fail_after(600):
            async with (
                memory_websocket_pair(
                    client={"limits": limits, "timeouts": timeouts, "keepalive": pings},
                    server={"limits": limits, "timeouts": timeouts, "keepalive": pings},
                    streams=streams,
                ) as ends,
                trio.open_nursery() as nursery,
            ):
                for application, end in zip((client, server), ends, strict=True):
                    nursery.start_soon(application.run, end)
                await trio.sleep(300)
                for end in ends:
                    nursery.start_soon(end.aclose)
        facts = [(end.close_sent, end.close_received) for end in ends]
        assert facts[0][0] is not None
        assert facts[0] == facts[1][::-1]

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


def check_received(sender: Application, receiver: Application) -> None:
    """What was received is what was sent, from the first on, but for what was skipped."""
    # The connection may have been closed while the last one was on its way into a list.
    for received, sent in zip(receiver.received, [*sender.sent, None], strict=False):
        assert received is None or sent is None or received == (sent or type(received)())
    assert len(receiver.received) <= len(sender.sent) + 1
    if sender.close is None and receiver.close is None:
        assert len(receiver.received) == len(sender.sent)


@common
@given(
    client=applications,
    server=applications,
    piece=st.sampled_from([5, 20, 64]),
    keepalive=st.booleans(),
)
def test_two_applications_that_do_anything(
    client: Application, server: Application, piece: int, keepalive: bool
) -> None:
    """All that was sent is received, in order, until one of them closes; nothing hangs."""
    play(client, server, piece, keepalive=keepalive)
    check_received(client, server)
    check_received(server, client)


def test_applications_see_a_message_that_is_lost() -> None:
    """Were one lost on its way, the comparison would fail."""
    client = Application([("send", "one"), ("send", "two")], [], None)
    server = Application([], [], None)
    play(client, server, 20, keepalive=False)
    check_received(client, server)
    assert server.received == ["one", "two"]
    for wrong in (["two"], ["one", "two", "three", "four"], ["two", "one"], []):
        server.received = [*wrong]
        with pytest.raises(AssertionError):
            check_received(client, server)
