"""One subscriber's end of a topic: a bounded queue that says what is missing from it.

Invariant: messages leave in the order in which they came, each once, and a gap is told where it is.
Only `_deliver`, `_interrupt`, `_resume` and `_end` put something in; none of them ever waits, so
no subscriber holds up a publisher or another subscriber.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal, TypeAlias, TypedDict, get_args

import trio

from trio_ws._options import _check_count
from trio_ws._other_names import named_options
from trio_ws._pace import checkpoint
from trio_ws.pubsub._errors import MessagesMissed, SubscriberTooSlow

WhenFull: TypeAlias = Literal["drop_oldest", "drop_newest", "close"]
WhenMissed: TypeAlias = Literal["raise", "ignore"]


class SubscribeOptions(TypedDict, total=False):
    """The keyword arguments of ``subscribe()``."""

    max_queued: int
    """How many messages may wait for ``receive()``.  Default: 1024.  As many as may be published
    before the subscriber's task has its turn, however quick it is: a thousand speak at one moment.
    A message waits once, for however many subscribers, so places cost little."""
    when_full: WhenFull
    """What becomes of one more: ``"close"`` ends the subscription, with `SubscriberTooSlow` (the
    default, for it hides nothing); ``"drop_oldest"`` makes room; ``"drop_newest"`` drops it."""
    when_missed: WhenMissed
    """Whether a gap raises `MessagesMissed`, ``"raise"`` (the default), or is only counted,
    ``"ignore"``: for what is soon said again, positions and prices."""


@named_options()
@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """`SubscribeOptions` with their defaults; those that exist are valid.

    Raises:
        TypeError, ValueError: one of them is no good.
    """

    max_queued: int = 1024
    when_full: WhenFull = "close"
    when_missed: WhenMissed = "raise"

    def __post_init__(self) -> None:
        _check_count("max_queued", self.max_queued)
        _check_choice("when_full", self.when_full, get_args(WhenFull))
        _check_choice("when_missed", self.when_missed, get_args(WhenMissed))


def _check_choice(name: str, value: object, choices: tuple[object, ...]) -> None:
    if value not in choices:
        raise ValueError(f"{name} must be one of {choices}, not {value!r}")


@dataclass(frozen=True, slots=True)
class SubscriptionStatistics:
    """What `Subscription.statistics` returns."""

    received: int
    """How many messages have been taken."""

    queued: int
    """How many are waiting."""

    max_queued: int
    """How many may wait."""

    dropped: int
    """How many were dropped because the queue was full."""

    missed: int
    """How many times the broker was away: at each of them messages may be missing."""


class Subscription(trio.abc.ReceiveChannel[str | bytes]):
    """The messages of one topic, as a channel; ``subscribe()`` of a broker makes it.

    ``async for message in subscription`` ends when the broker is closed.  Several tasks may
    receive: each message goes to one of them.
    """

    __slots__ = (
        "_arrived",
        "_dropped",
        "_ending",
        "_gaps",
        "_interrupted",
        "_messages",
        "_missed",
        "_on_close",
        "_options",
        "_received",
        "_taken",
        "_topic",
    )

    def __init__(
        self, topic: str, options: Options, on_close: Callable[[Subscription], None]
    ) -> None:
        self._topic = topic
        self._options = options
        self._on_close = on_close
        self._messages: deque[str | bytes] = deque()
        self._taken = 0  # how many have left the queue: received or dropped
        # Each gap by how many messages had come before it.  At most one for each place in the
        # queue, so this is bounded as well.  A list: it is mostly empty, and a deque never small.
        self._gaps: list[int] = []
        self._received = 0
        self._dropped = 0
        self._missed = 0
        self._interrupted = False
        self._ending: Callable[[], Exception] | None = None
        self._arrived = trio.lowlevel.ParkingLot()

    @property
    def topic(self) -> str:
        """What is subscribed to."""
        return self._topic

    @property
    def dropped(self) -> int:
        """How many messages were dropped because the queue was full."""
        return self._dropped

    def statistics(self) -> SubscriptionStatistics:
        """Return counters, as of now."""
        return SubscriptionStatistics(
            received=self._received,
            queued=len(self._messages),
            max_queued=self._options.max_queued,
            dropped=self._dropped,
            missed=self._missed,
        )

    # The subscriber's side

    @trio.lowlevel.enable_ki_protection
    async def receive(self) -> str | bytes:
        """Return the next message, as it was published: `str` or `bytes`.

        When cancelled, it has taken nothing.  After the end, what is queued still comes first.

        Raises:
            MessagesMissed: there is a gap here; the next call goes on behind it.
            SubscriberTooSlow: the queue was full, with ``when_full="close"``.
            BrokerUnavailable: the broker refuses this subscription after an interruption.
            trio.EndOfChannel: the broker was closed.
            trio.ClosedResourceError: this subscription was closed.
        """
        await checkpoint()
        while not self._has_news:
            await self._arrived.park()
        return self._take()

    @trio.lowlevel.enable_ki_protection
    def receive_nowait(self) -> str | bytes:
        """Return the next message if it is there, or raise like `receive`.

        Raises:
            trio.WouldBlock: there is none yet.
        """
        if not self._has_news:
            raise trio.WouldBlock
        return self._take()

    @trio.lowlevel.enable_ki_protection
    def close(self) -> None:
        """Unsubscribe and drop what is queued; leaving the block of ``subscribe()`` does it."""
        self._messages.clear()
        self._gaps.clear()
        self._ending = trio.ClosedResourceError
        self._arrived.unpark_all()
        self._on_close(self)

    async def aclose(self) -> None:
        """Close like `close`, then let others run; it is closed also when this is cancelled."""
        self.close()
        await trio.lowlevel.checkpoint()

    @property
    def _has_news(self) -> bool:
        return bool(self._messages or self._gaps or self._ending)

    def _take(self) -> str | bytes:
        if self._gaps and self._gaps[0] <= self._taken:
            del self._gaps[0]
            raise MessagesMissed(self._topic)
        if self._messages:
            self._taken += 1
            self._received += 1
            return self._messages.popleft()
        assert self._ending is not None
        raise self._ending()

    # The broker's side

    def _deliver(self, message: str | bytes) -> None:
        """Queue a message, or do what was chosen for a full queue."""
        if self._ending is not None:
            return
        if len(self._messages) == self._options.max_queued:
            if self._options.when_full == "close":
                self._end(partial(SubscriberTooSlow, self._topic, self._options.max_queued))
                return
            self._dropped += 1
            if self._options.when_full == "drop_newest":
                return
            self._drop_oldest()
        self._messages.append(message)
        self._arrived.unpark()

    def _drop_oldest(self) -> None:
        self._messages.popleft()
        self._taken += 1
        if len(self._gaps) > 1 and self._gaps[1] <= self._taken:
            del self._gaps[0]  # two gaps with nothing between them are one

    def _interrupt(self) -> None:
        """Note that from now on messages may be missed."""
        self._interrupted = True

    def _resume(self) -> None:
        """Note that from now on messages come again; if any may have been missed, say so."""
        if not self._interrupted:
            return
        self._interrupted = False
        self._missed += 1
        position = self._taken + len(self._messages)
        if self._options.when_missed == "raise" and (not self._gaps or self._gaps[-1] < position):
            self._gaps.append(position)
            self._arrived.unpark()

    def _end(self, ending: Callable[[], Exception]) -> None:
        """End it, the first ending counts: it makes what `receive` raises when all is taken."""
        if self._ending is None:
            self._ending = ending
            self._arrived.unpark_all()
