"""One connection of a server, from the accepted stream to the end of its handler.

Invariant: nothing that happens here reaches another connection.  What the handler's end means is
decided in one place, `Serving._fail`, on the leaves of what it raised.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import TYPE_CHECKING

import trio

from trio_ws._accepting import Acceptance, secured, tell_rejected
from trio_ws._block import leave_because
from trio_ws._callables import checked_awaitable
from trio_ws._exceptions import HandshakeError
from trio_ws._groups import is_failure, part, without_own_closing
from trio_ws._transport import close_forcefully
from trio_ws.protocol.http import Response

if TYPE_CHECKING:
    from trio_ws._close import Close
    from trio_ws._connection import WebSocket
    from trio_ws._server import Server

Handler = Callable[["WebSocket"], Awaitable[object]]


class Serving:
    """One accepted stream and the task that serves it."""

    __slots__ = ("_acceptance", "_scope", "_server", "_stream", "task", "websocket")

    def __init__(self, server: Server, stream: trio.abc.Stream) -> None:
        self._server = server
        self._stream: trio.abc.Stream | None = stream
        self._acceptance: Acceptance | None = None
        self._scope = trio.CancelScope()
        self.websocket: WebSocket | None = None
        self.task: trio.lowlevel.Task | None = None

    @property
    def _logger(self) -> logging.Logger:
        return self._server._options.connection.logger

    @trio.lowlevel.enable_ki_protection
    async def run(self) -> None:
        """Shake hands and call the handler; whatever happens, the stream is closed.

        Ctrl-C strikes in the application's functions only: here it would cost the peer its Close.
        """
        self.task = trio.lowlevel.current_task()
        timeouts = self._server._options.connection.timeouts
        self._scope.deadline = trio.current_time() + timeouts.open
        try:
            with self._scope:
                await self._open()
                if self.websocket is not None:
                    await self._handle(self.websocket)
        finally:
            self.task = None
            self._server._forget(self)

    def drain(self, close: Close) -> None:
        """Ask for an end: 1001 (or so) when it is open, 503 when it is not yet."""
        if self.websocket is not None:
            self.websocket._drain(close)
        else:
            self._scope.cancel()

    def cancel(self) -> None:
        """Cancel the handler; its peer gets 1001 if it got no Close before."""
        self._scope.cancel()

    # The opening handshake

    async def _open(self) -> None:
        stream = self._stream
        assert stream is not None
        try:
            self.websocket = await self._accept(stream)
            self._server._note_opened()
        except Exception as exc:  # noqa: BLE001 - whatever it is ends this connection alone
            self._note_rejected(exc)
        except BaseException:
            # Our cancellation: too slow, or the server drains.  Others': no time to be polite.
            if self._scope.cancel_called:
                self._note_rejected(await self._refuse_late())
            raise
        finally:
            if self.websocket is None:
                await close_forcefully(stream)
        self._stream = self._acceptance = None  # not for as long as the handler runs
        self._scope.deadline = math.inf

    def _note_rejected(self, error: Exception) -> None:
        options = self._server._options
        if isinstance(error, HandshakeError):
            self._logger.info("handshake failed: %s", error)
        else:
            self._logger.error("opening handshake failed", exc_info=error)
            options.connection.instruments.tell(lambda each: each.error(None, error))
        self._server._note_rejected(error)
        tell_rejected(options, self._acceptance, error)

    async def _refuse_late(self) -> HandshakeError:
        if self._acceptance is None:
            return HandshakeError("the TLS handshake was not completed in time")
        return await self._acceptance.refuse_late(self._busy())

    async def _accept(self, stream: trio.abc.Stream) -> WebSocket:
        server = self._server
        stream = await secured(stream, server._ssl_context)
        self._acceptance = Acceptance(stream, server._options)
        return await self._acceptance.accept(server._spawn, server._caretaker, self._busy)

    def _busy(self) -> Response | None:
        if not self._server._has_room:
            return Response(HTTPStatus.SERVICE_UNAVAILABLE, {"Retry-After": "1"})
        return None

    # The handler

    async def _handle(self, websocket: WebSocket) -> None:
        error: BaseException | None = None
        try:
            await self._call_handler(websocket)
        except BaseException as exc:  # noqa: BLE001 - judged below, and nothing fatal is kept
            error = without_own_closing(exc, websocket)
        try:
            if error is None:
                await websocket._leave(None)
            else:
                await self._fail(websocket, error)
        finally:
            del error  # its traceback refers to this frame: no cycle

    @trio.lowlevel.disable_ki_protection
    async def _call_handler(self, websocket: WebSocket) -> None:
        handler = self._server._handler
        await checked_awaitable("the handler", handler, handler(websocket))

    async def _fail(self, websocket: WebSocket, error: BaseException) -> None:
        """Close after a handler that raised; let go up what is not for the log alone."""
        failure, fatal = part(error, is_failure)
        self._server._tally.handler_failures += failure is not None
        try:
            await leave_because(websocket, error)
            if failure is not None and self._server._isolate_handlers:
                target = websocket.request.target
                self._logger.error("handler failed for %.200r", target, exc_info=failure)
                if fatal is not None:
                    raise fatal
            elif fatal is not None and failure is not None:
                raise BaseExceptionGroup("handler failed", [fatal, failure])
            else:
                raise error
        finally:
            del error, fatal, failure  # their tracebacks refer to this frame: no cycle
