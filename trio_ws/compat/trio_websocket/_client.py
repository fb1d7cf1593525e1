"""trio-websocket's functions that open client connections."""

from __future__ import annotations

import ssl
from collections.abc import AsyncGenerator, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress

import trio

from trio_ws._block import websocket_block
from trio_ws._client import guard
from trio_ws._connecting import Network, over
from trio_ws._connection import WebSocket
from trio_ws._opening import Opening, OpeningOptions
from trio_ws._transport import Spawn, close_forcefully
from trio_ws._url import WebSocketURL, parse_url
from trio_ws.compat.trio_websocket._connection import WebSocketConnection
from trio_ws.compat.trio_websocket._errors import HandshakeError, handshake_errors_translated
from trio_ws.compat.trio_websocket._headers import from_pairs
from trio_ws.compat.trio_websocket._options import (
    CONN_TIMEOUT,
    MAX_MESSAGE_SIZE,
    MESSAGE_QUEUE_SIZE,
    NO_KEEPALIVE,
    RECEIVE_BYTES,
    limits,
    timeouts,
)

ExtraHeaders = list[tuple[bytes, bytes]] | None


@asynccontextmanager
@trio.lowlevel.enable_ki_protection  # of this; the body has its own frames
async def open_websocket(
    host: str,
    port: int,
    resource: str,
    *,
    use_ssl: bool | ssl.SSLContext,
    subprotocols: Iterable[str] | None = None,
    extra_headers: ExtraHeaders = None,
    message_queue_size: int = MESSAGE_QUEUE_SIZE,
    max_message_size: int = MAX_MESSAGE_SIZE,
    receive_buffer_size: int | None = RECEIVE_BYTES,  # noqa: ARG001 - reads are as large as needed
    connect_timeout: float = CONN_TIMEOUT,
    disconnect_timeout: float = CONN_TIMEOUT,
) -> AsyncGenerator[WebSocketConnection, None]:
    """Connect to a host, in an ``async with`` block.

    Leaving the block closes with 1000, by cancellation with 1001.  Out of it comes the body's own
    exception, in no group.

    Args:
        host, port: what to connect to.
        resource: the path and the query to ask for, percent-encoded.
        use_ssl: a context for TLS, ``True`` for that of `ssl.create_default_context`, or
            ``False`` for none.
        subprotocols: offered to the server, in order of preference.
        extra_headers: further headers of the request.
        message_queue_size: how many messages may wait for `WebSocketConnection.get_message` while
            pings are answered still; about twice as many may be held.
        max_message_size: the largest message to receive, in bytes; over it the connection fails
            with 1009.
        receive_buffer_size: not used.
        connect_timeout: how long opening may take, in seconds.
        disconnect_timeout: how long closing may take, in seconds.

    Raises:
        ConnectionTimeout: opening took longer.
        ConnectionRejected: the server answered with another response.
        HandshakeError: the connection could not be opened.
        DisconnectionTimeout: closing took longer, and the body raised nothing.
        TypeError, ValueError: the arguments cannot make a request.
    """
    options = _options(
        subprotocols,
        extra_headers,
        message_queue_size,
        max_message_size,
        (connect_timeout, disconnect_timeout),
    )
    opening = _opening_to(host, port, resource, use_ssl, options)

    async def opened(spawn: Spawn) -> WebSocket:
        try:
            with handshake_errors_translated():
                return await opening.open(spawn)
        except OSError as exc:
            raise HandshakeError(f"cannot connect: {exc}") from exc

    async with websocket_block(opened) as websocket:
        connection = WebSocketConnection(websocket, disconnect_timeout)
        try:
            yield connection
        except BaseException as exc:
            with suppress(trio.Cancelled):  # the first exception is still the one to hear of
                await connection._leave(exc)
            raise
        await connection._leave(None)


async def connect_websocket(
    nursery: trio.Nursery,
    host: str,
    port: int,
    resource: str,
    *,
    use_ssl: bool | ssl.SSLContext,
    subprotocols: Iterable[str] | None = None,
    extra_headers: ExtraHeaders = None,
    message_queue_size: int = MESSAGE_QUEUE_SIZE,
    max_message_size: int = MAX_MESSAGE_SIZE,
    receive_buffer_size: int | None = RECEIVE_BYTES,  # noqa: ARG001 - reads are as large as needed
) -> WebSocketConnection:
    """Connect to a host, the background tasks living in a nursery of yours.

    Close it with `WebSocketConnection.aclose`; as long as it is open, so is the nursery.  When the
    nursery is cancelled, it is closed with 1001.  Opening, and closing, may take 60 seconds.  All
    other parameters are those of `open_websocket`.

    Args:
        nursery: for the background tasks.

    Raises:
        OSError: name lookup failed, or nobody could be connected to.
        HandshakeError, TypeError, ValueError: as with `open_websocket`.
    """
    options = _options(subprotocols, extra_headers, message_queue_size, max_message_size)
    return await _connected(nursery, _opening_to(host, port, resource, use_ssl, options))


def open_websocket_url(
    url: str,
    ssl_context: ssl.SSLContext | None = None,
    *,
    subprotocols: Iterable[str] | None = None,
    extra_headers: ExtraHeaders = None,
    message_queue_size: int = MESSAGE_QUEUE_SIZE,
    max_message_size: int = MAX_MESSAGE_SIZE,
    connect_timeout: float = CONN_TIMEOUT,
    disconnect_timeout: float = CONN_TIMEOUT,
    receive_buffer_size: int | None = RECEIVE_BYTES,
) -> AbstractAsyncContextManager[WebSocketConnection]:
    """Connect to a ``ws`` or ``wss`` URL, in an ``async with`` block.

    All other parameters are those of `open_websocket`.

    Args:
        url: user and password in it are not used.
        ssl_context: for ``wss``; by default what `ssl.create_default_context` gives.

    Raises:
        ValueError: it is another kind of URL, or an ``ssl_context`` that does not go with it.
        HandshakeError, TypeError: as with `open_websocket`.
    """
    host, port, resource, use_ssl = _taken_apart(url, ssl_context)
    return open_websocket(
        host,
        port,
        resource,
        use_ssl=use_ssl,
        subprotocols=subprotocols,
        extra_headers=extra_headers,
        message_queue_size=message_queue_size,
        max_message_size=max_message_size,
        receive_buffer_size=receive_buffer_size,
        connect_timeout=connect_timeout,
        disconnect_timeout=disconnect_timeout,
    )


async def connect_websocket_url(
    nursery: trio.Nursery,
    url: str,
    ssl_context: ssl.SSLContext | None = None,
    *,
    subprotocols: Iterable[str] | None = None,
    extra_headers: ExtraHeaders = None,
    message_queue_size: int = MESSAGE_QUEUE_SIZE,
    max_message_size: int = MAX_MESSAGE_SIZE,
    receive_buffer_size: int | None = RECEIVE_BYTES,
) -> WebSocketConnection:
    """Connect to a URL, the background tasks living in a nursery of yours.

    Parameters and exceptions are those of `connect_websocket` and `open_websocket_url`.
    """
    host, port, resource, use_ssl = _taken_apart(url, ssl_context)
    return await connect_websocket(
        nursery,
        host,
        port,
        resource,
        use_ssl=use_ssl,
        subprotocols=subprotocols,
        extra_headers=extra_headers,
        message_queue_size=message_queue_size,
        max_message_size=max_message_size,
        receive_buffer_size=receive_buffer_size,
    )


async def wrap_client_stream(
    nursery: trio.Nursery,
    stream: trio.abc.Stream,
    host: str,
    resource: str,
    *,
    subprotocols: Iterable[str] | None = None,
    extra_headers: ExtraHeaders = None,
    message_queue_size: int = MESSAGE_QUEUE_SIZE,
    max_message_size: int = MAX_MESSAGE_SIZE,
    receive_buffer_size: int | None = RECEIVE_BYTES,  # noqa: ARG001 - reads are as large as needed
) -> WebSocketConnection:
    """Open a connection over a stream that you have connected; own it and close it.

    All other parameters are those of `open_websocket`.

    Args:
        nursery: for the background tasks, as with `connect_websocket`.
        stream: connected, with TLS if there is to be any.
        host: the value of the Host header.

    Raises:
        HandshakeError, TypeError, ValueError: as with `open_websocket`; the stream is closed all
            the same.
    """
    try:
        options = _options(
            subprotocols,
            [(b"Host", host.encode("latin-1")), *(extra_headers or ())],
            message_queue_size,
            max_message_size,
        )
        url = WebSocketURL(secure=False, host="localhost", port=80, target=resource)
        opening = Opening(url, over(stream), options)
    except BaseException:
        await close_forcefully(stream)
        raise
    return await _connected(nursery, opening)


def _options(
    subprotocols: Iterable[str] | None,
    extra_headers: ExtraHeaders,
    message_queue_size: int,
    max_message_size: int,
    seconds: tuple[float, float] = (CONN_TIMEOUT, CONN_TIMEOUT),
) -> OpeningOptions:
    """Return the options that these parameters stand for; ``seconds`` to connect, to disconnect."""
    return OpeningOptions(
        subprotocols=tuple(subprotocols or ()),
        headers=from_pairs(extra_headers),
        limits=limits(message_queue_size, max_message_size),
        timeouts=timeouts(*seconds),
        keepalive=NO_KEEPALIVE,
    )


def _opening_to(
    host: str,
    port: int,
    resource: str,
    use_ssl: bool | ssl.SSLContext,  # noqa: FBT001 - theirs
    options: OpeningOptions,
) -> Opening:
    """Return what opens a connection to a host."""
    if not isinstance(use_ssl, (bool, ssl.SSLContext)):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError("`use_ssl` argument must be bool or ssl.SSLContext")
    url = WebSocketURL(secure=use_ssl is not False, host=host, port=port, target=resource)
    context = None if isinstance(use_ssl, bool) else use_ssl
    network = Network(url, context, proxy=None, proxy_ssl_context=None, limits=options.limits)
    return Opening(url, network.connect, options)


def _taken_apart(
    url: object, ssl_context: ssl.SSLContext | None
) -> tuple[str, int, str, bool | ssl.SSLContext]:
    """Return host, port, resource and ``use_ssl`` of a URL, which may be an object with a str()."""
    parsed = parse_url(str(url))
    if ssl_context is not None and not parsed.secure:
        raise ValueError("SSL context must be None for ws: URL scheme")
    return parsed.host, parsed.port, parsed.target, ssl_context or parsed.secure


@trio.lowlevel.enable_ki_protection
async def _connected(nursery: trio.Nursery, opening: Opening) -> WebSocketConnection:
    with handshake_errors_translated():
        websocket = await opening.open(nursery.start_soon)
    nursery.start_soon(guard, websocket)
    return WebSocketConnection(websocket)
