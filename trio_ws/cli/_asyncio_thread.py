"""An asyncio event loop in a thread, for a library that needs one, beside Trio.

Invariants: the thread ends with `run_with_asyncio`; a coroutine that was begun is waited for, also
when its Trio task is cancelled, which cancels it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

import trio

from trio_ws import run_siblings

_T = TypeVar("_T")


class AsyncioThread:
    """Runs coroutines of asyncio for tasks of Trio; made by `run_with_asyncio`."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    async def run(self, async_fn: Callable[[], Coroutine[Any, Any, _T]]) -> _T:
        """Call a function in the thread, in the context of this task, and return its result.

        Cancellation is handed on to it, and its end waited for.
        """
        done = trio.Event()
        token = trio.lowlevel.current_trio_token()
        tasks: list[asyncio.Task[_T]] = []

        def begin() -> None:
            task = self._loop.create_task(async_fn())
            task.add_done_callback(lambda _: token.run_sync_soon(done.set))
            tasks.append(task)

        def cancel() -> None:
            tasks[0].cancel()  # looked up here: it may be that it has not begun

        self._loop.call_soon_threadsafe(begin)
        try:
            await done.wait()
        except trio.Cancelled:
            self._loop.call_soon_threadsafe(cancel)
            with trio.CancelScope(shield=True):
                await done.wait()
            raise
        return tasks[0].result()


async def run_with_asyncio(async_fn: Callable[[AsyncioThread], Awaitable[None]]) -> None:
    """Run something that may use an asyncio event loop in a thread, which ends with it."""
    loop = asyncio.new_event_loop()

    async def use() -> None:
        try:
            await async_fn(AsyncioThread(loop))
        finally:
            loop.call_soon_threadsafe(loop.stop)

    async def work() -> None:
        with trio.CancelScope(shield=True):  # for as long as it is used
            await trio.to_thread.run_sync(_work, loop)
        await trio.sleep_forever()  # how this ends is said by the other one

    await run_siblings(use, work)


def _work(loop: asyncio.AbstractEventLoop) -> None:
    try:
        loop.run_forever()
        loop.run_until_complete(loop.shutdown_asyncgens())
    finally:
        loop.close()
