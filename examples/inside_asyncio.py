"""trio_ws in an asyncio program: Trio runs as a guest of asyncio's loop, in the same thread.

    python inside_asyncio.py [URL]

Run hello_server.py first.  A thread has one Trio run at a time: several connections share it.
"""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import outcome
import trio

from trio_ws import open_websocket_url


async def run_trio(async_fn: Callable[[], Awaitable[Any]]) -> Any:
    """Run Trio inside this loop until the function is done, or this is cancelled."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[outcome.Outcome[Any]] = loop.create_future()
    scope = trio.CancelScope()

    async def guest() -> Any:
        with scope:
            return await async_fn()
        raise asyncio.CancelledError

    trio.lowlevel.start_guest_run(
        guest,
        run_sync_soon_threadsafe=loop.call_soon_threadsafe,
        run_sync_soon_not_threadsafe=loop.call_soon,
        done_callback=done.set_result,
        host_uses_signal_set_wakeup_fd=True,
    )
    try:
        return (await asyncio.shield(done)).unwrap()
    except asyncio.CancelledError:
        scope.cancel()
        await done
        raise


async def greet(url: str, name: str) -> str | bytes:
    """Say a name and return the greeting: this is Trio's side."""
    async with open_websocket_url(url) as ws:
        await ws.send(name)
        return await ws.receive()


async def main() -> None:
    """Be greeted: this is asyncio's side."""
    url = sys.argv[1] if len(sys.argv) > 1 else "ws://localhost:8765/"
    print(await run_trio(lambda: greet(url, "Ada")))


if __name__ == "__main__":
    asyncio.run(main())
