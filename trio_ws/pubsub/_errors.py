"""All that publishing and subscribing raise of their own.

PubSubError (a WebSocketError)
├── BrokerUnavailable    also ConnectionError            the broker cannot be reached, or refuses
├── MessagesMissed                                       receive(), once for each gap; it goes on
└── SubscriberTooSlow    also trio.BrokenResourceError   receive(), after the queue overflowed

Invariant: no message made here has a password in it.
"""

from __future__ import annotations

import trio

from trio_ws._exceptions import WebSocketError


class PubSubError(WebSocketError):
    """Base of all exceptions of ``trio_ws.pubsub``."""


class BrokerUnavailable(PubSubError, ConnectionError):
    """The broker could not be reached in time, or it refused; ``__cause__`` may say more.

    Whether a message that was being published has arrived is not known then.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)


class MessagesMissed(PubSubError):
    """Messages may have been lost at this place: the broker was away.

    Raised once for each gap, at its place between the messages, and when the subscription stands
    again: whatever is published from now on arrives, so state that is read afresh now is up to
    date.  The subscription goes on.
    """

    topic: str
    """What was subscribed to."""

    def __init__(self, topic: str) -> None:
        super().__init__(f"the broker was away: messages to {topic!r:.100} may have been missed")
        self.topic = topic


class SubscriberTooSlow(PubSubError, trio.BrokenResourceError):
    """The subscription has ended, because its queue was full and it was to close then."""

    topic: str
    """What was subscribed to."""

    max_queued: int
    """How many messages were waiting, and have been delivered before this."""

    def __init__(self, topic: str, max_queued: int) -> None:
        super().__init__(
            f"more than {max_queued} messages to {topic!r:.100} were waiting for this subscriber"
        )
        self.topic = topic
        self.max_queued = max_queued
