"""SOCKS proxies, by the python-socks library, which is there with the extra ``proxy``.

With ``socks5h`` and ``socks4a`` the proxy looks the server's name up, with ``socks5`` and
``socks4`` we do: that is what the letters say since curl has had them.
"""

from __future__ import annotations

import importlib.util
import math
from typing import TYPE_CHECKING

import trio

from trio_ws._exceptions import ProxyError

if TYPE_CHECKING:
    from trio_ws._url import ProxyURL, WebSocketURL


def check_socks_library() -> None:
    """See that there is a library for SOCKS.

    Raises:
        ImportError: there is not.
    """
    if importlib.util.find_spec("python_socks") is None:
        raise ImportError("a SOCKS proxy needs python-socks: pip install 'trio_ws[proxy]'")


async def open_socks_tunnel(proxy: ProxyURL, url: WebSocketURL) -> trio.SocketStream:
    """Connect to a proxy and have it connect us to the host of a URL.

    Raises:
        OSError: we had to look up the server's name, and failed.
        ProxyError: the proxy could not be reached, or did not connect us.
    """
    import python_socks  # noqa: PLC0415 - an extra
    from python_socks.async_.trio.v2 import Proxy  # noqa: PLC0415

    socks4 = proxy.scheme.startswith("socks4")
    socks = Proxy(
        python_socks.ProxyType.SOCKS4 if socks4 else python_socks.ProxyType.SOCKS5,
        proxy.host,
        proxy.port,
        proxy.user,
        proxy.password,
        rdns=proxy.scheme in {"socks4a", "socks5h"},
    )
    try:
        tunnel = await socks.connect(url.host, url.port, timeout=math.inf)
    except python_socks.ProxyConnectionError as exc:
        problem = f"the proxy {proxy} cannot be reached: {exc.__cause__}"
        raise ProxyError(problem, "connect") from exc.__cause__
    except trio.BrokenResourceError as exc:
        raise ProxyError(f"the connection to the proxy {proxy} broke", "tunnel") from exc
    except python_socks.ProxyError as exc:
        # What it makes of a reply has a code, if only an empty one; a hang-up has none.
        answered = hasattr(exc.__cause__, "error_code")
        problem = f"the proxy {proxy} did not connect us: {exc}"
        error = ProxyError(problem, "tunnel", reply=exc.error_code)
        raise error from (exc if answered else EOFError("the proxy hung up"))
    except ValueError as exc:  # it does not see to everything that a reply can be
        raise ProxyError(f"the reply of the proxy {proxy} is malformed", "tunnel") from exc
    stream = tunnel.trio_stream  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    assert isinstance(stream, trio.SocketStream)  # no TLS was asked for
    return stream
