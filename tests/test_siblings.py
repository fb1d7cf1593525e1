"""Sibling tasks that end each other."""

import contextlib
import gc
import weakref
from collections.abc import Awaitable, Callable
from functools import partial
from typing import NoReturn

import pytest
import trio
import trio.testing

from tests.connections import HANGS, pair_over
from trio_ws import ConnectionBroken, ConnectionClosed, ConnectionEnded, WebSocket, run_siblings


async def done() -> str:
    """Return at once; what is returned is of no account."""
    await trio.lowlevel.checkpoint()
    return "ignored"


async def give_up(error: BaseException) -> NoReturn:
    """Raise this."""
    await trio.lowlevel.checkpoint()
    raise error


async def give_up_when_cancelled(error: BaseException) -> None:
    """Wait for ever, and raise this instead of what ended that."""
    try:
        await trio.sleep_forever()
    except trio.Cancelled:
        raise error from None


async def return_when_cancelled() -> None:
    """Wait for ever, and take the end of that for a reason to return."""
    with contextlib.suppress(trio.Cancelled):
        await trio.sleep_forever()


async def wait_and_note(noted: list[str]) -> None:
    """Wait for ever, and take note of a cancellation."""
    try:
        await trio.sleep_forever()
    finally:
        noted.append("cancelled")


async def test_return_ends_the_others(autojump_clock: trio.testing.MockClock) -> None:
    """All others are cancelled, and their ends are waited for."""
    noted: list[str] = []
    with trio.fail_after(HANGS):
        await run_siblings(partial(wait_and_note, noted), done, partial(wait_and_note, noted))
    assert noted == ["cancelled"] * 2


async def test_exception_ends_the_others_and_comes_out_plain(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """It is the exception itself, in no group and with no other as its context."""
    noted: list[str] = []
    error = ValueError("a bug")
    with trio.fail_after(HANGS):
        with pytest.raises(ValueError, match="a bug") as caught:
            await run_siblings(partial(wait_and_note, noted), partial(give_up, error))
    assert caught.value is error
    assert error.__context__ is None
    assert noted == ["cancelled"]


async def test_group_of_a_sibling_stays_a_group(autojump_clock: trio.testing.MockClock) -> None:
    """A sibling with a nursery raises groups, and none is put around it."""
    group = ExceptionGroup("of my own", [ValueError("a"), ValueError("b")])
    with trio.fail_after(HANGS):
        with pytest.RaisesGroup(ValueError, ValueError, match="of my own") as caught:
            await run_siblings(partial(give_up, group), trio.sleep_forever)
    assert caught.value is group


async def test_two_exceptions_make_a_group(autojump_clock: trio.testing.MockClock) -> None:
    """None of them is lost; a group among them is there as it was."""
    with trio.fail_after(HANGS):
        with pytest.RaisesGroup(
            ValueError, pytest.RaisesGroup(TypeError), match="several siblings raised"
        ):
            await run_siblings(
                partial(give_up, ValueError("first")),
                partial(give_up_when_cancelled, ExceptionGroup("inner", [TypeError("second")])),
            )


async def test_exception_wins_over_a_return(autojump_clock: trio.testing.MockClock) -> None:
    """One that comes out of the cancellation is no less a bug."""
    with trio.fail_after(HANGS):
        with pytest.raises(ValueError, match="a bug"):
            await run_siblings(done, partial(give_up_when_cancelled, ValueError("a bug")))


@pytest.mark.parametrize(
    "late",
    [
        ConnectionBroken(None, None),
        ExceptionGroup("in a nursery", [ConnectionBroken(None, None)]),
    ],
    ids=["plain", "group"],
)
async def test_return_wins_over_connection_closed_of_the_same_moment(
    late: Exception, autojump_clock: trio.testing.MockClock
) -> None:
    """A loop that ended cleanly and a ``send()`` that raised tell of one close."""
    with trio.fail_after(HANGS):
        await run_siblings(done, partial(give_up_when_cancelled, late))
        await run_siblings(partial(give_up, late), return_when_cancelled)


async def test_return_takes_only_connection_closed_out_of_a_group(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """What else is in the group comes out, in the group that it was in."""
    mixed = ExceptionGroup("in a nursery", [ConnectionEnded(None, None), ValueError("a bug")])
    with trio.fail_after(HANGS):
        with pytest.RaisesGroup(pytest.RaisesExc(ValueError, match="a bug"), match="in a nursery"):
            await run_siblings(done, partial(give_up_when_cancelled, mixed))


async def test_connection_closed_without_a_return_comes_out(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """There is nothing that it could repeat."""
    with trio.fail_after(HANGS):
        with pytest.raises(ConnectionBroken):
            await run_siblings(partial(give_up, ConnectionBroken(None, None)), trio.sleep_forever)


@pytest.mark.parametrize("count", [1, 3])
async def test_cancellation_reaches_all_siblings(
    count: int, autojump_clock: trio.testing.MockClock
) -> None:
    """It is the caller's: it goes on up as such, to its scope."""
    noted: list[str] = []
    reached = False
    with trio.move_on_after(1) as scope:
        await run_siblings(*[partial(wait_and_note, noted)] * count)
        reached = True  # pragma: no cover - that is what is tested
    assert scope.cancelled_caught
    assert not reached
    assert noted == ["cancelled"] * count


async def test_cancellation_loses_no_exception(autojump_clock: trio.testing.MockClock) -> None:
    """What a sibling raises while it is cancelled comes out instead."""
    with trio.move_on_after(1) as scope:
        with pytest.raises(ValueError, match="a bug"):
            await run_siblings(
                partial(give_up_when_cancelled, ValueError("a bug")), trio.sleep_forever
            )
    assert not scope.cancelled_caught


async def test_cancellation_of_siblings_in_nurseries_is_not_raised_twice(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """A group of nothing but cancellations is one."""

    async def in_a_nursery() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep_forever)
            nursery.start_soon(trio.sleep_forever)

    with trio.move_on_after(1) as scope:
        await run_siblings(in_a_nursery, in_a_nursery)
    assert scope.cancelled_caught


async def test_return_in_a_cancelled_scope_is_a_return(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Work that is done is done, as with every function of trio's."""

    async def tidy_up() -> None:
        with trio.CancelScope(shield=True):
            await trio.lowlevel.checkpoint()

    with trio.CancelScope() as scope:
        scope.cancel()
        await run_siblings(tidy_up, trio.sleep_forever)
    assert not scope.cancelled_caught


async def test_nothing_to_run_is_refused() -> None:
    """Without it, this would wait for the end of nothing."""
    with pytest.raises(ValueError, match="at least one async function"):
        await run_siblings()


async def test_keyboard_interrupt_of_a_sibling_comes_out(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Ctrl-C is not held up, and the others are cancelled for it."""
    noted: list[str] = []
    with trio.fail_after(HANGS):
        with pytest.raises(KeyboardInterrupt):
            await run_siblings(partial(give_up, KeyboardInterrupt()), partial(wait_and_note, noted))
    assert noted == ["cancelled"]


async def test_exception_is_not_kept_in_a_cycle(autojump_clock: trio.testing.MockClock) -> None:
    """It is gone when its last user is, without the garbage collector."""

    class Noticed(Exception):
        """Can be referred to weakly."""

    async def fail() -> None:
        raise Noticed

    noticed: weakref.ref[Noticed] | None = None
    gc.disable()
    try:
        try:
            await run_siblings(fail, trio.sleep_forever)
        except Noticed as exc:
            noticed = weakref.ref(exc)
        assert noticed is not None
        assert noticed() is None
    finally:
        gc.enable()


async def consume(websocket: WebSocket) -> None:
    """Read until the end."""
    async for _ in websocket:
        pass


async def produce(websocket: WebSocket) -> None:
    """Send until the end."""
    while True:
        await websocket.send("tick")
        await trio.sleep(1)


@pytest.mark.parametrize("order", [(consume, produce), (produce, consume)])
async def test_consumer_and_producer_end_with_a_clean_close(
    order: tuple[Callable[[WebSocket], Awaitable[None]], ...],
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Whoever hears of it first, a peer that closes is no error."""
    async with pair_over() as (client, server), trio.open_nursery() as nursery:
        nursery.start_soon(run_siblings, *(partial(each, client) for each in order))
        assert await server.receive() == "tick"
        await server.aclose()


async def test_consumer_and_producer_end_with_what_broke_the_connection(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """It comes out once and plain, though both may have met it."""
    async with pair_over() as (client, server):

        async def break_soon() -> None:
            await trio.sleep(1.5)
            await trio.aclose_forcefully(server.stream)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(break_soon)
            with pytest.raises(ConnectionClosed):
                await run_siblings(partial(consume, client), partial(produce, client))
