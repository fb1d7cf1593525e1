"""The harness of the cancellation tests: it reaches every point, and it finds what it is for."""

import contextlib
import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pytest
import trio
import trio.testing

from tests import injection
from tests.injection import (
    CancelAt,
    CheckpointAt,
    Fault,
    HalfCloseableStreamAt,
    Injector,
    Trigger,
    inject,
)
from trio_ws.testing import bounded_stream_pair, tls_contexts

every_fault = pytest.mark.parametrize("fault", list(Fault), ids=lambda fault: fault.name)


# A toy to be tested: lines over a stream, sent exactly or not.


class ExactLines:
    """Lines over a stream; whoever is cancelled, a line is sent whole or not at all."""

    def __init__(self, stream: trio.abc.Stream, nursery: trio.Nursery) -> None:
        self._stream = stream
        self._nursery = nursery
        self._outgoing = b""
        self._flushed = trio.Event()
        self._flushed.set()
        self._received = bytearray()

    async def send(self, line: bytes) -> None:
        """Wait for room, then commit the line."""
        await trio.lowlevel.checkpoint_if_cancelled()
        await self._flushed.wait()
        self._outgoing = line + b"\n"
        self._flushed = trio.Event()
        self._nursery.start_soon(self._flush)

    async def receive(self) -> bytes:
        """Return the next line; ``b""`` at the end of the stream, or when it is broken."""
        while b"\n" not in self._received:
            try:
                data = await self._stream.receive_some()
            except trio.BrokenResourceError:
                return b""
            if not data:
                return b""
            self._received += data
        line, _, self._received = self._received.partition(b"\n")
        return bytes(line)

    async def aclose(self) -> None:
        """Flush, then close."""
        await self._flushed.wait()
        await self._stream.aclose()

    async def _flush(self) -> None:
        try:
            with trio.CancelScope(shield=True):
                await self._stream.send_all(self._outgoing)
        except trio.BrokenResourceError:
            pass
        finally:
            self._flushed.set()


class NaiveLines(ExactLines):
    """Sends in the caller's task, so that a cancelled caller tears a line."""

    async def send(self, line: bytes) -> None:
        """Send the line, or a part of it."""
        await self._stream.send_all(line + b"\n")


class ForgetfulLines(ExactLines):
    """Keeps what it has received where a cancelled caller loses it."""

    async def receive(self) -> bytes:
        """Return the next line, unless cancelled on the way."""
        line = b""
        while not line.endswith(b"\n"):
            line += await self._stream.receive_some(1)
            await trio.lowlevel.checkpoint()
        return line[:-1]


async def converse(
    injector: Injector, make_lines: Callable[[trio.abc.Stream, trio.Nursery], ExactLines]
) -> None:
    """Send and receive under fire, do both once more, and see whether every line is whole."""
    near, far = bounded_stream_pair(8, max_write=1)
    seen = bytearray()
    got: list[bytes] = []

    async def peer() -> None:
        async with far:
            await far.send_all(b"uno\ndos\n")
            async for data in far:
                seen.extend(data)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(peer)
        lines = make_lines(injector.stream(near), nursery)
        with injector.armed() as scope:
            await lines.send(b"one")
            got.append(await lines.receive())
        await lines.send(b"two")
        while len(got) < 2:
            got.append(await lines.receive())
        await lines.aclose()
    if injector.breaks and injector.fired:
        assert b"one\ntwo\n".startswith(seen)
    else:
        whole = [b"two\n", b"one\ntwo\n"] if scope.cancelled_caught else [b"one\ntwo\n"]
        assert bytes(seen) in whole
        assert got == [b"uno", b"dos"]


@every_fault
async def test_inject_reaches_points_on_every_axis(
    fault: Fault, autojump_clock: trio.testing.MockClock
) -> None:
    """An exact implementation stands every fault at every point, and there are points for each."""
    points = await inject(functools.partial(converse, make_lines=ExactLines), fault)
    at_least = {"step": 4, "checkpoint": 1, "read": 1, "write": 1}[fault.value[2]]
    assert points >= at_least
    assert trio.current_time() == 0


@pytest.mark.parametrize(
    ("make_lines", "fault"),
    [
        (NaiveLines, Fault.CANCEL_AFTER_STEP),
        (NaiveLines, Fault.CANCEL_AMID_WRITE),
        (ForgetfulLines, Fault.CANCEL_AFTER_STEP),
        (ForgetfulLines, Fault.CANCEL_AFTER_READ),
    ],
)
async def test_inject_finds_what_is_not_exact(
    make_lines: Callable[[trio.abc.Stream, trio.Nursery], ExactLines],
    fault: Fault,
    autojump_clock: trio.testing.MockClock,
) -> None:
    """A torn line and a lost one are found out, and the point is named."""
    with pytest.raises(AssertionError) as caught:
        await inject(functools.partial(converse, make_lines=make_lines), fault, seconds=5)
    assert caught.value.__notes__[0].startswith(f"{fault.name} at point ")


@every_fault
async def test_inject_is_the_same_every_time(
    fault: Fault, autojump_clock: trio.testing.MockClock
) -> None:
    """The number of points follows from the seed."""
    scenario = functools.partial(converse, make_lines=ExactLines)
    assert len({await inject(scenario, fault, seed=7) for _ in range(3)}) == 1


# What a run is held to


async def test_inject_notices_a_scenario_that_takes_too_long(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """A hang ends after the seconds allowed, as a failure."""

    async def scenario(injector: Injector) -> None:
        with injector.armed() as scope:
            await trio.lowlevel.checkpoint()
        if scope.cancelled_caught:
            await trio.sleep_forever()

    with pytest.raises(AssertionError, match="not done after 5 seconds"):
        await inject(scenario, Fault.CANCEL_AFTER_STEP, seconds=5)


async def test_inject_notices_a_shielded_wait(autojump_clock: trio.testing.MockClock) -> None:
    """A scenario that no cancellation reaches is measured by the clock."""

    async def scenario(injector: Injector) -> None:
        with injector.armed(), trio.CancelScope(shield=True):
            await trio.sleep(6)

    with pytest.raises(AssertionError, match="took 6 seconds"):
        await inject(scenario, Fault.CANCEL_AFTER_STEP, seconds=5)


async def test_inject_notices_a_task_left_running(nursery: trio.Nursery) -> None:
    """What the scenario starts has to end with it."""

    async def scenario(injector: Injector) -> None:
        with injector.armed():
            nursery.start_soon(trio.sleep_forever)

    with pytest.raises(AssertionError, match="1 tasks are left"):
        await inject(scenario, Fault.BREAK_READ)


@pytest.mark.skipif(not injection.DESCRIPTORS.is_dir(), reason="no list of open descriptors")
async def test_inject_notices_a_descriptor_left_open() -> None:
    """What the scenario opens has to be closed in it."""
    opened: list[int] = []

    async def scenario(injector: Injector) -> None:
        with injector.armed():
            opened.extend(os.pipe())

    with pytest.raises(AssertionError, match="2 descriptors are left"):
        await inject(scenario, Fault.BREAK_READ)
    for descriptor in opened:
        os.close(descriptor)


async def test_inject_does_without_a_list_of_descriptors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the system has no such directory, that check is left out."""
    monkeypatch.setattr(injection, "DESCRIPTORS", tmp_path / "missing")
    assert await inject(one_checkpoint, Fault.CANCEL_AT_CHECKPOINT) == 1


async def test_inject_wants_the_injector_armed() -> None:
    """A scenario that tests nothing is a mistake."""

    async def scenario(injector: Injector) -> None:
        await trio.lowlevel.checkpoint()

    with pytest.raises(AssertionError, match="never armed"):
        await inject(scenario, Fault.CANCEL_AFTER_STEP)


async def test_inject_gives_up_when_points_have_no_end() -> None:
    """A scenario that tries for ever does not keep the harness for ever."""

    async def scenario(injector: Injector) -> None:
        while not injector.fired:
            with injector.armed():
                await trio.lowlevel.checkpoint_if_cancelled()

    with pytest.raises(AssertionError, match="no end of points after 20"):
        await inject(scenario, Fault.CANCEL_AT_CHECKPOINT, most=20)


# The triggers, one by one


async def one_checkpoint(injector: Injector) -> None:
    """Be a scenario of a single point for some faults."""
    with injector.armed():
        await trio.lowlevel.checkpoint_if_cancelled()


@pytest.mark.parametrize(
    ("where", "k", "passed"),
    [
        # Before a step: what the task waited for has happened; the next wait is cut short.
        ("before", 1, [1]),
        ("before", 2, [1, 2]),
        ("before", 3, [1, 2, 3]),
        ("before", 4, [1, 2, 3]),
        # After a step: the wait that has just begun is cut short.
        ("after", 1, []),
        ("after", 2, [1]),
        ("after", 3, [1, 2]),
        ("after", 4, [1, 2, 3]),
    ],
)
async def test_cancel_at_counts_the_steps_of_its_task(
    where: Literal["before", "after"], k: int, passed: list[int]
) -> None:
    """It cancels at the k-th step of the task that has armed it; others' steps do not count."""
    trigger = CancelAt(k, where)
    lot = trio.lowlevel.ParkingLot()
    seen: list[int] = []

    async def let_go() -> None:
        while True:
            await trio.testing.wait_all_tasks_blocked()
            lot.unpark_all()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(let_go)
        with trigger.armed() as scope:
            for number in range(1, 4):
                await lot.park()
                seen.append(number)
        nursery.cancel_scope.cancel()
    assert seen == passed
    assert trigger.fired == scope.cancel_called == (k <= 3)
    assert scope.cancelled_caught == (len(passed) < 3)


def test_cancel_at_serves_as_an_instrument_of_a_whole_run() -> None:
    """It may be handed to trio.run, and sees nothing until armed."""
    trigger = CancelAt(1, "after")

    async def main() -> bool:
        await trio.lowlevel.checkpoint()
        assert trigger.count == 0
        with trigger.armed() as scope:
            await trio.lowlevel.checkpoint()
        return scope.cancelled_caught

    assert trio.run(main, instruments=[trigger])


async def test_checkpoint_at_counts_the_calls_of_its_task() -> None:
    """It cancels at the k-th call, which is no step, and puts Trio's function back."""
    genuine = trio.lowlevel.checkpoint_if_cancelled
    trigger = CheckpointAt(2)
    seen: list[int] = []

    async def bystander() -> None:
        for _ in range(5):
            await trio.lowlevel.checkpoint_if_cancelled()

    with trigger.armed() as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(bystander)
        for number in range(1, 4):
            await trio.lowlevel.checkpoint_if_cancelled()
            seen.append(number)
    assert seen == [1]
    assert trigger.fired
    assert scope.cancelled_caught
    assert trio.lowlevel.checkpoint_if_cancelled is genuine


async def test_trigger_counts_on_when_armed_again() -> None:
    """A scenario may leave its checks between two armed blocks out of the count."""
    trigger = CheckpointAt(2)
    caught: list[bool] = []
    for _ in range(3):
        with trigger.armed() as scope:
            await trio.lowlevel.checkpoint_if_cancelled()
        await trio.lowlevel.checkpoint_if_cancelled()
        caught.append(scope.cancelled_caught)
    assert caught == [False, True, False]
    assert trigger.count == 3


async def test_trigger_is_armed_once_at_a_time() -> None:
    """Two blocks at once would mix their counts."""
    trigger = Trigger(1)
    with trigger.armed(), pytest.raises(RuntimeError, match="already armed"), trigger.armed():
        pass


# The stream


@pytest.mark.parametrize(
    ("fault", "error", "arrived"),
    [
        (Fault.CANCEL_BEFORE_WRITE, trio.Cancelled, b""),
        (Fault.CANCEL_AMID_WRITE, trio.Cancelled, b"ab"),
        (Fault.CANCEL_AFTER_WRITE, trio.Cancelled, b"abcd"),
        (Fault.BREAK_BEFORE_WRITE, trio.BrokenResourceError, b""),
        (Fault.BREAK_AMID_WRITE, trio.BrokenResourceError, b"ab"),
        (Fault.BREAK_AFTER_WRITE, trio.BrokenResourceError, b"abcd"),
    ],
)
async def test_stream_at_strikes_the_write_that_is_due(
    fault: Fault, error: type[BaseException], arrived: bytes
) -> None:
    """The second write is struck and sends as much as its name says; the first is not."""
    near, far = bounded_stream_pair()
    injector = Injector(fault, 2)
    stream = injector.stream(near)
    await stream.send_all(b"not counted,")
    with injector.armed():
        await stream.send_all(b"first,")
        with pytest.raises(error):
            await stream.send_all(b"abcd")
    assert await far.receive_some() == b"not counted,first," + arrived


@pytest.mark.parametrize("fault", [Fault.BREAK_BEFORE_WRITE, Fault.BREAK_AFTER_WRITE])
async def test_stream_at_stays_broken_for_writing_only(fault: Fault) -> None:
    """After a broken write no write succeeds, armed or not; reading goes on."""
    near, far = bounded_stream_pair()
    injector = Injector(fault, 1)
    stream = injector.stream(near)
    assert isinstance(stream, HalfCloseableStreamAt)
    await stream.wait_send_all_might_not_block()
    with injector.armed(), pytest.raises(trio.BrokenResourceError):
        await stream.send_all(b"x")
    with pytest.raises(trio.BrokenResourceError):
        await stream.send_all(b"x")
    with pytest.raises(trio.BrokenResourceError):
        await stream.wait_send_all_might_not_block()
    with pytest.raises(trio.BrokenResourceError):
        await stream.send_eof()
    await far.send_all(b"still there")
    assert await stream.receive_some() == b"still there"


async def test_stream_at_stays_broken_for_reading_only() -> None:
    """After a broken read no read succeeds, armed or not; writing goes on."""
    near, far = bounded_stream_pair()
    injector = Injector(Fault.BREAK_READ, 1)
    stream = injector.stream(near)
    await far.send_all(b"lost")
    with injector.armed(), pytest.raises(trio.BrokenResourceError):
        await stream.receive_some()
    with pytest.raises(trio.BrokenResourceError):
        await stream.receive_some()
    await stream.send_all(b"still there")
    assert await far.receive_some() == b"still there"


async def test_stream_at_cancels_before_a_read() -> None:
    """The read that is due takes nothing."""
    near, far = bounded_stream_pair()
    injector = Injector(Fault.CANCEL_BEFORE_READ, 1)
    stream = injector.stream(near)
    await far.send_all(b"data")
    with injector.armed() as scope:
        await stream.receive_some()
    assert scope.cancelled_caught
    assert await stream.receive_some() == b"data"


async def test_stream_at_cancels_after_a_read() -> None:
    """The read that is due returns what it has taken; the next checkpoint raises."""
    near, far = bounded_stream_pair()
    injector = Injector(Fault.CANCEL_AFTER_READ, 1)
    stream = injector.stream(near)
    await far.send_all(b"data")
    data: bytes | bytearray = b""
    with injector.armed() as scope:
        data = await stream.receive_some()
        await trio.lowlevel.checkpoint()
    assert scope.cancelled_caught
    assert data == b"data"


@pytest.mark.parametrize(
    ("fault", "ended"),
    [
        (Fault.CANCEL_BEFORE_WRITE, False),
        (Fault.CANCEL_AFTER_WRITE, True),
        (Fault.BREAK_BEFORE_WRITE, False),
        (Fault.BREAK_AFTER_WRITE, True),
    ],
)
async def test_stream_at_takes_a_half_close_for_a_write(
    fault: Fault, ended: bool, autojump_clock: trio.testing.MockClock
) -> None:
    """``send_eof`` is struck like a write of nothing."""
    near, far = bounded_stream_pair()
    injector = Injector(fault, 1)
    stream = injector.stream(near)
    assert isinstance(stream, HalfCloseableStreamAt)
    with contextlib.suppress(trio.BrokenResourceError), injector.armed():
        await stream.send_eof()
    assert injector.fired
    with trio.move_on_after(1) as waiting:
        assert await far.receive_some() == b""
    assert waiting.cancelled_caught == (not ended)


async def test_stream_at_counts_writes_of_other_tasks() -> None:
    """A flusher's write is a point of the task it writes for; a shielded one is not torn."""
    near, far = bounded_stream_pair()
    injector = Injector(Fault.CANCEL_AMID_WRITE, 1)
    stream = injector.stream(near)

    async def flush() -> None:
        with trio.CancelScope(shield=True):
            await stream.send_all(b"whole")

    async with trio.open_nursery() as nursery:
        with injector.armed() as scope:
            nursery.start_soon(flush)
            await trio.Event().wait()
    assert scope.cancelled_caught
    assert await far.receive_some() == b"whole"


async def test_stream_at_strikes_nothing_once_disarmed() -> None:
    """A write that was begun inside the block and ends after it is let through."""
    near, far = bounded_stream_pair(4)
    injector = Injector(Fault.CANCEL_AMID_WRITE, 1)
    stream = injector.stream(near)
    async with trio.open_nursery() as nursery:
        with injector.armed() as scope:
            nursery.start_soon(stream.send_all, b"0123456789ab")
            await trio.testing.wait_all_tasks_blocked()
        received = b""
        while len(received) < 12:
            received += await far.receive_some()
    assert received == b"0123456789ab"
    assert not scope.cancel_called


async def test_stream_at_over_a_stream_without_half_close() -> None:
    """What the stream below cannot do, the stream around it does not promise."""
    contexts = tls_contexts("localhost")
    near, far = bounded_stream_pair()
    below = trio.SSLStream(
        near, contexts.client, server_hostname="localhost", https_compatible=True
    )
    above = trio.SSLStream(far, contexts.server, server_side=True, https_compatible=True)
    stream = Injector(Fault.BREAK_READ, 1).stream(below)
    assert not isinstance(stream, trio.abc.HalfCloseableStream)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stream.send_all, b"through")
        assert await above.receive_some() == b"through"
    await stream.aclose()
    assert near.closed
