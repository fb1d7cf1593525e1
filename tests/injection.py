"""Faults at every point of a scenario: what the tests of cancellation run on.

A scenario is an async function that gets an `Injector`, runs the code under test inside
``with injector.armed()`` and then checks what must be true whatever happened.  `inject` runs it
again and again, with the fault at the first point, at the second, and so on, until a run has no
such point; that last run is the control, without a fault.

Cancellation can strike at a step of the task (`CancelAt`), at a ``checkpoint_if_cancelled()``,
which is no step (`CheckpointAt`), and before, amid and after a read or a write of the stream
(`StreamAt`), which other tasks may do on the task's behalf.  At reads and writes the stream may
break instead.  Outside ``armed()`` nothing is counted, and nothing begins: where a background task
writes what the code under test has only queued, the block has to last until it is written.
"""

import enum
import gc
from collections.abc import Awaitable, Callable, Generator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Literal
from unittest import mock

import trio
import trio._core._run

# A directory with one entry per open descriptor, where the system has one (Linux).
DESCRIPTORS = Path("/proc/self/fd")


class Fault(enum.Enum):
    """What is injected, when and at what; each member is an axis of its own."""

    CANCEL_BEFORE_STEP = ("cancel", "before", "step")
    """The task is about to run on: what it waited for has happened, yet it is cancelled."""

    CANCEL_AFTER_STEP = ("cancel", "after", "step")
    """The task has just begun to wait."""

    CANCEL_AT_CHECKPOINT = ("cancel", "before", "checkpoint")
    """The task has called ``trio.lowlevel.checkpoint_if_cancelled()``."""

    CANCEL_BEFORE_READ = ("cancel", "before", "read")
    CANCEL_AFTER_READ = ("cancel", "after", "read")
    """The bytes are taken; this read returns them all the same."""

    CANCEL_BEFORE_WRITE = ("cancel", "before", "write")
    CANCEL_AMID_WRITE = ("cancel", "amid", "write")
    """Half of the bytes are written."""

    CANCEL_AFTER_WRITE = ("cancel", "after", "write")
    """All bytes are written, and the write is cancelled none the less, as ``send_all`` may be."""

    BREAK_READ = ("break", "before", "read")
    """This read and all later ones fail; writing goes on."""

    BREAK_BEFORE_WRITE = ("break", "before", "write")
    """This write and all later ones fail; reading goes on."""

    BREAK_AMID_WRITE = ("break", "amid", "write")
    """As above, but half of the bytes are written first."""

    BREAK_AFTER_WRITE = ("break", "after", "write")
    """As above, but all of the bytes are written first."""


class Trigger:
    """Counts points while it is armed, and knows the one at which to fire.

    Attributes:
        k: the number of the point at which to fire, from 1.
        count: how many points there were so far.
        fired: whether the k-th was among them.
        scope: what to cancel, while armed.
        task: whose points count, while armed.
    """

    def __init__(self, k: int) -> None:
        self.k = k
        self.count = 0
        self.fired = False
        self.scope: trio.CancelScope | None = None
        self.task: trio.lowlevel.Task | None = None

    @contextmanager
    def armed(self) -> Generator[trio.CancelScope]:
        """Count in this block, which runs in a scope that may be cancelled.

        A scenario may enter it several times, one after the other: the count goes on.
        """
        if self.scope is not None:
            raise RuntimeError("already armed")
        with self.installed(), trio.CancelScope() as scope:
            self.scope, self.task = scope, trio.lowlevel.current_task()
            try:
                yield scope
            finally:
                self.scope = self.task = None

    def installed(self) -> AbstractContextManager[None]:
        """Return what has to be entered for the points to be seen."""
        return nullcontext()

    def hit(self) -> bool:
        """Count a point, if armed; whether it is the one at which to fire."""
        if self.scope is None:
            return False
        self.count += 1
        if self.count != self.k:
            return False
        self.fired = True
        return True

    def cancel(self) -> None:
        """Cancel the block, if it was not left meanwhile."""
        if self.scope is not None:
            self.scope.cancel()


class CancelAt(Trigger, trio.abc.Instrument):
    """Cancels at the k-th step of the task under test: the instrument that sees the scheduler."""

    def __init__(self, k: int, where: Literal["before", "after"]) -> None:
        super().__init__(k)
        self.where = where

    @contextmanager
    def installed(self) -> Generator[None]:
        """Be an instrument of this run."""
        trio.lowlevel.add_instrument(self)
        try:
            yield
        finally:
            trio.lowlevel.remove_instrument(self)

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        """Count the beginning of a step, where those are points."""
        if self.where == "before":
            self._step(task)

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        """Count the end of a step, where those are points."""
        if self.where == "after":
            self._step(task)

    def _step(self, task: trio.lowlevel.Task) -> None:
        if task is self.task and self.hit():
            self.cancel()


class CheckpointAt(Trigger):
    """Cancels at the k-th ``checkpoint_if_cancelled()`` of the task under test.

    It is seen where it is called as ``trio.lowlevel.checkpoint_if_cancelled()``: not inside Trio,
    and not where a module has imported the function itself.
    """

    @contextmanager
    def installed(self) -> Generator[None]:
        """Stand in for Trio's function."""
        genuine = trio.lowlevel.checkpoint_if_cancelled

        async def counted() -> None:
            if trio.lowlevel.current_task() is self.task and self.hit():
                self.cancel()
            await genuine()

        with mock.patch.object(trio.lowlevel, "checkpoint_if_cancelled", counted):
            yield


class StreamAt(trio.abc.Stream):
    """A stream that lets a trigger strike at its k-th read or write, whichever task does it.

    Several streams may share a trigger, and with it the count.
    """

    def __init__(self, stream: trio.abc.Stream, trigger: Trigger, fault: Fault) -> None:
        self.stream = stream
        self._trigger = trigger
        self._what, self._when, self._where = fault.value
        self._broken = False

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        """Receive from the stream below, struck where it is due."""
        due = self._is_due("read")
        if due and self._when == "before":
            self._strike()
        data = await self.stream.receive_some(max_bytes)
        if due and self._when == "after":
            self._strike()
        return data

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Send to the stream below, struck where it is due."""
        if not self._is_due("write"):
            await self.stream.send_all(data)
            return
        struck_at = {"before": 0, "amid": len(data) // 2, "after": len(data)}[self._when]
        await self.stream.send_all(data[:struck_at])
        self._strike()
        # Sending nothing is a checkpoint too, so that a cancelled write raises Cancelled after its
        # last byte, unless the writer is shielded.
        await self.stream.send_all(data[struck_at:])

    async def wait_send_all_might_not_block(self) -> None:
        """Wait for the stream below; not counted, for no byte moves."""
        self._raise_if_broken("write")
        await self.stream.wait_send_all_might_not_block()

    async def aclose(self) -> None:
        """Close the stream below; not counted."""
        await self.stream.aclose()

    def _is_due(self, call: str) -> bool:
        self._raise_if_broken(call)
        return call == self._where and self._trigger.hit()

    def _raise_if_broken(self, call: str) -> None:
        if self._broken and call == self._where:
            raise trio.BrokenResourceError("broken by injection")

    def _strike(self) -> None:
        if self._what == "cancel":
            self._trigger.cancel()
        else:
            self._broken = True
            self._raise_if_broken(self._where)


class HalfCloseableStreamAt(StreamAt, trio.abc.HalfCloseableStream):
    """The same over a stream that can be half-closed, which counts as a write."""

    def __init__(
        self, stream: trio.abc.HalfCloseableStream, trigger: Trigger, fault: Fault
    ) -> None:
        super().__init__(stream, trigger, fault)
        self._half_closeable = stream

    async def send_eof(self) -> None:
        """Half-close the stream below, struck where it is due."""
        due = self._is_due("write")
        if due and self._when == "before":
            self._strike()
        await self._half_closeable.send_eof()
        if due and self._when != "before":
            self._strike()


class Injector:
    """One fault at one point: what a run of the scenario gets."""

    def __init__(self, fault: Fault, k: int) -> None:
        self.fault = fault
        self.trigger: Trigger
        match fault:
            case Fault.CANCEL_BEFORE_STEP:
                self.trigger = CancelAt(k, "before")
            case Fault.CANCEL_AFTER_STEP:
                self.trigger = CancelAt(k, "after")
            case Fault.CANCEL_AT_CHECKPOINT:
                self.trigger = CheckpointAt(k)
            case _:
                self.trigger = Trigger(k)
        self.was_armed = False

    @contextmanager
    def armed(self) -> Generator[trio.CancelScope]:
        """Run the code under test in this block; Cancelled of the injection ends here.

        The scope says in ``cancelled_caught`` whether the code was cut short.
        """
        self.was_armed = True
        with self.trigger.armed() as scope:
            yield scope

    @property
    def fired(self) -> bool:
        """Whether the fault was injected."""
        return self.trigger.fired

    @property
    def breaks(self) -> bool:
        """Whether the fault breaks the stream, so that no more may be expected of it."""
        return self.fault.name.startswith("BREAK")

    def stream(self, stream: trio.abc.Stream) -> StreamAt:
        """Return a stream around this one at which the fault can strike."""
        if isinstance(stream, trio.abc.HalfCloseableStream):
            return HalfCloseableStreamAt(stream, self.trigger, self.fault)
        return StreamAt(stream, self.trigger, self.fault)


async def inject(
    scenario: Callable[[Injector], Awaitable[object]],
    fault: Fault,
    *,
    seconds: float = 60,
    seed: int = 0,
    most: int = 10_000,
) -> int:
    """Run the scenario with the fault at each of its points; return how many there were.

    A count of 0 says that nothing was tested: assert more.  What the scenario raises goes through,
    with a note naming the point.

    Args:
        seconds: how long one run may take, by Trio's clock.
        seed: the order in which Trio runs tasks that are ready at once follows from it.
        most: how many points are believed.

    Raises:
        AssertionError: a run took too long, left a task or a descriptor, or never armed the
            injector; or there is no end of points.
    """
    gc.collect()  # what others left shall not be collected, and closed, in the middle
    for k in range(1, most + 1):
        injector = Injector(fault, k)
        # Otherwise a run may have fewer points than the one before by chance, and end the search.
        trio._core._run._r.seed(seed)
        try:
            await _run(scenario, injector, seconds)
        except Exception as exc:
            exc.add_note(f"{fault.name} at point {k}, seed {seed}")
            raise
        if not injector.fired:
            return k - 1
    raise AssertionError(f"{fault.name}: no end of points after {most}")


async def _run(
    scenario: Callable[[Injector], Awaitable[object]], injector: Injector, seconds: float
) -> None:
    began, tasks, descriptors = trio.current_time(), _living_tasks(), _open_descriptors()
    with trio.move_on_after(seconds) as limit:
        await scenario(injector)
    # Shielded code notices the limit too late or not at all: look at the clock as well.
    took = trio.current_time() - began
    assert not limit.cancelled_caught, f"not done after {seconds:g} seconds"
    assert took <= seconds, f"took {took:g} seconds, not {seconds:g} at most"
    assert injector.was_armed, "the scenario never armed the injector"
    assert _living_tasks() == tasks, f"{_living_tasks() - tasks} tasks are left"
    left = _open_descriptors() - descriptors
    assert left == 0, f"{left} descriptors are left"


def _living_tasks() -> int:
    return trio.lowlevel.current_statistics().tasks_living


def _open_descriptors() -> int:
    return sum(1 for _ in DESCRIPTORS.iterdir()) if DESCRIPTORS.is_dir() else 0
