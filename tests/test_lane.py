"""Which lane runs, and that nothing else changes with it."""

import importlib.util
import os
import subprocess
import sys
import types
from pathlib import Path

import pytest

from tests.helpers import both_roles, other, peer_frame
from tests.lanes import LANES, MODULES, PURE, Lane, each_lane, use_lane
from trio_ws._options import Limits
from trio_ws.protocol import frames, lane as lane_module
from trio_ws.protocol.connection import Protocol
from trio_ws.protocol.state import Role, State
from trio_ws.testing import Opcode, parse_frames

CHECKOUT = Path(__file__).parent.parent

FUNCTIONS = ("Gathered", "compressed_payload", "decode_frames", "encode_frame", "mask")

# Set where a compiler is known to be there: a lane that is silently slow is then a failure.
EXPECTED = os.environ.get("TRIO_WS_EXPECT_COMPILED", "") not in {"", "0"}


def fresh_lane(
    monkeypatch: pytest.MonkeyPatch, speedups: types.ModuleType | None
) -> types.ModuleType:
    """Return `trio_ws.protocol.lane` as it comes out where this, or nothing, was compiled."""
    monkeypatch.setitem(sys.modules, MODULES["compiled"], speedups)
    spec = importlib.util.spec_from_file_location("fresh_lane", lane_module.__file__)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def speedups() -> types.ModuleType:
    """Something to stand for what was compiled, whether it was or not."""
    module = types.ModuleType("speedups")
    vars(module).update({name: object() for name in FUNCTIONS})
    return module


def test_lane_is_compiled_where_that_is_expected() -> None:
    """With TRIO_WS_EXPECT_COMPILED=1, what `.ci/run` sets, the build may not fail silently."""
    built = importlib.util.find_spec(MODULES["compiled"]) is not None
    assert built or not EXPECTED, "TRIO_WS_EXPECT_COMPILED is set, but _speedups was not built"
    assert [each.name for each in LANES] == (["pure", "compiled"] if built else ["pure"])


@pytest.mark.parametrize("wish", [None, "", "0"], ids=["unset", "empty", "0"])
def test_lane_is_the_compiled_one_by_default(
    monkeypatch: pytest.MonkeyPatch, speedups: types.ModuleType, wish: str | None
) -> None:
    """Where it was built it is used, unless somebody says otherwise."""
    monkeypatch.delenv("TRIO_WS_PURE", raising=False)
    if wish is not None:
        monkeypatch.setenv("TRIO_WS_PURE", wish)
    module = fresh_lane(monkeypatch, speedups)
    assert module.LANE == "compiled"
    for name in FUNCTIONS:
        assert getattr(module, name) is getattr(speedups, name)


def test_lane_is_python_on_demand(
    monkeypatch: pytest.MonkeyPatch, speedups: types.ModuleType
) -> None:
    """TRIO_WS_PURE=1 selects it."""
    monkeypatch.setenv("TRIO_WS_PURE", "1")
    module = fresh_lane(monkeypatch, speedups)
    assert module.LANE == "pure"
    for name in FUNCTIONS:
        assert getattr(module, name) is getattr(frames, name)


def test_lane_is_python_where_nothing_was_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """There may have been no compiler; everything works, only slower."""
    monkeypatch.delenv("TRIO_WS_PURE", raising=False)
    module = fresh_lane(monkeypatch, None)
    assert module.LANE == "pure"
    assert module.decode_frames is frames.decode_frames


@pytest.mark.parametrize("lane", LANES, ids=lambda lane: lane.name)
def test_lane_is_selected_in_a_new_process(lane: Lane) -> None:
    """The environment decides for the whole process, and `Protocol` uses what it selects."""
    program = (
        "import trio_ws.protocol as p, trio_ws.protocol.receiving as r,"
        " trio_ws.protocol.sending as s, trio_ws.protocol.payload as y,"
        " trio_ws.protocol.inflating as i;"
        "used = r.decode_frames, s.encode_frame, y.mask, i.compressed_payload;"
        "print(p.LANE, *(f.__module__ for f in used))"
    )
    environment = {**os.environ, "TRIO_WS_PURE": "1" if lane is PURE else "0"}
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=CHECKOUT,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == [lane.name, *[MODULES[lane.name]] * 4]


@each_lane
@both_roles
@pytest.mark.parametrize("size", [(1 << 63) - 1, 1 << 63, 1 << 64, 10**30])
def test_lane_takes_any_limit(lane: Lane, role: Role, size: int) -> None:
    """A limit larger than any machine number is as good as none."""
    protocol = Protocol(role, Limits(max_message_size=size))
    data = peer_frame(role, Opcode.TEXT, b"a" * 300)
    with use_lane(lane):
        assert protocol.receive_data(data + data) == ["a" * 300] * 2
    assert protocol.state is State.OPEN


class Subclass(bytes):
    """As numpy.bytes_ is one."""


@each_lane
@both_roles
def test_lane_takes_subclasses_of_bytes(lane: Lane, role: Role) -> None:
    """To be sent, and as what was read."""
    with use_lane(lane):
        sent = Protocol(role).send(Subclass(b"data"))
        assert parse_frames(sent)[0][0].payload == b"data"
        assert Protocol(other(role)).receive_data(Subclass(sent)) == [b"data"]
