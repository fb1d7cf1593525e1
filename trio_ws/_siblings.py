"""Sibling tasks that end each other: the consumer and the producer of one connection."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from trio_ws._arguments import check_in_trio
from trio_ws._callables import check_async_callable, checked_awaitable
from trio_ws._exceptions import ConnectionClosed
from trio_ws._groups import part

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


_ROLE = "each argument of run_siblings()"


async def run_siblings(*async_fns: Callable[[], Awaitable[object]]) -> None:
    """Run async functions as sibling tasks until the first of them ends.

    When one returns, the others are cancelled.  When one raises, the others are cancelled and its
    exception comes out as it was, in no group; two that raise at once make a group.  A return
    wins over a `ConnectionClosed` of the same moment: one sibling heard of the close in its loop,
    the other in its ``send()``.  On cancellation all of them are cancelled; what one of them raises
    meanwhile is not lost.

    ``await run_siblings(partial(consume, ws), partial(produce, ws))``

    Args:
        async_fns: called without arguments; `functools.partial` binds some.

    Raises:
        TypeError: one of them is no async function, or needs arguments.
        ValueError: there is nothing to run.
    """
    if not async_fns:
        raise ValueError("run_siblings() needs at least one async function to run")
    check_in_trio()
    for async_fn in async_fns:
        check_async_callable(_ROLE, async_fn)
    errors: list[BaseException] = []
    returned = False

    async def run(async_fn: Callable[[], Awaitable[object]]) -> None:
        nonlocal returned
        try:
            await checked_awaitable(_ROLE, async_fn, async_fn())
            returned = True
        except BaseException as exc:  # noqa: BLE001 - raised again once all siblings are out
            errors.append(exc)
        nursery.cancel_scope.cancel()

    def of_no_account(exc: BaseException) -> bool:
        return isinstance(exc, trio.Cancelled) or (returned and isinstance(exc, ConnectionClosed))

    async with trio.open_nursery() as nursery:
        for async_fn in async_fns:
            nursery.start_soon(run, async_fn)
    try:
        _raise_all(_without(errors, of_no_account))
    finally:
        errors.clear()  # no cycle through the traceback
    if not returned:
        await trio.lowlevel.checkpoint_if_cancelled()  # they were cancelled because we were


def _without(
    errors: list[BaseException], matches: Callable[[BaseException], bool]
) -> list[BaseException]:
    rests = [part(exc, matches)[1] for exc in errors]
    return [rest for rest in rests if rest is not None]


def _raise_all(errors: list[BaseException]) -> None:
    try:
        if len(errors) == 1:
            raise errors[0]
        if errors:
            raise BaseExceptionGroup("several siblings raised", errors)
    finally:
        errors.clear()
