"""The client: connect, begin TLS, shake hands, all within ``timeouts.open``."""

from __future__ import annotations

import logging
import ssl
from collections.abc import Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypedDict, Unpack, cast

import trio

from trio_ws._block import websocket_block
from trio_ws._caretaker import Caretaker
from trio_ws._connection import WebSocket
from trio_ws._exceptions import HandshakeError, HandshakeTimeout, TLSFailed
from trio_ws._options import Keepalive, Limits, Timeouts
from trio_ws._reading import ConnectionOptions
from trio_ws._transport import (
    HANDSHAKE_READ_SIZE,
    close_forcefully,
    make_transport,
    socket_addresses,
    start_tls,
    tls_info,
)
from trio_ws._url import WebSocketURL, parse_url
from trio_ws.protocol.connection import Protocol
from trio_ws.protocol.handshake import ClientHandshake
from trio_ws.protocol.state import Role, State

if TYPE_CHECKING:
    import os
    from collections.abc import AsyncGenerator

    from trio_ws._transport import Spawn
    from trio_ws.protocol.http import HeadersLike

logger = logging.getLogger("trio_ws.client")

Connect = Callable[[], Awaitable[trio.abc.Stream]]


class ClientOptions(TypedDict, total=False):
    """The keyword arguments that all functions take which open a client connection."""

    subprotocols: Sequence[str]
    """Offered to the server, in order of preference.  Default: none."""
    headers: HeadersLike
    """Further header fields of the request.  Default: none."""
    origin: str | None
    """The value of the Origin header.  Default: there is none."""
    limits: Limits
    """See `Limits`."""
    timeouts: Timeouts
    """See `Timeouts`."""
    keepalive: Keepalive
    """See `Keepalive`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Options:
    """`ClientOptions` with their defaults."""

    subprotocols: Sequence[str] = ()
    headers: HeadersLike = ()
    origin: str | None = None
    limits: Limits = Limits()
    timeouts: Timeouts = Timeouts()
    keepalive: Keepalive = Keepalive()

    def handshake(self, url: WebSocketURL) -> ClientHandshake:
        """Return the opening handshake that asks for this."""
        return ClientHandshake(
            url,
            subprotocols=self.subprotocols,
            headers=self.headers,
            origin=self.origin,
            limits=self.limits,
        )


@asynccontextmanager
async def open_websocket_url(
    url: str, ssl_context: ssl.SSLContext | None = None, **options: Unpack[ClientOptions]
) -> AsyncGenerator[WebSocket, None]:
    """Connect to a ``ws`` or ``wss`` URL, in an ``async with`` block.

    Leaving the block closes with 1000, by an exception with 1011, by cancellation with 1001.
    Cancelled while it connects, it leaves nothing behind.

    Args:
        url: user and password in it become Basic authorization.
        ssl_context: for ``wss``; by default what `ssl.create_default_context` gives.
        options: see `ClientOptions`.

    Raises:
        InvalidURL, ValueError: the arguments cannot make a request.
        OSError: name lookup failed, or nobody could be connected to.
        TLSFailed: TLS could not be established, for example for an untrusted certificate.
        ConnectionRejected: the server answered with another response, which is in it.
        HandshakeError: the server answered with something else.
        HandshakeTimeout: it took longer than ``timeouts.open``; it says in which phase.
    """
    async with websocket_block(_to_url(url, ssl_context, options).open) as websocket:
        yield websocket


@trio.lowlevel.enable_ki_protection
async def connect_websocket_url(
    nursery: trio.Nursery,
    url: str,
    ssl_context: ssl.SSLContext | None = None,
    **options: Unpack[ClientOptions],
) -> WebSocket:
    """Connect to a URL, the background tasks living in a nursery of yours.

    For when a block is inconvenient.  Close it with `WebSocket.aclose`; as long as it is open,
    so is the nursery.  When the nursery is cancelled, it is closed with 1001.  Arguments and
    exceptions are those of `open_websocket_url`.
    """
    websocket = await _to_url(url, ssl_context, options).open(nursery.start_soon)
    nursery.start_soon(_guard, websocket)
    return websocket


@trio.lowlevel.enable_ki_protection
async def _guard(websocket: WebSocket) -> None:
    """Stay with a connection until it is closed; close it when the nursery is cancelled."""
    try:
        await websocket._wait_stream_closed()
    except BaseException as exc:
        await websocket._leave(exc)
        raise


@asynccontextmanager
async def open_websocket_unix(
    path: str | os.PathLike[str],
    url: str = "ws://localhost/",
    **options: Unpack[ClientOptions],
) -> AsyncGenerator[WebSocket, None]:
    """Connect to a server that listens on a Unix socket.

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

    async def connect() -> trio.abc.Stream:
        return await trio.open_unix_socket(path)

    opening = _Opening(parsed, connect, None, _Options(**options))
    async with websocket_block(opening.open) as websocket:
        yield websocket


@asynccontextmanager
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
    async with websocket_block(client_opening(stream, url, options)) as websocket:
        yield websocket


def client_opening(
    stream: trio.abc.Stream, url: str, options: ClientOptions
) -> Callable[[Spawn], Awaitable[WebSocket]]:
    """Return what opens a client connection over a stream, and closes it when that fails."""

    async def connect() -> trio.abc.Stream:
        return stream

    async def opened(spawn: Spawn) -> WebSocket:
        try:
            opening = _Opening(parse_url(url), connect, None, _Options(**options))
        except BaseException:
            await close_forcefully(stream)
            raise
        return await opening.open(spawn)

    return opened


def _to_url(url: str, ssl_context: ssl.SSLContext | None, options: ClientOptions) -> _Opening:
    parsed = parse_url(url)
    if parsed.secure:
        ssl_context = ssl_context or ssl.create_default_context()
    elif ssl_context is not None:
        raise ValueError(f"an ssl_context goes with a wss URL, not with {parsed}")

    async def connect() -> trio.abc.Stream:
        return await trio.open_tcp_stream(parsed.host, parsed.port)

    return _Opening(parsed, connect, ssl_context, _Options(**options))


class _Opening:
    """One connection on its way to being open; arguments are checked before it begins."""

    def __init__(
        self,
        url: WebSocketURL,
        connect: Connect,
        ssl_context: ssl.SSLContext | None,
        options: _Options,
    ) -> None:
        self._url = url
        self._connect = connect
        self._ssl_context = ssl_context
        self._handshake = options.handshake(url)
        self._options = ConnectionOptions(
            options.limits, options.timeouts, options.keepalive, logger
        )
        self._phase: Literal["connect", "tls", "handshake"] = "connect"

    @trio.lowlevel.enable_ki_protection
    async def open(self, spawn: Spawn) -> WebSocket:
        """Connect and shake hands; what runs in the background is started with ``spawn``."""
        timeout = self._options.timeouts.open
        with trio.move_on_after(timeout):
            stream = await self._connect()
            try:
                secured = await self._start_tls(stream, spawn)
                self._phase = "handshake"
                await self._shake_hands(secured)
                return self._websocket(secured, spawn)
            except BaseException:
                await close_forcefully(stream)
                raise
        raise HandshakeTimeout(self._phase, timeout)

    async def _start_tls(self, stream: trio.abc.Stream, spawn: Spawn) -> trio.abc.Stream:
        if self._ssl_context is None and not isinstance(stream, trio.SSLStream):
            return stream
        self._phase = "tls"
        try:
            if isinstance(stream, trio.SSLStream):
                tls = cast("trio.SSLStream[trio.abc.Stream]", stream)
                await tls.do_handshake()  # somebody's own, handed to wrap_client_stream
                return tls
            assert self._ssl_context is not None
            return await start_tls(
                stream,
                self._ssl_context,
                spawn,
                server_side=False,
                # "without a trailing dot" (RFC 6066 section 3); nor is one in certificates.
                server_hostname=self._url.host.removesuffix("."),
                limits=self._options.limits,
                timeouts=self._options.timeouts,
            )
        except (trio.BrokenResourceError, trio.ClosedResourceError) as exc:
            raise TLSFailed(_in_words(exc.__cause__, self._url)) from exc.__cause__

    async def _shake_hands(self, stream: trio.abc.Stream) -> None:
        handshake = self._handshake
        try:
            await stream.send_all(handshake.data_to_send())
            while handshake.state is State.CONNECTING:
                data = await stream.receive_some(HANDSHAKE_READ_SIZE)
                handshake.receive_data(bytes(data) or None)
        except (trio.BrokenResourceError, trio.ClosedResourceError) as exc:
            problem = f"the connection broke before the server answered: {exc.__cause__ or exc}"
            raise HandshakeError(problem) from exc
        error, handshake.error = handshake.error, None
        if error is not None:
            try:
                raise error
            finally:
                del error  # its traceback refers to this frame: no cycle

    def _websocket(self, stream: trio.abc.Stream, spawn: Spawn) -> WebSocket:
        handshake, options = self._handshake, self._options
        assert handshake.response is not None
        local, peer = socket_addresses(stream)
        websocket = WebSocket(
            Protocol(Role.CLIENT, options.limits),
            make_transport(stream, spawn, limits=options.limits, timeouts=options.timeouts),
            request=handshake.request.with_connection(local, peer, tls_info(stream)),
            response=handshake.response,
            subprotocol=handshake.subprotocol,
            context=None,
            options=options,
            caretaker=Caretaker(spawn),
            spawn=spawn,
        )
        websocket._begin(handshake.trailing_data)
        return websocket


def _in_words(error: BaseException | None, url: WebSocketURL) -> str:
    """Say what is wrong with the server's TLS."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the certificate of {url.host} was not accepted: {error.verify_message}"
    if isinstance(error, (ssl.SSLEOFError, ssl.SSLZeroReturnError)) or error is None:
        return f"{url.host} ended the connection during the TLS handshake"
    if isinstance(error, ssl.SSLError):
        return f"TLS with {url.host} failed: {error.reason or error}"
    return f"TLS with {url.host} failed: {error}"
