"""The sans-I/O connection: messages, control frames, the closing handshake, limits, streaming.

What a hostile peer does is in test_protocol_hostile.py, what holds for all inputs in
test_protocol_properties.py.
"""

from __future__ import annotations

import gc
import weakref
from array import array
from collections.abc import Callable

import pytest

from tests.helpers import ProtocolPair, both_roles, other, peer_frame, sent_frames
from trio_ws._close import Close
from trio_ws._exceptions import ClosedLocally, ConnectionBroken
from trio_ws._options import Deflate, Limits
from trio_ws.protocol.connection import Event, Piece, Ping, Pong, Protocol
from trio_ws.protocol.state import TRANSITIONS, Role, State
from trio_ws.testing import Opcode, close_payload

TEXT, BINARY, CONTINUATION = Opcode.TEXT, Opcode.BINARY, Opcode.CONTINUATION
CLOSE, PING, PONG = Opcode.CLOSE, Opcode.PING, Opcode.PONG

SMALL = Limits(max_message_size=10, max_fragments=3)


def text_frame(role: Role, text: str, *, fin: bool = True) -> bytes:
    """Return a text frame of the peer's."""
    return peer_frame(role, TEXT, text.encode(), fin=fin)


def continuation(role: Role, payload: bytes, *, fin: bool) -> bytes:
    """Return a continuation frame of the peer's."""
    return peer_frame(role, CONTINUATION, payload, fin=fin)


# Whole messages


@both_roles
@pytest.mark.parametrize(
    "message",
    [
        "",
        "hello",
        "\N{GREEK SMALL LETTER KAPPA}\N{OK HAND SIGN}\0\r\n",
        "x" * 125,
        "x" * 126,
        "x" * 65535,
        "x" * 65536,
        b"",
        b"\xff\x00",
        b"x" * 126,
        bytes(65536),
    ],
    ids=lambda message: f"{type(message).__name__}-{len(message)}",
)
def test_message_arrives_as_it_was_sent(role: Role, message: str | bytes) -> None:
    """Text and binary messages of all lengths of the length field pass in both directions."""
    pair = ProtocolPair(role)
    assert pair.send(pair.ours.send(message)) == [message]
    assert pair.receive(pair.peer.send(message)) == [message]
    assert type(pair.our_events[0]) is type(message)
    assert pair.ours.state is pair.peer.state is State.OPEN


@both_roles
@pytest.mark.parametrize(
    "message",
    [bytearray(b"abc"), memoryview(b"abc"), array("B", b"abc"), memoryview(b"xabcx")[1:4]],
    ids=["bytearray", "memoryview", "array", "slice"],
)
def test_send_takes_whatever_is_bytes_like(
    role: Role, message: bytearray | memoryview | array[int]
) -> None:
    """Contiguous single bytes of any kind are a binary message, and are text if wanted."""
    pair = ProtocolPair(role)
    assert pair.send(pair.ours.send(message)) == [b"abc"]
    assert pair.send(pair.ours.send(message, text=False)) == [b"abc"]
    assert pair.send(pair.ours.send(message, text=True)) == ["abc"]


@pytest.mark.parametrize("size", [0, 125, 126, 65535, 65536, 100_000])
@pytest.mark.parametrize("text", [True, False], ids=["text", "binary"])
def test_send_header_is_what_a_payload_lacks(size: int, text: bool) -> None:
    """With the payload behind it, it is the frame that `send_payload` makes."""
    protocol = Protocol(Role.SERVER)
    header = protocol.send_header(size, text=text)
    assert header is not None
    assert header + b"x" * size == protocol.send_payload(b"x" * size, text=text)


@pytest.mark.parametrize(
    ("role", "compression", "alone"),
    [
        (Role.SERVER, None, True),
        (Role.SERVER, Deflate(threshold=1001), True),
        (Role.SERVER, Deflate(threshold=1000), False),
        (Role.CLIENT, None, False),
    ],
)
def test_send_header_is_for_payloads_that_go_out_as_they_are(
    role: Role, compression: Deflate | None, alone: bool
) -> None:
    """A client masks them, and with compression they become others."""
    protocol = Protocol(role, compression=compression)
    assert (protocol.send_header(1000, text=True) is not None) is alone


def test_send_header_asks_whether_a_message_may_be_sent() -> None:
    """As everything that sends one."""
    protocol = Protocol(Role.SERVER)
    protocol.send_fragment("a", text=True, final=False)
    with pytest.raises(RuntimeError):
        protocol.send_header(1000, text=True)
    protocol.close()
    with pytest.raises(ClosedLocally):
        protocol.send_header(1000, text=True)


@both_roles
def test_send_takes_str_where_text_is_wanted(role: Role) -> None:
    """``text=True`` changes nothing for a `str`."""
    pair = ProtocolPair(role)
    assert pair.send(pair.ours.send("\xfc", text=True)) == ["\xfc"]


WRONG_TYPES: list[object] = [5, None, ["a"], {"a": 1}, (b"a" for _ in ()), object(), 1.5]


@pytest.mark.parametrize("wrong", WRONG_TYPES, ids=lambda wrong: type(wrong).__name__)
@pytest.mark.parametrize("method", ["send", "check_message", "ping", "pong", "send_fragment"])
def test_sending_what_is_no_data_raises_type_error(method: str, wrong: object) -> None:
    """Nothing but str and bytes-like objects is sent, and the connection is as it was."""
    pair = ProtocolPair(Role.CLIENT)
    options = {"text": False, "final": True} if method == "send_fragment" else {}
    send: Callable[..., bytes | None] = getattr(pair.ours, method)
    with pytest.raises(TypeError, match=rf"bytes-like, not {type(wrong).__name__}(:|$)"):
        send(wrong, **options)
    assert pair.ours.data_to_send() == b""
    assert pair.send(pair.ours.send("still there")) == ["still there"]


@pytest.mark.parametrize(
    "wrong",
    [array("H", [1, 2]), memoryview(b"abcdef")[::2], array("d", [1.5])],
    ids=["shorts", "strided", "doubles"],
)
def test_send_refuses_buffers_that_are_no_row_of_bytes(wrong: memoryview | array[int]) -> None:
    """What has no one obvious order of bytes is refused."""
    with pytest.raises(TypeError, match="contiguous single bytes"):
        Protocol(Role.CLIENT).send(wrong)


def test_send_refuses_str_as_binary() -> None:
    """A str has no bytes without an encoding."""
    protocol = Protocol(Role.SERVER)
    with pytest.raises(TypeError, match="not of str"):
        protocol.send("abc", text=False)
    with pytest.raises(TypeError, match="not of str"):
        protocol.send_fragment("abc", text=False, final=True)


@pytest.mark.parametrize("wrong", ["\ud800", b"\xff", b"\xe2\x82", b"\xed\xa0\x80"])
def test_send_refuses_text_that_is_no_utf8(wrong: str | bytes) -> None:
    """A peer would have to fail the connection because of it, so it never gets there."""
    pair = ProtocolPair(Role.CLIENT)
    with pytest.raises(ValueError, match="utf-8"):
        pair.ours.send(wrong, text=True)
    with pytest.raises(ValueError, match="utf-8"):
        pair.ours.check_message(wrong, text=True)
    with pytest.raises(ValueError, match="utf-8"):
        pair.ours.send_fragment(wrong, text=True, final=False)
    assert pair.send(pair.ours.send("whole")) == ["whole"]


@pytest.mark.parametrize("state", ["open", "closed"])
def test_check_message_accepts_what_send_would(state: str) -> None:
    """Whether it could be sent now is another question."""
    protocol = Protocol(Role.CLIENT)
    if state == "closed":
        protocol.receive_data(None)
    protocol.check_message("\xe9")
    protocol.check_message(b"\xff")
    protocol.check_message(b"x", text=True)


# Fragments


@both_roles
@pytest.mark.parametrize(
    ("parts", "text", "whole"),
    [
        (["one ", "\xfc", "", "two"], True, "one \xfctwo"),
        (["\r", "\n", "\r\n"], True, "\r\n\r\n"),
        ([b"one", "two", bytearray(b"!")], True, "onetwo!"),
        ([b"\xff", memoryview(b"\xfe"), b""], False, b"\xff\xfe"),
        ([""], True, ""),
        ([b"", b""], False, b""),
    ],
)
def test_fragments_arrive_as_one_message(
    role: Role, parts: list[str | bytes], text: bool, whole: str | bytes
) -> None:
    """A message sent in parts is whole at the other end, and the next one is another message."""
    pair = ProtocolPair(role)
    for _ in range(2):
        for number, part in enumerate(parts, 1):
            final = number == len(parts)
            frame = pair.ours.send_fragment(part, text=text, final=final)
            assert pair.send(frame) == ([whole] if final else [])
            assert pair.peer.message_in_progress is not final
    assert pair.send(pair.ours.send("next")) == ["next"]


@both_roles
def test_control_frames_go_between_fragments(role: Role) -> None:
    """Pings and pongs do not wait for the end of a message (RFC 6455 section 5.4)."""
    pair = ProtocolPair(role)
    assert pair.send(pair.ours.send_fragment("a", text=True, final=False)) == []
    assert pair.send(pair.ours.ping(b"1")) == [Ping(b"1")]
    assert pair.our_events == [Pong(b"1")]
    assert pair.send(pair.ours.pong(b"2")) == [Pong(b"2")]
    assert pair.send(pair.ours.send_fragment("b", text=True, final=True)) == ["ab"]


@both_roles
def test_nothing_but_its_fragments_may_be_sent_amid_a_message(role: Role) -> None:
    """Messages cannot be mixed (RFC 6455 section 5.4), nor can their kinds."""
    pair = ProtocolPair(role)
    pair.send(pair.ours.send_fragment("a", text=True, final=False))
    with pytest.raises(RuntimeError, match="in fragments"):
        pair.ours.send("another")
    with pytest.raises(ValueError, match="text=True"):
        pair.ours.send_fragment(b"b", text=False, final=True)
    assert pair.send(pair.ours.send_fragment("b", text=True, final=True)) == ["ab"]


@both_roles
def test_character_cut_by_a_fragment_is_whole_again(role: Role) -> None:
    """Text is decoded across frames."""
    protocol = Protocol(role)
    euro = "\N{EURO SIGN}".encode()
    assert protocol.receive_data(peer_frame(role, TEXT, euro[:1], fin=False)) == []
    assert protocol.receive_data(continuation(role, euro[1:2], fin=False)) == []
    assert protocol.receive_data(continuation(role, euro[2:], fin=True)) == ["\N{EURO SIGN}"]


@both_roles
def test_close_amid_a_message_ends_it(role: Role) -> None:
    """Either end may close while a message is unfinished; the message is lost."""
    pair = ProtocolPair(role)
    pair.send(pair.ours.send_fragment("a", text=True, final=False))
    assert pair.send(pair.ours.close()) == [Close(1000)]
    assert pair.peer.state is pair.ours.state is State.CLOSED
    assert not pair.peer.message_in_progress


# Pings and pongs


@both_roles
def test_pings_of_one_read_are_answered_in_order(role: Role) -> None:
    """Ten pings back to back get ten pongs."""
    protocol = Protocol(role)
    payloads = [b"%d" % number for number in range(10)]
    data = b"".join(peer_frame(role, PING, payload) for payload in payloads)
    assert protocol.receive_data(data) == [Ping(payload) for payload in payloads]
    pongs = protocol.pongs_to_send()
    frames = [frame for pong in pongs for frame in sent_frames(role, pong)]
    assert [(frame.opcode, frame.payload) for frame in frames] == [(PONG, p) for p in payloads]
    assert protocol.pongs_to_send() == []
    assert protocol.data_to_send() == b""


@both_roles
def test_data_to_send_has_the_pongs_that_were_not_taken(role: Role) -> None:
    """Pongs are owed once, whichever way they are asked for."""
    protocol = Protocol(role)
    protocol.receive_data(peer_frame(role, PING, b"1"))
    assert len(protocol.pongs_to_send()) == 1
    protocol.receive_data(peer_frame(role, PING, b"2") + peer_frame(role, PING, b"3"))
    frames = sent_frames(role, protocol.data_to_send())
    assert [(frame.opcode, frame.payload) for frame in frames] == [(PONG, b"2"), (PONG, b"3")]
    assert protocol.data_to_send() == b""


@both_roles
def test_ping_before_a_close_in_one_read_is_answered_first(role: Role) -> None:
    """What the peer asked before it closed is answered, and the Close is the last frame."""
    protocol = Protocol(role)
    data = peer_frame(role, PING, b"1") + peer_frame(role, CLOSE, close_payload(1001))
    assert protocol.receive_data(data) == [Ping(b"1"), Close(1001)]
    pong, close = sent_frames(role, protocol.data_to_send())
    assert (pong.opcode, pong.payload) == (PONG, b"1")
    assert (close.opcode, close.close_code) == (CLOSE, 1001)


@both_roles
@pytest.mark.parametrize("size", [0, 1, 125])
def test_ping_and_pong_carry_up_to_125_bytes(role: Role, size: int) -> None:
    """A ping comes back as a pong with the same payload."""
    pair = ProtocolPair(role)
    payload = bytes(range(size))
    pair.send(pair.ours.ping(bytearray(payload)))
    assert pair.peer_events == [Ping(payload)]
    assert pair.our_events == [Pong(payload)]
    assert pair.send(pair.ours.pong(memoryview(payload))) == [Pong(payload)]


@both_roles
def test_ping_and_pong_refuse_too_much_and_text(role: Role) -> None:
    """Their payload is at most 125 bytes (RFC 6455 section 5.5), and no text."""
    protocol = Protocol(role)
    for make in (protocol.ping, protocol.pong):
        with pytest.raises(ValueError, match="125 bytes, not 126"):
            make(bytes(126))
        with pytest.raises(TypeError, match="bytes-like, not str"):
            make("text")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    assert protocol.state is State.OPEN


# The closing handshake


@both_roles
def test_close_is_answered_and_closes_both_ends(role: Role) -> None:
    """Our Close and the peer's answer end the connection; the answer echoes the code."""
    pair = ProtocolPair(role)
    data = pair.ours.close(4000, "done \xfc")
    assert (pair.ours.state, pair.ours.close_sent) == (State.CLOSING, Close(4000, "done \xfc"))
    assert pair.send(data) == [Close(4000, "done \xfc")]
    assert pair.our_events == [Close(4000)]
    for end in (pair.ours, pair.peer):
        assert end.state is State.CLOSED
        assert end.failure is None
    assert (pair.ours.close_received, pair.peer.close_sent) == (Close(4000), Close(4000))
    assert pair.peer.close_received == Close(4000, "done \xfc")


@both_roles
def test_close_without_a_code_is_answered_without_one(role: Role) -> None:
    """RFC 6455 section 7.1.5: it then counts as 1005, which must not be sent."""
    protocol = Protocol(role)
    assert protocol.receive_data(peer_frame(role, CLOSE)) == [Close(1005)]
    (frame,) = sent_frames(role, protocol.data_to_send())
    assert (frame.opcode, frame.payload) == (CLOSE, b"")
    assert protocol.close_received == protocol.close_sent == Close(1005)


@both_roles
def test_simultaneous_close_needs_no_answer(role: Role) -> None:
    """When both ends close at once, each Close is the other's answer."""
    pair = ProtocolPair(role)
    ours, theirs = pair.ours.close(1000), pair.peer.close(1001)
    assert pair.send(ours) == [Close(1000)]
    assert pair.receive(theirs) == [Close(1001)]
    assert pair.ours.state is pair.peer.state is State.CLOSED
    assert pair.ours.close_sent == pair.peer.close_received == Close(1000)


@both_roles
def test_close_is_sent_once(role: Role) -> None:
    """A second call returns nothing to send, and changes nothing."""
    pair = ProtocolPair(role)
    first = pair.ours.close(1001, "first")
    assert first
    assert pair.ours.close(1000, "second") == b""
    pair.send(first)
    assert pair.ours.close() == pair.peer.close() == b""
    assert pair.ours.close_sent == Close(1001, "first")


@both_roles
@pytest.mark.parametrize(
    ("code", "reason"),
    [(9999, ""), (1005, ""), (1006, ""), (0, ""), (1000, "x" * 200), (1000, "\ud800")],
)
def test_close_with_bad_arguments_changes_nothing(role: Role, code: int, reason: str) -> None:
    """What cannot be sent raises at once; nothing is on the wire, the connection is untouched."""
    pair = ProtocolPair(role)
    with pytest.raises(ValueError):
        pair.ours.close(code, reason)
    assert (pair.ours.state, pair.ours.close_sent) == (State.OPEN, None)
    assert pair.send(pair.ours.send("still there")) == ["still there"]


@both_roles
def test_messages_before_the_peers_close_are_received_after_ours(role: Role) -> None:
    """The peer may not know of our Close yet."""
    pair = ProtocolPair(role)
    ours = pair.ours.close()
    assert pair.receive(pair.peer.send("late")) == ["late"]
    assert pair.ours.state is State.CLOSING
    pair.send(ours)
    assert pair.ours.state is State.CLOSED


@both_roles
def test_ping_after_our_close_is_not_answered(role: Role) -> None:
    """Nothing follows a Close frame; the closing handshake goes on undisturbed."""
    protocol = Protocol(role)
    protocol.close()
    assert protocol.receive_data(peer_frame(role, PING, b"1")) == [Ping(b"1")]
    assert protocol.data_to_send() == b""
    assert protocol.state is State.CLOSING
    assert protocol.receive_data(peer_frame(role, CLOSE, close_payload(1000))) == [Close(1000)]
    assert (protocol.state, protocol.data_to_send()) == (State.CLOSED, b"")


@both_roles
@pytest.mark.parametrize("split", [False, True])
def test_nothing_is_parsed_after_the_peers_close(role: Role, split: bool) -> None:
    """What follows a Close frame is dropped, in the same read or later."""
    protocol = Protocol(role)
    close, rest = peer_frame(role, CLOSE, close_payload()), text_frame(role, "x") + b"\xff" * 50
    events = protocol.receive_data(close if split else close + rest)
    assert events == [Close(1000)]
    assert protocol.receive_data(rest) == []
    assert protocol.failure is None


@both_roles
def test_end_of_stream_closes(role: Role) -> None:
    """Without a Close frame both sides of the closing handshake are missing."""
    protocol = Protocol(role)
    protocol.receive_data(text_frame(role, "begun", fin=False) + b"\x80")
    assert protocol.receive_data(None) == []
    assert protocol.state is State.CLOSED
    assert (protocol.close_received, protocol.close_sent) == (None, None)
    assert protocol.data_to_send() == protocol.close() == b""
    assert not protocol.message_in_progress
    assert protocol.receive_data(text_frame(role, "x")) == protocol.receive_data(None) == []


@both_roles
def test_end_of_stream_after_our_close_closes(role: Role) -> None:
    """A peer that hangs up instead of answering has not closed cleanly."""
    protocol = Protocol(role)
    protocol.close()
    assert protocol.receive_data(None) == []
    assert (protocol.state, protocol.close_received) == (State.CLOSED, None)


def by_our_close(protocol: Protocol) -> None:
    """Close it ourselves."""
    protocol.close(1001)


def by_peers_close(protocol: Protocol) -> None:
    """Have the peer close it."""
    protocol.receive_data(peer_frame(protocol.role, CLOSE, close_payload(1001)))


def by_end_of_stream(protocol: Protocol) -> None:
    """Have the peer hang up."""
    protocol.receive_data(None)


def by_failure(protocol: Protocol) -> None:
    """Have the peer break the rules."""
    protocol.receive_data(peer_frame(protocol.role, 0xB))


def by_our_close_and_failure(protocol: Protocol) -> None:
    """Have the peer break the rules when we have closed."""
    protocol.close(1001)
    protocol.receive_data(peer_frame(protocol.role, 0xB))


@both_roles
@pytest.mark.parametrize(
    ("end", "error"),
    [
        (by_our_close, ClosedLocally),
        (by_peers_close, ConnectionBroken),
        (by_end_of_stream, ConnectionBroken),
        (by_failure, ConnectionBroken),
        (by_our_close_and_failure, ClosedLocally),
    ],
)
@pytest.mark.parametrize("method", ["send", "ping", "pong", "send_fragment"])
def test_sending_after_the_end_raises(
    role: Role,
    end: Callable[[Protocol], None],
    error: type[ClosedLocally | ConnectionBroken],
    method: str,
) -> None:
    """The exception says whose doing it was, and what both ends said."""
    protocol = Protocol(role)
    end(protocol)
    protocol.data_to_send()
    options = {"text": False, "final": True} if method == "send_fragment" else {}
    with pytest.raises(error) as caught:
        getattr(protocol, method)(b"x", **options)
    assert caught.value.received == protocol.close_received
    assert caught.value.sent == protocol.close_sent
    assert protocol.data_to_send() == b""


@both_roles
def test_arguments_are_checked_before_the_state(role: Role) -> None:
    """A wrong argument is wrong on a closed connection too."""
    protocol = Protocol(role)
    protocol.close()
    with pytest.raises(ValueError):
        protocol.ping(bytes(126))
    with pytest.raises(ValueError):
        protocol.close(9999)


@both_roles
@pytest.mark.parametrize(
    "end",
    [by_our_close, by_peers_close, by_end_of_stream, by_failure, by_our_close_and_failure],
)
def test_states_follow_the_table(role: Role, end: Callable[[Protocol], None]) -> None:
    """However it ends, the state goes along the transition table, and CLOSED is final."""
    protocol = Protocol(role)
    path = [protocol.state]
    for step in (end, by_our_close, by_end_of_stream, by_failure, by_peers_close):
        step(protocol)
        if protocol.state is not path[-1]:
            assert protocol.state in TRANSITIONS[path[-1]]
            path.append(protocol.state)
    assert (path[0], path[-1]) == (State.OPEN, State.CLOSED)


# Limits


@both_roles
def test_message_may_be_as_large_as_the_limit(role: Role) -> None:
    """The limit itself is allowed, in one frame and in fragments, for each message anew."""
    protocol = Protocol(role, SMALL)
    fragments = (
        text_frame(role, "12345", fin=False)
        + continuation(role, b"67890", fin=False)
        + continuation(role, b"", fin=True)
    )
    data = (text_frame(role, "1234567890") + fragments) * 2
    assert protocol.receive_data(data) == ["1234567890"] * 4


@both_roles
@pytest.mark.parametrize("limits", [SMALL], ids=["small"])
@pytest.mark.parametrize("late", [False, True], ids=["first-frame", "third-frame"])
def test_message_over_the_limit_fails_with_1009_at_its_header(
    role: Role, limits: Limits, late: bool
) -> None:
    """What a header announces is enough; nobody waits for the payload."""
    pair = ProtocolPair(role, limits)
    before = peer_frame(role, BINARY, b"1234", fin=False) + continuation(role, b"56", fin=False)
    if late:
        pair.receive(before)
        header = peer_frame(role, CONTINUATION, size=5, fin=False)
    else:
        header = peer_frame(role, BINARY, size=11)
    assert pair.receive(header[:2]) == []
    assert pair.ours.state is State.CLOSED
    assert pair.ours.failure == "message of 11 bytes or more, 10 are accepted"
    assert pair.closes_received_by_peer == [Close(1009, pair.ours.failure)]
    assert pair.ours.close_sent == Close(1009, pair.ours.failure)


@both_roles
def test_too_many_fragments_fail_with_1009(role: Role) -> None:
    """Fragments cost us something even when they are empty."""
    pair = ProtocolPair(role, SMALL)
    pair.receive(text_frame(role, "", fin=False))
    pair.receive(continuation(role, b"", fin=False) * 2)
    assert pair.ours.state is State.OPEN
    assert pair.receive(continuation(role, b"", fin=True)) == []
    assert pair.closes_received_by_peer == [Close(1009, "message of more than 3 fragments")]


@both_roles
def test_failure_after_our_close_sends_nothing_more(role: Role) -> None:
    """Our Close was the last frame; the peer's will not be waited for."""
    protocol = Protocol(role, SMALL)
    protocol.close(1000)
    assert protocol.receive_data(text_frame(role, "x" * 11)) == []
    assert protocol.state is State.CLOSED
    assert protocol.data_to_send() == b""
    assert protocol.close_sent == Close(1000)
    assert protocol.failure is not None


# Held messages


def held_protocol(role: Role, rest: bytes = b"") -> Protocol:
    """Return a protocol that holds a message of 11 bytes; ``rest`` has come behind it."""
    protocol = Protocol(role, SMALL)
    protocol.defer_oversized = True
    data = text_frame(role, "before") + text_frame(role, "12345678901") + rest
    assert protocol.receive_data(data) == ["before"]
    assert protocol.held
    assert protocol.message_in_progress
    assert (protocol.state, protocol.data_to_send()) == (State.OPEN, b"")
    return protocol


@both_roles
def test_held_message_can_be_streamed(role: Role) -> None:
    """It comes in pieces, and all that came behind it as usual."""
    protocol = held_protocol(role, rest=text_frame(role, "after"))
    assert protocol.receive_data(text_frame(role, "later")) == []
    events = protocol.begin_stream(None)
    assert events == [Piece("12345678901", final=True), "after", "later"]
    assert not protocol.held
    assert not protocol.streaming


@both_roles
def test_held_message_can_be_refused(role: Role) -> None:
    """Nobody wants it: then it fails the connection as it would have at once."""
    protocol = held_protocol(role, rest=text_frame(role, "after"))
    protocol.fail_held()
    assert (protocol.state, protocol.held) == (State.CLOSED, False)
    assert protocol.failure is not None
    (frame,) = sent_frames(role, protocol.data_to_send())
    assert (frame.close_code, frame.close_reason) == (1009, protocol.failure)
    assert protocol.receive_data(text_frame(role, "later")) == []


@both_roles
def test_fail_held_is_harmless_when_nothing_is_held(role: Role) -> None:
    """The state decides, not the call."""
    protocol = Protocol(role)
    protocol.fail_held()
    assert protocol.state is State.OPEN


@both_roles
def test_held_message_fails_when_deferring_ends(role: Role) -> None:
    """Reading on without deferring means that nobody will stream it: no bytes pile up."""
    protocol = held_protocol(role)
    protocol.defer_oversized = False
    assert protocol.receive_data(text_frame(role, "later")) == []
    assert (protocol.state, protocol.held) == (State.CLOSED, False)


@both_roles
def test_held_message_may_be_larger_than_the_stream_allows(role: Role) -> None:
    """Then begin_stream fails the connection."""
    protocol = held_protocol(role)
    assert protocol.begin_stream(10) == []
    assert (protocol.state, protocol.held) == (State.CLOSED, False)
    assert protocol.failure == "message of 11 bytes or more, 10 are accepted"


@both_roles
def test_message_of_many_fragments_is_held_too(role: Role) -> None:
    """Streamed, it may have as many as it likes; what was collected comes first."""
    protocol = Protocol(role, SMALL)
    protocol.defer_oversized = True
    data = text_frame(role, "a", fin=False) + continuation(role, b"b", fin=False) * 5
    assert protocol.receive_data(data) == []
    assert protocol.held
    assert protocol.begin_stream(None) == [
        Piece("abb", final=False),
        *[Piece("b", final=False)] * 3,
    ]
    assert protocol.receive_data(continuation(role, b"", fin=True)) == [Piece("", final=True)]


@both_roles
@pytest.mark.parametrize("cut", range(2, 7))
def test_message_is_held_at_its_header_wherever_that_is_cut(role: Role, cut: int) -> None:
    """Its length is enough; the masking key may be missing."""
    protocol = Protocol(role, SMALL)
    protocol.defer_oversized = True
    frame = text_frame(role, "12345678901")
    assert protocol.receive_data(frame[:cut]) == []
    assert protocol.held
    assert protocol.receive_data(frame[cut:]) == []
    assert protocol.begin_stream(None) == [Piece("12345678901", final=True)]


@both_roles
def test_end_of_stream_releases_what_is_held(role: Role) -> None:
    """There is nothing left to decide."""
    protocol = held_protocol(role)
    assert protocol.receive_data(None) == []
    assert (protocol.state, protocol.held, protocol.failure) == (State.CLOSED, False, None)


# Streaming


@both_roles
def test_streamed_message_comes_as_its_bytes_arrive(role: Role) -> None:
    """Also within a single frame, and text is cut at characters."""
    protocol = Protocol(role, SMALL)
    assert protocol.begin_stream(None) == []
    assert protocol.streaming
    assert not protocol.message_in_progress
    frame = text_frame(role, "abc\N{EURO SIGN}defghijklmnop")
    head = len(frame) - 19
    assert protocol.receive_data(frame[: head + 2]) == [Piece("ab", final=False)]
    assert protocol.message_in_progress
    assert protocol.receive_data(frame[head + 2 : head + 4]) == [Piece("c", final=False)]
    assert protocol.receive_data(frame[head + 4 : head + 5]) == []
    assert protocol.streaming
    assert protocol.receive_data(frame[head + 5 :] + text_frame(role, "next")) == [
        Piece("\N{EURO SIGN}defghijklmnop", final=True),
        "next",
    ]
    assert not protocol.streaming


@both_roles
def test_streamed_message_may_be_empty(role: Role) -> None:
    """Its only piece is then empty and final."""
    protocol = Protocol(role)
    protocol.begin_stream(None)
    assert protocol.receive_data(peer_frame(role, BINARY)) == [Piece(b"", final=True)]


@both_roles
def test_control_frames_come_between_pieces(role: Role) -> None:
    """A ping is answered while a message is streamed."""
    protocol = Protocol(role)
    protocol.begin_stream(None)
    data = peer_frame(role, BINARY, b"a", fin=False) + peer_frame(role, PING, b"1")
    assert protocol.receive_data(data) == [Piece(b"a", final=False), Ping(b"1")]
    assert len(protocol.pongs_to_send()) == 1
    assert protocol.receive_data(continuation(role, b"", fin=True)) == [Piece(b"", final=True)]


@both_roles
@pytest.mark.parametrize("text", [True, False], ids=["text", "binary"])
def test_stream_begun_amid_a_message_starts_with_what_was_collected(role: Role, text: bool) -> None:
    """Nothing of the message is lost."""
    protocol = Protocol(role)
    frame = peer_frame(role, TEXT if text else BINARY, b"abcdef")
    expected: list[str | bytes] = ["abc", "def"] if text else [b"abc", b"def"]
    assert protocol.receive_data(frame[:-3]) == []
    assert protocol.begin_stream(6) == [Piece(expected[0], final=False)]
    assert protocol.receive_data(frame[-3:]) == [Piece(expected[1], final=True)]


@both_roles
def test_stream_begun_before_the_first_byte_of_a_payload_starts_with_it(role: Role) -> None:
    """An empty piece tells nobody anything."""
    protocol = Protocol(role)
    frame = peer_frame(role, BINARY, b"abc")
    assert protocol.receive_data(frame[:-3]) == []
    assert protocol.begin_stream(None) == []
    assert protocol.receive_data(frame[-3:]) == [Piece(b"abc", final=True)]


@both_roles
def test_stream_has_its_own_limit(role: Role) -> None:
    """It holds for the whole message, the frames before it was set included."""
    pair = ProtocolPair(role, SMALL)
    pair.ours.begin_stream(20)
    data = text_frame(role, "x" * 15, fin=False) + continuation(role, b"x" * 6, fin=True)
    pair.ours.defer_oversized = True  # nothing is held once a limit was given
    assert pair.receive(data) == [Piece("x" * 15, final=False)]
    assert pair.closes_received_by_peer == [
        Close(1009, "message of 21 bytes or more, 20 are accepted")
    ]


@both_roles
def test_stream_may_begin_when_the_message_is_too_large_for_it(role: Role) -> None:
    """Then it fails at once, whatever was collected."""
    protocol = Protocol(role, SMALL)
    protocol.receive_data(text_frame(role, "12345", fin=False))
    assert protocol.begin_stream(4) == []
    assert protocol.failure == "message of 5 bytes or more, 4 are accepted"
    assert (protocol.state, protocol.streaming) == (State.CLOSED, False)


@both_roles
def test_stream_begun_again_changes_its_limit(role: Role) -> None:
    """Both before its message and amid it."""
    protocol = Protocol(role, SMALL)
    protocol.begin_stream(1)
    protocol.begin_stream(5)
    assert protocol.receive_data(text_frame(role, "12345", fin=False)) == [Piece("12345", False)]
    assert protocol.begin_stream(6) == []
    assert protocol.receive_data(continuation(role, b"6", fin=False)) == [Piece("6", False)]
    assert protocol.receive_data(continuation(role, b"7", fin=True)) == []
    assert protocol.failure == "message of 7 bytes or more, 6 are accepted"


@both_roles
def test_stream_cannot_begin_after_the_end(role: Role) -> None:
    """Nothing comes any more."""
    protocol = Protocol(role)
    protocol.receive_data(None)
    assert protocol.begin_stream(None) == []
    assert not protocol.streaming


@both_roles
def test_skipped_stream_drops_the_rest_of_its_message(role: Role) -> None:
    """Pings in it are still answered, and the next message is whole again."""
    protocol = Protocol(role, SMALL)
    protocol.begin_stream(None)
    protocol.receive_data(text_frame(role, "a", fin=False))
    protocol.skip_stream()
    assert not protocol.streaming
    assert protocol.message_in_progress
    data = continuation(role, b"x" * 50, fin=False) * 5 + peer_frame(role, PING, b"1")
    assert protocol.receive_data(data) == [Ping(b"1")]
    data = continuation(role, b"x", fin=True) + text_frame(role, "next")
    assert protocol.receive_data(data) == ["next"]


@both_roles
def test_stream_begun_while_another_is_skipped_is_of_the_next_message(role: Role) -> None:
    """The rest of the first is dropped all the same."""
    protocol = Protocol(role)
    protocol.begin_stream(None)
    protocol.receive_data(text_frame(role, "a", fin=False))
    protocol.skip_stream()
    assert protocol.begin_stream(None) == []
    assert protocol.streaming
    data = continuation(role, b"dropped", fin=True) + text_frame(role, "streamed")
    assert protocol.receive_data(data) == [Piece("streamed", final=True)]


@both_roles
def test_skipped_stream_stays_within_its_limit(role: Role) -> None:
    """A message too large for the stream is too large for being skipped, too."""
    protocol = Protocol(role)
    protocol.begin_stream(3)
    protocol.receive_data(text_frame(role, "ab", fin=False))
    protocol.skip_stream()
    protocol.receive_data(continuation(role, b"cd", fin=True))
    assert protocol.failure == "message of 4 bytes or more, 3 are accepted"


@both_roles
@pytest.mark.parametrize("method", ["skip_stream", "end_stream"])
def test_stream_can_be_taken_back_before_its_message(role: Role, method: str) -> None:
    """The message then comes whole: nothing of it was asked for in vain."""
    protocol = Protocol(role)
    protocol.begin_stream(None)
    getattr(protocol, method)()
    assert not protocol.streaming
    assert protocol.receive_data(text_frame(role, "whole")) == ["whole"]


@both_roles
def test_end_stream_tells_whether_it_came_in_time(role: Role) -> None:
    """Once the message has begun its pieces keep coming."""
    protocol = Protocol(role)
    protocol.begin_stream(None)
    assert protocol.end_stream()
    assert not protocol.end_stream()
    protocol.begin_stream(None)
    protocol.receive_data(text_frame(role, "a", fin=False))
    assert not protocol.end_stream()
    assert protocol.receive_data(continuation(role, b"b", fin=True)) == [Piece("b", final=True)]


@both_roles
def test_skip_stream_without_a_stream_drops_nothing(role: Role) -> None:
    """A message that is being collected is none of its business."""
    protocol = Protocol(role)
    protocol.receive_data(text_frame(role, "a", fin=False))
    protocol.skip_stream()
    assert protocol.receive_data(continuation(role, b"b", fin=True)) == ["ab"]


# Memory


@both_roles
def test_keepalive_leaves_nothing_behind(role: Role) -> None:
    """What parses frames is let go of when only pings and pongs came, without garbage."""
    protocol = Protocol(role)
    gc.disable()
    try:
        protocol.ping(b"1")
        assert protocol._wsproto is not None
        frames = weakref.ref(protocol._wsproto)
        assert protocol.receive_data(peer_frame(role, PONG, b"1")) == [Pong(b"1")]
        assert protocol._wsproto is None
        assert frames() is None
    finally:
        gc.enable()


def begin_receiving(protocol: Protocol) -> None:
    """Begin a message of the peer's."""
    protocol.receive_data(text_frame(protocol.role, "a", fin=False))


def begin_sending(protocol: Protocol) -> None:
    """Begin a message of ours."""
    protocol.send_fragment("a", text=True, final=False)


def begin_closing(protocol: Protocol) -> None:
    """Begin the closing handshake."""
    protocol.close()


@both_roles
@pytest.mark.parametrize("begin", [begin_receiving, begin_sending, begin_closing])
def test_ping_does_not_disturb_what_has_begun(
    role: Role, begin: Callable[[Protocol], None]
) -> None:
    """What must be remembered between frames is kept."""
    protocol = Protocol(role)
    begin(protocol)
    assert protocol.receive_data(peer_frame(role, PING)) == [Ping()]
    assert protocol._wsproto is not None


@both_roles
def test_ping_before_a_part_of_a_frame_keeps_that(role: Role) -> None:
    """A frame that has begun is gone on with."""
    protocol = Protocol(role)
    frame = text_frame(role, "abc")
    ping = peer_frame(role, PING, b"12")
    assert protocol.receive_data(ping + ping[:-1]) == [Ping(b"12")]
    assert protocol.receive_data(ping[-1:] + ping + frame[:-1]) == [Ping(b"12")] * 2
    assert protocol.receive_data(frame[-1:]) == ["abc"]


ENDS: list[Callable[[Protocol], object]] = [
    by_peers_close,
    by_end_of_stream,
    by_failure,
    lambda protocol: protocol.receive_data(text_frame(protocol.role, "x" * 11)),
]


@both_roles
@pytest.mark.parametrize("end", ENDS, ids=["close", "end-of-stream", "failure", "limit"])
def test_end_leaves_no_garbage(role: Role, end: Callable[[Protocol], object]) -> None:
    """A closed connection is free of cycles and of what it needed for parsing."""
    protocol = Protocol(role, SMALL)
    protocol.receive_data(text_frame(role, "a", fin=False) + continuation(role, b"", fin=True))
    gc.disable()
    try:
        assert protocol._wsproto is not None
        frames = weakref.ref(protocol._wsproto)
        end(protocol)
        assert protocol.state is State.CLOSED
        assert protocol._wsproto is None
        assert frames() is None
    finally:
        gc.enable()


@both_roles
@pytest.mark.parametrize("kind", [bytes, bytearray])
def test_what_was_read_is_not_kept_nor_changed(role: Role, kind: type[bytes | bytearray]) -> None:
    """The caller may use its buffer again at once."""
    protocol = Protocol(role)
    data = kind(text_frame(role, "abc", fin=False) + continuation(role, b"def", fin=True)[:-1])
    before = bytes(data)
    protocol.receive_data(data)
    assert data == before
    if isinstance(data, bytearray):
        data[:] = bytes(len(data))
    assert protocol.receive_data(continuation(role, b"def", fin=True)[-1:]) == ["abcdef"]


def test_roles_are_each_others_peers() -> None:
    """What one role sends, the same role refuses: the server masks nothing, the client all."""
    for role in Role:
        pair = ProtocolPair(role)
        assert pair.peer.role is other(role)
        same = Protocol(role)
        assert same.receive_data(pair.ours.send("x")) == []
        assert same.failure is not None


def test_events_are_values() -> None:
    """They compare, hash and show what they carry."""
    events: list[Event] = [Piece("a", final=True), Ping(b"a"), Pong(b"a"), Close(1000)]
    assert len(set(events)) == len(events)
    assert events[0] == Piece("a", final=True)
    assert repr(events[1]) == "Ping(payload=b'a')"


class Shout(str):
    """Text with an encoding of its own."""

    __slots__ = ()

    def encode(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
        """Return what is no UTF-8."""
        return b"\xff" + super().encode(encoding, errors)


class Boast(bytes):
    """Bytes that claim to be more."""

    def __len__(self) -> int:
        return 100


@both_roles
def test_send_takes_subclasses_by_what_they_hold(role: Role) -> None:
    """What a subclass says of itself does not get onto the wire."""
    for message, payload in ((Shout("abc"), b"abc"), (Boast(b"abc"), b"abc")):
        (frame,) = sent_frames(role, Protocol(role).send(message))
        assert frame.payload == payload
