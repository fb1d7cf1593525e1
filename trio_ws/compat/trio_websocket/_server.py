"""trio-websocket's server: `serve_websocket`, `WebSocketServer` and `wrap_server_stream`."""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import NoReturn

import trio

from trio_ws._accepting import AcceptOptions
from trio_ws._exceptions import HandshakeError
from trio_ws._serve import ServingOptions
from trio_ws._server import close_all
from trio_ws.compat.trio_websocket._endpoint import Endpoint, listening_at
from trio_ws.compat.trio_websocket._errors import handshake_errors_translated
from trio_ws.compat.trio_websocket._options import (
    CONN_TIMEOUT,
    MAX_MESSAGE_SIZE,
    MESSAGE_QUEUE_SIZE,
    NO_KEEPALIVE,
    RECEIVE_BYTES,
    limits,
    timeouts,
)
from trio_ws.compat.trio_websocket._request import WebSocketRequest, read_request
from trio_ws.protocol.origins import ANY_ORIGIN

Handler = Callable[[WebSocketRequest], Awaitable[object]]


async def serve_websocket(
    handler: Handler,
    host: str | bytes | None,
    port: int,
    ssl_context: ssl.SSLContext | None,
    *,
    handler_nursery: trio.Nursery | None = None,
    message_queue_size: int = MESSAGE_QUEUE_SIZE,
    max_message_size: int = MAX_MESSAGE_SIZE,
    receive_buffer_size: int | None = RECEIVE_BYTES,
    connect_timeout: float = CONN_TIMEOUT,
    disconnect_timeout: float = CONN_TIMEOUT,
    task_status: trio.TaskStatus[WebSocketServer] = trio.TASK_STATUS_IGNORED,
) -> NoReturn:
    """Listen on TCP and call ``await handler(request)`` for each client, until it is cancelled.

    ``server = await nursery.start(serve_websocket, handler, host, port, None)`` returns the
    `WebSocketServer` once it listens.  When the handler returns, its connection is closed with
    1000; an exception that it raises ends the server, but for the `ConnectionClosed` of its own
    connection.  No Origin is checked: that is the handler's business.  All other parameters are
    those of `open_websocket`.

    Args:
        handler: called with each `WebSocketRequest`.
        host: the address to listen on; ``None``: all of them.
        port: 0 takes a free one, on each address another.
        ssl_context: serve ``wss`` with it.
        handler_nursery: run the handlers there instead of in a nursery of this call.
        connect_timeout: how long a client may take to ask, in seconds, TLS included.
        disconnect_timeout: how long closing may take, in seconds.

    Raises:
        OSError: the address cannot be listened on.
    """
    listeners = await trio.open_tcp_listeners(port, host=host)
    try:
        server = WebSocketServer(
            handler,
            listeners,
            handler_nursery=handler_nursery,
            message_queue_size=message_queue_size,
            max_message_size=max_message_size,
            receive_buffer_size=receive_buffer_size,
            connect_timeout=connect_timeout,
            disconnect_timeout=disconnect_timeout,
        )
    except BaseException:
        await close_all(listeners)
        raise
    server._ssl_context = ssl_context
    await server.run(task_status=task_status)


class WebSocketServer:
    """A server over listeners that you have; `serve_websocket` opens them for you.

    All other parameters are those of `serve_websocket`.

    Args:
        listeners: of any kind; `run` closes them.

    Raises:
        ValueError: there is no listener.
    """

    def __init__(
        self,
        handler: Handler,
        listeners: Sequence[trio.abc.Listener[trio.abc.Stream]],
        *,
        handler_nursery: trio.Nursery | None = None,
        message_queue_size: int = MESSAGE_QUEUE_SIZE,
        max_message_size: int = MAX_MESSAGE_SIZE,
        receive_buffer_size: int | None = RECEIVE_BYTES,  # noqa: ARG002 - as large as needed
        connect_timeout: float = CONN_TIMEOUT,
        disconnect_timeout: float = CONN_TIMEOUT,
    ) -> None:
        if not listeners:
            raise ValueError("listeners must contain at least one item")
        self._handler = handler
        self._listeners = tuple(listeners)
        self._handler_nursery = handler_nursery
        self._disconnect_timeout = disconnect_timeout
        self._options = _accept_options(
            message_queue_size, max_message_size, connect_timeout, disconnect_timeout
        )
        self._ssl_context: ssl.SSLContext | None = None  # ours over sockets, for serve_websocket

    @property
    def port(self) -> int:
        """The port listened on.

        Raises:
            RuntimeError: there is more than one listener, or the one is no TCP socket.
        """
        if len(self._listeners) > 1:
            raise RuntimeError("this server has more than one listener, and so no one port")
        (endpoint,) = self.listeners
        if isinstance(endpoint, str):
            raise RuntimeError(f"this listener does not have a port: {endpoint}")  # noqa: TRY004
        return endpoint.port

    @property
    def listeners(self) -> list[Endpoint | str]:
        """Where it listens: an `Endpoint` for each TCP listener, the repr of any other."""
        secure = self._ssl_context is not None
        return [listening_at(listener, secure=secure) for listener in self._listeners]

    async def run(
        self, *, task_status: trio.TaskStatus[WebSocketServer] = trio.TASK_STATUS_IGNORED
    ) -> NoReturn:
        """Serve until it is cancelled; `trio.Nursery.start` returns this server."""
        async with trio.open_nursery() as nursery:
            await nursery.start(
                partial(
                    trio.serve_listeners,
                    self._serve,
                    list(self._listeners),
                    handler_nursery=self._handler_nursery,
                )
            )
            task_status.started(self)
            await trio.sleep_forever()

    @trio.lowlevel.enable_ki_protection
    async def _serve(self, stream: trio.abc.Stream) -> None:
        """Serve one client; whatever happens, its stream is closed."""
        try:
            proposal = await read_request(stream, self._ssl_context, self._options)
        except HandshakeError as exc:
            self._options.connection.logger.info("handshake failed: %s", exc)
            return
        async with trio.open_nursery() as nursery:
            await self._handle(
                WebSocketRequest(proposal, nursery.start_soon, self._disconnect_timeout)
            )

    async def _handle(self, request: WebSocketRequest) -> None:
        error: BaseException | None = None
        try:
            await self._call_handler(request)
        except BaseException as exc:  # noqa: BLE001 - raised again when the client knows
            error = exc
        await request._leave(error)
        error = error and request._without_own_closing(error)
        if error is not None:
            try:
                raise error
            finally:
                del error  # an exception that refers to its own frame would be a cycle

    @trio.lowlevel.disable_ki_protection
    async def _call_handler(self, request: WebSocketRequest) -> None:
        await self._handler(request)


@trio.lowlevel.enable_ki_protection
async def wrap_server_stream(
    nursery: trio.Nursery,
    stream: trio.abc.Stream,
    message_queue_size: int = MESSAGE_QUEUE_SIZE,
    max_message_size: int = MAX_MESSAGE_SIZE,
    receive_buffer_size: int | None = RECEIVE_BYTES,  # noqa: ARG001 - reads are as large as needed
) -> WebSocketRequest:
    """Wait for the request on a stream that you have accepted; own it and close it.

    As long as the request is unanswered, or the connection open, so is the nursery.  When the
    nursery is cancelled, the request is answered with 503, the connection closed with 1001.  All
    other parameters are those of `open_websocket`.

    Args:
        nursery: for the background tasks.
        stream: connected, with TLS if there is to be any.

    Raises:
        ConnectionTimeout: no request came within 60 seconds.
        ConnectionRejected: what came was answered here, for it was no request for a connection.
        HandshakeError: the stream ended before there was a request.
    """
    options = _accept_options(message_queue_size, max_message_size, CONN_TIMEOUT, CONN_TIMEOUT)
    with handshake_errors_translated():
        request = WebSocketRequest(await read_request(stream, None, options), nursery.start_soon)
    nursery.start_soon(request._guard)
    return request


def _accept_options(
    message_queue_size: int, max_message_size: int, connect: float, disconnect: float
) -> AcceptOptions:
    return ServingOptions(
        # trio-websocket looks at no Origin, and there is no parameter to allow any.
        origins=ANY_ORIGIN,
        limits=limits(message_queue_size, max_message_size),
        timeouts=timeouts(connect, disconnect),
        keepalive=NO_KEEPALIVE,
    ).accept_options()
