"""Publish and subscribe: messages by topic, inside one process or across processes and machines.

- `MemoryBroker`: inside this process; needs nothing and runs no task.
- `open_redis_broker`: joins processes through Redis (``pip install 'trio_ws[redis]'``).
- `Broker`: what both are, for your annotations and for brokers of your own.

Delivery is at most once and never silently less: what a subscriber missed or dropped it is told.
Nothing else in trio_ws imports this package.
"""

from trio_ws.pubsub._broker import Broker, BrokerStatistics
from trio_ws.pubsub._errors import (
    BrokerUnavailable,
    MessagesMissed,
    PubSubError,
    SubscriberTooSlow,
)
from trio_ws.pubsub._memory import MemoryBroker
from trio_ws.pubsub._redis import RedisBroker, open_redis_broker
from trio_ws.pubsub._subscription import SubscribeOptions, Subscription, SubscriptionStatistics

__all__ = [
    "Broker",
    "BrokerStatistics",
    "BrokerUnavailable",
    "MemoryBroker",
    "MessagesMissed",
    "PubSubError",
    "RedisBroker",
    "SubscribeOptions",
    "SubscriberTooSlow",
    "Subscription",
    "SubscriptionStatistics",
    "open_redis_broker",
]
