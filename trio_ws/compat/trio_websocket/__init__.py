"""trio-websocket's public names over trio_ws: change ``trio_websocket`` in your imports to this.

::

    from trio_ws.compat.trio_websocket import ConnectionClosed, serve_websocket

Parameters and behaviour are those of version 0.12; what differs, and why, is in the migration
guide, and so is the way on to the interface of trio_ws itself.  `WebSocketConnection.websocket` is
the `trio_ws.WebSocket` behind a connection.
"""

from trio_ws.compat.trio_websocket._client import (
    connect_websocket,
    connect_websocket_url,
    open_websocket,
    open_websocket_url,
    wrap_client_stream,
)
from trio_ws.compat.trio_websocket._connection import WebSocketConnection
from trio_ws.compat.trio_websocket._endpoint import Endpoint
from trio_ws.compat.trio_websocket._errors import (
    CloseReason,
    ConnectionClosed,
    ConnectionRejected,
    ConnectionTimeout,
    DisconnectionTimeout,
    HandshakeError,
)
from trio_ws.compat.trio_websocket._request import WebSocketRequest
from trio_ws.compat.trio_websocket._server import (
    WebSocketServer,
    serve_websocket,
    wrap_server_stream,
)

__all__ = [
    "CloseReason",
    "ConnectionClosed",
    "ConnectionRejected",
    "ConnectionTimeout",
    "DisconnectionTimeout",
    "Endpoint",
    "HandshakeError",
    "WebSocketConnection",
    "WebSocketRequest",
    "WebSocketServer",
    "connect_websocket",
    "connect_websocket_url",
    "open_websocket",
    "open_websocket_url",
    "serve_websocket",
    "wrap_client_stream",
    "wrap_server_stream",
]

__version__ = "0.12.2"
"""The version of trio-websocket whose interface this is."""
