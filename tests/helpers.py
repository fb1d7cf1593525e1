"""Both ends of a connection without I/O, and the bytes that a peer of ours might send.

`ProtocolPair` follows h11's ``ConnectionPair``: whatever one end makes goes through the other.  All
that our ends put on the wire is held against the strict reading of RFC 6455 in `trio_ws.testing`,
which shares no code with the library.
"""

from typing import Literal

import pytest

from trio_ws._close import Close
from trio_ws._options import Limits
from trio_ws.protocol.connection import Event, Protocol
from trio_ws.protocol.state import Role
from trio_ws.testing import Frame, build_frame, parse_frames

both_roles = pytest.mark.parametrize("role", list(Role), ids=lambda role: role.value)

# Any key would do; this one leaves no byte of a payload as it is.
MASK_KEY = b"\x12\x34\x56\x78"


def other(role: Role) -> Role:
    """Return the role of the peer."""
    return Role.SERVER if role is Role.CLIENT else Role.CLIENT


def peer_frame(
    role: Role,
    opcode: int,
    payload: bytes = b"",
    *,
    fin: bool = True,
    rsv: int = 0,
    size: int | None = None,
    size_bytes: Literal[0, 2, 8] | None = None,
    wrongly_masked: bool = False,
) -> bytes:
    """Return a frame as the peer of this role would send it, or as it must not."""
    masked = (role is Role.SERVER) is not wrongly_masked
    return build_frame(
        opcode,
        payload,
        fin=fin,
        rsv=rsv,
        size=size,
        size_bytes=size_bytes,
        mask_key=MASK_KEY if masked else None,
    )


def sent_frames(role: Role, data: bytes, *, rsv: int = 0) -> list[Frame]:
    """Return the frames in what this role has sent: whole ones, and allowed ones.

    Args:
        role, data: who has sent what.
        rsv: the reserved bits that extensions may set, see `parse_frames`.

    Raises:
        Violation: they are not.
    """
    frames, rest = parse_frames(data, masked=role is Role.CLIENT, rsv=rsv)
    assert rest == b""
    return frames


class ProtocolPair:
    """Our end of a connection and the peer's, with a wire between them.

    Attributes:
        ours: the end under test.
        peer: the other one.
        our_events: all that was received by ours, in order.
        peer_events: the same of the peer.
    """

    def __init__(self, role: Role, limits: Limits | None = None) -> None:
        self.ours = Protocol(role, limits or Limits())
        self.peer = Protocol(other(role))
        self.our_events: list[Event] = []
        self.peer_events: list[Event] = []

    def send(self, data: bytes) -> list[Event]:
        """Carry bytes of ours to the peer; return what it made of them."""
        sent_frames(self.ours.role, data)
        events = self.peer.receive_data(data)
        self.peer_events += events
        self._settle()
        return events

    def receive(self, data: bytes) -> list[Event]:
        """Carry bytes, allowed or not, to our end; return what it made of them."""
        events = self.ours.receive_data(data)
        self.our_events += events
        self._settle()
        return events

    def _settle(self) -> None:
        """Carry to and fro what the two owe each other, until neither owes anything."""
        while owed := self.ours.data_to_send():
            sent_frames(self.ours.role, owed)
            self.peer_events += self.peer.receive_data(owed)
            answer = self.peer.data_to_send()
            sent_frames(self.peer.role, answer)
            self.our_events += self.ours.receive_data(answer)
        owed_by_peer = self.peer.data_to_send()
        if owed_by_peer:
            self.receive(owed_by_peer)

    @property
    def closes_received_by_peer(self) -> list[Close]:
        """The Close frames of ours that got to the peer."""
        return [event for event in self.peer_events if isinstance(event, Close)]
