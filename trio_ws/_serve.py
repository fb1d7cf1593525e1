"""How a server is started: over TCP, over listeners you have, or over one stream."""

from __future__ import annotations

import errno
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypedDict, Unpack

import trio

from trio_ws._accepting import (
    Acceptance,
    AcceptOptions,
    ProcessRequest,
    secured,
    tell_rejected,
)
from trio_ws._arguments import (
    check_in_trio,
    check_nursery,
    check_port,
    check_ssl_context,
    check_stream,
)
from trio_ws._async_block import async_block
from trio_ws._block import websocket_block
from trio_ws._callables import check_async_callable, check_callable
from trio_ws._caretaker import Caretaker
from trio_ws._connection import WebSocket
from trio_ws._exceptions import HandshakeTimeout
from trio_ws._instrument import Instrument, Instruments
from trio_ws._options import (
    Compression,
    Keepalive,
    Limits,
    Timeouts,
    check_options,
    checked_compression,
)
from trio_ws._other_names import named_options
from trio_ws._reading import ConnectionOptions
from trio_ws._routing import Router
from trio_ws._server import Server, close_all, logger
from trio_ws._serving import Handler
from trio_ws._transport import close_forcefully
from trio_ws.protocol.handshake import checked_subprotocols
from trio_ws.protocol.origins import SAME_ORIGIN, Origins, checked_origins

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from trio_ws._transport import Spawn

_LISTEN_HINTS: Final = {
    errno.EADDRINUSE: "; another program listens there, or this one does; port 0 takes a free one",
    errno.EACCES: "; ports below 1024 are for privileged programs: take a higher one",
    errno.EADDRNOTAVAIL: "; this machine has no such address; host=None listens on all it has",
    socket.EAI_NONAME: "; the host is a name or an address of this machine, and nothing else",
}

# A port that is free on the first address is nearly always free on the others.
_SAME_PORT_TRIES = 16


class ServerOptions(TypedDict, total=False):
    """The keyword arguments that all functions take which serve connections."""

    subprotocols: Sequence[str]
    """Those we speak, in order of preference; the first that the client offers is agreed on.
    Default: none."""
    origins: Origins
    """Which pages of a browser may connect: `SAME_ORIGIN` (the default), `ANY_ORIGIN`, or a
    sequence of origins, compiled patterns, and ``None`` for requests without an Origin."""
    process_request: ProcessRequest | None
    """Called with each `Request`; returns ``None`` to go on, an `Accept` to go on with what it
    says, or a `Response` to answer with that instead.  May be async; has to be done within
    ``timeouts.open``.  Default: none."""
    compression: Compression
    """A `Deflate`, or ``"deflate"`` for one as it comes: compress messages where the client offers
    that.  Default: ``None``, nothing is compressed."""
    limits: Limits
    """See `Limits`."""
    timeouts: Timeouts
    """See `Timeouts`."""
    keepalive: Keepalive
    """See `Keepalive`."""
    instruments: Sequence[Instrument]
    """Who is told of what happens, see `Instrument`.  Default: nobody."""


@named_options(besides=("handler_nursery", "isolate_handlers", "max_connections", "ssl_context"))
@dataclass(frozen=True, slots=True, kw_only=True)
class ServingOptions:
    """`ServerOptions` with their defaults."""

    subprotocols: Sequence[str] = ()
    origins: Origins = SAME_ORIGIN
    process_request: ProcessRequest | None = None
    compression: Compression = None
    limits: Limits = Limits()
    timeouts: Timeouts = Timeouts()
    keepalive: Keepalive = Keepalive()
    instruments: Sequence[Instrument] = ()

    def __post_init__(self) -> None:
        check_options(self.limits, self.timeouts, self.keepalive)
        if self.process_request is not None:
            expected = "process_request must be a function of one argument, the Request"
            check_callable(expected, self.process_request, "the Request")

    def accept_options(self) -> AcceptOptions:
        """Return what the opening handshakes go by."""
        instruments = Instruments(self.instruments)
        return AcceptOptions(
            ConnectionOptions(self.limits, self.timeouts, self.keepalive, logger, instruments),
            checked_subprotocols(self.subprotocols),
            checked_origins(self.origins),
            self.process_request,
            checked_compression(self.compression),
        )


async def serve_websocket(
    handler: Handler,
    host: str | bytes | None,
    port: int,
    ssl_context: ssl.SSLContext | None = None,
    *,
    max_connections: int | None = None,
    handler_nursery: trio.Nursery | None = None,
    isolate_handlers: bool = True,
    task_status: trio.TaskStatus[Server] = trio.TASK_STATUS_IGNORED,
    **options: Unpack[ServerOptions],
) -> None:
    """Listen on TCP and call ``await handler(websocket)`` for each connection, for ever.

    ``server = await nursery.start(serve_websocket, handler, host, port)`` returns the `Server`
    once it listens.  Returns normally after `Server.aclose`.  On cancellation the listeners are
    closed, the handlers cancelled, and every peer gets a Close with 1001.

    When the handler returns, its connection is closed with 1000; when it raises, with 1011, and
    the exception is logged (a `ConnectionClosed` of its own connection is a normal end).  It runs
    in a copy of the context that this function was called in.

    Args:
        handler: called with each `WebSocket`.
        host: the address to listen on; ``None``: all of them.
        port: 0 takes a free one, see `Server.port`.
        ssl_context: serve ``wss`` with it.
        max_connections: how many may be open at once; one more is answered 503.
        handler_nursery: run the handlers there instead of in a nursery of this call.
        isolate_handlers: ``False`` lets a handler's exception go on up, which ends the server.
        options: see `ServerOptions`.

    Raises:
        OSError: the address cannot be listened on.
    """
    check_in_trio()
    _check_handling(handler, ssl_context, max_connections, handler_nursery)  # before it listens
    check_port(port)
    await serve_websocket_listeners(
        handler,
        await _open_tcp_listeners(port, host),
        ssl_context,
        max_connections=max_connections,
        handler_nursery=handler_nursery,
        isolate_handlers=isolate_handlers,
        task_status=task_status,
        **options,
    )


async def serve_websocket_listeners(
    handler: Handler,
    listeners: Sequence[trio.abc.Listener[trio.abc.Stream]],
    ssl_context: ssl.SSLContext | None = None,
    *,
    max_connections: int | None = None,
    handler_nursery: trio.Nursery | None = None,
    isolate_handlers: bool = True,
    task_status: trio.TaskStatus[Server] = trio.TASK_STATUS_IGNORED,
    **options: Unpack[ServerOptions],
) -> None:
    """Serve connections of listeners you have: Unix sockets, inherited sockets, memory.

    The listeners are closed in the end, however it comes.  Everything else, arguments included,
    is as with `serve_websocket`; ``ssl_context`` needs listeners of sockets.

    Raises:
        ValueError: there is no listener.
    """
    check_in_trio()
    if isinstance(listeners, trio.abc.Listener):
        await close_all([listeners])
        raise TypeError("listeners must be a sequence of listeners: write [listener]")
    if not listeners:
        raise ValueError("there is nothing to listen on: listeners is empty")
    try:
        _check_handling(handler, ssl_context, max_connections, handler_nursery)
        if isinstance(handler, Router) and options.get("process_request") is None:
            options["process_request"] = handler.process_request  # or its guards would sleep
        accept_options = ServingOptions(**options).accept_options()
    except BaseException:
        await close_all(listeners)
        raise
    async with trio.open_nursery() as nursery:
        server = Server(
            handler,
            listeners,
            accept_options,
            (handler_nursery or nursery).start_soon,
            ssl_context=ssl_context,
            max_connections=max_connections,
            isolate_handlers=isolate_handlers,
        )
        for listener in listeners:
            nursery.start_soon(server._accept_from, listener)
        task_status.started(server)


def _check_handling(
    handler: object, ssl_context: object, max_connections: object, handler_nursery: object
) -> None:
    """Refuse what connections cannot be handled by."""
    check_async_callable("the handler", handler, "the WebSocket")
    if hasattr(ssl_context, "start_soon"):
        raise TypeError("ssl_context is a nursery: write handler_nursery=..., or leave it out")
    check_ssl_context("ssl_context", ssl_context, server_side=True)
    if max_connections is not None and not isinstance(max_connections, int):
        raise TypeError(f"max_connections must be an int or None, not {max_connections!r:.100}")
    if handler_nursery is not None:
        check_nursery("handler_nursery", handler_nursery, "handler_nursery=nursery")


async def _open_tcp_listeners(port: int, host: str | bytes | None) -> list[trio.SocketListener]:
    """Open TCP listeners; with port 0 and several addresses, all on one port.

    Raises:
        OSError: as Trio does, but it says where, and what to do.
    """
    try:
        listeners = await _try_to_listen(port, host)
    except OSError as exc:
        hint = _LISTEN_HINTS.get(exc.errno or 0, "")
        problem = f"cannot listen on {host!r}, port {port}: {exc.strerror or exc}{hint}"
        raise type(exc)(exc.errno, problem) from None
    if listeners is None:
        raise OSError(errno.EADDRINUSE, f"found no port that is free on all addresses of {host!r}")
    return listeners


async def _try_to_listen(port: int, host: str | bytes | None) -> list[trio.SocketListener] | None:
    if port != 0:
        return await trio.open_tcp_listeners(port, host=host)
    for _ in range(_SAME_PORT_TRIES):
        listeners = await trio.open_tcp_listeners(0, host=host)
        ports = [listener.socket.getsockname()[1] for listener in listeners]
        if len(set(ports)) == 1:
            return listeners
        await close_all(listeners)
        with suppress(OSError):  # taken on one of the other addresses: try another
            return await trio.open_tcp_listeners(ports[0], host=host)
    return None


@async_block("websocket")
async def wrap_server_stream(
    stream: trio.abc.Stream, **options: Unpack[ServerOptions]
) -> AsyncGenerator[WebSocket, None]:
    """Serve one WebSocket over a stream you accepted; own it and close it.

    Leaving the block closes with 1000, by an exception with 1011, by cancellation with 1001.
    The stream must lose no data when its ``receive_some`` is cancelled; trio's do not.

    Args:
        stream: connected, with TLS if there is to be any; nothing of the request read yet.
        options: see `ServerOptions`.

    Raises:
        ConnectionRejected: the request was answered with another response, which is in it.
        HandshakeError: there was no request, or TLS failed.
        HandshakeTimeout: there was none in ``timeouts.open``; the client was answered 408, or
            503 if it waited for ``process_request``.
        TypeError, ValueError: the options are no good; the stream is closed all the same.
    """
    check_stream(stream)
    async with websocket_block(server_opening(stream, options)) as websocket:
        yield websocket


def server_opening(
    stream: trio.abc.Stream, options: ServerOptions
) -> Callable[[Spawn], Awaitable[WebSocket]]:
    """Return what opens a server's connection over a stream, and closes it when that fails."""

    @trio.lowlevel.enable_ki_protection
    async def opened(spawn: Spawn) -> WebSocket:
        try:
            return await _accept(stream, ServingOptions(**options).accept_options(), spawn)
        except BaseException:
            await close_forcefully(stream)
            raise

    return opened


async def _accept(stream: trio.abc.Stream, options: AcceptOptions, spawn: Spawn) -> WebSocket:
    timeout = options.connection.timeouts.open
    acceptance: Acceptance | None = None
    with trio.move_on_after(timeout) as scope:
        try:
            acceptance = Acceptance(await secured(stream), options)
            return await acceptance.accept(spawn, Caretaker(spawn), lambda: None)
        except Exception as exc:
            tell_rejected(options, acceptance, exc)
            raise  # answered, or nobody there to be answered
        except BaseException:
            # Our cancellation: too slow.  Others': no time to be polite.
            if scope.cancel_called:
                unanswered = HandshakeTimeout("tls", timeout)
                late = await acceptance.refuse_late(None) if acceptance else unanswered
                tell_rejected(options, acceptance, late)
            raise
    raise HandshakeTimeout("tls" if acceptance is None else "handshake", timeout)
