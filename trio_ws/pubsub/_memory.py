"""The broker inside one process."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Unpack

import trio

from trio_ws._async_block import async_block
from trio_ws.pubsub._broker import BrokerStatistics, check_message, check_topic
from trio_ws.pubsub._fanout import Fanout
from trio_ws.pubsub._subscription import SubscribeOptions, Subscription


class MemoryBroker:
    """A `Broker` inside this process, of one ``trio.run``.

    It runs no task and needs no closing.  It never is unavailable, so nothing is ever missed.
    """

    def __init__(self) -> None:
        self._fanout = Fanout()

    async def publish(self, topic: str, message: str | bytes) -> None:
        """Hand a message to all who are subscribed to this topic now.

        When cancelled, it has published nothing.

        Raises:
            TypeError: the topic is no `str`, or the message neither `str` nor `bytes`.
        """
        check_topic(topic)
        check_message(message)
        await trio.lowlevel.checkpoint()
        self._fanout.deliver(topic, message)

    @async_block("subscription")
    async def subscribe(
        self, topic: str, **options: Unpack[SubscribeOptions]
    ) -> AsyncGenerator[Subscription, None]:
        """Subscribe for as long as the block lasts; see `Broker.subscribe`.

        Raises:
            TypeError, ValueError: the topic is no `str`, or an option no good.
        """
        await trio.lowlevel.checkpoint()
        with self._fanout.open(topic, options) as subscription:
            yield subscription

    def statistics(self) -> BrokerStatistics:
        """Return counters, as of now."""
        return BrokerStatistics(
            topics=len(self._fanout.topics),
            subscriptions=self._fanout.subscriptions,
            connected=True,
            outages=0,
        )
