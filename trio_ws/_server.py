"""The server: listeners, the connections they accept, and an orderly end."""

from __future__ import annotations

import errno
import logging
import math
import ssl
from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

import trio

from trio_ws._accepting import AcceptOptions
from trio_ws._caretaker import Caretaker
from trio_ws._close import checked_close
from trio_ws._connection import WebSocket
from trio_ws._exceptions import ConnectionRejected
from trio_ws._serving import Handler, Serving
from trio_ws._statistics import ServerStatistics, Tally
from trio_ws._transport import close_forcefully

if TYPE_CHECKING:
    from trio_ws._transport import Spawn

logger = logging.getLogger("trio_ws.server")

# accept(2): "the per-process limit on the number of open file descriptors has been reached" and
# its kin.  They pass; until then we wait a little between tries.
_OUT_OF_RESOURCES = {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS}
_ACCEPT_RETRY_SECONDS = 0.1
_ACCEPT_LOG_SECONDS = 60.0


class Server:
    """A running server, as ``await nursery.start(serve_websocket, ...)`` returns it."""

    __slots__ = (
        "_caretaker",
        "_changed",
        "_closers",
        "_closing",
        "_handler",
        "_isolate_handlers",
        "_log_accept_error_at",
        "_max_connections",
        "_opened",
        "_options",
        "_port",
        "_serving",
        "_spawn",
        "_ssl_context",
        "_tally",
        "listeners",
    )

    listeners: tuple[trio.abc.Listener[trio.abc.Stream], ...]
    """The listeners; closing them yourself lets open connections live on."""

    def __init__(
        self,
        handler: Handler,
        listeners: Sequence[trio.abc.Listener[trio.abc.Stream]],
        options: AcceptOptions,
        spawn: Spawn,
        *,
        ssl_context: ssl.SSLContext | None,
        max_connections: int | None,
        isolate_handlers: bool,
    ) -> None:
        self._handler: Handler = handler
        self.listeners = tuple(listeners)
        self._options: AcceptOptions = options
        self._spawn: Spawn = spawn
        self._ssl_context: ssl.SSLContext | None = ssl_context
        self._isolate_handlers: bool = isolate_handlers
        self._caretaker: Caretaker = Caretaker(spawn)
        self._tally: Tally = Tally()
        self._max_connections = max_connections
        self._port = _port_of(self.listeners)
        self._serving: set[Serving] = set()
        self._closing = False
        self._closers: set[Serving] = set()  # whose handlers have called aclose()
        self._opened = 0  # connections that have a WebSocket: counted, for they may be many
        self._changed = trio.lowlevel.ParkingLot()  # woken when a connection has ended
        self._log_accept_error_at = -math.inf

    @property
    def port(self) -> int:
        """The port listened on, or once listened on; with several addresses all listeners share it.

        Raises:
            ValueError: no listener is a TCP socket.
        """
        if self._port is None:
            raise ValueError("this server listens on no TCP socket, so it has no port")
        return self._port

    @property
    def connections(self) -> frozenset[WebSocket]:
        """The open connections, as of now."""
        websockets = (serving.websocket for serving in self._serving)
        return frozenset(ws for ws in websockets if ws is not None and ws._open)

    def statistics(self) -> ServerStatistics:
        """Return what the server has done so far, and what it holds.

        Takes less than a microsecond for each connection, in which nothing else runs.
        """
        websockets = [
            serving.websocket for serving in self._serving if serving.websocket is not None
        ]
        return self._tally.statistics(
            websockets,
            listeners=0 if self._closing else len(self.listeners),
            handshakes=len(self._serving) - len(websockets),
        )

    @property
    def _has_room(self) -> bool:
        """Whether one more connection may be opened."""
        if self._closing or self._max_connections is None:
            return not self._closing
        return self._opened < self._max_connections

    async def aclose(self, code: int = 1001, reason: str = "", *, grace: float = 10.0) -> None:
        """Drain: stop listening, close all connections, and wait for their handlers.

        Closes the listeners, answers 503 to handshakes in flight, sends a Close to every open
        connection, and gives the handlers ``grace`` to end: their loops do when the closing
        handshake is complete.  Then they are cancelled, at once when this call is cancelled.
        A handler that calls this is not waited for, and its own connection is left to it.

        Args:
            code: the close code, see `WebSocket.aclose`.
            reason: the close reason, at most 123 bytes of UTF-8.
            grace: in seconds.

        Raises:
            TypeError, ValueError: this code or reason must not be sent, or this is no time that
                could be given; nothing was closed.
        """
        close = checked_close(code, reason)
        limit = trio.move_on_after(grace)  # it runs from where it is entered
        self._closing = True
        await close_all(self.listeners)
        callers = self._callers()
        others = self._serving - callers
        for serving in others:
            serving.drain(close)
        self._closers |= callers
        self._changed.unpark_all()
        try:
            with limit:
                await self._wait_ended(others, from_handler=bool(callers))
            for serving in self._awaited(others, from_handler=bool(callers)):
                serving.cancel()
            await self._wait_ended(others, from_handler=bool(callers))
        finally:
            for serving in self._awaited(others, from_handler=bool(callers)):
                serving.cancel()  # this call is cancelled

    def _callers(self) -> set[Serving]:
        """Return those whose handler the current task belongs to."""
        tasks: set[trio.lowlevel.Task] = set()
        task: trio.lowlevel.Task | None = trio.lowlevel.current_task()
        while task is not None:
            tasks.add(task)
            task = task.parent_nursery.parent_task if task.parent_nursery is not None else None
        return {serving for serving in self._serving if serving.task in tasks}

    def _awaited(self, others: set[Serving], *, from_handler: bool) -> set[Serving]:
        # Two handlers that both close the server must not wait for each other.
        return (others & self._serving) - (self._closers if from_handler else set())

    async def _wait_ended(self, others: set[Serving], *, from_handler: bool) -> None:
        while self._awaited(others, from_handler=from_handler):
            await self._changed.park()

    def _note_opened(self) -> None:
        """Note that a connection has its WebSocket; from now on it takes room."""
        self._opened += 1

    def _note_rejected(self, error: Exception) -> None:
        """Note that no connection came of an opening handshake."""
        if isinstance(error, ConnectionRejected):
            self._tally.rejected[error.response.status] += 1
        else:
            self._tally.failed += 1

    def _forget(self, serving: Serving) -> None:
        """Note that a connection has ended."""
        if serving.websocket is not None:
            self._opened -= 1
            self._tally.add(serving.websocket)
        self._serving.discard(serving)
        self._closers.discard(serving)
        self._changed.unpark_all()

    @trio.lowlevel.enable_ki_protection
    async def _accept_from(self, listener: trio.abc.Listener[trio.abc.Stream]) -> None:
        """Serve what this listener accepts, until it is closed."""
        async with listener:
            while True:
                try:
                    stream = await listener.accept()
                except trio.ClosedResourceError:
                    return
                except OSError as exc:
                    if exc.errno not in _OUT_OF_RESOURCES:
                        raise
                    self._log_accept_error(exc)
                    await trio.sleep(_ACCEPT_RETRY_SECONDS)
                else:
                    await self._serve(stream)

    async def _serve(self, stream: trio.abc.Stream) -> None:
        serving = Serving(self, stream)
        try:
            self._spawn(serving.run)
        except RuntimeError:  # the nursery of the handlers is no more
            await close_forcefully(stream)
            raise
        self._serving.add(serving)
        if self._closing:  # accepted while `aclose` closed the listener
            serving.cancel()

    def _log_accept_error(self, exc: OSError) -> None:
        now = trio.current_time()
        if now >= self._log_accept_error_at:
            self._log_accept_error_at = now + _ACCEPT_LOG_SECONDS
            logger.error("cannot accept connections for now: %s", exc)
            self._options.connection.instruments.tell(lambda each: each.error(None, exc))


async def close_all(listeners: Sequence[trio.abc.Listener[trio.abc.Stream]]) -> None:
    with trio.CancelScope(shield=True):
        for listener in listeners:
            await listener.aclose()


def _port_of(listeners: Sequence[trio.abc.Listener[trio.abc.Stream]]) -> int | None:
    for listener in listeners:
        below: object = listener
        while isinstance(below, trio.SSLListener):
            below = cast("trio.SSLListener[trio.abc.Stream]", below).transport_listener
        if isinstance(below, trio.SocketListener):
            address: object = below.socket.getsockname()
            if isinstance(address, tuple):
                port: object = cast("tuple[object, ...]", address)[1]
                assert isinstance(port, int)
                return port
    return None
