"""The lanes are invisible: `Protocol` on each of them does what wsproto alone would do.

TRIO_WS_LANE_CASES says in how many cases that is tried; `.ci/run` may ask for more.
"""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from tests.helpers import MASK_KEY
from tests.lane_cases import (
    Case,
    Read,
    Send,
    SendClose,
    SendFragment,
    SendPing,
    Step,
    make_case,
    make_compressed_case,
)
from tests.lane_differential import Difference, compare, main, run
from tests.lanes import LANES, PURE, Lane
from trio_ws._options import Limits
from trio_ws.protocol import frames
from trio_ws.protocol.state import Role, State
from trio_ws.testing import build_frame

CASES = int(os.environ.get("TRIO_WS_LANE_CASES", "600"))

# The suite has a time to keep, and the machine may be busy.
common = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def test_lanes_do_what_wsproto_does() -> None:
    """In hundreds of cases of all kinds, or as many as somebody asked for."""
    tally = run(CASES)
    assert tally.cases == CASES
    # It is no comparison where nothing happens.
    for kind in ("str", "bytes", "Ping", "Pong", "Close"):
        assert tally.events[kind] >= CASES / 100
    for code in (1002, 1007, 1009):
        assert tally.ends[f"failed, our Close has {code}"] >= CASES / 30
    assert tally.ends["open"] >= CASES / 10


def test_lanes_do_what_wsproto_does_with_compressed_messages() -> None:
    """With an extension that inflates as plainly as can be, instead of our way to do it."""
    tally = run(CASES, make=make_compressed_case)
    for kind in ("str", "bytes", "Ping", "Pong", "Close"):
        assert tally.events[kind] >= CASES / 100
    for code in (1002, 1007, 1009):
        assert tally.ends[f"failed, our Close has {code}"] >= CASES / 60
    assert tally.ends["open"] >= CASES / 10


def test_lane_cases_are_always_the_same() -> None:
    """A number that fails today fails tomorrow."""
    assert [make_case(number) for number in range(20)] == [
        make_case(number) for number in range(20)
    ]


# What hypothesis can make small: bytes that look like frames, cut anywhere, and what we send.

octets = st.sampled_from([*b"\x81\x82\x01\x02\x00\x80\x88\x89\x8a\x7e\x7f\xfe\xff\xc1\xc3\xa9\x04"])


@st.composite
def streams(draw: st.DrawFn, role: Role) -> bytes:
    """Bytes of a peer's."""
    key = MASK_KEY if role is Role.SERVER else None
    frame = st.builds(
        build_frame,
        st.sampled_from([0, 1, 1, 2, 2, 8, 9, 10]),
        st.binary(max_size=12) | st.text(max_size=6).map(str.encode),
        fin=st.sampled_from([True, True, False]),
        mask_key=st.just(key),
    )
    garbage = st.lists(octets, max_size=14).map(bytes)
    return b"".join(draw(st.lists(frame | frame | garbage, max_size=6)))


own_steps: st.SearchStrategy[Step] = st.one_of(
    st.builds(Send, st.text(max_size=3) | st.binary(max_size=3)),
    st.builds(SendPing, st.binary(max_size=3)),
    st.builds(SendClose, st.sampled_from([1000, 4000]), st.just("")),
)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Short ones."""
    role = draw(st.sampled_from(Role))
    stream = draw(streams(role))
    stops = sorted(draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    steps: list[Step] = []
    for stop in [*stops, len(stream)]:
        steps += [*draw(st.lists(own_steps, max_size=1)), Read(stop)]
    limits = Limits(max_message_size=draw(st.sampled_from([5, 1 << 20])), max_fragments=2)
    return Case(role, limits, stream, tuple(steps))


@common
@given(cases())
def test_lanes_do_what_wsproto_does_with_any_bytes(case: Case) -> None:
    """Frames and garbage, cut anywhere."""
    compare(case)


def test_lanes_do_what_wsproto_does_for_a_connection_told_in_full() -> None:
    """One case by hand, to see that a case says what it seems to say."""
    stream = b"".join(
        build_frame(opcode, payload, fin=fin)
        for opcode, payload, fin in [
            (1, b"whole", True),
            (1, b"in ", False),
            (9, b"?", True),
            (0, b"parts", True),
            (2, b"\0", True),
            (8, (1001).to_bytes(2) + b"bye", True),
            (1, b"too late", True),
        ]
    )
    steps = (
        SendFragment("be", final=False),
        Read(20),
        SendFragment("gun", final=True),
        Read(len(stream)),
        Send("after the Close"),
        Read(None),
    )
    seen = compare(Case(Role.CLIENT, Limits(), stream, steps))
    events = [event for each in seen for event in each.events]
    assert [event for event in events if isinstance(event, (str, bytes))] == [
        "whole",
        "in parts",
        b"\0",
    ]
    assert [str(event) for event in events if not isinstance(event, (str, bytes))] == [
        "Ping(payload=b'?')",
        "1001 (going away) 'bye'",
    ]
    assert seen[-2].sent is None
    assert seen[-1].state is State.CLOSED
    assert seen[-1].close_sent is not None
    assert seen[-1].close_sent.code == 1001


# Would a mistake be found?

MISTAKES = {
    "reserved bits": ("first not in _WHOLE", "first & 0x8F not in _WHOLE"),
    "fragments": ("first not in _WHOLE", "first | 0x80 not in _WHOLE"),
    "masking": (
        "size = data[position + 1] - MASKED if masked",
        "size = data[position + 1] & 127 if masked",
    ),
    "lengths": ("size < (126 if length_size == 2 else 65536)", "size < 0"),
    "short lengths": ("if length_size == 2 else 65536", "if length_size == 2 else 65535 * 0"),
    "no limit": ("size > max_size or stop > end", "stop > end"),
    "limit off by one": ("size > max_size", "size > max_size + 1"),
    "cut frames": ("or stop > end", "or stop > end + 1"),
    "UTF-8": ("payload.decode()", 'payload.decode(errors="replace")'),
    "kinds": ("first == FIN_BINARY", "first == FIN_TEXT"),
    "unmasking": ("int.from_bytes(payload) ^", "int.from_bytes(payload) |"),
    "large masking": ("key[i : i + 1]", "key[:1]"),
    "short headers": ("if size <= 125:", "if size <= 126:"),
    "medium headers": ("size <= 0xFFFF", "size < 0xFFFF"),
    "byte order": ('"!BBH"', '"<BBH"'),
    "no masking": ("key + mask(payload, key)", "key + payload"),
}
MISTAKES_WITH_COMPRESSION = {
    "fragments": ("& ~COMPRESSED not in", "& ~COMPRESSED | 0x80 not in"),
    "cut frames": ("stop > len(data) or not", "not"),
    "masking": ("masked=masked, reserved", "masked=bool(data[position + 1] & 128), reserved"),
    "payload": ("data[stop - size : stop]", "data[stop - size - 1 : stop]"),
    "no bit": ("first |= COMPRESSED", "pass"),
}
mistakes = [
    pytest.param(*change, make, id=f"{name}{', compressed' * (make is make_compressed_case)}")
    for make, changes in [
        (make_case, MISTAKES),
        (make_compressed_case, MISTAKES_WITH_COMPRESSION),
    ]
    for name, change in changes.items()
]


@pytest.mark.parametrize(("right", "wrong", "make"), mistakes)
def test_lane_differential_finds_mistakes(
    right: str, wrong: str, make: Callable[[int], Case]
) -> None:
    """A lane with any of these would not get through."""
    source = Path(frames.__file__).read_text(encoding="utf-8")
    assert source.count(right) == 1
    mistaken = ModuleType("mistaken")
    exec(source.replace(right, wrong), vars(mistaken))
    lane = Lane(
        "mistaken",
        mistaken.decode_frames,
        mistaken.encode_frame,
        mistaken.mask,
        mistaken._unused_keys.clear,
        mistaken.compressed_payload,
        mistaken.Gathered,
    )
    with pytest.raises(Difference, match="the mistaken lane and wsproto differ"):
        run(10_000, lanes=[lane], make=make)


def test_lane_differential_runs_from_the_command_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It says which lanes were compared, and in how many cases."""
    monkeypatch.setattr(sys, "argv", ["lane_differential", "3", "17"])
    main()
    out = capsys.readouterr().out
    assert out.startswith(f"wsproto and {', '.join(lane.name for lane in LANES)}: 3 cases,")
    assert PURE in LANES
