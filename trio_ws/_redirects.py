"""Redirects: where a response sends a client, and with what of its request.

"The server might redirect the client using a 3xx status code (but clients are not required to
follow them)" (RFC 6455 section 4.1).  One that is asked to follows to its own origin, and from
``ws`` to ``wss`` on its own host: never from ``wss`` to ``ws``, and to no other host, so that no
server can make us ask another one in our name.

Invariant: what proves who we are goes to the origin it was meant for, and to no other.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import urljoin

from trio_ws._url import WebSocketURL, parse_url
from trio_ws.protocol.http import Headers

if TYPE_CHECKING:
    from trio_ws.protocol.http import Response

# For a request that is a GET in any case, all of them mean the same.
_REDIRECTS = frozenset({301, 302, 303, 307, 308})

# "Location = URI-reference" (RFC 9110 section 10.2.2): ASCII without spaces.  What else there may
# be in a header, urljoin() would drop without a word.
_REFERENCE = re.compile(r"[!-~]*")

# RFC 3986 section 3.1.  urljoin() would take "http:" for a relative reference.
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_SCHEMES = {"http": "ws", "https": "wss"}

# What another origin must not see; Host goes with the origin as well.
_ORIGINS_OWN = frozenset({"authorization", "cookie", "host", "proxy-authorization"})


def redirected(
    url: WebSocketURL, headers: Headers, response: Response
) -> tuple[WebSocketURL, Headers] | None:
    """Return what to ask next, and with which headers of the user's.

    ``None`` when the response is no redirect, or none to be followed.
    """
    locations = response.headers.get_all("Location")
    if response.status not in _REDIRECTS or len(locations) != 1:
        return None
    target = _resolved(url, locations[0])
    # "SHOULD parse for userinfo and treat its presence as an error; it is likely being used to
    # obscure the authority" (RFC 9110 section 4.2.4).
    if target is None or target.authorization is not None or target.host != url.host:
        return None
    if (target.secure, target.port) == (url.secure, url.port):
        return replace(target, authorization=url.authorization), headers
    if url.secure or not target.secure:
        return None
    return target, Headers([each for each in headers.pairs if each[0].lower() not in _ORIGINS_OWN])


def _resolved(url: WebSocketURL, location: str) -> WebSocketURL | None:
    """Return where a Location leads from here; ``None`` where that is not plainly a WebSocket."""
    if not _REFERENCE.fullmatch(location):
        return None
    # A fragment means nothing to a WebSocket (RFC 6455 section 3).
    reference = location.partition("#")[0]
    try:
        if not _SCHEME.match(reference):
            reference = urljoin(str(url), reference)
        scheme, separator, rest = reference.partition("://")
        scheme = scheme.lower()
        return parse_url(_SCHEMES.get(scheme, scheme) + separator + rest)
    except ValueError:  # of urljoin(), or InvalidURL
        return None
