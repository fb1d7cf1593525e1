"""Signals: what ends a command, and what a second one does."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractContextManager

import trio

from trio_ws import run_siblings
from trio_ws.cli._failures import Interrupted

# Windows has no SIGHUP, which comes when the window of a terminal is closed.
_ENDING = [
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
]


def ending_signals() -> AbstractContextManager[AsyncIterator[int]]:
    """Return a context manager that receives the signals that end a command."""
    return trio.open_signal_receiver(*_ENDING)


async def until_signal(async_fn: Callable[[], Awaitable[object]]) -> None:
    """Run something; a signal cancels it.

    Raises:
        Interrupted: a signal came.
    """
    with ending_signals() as signals:
        await until_signal_of(async_fn, signals)


async def until_signal_of(
    async_fn: Callable[[], Awaitable[object]], signals: AsyncIterator[int]
) -> None:
    """Run something; the next signal of these cancels it.

    Raises:
        Interrupted: it came.
    """

    async def interrupt() -> None:
        raise Interrupted(await anext(signals))

    await run_siblings(async_fn, interrupt)
