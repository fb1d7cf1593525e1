"""One client connection on its way to being open: connect, shake hands, follow redirects.

How the stream comes about is somebody else's business (``_connecting``), so is what a redirect
means (``_redirects``).  Invariant: all of it together takes ``timeouts.open`` at most, and what is
not returned is closed.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import trio

from trio_ws._caretaker import Caretaker
from trio_ws._connection import WebSocket
from trio_ws._exceptions import ConnectionRejected, HandshakeError, HandshakeTimeout, Phase
from trio_ws._instrument import Instrument, Instruments
from trio_ws._instrumented import websocket_class
from trio_ws._options import (
    Compression,
    Keepalive,
    Limits,
    Timeouts,
    check_options,
    check_redirects,
    checked_compression,
)
from trio_ws._other_names import named_options
from trio_ws._reading import ConnectionOptions
from trio_ws._redirects import redirected
from trio_ws._transport import (
    HANDSHAKE_READ_SIZE,
    Spawn,
    close_forcefully,
    make_transport,
    socket_addresses,
    tls_info,
)
from trio_ws._url import WebSocketURL
from trio_ws.protocol.connection import Protocol
from trio_ws.protocol.handshake import ClientHandshake
from trio_ws.protocol.http import Headers, Request, TLSInfo
from trio_ws.protocol.state import Role, State

if TYPE_CHECKING:
    from trio_ws.protocol.http import HeadersLike

logger = logging.getLogger("trio_ws.client")

# An alert, and what is of a handshake: what TLS says to what is none (RFC 8446 section 5.1).
_TLS_RECORDS = (b"\x15", b"\x16")

Enter = Callable[[Phase], None]

Connect = Callable[[WebSocketURL, Enter], Awaitable[trio.abc.Stream]]
"""Connects to the host of a URL, with TLS if there is to be any, and says which phase it enters."""


@named_options(besides=("max_redirects", "proxy", "proxy_ssl_context", "ssl_context"))
@dataclass(frozen=True, slots=True, kw_only=True)
class OpeningOptions:
    """`ClientOptions` with their defaults."""

    subprotocols: Sequence[str] = ()
    headers: HeadersLike = ()
    origin: str | None = None
    compression: Compression = None
    limits: Limits = Limits()
    timeouts: Timeouts = Timeouts()
    keepalive: Keepalive = Keepalive()
    instruments: Sequence[Instrument] = ()

    def __post_init__(self) -> None:
        check_options(self.limits, self.timeouts, self.keepalive)

    def handshake(self, url: WebSocketURL, headers: Headers) -> ClientHandshake:
        """Return an opening handshake that asks for this."""
        return ClientHandshake(
            url,
            subprotocols=self.subprotocols,
            headers=headers,
            origin=self.origin,
            compression=checked_compression(self.compression),
            limits=self.limits,
        )

    def connection(self) -> ConnectionOptions:
        """Return what the open connections go by."""
        instruments = Instruments(self.instruments)
        return ConnectionOptions(self.limits, self.timeouts, self.keepalive, logger, instruments)


class Opening:
    """A way to open a connection, any number of times; its arguments were checked."""

    def __init__(
        self,
        url: WebSocketURL,
        connect: Connect,
        options: OpeningOptions,
        *,
        max_redirects: int = 0,
        proxied: bool = False,
    ) -> None:
        self.url = url
        self._connect = connect
        self._options = options
        self._headers = Headers(options.headers)
        check_redirects(max_redirects)
        self._max_redirects = max_redirects
        self._proxied = proxied
        self._phase: Phase = "connect"
        self._connection = options.connection()  # one for all: an instrument that fails is out
        self._request: Request | None = None  # the one under way
        options.handshake(url, self._headers)  # raises for what cannot make a request

    @trio.lowlevel.enable_ki_protection
    async def open(self, spawn: Spawn) -> WebSocket:
        """Connect and shake hands; what runs in the background is started with ``spawn``."""
        try:
            return await self._open_in_time(spawn)
        except Exception as exc:
            self._tell_rejected(exc)
            raise
        finally:
            self._request = None  # the connection has its own

    def _tell_rejected(self, error: Exception) -> None:
        self._connection.instruments.tell(lambda each: each.rejected(self._request, error))

    async def _open_in_time(self, spawn: Spawn) -> WebSocket:
        timeout = self._options.timeouts.open
        with trio.move_on_after(timeout):
            return await self._follow(spawn)
        raise HandshakeTimeout(self._phase, timeout)

    async def _follow(self, spawn: Spawn) -> WebSocket:
        """Open a connection where the URL says, or where the server there sends us."""
        url, headers, hops = self.url, self._headers, 0
        while True:
            try:
                return await self._open(url, headers, spawn)
            except ConnectionRejected as exc:
                redirect = redirected(url, headers, exc.response)
                if redirect is None or hops >= self._max_redirects:
                    raise
            (url, headers), hops = redirect, hops + 1

    async def _open(self, url: WebSocketURL, headers: Headers, spawn: Spawn) -> WebSocket:
        self._enter("connect")
        handshake = self._options.handshake(url, headers)
        self._request = handshake.request
        stream = await self._connect(url, self._enter)
        try:
            self._enter("handshake")
            await _shake_hands(stream, handshake, secure=url.secure)
            # TLS to a proxy alone is none to the server.
            tls = tls_info(stream) if url.secure or not self._proxied else None
            return self._websocket(stream, handshake, tls, spawn)
        except BaseException:
            await close_forcefully(stream)
            raise

    def _enter(self, phase: Phase) -> None:
        self._phase = phase

    def _websocket(
        self,
        stream: trio.abc.Stream,
        handshake: ClientHandshake,
        tls: TLSInfo | None,
        spawn: Spawn,
    ) -> WebSocket:
        options = self._options
        assert handshake.response is not None
        connection = self._connection
        local, peer = socket_addresses(stream)
        websocket = websocket_class(connection.instruments)(
            Protocol(Role.CLIENT, options.limits, handshake.compression),
            make_transport(stream, spawn, limits=options.limits, timeouts=options.timeouts),
            request=handshake.request.with_connection(local, peer, tls),
            response=handshake.response,
            subprotocol=handshake.subprotocol,
            context=None,
            options=connection,
            caretaker=Caretaker(spawn),
            spawn=spawn,
        )
        websocket._begin(handshake.trailing_data)
        return websocket


async def _shake_hands(
    stream: trio.abc.Stream, handshake: ClientHandshake, *, secure: bool
) -> None:
    data = b""
    try:
        await stream.send_all(handshake.data_to_send())
        while handshake.state is State.CONNECTING:
            data = bytes(await stream.receive_some(HANDSHAKE_READ_SIZE))
            handshake.receive_data(data or None)
    except (trio.BrokenResourceError, trio.ClosedResourceError) as exc:
        problem = f"the connection broke before the server answered: {exc.__cause__ or exc}"
        raise HandshakeError(problem) from exc
    error, handshake.error = handshake.error, None
    if error is not None:
        answered = data or isinstance(error, ConnectionRejected)
        if not secure and (not answered or data[:1] in _TLS_RECORDS):
            error = HandshakeError(f"{error}; if the server speaks TLS, write wss:// not ws://")
        try:
            raise error from (None if answered else EOFError("the server hung up"))
        finally:
            del error  # its traceback refers to this frame: no cycle
