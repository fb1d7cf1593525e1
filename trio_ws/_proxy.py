"""Proxies: which one is used, and how one that speaks HTTP is asked for a tunnel.

For ``ws`` as for ``wss``: "If the client is configured to use a proxy when using the WebSocket
Protocol to connect to host /host/ and port /port/, then the client SHOULD connect to that proxy and
ask it to open a TCP connection to the host given by /host/ and the port given by /port/." (RFC 6455
section 4.1)

Invariants: the proxy gets its own credentials and none of the server's, and the server none of the
proxy's; a tunnel carries nothing before we have sent something.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Final, TypeAlias
from urllib.request import getproxies_environment, proxy_bypass

import trio

from trio_ws._exceptions import ProxyError
from trio_ws._socks import check_socks_library
from trio_ws._transport import HANDSHAKE_READ_SIZE
from trio_ws._url import ProxyURL, WebSocketURL, parse_proxy_url
from trio_ws.protocol._exchange import BadMessage, ResponseReader
from trio_ws.protocol.http import Headers, Request, Response

if TYPE_CHECKING:
    from trio_ws._options import Limits


class ProxySource(enum.Enum):
    """Where the proxy to use is found."""

    FROM_ENVIRONMENT = "from the environment"
    """In the variables HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY."""


FROM_ENVIRONMENT: Final = ProxySource.FROM_ENVIRONMENT

ProxyLike: TypeAlias = str | ProxySource | None
"""The URL of a proxy, where to find it, or ``None`` for none."""

# Implementations "are encouraged [...] to prefer the proxy configured for HTTPS connections over
# the proxy configured for HTTP connections" (RFC 6455 section 4.1): the one that makes tunnels.
_VARIABLES: Final = {False: ("ws", "https", "http", "all"), True: ("wss", "https", "all")}


def choose_proxy(proxy: ProxyLike, url: WebSocketURL) -> ProxyURL | None:
    """Return the proxy for this URL, ``None`` where there is to be none.

    Raises:
        TypeError, InvalidURL: this is no proxy.
        ImportError: the library is missing that speaks with it.
    """
    text = _from_environment(url) if isinstance(proxy, ProxySource) else proxy
    if text is None:
        return None
    if not isinstance(text, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(f"proxy must be a URL, FROM_ENVIRONMENT or None, not {text!r:.100}")
    chosen = parse_proxy_url(text)
    if chosen.scheme.startswith("socks"):
        check_socks_library()
    return chosen


def _from_environment(url: WebSocketURL) -> str | None:
    proxies = getproxies_environment()
    found = next((proxies[name] for name in _VARIABLES[url.secure] if name in proxies), None)
    # NO_PROXY may name a port too; an IPv6 address is in it with brackets or without.
    if found is None or proxy_bypass(url.host) or proxy_bypass(url.authority):
        return None
    return found if "://" in found else f"http://{found}"


async def ask_for_tunnel(
    stream: trio.abc.Stream, proxy: ProxyURL, url: WebSocketURL, limits: Limits
) -> None:
    """Ask a proxy that speaks HTTP to connect us to the host of a URL (RFC 9110 section 9.3.6).

    Raises:
        ProxyError: it does not.
    """
    reader = ResponseReader(_connect_request(proxy, url), limits)
    response: Response | None = None
    data = b""
    try:
        await stream.send_all(reader.request_bytes)
        while response is None:
            data = bytes(await stream.receive_some(HANDSHAKE_READ_SIZE))
            response = reader.receive(data or None)
    except BadMessage as exc:
        problem = f"the answer of the proxy {proxy} is none: {exc}"
        raise ProxyError(problem, "tunnel") from (exc if data else EOFError("the proxy hung up"))
    except trio.BrokenResourceError as exc:
        raise ProxyError(f"the connection to the proxy {proxy} broke", "tunnel") from exc
    if not 200 <= response.status <= 299:
        problem = f"the proxy {proxy} answered with"
        raise ProxyError(problem, "tunnel", response=response)
    if reader.take_rest():
        # Neither TLS nor HTTP lets a server speak first: these bytes are the proxy's own.
        raise ProxyError(f"the proxy {proxy} sent more than an answer", "tunnel")


def _connect_request(proxy: ProxyURL, url: WebSocketURL) -> Request:
    fields = [("Host", url.authority)]
    if proxy.authorization is not None:
        fields.append(("Proxy-Authorization", proxy.authorization))
    return Request("CONNECT", url.authority, Headers(fields))
