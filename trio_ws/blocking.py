"""WebSockets without async: for scripts, the interactive prompt, and threads without Trio.

::

    with trio_ws.blocking.open_websocket_url("wss://example.com/") as ws:
        ws.send("hello")
        print(ws.receive(timeout=5))

Lives here: a Trio run in a thread of its own, for one connection, and calls into it.  What the
calls do is `trio_ws.WebSocket`'s business.

Invariants: an interrupted or late call tears and loses no message, for the task that does its work
is cancelled, and cancellation is exact.  Once `BlockingWebSocket.close` returns the thread has
ended.
"""

from __future__ import annotations

import math
import os
import ssl
import threading
import warnings
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from concurrent import futures
from concurrent.futures import Future
from contextlib import AbstractAsyncContextManager, suppress
from functools import partial
from typing import TYPE_CHECKING, Generic, Self, TypeVar, Unpack

import trio

import trio_ws
from trio_ws._client import ClientOptions
from trio_ws._close import Close, CloseCode, checked_close
from trio_ws._connection import WebSocket
from trio_ws._exceptions import ConnectionEnded

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Buffer

__all__ = ["BlockingWebSocket", "open_websocket_unix", "open_websocket_url"]

T = TypeVar("T")

_Open = Callable[[], AbstractAsyncContextManager[WebSocket]]


def open_websocket_url(
    url: str, ssl_context: ssl.SSLContext | None = None, **options: Unpack[ClientOptions]
) -> BlockingWebSocket:
    """Connect and return the WebSocket; use it in a ``with`` block, or close it yourself.

    Args:
        url, ssl_context, options: those of `trio_ws.open_websocket_url`, which see for the
            exceptions as well.
    """
    return BlockingWebSocket(partial(trio_ws.open_websocket_url, url, ssl_context, **options))


def open_websocket_unix(
    path: str | os.PathLike[str],
    url: str = "ws://localhost/",
    **options: Unpack[ClientOptions],
) -> BlockingWebSocket:
    """Connect to a Unix socket and return the WebSocket; otherwise as `open_websocket_url`.

    Args:
        path, url, options: those of `trio_ws.open_websocket_unix`.
    """
    return BlockingWebSocket(partial(trio_ws.open_websocket_unix, path, url, **options))


class BlockingWebSocket:
    """A client's WebSocket whose methods wait in the calling thread.

    Several threads may use it at once, but only one of them may receive.  Leaving the ``with``
    block closes it: with 1000, after Ctrl-C with 1001, after another exception with 1011.

    Look at `websocket` for the subprotocol, the response, addresses, latency and statistics.
    """

    websocket: WebSocket
    """The WebSocket, which lives in the other thread: look at it, but call nothing that waits."""

    def __init__(self, open_websocket: _Open) -> None:
        if trio.lowlevel.in_trio_run():
            raise RuntimeError(
                "a blocking WebSocket would block all tasks of Trio, which runs here: write `async"
                " with trio_ws.open_websocket_url(...) as websocket:`"
            )
        self._run = _Run(open_websocket)
        self.websocket = self._run.websocket
        self._unclaimed: deque[str | bytes] = deque()  # received by calls that were interrupted

    def send(
        self, message: str | Buffer, *, text: bool | None = None, timeout: float | None = None
    ) -> None:
        """Send a message, see `trio_ws.WebSocket.send`; wait while the outgoing buffer is full.

        Args:
            message, text: the message: `str` as text, bytes-like as binary.
            timeout: how long to wait, in seconds; ``None``: as long as it takes.

        Raises:
            TimeoutError: it took longer; nothing was sent.
            TypeError, ValueError: the message is of another type, or no UTF-8.
            trio_ws.ConnectionClosed: the connection was closed.
        """
        self._run.call(partial(self.websocket.send, message, text=text), timeout)

    def receive(self, *, timeout: float | None = None) -> str | bytes:
        """Wait for the next message: `str` for text, `bytes` for binary.

        Args:
            timeout: how long to wait, in seconds; 0 takes only what is there already, ``None``
                waits as long as it takes.

        Raises:
            TimeoutError: no message came in that time; the next call may still get it.
            trio_ws.ConnectionClosed: the connection was closed.
            trio.BusyResourceError: another thread is receiving.
        """
        if self._unclaimed:
            return self._unclaimed.popleft()
        return self._run.call(self._receive, timeout, self._unclaimed.append)

    async def _receive(self) -> str | bytes:
        # A timeout of 0 is over before the first checkpoint.
        with suppress(trio.WouldBlock):
            return self.websocket.receive_nowait()
        return await self.websocket.receive()

    def __iter__(self) -> Iterator[str | bytes]:
        """Receive messages until a clean close (1000, 1001, or no code).

        Raises:
            trio_ws.ConnectionClosed: the connection was closed in another way.
        """
        with suppress(ConnectionEnded):
            while True:
                yield self.receive()

    def ping(self, payload: Buffer | None = None, *, timeout: float | None = None) -> float:
        """Send a ping, wait for its pong and return the round-trip time in seconds.

        Args:
            payload: what the peer is to send back, at most 125 bytes.
            timeout: how long to wait, in seconds; ``None``: as long as it takes.

        Raises:
            TimeoutError: no pong came in that time.
            trio_ws.ConnectionClosed: the connection was closed before the pong came.
        """
        return self._run.call(partial(self.websocket.ping, payload), timeout)

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Close the connection, see `trio_ws.WebSocket.aclose`, and end the thread; idempotent.

        Args:
            code, reason: what the peer is told.

        Raises:
            ValueError: the code or the reason cannot be sent; the connection is as it was.
        """
        self._run.end(checked_close(code, reason))

    def __del__(self) -> None:
        if hasattr(self, "_run") and self._run.abandon():
            warnings.warn(
                f"unclosed {type(self).__name__}", ResourceWarning, stacklevel=2, source=self
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if exc_type is None:
            self.close()
        elif issubclass(exc_type, KeyboardInterrupt | SystemExit):
            self.close(CloseCode.GOING_AWAY)
        else:
            self.close(CloseCode.INTERNAL_ERROR)


class _Call(Generic[T]):
    """One call of an async function, made in one thread and done in another."""

    def __init__(self, async_fn: Callable[[], Awaitable[T]], timeout: float | None) -> None:
        self.result: Future[T] = Future()
        self._scope = trio.CancelScope()
        self._begun = False
        self._async_fn = async_fn
        self._timeout = math.inf if timeout is None else timeout

    def begin(self, nursery: trio.Nursery | None) -> None:
        """Call the function in a task of this nursery, or tell that there is none any more."""
        self._begun = True
        if nursery is None:
            self._give_up()
        else:
            nursery.start_soon(self._run)

    def cancel(self) -> None:
        """Have the result be there soon: what the function returned, if it just has."""
        self._scope.cancel()
        if not self._begun:
            self._give_up()

    def _give_up(self) -> None:
        self.result.set_exception(futures.CancelledError())

    async def _run(self) -> None:
        """Call the function; the result is there when this ends, by whatever."""
        try:
            with self._scope, trio.fail_after(self._timeout):
                self.result.set_result(await self._async_fn())
        except trio.TooSlowError:
            self.result.set_exception(TimeoutError(f"not done in {self._timeout:g} seconds"))
        except Exception as exc:  # noqa: BLE001 - it is raised in the calling thread
            self.result.set_exception(exc)
        finally:
            if not self.result.done():  # cancelled, this call alone or the run
                self._give_up()


class _Run:
    """A Trio run in a thread of its own, in which a WebSocket is open."""

    def __init__(self, open_websocket: _Open) -> None:
        self._open_websocket = open_websocket
        self._token: Future[trio.lowlevel.TrioToken] = Future()
        self._opened: Future[WebSocket] = Future()
        self._scope = trio.CancelScope()
        self._abandoned = False
        self._ending = trio.Event()
        self._nursery: trio.Nursery | None = None
        self._close = Close()
        self._ended: Future[None] = Future()
        # A daemon, for a program that forgets to close shall end all the same.
        self._thread = threading.Thread(target=self._run_trio, name="trio_ws.blocking", daemon=True)
        try:
            self._thread.start()
        except BaseException:  # interrupted: the thread may come into being all the same
            self.abandon()
            raise
        try:
            self.websocket = self._opened.result()
        except BaseException:
            self.abandon()
            self._join()
            raise

    def _run_trio(self) -> None:
        try:
            trio.run(self._main)
        finally:
            self._ended.set_result(None)

    def _join(self) -> None:
        # Thread.join() alone, once interrupted, takes the thread for ended (in Python 3.11).
        futures.wait([self._ended])
        self._thread.join()

    async def _main(self) -> None:
        self._token.set_result(trio.lowlevel.current_trio_token())
        if self._abandoned:
            self._scope.cancel()
        try:
            with self._scope:
                async with self._open_websocket() as websocket, trio.open_nursery() as nursery:
                    self._nursery = nursery
                    self._opened.set_result(websocket)
                    try:
                        await self._ending.wait()
                        # All calls under way return, for the WebSocket is closed.
                        await websocket.aclose(self._close.code, self._close.reason)
                    finally:
                        self._nursery = None  # the end of the block closes it
        except Exception as exc:  # noqa: BLE001 - it is raised in the calling thread
            self._opened.set_exception(exc)

    def call(
        self,
        async_fn: Callable[[], Awaitable[T]],
        timeout: float | None,
        reclaim: Callable[[T], object] = lambda _: None,
    ) -> T:
        """Call an async function in the run and wait for its result.

        Args:
            reclaim: takes the result if the waiting was interrupted when there was one already.
        """
        if timeout is not None and not timeout >= 0:
            raise ValueError(f"the timeout must be at least 0 seconds, not {timeout!r}")
        call = _Call(async_fn, timeout)
        token = self._token.result()
        try:
            token.run_sync_soon(self._begin, call)
            futures.wait([call.result])
        except trio.RunFinishedError:
            call.begin(None)
        except BaseException:  # interrupted, maybe before the run has heard of the call
            with suppress(trio.RunFinishedError):
                token.run_sync_soon(call.cancel)
                futures.wait([call.result])
            if call.result.done() and call.result.exception() is None:
                reclaim(call.result.result())
            raise
        if isinstance(call.result.exception(), futures.CancelledError):
            futures.wait([self._ended])  # soon, and then the WebSocket knows how
            raise self.websocket._closed_error(receiving=False)
        return call.result.result()

    def _begin(self, call: _Call[T]) -> None:
        call.begin(self._nursery)

    def end(self, close: Close) -> None:
        """Close the WebSocket and wait for the end of the thread."""
        try:
            with suppress(trio.RunFinishedError):
                self._token.result().run_sync_soon(self._end, close)
            self._join()
        except BaseException:  # interrupted: then without waiting for the peer
            self.abandon()
            self._join()
            raise

    def _end(self, close: Close) -> None:
        self._close = self._close if self._ending.is_set() else close
        self._ending.set()

    def abandon(self) -> bool:
        """Have the run end without waiting for the peer; return whether there was one."""
        self._abandoned = True
        with suppress(trio.RunFinishedError):
            if self._token.done():  # else the run will see for itself when it begins
                self._token.result().run_sync_soon(self._scope.cancel)
            return True
        return False
