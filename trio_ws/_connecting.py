"""How a client comes by its stream: TCP or a proxy, then TLS; or it has one already.

Invariant: a function here returns a stream, or has closed what it opened (or was given).
"""

from __future__ import annotations

import ssl
from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, cast

import trio

from trio_ws._exceptions import ProxyError, TLSFailed
from trio_ws._proxy import FROM_ENVIRONMENT, ProxyLike, ask_for_tunnel, choose_proxy
from trio_ws._socks import open_socks_tunnel
from trio_ws._transport import close_forcefully, start_tls

if TYPE_CHECKING:
    from trio_ws._opening import Connect, Enter
    from trio_ws._options import Limits
    from trio_ws._url import ProxyURL, WebSocketURL


class Network:
    """Connects over TCP, through a proxy if one is wanted, with TLS where the URL says so.

    Raises:
        InvalidURL, ImportError, ValueError: there is no such proxy, no library for it, or a
            context for TLS that is not made.
    """

    def __init__(
        self,
        url: WebSocketURL,
        ssl_context: ssl.SSLContext | None,
        *,
        proxy: ProxyLike,
        proxy_ssl_context: ssl.SSLContext | None,
        limits: Limits,
    ) -> None:
        chosen = choose_proxy(proxy, url)  # raises here, where the mistake was made
        over_tls = chosen is not None and chosen.scheme == "https"
        if proxy_ssl_context is not None and not (over_tls or proxy is FROM_ENVIRONMENT):
            raise ValueError("a proxy_ssl_context goes with the URL of an https proxy")
        self._proxy = proxy
        self._ssl_context = ssl_context
        self._proxy_ssl_context = proxy_ssl_context
        self._limits = limits
        if url.secure:
            self._context()  # reading the authorities takes a while: not on the network's time

    def _context(self) -> ssl.SSLContext:
        if self._ssl_context is None:
            self._ssl_context = ssl.create_default_context()
        return self._ssl_context

    def _proxy_context(self) -> ssl.SSLContext:
        if self._proxy_ssl_context is None:
            self._proxy_ssl_context = ssl.create_default_context()
        return self._proxy_ssl_context

    async def connect(self, url: WebSocketURL, enter: Enter) -> trio.abc.Stream:
        """Connect to the host of a URL.

        Raises:
            OSError: name lookup failed, or nobody could be connected to.
            ProxyError: the proxy could not be reached, or did not connect us.
            TLSFailed: TLS could not be established with the server.
        """
        stream: trio.abc.Stream
        proxy = choose_proxy(self._proxy, url)
        if proxy is None:
            stream = await trio.open_tcp_stream(url.host, url.port)
        else:
            enter("proxy")
            stream = await self._through(proxy, url)
        if not url.secure:
            return stream
        enter("tls")
        return await self._start_tls(stream, self._context(), url.host)

    async def _through(self, proxy: ProxyURL, url: WebSocketURL) -> trio.abc.Stream:
        if proxy.scheme.startswith("socks"):
            return await open_socks_tunnel(proxy, url)
        stream: trio.abc.Stream
        try:
            stream = await trio.open_tcp_stream(proxy.host, proxy.port)
            if proxy.scheme == "https":
                stream = await self._start_tls(stream, self._proxy_context(), proxy.host)
        except OSError as exc:
            raise ProxyError(f"the proxy {proxy} cannot be reached: {exc}", "connect") from exc
        except TLSFailed as exc:
            raise ProxyError(f"no TLS with the proxy {proxy}: {exc}", "tls") from exc.__cause__
        try:
            await ask_for_tunnel(stream, proxy, url, self._limits)
        except BaseException:
            await close_forcefully(stream)
            raise
        return stream

    async def _start_tls(
        self, stream: trio.abc.Stream, context: ssl.SSLContext, host: str
    ) -> trio.abc.Stream:
        try:
            with _tls_failures_of(host):
                return await start_tls(
                    stream,
                    context,
                    server_side=False,
                    # "without a trailing dot" (RFC 6066 section 3); nor is one in certificates.
                    server_hostname=host.removesuffix("."),
                )
        except BaseException:
            await close_forcefully(stream)
            raise


def over(stream: trio.abc.Stream) -> Connect:
    """Return what "connects" by means of a stream that is there; its TLS handshake is finished."""

    async def connect(url: WebSocketURL, enter: Enter) -> trio.abc.Stream:
        if isinstance(stream, trio.SSLStream):
            enter("tls")
            tls = cast("trio.SSLStream[trio.abc.Stream]", stream)
            try:
                with _tls_failures_of(url.host):
                    await tls.do_handshake()
            except BaseException:
                await close_forcefully(tls)
                raise
            return tls
        return stream

    return connect


@contextmanager
def _tls_failures_of(host: str) -> Generator[None]:
    """Raise what goes wrong with TLS in this block as `TLSFailed`."""
    try:
        yield
    except (trio.BrokenResourceError, trio.ClosedResourceError) as exc:
        raise TLSFailed(_in_words(exc.__cause__, host)) from exc.__cause__


def _in_words(error: BaseException | None, host: str) -> str:
    """Say what is wrong with somebody's TLS."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the certificate of {host} was not accepted: {error.verify_message}"
    if isinstance(error, (ssl.SSLEOFError, ssl.SSLZeroReturnError)) or error is None:
        return f"{host} ended the connection during the TLS handshake"
    if isinstance(error, ssl.SSLError):
        return f"TLS with {host} failed: {error.reason or error}"
    return f"TLS with {host} failed: {error}"
