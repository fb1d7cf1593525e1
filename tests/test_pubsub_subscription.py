"""Gaps and endings of a subscription, told at their place between the messages."""

import copy
import pickle
from collections.abc import Callable
from functools import partial
from typing import Unpack

import pytest
import trio
import trio.testing

from trio_ws import WebSocketError
from trio_ws._pace import MAX_MESSAGES
from trio_ws.pubsub import (
    BrokerUnavailable,
    MessagesMissed,
    PubSubError,
    SubscriberTooSlow,
    Subscription,
)
from trio_ws.pubsub._fanout import Fanout
from trio_ws.pubsub._subscription import Options, SubscribeOptions

GAP = "a gap"


def subscribed(**options: Unpack[SubscribeOptions]) -> Subscription:
    """Return a subscription that nobody's broker has made."""
    return Subscription("topic", Options(**options), lambda _: None)


def lose(subscription: Subscription) -> None:
    """Make a gap: go and come back."""
    subscription._interrupt()
    subscription._resume()


def taken(subscription: Subscription) -> list[str | bytes]:
    """Take all that is there, gaps included."""
    found: list[str | bytes] = []
    while True:
        try:
            found.append(subscription.receive_nowait())
        except MessagesMissed:
            found.append(GAP)
        except trio.WouldBlock:
            return found


async def test_gap_is_told_at_its_place() -> None:
    """What came before the gap comes before it, and what came behind it, behind."""
    subscription = subscribed()
    subscription._deliver("before")
    lose(subscription)
    subscription._deliver("behind")
    assert await subscription.receive() == "before"
    with pytest.raises(MessagesMissed, match="messages to 'topic' may have been missed") as caught:
        await subscription.receive()
    assert caught.value.topic == "topic"
    assert await subscription.receive() == "behind"
    assert subscription.statistics().missed == 1


async def test_gap_wakes_who_waits() -> None:
    """A task in receive() hears of a gap at once; another one goes on waiting."""
    subscription = subscribed()
    outcomes: list[object] = []

    async def wait() -> None:
        try:
            outcomes.append(await subscription.receive())
        except MessagesMissed:
            outcomes.append(GAP)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait)
        nursery.start_soon(wait)
        await trio.testing.wait_all_tasks_blocked()
        lose(subscription)
        await trio.testing.wait_all_tasks_blocked()
        assert outcomes == [GAP]
        subscription._deliver("message")
    assert outcomes == [GAP, "message"]


async def test_message_taken_by_another_task_leaves_the_first_waiting() -> None:
    """Who is woken for a message that somebody quicker takes waits for the next one."""
    subscription = subscribed()
    received: list[str | bytes] = []

    async def wait() -> None:
        received.append(await subscription.receive())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait)
        await trio.testing.wait_all_tasks_blocked()
        subscription._deliver("first")
        assert subscription.receive_nowait() == "first"
        await trio.testing.wait_all_tasks_blocked()
        assert received == []
        subscription._deliver("second")
    assert received == ["second"]


def test_interruption_alone_is_no_gap() -> None:
    """A gap is told when messages come again, not while they cannot."""
    subscription = subscribed()
    subscription._interrupt()
    assert taken(subscription) == []
    subscription._resume()
    assert taken(subscription) == [GAP]


def test_resuming_without_interruption_is_no_gap() -> None:
    """Who was not interrupted has missed nothing."""
    subscription = subscribed()
    subscription._resume()
    assert taken(subscription) == []
    assert subscription.statistics().missed == 0


def test_gaps_with_nothing_between_them_are_one() -> None:
    """Three gaps in two places are told twice, and counted three times."""
    subscription = subscribed()
    lose(subscription)
    lose(subscription)
    subscription._deliver("message")
    lose(subscription)
    assert taken(subscription) == [GAP, "message", GAP]
    assert subscription.statistics().missed == 3


def test_gap_stays_when_messages_before_it_are_dropped() -> None:
    """Dropping the oldest moves a gap to the front, and never away."""
    subscription = subscribed(max_queued=2, when_full="drop_oldest")
    subscription._deliver("0")
    lose(subscription)
    for message in "123":
        subscription._deliver(message)
    assert taken(subscription) == [GAP, "2", "3"]


def test_gaps_stay_bounded() -> None:
    """However often the broker goes, no more gaps are kept than there are places for them."""
    subscription = subscribed(max_queued=2, when_full="drop_oldest")
    for number in range(100):
        subscription._deliver(str(number))
        lose(subscription)
    assert len(subscription._gaps) == 3
    assert taken(subscription) == [GAP, "98", GAP, "99", GAP]
    assert subscription.statistics().missed == 100


def test_gaps_ignored_are_counted() -> None:
    """With when_missed="ignore" nothing is raised, and the count says it."""
    subscription = subscribed(when_missed="ignore")
    lose(subscription)
    subscription._deliver("message")
    assert taken(subscription) == ["message"]
    assert subscription.statistics().missed == 1


def test_end_comes_behind_messages_and_gaps() -> None:
    """What was queued is taken first; the first ending counts, and is told anew each time."""
    subscription = subscribed()
    subscription._deliver("message")
    lose(subscription)
    subscription._end(partial(BrokerUnavailable, "refused"))
    subscription._end(trio.EndOfChannel)
    subscription._deliver("too late")
    assert subscription.receive_nowait() == "message"
    with pytest.raises(MessagesMissed):
        subscription.receive_nowait()
    with pytest.raises(BrokerUnavailable, match="refused") as first:
        subscription.receive_nowait()
    with pytest.raises(BrokerUnavailable, match="refused") as second:
        subscription.receive_nowait()
    assert first.value is not second.value


def test_closing_drops_gaps_too() -> None:
    """Who has closed a subscription hears of nothing else any more."""
    subscription = subscribed()
    lose(subscription)
    subscription.close()
    with pytest.raises(trio.ClosedResourceError):
        subscription.receive_nowait()


async def test_end_of_the_channel_ends_the_loop() -> None:
    """When the broker is closed, a loop over the messages is over."""
    subscription = subscribed()
    subscription._deliver("last")
    subscription._end(trio.EndOfChannel)
    assert [message async for message in subscription] == ["last"]


async def test_end_releases_all_who_wait() -> None:
    """Every task in receive() hears of the end."""
    subscription = subscribed()

    async def wait() -> None:
        with pytest.raises(trio.EndOfChannel):
            await subscription.receive()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait)
        nursery.start_soon(wait)
        await trio.testing.wait_all_tasks_blocked()
        subscription._end(trio.EndOfChannel)


async def test_receive_lets_others_run() -> None:
    """A loop over a full queue does not keep the other tasks from running."""
    count = 10 * MAX_MESSAGES
    subscription = subscribed(max_queued=count)
    for number in range(count):
        subscription._deliver(str(number))
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await trio.lowlevel.checkpoint()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(other)
        for _ in range(count):
            await subscription.receive()
        nursery.cancel_scope.cancel()
    assert turns >= 9


def test_fanout_tells_of_the_first_and_the_last() -> None:
    """Whoever looks after topics is told when one begins and when it ends."""
    told: list[str] = []

    def note(what: str, topic: str) -> None:
        told.append(f"{what} {topic}")

    fanout = Fanout(partial(note, "first"), partial(note, "last"))
    options: SubscribeOptions = {}
    with fanout.open("topic", options) as one, fanout.open("topic", options):
        one.close()
        one.close()
        assert told == ["first topic"]
    assert told == ["first topic", "last topic"]
    assert list(fanout.topics) == []


def test_fanout_whose_broker_fails_leaves_nothing() -> None:
    """What the broker raises at the first subscription takes the subscription with it."""

    def fail(topic: str) -> None:
        raise LookupError(topic)

    fanout = Fanout(fail)
    with pytest.raises(LookupError), fanout.open("topic", {}):
        pass
    assert fanout.subscriptions == 0


@pytest.mark.parametrize(
    "change", [Fanout.interrupt, Fanout.resume, partial(Fanout.end, ending=trio.EndOfChannel)]
)
def test_fanout_without_subscribers_does_nothing(change: Callable[[Fanout, str], None]) -> None:
    """News of a topic that nobody is subscribed to is news to nobody."""
    fanout = Fanout()
    with fanout.open("other", {}) as subscription:
        change(fanout, "topic")
        fanout.deliver("topic", "message")
        assert taken(subscription) == []


@pytest.mark.parametrize(
    "error",
    [BrokerUnavailable("no answer"), MessagesMissed("topic"), SubscriberTooSlow("topic", 3)],
    ids=lambda error: type(error).__name__,
)
def test_exceptions_are_values(error: PubSubError) -> None:
    """They are copied and pickled with all they know, and are of the library's family."""
    assert isinstance(error, WebSocketError)
    for other in (copy.copy(error), pickle.loads(pickle.dumps(error))):
        assert type(other) is type(error)
        assert str(other) == str(error)
        assert other.__dict__ == error.__dict__


def test_message_of_an_exception_is_bounded() -> None:
    """A topic of any length makes a message of one short line."""
    for error in (MessagesMissed("x\n" * 1000), SubscriberTooSlow("x\n" * 1000, 3)):
        assert len(str(error)) < 250
        assert "\n" not in str(error)
