"""Streams in memory with bounds: Trio's contract, and where they block and tear."""

import random
from collections.abc import Awaitable, Callable

import pytest
import trio
import trio.testing

from tests.injection import CancelAt, Fault, Injector, inject
from trio_ws.testing import BoundedStream, bounded_stream_pair

Pair = tuple[BoundedStream, BoundedStream]
MakePair = Callable[[], Pair]

BOUNDS: list[MakePair] = [
    bounded_stream_pair,
    lambda: bounded_stream_pair(1000),
    lambda: bounded_stream_pair(4096, max_write=500, max_read=700),
    lambda: bounded_stream_pair(3000, max_write=2000, max_read=1500, rng=random.Random(1)),
]


async def receive_exactly(stream: BoundedStream, count: int) -> bytes:
    """Return so many bytes, or fewer at the end of the stream."""
    received = b""
    while len(received) < count and (data := await stream.receive_some(count - len(received))):
        received += data
    return received


# The contract


@pytest.mark.parametrize("make_pair", BOUNDS)
async def test_pair_keeps_trios_contract(make_pair: MakePair) -> None:
    """Trio's own conformance test passes, whatever the bounds."""

    async def make() -> Pair:
        return make_pair()

    async def make_clogged() -> Pair:
        pair = make_pair()
        for stream in pair:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(stream.send_all, bytes(100_000))
                await trio.testing.wait_all_tasks_blocked()
                nursery.cancel_scope.cancel()
        return pair

    await trio.testing.check_half_closeable_stream(make, make_clogged)


@pytest.mark.parametrize(("value", "error"), [(0, ValueError), (-1, ValueError), (1.5, TypeError)])
def test_pair_refuses_a_bound_that_is_none(value: int, error: type[Exception]) -> None:
    """A bound is an integer of at least 1, and the message names the one that is not."""
    with pytest.raises(error, match="capacity must be"):
        bounded_stream_pair(value)
    with pytest.raises(error, match="max_write must be"):
        bounded_stream_pair(max_write=value)
    with pytest.raises(error, match="max_read must be"):
        bounded_stream_pair(max_read=value)


async def test_receive_some_checks_its_argument_first() -> None:
    """A wrong size is refused even where another task is receiving."""
    near, _ = bounded_stream_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(near.receive_some)
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(ValueError, match="max_bytes must be at least 1"):
            await near.receive_some(0)
        nursery.cancel_scope.cancel()


async def test_send_all_counts_bytes_and_not_items() -> None:
    """A view of wider items is sent as its bytes."""
    near, far = bounded_stream_pair()
    await near.send_all(memoryview(bytes(range(8))).cast("I"))
    assert await far.receive_some() == bytes(range(8))


# Bounds


async def test_send_all_blocks_at_the_capacity() -> None:
    """What is unread at the peer never exceeds the capacity; reading lets the sender go on."""
    near, far = bounded_stream_pair(10)
    sent = trio.Event()

    async def send() -> None:
        await near.send_all(bytes(25))
        sent.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(send)
        for size in (10, 10, 5):
            await trio.testing.wait_all_tasks_blocked()
            assert sent.is_set() == (size == 5)
            assert len(await far.receive_some()) == size


async def test_send_all_moves_max_write_at_a_time() -> None:
    """Between two parts the peer may run, and sees them one by one."""
    near, far = bounded_stream_pair(max_write=3)
    parts: list[bytes | bytearray] = []

    async def receive() -> None:
        parts.extend([data async for data in far])

    async with trio.open_nursery() as nursery:
        nursery.start_soon(receive)
        await trio.testing.wait_all_tasks_blocked()
        for _ in range(3):
            await near.send_all(b"0123456")
        await near.aclose()
    assert b"".join(parts) == b"0123456" * 3
    assert len(parts) > 3


@pytest.mark.parametrize(("wanted", "expected"), [(None, 4), (3, 3), (9, 4)])
async def test_receive_some_returns_max_read_at_most(wanted: int | None, expected: int) -> None:
    """The pair's bound and the caller's hold both; the rest is there for the next call."""
    near, far = bounded_stream_pair(max_read=4)
    await near.send_all(b"0123456")
    first = await far.receive_some(wanted)
    assert first == b"0123456"[:expected]
    assert first + await receive_exactly(far, 7 - expected) == b"0123456"


def sizes_received(rng: random.Random | None, *, max_write: int, max_read: int) -> list[int]:
    """Return the sizes in which 200 bytes arrive."""
    sizes: list[int] = []

    async def main() -> None:
        near, far = bounded_stream_pair(50, max_write=max_write, max_read=max_read, rng=rng)

        async def send() -> None:
            async with near:
                await near.send_all(bytes(200))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(send)
            async for data in far:
                await trio.testing.wait_all_tasks_blocked()
                sizes.append(len(data))

    trio.run(main)
    return sizes


def test_sizes_without_dice_are_the_bounds() -> None:
    """Every step moves as much as it may."""
    assert sizes_received(None, max_write=50, max_read=20)[1:-1] == [20] * 8


def test_sizes_with_dice_follow_from_the_seed() -> None:
    """The same seed gives the same sizes, whatever order Trio runs the tasks in."""
    runs = [sizes_received(random.Random(5), max_write=20, max_read=20) for _ in range(5)]
    assert all(sizes == runs[0] for sizes in runs)
    assert runs[0] != sizes_received(random.Random(6), max_write=20, max_read=20)
    assert 1 <= min(runs[0]) < max(runs[0]) <= 20


# Cancellation


@pytest.mark.parametrize(("step", "sent"), [(1, 0), (2, 2), (3, 4), (4, 6), (5, 8), (6, 10)])
async def test_cancelled_send_all_is_torn_between_two_parts(step: int, sent: int) -> None:
    """A part of the bytes is sent, never less than it says, and the stream can be used on."""
    near, far = bounded_stream_pair(max_write=2)
    with CancelAt(step, "after").armed() as scope:
        await near.send_all(b"0123456789")
    assert scope.cancelled_caught == (sent < 10)
    await near.send_all(b"next")
    await near.aclose()
    assert await receive_exactly(far, 100) == b"0123456789"[:sent] + b"next"


async def test_send_all_cancelled_while_it_blocks() -> None:
    """What fitted is sent, the rest is not."""
    near, far = bounded_stream_pair(4)
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(near.send_all, b"0123456789")
            await trio.testing.wait_all_tasks_blocked()
            scope.cancel()
    await near.send_eof()
    assert await receive_exactly(far, 100) == b"0123"


@pytest.mark.parametrize("fault", [Fault.CANCEL_BEFORE_STEP, Fault.CANCEL_AFTER_STEP])
async def test_cancelled_receive_some_loses_nothing(
    fault: Fault, autojump_clock: trio.testing.MockClock
) -> None:
    """Wherever it strikes, the bytes are returned or still there, in order."""

    async def scenario(injector: Injector) -> None:
        near, far = bounded_stream_pair(4, max_write=3, max_read=2)
        received = b""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(near.send_all, b"0123456789")
            with injector.armed():
                while len(received) < 6:
                    received += await far.receive_some()
            received += await receive_exactly(far, 10 - len(received))
        assert received == b"0123456789"

    assert await inject(scenario, fault) >= 3


@pytest.mark.parametrize("operation", ["send_all", "send_eof", "wait_send_all_might_not_block"])
async def test_cancelled_before_it_began_does_nothing(operation: str) -> None:
    """A call in a cancelled scope raises, and nothing has happened."""
    near, far = bounded_stream_pair()
    calls: dict[str, Callable[[], Awaitable[None]]] = {
        "send_all": lambda: near.send_all(b"never"),
        "send_eof": near.send_eof,
        "wait_send_all_might_not_block": near.wait_send_all_might_not_block,
    }
    with trio.CancelScope() as scope:
        scope.cancel()
        await calls[operation]()
    assert scope.cancelled_caught
    await near.send_all(b"sent")
    assert await far.receive_some() == b"sent"


# Ends


async def test_aclose_lets_the_peer_read_what_was_sent() -> None:
    """Then comes the end of the stream, again and again; sending fails."""
    near, far = bounded_stream_pair()
    await near.send_all(b"last words")
    await near.aclose()
    assert near.closed
    assert not far.closed
    assert await far.receive_some() == b"last words"
    assert await far.receive_some() == b""
    assert await far.receive_some() == b""
    with pytest.raises(trio.BrokenResourceError, match="the peer has closed its stream"):
        await far.send_all(b"")
    await far.send_eof()


async def test_aclose_of_the_peer_wakes_a_blocked_sender() -> None:
    """Who waits for room that will never come is told."""
    near, far = bounded_stream_pair(4)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(close_when_all_block, far)
        with pytest.raises(trio.BrokenResourceError):
            await near.send_all(b"0123456789")


async def test_send_eof_leaves_the_other_direction_open() -> None:
    """The sending half is closed for good, the receiving half is not."""
    near, far = bounded_stream_pair()
    await near.send_eof()
    await near.send_eof()
    assert await far.receive_some() == b""
    await far.send_all(b"answer")
    assert await near.receive_some() == b"answer"
    with pytest.raises(trio.ClosedResourceError, match="closed for sending"):
        await near.send_all(b"more")


async def test_reset_loses_what_was_not_read() -> None:
    """The peer finds the stream broken in every method, and this end is closed."""
    near, far = bounded_stream_pair()
    await near.send_all(b"lost")
    near.reset()
    near.reset()
    assert near.closed
    with pytest.raises(trio.BrokenResourceError, match="reset"):
        await far.receive_some()
    with pytest.raises(trio.BrokenResourceError):
        await far.send_all(b"x")
    with pytest.raises(trio.BrokenResourceError):
        await far.wait_send_all_might_not_block()
    with pytest.raises(trio.BrokenResourceError, match="reset"):
        await far.send_eof()
    with pytest.raises(trio.ClosedResourceError):
        await near.receive_some()
    with pytest.raises(trio.ClosedResourceError):
        await near.send_eof()
    await far.aclose()
    with pytest.raises(trio.ClosedResourceError):
        await far.receive_some()


async def test_reset_wakes_the_peers_reader() -> None:
    """Who waits for bytes that will never come is told."""
    near, far = bounded_stream_pair()
    async with trio.open_nursery() as nursery:

        async def reset() -> None:
            await trio.testing.wait_all_tasks_blocked()
            near.reset()

        nursery.start_soon(reset)
        with pytest.raises(trio.BrokenResourceError):
            await far.receive_some()


async def test_reset_after_aclose_does_nothing() -> None:
    """What was sent before a graceful close is not taken back."""
    near, far = bounded_stream_pair()
    await near.send_all(b"kept")
    await near.aclose()
    near.reset()
    assert await far.receive_some() == b"kept"


async def close_when_all_block(stream: BoundedStream) -> None:
    """Close this end once nobody can run."""
    await trio.testing.wait_all_tasks_blocked()
    await stream.aclose()
