"""Tools for testing what is built on trio_ws, and trio_ws itself: no network, no clock, no luck.

- `memory_websocket_pair`, `serve_in_memory`, `serve_on_loopback`: both ends of a connection, and
  servers whose failing handlers fail the test;
- `bounded_stream_pair` and `MemoryListener`: streams in memory that block and tear as sockets do;
- `Faults` and `FaultyStream`: networks that split, delay, stall, reset and vanish;
- `tls_contexts`: real TLS with certificates of a moment;
- `check_websocket_channel`: whether a channel keeps what a WebSocket promises;
- `ScriptedPeer`, `build_frame`, `parse_frames`, `join_messages`: the other end, byte by byte, with
  a strict reading of RFC 6455 that shares no code with the library.

Fixtures for pytest are in `trio_ws.testing.pytest_plugin`, which has to be asked for.
"""

from trio_ws.testing._check import check_websocket_channel
from trio_ws.testing._faults import Faults, FaultyStream
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
from trio_ws.testing._pair import memory_websocket_pair
from trio_ws.testing._scripted import ScriptedPeer
from trio_ws.testing._servers import (
    LoopbackServer,
    MemoryServer,
    serve_in_memory,
    serve_on_loopback,
)
from trio_ws.testing._streams import BoundedStream, bounded_stream_pair
from trio_ws.testing._tls import TLSContexts, tls_contexts
from trio_ws.testing._upgrade import Head, upgrade_request, upgrade_response

__all__ = [
    "BoundedStream",
    "CutShort",
    "Faults",
    "FaultyStream",
    "Frame",
    "Head",
    "LoopbackServer",
    "MemoryListener",
    "MemoryServer",
    "Opcode",
    "ScriptedPeer",
    "TLSContexts",
    "Violation",
    "bounded_stream_pair",
    "build_frame",
    "check_websocket_channel",
    "close_payload",
    "join_messages",
    "memory_websocket_pair",
    "parse_frames",
    "serve_in_memory",
    "serve_on_loopback",
    "tls_contexts",
    "upgrade_request",
    "upgrade_response",
]
