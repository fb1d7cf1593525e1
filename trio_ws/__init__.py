"""Trio-native WebSocket: a connection is a channel, a server is a task, cancellation is exact.

The public names and nothing else.  ``trio_ws.protocol`` (the sans-I/O core) and
``trio_ws.testing`` are imported by name.
"""

from trio_ws._client import (
    ClientOptions,
    connect_websocket_url,
    open_websocket_unix,
    open_websocket_url,
    wrap_client_stream,
)
from trio_ws._close import Close, CloseCode
from trio_ws._connection import WebSocket
from trio_ws._exceptions import (
    ClosedLocally,
    ConnectionBroken,
    ConnectionClosed,
    ConnectionEnded,
    ConnectionRejected,
    HandshakeError,
    HandshakeTimeout,
    InvalidURL,
    TLSFailed,
    WebSocketError,
)
from trio_ws._message_streams import MessageReceiver, MessageSender
from trio_ws._options import Keepalive, Limits, Timeouts
from trio_ws._serve import (
    ServerOptions,
    serve_websocket,
    serve_websocket_listeners,
    wrap_server_stream,
)
from trio_ws._server import Server
from trio_ws._siblings import run_siblings
from trio_ws._statistics import WebSocketStatistics
from trio_ws.protocol.handshake import Accept
from trio_ws.protocol.http import Headers, Request, Response, TLSInfo
from trio_ws.protocol.origins import ANY_ORIGIN, SAME_ORIGIN

__all__ = [
    "ANY_ORIGIN",
    "SAME_ORIGIN",
    "Accept",
    "ClientOptions",
    "Close",
    "CloseCode",
    "ClosedLocally",
    "ConnectionBroken",
    "ConnectionClosed",
    "ConnectionEnded",
    "ConnectionRejected",
    "HandshakeError",
    "HandshakeTimeout",
    "Headers",
    "InvalidURL",
    "Keepalive",
    "Limits",
    "MessageReceiver",
    "MessageSender",
    "Request",
    "Response",
    "Server",
    "ServerOptions",
    "TLSFailed",
    "TLSInfo",
    "Timeouts",
    "WebSocket",
    "WebSocketError",
    "WebSocketStatistics",
    "connect_websocket_url",
    "open_websocket_unix",
    "open_websocket_url",
    "run_siblings",
    "serve_websocket",
    "serve_websocket_listeners",
    "wrap_client_stream",
    "wrap_server_stream",
]
