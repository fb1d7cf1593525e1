"""The broker over Redis when Redis goes, hangs, comes back or refuses; a real one each time."""

import itertools
import logging
import sys
import traceback
from collections.abc import AsyncGenerator, Generator, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from typing import cast

import pytest
import trio
import trio.testing
from coredis.exceptions import RedisError

from tests.clients import beside
from tests.redis_server import LOOPBACK, RedisServer, in_front, running_redis
from tests.servers import contexts
from trio_ws import Backoff, InvalidURL, Keepalive
from trio_ws.pubsub import (
    BrokerUnavailable,
    MessagesMissed,
    RedisBroker,
    Subscription,
    _redis_link,
    open_redis_broker as real_open_redis_broker,
)
from trio_ws.pubsub._redis import _Standing
from trio_ws.pubsub._redis_session import in_words
from trio_ws.pubsub._redis_url import parse_redis_url

HANGS = 60  # seconds; nothing here takes more than a fraction of one
SOON = 0.05  # seconds, for a Redis that does not answer anyway
PASSWORD = "correct/horse battery:st@ple#"
ENCODED = "correct%2Fhorse%20battery%3Ast%40ple%23"

# Trying again soon: a test waits for that in real time.
open_redis_broker = partial(real_open_redis_broker, backoff=Backoff(initial=0.01, maximum=0.02))


@pytest.fixture
async def redis() -> AsyncGenerator[RedisServer, None]:
    """Run a Redis for the test."""
    with trio.fail_after(HANGS):
        async with running_redis() as server:
            yield server


async def restart(redis: RedisServer) -> None:
    """Take Redis away for a moment, with all that it knew."""
    await redis.kill()
    await redis.start()


async def expect_gap(subscription: Subscription) -> None:
    """See that the next thing to receive is a gap."""
    with trio.fail_after(HANGS), pytest.raises(MessagesMissed):
        await subscription.receive()


async def wait_outage(broker: RedisBroker) -> None:
    """Wait until the broker has noticed that Redis is not there."""
    link, lost = broker._link, trio.Event()
    on_lost = link._on_lost

    def noticed() -> None:
        on_lost()
        lost.set()

    link._on_lost = noticed
    if link.session is not None:
        with trio.fail_after(HANGS):
            await lost.wait()
    assert not broker.statistics().connected


async def subscribers(redis: RedisServer, channel: str) -> int:
    """Ask Redis how many connections are subscribed to a channel."""
    answer = await redis.command("PUBSUB", "NUMSUB", channel)
    return int(answer.rpartition(":")[2])


# One subscription for each topic and process


async def test_topic_is_one_subscription_in_redis(redis: RedisServer) -> None:
    """Two subscribers here are one there; with the last one the subscription ends."""
    async with open_redis_broker(redis.url, prefix="here:") as broker:
        async with broker.subscribe("topic") as one:
            async with broker.subscribe("topic") as two:
                assert await subscribers(redis, "here:topic") == 1
                await broker.publish("topic", "message")
                assert await one.receive() == await two.receive() == "message"
            await broker.publish("other", "")  # done after whatever was said before
            assert await subscribers(redis, "here:topic") == 1
        await broker.publish("other", "")
        assert await subscribers(redis, "here:topic") == 0


async def test_processes_are_joined_by_prefix(redis: RedisServer) -> None:
    """Two brokers with one prefix hear each other; one with another prefix hears neither."""
    async with (
        open_redis_broker(redis.url) as here,
        open_redis_broker(redis.url) as there,
        open_redis_broker(redis.url, prefix="other") as elsewhere,
        here.subscribe("topic") as one,
        elsewhere.subscribe("topic") as other,
    ):
        await there.publish("topic", "from there")
        await elsewhere.publish("topic", "from elsewhere")
        assert await one.receive() == "from there"
        assert await other.receive() == "from elsewhere"


async def test_subscribers_come_and_go_at_once(redis: RedisServer) -> None:
    """Whoever subscribes as the last one leaves is subscribed."""
    async with open_redis_broker(redis.url) as broker:
        for number in range(20):
            async with broker.subscribe("topic") as subscription:
                await broker.publish("topic", str(number))
                assert await subscription.receive() == str(number)


async def test_first_subscriber_cancelled_leaves_the_second_its_place(redis: RedisServer) -> None:
    """Redis is asked for both; when who asked first gives up, the other still enters."""
    async with open_redis_broker(redis.url) as broker, trio.open_nursery() as nursery:

        async def enter(*, task_status: trio.TaskStatus[trio.CancelScope]) -> None:
            with trio.CancelScope() as scope:
                task_status.started(scope)
                async with broker.subscribe("topic") as subscription:
                    assert await subscription.receive() == "message"

        redis.stop()
        first = await nursery.start(enter)
        await nursery.start(enter)
        await trio.testing.wait_all_tasks_blocked()
        first.cancel()
        await trio.testing.wait_all_tasks_blocked()
        assert broker.statistics().subscriptions == 1
        redis.resume()
        async with broker.subscribe("topic"):
            await broker.publish("topic", "message")


async def test_subscriber_who_gives_up_is_unsubscribed(redis: RedisServer) -> None:
    """When entering is cancelled before Redis has answered, nothing is left there either."""
    async with open_redis_broker(redis.url, timeout=HANGS) as broker:
        redis.stop()
        with trio.move_on_after(SOON):
            async with broker.subscribe("topic"):
                pytest.fail("Redis has not answered")
        redis.resume()
        await broker.publish("other", "")
        assert await subscribers(redis, "trio_ws:topic") == 0


# Outages


async def test_outage_is_told_at_its_place(redis: RedisServer) -> None:
    """Each subscriber hears of the gap once, behind what it had, and goes on."""
    async with (
        open_redis_broker(redis.url) as broker,
        broker.subscribe("topic") as one,
        broker.subscribe("topic") as two,
        broker.subscribe("other") as other,
    ):
        await broker.publish("topic", "before")
        assert await two.receive() == "before"  # so one has it too, and leaves it in the queue
        await restart(redis)
        await expect_gap(two)
        await expect_gap(other)
        await broker.publish("topic", "behind")
        assert await two.receive() == "behind"
        assert await one.receive() == "before"
        await expect_gap(one)
        assert await one.receive() == "behind"
        assert one.statistics().missed == 1
        assert (broker.statistics().connected, broker.statistics().outages) == (True, 1)


async def test_outage_twice_is_two_gaps(redis: RedisServer) -> None:
    """A broker comes back every time."""
    async with open_redis_broker(redis.url) as broker, broker.subscribe("topic") as subscription:
        for number in range(2):
            await restart(redis)
            await expect_gap(subscription)
            await broker.publish("topic", str(number))
            assert await subscription.receive() == str(number)
        assert broker.statistics().outages == 2


async def test_iteration_goes_on_after_a_gap(redis: RedisServer) -> None:
    """The loop that the documentation shows."""
    received: list[str | bytes] = []

    async def consume() -> None:
        while len(received) < 3:
            try:
                async for message in subscription:
                    received.append(message)
                    if message == "first":
                        await restart(redis)
                    if message == "second":
                        break
            except MessagesMissed:
                received.append("read it afresh")
                await broker.publish("topic", "second")

    async with open_redis_broker(redis.url) as broker, broker.subscribe("topic") as subscription:
        await broker.publish("topic", "first")
        await consume()
    assert received == ["first", "read it afresh", "second"]


async def test_publish_waits_for_redis_to_come_back(redis: RedisServer) -> None:
    """A message published while Redis is away is sent when it is there again."""
    async with (
        open_redis_broker(redis.url, timeout=HANGS) as broker,
        broker.subscribe("topic", when_missed="ignore") as subscription,
    ):
        await redis.kill()
        await wait_outage(broker)
        async with beside(partial(broker.publish, "topic", "message")):
            await trio.testing.wait_all_tasks_blocked()
            await redis.start()
        # Whether this process was subscribed again by then is what the gap leaves open; it is
        # asked for first, on the same connection.
        assert await subscription.receive() == "message"


async def test_publish_does_not_wait_for_ever(redis: RedisServer) -> None:
    """While Redis is away, publish() raises when its time is up."""
    async with open_redis_broker(redis.url, timeout=SOON) as broker:
        await redis.kill()
        await wait_outage(broker)
        with pytest.raises(BrokerUnavailable, match=r"no answer within 0\.05 seconds"):
            await broker.publish("topic", "message")
        assert isinstance(BrokerUnavailable(""), ConnectionError)
        await redis.start()


async def test_publish_interrupted_says_so(redis: RedisServer) -> None:
    """A message that was on its way when Redis went may have arrived or not; none is repeated."""

    async def publish() -> None:
        with pytest.raises(BrokerUnavailable, match="the connection was lost"):
            await broker.publish("topic", "message")

    async with open_redis_broker(redis.url, timeout=HANGS) as broker:
        redis.stop()
        async with beside(publish):
            await trio.testing.wait_all_tasks_blocked()
            await redis.kill()
        await redis.start()


async def test_subscribe_waits_for_redis_to_come_back(redis: RedisServer) -> None:
    """Who subscribes during an outage enters after it, and has missed nothing."""

    async def subscribe() -> None:
        async with broker.subscribe("topic") as subscription:
            await broker.publish("topic", "message")
            assert await subscription.receive() == "message"

    async with open_redis_broker(redis.url, timeout=HANGS) as broker:
        await redis.kill()
        await wait_outage(broker)
        async with beside(subscribe):
            await trio.testing.wait_all_tasks_blocked()
            await redis.start()


async def test_second_subscriber_waits_for_redis_as_well(redis: RedisServer) -> None:
    """Who joins a topic during an outage is not told that it is subscribed before it is."""

    async def subscribe() -> None:
        async with broker.subscribe("topic") as second:
            entered.set()
            await broker.publish("topic", "message")
            assert await second.receive() == "message"

    entered = trio.Event()
    async with (
        open_redis_broker(redis.url, timeout=HANGS) as broker,
        broker.subscribe("topic") as first,
    ):
        await redis.kill()
        await wait_outage(broker)
        async with beside(subscribe):
            await trio.testing.wait_all_tasks_blocked()
            assert not entered.is_set()
            await redis.start()
        await expect_gap(first)
        assert await first.receive() == "message"


async def test_subscribe_interrupted_enters_all_the_same(redis: RedisServer) -> None:
    """When Redis goes before it has answered, the next connection asks again; that is no gap."""

    async def subscribe() -> None:
        async with broker.subscribe("topic") as subscription:
            await broker.publish("topic", "message")
            assert await subscription.receive() == "message"

    async with open_redis_broker(redis.url, timeout=HANGS) as broker:
        redis.stop()
        async with beside(subscribe):
            await trio.testing.wait_all_tasks_blocked()
            await restart(redis)


async def test_subscribe_does_not_wait_for_ever(redis: RedisServer) -> None:
    """While Redis is away, subscribe() raises when its time is up, and nobody is subscribed."""
    async with open_redis_broker(redis.url, timeout=SOON) as broker:
        await redis.kill()
        await wait_outage(broker)
        with pytest.raises(BrokerUnavailable, match="no answer"):
            await broker.subscribe("topic").__aenter__()
        assert broker.statistics().topics == 0
        await redis.start()


async def test_unsubscribing_during_an_outage_is_remembered(redis: RedisServer) -> None:
    """Who leaves while Redis is away is not subscribed when it is back."""
    async with open_redis_broker(redis.url, timeout=HANGS) as broker:
        async with broker.subscribe("topic"):
            await redis.kill()
            await wait_outage(broker)
        await redis.start()
        await broker.publish("topic", "")
        assert await subscribers(redis, "trio_ws:topic") == 0


@pytest.mark.parametrize("resumes", [True, False])
async def test_redis_that_hangs_is_lost(redis: RedisServer, resumes: bool) -> None:
    """A Redis that gives no sign of life is given up, and found again when it lives."""
    keepalive = Keepalive(interval=SOON, timeout=SOON)
    async with (
        open_redis_broker(redis.url, keepalive=keepalive, timeout=SOON) as broker,
        broker.subscribe("topic") as subscription,
    ):
        redis.stop()
        await wait_outage(broker)
        if resumes:
            redis.resume()
        else:
            await restart(redis)
        await expect_gap(subscription)


async def test_keepalive_leaves_a_redis_that_lives(redis: RedisServer) -> None:
    """Pings are answered, and disturb nothing."""
    keepalive = Keepalive(interval=0.001, timeout=HANGS)
    async with (
        open_redis_broker(redis.url, keepalive=keepalive) as broker,
        broker.subscribe("topic") as subscription,
    ):
        for number in range(50):
            await broker.publish("topic", str(number))
            assert await subscription.receive() == str(number)
        assert broker.statistics().outages == 0


async def test_answer_nobody_asked_for_ends_the_connection(redis: RedisServer) -> None:
    """When answers and questions are out of step, a new connection sets them right."""
    async with open_redis_broker(redis.url) as broker, broker.subscribe("topic") as subscription:
        session = broker._link.session
        assert session is not None
        assert "redis" in repr(session._connection).lower()
        session._connection.send_command(b"PING")
        await expect_gap(subscription)
        await broker.publish("topic", "message")
        assert await subscription.receive() == "message"


async def test_outage_is_logged_once_for_each_reason(
    redis: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    """A log of an outage stays short, however often it was tried."""
    tries = 0
    enough = trio.Event()
    genuine = _redis_link.Link.connect

    async def counted(link: _redis_link.Link) -> object:
        nonlocal tries
        tries += 1
        if tries == 5:
            enough.set()
        return await genuine(link)

    with pytest.MonkeyPatch.context() as patch, caplog.at_level(logging.INFO, "trio_ws"):
        async with (
            open_redis_broker(redis.url) as broker,
            broker.subscribe("topic") as subscription,
        ):
            patch.setattr(_redis_link.Link, "connect", counted)
            await redis.kill()
            await enough.wait()
            await redis.start()
            await expect_gap(subscription)
    assert len([each for each in caplog.records if each.name.startswith("trio_ws")]) < tries


@pytest.mark.parametrize("reset_after", [0, HANGS])
async def test_waits_grow_until_a_connection_has_lasted(
    redis: RedisServer, reset_after: float
) -> None:
    """A connection that is lost soon does not make the next wait a first one again."""
    begun: list[Backoff] = []

    class Counted(Backoff):
        def waits(self) -> Iterator[float]:
            begun.append(self)
            return itertools.repeat(0.0)

    backoff = Counted(reset_after=reset_after)
    async with (
        real_open_redis_broker(redis.url, backoff=backoff) as broker,
        broker.subscribe("topic") as subscription,
    ):
        for _ in range(2):
            await redis.command("CLIENT", "KILL", "TYPE", "pubsub")
            await expect_gap(subscription)
    assert len(begun) == (3 if reset_after == 0 else 1)


# Not let in


@pytest.mark.parametrize("url", [f"redis://{LOOPBACK}:1", "unix:///nowhere/redis.sock"])
async def test_open_without_redis_raises(url: str) -> None:
    """When nobody is there at the start, that is said at once."""
    with pytest.raises(BrokerUnavailable, match=r"Redis at \S+: ") as caught:
        await open_redis_broker(url).__aenter__()
    assert isinstance(caught.value.__cause__, OSError)


def test_reason_comes_from_the_bottom() -> None:
    """Of an error that others are the cause of, the first one says why."""
    refused = ExceptionGroup("two addresses", [OSError("refused"), OSError("unreachable")])
    error = OSError("all attempts failed")
    error.__cause__ = refused
    assert in_words(error) == "refused"
    assert in_words(TimeoutError()) == "TimeoutError"
    assert len(in_words(OSError("x" * 1000))) == 200


async def test_open_with_somebody_silent_raises() -> None:
    """When nobody answers at the start, that is said in time."""
    (listener,) = await trio.open_tcp_listeners(0, host=LOOPBACK)
    port = listener.socket.getsockname()[1]
    async with listener:
        with pytest.raises(BrokerUnavailable, match=r"no answer within 0\.05 seconds"):
            await open_redis_broker(f"redis://{LOOPBACK}:{port}", timeout=SOON).__aenter__()


async def test_open_cancelled_is_cancelled() -> None:
    """A cancelled attempt to connect is no failure of Redis."""
    (listener,) = await trio.open_tcp_listeners(0, host=LOOPBACK)
    port = listener.socket.getsockname()[1]
    async with listener:
        with trio.move_on_after(SOON) as scope:
            await open_redis_broker(f"redis://{LOOPBACK}:{port}").__aenter__()
    assert scope.cancelled_caught


async def test_open_with_somebody_else_raises() -> None:
    """A server that speaks another protocol is no Redis."""
    (listener,) = await trio.open_tcp_listeners(0, host=LOOPBACK)

    async def speak() -> None:
        async with listener, await listener.accept() as stream:
            await stream.receive_some()
            await stream.send_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async with beside(speak):
        port = listener.socket.getsockname()[1]
        with pytest.raises(BrokerUnavailable):
            await open_redis_broker(f"redis://{LOOPBACK}:{port}").__aenter__()


@contextmanager
def nothing_told(
    error: type[Exception], secret: str, caplog: pytest.LogCaptureFixture
) -> Generator[None, None, None]:
    """See that neither the exception that is expected nor a log shows a secret."""
    with caplog.at_level(logging.DEBUG), pytest.raises(error) as caught:
        yield
    assert secret not in caplog.text
    assert secret not in repr(caught.value)
    assert secret not in "".join(traceback.format_exception(caught.value))


async def test_password_opens_and_is_told_nobody(caplog: pytest.LogCaptureFixture) -> None:
    """With the password one is let in; with a wrong one or none, nothing shows what was tried."""
    async with running_redis("--requirepass", PASSWORD) as redis:
        url = redis.url.replace("unix://", f"unix://:{ENCODED}@")
        async with open_redis_broker(url) as broker:
            await broker.publish("topic", "message")
        for wrong in ("wr0ng", ""):
            bad = redis.url.replace("unix://", f"unix://ada:{wrong}@")
            with nothing_told(BrokerUnavailable, "wr0ng", caplog):
                await open_redis_broker(bad).__aenter__()


@pytest.mark.parametrize(
    "url",
    [
        "redis://u:se/cret@host",
        "redis://u:secret@host:port",
        "redis://u:secret@[host",
        "http://u:secret@host",
        "redis://u:secret@",
        "unix://u:secret@",
        "redis://u:secret@host?ssl_cert_reqs=none",
        "redis://u:secret@host/#0",
    ],
)
async def test_url_that_is_no_good_is_refused(url: str, caplog: pytest.LogCaptureFixture) -> None:
    """Anything but a plain URL of Redis is refused, without showing the password in it."""
    with nothing_told(InvalidURL, "cret", caplog):
        await open_redis_broker(url).__aenter__()


def test_url_is_taken_apart() -> None:
    """Host, port, path, user and password; as text, only where it is."""
    tcp = parse_redis_url(f"redis://ada:{ENCODED}@localhost/0", None)
    assert (tcp.host, tcp.port, tcp.path, tcp.ssl_context) == ("localhost", 6379, "", None)
    assert (tcp.username, tcp.password) == ("ada", PASSWORD)
    assert str(tcp) == "localhost:6379"
    assert "ada" not in repr(tcp)
    assert PASSWORD not in repr(tcp)
    unix = parse_redis_url("unix:///run/redis%20one.sock", None)
    assert (unix.path, str(unix), unix.username) == ("/run/redis one.sock",) * 2 + (None,)
    secure = parse_redis_url("rediss://[::1]:7000", None)
    assert (secure.host, secure.port) == ("::1", 7000)
    assert secure.ssl_context is not None
    assert secure.ssl_context.check_hostname


@pytest.mark.parametrize(("seconds", "error"), [(0, ValueError), (cast("float", "5"), TypeError)])
async def test_timeout_that_is_none_is_refused(seconds: float, error: type[Exception]) -> None:
    """A wrong timeout raises before anything is connected to."""
    with pytest.raises(error, match="timeout"):
        await open_redis_broker("unix:///nowhere", timeout=seconds).__aenter__()


def test_url_of_another_type_is_refused() -> None:
    """A URL is text."""
    with pytest.raises(TypeError, match="a URL must be a str, not bytes"):
        parse_redis_url(cast("str", b"redis://host"), None)


async def test_over_tcp_and_tls(redis: RedisServer) -> None:
    """TCP does as well as a Unix socket, and so does TLS when the certificate is trusted."""
    tls = contexts()
    async with in_front(redis) as plain, in_front(redis, tls.server) as secure:
        async with (
            open_redis_broker(f"redis://{LOOPBACK}:{plain}") as here,
            open_redis_broker(f"rediss://localhost:{secure}", ssl_context=tls.client) as there,
            there.subscribe("topic") as subscription,
        ):
            await here.publish("topic", "x" * 100_000)
            assert await subscription.receive() == "x" * 100_000
        with pytest.raises(BrokerUnavailable, match="certificate verify failed"):
            await open_redis_broker(f"rediss://localhost:{secure}").__aenter__()


@asynccontextmanager
async def limited_broker(redis: RedisServer) -> AsyncGenerator[RedisBroker, None]:
    """Connect as somebody who may use one topic, named "allowed"."""
    await redis.command(
        "ACL", "SETUSER", "limited", "on", ">pw", "+@all", "resetchannels", "&trio_ws:allowed"
    )
    async with open_redis_broker(redis.url.replace("unix://", "unix://limited:pw@")) as broker:
        yield broker


async def test_refusal_concerns_its_topic_alone(redis: RedisServer) -> None:
    """Where Redis refuses one topic, that is said, and the others do not notice."""
    async with limited_broker(redis) as broker, broker.subscribe("allowed") as subscription:
        for _ in range(2):
            with pytest.raises(BrokerUnavailable, match=r"Redis refused: .*permission"):
                await broker.subscribe("forbidden").__aenter__()
            with pytest.raises(BrokerUnavailable, match=r"Redis refused: .*permission"):
                await broker.publish("forbidden", "message")
            await broker.publish("allowed", "message")
            assert await subscription.receive() == "message"
        assert broker.statistics().topics == 1
        assert broker.statistics().outages == 0


async def test_refusal_after_an_outage_ends_the_subscription(redis: RedisServer) -> None:
    """A subscription that Redis does not take again says so; when it was left, that is all."""
    async with limited_broker(redis) as broker:
        async with broker.subscribe("allowed") as subscription:
            await redis.command("ACL", "SETUSER", "limited", "resetchannels", "&other")
            await redis.command("CLIENT", "KILL", "TYPE", "pubsub")
            with pytest.raises(BrokerUnavailable, match=r"Redis refused: .*permission"):
                await subscription.receive()
            with pytest.raises(BrokerUnavailable, match=r"Redis refused: .*permission"):
                await broker.subscribe("allowed").__aenter__()
        assert broker.statistics().topics == 0


async def test_refusal_nobody_waits_for_is_no_matter(redis: RedisServer) -> None:
    """When who subscribed has left before Redis refuses, nothing is disturbed."""
    async with limited_broker(redis) as broker:
        redis.stop()
        with trio.move_on_after(SOON):
            async with broker.subscribe("forbidden"):
                pytest.fail("Redis has not answered")
        redis.resume()
        await broker.publish("allowed", "message")
        assert broker.statistics().outages == 0


async def test_refusal_of_who_left_does_not_end_who_came(redis: RedisServer) -> None:
    """An answer to an earlier subscription says nothing about the one that stands."""
    async with open_redis_broker(redis.url) as broker, broker.subscribe("topic") as subscription:
        broker._answered("topic", _Standing(), RedisError("refused"))
        await broker.publish("topic", "message")
        assert await subscription.receive() == "message"


async def test_foreign_messages_are_ignored(
    redis: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    """What others publish to our channels is left out, and logged once."""
    async with open_redis_broker(redis.url) as broker, broker.subscribe("topic") as subscription:
        for foreign in ("", "x", "t\ud800".encode("utf-8", "surrogatepass").hex()):
            await redis.command("PUBLISH", "trio_ws:topic", foreign)
        await redis.command("PUBLISH", "trio_ws:topic", "tof ours, by hand")
        assert await subscription.receive() == "of ours, by hand"
    assert [each.getMessage() for each in caplog.records if each.name == "trio_ws.pubsub"] == [
        "somebody else publishes to 'topic'; this is ignored"
    ]


# Closing


async def test_closed_broker_says_so(redis: RedisServer) -> None:
    """After its block a broker takes nothing more, and its subscriptions end."""
    async with open_redis_broker(redis.url) as broker:
        subscribing = broker.subscribe("topic")
        subscription = await subscribing.__aenter__()
        await broker.publish("topic", "last")
        assert await subscription.receive() == "last"
    assert [message async for message in subscription] == []
    for _ in range(2):
        with pytest.raises(trio.ClosedResourceError):
            await broker.publish("topic", "message")
        with pytest.raises(trio.ClosedResourceError):
            await broker.subscribe("topic").__aenter__()
    await subscribing.__aexit__(None, None, None)
    assert broker.statistics().connected is False


async def test_closing_releases_who_waits(redis: RedisServer) -> None:
    """Whoever waits for Redis, or for a message, learns that the broker is closed."""

    async def publish(broker: RedisBroker) -> None:
        with pytest.raises(trio.ClosedResourceError):
            await broker.publish("topic", "message")

    async def subscribe(broker: RedisBroker) -> None:
        with pytest.raises(trio.ClosedResourceError):
            await broker.subscribe("topic").__aenter__()

    async def receive(
        broker: RedisBroker, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        async with broker.subscribe("other") as subscription:
            task_status.started()
            assert [message async for message in subscription] == []

    async with trio.open_nursery() as nursery, open_redis_broker(redis.url) as broker:
        await nursery.start(receive, broker)
        redis.stop()
        nursery.start_soon(publish, broker)
        nursery.start_soon(subscribe, broker)
        await trio.testing.wait_all_tasks_blocked()
    redis.resume()


async def test_exception_of_the_block_leaves_as_it_is(redis: RedisServer) -> None:
    """The nursery inside is not to be noticed."""
    error = LookupError("mine")
    with pytest.raises(LookupError) as caught:
        async with open_redis_broker(redis.url):
            raise error
    assert caught.value is error
    assert error.__context__ is None


async def test_cancellation_of_the_block_ends_it(redis: RedisServer) -> None:
    """A broker whose block is cancelled, during an outage for one, ends at once."""
    with trio.CancelScope() as scope:
        async with open_redis_broker(redis.url) as broker:
            await redis.kill()
            await wait_outage(broker)
            scope.cancel()
            await trio.sleep_forever()
    assert scope.cancelled_caught


async def test_without_coredis_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """The extra is named when it is not installed."""
    monkeypatch.delitem(sys.modules, "trio_ws.pubsub._redis_link")
    monkeypatch.setitem(sys.modules, "coredis.exceptions", None)
    with pytest.raises(ImportError, match=r"pip install 'trio_ws\[redis\]'"):
        await open_redis_broker("unix:///nowhere").__aenter__()
