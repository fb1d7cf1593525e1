"""Limits, timeouts and keepalive: their defaults, and that no invalid one exists."""

import copy
import dataclasses
import math
import pickle
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from tests.servers import echo
from trio_ws import open_websocket_url, serve_websocket_listeners
from trio_ws._options import Keepalive, Limits, Timeouts
from trio_ws.testing import MemoryListener

Options = Limits | Timeouts | Keepalive

COUNTS = [
    "max_message_size",
    "max_fragments",
    "max_queued_messages",
    "max_queued_bytes",
    "max_buffered_bytes",
    "max_header_bytes",
    "max_headers",
    "max_error_body",
]
SECONDS: list[tuple[type[Timeouts] | type[Keepalive], str]] = [
    (Timeouts, "open"),
    (Timeouts, "close"),
    (Timeouts, "stall"),
    (Keepalive, "interval"),
    (Keepalive, "timeout"),
]

every_count = pytest.mark.parametrize("name", COUNTS)
every_time = pytest.mark.parametrize(
    ("kind", "name"), SECONDS, ids=[f"{kind.__name__}.{name}" for kind, name in SECONDS]
)
every_kind = pytest.mark.parametrize("kind", [Limits, Timeouts, Keepalive])


def make(kind: type[Options], name: str, value: object) -> Options:
    """Return options with one field set, to whatever."""
    return kind(**{name: value})  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (
            Limits(),
            {
                "max_message_size": 1048576,
                "max_fragments": 1024,
                "max_queued_messages": 16,
                "max_queued_bytes": 65536,
                "max_buffered_bytes": 65536,
                "max_header_bytes": 16384,
                "max_headers": 100,
                "max_error_body": 65536,
            },
        ),
        (Timeouts(), {"open": 10, "close": 10, "stall": 20}),
        (Keepalive(), {"interval": 20, "timeout": 20}),
    ],
    ids=["Limits", "Timeouts", "Keepalive"],
)
def test_options_have_the_documented_defaults(
    options: Options, expected: dict[str, object]
) -> None:
    """A default is a promise: changing one is a change for everybody."""
    assert dataclasses.asdict(options) == expected


def test_tables_of_this_file_have_every_field() -> None:
    """A new option needs its place in the tables above."""
    assert [field.name for field in dataclasses.fields(Limits)] == COUNTS
    assert [
        (kind, field.name) for kind in (Timeouts, Keepalive) for field in dataclasses.fields(kind)
    ] == SECONDS


@every_kind
def test_options_are_values(kind: type[Options]) -> None:
    """They are immutable, hashable, slotted, and survive copying and pickling."""
    options = kind()
    assert {options: 1}[kind()] == 1
    assert copy.deepcopy(options) == pickle.loads(pickle.dumps(options)) == options
    assert not hasattr(options, "__dict__")
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(options, dataclasses.fields(options)[0].name, 1)


@every_kind
def test_options_are_given_by_name_only(kind: type[Options]) -> None:
    """A number without a name says nothing to a reader."""
    with pytest.raises(TypeError, match="positional argument"):
        kind(1)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


@every_kind
def test_options_are_checked_when_replaced(kind: type[Options]) -> None:
    """There is no way around the checks."""
    name = dataclasses.fields(kind)[0].name
    with pytest.raises(ValueError, match=name):
        dataclasses.replace(kind(), **{name: 0})  # type: ignore[arg-type]


# Limits


@every_count
@pytest.mark.parametrize("value", [1, 2, 2**31, 10**30])
def test_limit_may_be_any_number_from_one(name: str, value: int) -> None:
    """However large a limit is, it is one."""
    assert getattr(make(Limits, name, value), name) == value


@every_count
@pytest.mark.parametrize("value", [0, -1, -(10**30)])
def test_limit_below_one_is_refused(name: str, value: int) -> None:
    """The message names the field, what was expected, and the value."""
    with pytest.raises(ValueError, match=rf"^Limits\.{name} must be at least 1, not {value}$"):
        make(Limits, name, value)


@every_count
@pytest.mark.parametrize("value", [None, True, 1.0, math.inf, "1", b"1"])
def test_limit_of_another_type_is_refused(name: str, value: object) -> None:
    """No limit can be switched off, and True is not 1."""
    with pytest.raises(TypeError, match=rf"^Limits\.{name} must be an int, not {value!r}$"):
        make(Limits, name, value)


# Timeouts and Keepalive


@every_time
@pytest.mark.parametrize("value", [1, 0.001, 5e-324, 86400, 1e300, math.inf])
def test_time_may_be_any_number_above_zero(
    kind: type[Timeouts | Keepalive], name: str, value: float
) -> None:
    """Infinity too, which waits for ever."""
    assert getattr(make(kind, name, value), name) == value


@every_time
@pytest.mark.parametrize("value", [0, 0.0, -0.0, -1, -math.inf, math.nan])
def test_time_that_is_not_above_zero_is_refused(
    kind: type[Timeouts | Keepalive], name: str, value: float
) -> None:
    """Nothing happens in no time; and not-a-number is neither above nor below."""
    message = rf"^{kind.__name__}\.{name} must be above 0 seconds .*, not {value!r}$"
    with pytest.raises(ValueError, match=message):
        make(kind, name, value)


@every_time
@pytest.mark.parametrize("value", [None, True, "1", 1j, Fraction(1, 2)])
def test_time_of_another_type_is_refused(
    kind: type[Timeouts | Keepalive], name: str, value: object
) -> None:
    """None could mean both for ever and at once; infinity says which."""
    message = rf"^{kind.__name__}\.{name} must be a number of seconds, not "
    with pytest.raises(TypeError, match=message):
        make(kind, name, value)


ANYTHING = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.binary()
    | st.lists(st.integers())
)


@settings(deadline=None)
@given(value=ANYTHING, count=st.sampled_from(COUNTS), time=st.sampled_from(SECONDS))
def test_options_keep_a_value_or_raise(
    value: object, count: str, time: tuple[type[Timeouts] | type[Keepalive], str]
) -> None:
    """H10: whatever is given, it is held unchanged, or refused by TypeError or ValueError."""
    kind, name = time
    for each, field in ((Limits, count), (kind, name)):
        try:
            options = make(each, field, value)
        except (TypeError, ValueError) as exc:
            assert f"{each.__name__}.{field}" in str(exc)  # noqa: PT017 - either way is right
        else:
            assert getattr(options, field) is value


@pytest.mark.parametrize("name", ["limits", "timeouts", "keepalive"])
async def test_number_in_place_of_options_is_refused(name: str) -> None:
    """``timeouts=5`` is a likely mistake: it is told by name, before anything is done."""
    message = rf"^{name} must be a {name.title()}, not 5: write {name}={name.title()}\(\w+=5\)$"
    wrong: Any = {name: 5}
    with pytest.raises(TypeError, match=message):
        async with open_websocket_url("ws://localhost:1/", **wrong):
            pytest.fail("it was opened")
    with pytest.raises(TypeError, match=message):
        await serve_websocket_listeners(echo, [MemoryListener()], **wrong)
