"""Who in this process is subscribed to what.

Invariant: a topic is here for exactly as long as it has subscribers.  Nothing here waits, so nobody
comes or goes while a message is handed out.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, KeysView
from contextlib import contextmanager
from typing import TYPE_CHECKING

from trio_ws.pubsub._broker import check_topic
from trio_ws.pubsub._subscription import Options, SubscribeOptions, Subscription

if TYPE_CHECKING:
    Told = Callable[[str], None]


def _nobody_told(topic: str) -> None:
    pass


class Fanout:
    """The subscriptions of one process, by topic.

    Args:
        on_first: called with a topic that has just got its first subscriber.
        on_last: called with a topic that has just lost its last one.
    """

    def __init__(self, on_first: Told = _nobody_told, on_last: Told = _nobody_told) -> None:
        self._on_first = on_first
        self._on_last = on_last
        # Of a dict only the keys: unlike a set, it keeps their order.
        self._topics: dict[str, dict[Subscription, None]] = {}

    @property
    def topics(self) -> KeysView[str]:
        """The topics that have subscribers."""
        return self._topics.keys()

    @property
    def subscriptions(self) -> int:
        """How many subscriptions there are."""
        return sum(map(len, self._topics.values()))

    @contextmanager
    def open(self, topic: str, options: SubscribeOptions) -> Generator[Subscription, None, None]:
        """Add a subscription for as long as the block lasts."""
        check_topic(topic)
        subscription = Subscription(topic, Options(**options), self._remove)
        subscribers = self._topics.setdefault(topic, {})
        subscribers[subscription] = None
        try:
            if len(subscribers) == 1:
                self._on_first(topic)
            yield subscription
        finally:
            subscription.close()

    def _remove(self, subscription: Subscription) -> None:
        subscribers = self._topics.get(subscription.topic, {})
        if subscription not in subscribers:
            return  # closed twice
        del subscribers[subscription]
        if not subscribers:
            del self._topics[subscription.topic]
            self._on_last(subscription.topic)

    def deliver(self, topic: str, message: str | bytes) -> None:
        """Hand a message to all subscribers of a topic."""
        for subscription in self._topics.get(topic, ()):
            subscription._deliver(message)

    def interrupt(self, topic: str) -> None:
        """Note that messages to a topic may be missed from now on."""
        for subscription in self._topics.get(topic, ()):
            subscription._interrupt()

    def resume(self, topic: str) -> None:
        """Note that messages to a topic come again."""
        for subscription in self._topics.get(topic, ()):
            subscription._resume()

    def end(self, topic: str, ending: Callable[[], Exception]) -> None:
        """End all subscriptions to a topic; their blocks go on until they are left."""
        for subscription in self._topics.get(topic, ()):
            subscription._end(ending)
