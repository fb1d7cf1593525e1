"""The outgoing buffer: which bytes leave when, whatever came in between."""

import pytest
from hypothesis import given, strategies as st

from trio_ws._transport.outbox import CHUNK_SIZE, Outbox
from trio_ws.testing import Opcode, build_frame, parse_frames


def take(outbox: Outbox, most: int = CHUNK_SIZE) -> bytes:
    """Take bytes from the outbox, as a stream does that takes so many at a time."""
    part = bytes(outbox.next_chunk()[:most])
    outbox.advance(len(part))
    return part


def drain(outbox: Outbox, most: int = CHUNK_SIZE) -> bytes:
    """Take all there is, so many bytes at a time."""
    taken = b""
    while outbox:
        taken += take(outbox, most)
    return taken


def test_outbox_begins_empty() -> None:
    """Nothing waits, and it is false."""
    outbox = Outbox()
    assert not outbox
    assert outbox.size == 0


def test_append_keeps_the_order_and_counts_the_bytes() -> None:
    """Frames leave as they came, and each byte is counted until it was taken."""
    outbox = Outbox()
    for frame in (b"one", b"two", b"three"):
        outbox.append(frame)
    assert outbox
    assert outbox.size == 11
    assert take(outbox, 4) == b"onet"
    assert outbox.size == 7
    assert drain(outbox) == b"wothree"
    assert outbox.size == 0


def test_next_chunk_is_the_same_until_it_was_taken() -> None:
    """Asking again changes nothing; what is appended meanwhile is no part of it."""
    outbox = Outbox()
    outbox.append(b"begun")
    assert outbox.next_chunk() == b"begun"
    outbox.append(b"later")
    assert outbox.next_chunk() == b"begun"
    outbox.advance(2)
    assert outbox.next_chunk() == b"gun"


@pytest.mark.parametrize(
    ("sizes", "chunks"),
    [
        ([10], [10]),
        ([10, 20, 30], [60]),
        ([CHUNK_SIZE - 5, 5], [CHUNK_SIZE]),
        ([CHUNK_SIZE - 5, 6], [CHUNK_SIZE - 5, 6]),
        ([CHUNK_SIZE, 1], [CHUNK_SIZE, 1]),
        ([CHUNK_SIZE + 1, 1], [CHUNK_SIZE + 1, 1]),
        ([3 * CHUNK_SIZE], [3 * CHUNK_SIZE]),
        ([1, 3 * CHUNK_SIZE, 1], [1, 3 * CHUNK_SIZE, 1]),
        ([40_000, 20_000, 10_000, 30_000], [60_000, 40_000]),
    ],
)
def test_next_chunk_joins_small_frames(sizes: list[int], chunks: list[int]) -> None:
    """A chunk is as many whole frames as fit, and one frame where the first is too large."""
    outbox = Outbox()
    for size in sizes:
        outbox.append(bytes(size))
    taken: list[int] = []
    while outbox:
        taken.append(len(outbox.next_chunk()))
        outbox.advance(taken[-1])
    assert taken == chunks


def test_ping_overtakes_what_was_not_begun() -> None:
    """Pings go before data, one behind the other."""
    outbox = Outbox()
    outbox.append(b"data")
    outbox.overtake(b"ping1")
    outbox.overtake(b"ping2")
    assert outbox.size == 14
    assert drain(outbox) == b"ping1ping2data"


def test_ping_does_not_overtake_what_was_begun() -> None:
    """It waits for the end of the chunk that is being written, and no longer."""
    outbox = Outbox()
    outbox.append(b"begun")
    assert take(outbox, 1) == b"b"
    outbox.append(b"data")
    outbox.overtake(b"ping")
    assert drain(outbox) == b"egunpingdata"


def test_pong_replaces_the_one_that_waits() -> None:
    """Of the pongs that were not begun only the newest is sent (RFC 6455, section 5.5.3)."""
    outbox = Outbox()
    outbox.append(b"data")
    for pong in (b"first", b"second", b"newest"):
        outbox.replace_pong(pong)
        assert outbox.size == len(b"data") + len(pong)
    assert drain(outbox) == b"newestdata"
    assert outbox.size == 0


def test_pong_that_was_begun_is_finished() -> None:
    """A newer one then comes behind it."""
    outbox = Outbox()
    outbox.replace_pong(b"begun")
    assert take(outbox, 1) == b"b"
    outbox.replace_pong(b"newer")
    assert drain(outbox) == b"egunnewer"


def test_controls_leave_together() -> None:
    """Pings and the pong share a write, with no data behind them that they would hold up."""
    outbox = Outbox()
    outbox.append(b"data")
    outbox.replace_pong(b"pong")
    outbox.overtake(b"ping")
    assert take(outbox) == b"pingpong"
    assert drain(outbox) == b"data"


def test_resume_goes_before_all_else() -> None:
    """The rest of a frame that was begun elsewhere is finished first."""
    outbox = Outbox()
    outbox.resume(memoryview(b"a frame")[2:])
    outbox.append(b"data")
    outbox.overtake(b"ping")
    assert outbox.size == 13
    assert drain(outbox, 3) == b"framepingdata"


ACTIONS = st.one_of(
    st.tuples(st.just("data"), st.integers(0, 2 * CHUNK_SIZE)),
    st.tuples(st.sampled_from(["ping", "pong"]), st.integers(0, 125)),
    st.tuples(st.just("take"), st.integers(1, CHUNK_SIZE)),
)


@given(st.lists(ACTIONS, max_size=30))
def test_outbox_sends_whole_frames_in_order(actions: list[tuple[str, int]]) -> None:
    """Whatever is put in and taken out: frames whole, data and pings in order, the last pong."""
    outbox, wire = Outbox(), b""
    expected: dict[Opcode, list[bytes]] = {opcode: [] for opcode in Opcode}
    for number, (action, size) in enumerate(actions):
        payload = (b"%d:" % number).ljust(size, b".")[: max(size, 4)]
        if action == "take":
            wire += take(outbox, size) if outbox else b""
        elif action == "data":
            expected[Opcode.BINARY].append(payload)
            outbox.append(build_frame(Opcode.BINARY, payload))
        elif action == "ping":
            expected[Opcode.PING].append(payload)
            outbox.overtake(build_frame(Opcode.PING, payload))
        else:
            expected[Opcode.PONG].append(payload)
            outbox.replace_pong(build_frame(Opcode.PONG, payload))
    size = outbox.size
    rest = drain(outbox)
    assert size == len(rest)
    frames, unfinished = parse_frames(wire + rest)
    assert unfinished == b""
    sent = {
        opcode: [bytes(frame.payload) for frame in frames if frame.opcode == opcode]
        for opcode in Opcode
    }
    assert sent[Opcode.BINARY] == expected[Opcode.BINARY]
    assert sent[Opcode.PING] == expected[Opcode.PING]
    assert sent[Opcode.PONG][-1:] == expected[Opcode.PONG][-1:]
    assert [pong for pong in expected[Opcode.PONG] if pong in sent[Opcode.PONG]] == sent[
        Opcode.PONG
    ]
