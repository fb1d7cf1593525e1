"""What every transport promises, each over what it was made for; and how one is chosen."""

import gc
import socket
import ssl
import weakref

import pytest
import trio
import trio.testing

from tests.injection import Fault, Injector, inject
from tests.transports import (
    KINDS,
    TOO_MUCH,
    Kind,
    Wire,
    as_stream,
    commit,
    every_kind,
    numbered,
    open_wire,
    receive_exactly,
    secured,
    send,
    socket_pair,
    tcp_pair,
)
from trio_ws._options import Limits, Timeouts
from trio_ws._transport import (
    Transport,
    close_forcefully,
    make_transport,
    socket_addresses,
    socket_below,
    tls_info,
)
from trio_ws._transport.base import MAX_LINGER_BYTES, without_frames
from trio_ws._transport.outbox import CHUNK_SIZE
from trio_ws._transport.socket import SocketTransport
from trio_ws._transport.stream import StreamTransport
from trio_ws._transport.tls import TLSTransport
from trio_ws.testing import Opcode, bounded_stream_pair, build_frame


class Owner:
    """Writes and is told of failures, as a connection does."""

    def __init__(self, transport: Transport) -> None:
        self.transport = transport
        self.failures = 0
        transport.watch(self.write_failed)

    def write_failed(self) -> None:
        """Count the calls."""
        self.failures += 1

    def write(self, data: bytes) -> None:
        """Write from a frame that refers to us."""
        commit(self.transport, data)


async def clog(wire: Wire) -> None:
    """Write so much that some of it waits, and wait until no more of it moves."""
    commit(wire.transport, bytes(TOO_MUCH))
    await trio.testing.wait_all_tasks_blocked()
    assert wire.transport.pending
    assert wire.transport.full


async def break_writing(wire: Wire) -> None:
    """Make the peer take no more, and have us notice."""
    await refuse_to_read(wire)
    commit(wire.transport, b"never")
    await trio.testing.wait_all_tasks_blocked()


async def refuse_to_read(wire: Wire) -> None:
    """Make the peer take no more; what it has sent can still be read, unless we are clogged."""
    if isinstance(wire.below, trio.SocketStream) and not wire.transport.pending:
        wire.below.socket.shutdown(socket.SHUT_RD)
    else:
        await wire.below.aclose()


# Writing


@every_kind
async def test_write_never_blocks(kind: Kind) -> None:
    """Far more than the peer takes is committed at once; it arrives whole and in order."""
    async with open_wire(kind) as wire:
        frames = numbered(500, 1000)
        for frame in frames:
            commit(wire.transport, frame)
        assert wire.transport.pending > TOO_MUCH
        await trio.testing.wait_all_tasks_blocked()
        assert wire.transport.pending > TOO_MUCH
        assert await receive_exactly(wire.peer, 500_000) == b"".join(frames)
        await trio.testing.wait_all_tasks_blocked()
        assert wire.transport.pending == 0
        assert wire.tasks == 0


@every_kind
async def test_write_of_little_leaves_nothing_pending(kind: Kind) -> None:
    """What the stream takes at once is gone, and no task is left."""
    async with open_wire(kind) as wire:
        await send(wire.transport, b"hello")
        await trio.testing.wait_all_tasks_blocked()
        assert wire.transport.pending == 0
        assert not wire.transport.crowded
        assert wire.tasks == 0
        assert await wire.peer.receive_some() == b"hello"


@every_kind
@pytest.mark.parametrize("most", [1, 7, 1460])
async def test_partial_writes_give_the_same_bytes(
    kind: Kind, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However little the stream takes at a time, the peer gets byte for byte the same (R7)."""
    async with open_wire(kind, max_write=most) as wire:
        if kind != "stream":
            cut_writes(monkeypatch, most)
        frames = numbered(40, 300)
        async with trio.open_nursery() as nursery:
            for frame in frames[:20]:
                commit(wire.transport, frame)
            nursery.start_soon(send_in_turn, wire.transport, frames[20:])
            assert await receive_exactly(wire.peer, 40 * 300) == b"".join(frames)


def cut_writes(monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    """Let the kernel take no more than so many bytes at a time."""
    genuine = SocketTransport.write.__globals__["os"].write

    def write(fd: int, data: bytes | memoryview) -> int:
        written: int = genuine(fd, data[:most])
        return written

    monkeypatch.setattr("trio_ws._transport.socket.os.write", write)


async def send_in_turn(transport: Transport, frames: list[bytes]) -> None:
    """Send these, one after the other."""
    for frame in frames:
        await send(transport, frame)


@every_kind
async def test_flusher_lives_only_while_it_is_needed(kind: Kind) -> None:
    """There is one task while something waits, none before and after."""
    async with open_wire(kind) as wire:
        assert wire.tasks == 0
        await clog(wire)
        alive = wire.tasks
        assert alive == 1
        for _ in range(5):
            commit(wire.transport, b"more")
        await trio.testing.wait_all_tasks_blocked()
        assert wire.tasks == alive
        await receive_exactly(wire.peer, TOO_MUCH + 20)
        await trio.testing.wait_all_tasks_blocked()
        assert wire.tasks == 0


@every_kind
async def test_flusher_goes_on_in_a_cancelled_nursery(kind: Kind) -> None:
    """Whoever is cancelled, what was committed goes out, and what is committed then."""
    async with open_wire(kind) as wire:
        await clog(wire)
        wire.nursery.cancel_scope.cancel()
        with trio.CancelScope(shield=True):
            commit(wire.transport, b"the Close")
            assert await receive_exactly(wire.peer, TOO_MUCH + 9) == bytes(TOO_MUCH) + b"the Close"
            await trio.testing.wait_all_tasks_blocked()
        assert wire.tasks == 0


# The order of frames


@every_kind
async def test_controls_overtake_between_frames_only(kind: Kind) -> None:
    """Pings and the newest pong go before data that was not begun; a Close waits for its turn."""
    async with open_wire(kind) as wire:
        transport = wire.transport
        begun, large, small = (
            build_frame(Opcode.BINARY, bytes(size)) for size in (TOO_MUCH, CHUNK_SIZE, 10)
        )
        close = build_frame(Opcode.CLOSE)
        pings = [build_frame(Opcode.PING, payload) for payload in (b"1", b"2")]
        pongs = [build_frame(Opcode.PONG, payload) for payload in (b"old", b"older", b"newest")]
        commit(transport, begun)
        await trio.testing.wait_all_tasks_blocked()
        for frame in (large, small, close):
            transport.write(frame)
        for frame in pings:
            transport.write_ping(frame)
        transport.write_pongs(pongs[:2])
        transport.write_pongs(pongs[2:])
        transport.flush_soon()
        expected = b"".join([begun, *pings, pongs[2], large, small, close])
        assert await receive_exactly(wire.peer, len(expected)) == expected
        assert transport.pending == 0


@every_kind
async def test_head_is_overtaken_by_nothing(kind: Kind) -> None:
    """The answer of the opening handshake comes before all frames, pings and pongs too."""
    async with open_wire(kind) as wire:
        wire.transport.write_head(bytes(TOO_MUCH))
        wire.transport.write(b"data")
        wire.transport.write_pongs([b"pong"])
        wire.transport.write_ping(b"ping")
        expected = bytes(TOO_MUCH) + b"pingpongdata"
        assert await receive_exactly(wire.peer, len(expected)) == expected


@every_kind
async def test_head_goes_out_by_itself(kind: Kind) -> None:
    """Nobody needs to write anything behind it."""
    async with open_wire(kind) as wire:
        wire.transport.write_head(b"head")
        assert await receive_exactly(wire.peer, 4) == b"head"


@every_kind
async def test_controls_of_an_idle_transport_go_out_at_once(kind: Kind) -> None:
    """With nothing before them all pongs are sent, and pings need not overtake."""
    async with open_wire(kind) as wire:
        wire.transport.write_pongs([b"pong1", b"pong2"])
        wire.transport.flush_soon()
        assert await receive_exactly(wire.peer, 10) == b"pong1pong2"
        wire.transport.write_ping(b"ping")
        wire.transport.flush_soon()
        assert await receive_exactly(wire.peer, 4) == b"ping"


# Turns and room


@every_kind
async def test_turns_go_round_in_the_order_of_arrival(kind: Kind) -> None:
    """Who came first writes first, whatever the scheduler's dice say; nobody is left out."""
    async with open_wire(kind) as wire:
        frames = numbered(20, 2000)
        async with trio.open_nursery() as nursery:
            for frame in frames:
                nursery.start_soon(send, wire.transport, frame)
                await trio.testing.wait_all_tasks_blocked()
            assert wire.transport.crowded
            assert await receive_exactly(wire.peer, 40_000) == b"".join(frames)
        assert not wire.transport.crowded


@every_kind
async def test_turn_is_handed_on_and_cannot_be_snatched(kind: Kind) -> None:
    """Between release and the next one's awakening a newcomer finds the turn taken."""
    async with open_wire(kind) as wire:
        transport = wire.transport
        order: list[str] = []

        async def take_turn(name: str) -> None:
            await transport.wait_room()
            order.append(name)
            transport.release()

        await transport.wait_room()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(take_turn, "waiter")
            await trio.testing.wait_all_tasks_blocked()
            transport.release()
            assert transport.turn_taken
            await take_turn("newcomer")
        assert order == ["waiter", "newcomer"]
        assert not transport.turn_taken


@every_kind
async def test_cancelled_waiter_loses_its_place_alone(kind: Kind) -> None:
    """Who is cancelled while waiting has sent nothing; the others keep their order."""
    async with open_wire(kind) as wire:
        await clog(wire)
        frames = numbered(5)
        scopes = [trio.CancelScope() for _ in frames]

        async def send_in_scope(number: int) -> None:
            with scopes[number]:
                await send(wire.transport, frames[number])

        async with trio.open_nursery() as nursery:
            for number in range(5):
                nursery.start_soon(send_in_scope, number)
                await trio.testing.wait_all_tasks_blocked()
            scopes[0].cancel()  # it has the turn and waits for room
            scopes[3].cancel()  # it waits for the turn
            await trio.testing.wait_all_tasks_blocked()
            assert [scope.cancelled_caught for scope in scopes] == [True, False, False, True, False]
            received = await receive_exactly(wire.peer, TOO_MUCH + 300)
        assert received[TOO_MUCH:] == frames[1] + frames[2] + frames[4]
        assert not wire.transport.turn_taken


@every_kind
async def test_wait_room_in_a_cancelled_scope_takes_nothing(kind: Kind) -> None:
    """It raises before it has the turn, room or not."""
    async with open_wire(kind) as wire:
        with trio.CancelScope() as scope:
            scope.cancel()
            await wire.transport.wait_room()
        assert scope.cancelled_caught
        assert not wire.transport.turn_taken


@every_kind
async def test_wait_room_waits_while_the_buffer_is_full(kind: Kind) -> None:
    """Not before enough was taken may the holder of the turn write."""
    async with open_wire(kind) as wire:
        await clog(wire)
        written = trio.Event()

        async def write() -> None:
            await send(wire.transport, b"!")
            written.set()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(write)
            await trio.testing.wait_all_tasks_blocked()
            assert wire.transport.turn_taken
            await receive_exactly(wire.peer, TOO_MUCH // 2)
            await trio.testing.wait_all_tasks_blocked()
            assert wire.transport.full
            assert not written.is_set()
            await receive_exactly(wire.peer, TOO_MUCH - TOO_MUCH // 2)
            await written.wait()
        assert await wire.peer.receive_some() == b"!"


@every_kind
async def test_wait_room_waits_for_room_and_not_for_the_flush(kind: Kind) -> None:
    """As soon as there is less than the limit the next one may write."""
    async with open_wire(kind, max_buffered=200_000) as wire:
        await clog(wire)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(wire.transport.wait_room)
            await trio.testing.wait_all_tasks_blocked()
            assert nursery.child_tasks
            await receive_exactly(wire.peer, TOO_MUCH // 2)
            await trio.testing.wait_all_tasks_blocked()
            assert not nursery.child_tasks
            assert wire.transport.pending
        wire.transport.release()


@every_kind
@pytest.mark.parametrize(
    "fault", [Fault.CANCEL_BEFORE_STEP, Fault.CANCEL_AFTER_STEP, Fault.CANCEL_AT_CHECKPOINT]
)
async def test_cancelled_send_is_whole_or_nothing(kind: Kind, fault: Fault) -> None:
    """Wherever it strikes, a frame is sent if and only if `send` returned; the next one is too."""

    async def scenario(injector: Injector) -> None:
        async with open_wire(kind) as wire:
            sent: list[bytes] = []
            received = bytearray()

            async def read() -> None:
                while not received.endswith(b"next"):
                    received.extend(await wire.peer.receive_some())

            async with trio.open_nursery() as nursery:
                nursery.start_soon(read)
                with injector.armed():
                    for frame in numbered(4, 20_000):
                        await send(wire.transport, frame)
                        sent.append(frame)
                await send(wire.transport, b"next")
            assert received == b"".join(sent) + b"next"
            assert not wire.transport.turn_taken

    assert await inject(scenario, fault) >= 1


# Sealing


@every_kind
async def test_seal_releases_whoever_waits_for_room(kind: Kind) -> None:
    """Once no further frame is wanted, nobody waits in vain; what was committed stays."""
    async with open_wire(kind) as wire:
        await clog(wire)
        pending = wire.transport.pending
        async with trio.open_nursery() as nursery:
            nursery.start_soon(wire.transport.wait_room)
            await trio.testing.wait_all_tasks_blocked()
            wire.transport.seal()
        wire.transport.release()
        assert wire.transport.pending == pending
        await wire.transport.wait_room_in_turn()


@every_kind
async def test_seal_releases_whoever_waits_for_the_turn(kind: Kind) -> None:
    """Even while the one who has it is elsewhere; later comers do not wait either."""
    async with open_wire(kind) as wire:
        transport = wire.transport
        await transport.wait_room()  # and then the holder sleeps
        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(transport.wait_room)
            await trio.testing.wait_all_tasks_blocked()
            transport.seal()
        await transport.wait_room()
        for _ in range(5):
            transport.release()
        assert not transport.turn_taken
        with trio.CancelScope() as scope:
            scope.cancel()
            await transport.wait_room()
        assert scope.cancelled_caught


# When writing fails


@every_kind
async def test_failed_write_leaves_reading_possible(kind: Kind) -> None:
    """The owner is told once; what the peer had sent before can be read to the end."""
    async with open_wire(kind) as wire:
        owner = Owner(wire.transport)
        await wire.peer.send_all(b"last words")
        await break_writing(wire)
        assert isinstance(wire.transport.write_error, trio.BrokenResourceError)
        assert wire.transport.sealed
        commit(wire.transport, b"never")
        await trio.testing.wait_all_tasks_blocked()
        assert owner.failures == 1
        assert await wire.transport.read(100) == b"last words"


@every_kind
async def test_failed_write_releases_everybody(kind: Kind) -> None:
    """Who waits for the turn, for room or for the flush is released; nothing is pending then."""
    async with open_wire(kind) as wire:
        transport = wire.transport
        await clog(wire)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(transport.wait_room)
            nursery.start_soon(transport.wait_room)
            nursery.start_soon(transport.wait_flushed)
            await trio.testing.wait_all_tasks_blocked()
            await break_writing(wire)
        assert transport.write_error is not None
        assert transport.pending == 0
        assert wire.tasks == 0


@every_kind
async def test_write_after_a_failure_is_dropped(kind: Kind) -> None:
    """Nothing is kept that nobody will bring out, and no task is started for it."""
    async with open_wire(kind) as wire:
        await break_writing(wire)
        for _ in range(3):
            commit(wire.transport, bytes(TOO_MUCH))
            wire.transport.write_ping(b"ping")
            wire.transport.write_pongs([b"pong"])
        assert wire.transport.pending == 0
        assert wire.tasks == 0
        await wire.transport.wait_flushed()


@every_kind
async def test_first_failure_is_the_one_that_counts(kind: Kind) -> None:
    """A later one neither replaces it nor is told."""
    async with open_wire(kind) as wire:
        owner, first = Owner(wire.transport), trio.BrokenResourceError("first")
        wire.transport.fail_writing(first)
        wire.transport.fail_writing(trio.BrokenResourceError("second"))
        assert wire.transport.write_error is first
        assert owner.failures == 1


@every_kind
async def test_failure_that_nobody_watches_is_remembered(kind: Kind) -> None:
    """The transport works without an owner, as it does during the opening handshake."""
    async with open_wire(kind) as wire:
        await break_writing(wire)
        assert wire.transport.write_error is not None


# Stalls


@every_kind
async def test_stall_breaks_writing(kind: Kind, mock_clock: trio.testing.MockClock) -> None:
    """A peer that takes nothing for ``timeouts.stall`` seconds is given up; no sooner."""
    async with open_wire(kind, stall=5) as wire:
        owner = Owner(wire.transport)
        await clog(wire)
        mock_clock.jump(4.9)
        await trio.testing.wait_all_tasks_blocked()
        assert wire.transport.write_error is None
        mock_clock.jump(0.2)
        await trio.testing.wait_all_tasks_blocked()
        assert isinstance(wire.transport.write_error, trio.TooSlowError)
        assert str(wire.transport.write_error) == "the peer took no data for 5 seconds"
        assert owner.failures == 1
        assert wire.tasks == 0


@every_kind
async def test_stall_of_infinite_patience(kind: Kind, mock_clock: trio.testing.MockClock) -> None:
    """``math.inf`` waits for ever."""
    async with open_wire(kind, stall=float("inf")) as wire:
        await clog(wire)
        mock_clock.jump(1e9)
        await trio.testing.wait_all_tasks_blocked()
        assert wire.transport.write_error is None


@every_kind
async def test_time_counts_only_while_something_is_pending(
    kind: Kind, mock_clock: trio.testing.MockClock
) -> None:
    """An idle transport is not stalled, however long; nor is one just because it was."""
    async with open_wire(kind, stall=5) as wire:
        mock_clock.jump(1000)
        await clog(wire)
        mock_clock.jump(4)
        await receive_exactly(wire.peer, TOO_MUCH)
        await trio.testing.wait_all_tasks_blocked()
        mock_clock.jump(1000)
        await clog(wire)
        assert wire.transport.write_error is None


# Waiting for the flush


@every_kind
async def test_wait_flushed_returns_when_the_stream_has_all(kind: Kind) -> None:
    """At once when nothing is pending; otherwise when the last byte was taken, and not before."""
    async with open_wire(kind) as wire:
        await wire.transport.wait_flushed()
        await clog(wire)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(wire.transport.wait_flushed)
            await receive_exactly(wire.peer, TOO_MUCH // 2)
            await trio.testing.wait_all_tasks_blocked()
            assert nursery.child_tasks
            await receive_exactly(wire.peer, TOO_MUCH - TOO_MUCH // 2)
        assert wire.transport.pending == 0


# Closing


@every_kind
async def test_close_wakes_everybody(kind: Kind) -> None:
    """Readers, senders, whoever waits for the flush and the flusher: all go; pending is nothing."""
    async with open_wire(kind) as wire:
        transport = wire.transport
        owner = Owner(transport)
        await clog(wire)

        async def read() -> None:
            with pytest.raises(trio.ClosedResourceError):
                await transport.read(100)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(read)
            nursery.start_soon(transport.wait_room)
            nursery.start_soon(transport.wait_room)
            nursery.start_soon(transport.wait_flushed)
            await trio.testing.wait_all_tasks_blocked()
            await transport.close()
        await trio.testing.wait_all_tasks_blocked()
        assert transport.closed
        assert transport.sealed
        assert transport.pending == 0
        assert wire.tasks == 0
        assert transport.write_error is None
        assert owner.failures == 0


@every_kind
async def test_close_in_a_cancelled_scope_closes(kind: Kind) -> None:
    """It does not wait, so it cannot be cut short; the peer sees the end of the stream."""
    async with open_wire(kind) as wire:
        with trio.CancelScope() as scope:
            scope.cancel()
            await wire.transport.close()
        assert not scope.cancelled_caught
        assert await wire.peer.receive_some() == b""


@every_kind
async def test_close_again_and_writing_then_do_nothing(kind: Kind) -> None:
    """Whatever comes too late is dropped; reading says what happened."""
    async with open_wire(kind) as wire:
        await wire.transport.close()
        await wire.transport.close()
        commit(wire.transport, b"late")
        wire.transport.write_ping(b"late")
        wire.transport.write_pongs([b"late"])
        await wire.transport.wait_flushed()
        wire.transport.fail_writing(trio.BrokenResourceError("late"))
        assert wire.transport.pending == 0
        assert wire.transport.write_error is None
        assert wire.tasks == 0
        with pytest.raises(trio.ClosedResourceError):
            await wire.transport.read(100)


@every_kind
@pytest.mark.parametrize("how", ["idle", "clogged", "write failed", "flush failed"])
async def test_closed_transport_holds_nobody(kind: Kind, how: str) -> None:
    """Without the garbage collector's help its owner is gone at once: there is no cycle."""
    async with open_wire(kind) as wire:
        owner = Owner(wire.transport)
        if how == "clogged":
            owner.write(bytes(TOO_MUCH))
            await trio.testing.wait_all_tasks_blocked()
        elif how == "write failed":
            await break_writing(wire)
            owner.write(b"never")
        elif how == "flush failed":
            owner.write(bytes(TOO_MUCH))
            await trio.testing.wait_all_tasks_blocked()
            await break_writing(wire)
        assert (wire.transport.write_error is not None) == how.endswith("failed")
        await wire.transport.close()
        await trio.testing.wait_all_tasks_blocked()
        gone = weakref.ref(owner)
        gc.disable()
        try:
            del owner
            assert gone() is None
        finally:
            gc.enable()


@every_kind
async def test_write_that_fails_keeps_no_frames_of_its_caller(kind: Kind) -> None:
    """A failure in the caller's own task refers to nothing of the caller."""
    async with open_wire(kind) as wire:
        await refuse_to_read(wire)
        owner = Owner(wire.transport)
        owner.write(b"never")
        await trio.testing.wait_all_tasks_blocked()
        assert owner.failures == 1
        await wire.transport.close()
        gone = weakref.ref(owner)
        gc.disable()
        try:
            del owner
            assert gone() is None
        finally:
            gc.enable()


def test_without_frames_strips_the_whole_chain() -> None:
    """No cause and no context keeps a traceback, and a chain that bites its tail ends."""

    def fail() -> None:
        try:
            try:
                int("context")
            except ValueError:
                raise LookupError("cause")  # noqa: B904 - it is the context that is wanted
        except LookupError as exc:
            raise trio.BrokenResourceError("broken") from exc

    with pytest.raises(trio.BrokenResourceError) as failed:
        fail()
    error, cause = failed.value, failed.value.__cause__
    assert cause is not None
    context = cause.__context__
    assert context is not None
    context.__cause__ = error
    assert without_frames(error) is error
    assert [link.__traceback__ for link in (error, cause, context)] == [None] * 3
    assert error.__cause__ is cause


# Lingering


@every_kind
async def test_linger_reads_to_the_end_of_the_stream(kind: Kind) -> None:
    """What the peer still sends is dropped, until it ends its side."""
    async with open_wire(kind) as wire, trio.open_nursery() as nursery:
        nursery.start_soon(wire.transport.linger)
        await wire.peer.send_all(b"too late")
        await trio.testing.wait_all_tasks_blocked()
        assert nursery.child_tasks
        await wire.below.aclose()


@every_kind
async def test_linger_is_bounded(kind: Kind) -> None:
    """A peer that floods us keeps us for so many bytes and no longer."""
    async with open_wire(kind) as wire:
        sent = 0

        async def flood() -> None:
            nonlocal sent
            while True:
                await wire.peer.send_all(bytes(4096))
                sent += 4096

        async with trio.open_nursery() as nursery:
            nursery.start_soon(flood)
            await wire.transport.linger()
            nursery.cancel_scope.cancel()
        assert MAX_LINGER_BYTES <= sent < 2 * MAX_LINGER_BYTES


@every_kind
async def test_linger_on_a_closed_stream_is_over(kind: Kind) -> None:
    """There is nothing left to protect, and nothing to complain about."""
    async with open_wire(kind) as wire:
        await wire.transport.close()
        await wire.transport.linger()


@pytest.mark.parametrize("kind", ["socket", "stream"])
async def test_linger_half_closes_first(kind: Kind) -> None:
    """The peer sees the end of our side while its own is still open."""
    async with open_wire(kind) as wire, trio.open_nursery() as nursery:
        nursery.start_soon(wire.transport.linger)
        assert await wire.peer.receive_some() == b""
        await wire.peer.send_all(b"still here")
        await wire.below.aclose()


async def test_tls_half_closes_below() -> None:
    """TLS is never told to end, so the end of TCP's stream speaks for it; reading goes on."""
    async with open_wire("tls") as wire:
        await wire.transport.send_eof()
        assert await wire.peer.receive_some() == b""
        assert wire.transport.write_error is None


# Protection from Ctrl-C


@every_kind
async def test_flusher_is_protected_from_ctrl_c(
    kind: Kind, monkeypatch: pytest.MonkeyPatch
) -> None:
    """KeyboardInterrupt does not strike between a write and the note of what was written."""
    async with open_wire(kind) as wire:
        protected: list[bool] = []
        transport_type = type(wire.transport)
        genuine = transport_type._flush_chunk

        async def flush_chunk(*args: object) -> None:
            protected.append(trio.lowlevel.currently_ki_protected())
            await genuine(*args)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]

        monkeypatch.setattr(transport_type, "_flush_chunk", flush_chunk)
        commit(wire.transport, bytes(TOO_MUCH))
        await receive_exactly(wire.peer, TOO_MUCH)
        assert protected
        assert all(protected)


# Which transport for which stream


async def test_make_transport_chooses_by_the_stream() -> None:
    """Straight to the descriptor only where nobody's send_all or receive_some is passed over."""
    limits, timeouts = Limits(), Timeouts()

    def transport_of(stream: trio.abc.Stream) -> Transport:
        return make_transport(stream, print, limits=limits, timeouts=timeouts)

    near, far = socket_pair()
    with far:
        plain = as_stream(near)
        assert type(transport_of(plain)) is SocketTransport
        foreign = trio.SSLStream(plain, ssl.create_default_context(), server_hostname="localhost")
        assert type(transport_of(foreign)) is StreamTransport
        await plain.aclose()
    near_stream, _ = bounded_stream_pair()
    assert type(transport_of(near_stream)) is StreamTransport
    async with open_wire("tls") as wire:
        assert type(wire.transport) is TLSTransport
        assert wire.transport.stream is not None


async def test_socket_below_is_found_through_tls() -> None:
    """Ours or somebody's; and there is none below a stream in memory."""
    near, far = socket_pair()
    with far:
        plain = as_stream(near)
        context = ssl.create_default_context()
        foreign = trio.SSLStream(plain, context, server_hostname="localhost")
        assert socket_below(plain) is plain
        assert socket_below(foreign) is plain
        assert socket_below(trio.SSLStream(foreign, context, server_hostname="x")) is plain
        await plain.aclose()
    memory, _ = bounded_stream_pair()
    assert socket_below(memory) is None
    assert socket_below(trio.SSLStream(memory, context, server_hostname="localhost")) is None
    async with open_wire("tls") as wire:
        below = socket_below(wire.transport.stream)
        assert below is not None
        assert below.socket.fileno() >= 0


async def test_socket_addresses_are_those_of_the_socket_below() -> None:
    """Local and peer's as the socket gives them; none where there is none, or no peer any more."""
    near, far = tcp_pair()
    with far:
        plain = as_stream(near)
        assert socket_addresses(plain) == (far.getpeername(), far.getsockname())
        await plain.aclose()
        assert socket_addresses(plain) == (None, None)
    memory, _ = bounded_stream_pair()
    assert socket_addresses(memory) == (None, None)


async def test_tls_info_tells_what_was_negotiated() -> None:
    """Version and cipher; the certificate to the one who has verified it; none without TLS."""
    near, far = bounded_stream_pair()
    assert tls_info(near) is None
    server, client = await secured(near, far)
    ours, theirs = tls_info(server), tls_info(client)
    assert ours is not None
    assert theirs is not None
    assert ours.version == theirs.version == "TLSv1.3"
    assert ours.cipher == theirs.cipher
    assert ours.alpn is None
    assert ours.peer_certificate is None
    assert theirs.peer_certificate is not None
    assert "subjectAltName" in theirs.peer_certificate


async def test_close_forcefully_works_when_cancelled() -> None:
    """The stream is closed, and the cancellation strikes later."""
    near, _ = bounded_stream_pair()
    with trio.CancelScope() as scope:
        scope.cancel()
        await close_forcefully(near)
        assert near.closed
    assert not scope.cancelled_caught


def test_every_kind_is_tested() -> None:
    """The three transports are the three kinds."""
    kinds = {*Transport.__subclasses__(), *SocketTransport.__subclasses__()}
    assert len(KINDS) == len(kinds)
