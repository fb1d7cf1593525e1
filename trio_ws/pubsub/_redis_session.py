"""One connection to Redis, from its opening to its end.

Lives here: what of coredis is used, and which answer belongs to which command.  On a connection of
RESP3 messages come as pushes and answers by themselves, in the order of the commands.

Invariant: every question that was asked is answered exactly once, at the latest when the session
ends.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import aclosing, suppress
from typing import TYPE_CHECKING, cast

import anyio
import trio
from coredis.connection import BaseConnection, TCPLocation
from coredis.exceptions import ConnectionError as ConnectionLost, RedisError

from trio_ws.pubsub._errors import BrokerUnavailable

if TYPE_CHECKING:
    from anyio.abc import ByteStream

    from trio_ws._options import Keepalive
    from trio_ws.pubsub._redis_url import RedisAddress

    Answered = Callable[[Exception | None], None]
    Pushed = Callable[[Sequence[object]], None]

_MAX_SHOWN = 200  # characters of another's error in a message of ours


class _Connection(BaseConnection):
    """A connection over a stream that is open already.

    coredis's own classes connect after they have made their memory channels, and when that fails
    they leave these open, which Python warns about.  Redis being away is no reason for warnings.
    """

    def __init__(self, stream: ByteStream, address: RedisAddress) -> None:
        super().__init__(
            TCPLocation(address.host, address.port),  # it is asked for in messages alone
            username=address.username,
            password=address.password,
        )
        self._opened = stream

    async def _connect(self) -> ByteStream:
        return self._opened

    def describe(self) -> str:
        return "<connection to Redis>"


async def open_connection(address: RedisAddress, nursery: trio.Nursery) -> BaseConnection:
    """Connect, identify ourselves, and leave the connection running in this nursery.

    Raises:
        OSError, RedisError: that failed.
    """
    if address.path:
        stream: ByteStream = await anyio.connect_unix(address.path)
    elif address.ssl_context is None:
        stream = await anyio.connect_tcp(address.host, address.port)
    else:
        stream = await anyio.connect_tcp(
            address.host,
            address.port,
            ssl_context=address.ssl_context,
            tls_standard_compatible=False,  # Redis hangs up without the closing alert
        )
    connection = _Connection(stream, address)
    await nursery.start(connection.run)
    return connection


class _Question:
    """A command whose answer is awaited.

    Args:
        answered: called with ``None`` or with what went wrong.
        marker: its answer ends with this; what comes before is an error.  ``None``: it is the
            next answer.
    """

    __slots__ = ("answered", "error", "marker")

    def __init__(self, answered: Answered, marker: bytes | None) -> None:
        self.answered = answered
        self.marker = marker
        self.error: Exception | None = None


class Session:
    """Commands, answers and pushes over one open connection."""

    def __init__(self, connection: BaseConnection, on_push: Pushed, keepalive: Keepalive) -> None:
        self._connection = connection
        self._on_push = on_push
        self._keepalive = keepalive
        self._questions: deque[_Question] = deque()
        self._markers = itertools.count()

    async def run(self) -> None:
        """Read until the connection is lost, or does not answer any more."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._read_answers)
            nursery.start_soon(self._keep_alive)
            await self._read_pushes()
            nursery.cancel_scope.cancel()
        self._connection.invalidate()

    def end(self, reason: str) -> None:
        """Answer all that is still asked: nobody will hear of it any more."""
        while self._questions:
            self._questions.popleft().answered(BrokerUnavailable(reason))

    async def request(self, *command: bytes) -> None:
        """Send a command and wait until Redis has done it.

        When cancelled, it may be done or not.

        Raises:
            BrokerUnavailable: Redis refused, or the connection broke.
        """
        done = trio.Event()
        errors: list[Exception] = []

        def answered(error: Exception | None) -> None:
            if error is not None:
                errors.append(error)
            done.set()

        self._ask(answered, None, command)
        await done.wait()
        if errors:
            error = errors.pop()
            try:
                raise error
            except RedisError as exc:
                raise BrokerUnavailable(f"Redis refused: {in_words(exc)}") from exc
            finally:
                del error  # no cycle through the traceback

    def subscribe(self, channel: bytes, answered: Answered) -> None:
        """Subscribe to a channel; ``answered`` is called once that is done or was refused."""
        # Success is told by a push, refusal by an answer.  So the answer to a ping behind it tells
        # that the one or the other has come.
        marker = b"%d" % next(self._markers)
        self._ask(answered, marker, (b"SUBSCRIBE", channel), (b"PING", marker))

    def unsubscribe(self, channel: bytes) -> None:
        """Unsubscribe from a channel; that cannot fail."""
        with suppress(ConnectionLost):  # then there is no subscription either
            self._connection.send_command(b"UNSUBSCRIBE", channel)

    def _ask(self, answered: Answered, marker: bytes | None, *commands: tuple[bytes, ...]) -> None:
        self._questions.append(_Question(answered, marker))
        # A connection that is lost takes no commands.  `end` will answer this.
        with suppress(ConnectionLost):
            for name, *arguments in commands:
                self._connection.send_command(name, *arguments)

    async def _read_pushes(self) -> None:
        with suppress(ConnectionLost):
            async with aclosing(self._connection.push_messages) as pushes:
                async for push in pushes:
                    self._on_push(push)

    async def _read_answers(self) -> None:
        with suppress(ConnectionLost):
            async with aclosing(self._connection.streamed_messages) as answers:
                async for answer in answers:
                    self._answer(answer)

    def _answer(self, answer: object) -> None:
        if not self._questions:  # which answer belongs to which question is unknown then
            self._connection.invalidate()
            return
        question = self._questions[0]
        if isinstance(answer, RedisError):
            question.error = answer
        if question.marker is None or question.marker == answer:
            self._questions.popleft().answered(question.error)

    async def _keep_alive(self) -> None:
        while True:
            await trio.sleep(self._keepalive.interval)
            with trio.move_on_after(self._keepalive.timeout), suppress(BrokerUnavailable):
                await self.request(b"PING")
                continue
            self._connection.invalidate()  # which ends the reading
            return


def in_words(error: BaseException) -> str:
    """Return what went wrong, from the bottom of the chain and of bounded length."""
    while (below := _below(error)) is not None:
        error = below
    return str(error)[:_MAX_SHOWN] or type(error).__name__


def _below(error: BaseException) -> BaseException | None:
    if isinstance(error, BaseExceptionGroup):
        return cast("BaseExceptionGroup[BaseException]", error).exceptions[0]
    return error.__cause__
