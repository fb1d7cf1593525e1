"""The broker that joins processes: Redis.

One connection for each process, one subscription in Redis for each topic, handed out here.

Invariant: once a subscription was entered, every message is in its queue, or the gap is.  The gap
is queued when Redis has taken the subscription anew, so nothing is missed behind it.
"""

from __future__ import annotations

import logging
import ssl
from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Unpack

import trio

from trio_ws._arguments import check_in_trio
from trio_ws._async_block import async_block
from trio_ws._backoff import Backoff
from trio_ws._options import Keepalive, _check_seconds
from trio_ws.pubsub._broker import BrokerStatistics, check_message, check_topic
from trio_ws.pubsub._errors import BrokerUnavailable
from trio_ws.pubsub._fanout import Fanout
from trio_ws.pubsub._redis_url import parse_redis_url
from trio_ws.pubsub._subscription import SubscribeOptions, Subscription

if TYPE_CHECKING:
    from trio_ws.pubsub._redis_link import Link
    from trio_ws.pubsub._redis_session import Session

logger = logging.getLogger("trio_ws.pubsub")

# A message's first byte in Redis: whether str or bytes was published.
_TEXT = b"t"
_BINARY = b"b"


@async_block("broker")
async def open_redis_broker(
    url: str,
    *,
    prefix: str = "trio_ws:",
    ssl_context: ssl.SSLContext | None = None,
    timeout: float = 5,  # noqa: ASYNC109 - it also bounds what no caller waits for
    keepalive: Keepalive = Keepalive(),
    backoff: Backoff = Backoff(initial=0.2, maximum=5),
) -> AsyncGenerator[RedisBroker, None]:
    """Connect to Redis, and join with all processes that publish there with the same prefix.

    While the block lasts, a lost connection is opened again, and subscribers are told that they
    may have missed something.  Leaving it closes the broker: subscriptions end, as after the last
    message.  Cancelled while it connects, it leaves nothing behind.

    Args:
        url: ``redis://host:port``, ``rediss://host:port`` for TLS, ``unix:///path``; with
            ``user:password@``, percent-encoded, before the host or path.
        prefix: what the names of our channels in Redis begin with.
        ssl_context: for ``rediss``; by default one that verifies certificate and host name.
        timeout: how long Redis may take to be reached and to answer, in seconds.
        keepalive: when to ask Redis for a sign of life.
        backoff: how long to wait before connecting again.  Shorter than for clients of a server:
            Redis has few of them, and while it is away nobody hears anything.

    Raises:
        InvalidURL: the URL is no good.
        BrokerUnavailable: Redis is not there, or does not let us in.
        ImportError: coredis is not installed.
    """
    check_in_trio()
    _check_seconds("timeout", timeout)
    address = parse_redis_url(url, ssl_context)
    link_class = _link_class()
    error: BaseException | None = None
    async with trio.open_nursery() as nursery:
        try:
            make_link = partial(
                link_class, address, nursery, timeout=timeout, keepalive=keepalive, backoff=backoff
            )
            broker = RedisBroker(make_link, prefix, timeout, str(address))
            await broker._open(nursery)
            try:
                yield broker
            finally:
                broker._close()
        except BaseException as exc:  # noqa: BLE001 - raised again outside the nursery, in no group
            error = exc
        nursery.cancel_scope.cancel()
    if error is not None:
        try:
            raise error
        finally:
            del error  # an exception that refers to its own frame would be a cycle


class _Standing:
    """How a topic stands with Redis."""

    __slots__ = ("ready", "refusal")

    def __init__(self) -> None:
        self.ready = trio.Event()  # once Redis has answered; another one after each outage
        self.refusal: str | None = None


class RedisBroker:
    """A `Broker` over Redis; `open_redis_broker` makes it."""

    def __init__(
        self, make_link: Callable[..., Link], prefix: str, timeout: float, address: str
    ) -> None:
        self._address = address
        self._prefix = _encoded(prefix)
        self._timeout = timeout
        self._fanout = Fanout(self._first_subscribed, self._last_unsubscribed)
        self._standings: dict[str, _Standing] = {}
        self._link = make_link(on_open=self._opened, on_lost=self._lost, on_push=self._pushed)
        self._waits: set[trio.CancelScope] = set()
        self._closed = False
        self._unreadable_logged = False

    async def publish(self, topic: str, message: str | bytes) -> None:
        """Hand a message to all who are subscribed to this topic now, in whichever process.

        Returns when Redis has it.  Waits for a lost connection to come back, but no longer than
        ``timeout``, and never sends twice.  When cancelled, it may have published or not.

        Raises:
            TypeError: the topic is no `str`, or the message neither `str` nor `bytes`.
            BrokerUnavailable: Redis did not answer in time, was lost meanwhile, or refused.
            trio.ClosedResourceError: the broker was closed.
        """
        check_topic(topic)
        check_message(message)
        payload = _TEXT + _encoded(message) if isinstance(message, str) else _BINARY + message
        await trio.lowlevel.checkpoint_if_cancelled()
        self._check_open()
        with self._wait():
            session = await self._link.wait_open()
            await session.request(b"PUBLISH", self._channel(topic), payload)

    @async_block("subscription")
    async def subscribe(
        self, topic: str, **options: Unpack[SubscribeOptions]
    ) -> AsyncGenerator[Subscription, None]:
        """Subscribe for as long as the block lasts; see `Broker.subscribe`.

        Redis is asked when this is the first subscription to the topic in this process.

        Raises:
            TypeError, ValueError: the topic is no `str`, or an option no good.
            BrokerUnavailable: Redis did not answer in time, or refused.
            trio.ClosedResourceError: the broker was closed.
        """
        await trio.lowlevel.checkpoint_if_cancelled()
        self._check_open()
        with self._fanout.open(topic, options) as subscription:
            with self._wait():
                await self._wait_standing(topic)
            yield subscription

    def statistics(self) -> BrokerStatistics:
        """Return counters, as of now."""
        return BrokerStatistics(
            topics=len(self._fanout.topics),
            subscriptions=self._fanout.subscriptions,
            connected=self._link.session is not None,
            outages=self._link.outages,
        )

    # Opening, closing, waiting

    async def _open(self, nursery: trio.Nursery) -> None:
        nursery.start_soon(self._link.run, await self._link.connect())
        with self._wait():  # it could be lost again at once
            await self._link.wait_open()

    def _close(self) -> None:
        self._closed = True
        for scope in self._waits:
            scope.cancel()
        for topic in self._fanout.topics:
            self._fanout.end(topic, trio.EndOfChannel)

    def _check_open(self) -> None:
        if self._closed:
            raise trio.ClosedResourceError("this broker was closed")

    @contextmanager
    def _wait(self) -> Generator[None, None, None]:
        """Bound the waiting in the block: by the timeout, and by the broker's end."""
        with trio.move_on_after(self._timeout) as scope:
            self._waits.add(scope)
            try:
                yield
            finally:
                self._waits.discard(scope)
        if scope.cancelled_caught:
            self._check_open()
            raise BrokerUnavailable(
                f"Redis at {self._address}: no answer within {self._timeout:g} seconds"
            )

    async def _wait_standing(self, topic: str) -> None:
        standing = self._standings[topic]
        await standing.ready.wait()
        if standing.refusal is not None:
            raise BrokerUnavailable(standing.refusal)

    # Topics

    def _channel(self, topic: str) -> bytes:
        return self._prefix + _encoded(topic)

    def _first_subscribed(self, topic: str) -> None:
        self._standings[topic] = _Standing()
        if self._link.session is not None:
            self._ask(self._link.session, topic)

    def _last_unsubscribed(self, topic: str) -> None:
        del self._standings[topic]
        if self._link.session is not None:
            self._link.session.unsubscribe(self._channel(topic))

    def _ask(self, session: Session, topic: str) -> None:
        answered = partial(self._answered, topic, self._standings[topic])
        session.subscribe(self._channel(topic), answered)

    def _answered(self, topic: str, standing: _Standing, error: Exception | None) -> None:
        if isinstance(error, BrokerUnavailable):
            return  # no answer: the connection is lost, the next one asks again
        standing.refusal = None if error is None else f"Redis refused: {error!s:.200}"
        standing.ready.set()
        if standing.refusal is not None and self._standings.get(topic) is standing:
            self._fanout.end(topic, partial(BrokerUnavailable, standing.refusal))

    # What happens on the link

    def _opened(self, session: Session) -> None:
        for topic in self._standings:
            self._ask(session, topic)

    def _lost(self) -> None:
        for topic, standing in self._standings.items():
            if standing.ready.is_set():
                standing.ready = trio.Event()
                self._fanout.interrupt(topic)

    def _pushed(self, push: Sequence[object]) -> None:
        match push:
            case [b"message", bytes(channel), bytes(payload)]:
                self._received(_decoded(channel[len(self._prefix) :]), payload)
            case [b"subscribe", bytes(channel), *_]:
                self._fanout.resume(_decoded(channel[len(self._prefix) :]))
            case _:
                pass  # of other pushes nobody waits to hear

    def _received(self, topic: str, payload: bytes) -> None:
        try:
            message = _message(payload)
        except ValueError:
            if not self._unreadable_logged:
                self._unreadable_logged = True
                logger.warning("somebody else publishes to %r; this is ignored", topic)
        else:
            self._fanout.deliver(topic, message)


def _message(payload: bytes) -> str | bytes:
    kind, content = payload[:1], payload[1:]
    if kind == _TEXT:
        return _decoded(content)
    if kind == _BINARY:
        return content
    raise ValueError("no message of ours")


def _encoded(text: str) -> bytes:
    # A str may have surrogates in it; they are nobody's business here.
    return text.encode("utf-8", "surrogatepass")


def _decoded(data: bytes) -> str:
    return data.decode("utf-8", "surrogatepass")


def _link_class() -> type[Link]:
    # Not imported above: coredis comes with the extra alone, and takes its time.
    try:
        from trio_ws.pubsub._redis_link import Link  # noqa: PLC0415
    except ImportError as exc:
        raise ImportError("this needs coredis: pip install 'trio_ws[redis]'") from exc
    return Link
