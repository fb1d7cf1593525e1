"""Faults of the network: what each does to bytes, and what the user of a WebSocket sees of it."""

import errno
import itertools
import random
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Literal

import pytest
import trio
import trio.testing

from tests.connections import HANGS, NO_KEEPALIVE, run_until_idle
from tests.injection import Fault, Injector, inject
from trio_ws import (
    Close,
    ConnectionBroken,
    HandshakeTimeout,
    Keepalive,
    Timeouts,
    WebSocket,
)
from trio_ws.testing import (
    BoundedStream,
    Faults,
    FaultyStream,
    bounded_stream_pair,
    memory_websocket_pair,
    serve_in_memory,
    tls_contexts,
)


def faulty_pair(faults: Faults | None = None) -> tuple[FaultyStream, BoundedStream]:
    """Connect two ends in memory, the first of which sees faults."""
    near, far = bounded_stream_pair()
    return FaultyStream(near, faults), far


async def received(stream: trio.abc.Stream) -> list[bytes]:
    """Return what comes until the end of the stream, piece by piece."""
    return [bytes(piece) async for piece in stream]


async def is_waiting(stream: trio.abc.Stream) -> bool:
    """Tell whether there is nothing to be received now."""
    with trio.move_on_after(1) as scope:
        await stream.receive_some()
    return scope.cancelled_caught


# The contract of streams


def no_fault(faults: Faults) -> None:
    """Leave the network as it is."""


def slow_crumbs(faults: Faults) -> None:
    """Split and delay everything."""
    faults.split(random.Random(1).choices(range(1, 3000), k=10_000))
    faults.delay(0.01)


@pytest.mark.parametrize("prepare", [no_fault, slow_crumbs])
async def test_faulty_stream_keeps_trios_contract(
    prepare: Callable[[Faults], None], autojump_clock: trio.testing.MockClock
) -> None:
    """Trio's own conformance test passes; faults that lose nothing break no promise."""

    async def make() -> tuple[FaultyStream, FaultyStream]:
        pair = bounded_stream_pair()
        for_both = Faults()
        prepare(for_both)
        return FaultyStream(pair[0], for_both), FaultyStream(pair[1], for_both)

    async def make_clogged() -> tuple[FaultyStream, FaultyStream]:
        pair = await make()
        for stream in pair:
            with trio.move_on_after(1):
                await stream.send_all(bytes(300_000))
        return pair

    await trio.testing.check_two_way_stream(make, make_clogged)


async def test_cancelled_receive_loses_nothing(autojump_clock: trio.testing.MockClock) -> None:
    """Wherever it is cancelled, delayed and split bytes are still there."""

    async def scenario(injector: Injector) -> None:
        stream, far = faulty_pair()
        stream.faults.split(2)
        stream.faults.delay(0.5)
        await far.send_all(b"abc")
        got = b""
        with injector.armed():
            got += await stream.receive_some()
        while len(got) < 3:
            got += await stream.receive_some()
        assert got == b"abc"

    for fault in (Fault.CANCEL_BEFORE_STEP, Fault.CANCEL_AFTER_STEP):
        assert await inject(scenario, fault) > 2


# Split


@pytest.mark.parametrize(
    ("sizes", "pieces"),
    [
        (1, [b"a", b"b", b"c", b"d", b"e"]),
        (2, [b"ab", b"cd", b"e"]),
        ([1, 3], [b"a", b"bcd", b"e"]),
        ([2], [b"ab", b"cde"]),
        (itertools.cycle([1, 2]), [b"a", b"bc", b"d", b"e"]),
        (None, [b"abcde"]),
    ],
)
async def test_split_gives_pieces_of_these_sizes(sizes: object, pieces: list[bytes]) -> None:
    """Sizes are for one piece after the other; behind their end all is whole."""
    stream, far = faulty_pair()
    stream.faults.split(9)  # the latest holds
    stream.faults.split(sizes)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await far.send_all(b"abcde")
    await far.send_eof()
    assert await received(stream) == pieces


async def test_split_can_be_changed_and_ended() -> None:
    """It holds from the next piece on; a reader's own limit stays."""
    stream, far = faulty_pair()
    await far.send_all(b"abcdef")
    stream.faults.split(2)
    assert await stream.receive_some() == b"ab"
    assert await stream.receive_some(1) == b"c"
    stream.faults.split(None)
    assert await stream.receive_some() == b"def"


@pytest.mark.parametrize("size", [0, -1])
async def test_split_refuses_sizes_below_one(size: int) -> None:
    """At once, or when it is the turn of one in a list; then nothing is lost."""
    stream, far = faulty_pair()
    with pytest.raises(ValueError, match="at least 1"):
        stream.faults.split(size)
    stream.faults.split([1, size])
    await far.send_all(b"abc")
    assert await stream.receive_some() == b"a"
    with pytest.raises(ValueError, match="at least 1"):
        await stream.receive_some()
    assert await stream.receive_some() == b"bc"


async def test_websocket_does_not_notice_where_bytes_are_split() -> None:
    """Handshake, messages and close are the same when every byte comes alone."""
    near, far = bounded_stream_pair()
    faults = Faults()
    faults.split(1)
    streams = (FaultyStream(near, faults), FaultyStream(far, faults))
    async with memory_websocket_pair(streams=streams) as (client, server):
        for message in ("\U0001f600" * 100, b"", bytes(1000)):
            await client.send(message)
            assert await server.receive() == message
            await server.send(message)
            assert await client.receive() == message
        await client.aclose(4000, "\u00e9")
    assert server.close_received == Close(4000, "\u00e9")


# Delay


async def test_delay_lets_bytes_arrive_later(autojump_clock: trio.testing.MockClock) -> None:
    """By this much, and by no more for what was sent meanwhile; the end comes behind."""
    stream, far = faulty_pair()
    stream.faults.delay(2)
    arrivals: list[tuple[bytes, float]] = []

    async def receive() -> None:
        arrivals.extend([(bytes(piece), trio.current_time()) async for piece in stream])

    async with trio.open_nursery() as nursery:
        nursery.start_soon(receive)
        await far.send_all(b"a")
        await trio.sleep(1)
        await far.send_all(b"b")
        await trio.sleep(0.5)
        await far.send_eof()
    assert [piece for piece, _ in arrivals] == [b"a", b"b"]
    assert [when for _, when in arrivals] == pytest.approx([2, 3])
    assert trio.current_time() == pytest.approx(3.5)


async def test_delay_holds_no_more_than_it_says(autojump_clock: trio.testing.MockClock) -> None:
    """64 KiB are under way, 64 KiB in the buffers; then the sender waits for the reader."""
    stream, far = faulty_pair()
    stream.faults.delay(1)
    sent = 0
    async with trio.open_nursery() as nursery:

        async def send() -> None:
            nonlocal sent
            while True:
                await far.send_all(bytes(1024))
                sent += 1024

        nursery.start_soon(send)
        nursery.start_soon(stream.receive_some)
        await run_until_idle()
        assert sent == 2 * 65536
        nursery.cancel_scope.cancel()


async def test_close_ends_the_wait_for_what_is_delayed(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Also while no more can be under way."""
    stream, far = faulty_pair()
    stream.faults.delay(1000)
    async with trio.open_nursery() as nursery:

        async def receive() -> None:
            with pytest.raises(trio.ClosedResourceError):
                await stream.receive_some()

        nursery.start_soon(receive)
        await far.send_all(bytes(65536))
        await run_until_idle()
        await stream.aclose()
    assert trio.current_time() == 0


async def test_delay_is_what_a_ping_measures(autojump_clock: trio.testing.MockClock) -> None:
    """There and back, half a second each."""
    near, far = bounded_stream_pair()
    faults = Faults()
    faults.delay(0.5)
    streams = (FaultyStream(near, faults), FaultyStream(far, faults))
    async with memory_websocket_pair(streams=streams) as (client, _):
        assert await client.ping() == pytest.approx(1, abs=0.3)  # a tick until somebody reads
        faults.delay(0)
        assert await client.ping() < 0.3


@pytest.mark.parametrize("seconds", [-1, float("nan")])
def test_delay_refuses_what_is_no_time(seconds: float) -> None:
    """No delay is 0."""
    with pytest.raises(ValueError, match="0 seconds or more"):
        Faults().delay(seconds)


# Stall


@asynccontextmanager
async def sending(stream: trio.abc.Stream, data: bytes) -> AsyncGenerator[trio.Event, None]:
    """Send in the background; yields the event that all is sent."""
    done = trio.Event()

    async def send() -> None:
        await stream.send_all(data)
        done.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(send)
        await run_until_idle()
        yield done


async def test_stalled_sending_waits_and_goes_on(autojump_clock: trio.testing.MockClock) -> None:
    """After so many bytes nothing moves, until it is resumed; nothing is lost."""
    stream, far = faulty_pair()
    stream.faults.stall(after=2)
    async with sending(stream, b"abcde") as done:
        assert await far.receive_some() == b"ab"
        assert await is_waiting(far)
        assert not done.is_set()
        stream.faults.resume()
        assert await far.receive_some() == b"cde"
        await done.wait()


async def test_stalled_receiving_waits_and_goes_on(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Also the end of the stream stays out; a wait begun before is no exception."""
    stream, far = faulty_pair()
    async with trio.open_nursery() as nursery:
        waiting: list[bool] = []

        async def wait() -> None:
            waiting.append(await is_waiting(stream))

        nursery.start_soon(wait)
        await run_until_idle()
        stream.faults.stall()
        await far.send_all(b"abc")
        await far.send_eof()
    assert waiting == [True]
    stream.faults.resume()
    assert await received(stream) == [b"abc"]


async def test_stall_lets_a_send_finish_that_has_begun(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """It is on its way already; the next one waits."""
    stream, far = faulty_pair()
    async with sending(stream, bytes(100_000)) as done:
        stream.faults.stall()
        received = 0
        while received < 100_000:
            received += len(await far.receive_some())
        await done.wait()
    with trio.move_on_after(1) as scope:
        await stream.send_all(b"x")
    assert scope.cancelled_caught
    assert await is_waiting(far)
    stream.faults.resume()
    await stream.send_all(b"y")
    assert await far.receive_some() == b"y"


async def test_stall_of_one_direction_leaves_the_other(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """The directions are those of the stream's owner."""
    stream, far = faulty_pair()
    stream.faults.stall(only="sending")
    await far.send_all(b"a")
    assert await stream.receive_some() == b"a"
    with trio.move_on_after(1) as scope:
        await stream.wait_send_all_might_not_block()
    assert scope.cancelled_caught
    stream.faults.resume()
    stream.faults.stall(only="receiving")
    await stream.wait_send_all_might_not_block()
    await stream.send_all(b"b")
    assert await far.receive_some() == b"b"
    assert await is_waiting(stream)


async def test_stall_that_was_planned_is_called_off_by_resume() -> None:
    """Nothing remains of it."""
    stream, far = faulty_pair()
    stream.faults.stall(after=1)
    stream.faults.resume()
    await stream.send_all(b"abc")
    assert await far.receive_some() == b"abc"


async def test_closed_while_stalled_raises() -> None:
    """Both kinds of waiting end."""
    stream, _ = faulty_pair()
    stream.faults.stall()

    async def fails(call: Callable[[], object]) -> None:
        with pytest.raises(trio.ClosedResourceError):
            await call()  # type: ignore[misc]  # pyright: ignore[reportGeneralTypeIssues]

    async with trio.open_nursery() as nursery:
        nursery.start_soon(fails, stream.receive_some)
        nursery.start_soon(fails, lambda: stream.send_all(b"a"))
        await run_until_idle()
        with pytest.raises(trio.BusyResourceError):
            await stream.send_all(b"b")
        await stream.aclose()


@pytest.mark.parametrize("after", [-1, 1.5])
def test_counts_of_bytes_are_checked(after: int) -> None:
    """Not less than none."""
    with pytest.raises((ValueError, TypeError), match="after must be"):
        Faults().stall(after=after)


def test_directions_are_two() -> None:
    """A misspelt one does not pass in silence."""
    with pytest.raises(ValueError, match="not 'recieving'"):
        Faults().stall(only="recieving")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def test_peer_that_stalls_is_given_up_after_timeouts_stall(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """As documented: no progress on outgoing bytes for ``stall`` seconds breaks the connection."""
    faults = Faults()
    ends: list[tuple[float, ConnectionBroken]] = []

    async def talk(ws: WebSocket) -> None:
        await ws.receive()
        faults.stall(only="sending")  # the client still talks, so keepalive has no say
        try:
            while True:
                await ws.send("x" * 65536)
        except ConnectionBroken as exc:
            ends.append((trio.current_time(), exc))
            raise

    async with (
        serve_in_memory(talk, timeouts=Timeouts(stall=30)) as server,
        server.open_websocket(faults=faults) as ws,
    ):
        await ws.send("begin")
        while not ends:
            await ws.send("I am here")
            await trio.sleep(5)
    ((when, end),) = ends
    assert when == pytest.approx(30, abs=0.5)
    assert end.code == 1006
    assert isinstance(end.__cause__, trio.TooSlowError)


async def test_stall_that_ends_in_time_is_not_noticed(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Nothing is lost or reordered by it."""
    near, far = faulty_pair()
    async with memory_websocket_pair(streams=(near, far)) as (client, server):
        near.faults.stall()
        await client.send("first")
        await server.send("second")
        await trio.sleep(15)
        near.faults.resume()
        assert await client.receive() == "second"
        assert await server.receive() == "first"


async def test_stalled_opening_times_out(autojump_clock: trio.testing.MockClock) -> None:
    """A peer that falls silent in the opening handshake is left after ``timeouts.open``."""
    near, far = faulty_pair()
    near.faults.stall(after=10, only="sending")
    with trio.fail_after(HANGS), pytest.raises(HandshakeTimeout):
        async with memory_websocket_pair(streams=(near, far)):
            pytest.fail("the block was entered")


# Reset


@pytest.mark.parametrize("only", [None, "sending", "receiving"])
async def test_reset_breaks_both_directions_at_once(
    only: Literal["sending", "receiving"] | None,
) -> None:
    """Whoever waits hears it, and so does whoever comes later."""
    stream, far = faulty_pair()
    await far.send_all(b"never received")

    async def fails() -> None:
        with pytest.raises(trio.BrokenResourceError) as caught:
            await stream.send_all(bytes(100_000))
        assert isinstance(caught.value.__cause__, ConnectionResetError)
        assert caught.value.__cause__.errno == errno.ECONNRESET

    async with trio.open_nursery() as nursery:
        nursery.start_soon(fails)
        await run_until_idle()
        stream.faults.reset(only=only)
    with pytest.raises(trio.BrokenResourceError, match="reset"):
        await stream.receive_some()
    with pytest.raises(trio.BrokenResourceError):
        await stream.wait_send_all_might_not_block()
    stream.faults.resume()
    stream.faults.vanish()
    with pytest.raises(trio.BrokenResourceError):  # final
        await stream.receive_some()
    await stream.aclose()
    with pytest.raises(trio.BrokenResourceError):  # now the peer notices
        await far.send_all(b"x")


async def test_reset_wakes_a_receiver() -> None:
    """It does not wait for bytes that cannot come."""
    stream, _ = faulty_pair()
    async with trio.open_nursery() as nursery:

        async def fails() -> None:
            with pytest.raises(trio.BrokenResourceError):
                await stream.receive_some()

        nursery.start_soon(fails)
        await run_until_idle()
        stream.faults.reset()


async def test_reset_after_so_many_bytes_lets_them_pass() -> None:
    """Those of the direction in which they are counted, that is."""
    stream, far = faulty_pair()
    stream.faults.reset(after=3, only="sending")
    await far.send_all(b"abcdef")
    assert await stream.receive_some(5) == b"abcde"
    with pytest.raises(trio.BrokenResourceError):
        await stream.send_all(b"abcdef")
    assert await far.receive_some() == b"abc"
    with pytest.raises(trio.BrokenResourceError):
        await stream.receive_some()


async def test_reset_inside_a_frame_breaks_the_connection(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Messages before it are delivered, no part of the torn one is, and the code is 1006."""
    near, far = faulty_pair()
    async with memory_websocket_pair(streams=(near, far)) as (client, server):
        near.faults.reset(after=10, only="receiving")
        await server.send("whole")  # 7 bytes
        await server.send("torn")
        assert await client.receive() == "whole"
        with pytest.raises(ConnectionBroken) as caught:
            await client.receive()
        assert caught.value.code == 1006
        assert isinstance(caught.value.__cause__, trio.BrokenResourceError)
        with pytest.raises(ConnectionBroken):
            await client.send("x")


# Half-open


async def test_vanished_peer_takes_all_and_says_nothing(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Writes go nowhere, reads never return; also those under way."""
    stream, far = faulty_pair()
    async with sending(stream, bytes(100_000)) as done:
        stream.faults.vanish()
        with trio.fail_after(1):
            await done.wait()
    await far.send_all(b"lost")
    await stream.send_all(b"lost")
    await stream.wait_send_all_might_not_block()
    assert await is_waiting(stream)
    stream.faults.resume()
    stream.faults.stall()
    assert await is_waiting(stream)
    await stream.send_all(b"lost")
    await stream.aclose()
    with pytest.raises(trio.ClosedResourceError):
        await stream.receive_some()


async def test_peer_vanishes_after_so_many_bytes(autojump_clock: trio.testing.MockClock) -> None:
    """Each direction counts for itself."""
    stream, far = faulty_pair()
    stream.faults.vanish(after=2)
    await stream.send_all(b"abc")
    assert await far.receive_some() == b"ab"
    assert await is_waiting(far)
    await far.send_all(b"abc")
    assert await stream.receive_some() == b"ab"
    assert await is_waiting(stream)


async def test_dead_direction_does_not_disturb_the_other() -> None:
    """A write that waits while receiving dies is not repeated or torn."""
    stream, far = faulty_pair()
    data = bytes(range(250)) * 400
    async with sending(stream, data):
        stream.faults.vanish(only="receiving")
        await run_until_idle()
        got = b""
        while len(got) < len(data):
            got += await far.receive_some()
    assert got == data


@pytest.mark.parametrize("talks", [False, True])
async def test_vanished_client_is_noticed_by_keepalive(
    talks: bool, autojump_clock: trio.testing.MockClock
) -> None:
    """After interval and timeout, with 1006, whether or not the handler sends meanwhile."""
    faults = Faults()
    ends: list[tuple[float, ConnectionBroken]] = []

    async def handler(ws: WebSocket) -> None:
        try:
            with trio.move_on_after(35 if talks else 0):
                while True:
                    await ws.send("are you there?")
                    await trio.sleep(1)
            await ws.receive()
        except ConnectionBroken as exc:
            ends.append((trio.current_time(), exc))
            raise  # a normal end of a handler, so the test does not fail by it

    async with (
        serve_in_memory(handler, keepalive=Keepalive(interval=30, timeout=10)) as server,
        server.open_websocket(faults=faults, keepalive=NO_KEEPALIVE),
    ):
        faults.vanish()
        await trio.sleep(41)
        assert not server.server.connections
    ((when, end),) = ends
    assert when == pytest.approx(40, abs=0.5)
    assert end.code == 1006
    assert isinstance(end.__cause__, trio.TooSlowError)


# Several streams, TLS, ends


async def test_streams_that_share_faults_share_their_fate() -> None:
    """What befalls the network befalls all of them, and bytes are counted together."""
    faults = Faults()
    pairs = [faulty_pair(faults) for _ in range(2)]
    faults.reset(after=3, only="sending")
    await pairs[0][0].send_all(b"ab")
    with pytest.raises(trio.BrokenResourceError):
        await pairs[1][0].send_all(b"ab")
    with pytest.raises(trio.BrokenResourceError):
        await pairs[0][0].send_all(b"")


async def test_faults_below_tls() -> None:
    """A `trio.SSLStream` goes around it; records come in crumbs."""
    contexts = tls_contexts()
    near, far = faulty_pair()
    near.faults.split(7)
    streams = (
        trio.SSLStream(near, contexts.client, server_hostname="localhost"),
        trio.SSLStream(far, contexts.server, server_side=True),
    )
    async with memory_websocket_pair(streams=streams) as (client, server):
        await server.send("x" * 1000)
        assert await client.receive() == "x" * 1000
