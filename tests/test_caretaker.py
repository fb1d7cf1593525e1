"""One task that looks after all connections: when it ticks, whom it calls, and when it is gone."""

import gc
import math
import socket
import weakref
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing

from tests.transports import socket_pair
from trio_ws._caretaker import TICK, Caretaker, Watched

# The last float at which a clock that counts ticks says this many of them, and the next one.
AWKWARD_TIMES = [0.1, 0.3, 0.7, 0.9, math.nextafter(0.9, 1), 131071.80000000002, 20, 1e9]


class Connection(Watched):
    """Takes notes of what the caretaker calls, and answers as it was told."""

    def __init__(self) -> None:
        self.ticks_away: list[int] = []
        self.rung_at: list[float] = []
        self.hung_up = 0
        self.patience = 0  # until so many ticks away it wants to be watched on
        self.next_alarm = math.inf
        self.fd: int | None = None
        self.on_call: Callable[[], object] = lambda: None

    def _look_after(self, ticks_away: int) -> bool:
        self.ticks_away.append(ticks_away)
        self.on_call()
        return ticks_away < self.patience

    def _paused_fd(self) -> int | None:
        return self.fd

    def _hang_up(self) -> None:
        self.hung_up += 1
        self.on_call()

    def _ring(self, now: float) -> float:
        assert now == trio.current_time()
        self.rung_at.append(now)
        self.on_call()
        return self.next_alarm


@asynccontextmanager
async def caretaker_of(
    *connections: Connection,
) -> AsyncGenerator[tuple[Caretaker, trio.Nursery], None]:
    """Make a caretaker of these connections; at the end they are removed, and it must end."""
    async with trio.open_nursery() as nursery:
        caretaker = Caretaker(nursery.start_soon)
        for connection in connections:
            caretaker.add(connection)
        try:
            yield caretaker, nursery
        finally:
            for connection in connections:
                caretaker.remove(connection)


async def settled(caretaker: Caretaker) -> int:
    """Wait until nothing is left to watch; return how often it has ticked until then."""
    await trio.sleep(10 * TICK)
    ticks = caretaker.ticks
    await trio.sleep(10 * TICK)
    assert caretaker.ticks == ticks
    return ticks


# The task


async def test_caretaker_is_one_task_for_all(autojump_clock: trio.testing.MockClock) -> None:
    """It begins with the first connection and ends with the last."""
    first, second = Connection(), Connection()
    async with trio.open_nursery() as nursery:
        caretaker = Caretaker(nursery.start_soon)
        assert not nursery.child_tasks
        caretaker.add(first)
        caretaker.add(second)
        assert len(nursery.child_tasks) == 1
        await trio.sleep(1)
        assert len(nursery.child_tasks) == 1
        caretaker.remove(first)
        await trio.sleep(1)
        assert len(nursery.child_tasks) == 1
        caretaker.remove(second)
        await trio.testing.wait_all_tasks_blocked()
        assert not nursery.child_tasks


async def test_caretaker_begins_again(autojump_clock: trio.testing.MockClock) -> None:
    """As often as connections come and go, and also when one comes as the last one goes."""
    async with trio.open_nursery() as nursery:
        caretaker = Caretaker(nursery.start_soon)
        for pause in (0.0, 1.0):
            for _ in range(3):
                connection = Connection()
                caretaker.add(connection)
                await trio.sleep(pause)
                assert len(nursery.child_tasks) == 1
                caretaker.remove(connection)
                if pause:
                    await trio.testing.wait_all_tasks_blocked()
                    assert not nursery.child_tasks
                    assert connection.ticks_away == [1]


async def test_caretaker_ends_from_within_its_own_calls(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """A connection may go while it is being called."""
    for call in ("look after", "ring"):
        connection = Connection()
        async with trio.open_nursery() as nursery:
            caretaker = Caretaker(nursery.start_soon)
            caretaker.add(connection)
            if call == "ring":
                await trio.sleep(1)
                caretaker.set_alarm(connection, 0)
            connection.next_alarm = 0
            connection.on_call = lambda connection=connection, caretaker=caretaker: (  # type: ignore[misc]
                caretaker.remove(connection)
            )
        assert len(connection.rung_at) == (call == "ring")


async def test_caretaker_goes_on_in_a_cancelled_nursery(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Connections that close in grace are looked after to their end."""
    connection = Connection()
    async with caretaker_of(connection) as (caretaker, nursery):
        nursery.cancel_scope.cancel()
        with trio.CancelScope(shield=True):
            caretaker.set_alarm(connection, trio.current_time() + 5)
            await trio.sleep(6)
        assert connection.ticks_away == [1]
        assert connection.rung_at == pytest.approx([5])


async def test_caretaker_is_protected_from_ctrl_c(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """KeyboardInterrupt does not strike in what it calls."""
    connection = Connection()
    protected: list[bool] = []
    connection.on_call = lambda: protected.append(trio.lowlevel.currently_ki_protected())
    async with caretaker_of(connection) as (caretaker, _):
        caretaker.set_alarm(connection, 1)
        await trio.sleep(2)
    assert protected == [True, True]


# Ticks


async def test_idle_connections_cost_no_ticks(autojump_clock: trio.testing.MockClock) -> None:
    """Once nothing is to be watched, time passes without it."""
    async with caretaker_of(*(Connection() for _ in range(10))) as (caretaker, _):
        await trio.sleep(1)
        ticks = caretaker.ticks
        assert ticks == 1
        await trio.sleep(80_000)
        assert caretaker.ticks == ticks


@pytest.mark.parametrize("patience", [1, 2, 5])
async def test_absent_application_is_looked_after_tick_by_tick(
    patience: int, autojump_clock: trio.testing.MockClock
) -> None:
    """From the tick after it left, until the connection has had enough; then no more."""
    connection = Connection()
    connection.patience = patience
    async with caretaker_of(connection) as (caretaker, _):
        assert await settled(caretaker) == patience
        assert connection.ticks_away == list(range(1, patience + 1))
        assert not connection._watched


async def test_watch_wakes_the_caretaker(autojump_clock: trio.testing.MockClock) -> None:
    """It goes from rest to ticking at once, and back."""
    connection = Connection()
    connection.patience = 2
    async with caretaker_of(connection) as (caretaker, _):
        before = await settled(caretaker)
        for _ in range(3):
            connection.ticks_away.clear()
            caretaker.watch(connection)
            assert connection._watched
            await settled(caretaker)
            # It is woken, and that is a tick: so the application is away for one to two ticks.
            assert connection.ticks_away == [1, 2]
        assert caretaker.ticks == before + 6


async def test_watch_again_begins_anew(autojump_clock: trio.testing.MockClock) -> None:
    """An application that comes and goes is never away for long."""
    connection = Connection()
    connection.patience = 2
    async with caretaker_of(connection) as (caretaker, _):
        for _ in range(20):
            await trio.sleep(TICK)
            caretaker.watch(connection)
        assert max(connection.ticks_away) <= 2
        connection.ticks_away.clear()
        await settled(caretaker)
        assert connection.ticks_away[-1] == 2


# Hang-ups


@pytest.mark.parametrize("unread", [b"", b"unread"])
@pytest.mark.parametrize("how", ["close", "shutdown"])
async def test_hang_up_is_seen_while_reading_is_paused(
    how: str, unread: bytes, mock_clock: trio.testing.MockClock
) -> None:
    """On a real socket, whatever lies unread before it; it is told once."""
    near, far = socket_pair()
    connection = Connection()
    with near, far:
        connection.fd = near.fileno()
        far.send(b"read")
        async with caretaker_of(connection) as (caretaker, _):
            await tick(mock_clock)
            caretaker.pause(connection)
            for _ in range(3):
                await tick(mock_clock)
            assert connection.hung_up == 0
            far.send(unread)
            if how == "close":
                far.close()
            else:
                far.shutdown(socket.SHUT_WR)
            for _ in range(3):
                await tick(mock_clock)
            assert connection.hung_up == 1


async def test_hang_up_is_told_to_the_right_one(mock_clock: trio.testing.MockClock) -> None:
    """Among many that are paused."""
    pairs = [socket_pair() for _ in range(5)]
    connections = [Connection() for _ in pairs]
    async with caretaker_of(*connections) as (caretaker, _):
        await tick(mock_clock)
        for connection, (near, _) in zip(connections, pairs, strict=True):
            connection.fd = near.fileno()
            caretaker.pause(connection)
        for number in (1, 3):
            pairs[number][1].close()
        await tick(mock_clock)
        await tick(mock_clock)
        assert [connection.hung_up for connection in connections] == [0, 1, 0, 1, 0]
    for near, far in pairs:
        near.close()
        far.close()


async def test_paused_connection_is_looked_at_every_tick(
    mock_clock: trio.testing.MockClock,
) -> None:
    """As long as it is paused, and no longer: the descriptor is asked for afresh each time."""
    near, far = socket_pair()
    connection = Connection()
    with near, far:
        connection.fd = near.fileno()
        async with caretaker_of(connection) as (caretaker, _):
            await tick(mock_clock)
            caretaker.pause(connection)
            await trio.testing.wait_all_tasks_blocked()
            before = caretaker.ticks
            for _ in range(10):
                await tick(mock_clock)
            assert caretaker.ticks == before + 10
            connection.fd = None  # reading goes on
            for _ in range(10):
                await tick(mock_clock)
            assert caretaker.ticks == before + 11
            assert connection.hung_up == 0


async def test_application_that_comes_back_ends_the_pause(
    mock_clock: trio.testing.MockClock,
) -> None:
    """Whoever left `receive` has read: it is no longer paused, and finds the hang-up by itself."""
    near, far = socket_pair()
    connection = Connection()
    with near, far:
        connection.fd = near.fileno()
        async with caretaker_of(connection) as (caretaker, _):
            caretaker.pause(connection)
            caretaker.watch(connection)
            far.close()
            for _ in range(3):
                await tick(mock_clock)
            assert connection.hung_up == 0


async def tick(mock_clock: trio.testing.MockClock) -> None:
    """Let one tick pass."""
    await trio.testing.wait_all_tasks_blocked()
    mock_clock.jump(1.01 * TICK)
    await trio.testing.wait_all_tasks_blocked()


# Alarms


@pytest.mark.parametrize("busy", [False, True])
@pytest.mark.parametrize("when", AWKWARD_TIMES)
async def test_alarm_rings_in_time_and_once(
    when: float, busy: bool, autojump_clock: trio.testing.MockClock
) -> None:
    """Never before its time, and at most a tick later (two while it ticks for others)."""
    connection, other = Connection(), Connection()
    if busy:
        other.patience = 10_000_000
        autojump_clock.jump(max(0, when - 5))
    async with caretaker_of(connection, other) as (caretaker, _):
        caretaker.set_alarm(connection, when)
        await trio.sleep_until(when + 5 * TICK)
        assert len(connection.rung_at) == 1
        latest = when + (2 if busy else 1.001) * TICK
        assert when <= connection.rung_at[0] <= latest


async def test_alarm_is_rung_again_when_it_says_so(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """What `_ring` returns is the next time, `math.inf` is none."""
    connection = Connection()

    def at_even_seconds() -> None:
        now = trio.current_time()
        connection.next_alarm = 2 * math.floor(now / 2) + 2 if now < 9 else math.inf

    async with caretaker_of(connection) as (caretaker, _):
        await settled(caretaker)
        connection.on_call = at_even_seconds
        ticks = caretaker.ticks
        caretaker.set_alarm(connection, 4)
        await trio.sleep(100)
        assert connection.rung_at == pytest.approx([4, 6, 8, 10])
        # One tick for each: waking up to hear of the first is none.
        assert caretaker.ticks == ticks + 4


async def test_alarm_replaces_the_one_before(autojump_clock: trio.testing.MockClock) -> None:
    """Earlier or later; and `math.inf` puts it off for good."""
    earlier, later, off = connections = [Connection() for _ in range(3)]
    async with caretaker_of(*connections) as (caretaker, _):
        for connection in connections:
            caretaker.set_alarm(connection, 10)
        caretaker.set_alarm(earlier, 5)
        caretaker.set_alarm(later, 15)
        caretaker.set_alarm(off, math.inf)
        caretaker.set_alarm(off, math.inf)
        await trio.sleep(100)
    assert earlier.rung_at == pytest.approx([5])
    assert later.rung_at == pytest.approx([15])
    assert off.rung_at == []


async def test_alarm_in_the_past_rings_at_once(autojump_clock: trio.testing.MockClock) -> None:
    """Within a tick, though the caretaker was at rest."""
    connection = Connection()
    async with caretaker_of(connection) as (caretaker, _):
        await trio.sleep(100)
        caretaker.set_alarm(connection, 50)
        await trio.testing.wait_all_tasks_blocked()
        assert connection.rung_at == [100]


async def test_alarms_of_one_moment_ring_together(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """A thousand connections with the same interval are one tick."""
    connections = [Connection() for _ in range(1000)]
    async with caretaker_of(*connections) as (caretaker, _):
        await settled(caretaker)
        ticks = caretaker.ticks
        for connection in connections:
            caretaker.set_alarm(connection, 20)
        await trio.sleep(100)
        assert {tuple(connection.rung_at) for connection in connections} == {(20.0,)}
        assert caretaker.ticks == ticks + 1


async def test_connection_that_leaves_again_and_again_costs_no_ticks(
    mock_clock: trio.testing.MockClock,
) -> None:
    """Being woken from a doze is no tick, or else each message would cost one."""
    connection = Connection()
    async with caretaker_of(connection) as (caretaker, _):
        await trio.testing.wait_all_tasks_blocked()
        for _ in range(10):  # until nothing is left to watch, and it dozes
            mock_clock.jump(TICK)
            await trio.testing.wait_all_tasks_blocked()
        ticks = caretaker.ticks
        for _ in range(100):
            caretaker.watch(connection)
            await trio.testing.wait_all_tasks_blocked()
        assert caretaker.ticks == ticks


@pytest.mark.parametrize("change", ["removed", "put off", "moved", "rung anyhow"])
async def test_alarm_that_another_ring_changes(
    change: str, autojump_clock: trio.testing.MockClock
) -> None:
    """Of two in one moment the first one's ring may take away or move the second one's."""
    first, second = pair = Connection(), Connection()
    async with caretaker_of(*pair) as (caretaker, _):

        def change_the_other() -> None:
            (other,) = (one for one in pair if not one.rung_at)
            for one in pair:
                one.on_call = lambda: None
            if change == "removed":
                caretaker.remove(other)
            elif change == "put off":
                caretaker.set_alarm(other, math.inf)
            elif change == "moved":
                caretaker.set_alarm(other, 20)
            else:
                caretaker.set_alarm(other, 0)

        await settled(caretaker)
        for connection in pair:
            connection.on_call = change_the_other
            caretaker.set_alarm(connection, 10)
        await trio.sleep(100)
        times = sorted(first.rung_at + second.rung_at)
        expected = {"removed": [10], "put off": [10], "moved": [10, 20], "rung anyhow": [10, 10]}
        assert times == pytest.approx(expected[change])
        if change == "removed":
            caretaker.add(second if first.rung_at else first)


# Connections that are gone


async def test_removed_connection_is_left_alone(mock_clock: trio.testing.MockClock) -> None:
    """Neither watched nor rung, and removing it again is harmless."""
    connection, other = Connection(), Connection()
    near, far = socket_pair()
    with near:
        far.close()
        connection.fd = near.fileno()
        connection.patience = 100
        async with caretaker_of(other) as (caretaker, _):
            caretaker.add(connection)
            caretaker.pause(connection)
            caretaker.set_alarm(connection, 0.2)
            caretaker.remove(connection)
            caretaker.remove(connection)
            for _ in range(5):
                await tick(mock_clock)
        assert connection.ticks_away == []
        assert connection.rung_at == []
        assert connection.hung_up == 0


async def test_removed_connection_cannot_come_back(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Calls after the end do nothing: no tick is spent, and no reference to it is kept."""
    connection = Connection()
    async with caretaker_of() as (caretaker, nursery):
        caretaker.add(connection)
        await settled(caretaker)
        caretaker.remove(connection)
        await trio.testing.wait_all_tasks_blocked()
        assert not nursery.child_tasks
        ticks = caretaker.ticks
        caretaker.watch(connection)
        caretaker.pause(connection)
        caretaker.set_alarm(connection, 5)
        assert not connection._watched
        await trio.sleep(10)
        assert caretaker.ticks == ticks
        gone = weakref.ref(connection)
        gc.disable()
        try:
            del connection
            assert gone() is None
        finally:
            gc.enable()
