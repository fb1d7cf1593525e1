"""Amortised checkpoints: when one is due, by messages and by the clock, and who may run then."""

import pytest
import trio
import trio.testing

from trio_ws._pace import MAX_MESSAGES, MAX_SECONDS, PACE, Pace, checkpoint


async def test_pace_is_due_after_so_many_messages(mock_clock: trio.testing.MockClock) -> None:
    """However fast they are; and again only when the others have had their chance."""
    pace = Pace()
    pace.restart()
    for _ in range(3):
        assert [pace.due() for _ in range(MAX_MESSAGES)] == [False] * (MAX_MESSAGES - 1) + [True]
        pace.restart()


async def test_pace_is_due_after_so_much_time(mock_clock: trio.testing.MockClock) -> None:
    """Where messages are slow it looks at the clock now and then, which is good enough."""
    pace = Pace()
    for _ in range(3):
        pace.restart()
        mock_clock.jump(2 * MAX_SECONDS)
        due = [pace.due() for _ in range(10)]
        assert due.index(True) < 10


async def test_pace_is_not_due_before_its_time(mock_clock: trio.testing.MockClock) -> None:
    """Few messages in little time hold nobody up."""
    pace = Pace()
    pace.restart()
    mock_clock.jump(MAX_SECONDS / 2)
    assert not any(pace.due() for _ in range(MAX_MESSAGES // 2))


async def test_pace_that_was_due_stays_due(mock_clock: trio.testing.MockClock) -> None:
    """Whoever asks next is told the same, until somebody has heeded it."""
    pace = Pace()
    pace.restart()
    due = [pace.due() for _ in range(2 * MAX_MESSAGES)]
    assert all(due[MAX_MESSAGES:])
    pace.restart()
    assert not pace.due()


async def test_pace_after_a_clock_that_was_ahead(mock_clock: trio.testing.MockClock) -> None:
    """What a run of Trio leaves behind does not keep the next one from yielding."""
    pace = Pace()
    mock_clock.jump(1e6)
    pace.restart()
    pace._since = trio.current_time() + 1e6
    assert [pace.due() for _ in range(MAX_MESSAGES)].index(True) == MAX_MESSAGES - 1


async def test_turn_changes_with_each_restart(mock_clock: trio.testing.MockClock) -> None:
    """The same number means that nobody else has run."""
    pace = Pace()
    turns = [pace.turn]
    for _ in range(3):
        pace.due()
        assert pace.turn == turns[-1]
        pace.restart()
        turns.append(pace.turn)
    assert len(set(turns)) == 4


async def test_checkpoint_lets_the_others_run_now_and_then(
    mock_clock: trio.testing.MockClock,
) -> None:
    """Once for many messages, not for each."""
    steps = 0

    async def count_steps() -> None:
        nonlocal steps
        while True:
            steps += 1
            await trio.lowlevel.checkpoint()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(count_steps)
        PACE.restart()
        turn = PACE.turn
        for _ in range(5 * MAX_MESSAGES):
            await checkpoint()
        assert 4 <= steps <= 6
        assert PACE.turn == turn + 5
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("messages", [0, MAX_MESSAGES - 1])
async def test_checkpoint_checks_for_cancellation_every_time(
    messages: int, mock_clock: trio.testing.MockClock
) -> None:
    """Whether it is one that yields or not."""
    PACE.restart()
    for _ in range(messages):
        PACE.due()
    with trio.CancelScope() as scope:
        scope.cancel()
        await checkpoint()
    assert scope.cancelled_caught
