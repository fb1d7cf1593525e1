"""Joining early: everything is there, in order, in few objects, and is not copied often."""

import random

import pytest

from trio_ws.protocol import parts as parts_module
from trio_ws.protocol.parts import Parts


@pytest.mark.parametrize("count", [1, 2, 15, 16, 17, 255, 256, 257, 4095, 4096, 4097, 70_000])
@pytest.mark.parametrize("text", [True, False], ids=["text", "binary"])
def test_parts_are_joined_in_order(count: int, text: bool) -> None:
    """What was added comes out, of either kind, whatever number of levels it took."""
    random_bytes = random.Random(count).randbytes(count)
    parts = Parts()
    if text:
        whole = random_bytes.decode("latin-1")
        for character in whole:
            parts.add(character)
        assert parts.join() == whole
    else:
        for i in range(count):
            parts.add(random_bytes[i : i + 1])
        assert parts.join() == random_bytes


def test_parts_of_all_sizes_are_joined_in_order() -> None:
    """Empty ones among large ones change nothing."""
    source = random.Random(1)
    added = [source.randbytes(source.choice([0, 1, 2, 100, 5000])) for _ in range(1000)]
    parts = Parts()
    for part in added:
        parts.add(part)
    assert parts.join() == b"".join(added)


def test_parts_can_be_joined_and_added_to() -> None:
    """To join takes nothing away."""
    parts = Parts()
    parts.add("a")
    assert parts.join() == "a"
    parts.add("b")
    assert parts.join() == "ab"


def test_parts_are_few_objects_whatever_number_was_added() -> None:
    """Each level holds less than sixteen."""
    parts = Parts()
    for _ in range(200_000):
        parts.add(b"x")
    held = [len(level) for level in parts._levels]
    assert len(held) <= 5
    assert max(held) < parts_module._PARTS_PER_LEVEL


def test_parts_are_copied_once_for_each_level(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many small parts cost time in proportion to what they are, not to its square."""
    join = parts_module._joined
    copied = 0

    def counting_join(parts: list[str | bytes]) -> str | bytes:
        nonlocal copied
        copied += sum(len(part) for part in parts)
        return join(parts)

    monkeypatch.setattr(parts_module, "_joined", counting_join)
    parts = Parts()
    for _ in range(100_000):
        parts.add(b"x")
    assert len(parts.join()) == 100_000
    assert copied <= 100_000 * 5
