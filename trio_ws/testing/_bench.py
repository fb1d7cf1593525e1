"""What the checks of a channel are made on: a pair of channels, and calls in the background.

Here lives how a check is run and how it fails: with one plain `AssertionError` that says what was
promised, also where the channel hangs.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any

import trio
import trio.testing

Channel = trio.abc.Channel[Any]
MakePair = Callable[[], AbstractAsyncContextManager[tuple[Channel, Channel]]]

# How many of the largest messages a channel may take that nobody receives: with 64 KiB each far
# more than the kernel's buffers hold.
_MOST_UNREAD = 1000


class Call:
    """A call in the background, and what has come of it."""

    def __init__(self, async_fn: Callable[..., Awaitable[Any]], args: tuple[Any, ...]) -> None:
        self._async_fn = async_fn
        self._args = args
        self._scope = trio.CancelScope()
        self._over = trio.Event()
        self.returned = False
        self.value: Any = None
        self.error: Exception | None = None

    async def run(self) -> None:
        """Make the call."""
        with self._scope:
            try:
                self.value = await self._async_fn(*self._args)
                self.returned = True
            except Exception as exc:  # noqa: BLE001 - for the check to judge
                self.error = exc
        self._over.set()

    @property
    def over(self) -> bool:
        """Whether it has returned, raised or been cancelled."""
        return self._over.is_set()

    async def wait(self) -> None:
        """Wait for its end, however it comes."""
        await self._over.wait()

    async def cancel(self) -> None:
        """Cancel it, and wait for its end, which may be another one."""
        self._scope.cancel()
        await self.wait()

    async def result(self) -> Any:
        """Wait for its end and return what it returned; it must not raise."""
        await self.wait()
        require(self.returned, f"{self} raised {self.error!r}")
        return self.value

    async def raised(self, error: type[Exception]) -> None:
        """Wait for its end; it must raise this."""
        await self.wait()
        what = f"returned {self.value!r}" if self.returned else f"raised {self.error!r}"
        require(isinstance(self.error, error), f"{self} {what}, not {error.__name__}")

    def __str__(self) -> str:
        return f"{getattr(self._async_fn, '__name__', self._async_fn)}()"


@dataclass
class Bench:
    """A pair of channels and what to try them with.

    Attributes:
        near: the one end.
        far: the other end.
        messages: what can be sent; the last is the largest.
    """

    near: Channel
    far: Channel
    messages: Sequence[Any]
    _nursery: trio.Nursery

    def start(self, async_fn: Callable[..., Awaitable[Any]], *args: Any) -> Call:
        """Call this in the background."""
        call = Call(async_fn, args)
        self._nursery.start_soon(call.run)
        return call

    async def start_waiting(self, async_fn: Callable[..., Awaitable[Any]], *args: Any) -> Call:
        """Call this in the background and let it run until it waits."""
        call = self.start(async_fn, *args)
        await trio.testing.wait_all_tasks_blocked()
        return call

    async def raises(
        self, error: type[Exception], async_fn: Callable[..., Awaitable[Any]], *args: Any
    ) -> None:
        """Call this, which must raise that."""
        await self.start(async_fn, *args).raised(error)

    async def fill(self) -> tuple[int, Call]:
        """Send the largest message until that waits; return how many were sent, and the one."""
        for sent in range(_MOST_UNREAD):
            call = await self.start_waiting(self.near.send, self.messages[-1])
            if not call.over:
                return sent, call
            await call.result()
        raise AssertionError(f"send() never waits: {_MOST_UNREAD} messages that nobody received")

    async def receive_before(self, marker: Any) -> list[Any]:
        """Send this from near, receive up to it at far, and return what came before it."""
        sending = self.start(self.near.send, marker)
        received: list[Any] = []
        while not same(message := await self.far.receive(), marker):
            received.append(message)
        await sending.result()
        return received


def same(message: Any, other: Any) -> bool:
    """Whether two messages are equal and of one type."""
    return type(message) is type(other) and bool(message == other)


def require(fact: bool, problem: str) -> None:  # noqa: FBT001 - reads as `assert`, and stays with -O
    """Fail the check unless this is so."""
    if not fact:
        raise AssertionError(problem)


async def run_check(
    check: Callable[[Bench], Awaitable[None]],
    make_pair: MakePair,
    messages: Sequence[Any],
    *,
    swapped: bool,
    seconds: float,
) -> None:
    """Run one check on a pair of its own; what it raises comes out in no group."""
    error: BaseException | None = None
    async with trio.open_nursery() as nursery:
        try:
            with trio.move_on_after(seconds) as limit:
                async with make_pair() as (left, right):
                    near, far = (right, left) if swapped else (left, right)
                    await check(Bench(near, far, messages, nursery))
            require(not limit.cancelled_caught, f"still waiting after {seconds:g} seconds")
        except BaseException as exc:  # noqa: BLE001 - raised again outside the nursery
            error = exc
        nursery.cancel_scope.cancel()
    if error is not None:
        try:
            raise _told(error, check, swapped=swapped)
        finally:
            del error  # an exception that refers to its own frame would be a cycle


def _told(
    error: BaseException, check: Callable[[Bench], Awaitable[None]], *, swapped: bool
) -> BaseException:
    """Return the failure of a check with what was promised; all else as it is."""
    if isinstance(error, Exception):
        end = "second" if swapped else "first"
        error.add_note(f"checked, with the {end} of the pair as `near`: {check.__doc__}")
    return error
