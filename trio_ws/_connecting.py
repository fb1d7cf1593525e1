"""How a client comes by its stream: TCP or a proxy, then TLS; or it has one already.

Invariant: a function here returns a stream, or has closed what it opened (or was given).
"""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, cast

import trio

from trio_ws._arguments import check_ssl_context
from trio_ws._exceptions import ProxyError, TLSFailed
from trio_ws._proxy import FROM_ENVIRONMENT, ProxyLike, ask_for_tunnel, choose_proxy
from trio_ws._socks import open_socks_tunnel
from trio_ws._transport import close_forcefully, start_tls

if TYPE_CHECKING:
    from trio_ws._opening import Connect, Enter
    from trio_ws._options import Limits
    from trio_ws._url import ProxyURL, WebSocketURL


_UNKNOWN_AUTHORITY: Final = (
    "; if you trust it, give an ssl_context that does:"
    " ssl.create_default_context(cafile=...) with its authority"
)
# By the codes of OpenSSL's X509_V_ERR_*: self-signed, self-signed in the chain, issuer not found,
# first certificate not verified; names and addresses.
_CERTIFICATE_HINTS: Final = {
    **dict.fromkeys((18, 19, 20, 21), _UNKNOWN_AUTHORITY),
    **dict.fromkeys((62, 64), " Connect by a name that it is for"),
}

_NO_TLS: Final = "; what answers there may be no TLS: then write ws:// not wss://"

# By a part of the reason, which has other words around it from one OpenSSL to the next.
_TLS_HINTS: Final = {
    "WRONG_VERSION": _NO_TLS,
    "RECORD_LAYER_FAILURE": _NO_TLS,  # the same from OpenSSL 3.2 on
    "ALERT_HANDSHAKE_FAILURE": "; has the server a certificate, by ssl_context.load_cert_chain()?",
}


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
        check_ssl_context("proxy_ssl_context", proxy_ssl_context, server_side=False)
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
            stream = await _open_tcp_stream(url.host, url.port)
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
            stream = await _open_tcp_stream(proxy.host, proxy.port)
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


async def _open_tcp_stream(host: str, port: int) -> trio.SocketStream:
    """Connect as Trio does, but say why where nobody could be connected to.

    Raises:
        OSError: of the errno that all attempts had in common, if they had.
    """
    try:
        return await trio.open_tcp_stream(host, port)
    except socket.gaierror as exc:
        raise socket.gaierror(exc.errno, f"{exc.strerror}: {host!r}") from None
    except OSError as exc:
        cause = exc.__cause__
        errnos: set[int] = set()
        if isinstance(cause, ExceptionGroup):
            failures = cast("ExceptionGroup[OSError]", cause).exceptions
            errnos = {each.errno for each in failures if isinstance(each, OSError) and each.errno}
        if not errnos:
            raise
        problem = f"{exc}: {', '.join(map(os.strerror, sorted(errnos)))}"
        raise (OSError(errnos.pop(), problem) if len(errnos) == 1 else OSError(problem)) from cause


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
        problem = f"the certificate of {host} was not accepted: {error.verify_message}"
        return problem + _CERTIFICATE_HINTS.get(error.verify_code, "")
    if isinstance(error, (ssl.SSLEOFError, ssl.SSLZeroReturnError)) or error is None:
        return f"{host} ended the connection during the TLS handshake"
    if isinstance(error, ssl.SSLError):
        hints = (hint for reason, hint in _TLS_HINTS.items() if reason in (error.reason or ""))
        return f"TLS with {host} failed: {error.reason or error}{next(hints, '')}"
    return f"TLS with {host} failed: {error}"
