"""Any bytes, right or nearly, through all that reads a peer's bytes or a user's text.

What must hold is in the targets of `tests.fuzz`, which atheris searches for longer and by coverage;
here Hypothesis makes inputs of their seeds, and small ones of those that fail.
"""

import re
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given, settings, strategies as st

from tests.fuzz.corpus import SEEDS, WORDS, dictionary, seeds
from tests.fuzz.inputs import parse_input, split
from tests.fuzz.targets import TARGETS
from trio_ws.protocol.connection import Protocol
from trio_ws.protocol.handshake import ClientHandshake, ServerHandshake

each_target = pytest.mark.parametrize("target", TARGETS)

common = settings(deadline=None, max_examples=max(60, settings().max_examples // 2))


@st.composite
def inputs(draw: st.DrawFn, target: str) -> bytes:
    """An input of a target: a seed, or two in one, that was changed in a few places."""
    data = draw(st.sampled_from(seeds(target)))
    if draw(st.integers(0, 4)) == 0:
        another = draw(st.sampled_from(seeds(target)))
        data = data[: draw(st.integers(0, len(data)))] + another[2:]
    for _ in range(draw(st.integers(0, 4))):
        start = draw(st.integers(0, len(data)))
        gone = draw(st.sampled_from([0, 0, 1, 1, 2, 10]))
        new = draw(st.sampled_from(WORDS[target]) | st.binary(max_size=3))
        data = data[:start] + new + data[start + gone :]
    return data


@common
@given(data=st.data())
@each_target
def test_anything_is_dealt_with(target: str, data: st.DataObject) -> None:
    """Nothing raises, nothing depends on the cutting, and it means what the strict readers read."""
    TARGETS[target](data.draw(inputs(target) | st.binary(max_size=60)))


@each_target
def test_seeds_are_dealt_with(target: str) -> None:
    """What a fuzzer starts from does not fail."""
    assert len(seeds(target)) >= 5
    for seed in seeds(target):
        TARGETS[target](seed)


def test_seeds_and_words_are_there_for_each_target() -> None:
    """And always the same, in a form that libFuzzer reads."""
    assert list(SEEDS) == list(WORDS) == list(TARGETS)
    for target in TARGETS:
        assert seeds(target) == seeds(target)
        assert re.fullmatch(r'(?:"(?:\\x[0-9a-f]{2})+"\n)+', dictionary(target))


@given(data=st.binary(max_size=40), how=st.integers(0, 255))
def test_cut_input_is_the_same_input(data: bytes, how: int) -> None:
    """Whatever the manner, nothing is lost by cutting."""
    assert b"".join(split(data, how)) == data
    given_ = parse_input(data)
    assert b"".join(given_.reads()) == given_.stream == data[2:]


def _loses_a_byte(owner: type) -> Iterator[None]:
    """Have what receives lose the last byte of longer reads."""
    with pytest.MonkeyPatch.context() as patch:
        receive_data: Callable[[object, bytes | None], object] = getattr(owner, "receive_data")  # noqa: B009 - of any of them

        def receive(self: object, data: bytes | None) -> object:
            return receive_data(self, data[:-1] if data and len(data) > 6 else data)

        patch.setattr(owner, "receive_data", receive)
        yield


@pytest.mark.parametrize(
    ("target", "owner"),
    [
        ("server-handshake", ServerHandshake),
        ("client-handshake", ClientHandshake),
        ("frames", Protocol),
    ],
)
def test_targets_find_mistakes(target: str, owner: type) -> None:
    """A library that loses a byte does not get through the seeds."""
    for _ in _loses_a_byte(owner):
        with pytest.raises(AssertionError):
            test_seeds_are_dealt_with(target)
