"""The states of a WebSocket connection, and which may follow which.

Here live the two enumerations that everything in the protocol layer shares, and the transition
table as data.  Nothing here acts: the opening handshake (``handshake.py``) makes the transitions
that start in CONNECTING, the open connection (``connection.py``) makes all others.

The invariant: a connection only ever moves along ``TRANSITIONS``, so it moves forward, never
twice through one state, and CLOSED is final.
"""

import enum
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

__all__ = ["TRANSITIONS", "Role", "State"]


class Role(enum.Enum):
    """Which end of the connection we are: it decides who masks (RFC 6455 section 5.1)."""

    CLIENT = "client"
    """Opened the connection; masks what it sends."""
    SERVER = "server"
    """Accepted it; masks nothing."""


class State(enum.Enum):
    """Where a connection is in its life, in the words of RFC 6455."""

    CONNECTING = "connecting"
    """The opening handshake is not finished (section 4.1)."""

    OPEN = "open"
    """ "The WebSocket Connection is Established" (section 4.1): messages flow."""

    CLOSING = "closing"
    """ "The WebSocket Closing Handshake is Started" (section 7.1.3)."""

    CLOSED = "closed"
    """Nothing is sent or parsed any more (section 7.1.4)."""


TRANSITIONS: Final[Mapping[State, frozenset[State]]] = MappingProxyType(
    {
        # Section 4.1: the handshake succeeds, or _Fail the WebSocket Connection_.
        State.CONNECTING: frozenset({State.OPEN, State.CLOSED}),
        # Section 7.1.3: "Upon either sending or receiving a Close control frame" -> CLOSING.
        # Straight to CLOSED goes what is failed (section 7.1.7), what was cut off, and whoever
        # receives a Close and answers it at once: then both Close frames are there.
        State.OPEN: frozenset({State.CLOSING, State.CLOSED}),
        # Section 7.1.4: the other Close frame, a failure, or the end of the stream.
        State.CLOSING: frozenset({State.CLOSED}),
        State.CLOSED: frozenset(),
    }
)
"""From each state, the states that may follow it."""
