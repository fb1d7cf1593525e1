"""Bytes in and out of a trio stream: writes that never block and never tear.

Three transports behind one interface: straight on the socket for `trio.SocketStream`, TLS as
`start_tls` makes it, and any other trio stream.  The connection knows the interface only.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, cast

import trio

from trio_ws._transport.base import (
    Spawn as Spawn,
    Transport as Transport,
    without_frames as without_frames,
)
from trio_ws._transport.socket import SocketTransport, is_plain_socket
from trio_ws._transport.stream import StreamTransport
from trio_ws._transport.tls import TLSTransport, start_tls as start_tls
from trio_ws._transport.tls_stream import TLSStream as TLSStream
from trio_ws.protocol.http import TLSInfo

if TYPE_CHECKING:
    AnySSLStream = trio.SSLStream[trio.abc.Stream]

    from trio_ws._options import Limits, Timeouts

# Small reads before the connection is open, in bytes: a head that is too large is refused early.
HANDSHAKE_READ_SIZE = 4096


def make_transport(
    stream: trio.abc.Stream, spawn: Spawn, *, limits: Limits, timeouts: Timeouts
) -> Transport:
    """Return the transport that serves this stream best; it owns the stream."""
    if is_plain_socket(stream):
        return SocketTransport(stream, spawn, limits, timeouts)
    if isinstance(stream, TLSStream):
        return TLSTransport(stream, spawn, limits, timeouts)
    return StreamTransport(stream, spawn, limits, timeouts)


def socket_below(stream: trio.abc.Stream) -> trio.SocketStream | None:
    """Return the socket at the bottom of a stream, if there is one."""
    while isinstance(stream, (TLSStream, trio.SSLStream)):
        stream = cast("TLSStream | AnySSLStream", stream).transport_stream
    return stream if isinstance(stream, trio.SocketStream) else None


def socket_addresses(stream: trio.abc.Stream) -> tuple[object, object]:
    """Return the local and the peer's address of the socket below, as the socket gives them."""
    socket = socket_below(stream)
    if socket is None:
        return None, None
    try:
        return socket.socket.getsockname(), socket.socket.getpeername()
    except OSError:  # the peer is gone already
        return None, None


def tls_info(stream: trio.abc.Stream) -> TLSInfo | None:
    """Return the facts of the TLS connection, if it is one whose handshake was made."""
    if not isinstance(stream, (TLSStream, trio.SSLStream)):
        return None
    stream = cast("TLSStream | AnySSLStream", stream)
    cipher = stream.cipher()
    return TLSInfo(
        version=stream.version(),
        cipher=cipher[0] if cipher is not None else None,
        alpn=stream.selected_alpn_protocol(),
        peer_certificate=stream.getpeercert() or None,
    )


async def close_forcefully(stream: trio.abc.Stream) -> None:
    """Close a stream at once, also when the caller is cancelled; it is gone in any case."""
    with trio.CancelScope(shield=True), suppress(Exception):
        await trio.aclose_forcefully(stream)
