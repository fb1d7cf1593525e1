"""Pings on their way: which pong answers which, how long it took, and who waits for room."""

import os
from collections.abc import Iterator

import pytest
import trio
import trio.testing

from trio_ws._pings import MAX_OUTSTANDING, Pings, SentPing


def sent(*payloads: bytes) -> tuple[Pings, list[SentPing]]:
    """Return pings of these payloads, sent one second apart from second 0 on."""
    pings = Pings()
    sent_pings = [SentPing(float(second), trio.Event()) for second in range(len(payloads))]
    for payload, ping in zip(payloads, sent_pings, strict=True):
        pings.add(payload, ping)
    return pings, sent_pings


def is_done(ping: SentPing) -> bool:
    """Tell whether who waits for it was released."""
    assert ping.done is not None
    return ping.done.is_set()


async def test_answer_tells_the_round_trip_time() -> None:
    """In seconds since the ping was sent; whoever waits is released and finds it there."""
    pings, (ping,) = sent(b"a")
    assert b"a" in pings
    assert pings.answer(b"a", 2.5) == 2.5
    assert ping.round_trip == 2.5
    assert is_done(ping)
    assert b"a" not in pings


async def test_answer_covers_earlier_pings() -> None:
    """A peer may answer the newest of several alone (RFC 6455, section 5.5.3)."""
    pings, (first, second, third) = sent(b"a", b"b", b"c")
    assert pings.answer(b"b", 5) == 4
    assert (first.round_trip, second.round_trip, third.round_trip) == (5, 4, None)
    assert [is_done(ping) for ping in (first, second, third)] == [True, True, False]
    assert pings.answer(b"a", 6) is None
    assert pings.answer(b"c", 6) == 4


@pytest.mark.parametrize("payload", [b"", b"unknown"])
async def test_answer_that_nobody_asked_for_counts_nothing(payload: bytes) -> None:
    """An unsolicited pong is no answer; the pings wait on."""
    pings, (ping,) = sent(b"a")
    assert pings.answer(payload, 1) is None
    assert not is_done(ping)
    assert b"a" in pings


async def test_answer_to_a_ping_that_nobody_waits_for() -> None:
    """A keepalive ping has no event, and is timed all the same."""
    pings = Pings()
    keepalive = SentPing(1.0)
    pings.add(b"k", keepalive)
    assert pings.answer(b"k", 1.5) == 0.5
    assert keepalive.round_trip == 0.5


async def test_forget_makes_the_pong_unsolicited() -> None:
    """A ping that was given up is answered by nothing; giving it up again is harmless."""
    pings, (ping,) = sent(b"a")
    pings.forget(b"a")
    pings.forget(b"a")
    assert pings.answer(b"a", 1) is None
    assert ping.round_trip is None
    assert not is_done(ping)


async def test_payload_is_new_and_random(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is on no other ping; a collision is drawn again."""
    pings, _ = sent(b"aaaa")
    payloads: Iterator[bytes] = iter([b"aaaa", b"aaaa", b"bbbb"])

    def urandom(size: int) -> bytes:
        assert size == 4
        return next(payloads)

    with monkeypatch.context() as patch:
        patch.setattr(os, "urandom", urandom)
        assert pings.new_payload() == b"bbbb"
    assert len({pings.new_payload() for _ in range(100)}) == 100


async def test_room_is_for_so_many_at_once() -> None:
    """Then it is full, until one is answered or given up."""
    pings, _ = sent(*(b"%d" % number for number in range(MAX_OUTSTANDING - 1)))
    assert not pings.full
    pings.add(b"last", SentPing(0))
    assert pings.full
    pings.forget(b"last")
    assert not pings.full


@pytest.mark.parametrize("how", ["answer", "forget"])
async def test_wait_room_wakes_one_for_each_place(how: str) -> None:
    """First come, first served."""
    pings, _ = sent(*(b"%02d" % number for number in range(MAX_OUTSTANDING)))
    woken: list[int] = []

    async def wait(number: int) -> None:
        await pings.wait_room()
        woken.append(number)

    async with trio.open_nursery() as nursery:
        for number in range(4):
            nursery.start_soon(wait, number)
            await trio.testing.wait_all_tasks_blocked()
        if how == "answer":
            pings.answer(b"01", 20)
        else:
            pings.forget(b"05")
            pings.forget(b"05")
            pings.forget(b"03")
        await trio.testing.wait_all_tasks_blocked()
        assert sorted(woken) == [0, 1]
        nursery.cancel_scope.cancel()


async def test_release_lets_everybody_go() -> None:
    """Who waits for a pong or for room: no pong will come, and none has come."""
    pings, waiting = sent(*(b"%d" % number for number in range(MAX_OUTSTANDING)))
    pings.add(b"keepalive", SentPing(0))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(pings.wait_room)
        nursery.start_soon(pings.wait_room)
        await trio.testing.wait_all_tasks_blocked()
        pings.release()
    assert all(is_done(ping) for ping in waiting)
    assert {ping.round_trip for ping in waiting} == {None}
    assert not pings.full
    assert b"0" not in pings
