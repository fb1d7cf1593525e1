"""How a connection ends: the closing handshake and its limits, blocks, drains, keepalive."""

import gc
import logging
import math
import random
import weakref
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial

import pytest
import trio
import trio._core._run
import trio.testing

from tests.connections import (
    LIMITS,
    NO_KEEPALIVE,
    Network,
    make_websocket,
    next_close,
    next_frame,
    open_streams,
    pair_over,
    real_networks,
    run_until_idle,
    scripted,
    socket_pair,
)
from tests.helpers import both_roles
from trio_ws import (
    ClosedLocally,
    ConnectionBroken,
    ConnectionClosed,
    ConnectionEnded,
    Keepalive,
    Limits,
    Timeouts,
    WebSocket,
)
from trio_ws._caretaker import TICK
from trio_ws._close import Close
from trio_ws._ending import CANCELLED_GRACE
from trio_ws.protocol.state import Role
from trio_ws.testing import Frame, Opcode, ScriptedPeer, bounded_stream_pair, build_frame

AWAY = 3 * TICK

TIMEOUTS = Timeouts(close=5, stall=8)


async def answer_close(peer: ScriptedPeer, *, code: int | None = None) -> list[Frame]:
    """Read to the Close, answer it, and return what came before the end of the stream."""
    frames: list[Frame] = []
    while not frames or frames[-1].opcode != Opcode.CLOSE:
        frames.append(await next_frame(peer))
    await peer.close_frame(code or frames[-1].close_code)
    rest, cut = await peer.receive_frames()
    assert not cut
    return frames + rest


async def send_for_ever(peer: ScriptedPeer, frame: bytes) -> None:
    """Send the same again and again, until the other end has hung up."""
    with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
        while True:
            await peer.send_bytes(frame)


# aclose(): R10


@both_roles
async def test_aclose_shakes_hands(role: Role, autojump_clock: trio.testing.MockClock) -> None:
    """The peer gets code and reason, answers, and the stream is closed without further waiting."""
    async with scripted(role) as (websocket, peer), trio.open_nursery() as nursery:
        nursery.start_soon(partial(websocket.aclose, 3001, "läuft"))
        close = await next_close(peer)
        assert (close.close_code, close.close_reason) == (3001, "läuft")
        assert is_open(websocket)
        await peer.close_frame(3001)
        assert await peer.receive_frame() is None
        assert websocket.close_received == Close(3001)
        assert websocket.close_sent == Close(3001, "läuft")
        assert trio.current_time() == 0


def is_open(websocket: WebSocket) -> bool:
    """Tell whether the stream is open."""
    return not websocket._transport.closed


async def test_aclose_is_idempotent(autojump_clock: trio.testing.MockClock) -> None:
    """Closing again, with whatever code, does nothing; what is left unread is gone."""
    async with scripted() as (websocket, peer), trio.open_nursery() as nursery:
        nursery.start_soon(answer_close, peer)
        await websocket.aclose(1001)
        for code in (1000, 4000):
            with trio.testing.assert_checkpoints():
                await websocket.aclose(code)
        assert websocket.close_sent == Close(1001)


async def test_aclose_after_the_peer_closed_drops_what_is_unread(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Messages that were still to be had before are not after our own aclose()."""
    async with scripted() as (websocket, peer):
        await peer.send_frame(Opcode.TEXT, b"unread")
        await peer.close_frame()
        await websocket.wait_closed()
        assert websocket.statistics().queued_messages == 1
        await websocket.aclose()
        assert websocket.statistics().queued_messages == 0
        with pytest.raises(ClosedLocally) as caught:
            await websocket.receive()
        assert caught.value.received == Close(1000)


async def test_leaving_after_the_peer_closed_drops_what_is_unread(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """So does the end of a block."""
    async with scripted() as (websocket, peer):
        await peer.send_frame(Opcode.TEXT, b"unread")
        await peer.close_frame()
        await websocket.wait_closed()
    with pytest.raises(ClosedLocally):
        await websocket.receive()


async def test_stream_is_closed_when_the_receiver_hears_of_the_end() -> None:
    """There is nobody to wait for; and to close what is closed is a checkpoint all the same."""
    ours, theirs = socket_pair()
    async with scripted(streams=(ours, theirs)) as (websocket, peer):
        await peer.close_frame()
        with pytest.raises(ConnectionEnded):
            await websocket.receive()
        assert not is_open(websocket)
        with trio.testing.assert_checkpoints():
            await websocket.aclose()
        assert (await next_close(peer)).close_code == 1000


async def test_stream_that_somebody_closes_below_us_is_closed() -> None:
    """While the rest of what was sent goes out: nobody waits for a stream that is gone."""
    ours, theirs = socket_pair()
    async with scripted(streams=(ours, theirs)) as (websocket, peer):
        await websocket.send(bytes(3_000_000))
        await peer.close_frame()
        with pytest.raises(ConnectionEnded):
            await websocket.receive()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(websocket.wait_closed)
            await trio.testing.wait_all_tasks_blocked()
            assert is_open(websocket)
            await trio.aclose_forcefully(websocket.stream)
        assert websocket.statistics().buffered_bytes == 0


async def test_aclose_with_a_silent_peer_is_bounded(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """A peer that does not answer costs timeouts.close, and no exception."""
    async with scripted(timeouts=TIMEOUTS) as (websocket, _):
        await websocket.aclose()
        assert trio.current_time() == TIMEOUTS.close
        assert (websocket.close_sent, websocket.close_received) == (Close(1000), None)


async def test_aclose_flushes_first_for_as_long_as_it_moves(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """A slow peer gets everything, however long it takes; then it has timeouts.close."""
    timeouts = Timeouts(close=5, stall=20)
    async with (
        scripted(streams=bounded_stream_pair(1000), timeouts=timeouts) as (websocket, peer),
        trio.open_nursery() as nursery,
    ):
        await websocket.send(bytes(200_000))
        nursery.start_soon(websocket.aclose)
        for _ in range(50):
            await peer.receive_bytes(4000)
            await trio.sleep(1)
        assert (await peer.receive_bytes(14)).endswith(b"\x88\x02\x03\xe8")
        await trio.sleep(3)
        await peer.close_frame()
        await websocket.wait_closed()
        assert websocket.close_received == Close(1000)


async def test_aclose_gives_a_stalled_peer_up(autojump_clock: trio.testing.MockClock) -> None:
    """A peer that takes nothing costs timeouts.stall; no Close follows half a frame (R4)."""
    async with scripted(streams=bounded_stream_pair(1000), timeouts=TIMEOUTS) as (
        websocket,
        peer,
    ):
        await websocket.send(bytes(200_000))
        await websocket.aclose()
        assert trio.current_time() == TIMEOUTS.stall
        frames, cut = await peer.receive_frames()
        assert not frames
        assert len(cut) == 1000


async def test_aclose_from_two_tasks(autojump_clock: trio.testing.MockClock) -> None:
    """Both wait for the same handshake, and the peer sees one Close."""
    async with scripted() as (websocket, peer):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(websocket.aclose, 1000)
            nursery.start_soon(websocket.aclose, 1001)
            await trio.sleep(1)
            frames = await answer_close(peer)
        assert len(frames) == 1
        assert trio.current_time() == 1


async def test_aclose_from_two_tasks_of_which_one_is_cancelled(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """A cancelled aclose() closes the stream, and the other one has nothing left to wait for."""
    async with scripted(timeouts=TIMEOUTS) as (websocket, _):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(websocket.aclose)
            with trio.move_on_after(2):
                await websocket.aclose()
        assert trio.current_time() == 2
        assert not is_open(websocket)


@pytest.mark.parametrize(
    "frame",
    [
        build_frame(Opcode.BINARY, bytes(1000), mask_key=b"mask"),
        build_frame(Opcode.PING, b"?", mask_key=b"mask"),
        build_frame(Opcode.BINARY, bytes(1000), mask_key=b"mask", fin=False)
        + build_frame(Opcode.CONTINUATION, b"", mask_key=b"mask"),
        build_frame(Opcode.BINARY, bytes(5000), mask_key=b"mask"),
    ],
    ids=["messages", "pings", "fragments", "over the limits"],
)
async def test_aclose_with_a_flooding_peer_is_bounded(
    frame: bytes, autojump_clock: trio.testing.MockClock
) -> None:
    """D1: far more is unread than the queue holds, and more comes; aclose() takes its time only."""
    async with (
        scripted(timeouts=TIMEOUTS, limits=Limits(max_message_size=2000)) as (websocket, peer),
        trio.open_nursery() as nursery,
    ):
        # The flood keeps the clock from jumping, so time passes by hand.
        nursery.start_soon(let_time_pass, autojump_clock)
        nursery.start_soon(send_for_ever, peer, frame)
        nursery.start_soon(peer.receive_frames)
        await trio.sleep(3)
        began = trio.current_time()
        await websocket.aclose()
        assert trio.current_time() <= began + TIMEOUTS.close + 1
        await peer.aclose()
        nursery.cancel_scope.cancel()


async def let_time_pass(clock: trio.testing.MockClock) -> None:
    """Move the clock a little at every scheduler pass."""
    while True:
        await trio.lowlevel.checkpoint()
        clock.jump(0.01)


async def test_leaving_a_block_with_much_unread_is_bounded(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """D1: the queue is full, as much again lies in the stream, and a behaved peer answers."""
    async with (
        trio.open_nursery() as nursery,
        scripted(timeouts=TIMEOUTS) as (_, peer),
    ):
        message = build_frame(Opcode.BINARY, bytes(100), mask_key=b"mask")

        async def talk_and_answer() -> None:
            await peer.send_bytes(message * 5000)
            await answer_close(peer)

        nursery.start_soon(talk_and_answer)
        await trio.sleep(10)
    assert trio.current_time() == pytest.approx(10)


async def test_aclose_while_a_message_over_the_limits_is_held(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """The peer's Close may lie behind it: nothing is waited for."""
    async with scripted(limits=Limits(max_message_size=100), timeouts=TIMEOUTS) as (
        websocket,
        peer,
    ):
        await peer.send_frame(Opcode.BINARY, bytes(200))
        await peer.close_frame()
        await trio.sleep(AWAY)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(websocket.aclose)
            assert (await next_close(peer)).close_code == 1000
            await peer.aclose()
        assert trio.current_time() < 1


async def test_aclose_releases_everybody(autojump_clock: trio.testing.MockClock) -> None:
    """Whoever waits for anything hears ClosedLocally, with the same facts."""
    errors: list[ClosedLocally] = []

    async def wait(call: Callable[[], Awaitable[object]]) -> None:
        with pytest.raises(ClosedLocally) as caught:
            await call()
        errors.append(caught.value)

    async def send_a_stream() -> None:
        async with websocket.send_stream(text=True) as stream:
            await trio.sleep(0.5)
            await stream.send("too late")

    async with scripted(streams=bounded_stream_pair(100)) as (websocket, peer):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait, websocket.receive)
            for payload in range(20):
                nursery.start_soon(wait, partial(websocket.ping, b"%d" % payload))
            nursery.start_soon(wait, send_a_stream)
            await run_until_idle()
            nursery.start_soon(wait, partial(websocket.send, "behind the stream"))
            nursery.start_soon(wait, partial(websocket.send, bytes(70_000)))
            nursery.start_soon(websocket.wait_closed)
            await run_until_idle()
            nursery.start_soon(websocket.aclose)
            await trio.sleep(1)
            await answer_close(peer)
        assert len(errors) == 24
        assert {error.sent for error in errors} == {Close(1000)}
        assert trio.current_time() == 1


@pytest.mark.parametrize("network", ["memory", "trio memory", "socket", "tcp", "tls"])
@pytest.mark.parametrize("way", ["cancelled", "forcefully"])
async def test_cancelled_aclose_never_waits(network: Network, way: str) -> None:
    """The stream is closed at once; on sockets and TLS the peer gets the Close all the same."""
    ours, theirs = await open_streams(network)
    async with scripted(Role.CLIENT, streams=(ours, theirs)) as (websocket, peer):
        if way == "forcefully":
            await trio.aclose_forcefully(websocket)
        else:
            with trio.CancelScope() as scope:
                scope.cancel()
                await websocket.aclose(4001)
            assert scope.cancelled_caught
        assert not is_open(websocket)
        if network in {"socket", "tcp", "tls"}:
            code = 1000 if way == "forcefully" else 4001
            assert (await next_close(peer)).close_code == code
        else:
            # A stream that may block is not tried, unless the flusher happened to be first.
            frames, cut = await peer.receive_frames()
            assert not cut
            assert {frame.opcode for frame in frames} <= {Opcode.CLOSE}
        assert await peer.receive_frames() == ([], b"")


async def test_cancelled_aclose_does_not_follow_half_a_frame(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """R4: a frame is partly written; the stream is closed, and no Close comes behind it."""
    async with scripted(streams=bounded_stream_pair(1000)) as (websocket, peer):
        await websocket.send(bytes(5000))
        await run_until_idle()
        await trio.aclose_forcefully(websocket)
        frames, cut = await peer.receive_frames()
        assert (frames, len(cut)) == ([], 1000)
        assert trio.current_time() == 0


@both_roles
async def test_ping_behind_our_close_is_not_answered(
    role: Role, autojump_clock: trio.testing.MockClock
) -> None:
    """D9: the peer pings after our Close and before its own; the handshake ends normally."""
    async with scripted(role) as (websocket, peer):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(websocket.aclose)
            await next_close(peer)
            await peer.send_frame(Opcode.PING, b"one more thing")
            await peer.send_frame(Opcode.PONG, b"and this")
            await peer.close_frame()
            assert await peer.receive_frames() == ([], b"")
        assert websocket.close_received == Close(1000)


# What the peer gets to hear


@pytest.mark.parametrize(
    ("payload", "opcode", "code"),
    [(b"", 3, 1002), (b"\xff", Opcode.TEXT, 1007), (bytes(2000), Opcode.BINARY, 1009)],
)
@both_roles
async def test_protocol_error_is_told_to_the_peer(
    payload: bytes, opcode: int, code: int, role: Role, autojump_clock: trio.testing.MockClock
) -> None:
    """D10: the peer receives our Close with the right code, whoever reads."""
    limits = Limits(max_message_size=1000)
    async with scripted(role, limits=limits, timeouts=TIMEOUTS) as (websocket, peer):
        await peer.send_frame(opcode, payload)
        with pytest.raises(ConnectionBroken) as caught:
            await websocket.receive()
        assert caught.value.sent is not None
        assert caught.value.sent.code == code
        assert (await next_close(peer)).close_code == code
        # We have failed the connection, so there is no answer to wait for.
        await peer.aclose()
        await websocket.wait_closed()
        assert trio.current_time() <= AWAY


async def test_protocol_error_is_told_without_a_receiver(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """The understudy fails a connection too; it waits for the peer to hang up, not for ever."""
    async with scripted(timeouts=TIMEOUTS) as (websocket, peer):
        await peer.send_frame(3)
        await websocket.wait_closed()
        assert trio.current_time() == TIMEOUTS.close
        assert (await next_close(peer)).close_code == 1002


@real_networks
@pytest.mark.parametrize("way", ["protocol error", "behind the Close"])
async def test_unread_data_does_not_eat_our_close(network: Network, way: str) -> None:
    """D14: what lies unread in the receive buffer would make the kernel send a reset."""
    async with trio.open_nursery() as nursery:
        ours, theirs = await open_streams(network)
        async with scripted(Role.SERVER, streams=(theirs, ours), timeouts=Timeouts(close=30)) as (
            websocket,
            peer,
        ):
            if way == "protocol error":
                await peer.send_frame(3)
            else:
                await peer.send_frame(Opcode.CLOSE)
            await peer.send_bytes(bytes(100_000))
            # Whoever receives is told at once, and does not wait for the peer to hang up.
            with pytest.raises(ConnectionClosed), trio.fail_after(20):
                await websocket.receive()
            nursery.start_soon(websocket.wait_closed)
            await trio.sleep(2 * AWAY)  # for the understudy to be at the end of its work
            await next_close(peer)
            await peer.aclose()
            await websocket.wait_closed()


async def test_flood_does_not_keep_us_lingering(autojump_clock: trio.testing.MockClock) -> None:
    """Waiting for a peer to hang up has its bound in bytes too."""
    async with (
        scripted(timeouts=Timeouts(close=1000)) as (websocket, peer),
        trio.open_nursery() as nursery,
    ):
        await peer.send_frame(3)
        nursery.start_soon(send_for_ever, peer, bytes(1000))
        await websocket.wait_closed()
        assert trio.current_time() < 1
        await peer.aclose()


async def test_lingering_can_be_cut_short(autojump_clock: trio.testing.MockClock) -> None:
    """We have failed the peer and wait for it to hang up: a forced close waits no longer."""
    async with scripted() as (websocket, peer):
        await peer.send_frame(3)
        await trio.sleep(AWAY)
        await trio.aclose_forcefully(websocket)
        assert trio.current_time() == pytest.approx(AWAY)
        assert (await next_close(peer)).close_code == 1002


async def test_stream_that_was_closed_by_somebody_else() -> None:
    """The stream is not for others to close; who does it anyway gets an end, and no other error."""
    ours, theirs = socket_pair()
    async with scripted(streams=(ours, theirs)) as (websocket, peer):
        await peer.close_frame()
        with pytest.raises(ConnectionEnded):
            await websocket.receive()
        await websocket.stream.aclose()
        await websocket.aclose()


@pytest.mark.parametrize("network", ["memory", "trio memory", "socket", "tcp", "tls"])
@pytest.mark.parametrize("closer", ["client", "server", "both"])
async def test_both_ends_agree_on_the_close(network: Network, closer: str) -> None:
    """Whoever closes first, both have seen both Close frames, and no exception says otherwise."""
    async with pair_over(network) as (client, server):
        await client.send("hello")
        assert await server.receive() == "hello"
        async with trio.open_nursery() as nursery:
            if closer != "server":
                nursery.start_soon(client.aclose, 4001)
            if closer != "client":
                nursery.start_soon(server.aclose, 4002)
            await client.wait_closed()
            await server.wait_closed()
        for end in (client, server):
            assert end.close_sent is not None
            assert end.close_received is not None


# The close race: R11


class Chaos:
    """Both ends of a connection, each doing something, and then both are closed."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)

    async def run(self) -> None:
        """Let them do it, and see that it ends well."""
        rng = self.rng
        trio._core._run._r.seed(rng.random())  # the order in which tasks run
        streams = bounded_stream_pair(
            rng.choice([1, 50, 1000, 65536]), max_write=rng.choice([1, 20, None]), rng=rng
        )
        began = trio.current_time()
        async with trio.open_nursery() as nursery:
            ends = [
                make_websocket(stream, role, nursery.start_soon, timeouts=Timeouts(close=100))
                for stream, role in zip(streams, Role, strict=True)
            ]
            for end in ends:
                for action in rng.sample(self.actions, rng.randrange(len(self.actions))):
                    nursery.start_soon(self.act, action, end)
                nursery.start_soon(self.close, end)
        assert trio.current_time() <= began + 100
        for end in ends:
            assert end._closed
            assert end.close_sent is not None
            assert end.close_received is not None
        assert {ends[0].close_sent, ends[1].close_sent} >= {
            ends[0].close_received,
            ends[1].close_received,
        }

    async def act(self, action: Callable[[WebSocket], Awaitable[object]], end: WebSocket) -> None:
        """Do something until the connection ends."""
        with suppress(ConnectionClosed, trio.BusyResourceError):
            await action(end)

    async def close(self, end: WebSocket) -> None:
        """Close one end at some time, in one of the ways that wait for the peer."""
        rng = self.rng
        await self.pause()
        match rng.randrange(4):
            case 0:
                await end._leave(None)
            case 1:
                await end._leave(ValueError())
            case 2:
                end._drain(Close(1001))
                await end._wait_stream_closed()
            case _:
                await end.aclose(rng.choice([1000, 1001, 3000]))

    async def pause(self) -> None:
        """Stay away for some passes of the scheduler, or for longer."""
        if self.rng.random() < 0.5:
            await trio.sleep(self.rng.choice([0.01, TICK, 2 * TICK, 5 * TICK]))
        for _ in range(self.rng.randrange(1, 20)):
            await trio.lowlevel.checkpoint()

    @property
    def actions(self) -> list[Callable[[WebSocket], Awaitable[object]]]:
        """Return what can be done."""
        return [self.send, self.ping, self.receive, self.stream_out, self.stream_in, self.wait]

    async def send(self, end: WebSocket) -> None:
        """Send messages of all sizes."""
        for _ in range(20):
            await end.send(bytes(self.rng.choice([0, 10, 200, 3000])))
            await self.pause()

    async def ping(self, end: WebSocket) -> None:
        """Ping, and do not always wait for the pong."""
        while True:
            with trio.move_on_after(self.rng.choice([0, TICK, 100])):
                await end.ping()
            await self.pause()

    async def receive(self, end: WebSocket) -> None:
        """Receive, and do not always wait for the message."""
        while True:
            with trio.move_on_after(self.rng.choice([0, TICK, 100])):
                await end.receive()
            await self.pause()

    async def stream_out(self, end: WebSocket) -> None:
        """Send messages in fragments."""
        for _ in range(5):
            async with end.send_stream(text=True) as stream:
                for _ in range(3):
                    await stream.send("fragment")
                    await self.pause()

    async def stream_in(self, end: WebSocket) -> None:
        """Receive messages in pieces, and not always to their ends."""
        while True:
            async with end.receive_stream() as stream:
                await self.pause()
                await stream.receive()
            await self.pause()

    async def wait(self, end: WebSocket) -> None:
        """Wait for the end."""
        await end.wait_closed()


@pytest.mark.parametrize("first", range(0, 400, 50))
async def test_close_race_ends_well_for_both(
    first: int, autojump_clock: trio.testing.MockClock
) -> None:
    """R11: both sides close at random times amid random traffic; both end with a code."""
    for seed in range(first, first + 50):
        with trio.fail_after(3600):
            try:
                await Chaos(seed).run()
            except BaseException as exc:
                exc.add_note(f"seed {seed}")
                raise


# Leaving blocks, and handlers that end


async def end_with(error: BaseException | None, websocket: WebSocket) -> None:
    """Leave an ``async with websocket`` block in this way."""
    async with websocket:
        if error is not None:
            raise error


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (None, 1000),
        (ValueError("mine"), 1011),
        (ExceptionGroup("several", [ValueError("mine"), KeyError()]), 1011),
        (KeyboardInterrupt(), 1001),
        (SystemExit(), 1001),
        (BaseExceptionGroup("both", [ValueError(), KeyboardInterrupt()]), 1001),
    ],
    ids=repr,
)
async def test_leaving_a_block_closes(
    error: BaseException | None, code: int, autojump_clock: trio.testing.MockClock
) -> None:
    """1000, after an exception 1011, when the program is to end 1001; the exception goes on."""
    async with scripted() as (websocket, peer), trio.open_nursery() as nursery:
        nursery.start_soon(answer_close, peer)
        try:
            await end_with(error, websocket)
        except BaseException as exc:  # noqa: BLE001 - one of the above
            assert exc is error  # noqa: PT017 - it may be none
        assert websocket.close_sent == Close(code)
        assert trio.current_time() == 0


async def test_leaving_a_block_by_cancellation_closes_with_1001(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """The peer gets a Close and may answer it, though everybody here is cancelled."""
    async with scripted() as (websocket, peer), trio.open_nursery() as nursery:
        nursery.start_soon(answer_close, peer)
        with trio.CancelScope() as scope:
            async with websocket:
                scope.cancel()
                await trio.sleep_forever()
        assert websocket.close_sent == websocket.close_received == Close(1001)
        assert trio.current_time() == 0


@pytest.mark.parametrize("pending", [0, 200_000], ids=["silent", "stalled"])
async def test_leaving_a_block_by_cancellation_has_a_second(
    pending: int, autojump_clock: trio.testing.MockClock
) -> None:
    """A peer that does not answer, or takes nothing, is left after the grace."""
    async with scripted() as (websocket, peer):
        with trio.CancelScope() as scope:
            async with websocket:
                await websocket.send(bytes(pending))
                scope.cancel()
                await trio.sleep_forever()
        assert trio.current_time() == CANCELLED_GRACE
        frames, cut = await peer.receive_frames()
        assert [frame.opcode for frame in frames] == ([] if pending else [2, 8])
        assert bool(cut) is bool(pending)


@pytest.mark.parametrize("error", [None, ValueError()], ids=repr)
async def test_leaving_a_block_that_is_cancelled_while_it_closes(
    error: Exception | None, autojump_clock: trio.testing.MockClock
) -> None:
    """Cancelled in the middle of the closing handshake: from then on there is a second left."""
    async with scripted(timeouts=TIMEOUTS) as (websocket, _):
        with trio.move_on_after(2) as scope:
            await end_with(error, websocket)
        assert scope.cancelled_caught
        assert trio.current_time() == 2 + CANCELLED_GRACE
        assert websocket.close_sent == Close(1011 if error else 1000)


async def test_leaving_a_block_in_a_cancelled_scope_with_an_exception(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """The code tells of the exception; what comes out is the cancellation, as with any resource."""
    async with scripted() as (websocket, peer), trio.open_nursery() as nursery:
        nursery.start_soon(answer_close, peer)
        with trio.CancelScope() as scope:
            scope.cancel()
            await end_with(ValueError("mine"), websocket)
        assert scope.cancelled_caught
        assert websocket.close_sent == websocket.close_received == Close(1011)


async def test_answer_to_the_peers_close_has_the_grace_too(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """The peer closed first, our answer is behind much else, and the block is cancelled."""
    frames: list[Frame] = []

    async def read_late() -> None:
        await trio.sleep(1.5)
        frames.extend((await peer.receive_frames())[0])

    ours, theirs = bounded_stream_pair(100)
    async with trio.open_nursery() as nursery:
        with trio.move_on_after(1):
            async with scripted(streams=(ours, theirs)) as (websocket, peer):
                await websocket.send("x" * 1000)
                await peer.close_frame()
                with pytest.raises(ConnectionEnded):
                    await websocket.receive()
                nursery.start_soon(read_late)
                # Leaving finds the connection over and begins to close the stream.
    assert [frame.opcode for frame in frames] == [Opcode.TEXT, Opcode.CLOSE]


# Draining


@both_roles
async def test_drain_delivers_what_came_before_and_ends_the_loop(
    role: Role, autojump_clock: trio.testing.MockClock
) -> None:
    """The peer answers whatever code with its own: the loop ends as after a clean close."""
    async with scripted(role) as (websocket, peer):
        await peer.send_frame(Opcode.TEXT, b"one")
        websocket._drain(Close(4000, "bye"))
        websocket._drain(Close(4001))
        await peer.send_frame(Opcode.TEXT, b"two")
        assert (await next_close(peer)).close_code == 4000
        with pytest.raises(ClosedLocally):
            await websocket.send("too late")
        await peer.close_frame(4000)
        assert [message async for message in websocket] == ["one", "two"]
        with pytest.raises(ConnectionEnded):
            await websocket.receive()


async def test_drain_with_a_silent_peer_ends_in_time(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Nobody waits in a drain; after timeouts.close it is over all the same."""
    async with scripted(timeouts=TIMEOUTS) as (websocket, _):
        websocket._drain(Close(1001))
        with pytest.raises(ConnectionBroken) as caught:
            await websocket.receive()
        assert trio.current_time() == pytest.approx(TIMEOUTS.close, abs=2 * TICK)
        assert (caught.value.received, caught.value.sent) == (None, Close(1001))


async def test_drain_without_a_receiver_ends_in_time(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """So it is when the application is elsewhere: the stream is closed."""
    async with scripted(timeouts=TIMEOUTS) as (websocket, _):
        websocket._drain(Close(1001))
        await websocket.wait_closed()
        assert trio.current_time() == pytest.approx(TIMEOUTS.close, abs=2 * TICK)


@pytest.mark.parametrize("early", [0.0, 0.001, TICK], ids=["at once", "just before", "before"])
async def test_drain_waits_for_an_application_with_a_full_queue(
    early: float, autojump_clock: trio.testing.MockClock
) -> None:
    """The peer's answer lies behind what the application has yet to receive.

    Also when it comes back at a moment at which the time of an answer would be over.
    """
    limits = Limits(max_queued_messages=2)
    async with scripted(timeouts=TIMEOUTS, limits=limits) as (websocket, peer):
        for number in range(5):
            await peer.send_frame(Opcode.TEXT, b"%d" % number)
            await trio.sleep(AWAY)
        began = trio.current_time()
        websocket._drain(Close(1001))
        await peer.close_frame(1001)
        await trio.sleep_until(began + 10 * TIMEOUTS.close - early)
        assert [message async for message in websocket] == list("01234")


async def test_drain_does_not_wait_for_ever_behind_a_full_queue(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """The application comes late, and the peer is silent: there is a limit still."""
    limits = Limits(max_queued_messages=2)
    async with scripted(timeouts=TIMEOUTS, limits=limits) as (websocket, peer):
        for number in range(3):
            await peer.send_frame(Opcode.TEXT, b"%d" % number)
            await trio.sleep(AWAY)
        websocket._drain(Close(1001))
        await trio.sleep(10 * TIMEOUTS.close)
        began = trio.current_time()
        assert [await websocket.receive() for _ in range(3)] == list("012")
        with pytest.raises(ConnectionBroken):
            await websocket.receive()
        assert trio.current_time() <= began + 2 * TIMEOUTS.close + 2 * TICK


async def test_drain_flushes_first_for_as_long_as_it_moves(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """A slow peer gets what was committed before it is expected to answer."""
    timeouts = Timeouts(close=5, stall=20)
    async with scripted(streams=bounded_stream_pair(1000), timeouts=timeouts) as (
        websocket,
        peer,
    ):
        await websocket.send(bytes(200_000))
        websocket._drain(Close(1001))
        for _ in range(50):
            await peer.receive_bytes(4000)
            await trio.sleep(1)
        assert (await peer.receive_bytes(14)).endswith(b"\x88\x02\x03\xe9")
        await trio.sleep(3)
        await peer.close_frame(1001)
        with pytest.raises(ConnectionEnded):
            await websocket.receive()


async def test_drain_of_a_connection_that_is_closing_changes_nothing(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """It was closed by the peer: the loop ends as that demands."""
    async with scripted() as (websocket, peer):
        await peer.close_frame(4000)
        await websocket.wait_closed()
        websocket._drain(Close(1001))
        assert websocket.close_sent == Close(4000)
        with pytest.raises(ConnectionBroken):
            await websocket.receive()


# Keepalive

KEEPALIVE = Keepalive(interval=10, timeout=4)


async def answer_pings(peer: ScriptedPeer, seen: list[float]) -> None:
    """Answer every ping, and note when it came."""
    with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
        while frame := await peer.receive_frame():
            if frame.opcode == Opcode.PING:
                seen.append(trio.current_time())
                await peer.send_frame(Opcode.PONG, frame.payload)
            elif frame.opcode == Opcode.CLOSE:
                await peer.close_frame()


@pytest.mark.parametrize("patience", [4, 60])
@pytest.mark.parametrize("receiving", [False, True])
async def test_keepalive_pings_a_silent_peer(
    receiving: bool, patience: float, autojump_clock: trio.testing.MockClock
) -> None:
    """Every interval without a byte there is a ping; the pong tells the latency."""
    seen: list[float] = []
    keepalive = Keepalive(interval=10, timeout=patience)
    async with scripted(keepalive=keepalive) as (websocket, peer), trio.open_nursery() as nursery:
        nursery.start_soon(answer_pings, peer, seen)
        with trio.move_on_after(45):
            if receiving:
                await websocket.receive()
            await trio.sleep_forever()
        assert seen == pytest.approx([10, 20, 30, 40], abs=5 * TICK)
        assert websocket.latency == pytest.approx(0)
        assert websocket.statistics().latency == websocket.latency
        nursery.cancel_scope.cancel()


async def test_keepalive_takes_any_byte_for_life(autojump_clock: trio.testing.MockClock) -> None:
    """A peer that talks is not pinged, be it one byte of a frame at a time."""
    async with scripted(keepalive=KEEPALIVE) as (websocket, peer), trio.open_nursery() as nursery:
        nursery.start_soon(websocket.discard_messages)
        for byte in build_frame(Opcode.BINARY, bytes(20), mask_key=b"mask"):
            await peer.send_bytes(bytes([byte]))
            await trio.sleep(8)
        with trio.move_on_after(0):
            await peer.receive_frame()
            pytest.fail("there was a ping")
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("receiving", [False, True])
async def test_keepalive_gives_a_dead_peer_up(
    receiving: bool, autojump_clock: trio.testing.MockClock
) -> None:
    """No answer within the timeout: everybody hears of it, and the cause is in words."""
    async with scripted(keepalive=KEEPALIVE) as (websocket, peer):
        if receiving:
            with pytest.raises(ConnectionBroken):
                await websocket.receive()
        else:
            await websocket.wait_closed()
        assert trio.current_time() == pytest.approx(14, abs=5 * TICK)
        with pytest.raises(ConnectionBroken) as caught:
            await websocket.receive()
        assert caught.value.code == 1006
        assert caught.value.sent is not None
        assert caught.value.sent.code == 1011
        assert isinstance(caught.value.__cause__, trio.TooSlowError)
        assert (await next_frame(peer)).opcode == Opcode.PING


async def test_keepalive_can_be_disabled(autojump_clock: trio.testing.MockClock) -> None:
    """An infinite interval: a silent peer may be silent for a year."""
    async with scripted(keepalive=NO_KEEPALIVE) as (websocket, _):
        with trio.move_on_after(3000):
            await websocket.receive()
        assert websocket.close_sent is None


async def test_keepalive_bears_with_a_slow_handler_and_a_flood(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """D5: half a second a message, a peer that floods and answers every ping: never 1011."""
    keepalive = Keepalive(interval=1, timeout=1)
    message = build_frame(Opcode.BINARY, bytes(1000), mask_key=b"mask")
    streams = bounded_stream_pair(8000)
    async with (
        scripted(keepalive=keepalive, streams=streams) as (websocket, peer),
        trio.open_nursery() as nursery,
    ):
        lock = trio.Lock()  # one frame at a time, the pongs between

        async def flood() -> None:
            while True:
                async with lock:
                    await peer.send_bytes(message)

        async def answer() -> None:
            while frame := await peer.receive_frame():
                if frame.opcode == Opcode.PING:
                    async with lock:
                        await peer.send_frame(Opcode.PONG, frame.payload)

        nursery.start_soon(flood)
        nursery.start_soon(answer)
        for _ in range(240):
            await websocket.receive()
            await trio.sleep(0.5)
        assert websocket.close_sent is None
        nursery.cancel_scope.cancel()


async def test_keepalive_does_not_count_while_reading_is_paused(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """The pong may lie unread.  Pings go out all the same, one at a time; then it counts again."""
    async with scripted(keepalive=KEEPALIVE) as (websocket, peer):
        for _ in range(20):
            await peer.send_frame(Opcode.TEXT, b"x")
        await trio.sleep(1000)
        assert websocket.close_sent is None
        for _ in range(90):
            assert (await next_frame(peer)).opcode == Opcode.PING
        began = trio.current_time()
        for _ in range(20):
            await websocket.receive()
        with pytest.raises(ConnectionBroken):
            await websocket.receive()
        assert trio.current_time() <= began + 10 + 4 + 1


async def test_keepalive_gives_reading_that_has_just_begun_again_one_tick(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """The pong lies unread behind the messages, the deadline has passed: it is found first."""
    async with scripted(keepalive=KEEPALIVE) as (websocket, peer):
        for _ in range(20):
            await peer.send_frame(Opcode.TEXT, b"x")
            await trio.sleep(AWAY)
        ping = await next_frame(peer)
        await peer.send_frame(Opcode.PONG, ping.payload)
        await trio.sleep(KEEPALIVE.timeout)
        for _ in range(20):
            await websocket.receive()
        with trio.move_on_after(1):
            await websocket.receive()
        assert websocket.close_sent is None
        assert websocket.latency is not None


async def test_keepalive_stops_when_the_connection_closes(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """After our Close nothing may be sent, and timeouts.close says what happens."""
    async with scripted(keepalive=KEEPALIVE, timeouts=Timeouts(close=100)) as (websocket, peer):
        websocket._drain(Close(1001))
        await next_close(peer)
        with trio.move_on_after(50):
            assert await peer.receive_frame() is None
            pytest.fail("something was sent behind the Close")


async def test_keepalive_of_a_closed_connection_rings_no_more(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """It is over, but the stream is not closed yet: lingering has no use for pings."""
    async with scripted(keepalive=KEEPALIVE, timeouts=Timeouts(close=100)) as (websocket, peer):
        await peer.send_frame(3)
        await trio.sleep(50)
        assert (await next_close(peer)).close_code == 1002
        await peer.aclose()
        await websocket.wait_closed()


# Facts


async def test_connection_knows_its_own_exceptions(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """A handler's failure is told from the end of its own connection by whose exception it is."""
    async with scripted() as (one, _), scripted() as (other, _):
        await trio.aclose_forcefully(one)
        with pytest.raises(ClosedLocally) as caught:
            await one.receive()
        assert one._owns(caught.value)
        assert not other._owns(caught.value)
        assert not one._owns(ClosedLocally(None, None))


@pytest.mark.parametrize("level", [logging.INFO, logging.WARNING])
async def test_close_is_one_line_of_the_log(
    level: int, caplog: pytest.LogCaptureFixture, autojump_clock: trio.testing.MockClock
) -> None:
    """F15: whatever the peer gives as its reason, no line break or escape sequence gets there."""
    caplog.set_level(level, "trio_ws.client")
    async with scripted() as (websocket, peer):
        await peer.close_frame(4000, "bye\r\nERROR \x1b[2J all is lost")
        await websocket.wait_closed()
    lines = [record.getMessage() for record in caplog.records]
    assert (lines == []) is (level > logging.INFO)
    assert all(line.isprintable() for line in lines)


@pytest.mark.parametrize("cause", ["reset", "stall"])
async def test_cause_is_in_the_log(
    cause: str, caplog: pytest.LogCaptureFixture, autojump_clock: trio.testing.MockClock
) -> None:
    """What broke the connection is worth a line, too."""
    caplog.set_level(logging.INFO, "trio_ws.client")
    ours, theirs = bounded_stream_pair()
    async with scripted(streams=(ours, theirs), timeouts=TIMEOUTS) as (websocket, _):
        if cause == "reset":
            theirs.reset()
        else:
            await websocket.send(bytes(200_000))
        await websocket.wait_closed()
        await run_until_idle()
    reasons = {"reset": "the peer has reset", "stall": "took no data"}
    assert any(reasons[cause] in record.getMessage() for record in caplog.records)


# No garbage


async def close_by_us(websocket: WebSocket, peer: ScriptedPeer) -> None:
    """Shake hands."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(answer_close, peer)
        await websocket.aclose()


async def close_by_peer(websocket: WebSocket, peer: ScriptedPeer) -> None:
    """Shake hands, the other way round; and try to go on."""
    await peer.close_frame()
    await websocket.wait_closed()
    with suppress(ConnectionClosed):
        await websocket.receive()


async def break_stream(websocket: WebSocket, peer: ScriptedPeer) -> None:
    """Lose the connection while somebody receives."""
    await websocket.send("x")
    await peer.aclose()
    with suppress(ConnectionClosed):
        await websocket.receive()
    with suppress(ConnectionClosed):
        await websocket.send("y")


async def violate(websocket: WebSocket, peer: ScriptedPeer) -> None:
    """Break the rules."""
    await peer.send_frame(3)
    with suppress(ConnectionClosed):
        await websocket.receive()


async def stall(websocket: WebSocket, peer: ScriptedPeer) -> None:
    """Take nothing."""
    await websocket.send(bytes(5_000_000))
    with suppress(ConnectionClosed):
        await websocket.receive()


async def converse(websocket: WebSocket, peer: ScriptedPeer) -> None:
    """Use everything there is."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(answer_pings, peer, list[float]())
        await websocket.ping()
        async with websocket.send_stream(text=True) as stream:
            await stream.send("x")
        await peer.send_frame(Opcode.TEXT, b"x", fin=False)
        async with websocket.receive_stream() as pieces:
            await pieces.receive()
        await websocket.aclose()


@pytest.mark.parametrize(
    "course", [close_by_us, close_by_peer, break_stream, violate, stall, converse]
)
@pytest.mark.parametrize("network", ["memory", "socket"])
async def test_connections_leave_no_cycles(
    network: Network, course: Callable[[WebSocket, ScriptedPeer], Awaitable[None]]
) -> None:
    """S7: without the garbage collector, connections are gone when nobody refers to them."""
    remembered: list[weakref.ref[object]] = []
    timeouts = Timeouts(close=0.05, stall=0.05)

    async def run() -> None:
        streams = await open_streams(network)
        async with scripted(streams=streams, timeouts=timeouts) as (websocket, peer):
            remembered.append(weakref.ref(websocket))
            await course(websocket, peer)

    gc.collect()
    gc.disable()
    try:
        for _ in range(5):
            await run()
        await trio.lowlevel.checkpoint()
        assert [reference() for reference in remembered] == [None] * 5
    finally:
        gc.enable()


async def test_hundred_pairs_leave_no_cycles(autojump_clock: trio.testing.MockClock) -> None:
    """S7: a hundred pairs opened, used and closed, opening handshake included."""
    remembered: list[weakref.ref[WebSocket]] = []

    async def run() -> None:
        async with pair_over() as (client, server):
            remembered.extend([weakref.ref(client), weakref.ref(server)])
            await client.send("hello")
            assert await server.receive() == "hello"

    gc.collect()
    gc.disable()
    try:
        for _ in range(100):
            await run()
        await trio.lowlevel.checkpoint()
        alive = [reference for reference in remembered if reference() is not None]
        assert alive == []
    finally:
        gc.enable()


async def test_closing_timeouts_may_be_infinite(autojump_clock: trio.testing.MockClock) -> None:
    """Whoever wants to wait for ever may; the caller's own scope still ends it."""
    timeouts = Timeouts(close=math.inf, stall=math.inf)
    async with scripted(timeouts=timeouts, limits=LIMITS) as (websocket, _):
        websocket._drain(Close(1001))
        with trio.move_on_after(3000) as scope:
            await websocket.aclose()
        assert scope.cancelled_caught


async def test_keepalive_timeout_may_be_longer_than_the_interval(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """A ping that went out while reading was paused has its timeout too, once reading goes on."""
    keepalive = Keepalive(interval=2, timeout=15)
    async with scripted(keepalive=keepalive) as (websocket, peer):
        for _ in range(17):
            await peer.send_frame(Opcode.TEXT, b"x")
        await trio.sleep(5)
        pings = [await next_frame(peer), await next_frame(peer)]
        async with trio.open_nursery() as nursery:
            for _ in range(16):
                await websocket.receive()
            nursery.start_soon(websocket.discard_messages)
            await trio.sleep(12)
            await peer.send_frame(Opcode.PONG, pings[-1].payload)
            await run_until_idle()
            assert websocket.close_sent is None
            nursery.cancel_scope.cancel()
