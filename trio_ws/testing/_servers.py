"""Servers for one test, in memory and on loopback, whose failing handlers fail the test.

A server that is in use logs the exception of a handler and lives on.  In a test that would hide
it: here it ends the block and comes out of it as it was raised.
"""

from __future__ import annotations

from collections import deque
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Unpack, cast

import trio

from trio_ws._callables import check_async_callable, checked_awaitable
from trio_ws._client import ClientOptions, ConnectOptions, open_websocket_url, wrap_client_stream
from trio_ws._exceptions import ConnectionClosed
from trio_ws._groups import is_failure, part, without_own_closing
from trio_ws._serve import ServerOptions, serve_websocket, serve_websocket_listeners
from trio_ws._server import Server
from trio_ws._transport import start_tls
from trio_ws.testing._faults import Faults, FaultyStream
from trio_ws.testing._listener import MemoryListener

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator

    from trio_ws._connection import WebSocket
    from trio_ws._serving import Handler
    from trio_ws.testing._tls import TLSContexts

LOOPBACK = "127.0.0.1"


class MemoryServer:
    """A server in memory, and how to connect to it; made by `serve_in_memory`."""

    __slots__ = ("_listener", "server")

    server: Server
    """The server itself, to look at and to drain."""

    def __init__(self, server: Server, listener: FaultyListener) -> None:
        self.server = server
        self._listener = listener

    @asynccontextmanager
    async def open_websocket(
        self, url: str = "/", *, faults: Faults | None = None, **options: Unpack[ClientOptions]
    ) -> AsyncGenerator[WebSocket, None]:
        """Connect to the server, in an ``async with`` block.

        Args:
            url: what to ask for; a path alone is one of ``ws://localhost``.
            faults: what is wrong with the network, as the server sees it.
            options: see `trio_ws.ClientOptions`.

        Raises:
            ConnectionRefusedError: the server no longer listens.
            ValueError, trio_ws.HandshakeError: as with `trio_ws.wrap_client_stream`.
        """
        stream = await self.connect(faults=faults)
        async with wrap_client_stream(stream, _at("ws://localhost", url), **options) as websocket:
            yield websocket

    async def connect(self, *, faults: Faults | None = None) -> trio.abc.Stream:
        """Connect to the server and return the bare stream, for bytes of your own.

        Args:
            faults: what is wrong with the network, as the server sees it.

        Raises:
            ConnectionRefusedError: the server no longer listens.
        """
        return await self._listener.connect(faults)


class FaultyListener(trio.abc.Listener[trio.abc.Stream]):
    """A listener in memory, each of whose connections has faults of its own, if any."""

    __slots__ = ("_faults", "_listener")

    def __init__(self, listener: MemoryListener | None = None) -> None:
        self._listener = listener or MemoryListener()
        self._faults = deque[Faults | None]()  # of those that are not accepted yet, in their order

    async def connect(self, faults: Faults | None) -> trio.abc.Stream:
        stream = await self._listener.connect()
        self._faults.append(faults)  # no checkpoint lies between the two
        return stream

    async def accept(self) -> trio.abc.Stream:
        stream = await self._listener.accept()
        faults = self._faults.popleft()
        return stream if faults is None else FaultyStream(stream, faults)

    async def aclose(self) -> None:
        await self._listener.aclose()


class LoopbackServer:
    """A server on a free port of this machine, and how to connect to it.

    Made by `serve_on_loopback`.
    """

    __slots__ = ("_tls", "server", "url")

    server: Server
    """The server itself, to look at and to drain."""
    url: str
    """Where it serves: ``ws://localhost:12345``, or ``wss://localhost:12345`` with TLS."""

    def __init__(self, server: Server, tls: TLSContexts | None) -> None:
        self.server = server
        self._tls = tls
        self.url = f"{'ws' if tls is None else 'wss'}://localhost:{server.port}"

    @asynccontextmanager
    async def open_websocket(
        self, url: str = "/", **options: Unpack[ConnectOptions]
    ) -> AsyncGenerator[WebSocket, None]:
        """Connect to the server, in an ``async with`` block.

        Args:
            url: what to ask for; a path alone is one of `url`.
            options: see `trio_ws.ConnectOptions`.

        Raises:
            OSError, ValueError, trio_ws.HandshakeError: as with `trio_ws.open_websocket_url`.
        """
        ssl_context = self._tls and self._tls.client
        async with open_websocket_url(_at(self.url, url), ssl_context, **options) as websocket:
            yield websocket

    async def connect(self) -> trio.abc.Stream:
        """Connect to the server and return the bare stream, for bytes of your own.

        With TLS its handshake is made.

        Raises:
            OSError: the server no longer listens.
        """
        stream = await trio.open_tcp_stream(LOOPBACK, self.server.port)
        if self._tls is None:
            return stream
        return await start_tls(
            stream, self._tls.client, server_side=False, server_hostname="localhost"
        )


def _at(base: str, url: str) -> str:
    return base + url if url.startswith("/") else url


@asynccontextmanager
async def serve_in_memory(
    handler: Handler,
    *,
    isolate_handlers: bool = False,
    max_connections: int | None = None,
    **options: Unpack[ServerOptions],
) -> AsyncGenerator[MemoryServer, None]:
    """Run a server without a network, in an ``async with`` block.

    When a handler raises, the body is cancelled and the exception comes out of the block as it
    was, in no group.  Leaving the block cancels the server and its handlers; what the body raised
    comes out as it was too.  When both have raised, they make a group, but for what the body
    raised only because its connections were closed or itself cancelled.

    Args:
        handler: called with each WebSocket.
        isolate_handlers: ``True`` lets a handler fail as in use: it is logged, its connection is
            closed with 1011, and all else goes on.
        max_connections: see `trio_ws.serve_websocket`.
        options: see `trio_ws.ServerOptions`.
    """
    listener = FaultyListener()
    serve = partial(
        serve_websocket_listeners, listeners=[listener], max_connections=max_connections, **options
    )
    async with _serving(handler, serve, isolate_handlers=isolate_handlers) as server:
        yield MemoryServer(server, listener)


@asynccontextmanager
async def serve_on_loopback(
    handler: Handler,
    *,
    tls: TLSContexts | None = None,
    isolate_handlers: bool = False,
    max_connections: int | None = None,
    **options: Unpack[ServerOptions],
) -> AsyncGenerator[LoopbackServer, None]:
    """Run a server over TCP on a free port of 127.0.0.1, in an ``async with`` block.

    For tests in which sockets matter; an autojumping clock does not go with them.  All else is as
    with `serve_in_memory`.

    Args:
        handler: called with each WebSocket.
        tls: serve ``wss`` with these, and let clients trust them, see `tls_contexts`.
        isolate_handlers: see `serve_in_memory`.
        max_connections: see `trio_ws.serve_websocket`.
        options: see `trio_ws.ServerOptions`.
    """
    serve = partial(
        serve_websocket,
        host=LOOPBACK,
        port=0,
        ssl_context=tls and tls.server,
        max_connections=max_connections,
        **options,
    )
    async with _serving(handler, serve, isolate_handlers=isolate_handlers) as server:
        yield LoopbackServer(server, tls)


@asynccontextmanager
async def _serving(
    handler: Handler, serve: Callable[..., Awaitable[object]], *, isolate_handlers: bool
) -> AsyncGenerator[Server, None]:
    """Run a server until the end of the block, or of the first handler that fails."""
    failures: list[BaseException] = []
    error: BaseException | None = None
    async with trio.open_nursery() as nursery:
        try:
            if not isolate_handlers:
                handler = watched(handler, failures, nursery.cancel_scope)
            yield await nursery.start(serve, handler)
        except BaseException as exc:  # noqa: BLE001 - raised again outside the nursery
            error = exc
        nursery.cancel_scope.cancel()
    try:
        raise_failures(failures, error)
    finally:
        failures.clear()
        del error  # an exception that refers to its own frame would be a cycle


def watched(
    handler: Handler, failures: list[BaseException], scope: trio.CancelScope | None
) -> Handler:
    """Return a handler that notes the exceptions of this one, and cancels a scope on the first."""
    check_async_callable("the handler", handler, "the WebSocket")

    async def watch(websocket: WebSocket) -> None:
        __tracebackhide__ = True
        try:
            await checked_awaitable("the handler", handler, handler(websocket))
        except BaseException as exc:
            failure = _failure(exc, websocket)
            if failure is not None:
                failures.append(failure)
                if scope is not None:
                    scope.cancel()
            del failure  # an exception that refers to its own frame would be a cycle
            raise  # so that the connection ends as everywhere

    return watch


def _failure(error: BaseException, websocket: WebSocket) -> BaseException | None:
    """Return what a server would log of it."""
    rest = without_own_closing(error, websocket)
    return None if rest is None else part(rest, is_failure)[0]


def raise_failures(failures: list[BaseException], error: BaseException | None) -> None:
    """Raise what handlers have raised, and the body of a test besides them, each as it was.

    What the body raised only because a handler failed is left out.
    """
    __tracebackhide__ = True  # for pytest: nobody looks for the fault here
    told = {id(leaf) for failure in failures for leaf in _leaves(failure)}

    def is_consequence(exc: BaseException) -> bool:
        return id(exc) in told or isinstance(exc, (ConnectionClosed, trio.Cancelled))

    if failures and error is not None:
        error = part(error, is_consequence)[1]
    errors = [*failures] if error is None else [error, *failures]
    if not errors:
        return
    raised = errors[0]
    if len(errors) > 1:
        raised = BaseExceptionGroup("the test failed, and so did handlers", errors)
    context = raised.__context__
    try:
        raise raised
    finally:
        raised.__context__ = context  # and not what ended the block meanwhile
        errors.clear()
        del error, raised, context


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for each in cast("BaseExceptionGroup[BaseException]", error).exceptions:
            yield from _leaves(each)
    else:
        yield error
