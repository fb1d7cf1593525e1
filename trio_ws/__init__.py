"""Trio-native WebSocket: a connection is a channel, a server is a task, cancellation is exact.

The public names and nothing else.  ``trio_ws.protocol`` (the sans-I/O core),
``trio_ws.pubsub`` and ``trio_ws.testing`` are imported by name.
"""

from trio_ws._authentication import basic_auth, bearer_auth
from trio_ws._backoff import Backoff
from trio_ws._broadcast import BroadcastResult, broadcast
from trio_ws._client import (
    ClientOptions,
    ConnectOptions,
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
    ProxyError,
    TLSFailed,
    WebSocketError,
)
from trio_ws._instrument import Instrument
from trio_ws._message_streams import MessageReceiver, MessageSender
from trio_ws._options import Deflate, Keepalive, Limits, Timeouts
from trio_ws._proxy import FROM_ENVIRONMENT
from trio_ws._reconnect import reconnect_websocket_url
from trio_ws._routing import Router
from trio_ws._serve import (
    ServerOptions,
    serve_websocket,
    serve_websocket_listeners,
    wrap_server_stream,
)
from trio_ws._server import Server
from trio_ws._siblings import run_siblings
from trio_ws._statistics import ServerStatistics, WebSocketStatistics
from trio_ws._transient import is_transient
from trio_ws._transport import TLSStream
from trio_ws.protocol.handshake import Accept
from trio_ws.protocol.http import Headers, Request, Response, TLSInfo
from trio_ws.protocol.origins import ANY_ORIGIN, SAME_ORIGIN

__all__ = [
    "ANY_ORIGIN",
    "FROM_ENVIRONMENT",
    "SAME_ORIGIN",
    "Accept",
    "Backoff",
    "BroadcastResult",
    "ClientOptions",
    "Close",
    "CloseCode",
    "ClosedLocally",
    "ConnectOptions",
    "ConnectionBroken",
    "ConnectionClosed",
    "ConnectionEnded",
    "ConnectionRejected",
    "Deflate",
    "HandshakeError",
    "HandshakeTimeout",
    "Headers",
    "Instrument",
    "InvalidURL",
    "Keepalive",
    "Limits",
    "MessageReceiver",
    "MessageSender",
    "ProxyError",
    "Request",
    "Response",
    "Router",
    "Server",
    "ServerOptions",
    "ServerStatistics",
    "TLSFailed",
    "TLSInfo",
    "TLSStream",
    "Timeouts",
    "WebSocket",
    "WebSocketError",
    "WebSocketStatistics",
    "basic_auth",
    "bearer_auth",
    "broadcast",
    "connect_websocket_url",
    "is_transient",
    "open_websocket_unix",
    "open_websocket_url",
    "reconnect_websocket_url",
    "run_siblings",
    "serve_websocket",
    "serve_websocket_listeners",
    "wrap_client_stream",
    "wrap_server_stream",
]
