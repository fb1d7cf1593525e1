"""What a broker is, and what all brokers check."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol, Unpack

from trio_ws.protocol.arguments import message_hint
from trio_ws.pubsub._subscription import SubscribeOptions, Subscription


class Broker(Protocol):
    """Takes messages by topic, and hands each to every subscriber of that topic."""

    async def publish(self, topic: str, message: str | bytes) -> None:
        """Hand a message to all who are subscribed to this topic now, in whichever process.

        The messages of one publisher to one topic arrive in the order of these calls.  When
        cancelled, it may have published or not.

        Raises:
            TypeError: the topic is no `str`, or the message neither `str` nor `bytes`.
            BrokerUnavailable: the broker cannot be reached, or refuses.
            trio.ClosedResourceError: the broker was closed.
        """
        ...

    def subscribe(
        self, topic: str, **options: Unpack[SubscribeOptions]
    ) -> AbstractAsyncContextManager[Subscription]:
        """Subscribe for as long as the block lasts: ``async with broker.subscribe(topic) as ...``.

        Whatever is published once the block is entered arrives; when entering is cancelled,
        nothing is left behind.

        Raises:
            TypeError, ValueError: the topic is no `str`, or an option no good.
            BrokerUnavailable: the broker cannot be reached, or refuses.
            trio.ClosedResourceError: the broker was closed.
        """
        ...


@dataclass(frozen=True, slots=True)
class BrokerStatistics:
    """What ``statistics()`` of a broker returns; all of it about this process."""

    topics: int
    """How many topics have subscribers."""

    subscriptions: int
    """How many subscriptions there are."""

    connected: bool
    """Whether the broker can be reached, as far as is known."""

    outages: int
    """How many times it could not."""


def check_topic(topic: object) -> None:
    """Refuse what is no topic."""
    if not isinstance(topic, str):
        raise TypeError(f"a topic must be a str, not {type(topic).__name__}")


def check_message(message: object) -> None:
    """Refuse what is no message."""
    # bytes alone: what is handed to many must not change under them.
    if not isinstance(message, (str, bytes)):
        hint = message_hint(message)
        raise TypeError(f"a message must be a str or bytes, not {type(message).__name__}{hint}")
