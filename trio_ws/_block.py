"""A WebSocket as a block: the nursery of its background tasks, and what comes out of it.

Out of the block comes the body's own exception: plain when it was plain, its group when the body
raised one.  So it is caught inside the nursery and raised again outside, where no group is put
around it and no other exception becomes its context.
"""

from __future__ import annotations

from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

import trio

from trio_ws._arguments import check_in_trio
from trio_ws._groups import is_failure, part, without_own_closing

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    from trio_ws._connection import WebSocket
    from trio_ws._transport import Spawn


@asynccontextmanager
@trio.lowlevel.enable_ki_protection  # of this; the body has its own frames
async def websocket_block(
    opened: Callable[[Spawn], Awaitable[WebSocket]],
) -> AsyncGenerator[WebSocket, None]:
    """Open a WebSocket, yield it, and close it as the end of the body demands.

    Args:
        opened: opens it; what it starts in the background lives in the block's nursery.
    """
    check_in_trio()
    error: BaseException | None = None
    async with trio.open_nursery() as nursery:
        try:
            websocket = await opened(nursery.start_soon)
            try:
                yield websocket
            except BaseException as exc:
                await leave_because(websocket, exc)
                raise
            await websocket._leave(None)
        except BaseException as exc:  # noqa: BLE001 - raised again outside the nursery
            error = exc
    if error is not None:
        try:
            raise error
        finally:
            del error  # an exception that refers to its own frame would be a cycle


@trio.lowlevel.enable_ki_protection
async def leave_because(websocket: WebSocket, error: BaseException) -> None:
    """Close a WebSocket whose block or handler ended with this exception; never raise another."""
    _tell_failure(websocket, error)
    # When closing is cut short, the first exception is still the one to hear of; whoever is
    # cancelled will meet that again at the next checkpoint.
    with suppress(trio.Cancelled):
        await websocket._leave(error)


def _tell_failure(websocket: WebSocket, error: BaseException) -> None:
    """Tell the instruments of what has failed: not of a cancellation, nor of the close."""
    failure, _ = part(error, is_failure)
    if failure is not None:
        failure = without_own_closing(failure, websocket)
    if failure is not None:
        websocket._options.instruments.tell(lambda each: each.error(websocket, failure))
