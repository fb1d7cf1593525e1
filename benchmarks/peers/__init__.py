"""Who takes part.

One module a library, each imported only in the processes that run it; `base` says what a peer
is.  The invariant: every peer does the same work, written as that library's documentation would
have it, with compression off but where a row is about it; keepalive is off where time is measured,
for the load generator answers no pings.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version

from benchmarks.peers.base import Peer, RoundTrips, Service

__all__ = ["PEERS", "Peer", "PeerInfo", "RoundTrips", "Service", "load_peer"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerInfo:
    """What there is to know of a peer without importing it."""

    name: str
    title: str
    module: str
    factory: str = "Server"
    distributions: tuple[str, ...]
    """What has to be installed for it, besides this package."""
    pure: bool = False
    """Whether trio_ws is to run without its compiled lane."""
    echoes_frames: bool = False
    """Whether it is a yardstick: it passes bytes on and knows no frames."""
    not_in: frozenset[str] = frozenset()
    """The rows that it does not take part in."""

    def versions(self) -> dict[str, str] | None:
        """Return the versions of what it needs, ``None`` when something is not installed."""
        try:
            return {name: version(name) for name in self.distributions}
        except PackageNotFoundError:
            return None


PEERS = (
    PeerInfo(
        name="trio_ws",
        title="trio_ws",
        module="trio_ws",
        distributions=("trio", "wsproto", "h11"),
    ),
    PeerInfo(
        name="trio_ws-pure",
        title="trio_ws, pure",
        module="trio_ws",
        factory="PureServer",
        distributions=("trio", "wsproto", "h11"),
        pure=True,
        # No lane is at work there.
        not_in=frozenset({"connections", "memory-receiving", "memory-elsewhere"}),
    ),
    PeerInfo(
        name="picows",
        title="picows",
        module="picows",
        distributions=("picows",),
        not_in=frozenset({"deflate"}),  # it has none
    ),
    PeerInfo(name="aiohttp", title="aiohttp", module="aiohttp", distributions=("aiohttp",)),
    PeerInfo(
        name="websockets-asyncio",
        title="websockets, asyncio",
        module="websockets_asyncio",
        distributions=("websockets",),
    ),
    PeerInfo(
        name="websockets-uvloop",
        title="websockets, uvloop",
        module="websockets_asyncio",
        factory="ServerOnUvloop",
        distributions=("websockets", "uvloop"),
    ),
    PeerInfo(
        name="websockets-trio",
        title="websockets, Trio",
        module="websockets_trio",
        distributions=("websockets", "trio"),
    ),
    PeerInfo(
        name="trio-websocket",
        title="trio-websocket",
        module="trio_websocket",
        distributions=("trio-websocket", "trio", "wsproto"),
        not_in=frozenset({"deflate"}),  # it has none
    ),
    PeerInfo(
        name="raw-trio",
        title="raw Trio stream",
        module="raw_trio",
        distributions=("trio",),
        echoes_frames=True,
        # It knows no frames, so it cannot count messages, shake hands, nor compress.
        not_in=frozenset({"receive", "connections", "deflate"}),
    ),
)
"""In the order of the report; the first is what the others are compared with."""


def find_peer(name: str) -> PeerInfo:
    """Return the peer of this name.

    Raises:
        KeyError: there is none.
    """
    return {info.name: info for info in PEERS}[name]


def load_peer(name: str) -> Peer:
    """Import a peer, in the process that is to run it, and return it."""
    info = find_peer(name)
    if info.pure:
        os.environ["TRIO_WS_PURE"] = "1"  # read when trio_ws is imported, which is below
    module = import_module(f"benchmarks.peers.{info.module}")
    peer: Peer = getattr(module, info.factory)()
    return peer
