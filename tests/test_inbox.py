"""The queue of what came and was not taken."""

from collections import deque

import pytest
from hypothesis import given, strategies as st

from trio_ws import Limits
from trio_ws._inbox import MESSAGE_OVERHEAD, Inbox
from trio_ws.protocol.connection import Piece


class Alone(Inbox):
    """An inbox that is no connection: the caretaker never sees it."""

    def _look_after(self, ticks_away: int) -> bool:
        raise NotImplementedError

    def _paused_fd(self) -> int | None:
        raise NotImplementedError

    def _hang_up(self) -> None:
        raise NotImplementedError

    def _ring(self, now: float) -> float:
        raise NotImplementedError


def full_of(*items: str | bytes | Piece, messages: int = 100, octets: int = 10_000) -> Alone:
    """Return an inbox with these items and these limits."""
    inbox = Alone(Limits(max_queued_messages=messages, max_queued_bytes=octets))
    for item in items:
        inbox._put_all([item])
    return inbox


@given(st.lists(st.integers(0, 3), max_size=400))
def test_items_leave_in_the_order_in_which_they_came(puts: list[int]) -> None:
    """Whatever comes, one or several at a time, and goes in between, an inbox is a queue."""
    inbox, model = full_of(), deque[str]()
    for number, count in enumerate(puts):
        if count or not model:
            batch = [f"{number}.{part}" for part in range(count)]
            model.extend(batch)
            inbox._put_all([*batch])
        else:
            assert inbox._items.pop() == model.popleft()
        assert len(inbox._items) == len(model)
    while model:
        assert inbox._items.pop() == model.popleft()
    assert not inbox._items


def test_emptied_inbox_is_empty() -> None:
    """It can be used again, and shares nothing with another one."""
    inbox, other = full_of("one", "two"), full_of()
    inbox._items.pop()
    inbox._empty_inbox()
    assert not inbox._items
    inbox._put_all(["three"])
    assert inbox._items.pop() == "three"
    assert not other._items


@pytest.mark.parametrize(
    ("items", "share", "over"),
    [
        ([], 1.0, False),
        (["x"] * 9, 1.0, False),
        (["x"] * 10, 1.0, True),
        (["x"] * 4, 0.5, False),
        (["x"] * 5, 0.5, True),
        ([bytes(1000 - MESSAGE_OVERHEAD - 1)], 1.0, False),
        ([bytes(1000 - MESSAGE_OVERHEAD)], 1.0, True),
        ([bytes(500 - MESSAGE_OVERHEAD)], 0.5, True),
        (["x" * (500 - MESSAGE_OVERHEAD), bytes(500 - MESSAGE_OVERHEAD)], 1.0, True),
        ([Piece(bytes(1000), final=False)], 1.0, True),
        ([Piece("x", final=True)], 1.0, False),
    ],
)
def test_inbox_over_its_limits(
    items: list[str | bytes | Piece], share: float, *, over: bool
) -> None:
    """Either limit is enough; each item counts its length and an overhead, text its characters."""
    assert full_of(*items, messages=10, octets=1000)._inbox_over(share) is over


def test_taken_items_do_not_count() -> None:
    """What the application has is no longer ours to limit."""
    inbox = full_of(bytes(2000), b"x", octets=1000)
    assert inbox._inbox_over(1.0)
    inbox._items.pop()
    assert not inbox._inbox_over(1.0)
