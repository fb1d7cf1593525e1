"""Tools for testing what is built on trio_ws, and trio_ws itself: no network, no clock, no luck.

- `bounded_stream_pair` and `MemoryListener`: connections in memory that block and tear
  as those over sockets do;
- `tls_contexts`: real TLS with certificates of a moment;
- `ScriptedPeer`, `build_frame`, `parse_frames`, `join_messages`: the other end, byte by byte, with
  a strict reading of RFC 6455 that shares no code with the library.

Nothing else in trio_ws imports this package.
"""

from trio_ws.testing._frames import (
    CutShort,
    Frame,
    Opcode,
    Violation,
    build_frame,
    close_payload,
    join_messages,
    parse_frames,
)
from trio_ws.testing._listener import MemoryListener
from trio_ws.testing._pair import MemoryServer, memory_websocket_pair, serve_in_memory
from trio_ws.testing._scripted import ScriptedPeer
from trio_ws.testing._streams import BoundedStream, bounded_stream_pair
from trio_ws.testing._tls import TLSContexts, tls_contexts
from trio_ws.testing._upgrade import Head, upgrade_request, upgrade_response

__all__ = [
    "BoundedStream",
    "CutShort",
    "Frame",
    "Head",
    "MemoryListener",
    "MemoryServer",
    "Opcode",
    "ScriptedPeer",
    "TLSContexts",
    "Violation",
    "bounded_stream_pair",
    "build_frame",
    "close_payload",
    "join_messages",
    "memory_websocket_pair",
    "parse_frames",
    "serve_in_memory",
    "tls_contexts",
    "upgrade_request",
    "upgrade_response",
]
