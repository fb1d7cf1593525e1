"""What wsproto leaves to whoever uses it, and what becomes of it here: W1 to W28.

Most of it is shown where its subject is tested; `SHOWN` says where, and the rest is shown here.
"""

import zlib

import pytest

from tests.helpers import ProtocolPair, both_roles, peer_frame, sent_frames
from tests.shown import missing
from trio_ws import Deflate
from trio_ws._close import Close
from trio_ws._url import WebSocketURL
from trio_ws.protocol.connection import Ping, Protocol
from trio_ws.protocol.handshake import ClientHandshake, ServerHandshake
from trio_ws.protocol.state import Role, State
from trio_ws.testing import Opcode, parse_frames, upgrade_request

SHOWN: list[tuple[str, str, str, str]] = [
    # the gap, what it is, the test that shows it closed
    (
        "W1",
        "a ping amid a compressed message",
        "test_hardening_deflate.py",
        "test_f11_control_frame_amid_a_compressed_message",
    ),
    ("W2", "inflating has no limit", "test_hardening_deflate.py", "test_f1_bomb"),
    (
        "W3",
        "bad values of extension parameters raise",
        "test_hardening_deflate.py",
        "test_h9_offer",
    ),
    (
        "W4",
        "unknown and duplicate parameters are taken",
        "test_hardening_deflate.py",
        "test_h9_offer",
    ),
    (
        "W5",
        "windows that were not agreed on",
        "test_wsproto_gaps.py",
        "test_w5_client_may_use_the_window_that_nobody_asked_it_to_limit",
    ),
    ("W6", "answers that answer no offer are taken", "test_hardening_deflate.py", "test_h9_answer"),
    (
        "W7",
        "an offer that some servers refuse",
        "test_wsproto_gaps.py",
        "test_w7_offer_is_that_of_browsers",
    ),
    ("W8", "a window of 8 bits raises", "test_hardening_deflate.py", "test_h9_answer"),
    (
        "W9",
        "no say in level, memory and threshold",
        "test_options.py",
        "test_options_have_the_documented_defaults",
    ),
    (
        "W10",
        "bytes beyond ASCII raise",
        "test_handshake_hostile.py",
        "test_h6_bytes_beyond_ascii_in_what_is_interpreted",
    ),
    ("W11", "lists and duplicates of headers", "test_handshake_hostile.py", "test_h7_request"),
    (
        "W12",
        "keys, versions and bodies are not judged",
        "test_handshake_hostile.py",
        "test_h7_request",
    ),
    (
        "W13",
        "what comes with the request is lost",
        "test_hardening_handshake.py",
        "test_h5_frames_behind_the_request",
    ),
    (
        "W14",
        "interim responses count as a rejection",
        "test_handshake.py",
        "test_client_skips_interim_responses",
    ),
    ("W15", "heads have no limit", "test_handshake_hostile.py", "test_h3_endless_head"),
    ("W16", "error bodies have no limit", "test_handshake_hostile.py", "test_h13_endless_answer"),
    (
        "W17",
        "messages and fragments have no limit",
        "test_hardening_frames.py",
        "test_flood_that_is_cut_off",
    ),
    (
        "W18",
        "a violation leaves the state open",
        "test_protocol_hostile.py",
        "test_violation_is_answered_with_its_code",
    ),
    (
        "W19",
        "the state changes when events are taken",
        "test_wsproto_gaps.py",
        "test_w19_state_does_not_wait_for_the_events_to_be_looked_at",
    ),
    (
        "W20",
        "a pong after our Close raises",
        "test_protocol.py",
        "test_ping_after_our_close_is_not_answered",
    ),
    (
        "W21",
        "bytes after both Closes raise",
        "test_wsproto_gaps.py",
        "test_w21_bytes_after_both_closes_are_nothing",
    ),
    (
        "W22",
        "any close code is sent",
        "test_protocol_hostile.py",
        "test_close_sends_codes_in_use_only",
    ),
    (
        "W23",
        "1014 is refused",
        "test_protocol_hostile.py",
        "test_received_close_code_is_echoed_or_refused",
    ),
    (
        "W24",
        "long pings raise late",
        "test_protocol.py",
        "test_ping_and_pong_refuse_too_much_and_text",
    ),
    (
        "W25",
        "nothing is answered",
        "test_protocol.py",
        "test_close_is_answered_and_closes_both_ends",
    ),
    (
        "W26",
        "subprotocols and hosts are not judged",
        "test_handshake.py",
        "test_client_refuses_what_makes_no_request",
    ),
    ("W27", "quoted strings are cut at commas", "test_hardening_deflate.py", "test_h9_offer"),
    ("W28", "small frames are slow", "test_lane.py", "test_lane_is_the_compiled_one_by_default"),
]


def test_every_gap_is_shown_closed() -> None:
    """From the first to the last, each by a test that exists."""
    assert [row[0] for row in SHOWN] == [f"W{number}" for number in range(1, 29)]
    assert missing([row[2:] for row in SHOWN]) == []


def test_w5_client_may_use_the_window_that_nobody_asked_it_to_limit() -> None:
    """The client did not let us limit its window: what refers far back is inflated."""
    offer = upgrade_request(headers=[("Sec-WebSocket-Extensions", "permessage-deflate")])
    handshake = ServerHandshake(compression=Deflate(peer_window_bits=9))
    handshake.receive_data(offer)
    handshake.accept()
    protocol = Protocol(Role.SERVER, compression=handshake.compression)
    compressor = zlib.compressobj(9, zlib.DEFLATED, -15)
    message = bytes(range(256)) * 4
    filler = zlib.compress(b"", 0) + b"".join(b"%d," % number for number in range(5000))
    for sent in (message, filler, message):
        payload = compressor.compress(sent) + compressor.flush(zlib.Z_SYNC_FLUSH)
        frame = peer_frame(Role.SERVER, Opcode.BINARY, payload[:-4], rsv=4)
        assert protocol.receive_data(frame) == [sent]


def test_w7_offer_is_that_of_browsers() -> None:
    """With no wish but to compress, nothing is said about the server's window."""
    url = WebSocketURL(secure=False, host="localhost", port=80, target="/", authorization=None)
    handshake = ClientHandshake(url, compression=Deflate())
    expected = "permessage-deflate; client_max_window_bits"
    assert handshake.request.headers["Sec-WebSocket-Extensions"] == expected


@both_roles
def test_w19_state_does_not_wait_for_the_events_to_be_looked_at(role: Role) -> None:
    """All that bytes mean has happened when they were received."""
    protocol = Protocol(role)
    protocol.receive_data(peer_frame(role, Opcode.CLOSE, b"\x03\xe8"))
    assert protocol.state is State.CLOSED
    assert protocol.close_received == Close(1000)
    assert protocol.data_to_send()


@both_roles
def test_w21_bytes_after_both_closes_are_nothing(role: Role) -> None:
    """Nothing is raised, nothing is answered, nothing is kept."""
    pair = ProtocolPair(role)
    pair.send(pair.ours.close(1000))
    assert pair.ours.state is State.CLOSED
    for data in (peer_frame(role, Opcode.TEXT, b"late"), b"\xff" * 100, None):
        assert pair.ours.receive_data(data) == []
        assert pair.ours.data_to_send() == b""


@both_roles
def test_ping_before_a_close_in_one_read_is_answered(role: Role) -> None:
    """Whoever takes all events of a read first can, with wsproto, no longer answer."""
    protocol = Protocol(role)
    data = peer_frame(role, Opcode.PING, b"1") + peer_frame(role, Opcode.CLOSE, b"\x03\xe8")
    assert protocol.receive_data(data) == [Ping(b"1"), Close(1000)]
    frames = sent_frames(role, protocol.data_to_send())
    assert [frame.opcode for frame in frames] == [Opcode.PONG, Opcode.CLOSE]


@both_roles
def test_close_code_alone_and_reason_alone(role: Role) -> None:
    """A reason that is too long or no text is refused before anything is sent, not cut."""
    protocol = Protocol(role)
    for code, reason in ((1000, "x" * 124), (1000, "\ud800"), (70000, ""), (1005, "")):
        with pytest.raises(ValueError, match=r"reason|code"):
            protocol.close(code, reason)
    assert (protocol.state, protocol.data_to_send()) == (State.OPEN, b"")
    frames, rest = parse_frames(protocol.close(1000, "fine"), masked=role is Role.CLIENT)
    assert (frames[0].close_reason, rest) == ("fine", b"")
