"""What both brokers promise: the same tests for the one in memory and the one over a real Redis."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Unpack

import pytest
import trio
import trio.testing

from tests.injection import Fault, Injector, inject
from tests.redis_server import RedisServer
from trio_ws.pubsub import (
    Broker,
    MemoryBroker,
    RedisBroker,
    SubscribeOptions,
    SubscriberTooSlow,
    Subscription,
    open_redis_broker,
)
from trio_ws.pubsub._subscription import WhenFull

HANGS = 60  # seconds; nothing here takes more than a fraction of one

AnyBroker = MemoryBroker | RedisBroker


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    """Run one Redis for all these tests: none of them does it any harm."""
    with TemporaryDirectory() as directory:
        server = RedisServer(Path(directory))
        trio.run(server.start)
        yield server
        trio.run(server.kill)


@pytest.fixture(params=["memory", "redis"])
async def broker(
    request: pytest.FixtureRequest, redis: RedisServer
) -> AsyncGenerator[AnyBroker, None]:
    """Each broker in turn."""
    if request.param == "memory":
        yield MemoryBroker()
    else:
        async with open_redis_broker(redis.url) as redis_broker:
            yield redis_broker


@asynccontextmanager
async def filled(
    broker: Broker, count: int, **options: Unpack[SubscribeOptions]
) -> AsyncGenerator[Subscription, None]:
    """Subscribe, and publish "0", "1" and so on: all have come to the queue, none is taken."""
    async with (
        broker.subscribe("numbers", **options) as subscription,
        broker.subscribe("numbers", max_queued=count) as witness,
    ):
        for number in range(count):
            await broker.publish("numbers", str(number))
        for _ in range(count):  # served after the other, and so when the other has them
            await receive(witness)
        yield subscription


async def receive(subscription: Subscription) -> str | bytes:
    """Receive the next message, which has to come."""
    with trio.fail_after(HANGS):
        return await subscription.receive()


async def receive_queued(subscription: Subscription) -> list[str | bytes]:
    """Receive what has come already."""
    return [await receive(subscription) for _ in range(subscription.statistics().queued)]


def test_both_are_brokers() -> None:
    """Both brokers have the methods of the protocol; mypy and pyright look at their types."""
    for broker in (MemoryBroker, RedisBroker):
        _: type[Broker] = broker


# Messages and topics


@pytest.mark.parametrize(
    "message", ["", "grüße 🦄", "\udcff", b"", b"\x00\xff", b"text", "x" * 1_000_000]
)
async def test_message_arrives_as_it_was_published(broker: AnyBroker, message: str | bytes) -> None:
    """Text stays text and binary stays binary, whatever is in it."""
    async with broker.subscribe("topic") as subscription:
        await broker.publish("topic", message)
        received = await receive(subscription)
    assert received == message
    assert type(received) is type(message)


@pytest.mark.parametrize(
    "topic", ["", " ", "*", "a?[b]", "rooms/1", "\r\n", "\x00", "größe", "\ud800", "x" * 10_000]
)
async def test_topic_may_be_any_text(broker: AnyBroker, topic: str) -> None:
    """A topic is text and no pattern: it gets its messages and no other's."""
    async with broker.subscribe(topic) as subscription, broker.subscribe("other") as other:
        await broker.publish("other", "theirs")
        await broker.publish(topic, "ours")
        assert await receive(subscription) == "ours"
        assert await receive(other) == "theirs"
        assert subscription.topic == topic


async def test_message_without_subscribers_goes_nowhere(broker: AnyBroker) -> None:
    """Who subscribes later has missed it, and gets what comes then."""
    await broker.publish("topic", "too early")
    async with broker.subscribe("topic") as subscription:
        await broker.publish("topic", "in time")
        assert await receive(subscription) == "in time"


async def test_each_subscriber_gets_each_message_once_and_in_order(broker: AnyBroker) -> None:
    """Three subscribers hear two publishers at once, each publisher in its order."""
    count = 50

    async def publish(who: str) -> None:
        for number in range(count):
            await broker.publish("topic", f"{who} {number}")

    async with AsyncExitStack() as stack:
        subscriptions = [
            await stack.enter_async_context(broker.subscribe("topic", max_queued=2 * count))
            for _ in range(3)
        ]
        async with trio.open_nursery() as nursery:
            nursery.start_soon(publish, "Ada")
            nursery.start_soon(publish, "Grace")
        for subscription in subscriptions:
            received = [str(await receive(subscription)) for _ in range(2 * count)]
            for who in ("Ada", "Grace"):
                expected = [f"{who} {number}" for number in range(count)]
                assert [each for each in received if each.startswith(who)] == expected
            with pytest.raises(trio.WouldBlock):
                subscription.receive_nowait()


@pytest.mark.parametrize("message", [1, None, bytearray(b"x"), memoryview(b"x")])
async def test_message_of_another_type_is_refused(broker: AnyBroker, message: bytes) -> None:
    """A message is str or bytes; bytes that might change are neither."""
    with pytest.raises(TypeError, match="a message must be a str or bytes"):
        await broker.publish("topic", message)


@pytest.mark.parametrize("topic", [b"topic", None, 1])
async def test_topic_of_another_type_is_refused(broker: AnyBroker, topic: str) -> None:
    """A topic is str, for publishing and subscribing."""
    with pytest.raises(TypeError, match="a topic must be a str"):
        await broker.publish(topic, "message")
    with pytest.raises(TypeError, match="a topic must be a str"):
        await broker.subscribe(topic).__aenter__()
    assert broker.statistics().subscriptions == 0


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"max_queued": 0}, ValueError),
        ({"max_queued": 1.5}, TypeError),
        ({"when_full": "drop"}, ValueError),
        ({"when_missed": "close"}, ValueError),
        ({"queue": 1}, TypeError),
    ],
)
async def test_option_that_is_no_good_is_refused(
    broker: AnyBroker, options: SubscribeOptions, error: type[Exception]
) -> None:
    """A wrong option raises before anything is subscribed to."""
    with pytest.raises(error):
        await broker.subscribe("topic", **options).__aenter__()
    assert broker.statistics().topics == 0


# Slow subscribers


async def test_drop_oldest_keeps_the_newest(broker: AnyBroker) -> None:
    """The queue holds the last messages, and it is counted how many are gone."""
    async with filled(broker, 10, max_queued=3, when_full="drop_oldest") as subscription:
        assert subscription.dropped == subscription.statistics().dropped == 7
        assert await receive_queued(subscription) == ["7", "8", "9"]
        await broker.publish("numbers", "next")
        assert await receive(subscription) == "next"
        statistics = subscription.statistics()
        assert (statistics.received, statistics.queued, statistics.max_queued) == (4, 0, 3)


async def test_drop_newest_keeps_the_oldest(broker: AnyBroker) -> None:
    """The queue holds the first messages; once there is room, messages come again."""
    async with filled(broker, 10, max_queued=3, when_full="drop_newest") as subscription:
        assert subscription.dropped == 7
        assert await receive_queued(subscription) == ["0", "1", "2"]
        await broker.publish("numbers", "next")
        assert await receive(subscription) == "next"


async def test_close_ends_the_subscription(broker: AnyBroker) -> None:
    """What was queued is delivered, then the end is told, every time; nothing more is queued."""
    async with filled(broker, 10, max_queued=3, when_full="close") as subscription:
        assert await receive_queued(subscription) == ["0", "1", "2"]
        for _ in range(2):
            with pytest.raises(SubscriberTooSlow) as caught:
                await receive(subscription)
            assert (caught.value.topic, caught.value.max_queued) == ("numbers", 3)
            assert isinstance(caught.value, trio.BrokenResourceError)
        assert subscription.dropped == 0


@pytest.mark.parametrize("when_full", ["drop_oldest", "drop_newest", "close"])
async def test_full_queue_is_no_overflow(broker: AnyBroker, when_full: WhenFull) -> None:
    """As many messages as may wait, may wait."""
    async with filled(broker, 3, max_queued=3, when_full=when_full) as subscription:
        assert await receive_queued(subscription) == ["0", "1", "2"]
        assert subscription.dropped == 0
        with pytest.raises(trio.WouldBlock):
            subscription.receive_nowait()


async def test_thousand_speak_at_one_moment(broker: AnyBroker) -> None:
    """Nobody is too slow because many publish before he has his turn."""
    async with broker.subscribe("topic") as subscription, trio.open_nursery() as nursery:
        for _ in range(1000):
            nursery.start_soon(broker.publish, "topic", "hello")
        for _ in range(1000):
            assert await receive(subscription) == "hello"


async def test_slow_subscriber_holds_up_nobody(broker: AnyBroker) -> None:
    """One subscriber that never receives costs the others nothing."""
    async with (
        broker.subscribe("topic", max_queued=1) as slow,
        broker.subscribe("topic") as quick,
    ):
        for number in range(20):
            await broker.publish("topic", str(number))
            assert await receive(quick) == str(number)
        assert await receive(slow) == "0"


# Receiving


async def test_several_tasks_share_a_subscription(broker: AnyBroker) -> None:
    """Each message goes to one of them, and none is lost."""
    received: list[str | bytes] = []

    async def take(subscription: Subscription) -> None:
        async for message in subscription:
            received.append(message)
            if len(received) == 20:
                nursery.cancel_scope.cancel()

    with trio.fail_after(HANGS):
        async with broker.subscribe("topic") as subscription, trio.open_nursery() as nursery:
            for _ in range(2):
                nursery.start_soon(take, subscription)
            for number in range(20):
                await broker.publish("topic", str(number))
    assert sorted(received, key=int) == [str(number) for number in range(20)]


async def test_receive_nowait_takes_what_is_there(broker: AnyBroker) -> None:
    """It returns what has come, and never waits."""
    async with filled(broker, 2) as subscription:
        assert [subscription.receive_nowait() for _ in range(2)] == ["0", "1"]
        with pytest.raises(trio.WouldBlock):
            subscription.receive_nowait()


async def test_receive_cancelled_with_a_message_coming_loses_nothing(broker: AnyBroker) -> None:
    """Whether a cancelled receive() got its message or not, the next one goes on behind it."""
    received: list[str | bytes] = []

    async def take(scope: trio.CancelScope) -> None:
        with scope:
            received.append(await subscription.receive())

    with trio.fail_after(HANGS):
        async with broker.subscribe("topic") as subscription:
            for number in range(30):
                async with trio.open_nursery() as nursery:
                    scope = trio.CancelScope()
                    nursery.start_soon(take, scope)
                    await broker.publish("topic", str(number))
                    for _ in range(number % 5):
                        await trio.lowlevel.checkpoint()
                    scope.cancel()
            while len(received) < 30:
                received.append(await subscription.receive())
    assert received == [str(number) for number in range(30)]


# Closing


async def test_closed_subscription_says_so(broker: AnyBroker) -> None:
    """After its block, or close(), nothing comes any more, not even what was queued."""
    async with filled(broker, 1) as subscription:
        pass
    with pytest.raises(trio.ClosedResourceError):
        await subscription.receive()
    with pytest.raises(trio.ClosedResourceError):
        subscription.receive_nowait()
    await subscription.aclose()  # once more does no harm


async def test_closing_releases_who_waits(broker: AnyBroker) -> None:
    """A task in receive() learns that another one has closed the subscription."""

    async def wait(subscription: Subscription) -> None:
        with pytest.raises(trio.ClosedResourceError):
            await subscription.receive()

    async with broker.subscribe("topic") as subscription, trio.open_nursery() as nursery:
        nursery.start_soon(wait, subscription)
        nursery.start_soon(wait, subscription)
        await trio.testing.wait_all_tasks_blocked()
        await subscription.aclose()
        assert broker.statistics().subscriptions == 0


async def test_topic_goes_with_its_last_subscriber(broker: AnyBroker) -> None:
    """Topics are counted while somebody is subscribed."""
    statistics = broker.statistics
    assert (statistics().topics, statistics().subscriptions) == (0, 0)
    async with broker.subscribe("topic"):
        async with broker.subscribe("topic"):
            async with broker.subscribe("other"):
                assert (statistics().topics, statistics().subscriptions) == (2, 3)
            assert (statistics().topics, statistics().subscriptions) == (1, 2)
        assert (statistics().topics, statistics().subscriptions) == (1, 1)
    assert (statistics().topics, statistics().subscriptions) == (0, 0)
    assert (statistics().connected, statistics().outages) == (True, 0)


async def test_exception_of_the_body_leaves_as_it_is(broker: AnyBroker) -> None:
    """The block adds nothing to what its body raises, and unsubscribes."""
    error = LookupError("mine")
    with pytest.raises(LookupError) as caught:
        async with broker.subscribe("topic"):
            raise error
    assert caught.value is error
    assert broker.statistics().topics == 0


# Cancellation at every point

CANCELS = [Fault.CANCEL_BEFORE_STEP, Fault.CANCEL_AFTER_STEP, Fault.CANCEL_AT_CHECKPOINT]


async def points_in(scenario: Callable[[Injector], Awaitable[None]]) -> int:
    """Cancel the scenario at each of its points; return how many there were."""
    return sum([await inject(scenario, fault) for fault in CANCELS])


async def test_subscribe_cancelled_anywhere_leaves_nothing(broker: AnyBroker) -> None:
    """Entered or not, after it nobody is subscribed, and the next one is served."""

    async def scenario(injector: Injector) -> None:
        with injector.armed():
            async with broker.subscribe("topic"):
                pass
        assert broker.statistics().subscriptions == 0
        async with broker.subscribe("topic") as subscription:
            await broker.publish("topic", "message")
            assert await receive(subscription) == "message"

    assert await points_in(scenario) > 0


async def test_publish_cancelled_anywhere_disturbs_nothing(broker: AnyBroker) -> None:
    """The message came or not, once at most; the next one comes."""

    async def scenario(injector: Injector) -> None:
        async with broker.subscribe("topic") as subscription:
            with injector.armed() as scope:
                await broker.publish("topic", "first")
            await broker.publish("topic", "second")
            messages = [await receive(subscription)]
            if messages == ["first"]:
                messages.append(await receive(subscription))
            assert messages[-1] == "second"
            assert scope.cancelled_caught or len(messages) == 2

    assert await points_in(scenario) > 0


async def test_receive_cancelled_anywhere_takes_nothing(broker: AnyBroker) -> None:
    """A message is received by the call that was cancelled, or by the next one."""

    async def scenario(injector: Injector) -> None:
        async with broker.subscribe("topic") as subscription, trio.open_nursery() as nursery:
            nursery.start_soon(partial(broker.publish, "topic", "message"))
            messages: list[str | bytes] = []
            with injector.armed():
                messages.append(await subscription.receive())
            if not messages:
                messages.append(await receive(subscription))
            assert messages == ["message"]

    assert await points_in(scenario) > 0
