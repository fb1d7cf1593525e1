"""A client that comes back: a handler that is called with one connection after the other.

No iterator over connections: an ``async for`` whose iterator has a nursery open loses track of
cancellation when its body breaks, returns or raises (PEP 789).

Invariants: there is one connection at a time, and none while this waits; whatever ends it, ends the
connection first.
"""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Unpack

import trio

from trio_ws._backoff import Backoff
from trio_ws._block import websocket_block
from trio_ws._callables import check_async_callable, checked_awaitable
from trio_ws._client import ConnectOptions, opening_to_url
from trio_ws._exceptions import ConnectionBroken, ConnectionClosed, ConnectionEnded
from trio_ws._groups import without_own_closing
from trio_ws._opening import Opening, logger
from trio_ws._transient import is_transient, retry_after

if TYPE_CHECKING:
    from trio_ws._connection import WebSocket

Handler = Callable[["WebSocket"], Awaitable[object]]


async def reconnect_websocket_url(
    handler: Handler,
    url: str,
    ssl_context: ssl.SSLContext | None = None,
    *,
    backoff: Backoff = Backoff(),
    is_transient: Callable[[Exception], bool] = is_transient,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    **options: Unpack[ConnectOptions],
) -> None:
    """Connect to a URL and call ``await handler(websocket)``, again and again.

    Returns when the handler returns while the connection is open, which is then closed with 1000;
    after a `WebSocket.aclose` of our own; and when the peer closes with 1000.

    When a connection cannot be opened, or its peer or the network ends it, ``is_transient``
    decides.  (Whether the handler then returns or raises `ConnectionClosed` makes no difference.)
    After what is transient this waits as ``backoff`` says, or longer if the server asks for that by
    Retry-After, and connects again; anything else it raises.  All other exceptions of the handler
    go up as they are, and the connection is closed with 1011.

    On cancellation the connection is closed with 1001.  ``await nursery.start(...)`` returns when
    the first connection is open.

    Args:
        handler: called with each `WebSocket`, in the task of this call.
        url: as with `open_websocket_url`.
        ssl_context: as with `open_websocket_url`.
        backoff: how long to wait.
        is_transient: called with what opening a connection raised, or with how it was closed.  By
            default `trio_ws.is_transient`.
        options: see `ConnectOptions`.

    Raises:
        InvalidURL, ValueError: the arguments cannot make a request.
        OSError, HandshakeError, ConnectionClosed: the last failure, which is not transient.
    """
    check_async_callable("the handler", handler, "the WebSocket")
    opening = opening_to_url(url, ssl_context, **options)
    await Reconnecting(handler, opening, backoff, is_transient, task_status).run()


class Reconnecting:
    """One call of `reconnect_websocket_url`, however it opens its connections."""

    def __init__(
        self,
        handler: Handler,
        opening: Opening,
        backoff: Backoff,
        is_transient: Callable[[Exception], bool],
        task_status: trio.TaskStatus[None],
    ) -> None:
        self._handler = handler
        self._opening = opening
        self._backoff = backoff
        self._waits = backoff.waits()
        self._is_transient = is_transient
        self._task_status: trio.TaskStatus[None] | None = task_status

    async def run(self) -> None:
        """Connect until it is over."""
        while (failure := await self._serve_one()) is not None:
            try:
                if not self._is_transient(failure):
                    if isinstance(failure, ConnectionEnded) and failure.code == 1000:
                        return
                    raise failure
                wait = self._wait_after(failure)
            finally:
                del failure  # its traceback may refer to this frame: no cycle
            await trio.sleep(wait)

    def _wait_after(self, failure: Exception) -> float:
        wait = min(retry_after(failure), self._backoff.max_retry_after) + next(self._waits)
        # Neither path nor query, which may hold a token.
        where = self._opening.url.authority
        logger.info("%s: %.300s; connecting again in %.1f s", where, failure, wait)
        return wait

    async def _serve_one(self) -> Exception | None:
        """Open a connection and call the handler; return what failed, ``None`` if nothing did."""
        websocket: WebSocket | None = None
        failure: Exception | None = None
        try:
            async with websocket_block(self._opening.open) as websocket:
                self._note_started()
                failure = await self._handle(websocket)
        except Exception as exc:
            if websocket is not None:
                raise  # the handler's own
            return exc
        return failure

    def _note_started(self) -> None:
        if self._task_status is not None:
            self._task_status.started()
            self._task_status = None

    async def _handle(self, websocket: WebSocket) -> ConnectionClosed | None:
        """Call the handler; return how the connection was ended, if it was not by us."""
        opened_at = trio.current_time()
        try:
            await checked_awaitable("the handler", self._handler, self._handler(websocket))
        except Exception as exc:
            if without_own_closing(exc, websocket) is not None:
                raise
        if trio.current_time() >= opened_at + self._backoff.reset_after:
            self._waits = self._backoff.waits()
        return _ended(websocket)


def _ended(websocket: WebSocket) -> ConnectionClosed | None:
    """Return how the peer or the network ended a connection; ``None`` if they did not.

    From the facts, not from what the handler raised: it may have called ``aclose()`` after the
    end, to be sure, and that changes no facts.
    """
    if websocket._open or websocket._ended_by_us:
        return None
    received = websocket.close_received
    clean = received is not None and received.clean
    kind = ConnectionEnded if clean else ConnectionBroken
    closed = kind(received, websocket.close_sent)
    closed.__cause__ = websocket._cause
    return closed
