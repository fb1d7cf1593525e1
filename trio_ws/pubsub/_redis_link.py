"""The connection to Redis, opened again whenever it is lost."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import trio
from coredis.exceptions import RedisError

from trio_ws.pubsub._errors import BrokerUnavailable
from trio_ws.pubsub._redis_session import Session, in_words, open_connection

if TYPE_CHECKING:
    from trio_ws._backoff import Backoff
    from trio_ws._options import Keepalive
    from trio_ws.pubsub._redis_url import RedisAddress

logger = logging.getLogger("trio_ws.pubsub")


class Link:
    """Keeps one session with Redis open.

    Args:
        address: where Redis is.
        nursery: the connections run in it.
        timeout: how long opening one may take, in seconds.
        keepalive: when to ask whether Redis is there.
        backoff: how long to wait before opening another one.
        on_open: called with each session.
        on_lost: called when it has ended.
        on_push: called with what Redis sends unasked.
    """

    def __init__(
        self,
        address: RedisAddress,
        nursery: trio.Nursery,
        *,
        timeout: float,
        keepalive: Keepalive,
        backoff: Backoff,
        on_open: Callable[[Session], None],
        on_lost: Callable[[], None],
        on_push: Callable[[Sequence[object]], None],
    ) -> None:
        self._address = address
        self._nursery = nursery
        self._timeout = timeout
        self._keepalive = keepalive
        self._backoff = backoff
        self._on_open = on_open
        self._on_lost = on_lost
        self._on_push = on_push
        self._opened = trio.Event()
        self.session: Session | None = None
        self.outages: int = 0

    async def wait_open(self) -> Session:
        """Wait until there is a session, and return it."""
        while self.session is None:
            await self._opened.wait()
        return self.session

    async def connect(self) -> Session:
        """Open one session.

        Raises:
            BrokerUnavailable: that failed, or took too long.
        """
        with trio.move_on_after(self._timeout):
            try:
                connection = await open_connection(self._address, self._nursery)
            except (OSError, RedisError) as exc:
                # coredis makes an error of its own of a cancellation.
                await trio.lowlevel.checkpoint_if_cancelled()
                raise BrokerUnavailable(f"Redis at {self._address}: {in_words(exc)}") from exc
            return Session(connection, self._on_push, self._keepalive)
        raise BrokerUnavailable(
            f"Redis at {self._address}: no answer within {self._timeout:g} seconds"
        )

    async def run(self, session: Session) -> None:
        """Use this session until it is lost, then open another one, for ever."""
        waits = self._backoff.waits()
        while True:
            opened_at = trio.current_time()
            await self._use(session)
            self.outages += 1
            logger.warning("Redis at %s: the connection is lost", self._address)
            if trio.current_time() >= opened_at + self._backoff.reset_after:
                waits = self._backoff.waits()
            session = await self._reconnect(waits)
            logger.warning("Redis at %s: connected again", self._address)

    async def _use(self, session: Session) -> None:
        self.session = session
        self._opened.set()
        self._on_open(session)
        try:
            await session.run()
        finally:
            self.session = None
            self._opened = trio.Event()
            session.end(f"Redis at {self._address}: the connection was lost")
            self._on_lost()

    async def _reconnect(self, waits: Iterator[float]) -> Session:
        last_reason = ""
        while True:
            await trio.sleep(next(waits))
            try:
                return await self.connect()
            except BrokerUnavailable as exc:
                if str(exc) != last_reason:  # the same over and over says nothing new
                    last_reason = str(exc)
                    logger.warning("%s; trying again", last_reason)
