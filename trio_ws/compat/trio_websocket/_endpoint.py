"""`Endpoint`: one end of a TCP connection."""

from __future__ import annotations

import ipaddress
from typing import cast

import trio


class Endpoint:
    """One end of a TCP connection, or where a server listens."""

    address: ipaddress.IPv4Address | ipaddress.IPv6Address
    """The IP address."""

    port: int
    """The port."""

    is_ssl: bool
    """Whether TLS is spoken there."""

    def __init__(self, address: str | int, port: int, is_ssl: bool) -> None:  # noqa: FBT001 - theirs
        self.address = ipaddress.ip_address(address)
        self.port = port
        self.is_ssl = is_ssl

    @property
    def url(self) -> str:
        """The URL of this endpoint, without a path."""
        scheme, default_port = ("wss", 443) if self.is_ssl else ("ws", 80)
        host = f"[{self.address}]" if self.address.version == 6 else str(self.address)
        return (
            f"{scheme}://{host}" if self.port == default_port else f"{scheme}://{host}:{self.port}"
        )

    def __repr__(self) -> str:
        return f'Endpoint(address="{self.address}", port={self.port}, is_ssl={self.is_ssl})'


def endpoint_of(address: object, stands_for: object, *, secure: bool) -> Endpoint | str:
    """Return the endpoint of a socket's address, or the repr of what it belongs to.

    Args:
        address: as the socket gives it; only that of an internet socket makes an `Endpoint`.
        stands_for: the stream or listener.
        secure: whether TLS is spoken there.
    """
    if isinstance(address, tuple):
        host, port, *_ = cast("tuple[object, ...]", address)
        return Endpoint(cast("str", host), cast("int", port), secure)
    return repr(stands_for)


def listening_at(listener: trio.abc.Listener[trio.abc.Stream], *, secure: bool) -> Endpoint | str:
    """Return where a listener listens, or its repr where that is no TCP port.

    Args:
        listener: of sockets, with TLS or without, or any other.
        secure: whether the server speaks TLS over what it accepts.
    """
    below: object = listener
    while isinstance(below, trio.SSLListener):
        below = cast("trio.SSLListener[trio.abc.Stream]", below).transport_listener
        secure = True
    address: object = below.socket.getsockname() if isinstance(below, trio.SocketListener) else None
    return endpoint_of(address, listener, secure=secure)
