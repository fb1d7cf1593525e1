"""The targets by name.

A target takes any bytes, and fails when the library did not do its part.  Neither atheris nor
Hypothesis is known to it: inputs come from either, from a corpus, or from a file that was kept.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from tests.fuzz import connections, handshakes, values

TARGETS: Final[Mapping[str, Callable[[bytes], None]]] = MappingProxyType(
    {
        "server-handshake": handshakes.server_handshake,
        "client-handshake": handshakes.client_handshake,
        "frames": connections.frames,
        "deflate": connections.deflate,
        "url": values.url,
        "headers": values.headers,
    }
)
