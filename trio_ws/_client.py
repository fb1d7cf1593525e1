"""The client: what the functions that open connections take, and the functions."""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, TypedDict, Unpack

import trio

from trio_ws._arguments import check_in_trio, check_nursery, check_ssl_context, check_stream
from trio_ws._async_block import async_block
from trio_ws._block import websocket_block
from trio_ws._connecting import Network, over
from trio_ws._connection import WebSocket
from trio_ws._instrument import Instrument
from trio_ws._opening import Opening, OpeningOptions
from trio_ws._options import Compression, Keepalive, Limits, Timeouts
from trio_ws._proxy import ProxyLike
from trio_ws._transport import close_forcefully
from trio_ws._url import parse_url

if TYPE_CHECKING:
    import os
    from collections.abc import AsyncGenerator

    from trio_ws._transport import Spawn
    from trio_ws.protocol.http import HeadersLike


class ClientOptions(TypedDict, total=False):
    """The keyword arguments that all functions take which open a client connection."""

    subprotocols: Sequence[str]
    """Offered to the server, in order of preference.  Default: none."""
    headers: HeadersLike
    """Further header fields of the request.  Default: none."""
    origin: str | None
    """The value of the Origin header.  Default: there is none."""
    compression: Compression
    """A `Deflate`, or ``"deflate"`` for one as it comes: offer to compress messages.  Default:
    ``None``, nothing is compressed."""
    limits: Limits
    """See `Limits`."""
    timeouts: Timeouts
    """See `Timeouts`."""
    keepalive: Keepalive
    """See `Keepalive`."""
    instruments: Sequence[Instrument]
    """Who is told of what happens, see `Instrument`.  Default: nobody."""


class ConnectOptions(ClientOptions, total=False):
    """Those of `ClientOptions`, and more: what functions take that connect to where a URL says."""

    proxy: ProxyLike
    """The URL of a proxy (``http``, ``https``, ``socks5h``, ``socks5``, ``socks4a``, ``socks4``)
    with user and password for it, if need be; or `FROM_ENVIRONMENT`.  Default: none is used."""
    proxy_ssl_context: ssl.SSLContext | None
    """For an ``https`` proxy.  Default: what `ssl.create_default_context` gives."""
    max_redirects: int
    """How many redirects in a row to follow: to the same origin, and from ``ws`` to ``wss`` on the
    same host, then without credentials.  Default: 0; a redirect raises `ConnectionRejected`."""


@async_block("websocket")
async def open_websocket_url(
    url: str, ssl_context: ssl.SSLContext | None = None, **options: Unpack[ConnectOptions]
) -> AsyncGenerator[WebSocket, None]:
    """Connect to a ``ws`` or ``wss`` URL, in an ``async with`` block.

    Leaving the block closes with 1000, by an exception with 1011, by cancellation with 1001.
    Cancelled while it connects, it leaves nothing behind.

    Args:
        url: user and password in it become Basic authorization.
        ssl_context: for ``wss``; by default what `ssl.create_default_context` gives.
        options: see `ConnectOptions`.

    Raises:
        InvalidURL, ValueError: the arguments cannot make a request.
        OSError: name lookup failed, or nobody could be connected to.
        ProxyError: the proxy could not be reached, or did not connect us.
        ImportError: a SOCKS proxy, and the extra ``proxy`` is not installed.
        TLSFailed: TLS could not be established, for example for an untrusted certificate.
        ConnectionRejected: the server answered with another response, which is in it.
        HandshakeError: the server answered with something else.
        HandshakeTimeout: it took longer than ``timeouts.open``; it says in which phase.
    """
    async with websocket_block(opening_to_url(url, ssl_context, **options).open) as websocket:
        yield websocket


@trio.lowlevel.enable_ki_protection
async def connect_websocket_url(
    nursery: trio.Nursery,
    url: str,
    ssl_context: ssl.SSLContext | None = None,
    **options: Unpack[ConnectOptions],
) -> WebSocket:
    """Connect to a URL, the background tasks living in a nursery of yours.

    For when a block is inconvenient.  Close it with `WebSocket.aclose`; as long as it is open,
    so is the nursery.  When the nursery is cancelled, it is closed with 1001.  Arguments and
    exceptions are those of `open_websocket_url`.
    """
    check_in_trio()
    check_nursery("the first argument", nursery, "connect_websocket_url(nursery, url)")
    websocket = await opening_to_url(url, ssl_context, **options).open(nursery.start_soon)
    nursery.start_soon(guard, websocket)
    return websocket


@trio.lowlevel.enable_ki_protection
async def guard(websocket: WebSocket) -> None:
    """Stay with a connection until it is closed; close it when the nursery is cancelled."""
    try:
        await websocket._wait_stream_closed()
    except BaseException as exc:
        await websocket._leave(exc)
        raise


@async_block("websocket")
async def open_websocket_unix(
    path: str | os.PathLike[str],
    url: str = "ws://localhost/",
    **options: Unpack[ClientOptions],
) -> AsyncGenerator[WebSocket, None]:
    """Connect to a server that listens on a Unix socket, in an ``async with`` block.

    Leaving the block, and cancellation, are as with `open_websocket_url`.

    Args:
        path: the socket's path.
        url: what the request says: its path and Host come from here; ``ws`` only.
        options: see `ClientOptions`.

    Raises:
        OSError: nobody could be connected to.
        InvalidURL, ValueError, HandshakeError: as with `open_websocket_url`.
    """
    parsed = parse_url(url)
    if parsed.secure:
        raise ValueError(f"a Unix socket is served without TLS: the URL must be ws, not {parsed}")

    async def connect(*_: object) -> trio.abc.Stream:
        return await trio.open_unix_socket(path)

    opening = Opening(parsed, connect, OpeningOptions(**options))
    async with websocket_block(opening.open) as websocket:
        yield websocket


@async_block("websocket")
async def wrap_client_stream(
    stream: trio.abc.Stream, url: str, **options: Unpack[ClientOptions]
) -> AsyncGenerator[WebSocket, None]:
    """Open a WebSocket over a stream you have connected; own it and close it.

    The stream must lose no data when its ``receive_some`` is cancelled; trio's do not.

    Args:
        stream: connected, with TLS if there is to be any.
        url: what the request says: its path and Host come from here.
        options: see `ClientOptions`.

    Raises:
        InvalidURL, ValueError, HandshakeError: as with `open_websocket_url`; the stream is
            closed all the same.
    """
    check_stream(stream)
    async with websocket_block(client_opening(stream, url, options)) as websocket:
        yield websocket


def client_opening(
    stream: trio.abc.Stream, url: str, options: ClientOptions
) -> Callable[[Spawn], Awaitable[WebSocket]]:
    """Return what opens a client connection over a stream, and closes it when that fails."""

    async def opened(spawn: Spawn) -> WebSocket:
        try:
            opening = Opening(parse_url(url), over(stream), OpeningOptions(**options))
        except BaseException:
            await close_forcefully(stream)
            raise
        return await opening.open(spawn)

    return opened


def opening_to_url(
    url: str,
    ssl_context: ssl.SSLContext | None,
    *,
    proxy: ProxyLike = None,
    proxy_ssl_context: ssl.SSLContext | None = None,
    max_redirects: int = 0,
    **options: Unpack[ClientOptions],
) -> Opening:
    """Return what opens connections to a URL."""
    parsed = parse_url(url)
    check_ssl_context("ssl_context", ssl_context, server_side=False)
    if ssl_context is not None and not (parsed.secure or max_redirects):
        raise ValueError(
            f"an ssl_context goes with a wss URL, not with {parsed}: write wss://, or leave it out"
        )
    opening_options = OpeningOptions(**options)
    network = Network(
        parsed,
        ssl_context,
        proxy=proxy,
        proxy_ssl_context=proxy_ssl_context,
        limits=opening_options.limits,
    )
    return Opening(
        parsed,
        network.connect,
        opening_options,
        max_redirects=max_redirects,
        proxied=proxy is not None,
    )
