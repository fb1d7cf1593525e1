"""The two families of event loops."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import trio

from benchmarks.peers.base import Peer

T = TypeVar("T")


class TrioPeer(Peer):
    """A library for Trio."""

    def run(self, main: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run it with `trio.run`."""
        trio.run(main)

    async def in_thread(self, function: Callable[[], T]) -> T:
        """Call a function that blocks, without blocking the event loop."""
        return await trio.to_thread.run_sync(function)

    async def sleep_forever(self) -> None:
        """Wait until the process is ended."""
        await trio.sleep_forever()


class AsyncioPeer(Peer):
    """A library for asyncio, on asyncio's own event loop."""

    def run(self, main: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run it with `asyncio.run`."""
        asyncio.run(main())

    async def in_thread(self, function: Callable[[], T]) -> T:
        """Call a function that blocks, without blocking the event loop."""
        return await asyncio.to_thread(function)

    async def sleep_forever(self) -> None:
        """Wait until the process is ended."""
        await asyncio.get_running_loop().create_future()
