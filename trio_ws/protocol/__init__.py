"""The sans-I/O core: bytes in, events and bytes out; usable with any I/O, or with none.

`ServerHandshake` or `ClientHandshake` open a connection, `Protocol` is the open one.  Nothing
below here imports an I/O library or awaits.  HTTP's values are neutral to its version, frames and
the closing handshake know no HTTP.
"""

from trio_ws._url import WebSocketURL, parse_url
from trio_ws.protocol.connection import Event, Piece, Ping, Pong, Protocol
from trio_ws.protocol.handshake import Accept, ClientHandshake, ServerHandshake
from trio_ws.protocol.http import Headers, Request, Response, TLSInfo
from trio_ws.protocol.lane import LANE
from trio_ws.protocol.prepared import PreparedMessage
from trio_ws.protocol.state import Role, State

__all__ = [
    "LANE",
    "Accept",
    "ClientHandshake",
    "Event",
    "Headers",
    "Piece",
    "Ping",
    "Pong",
    "PreparedMessage",
    "Protocol",
    "Request",
    "Response",
    "Role",
    "ServerHandshake",
    "State",
    "TLSInfo",
    "WebSocketURL",
    "parse_url",
]
