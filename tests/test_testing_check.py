"""The check of channels: ours pass it over every network, and broken ones do not."""

import random
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from functools import partial
from types import TracebackType

import pytest
import trio
import trio.testing

from tests.connections import NO_KEEPALIVE, Network, StreamPair, pair_over
from trio_ws import ConnectionClosed, Deflate, WebSocket
from trio_ws.testing import (
    Faults,
    FaultyStream,
    _check,
    bounded_stream_pair,
    check_websocket_channel,
    memory_websocket_pair,
)
from trio_ws.testing._bench import Bench

Message = str | bytes
Check = Callable[[Bench], Awaitable[None]]
Channel = trio.abc.Channel[Message]

# What broken channels are tried with: short ones are enough, and the last one fills buffers.
FEW = ("a", b"a", "", "b", "x" * 20000)


class Wrapped(Channel):
    """A channel around a WebSocket that does all as that one does; for subclasses to break."""

    def __init__(self, websocket: WebSocket) -> None:
        self.websocket = websocket

    async def send(self, value: Message) -> None:
        """Send."""
        await self.websocket.send(value)

    async def receive(self) -> Message:
        """Receive."""
        return await self.websocket.receive()

    async def aclose(self) -> None:
        """Close."""
        await self.websocket.aclose()


@asynccontextmanager
async def wrapped_pair(
    make: Callable[[WebSocket], Channel] = Wrapped, *, streams: StreamPair | None = None
) -> AsyncGenerator[tuple[Channel, Channel], None]:
    """Open a pair in memory, with channels around it."""
    async with memory_websocket_pair(
        streams=streams, client={"keepalive": NO_KEEPALIVE}, server={"keepalive": NO_KEEPALIVE}
    ) as (client, server):
        yield make(client), make(server)


# Those that pass


def torn_streams() -> StreamPair:
    """Connect two ends between which everything moves in parts."""
    return bounded_stream_pair(20000, max_write=7000, max_read=3000, rng=random.Random(1))


def faulty_streams() -> StreamPair:
    """Connect two ends that are split and delayed by `FaultyStream`."""
    ends = bounded_stream_pair()
    for_both = Faults()
    for_both.split(random.Random(1).choices(range(1, 5000), k=10000))
    for_both.delay(0.05)
    return FaultyStream(ends[0], for_both), FaultyStream(ends[1], for_both)


@pytest.mark.parametrize("make_streams", [bounded_stream_pair, torn_streams, faulty_streams])
async def test_websockets_in_memory_pass(
    make_streams: Callable[[], StreamPair], autojump_clock: trio.testing.MockClock
) -> None:
    """Ours keep all that is promised, whatever the network does to their bytes."""

    def make_pair() -> AbstractAsyncContextManager[tuple[Channel, Channel]]:
        return memory_websocket_pair(streams=make_streams())

    await check_websocket_channel(make_pair)


@pytest.mark.parametrize("network", ["socket", "tls"])
async def test_websockets_over_sockets_pass(network: Network) -> None:
    """And over the real thing, with and without TLS."""
    await check_websocket_channel(partial(pair_over, network))


async def test_compressing_websockets_pass(autojump_clock: trio.testing.MockClock) -> None:
    """Compression changes nothing that can be seen."""
    deflate = Deflate(threshold=0)
    make_pair = partial(
        memory_websocket_pair, client={"compression": deflate}, server={"compression": deflate}
    )
    noise = random.Random(1).randbytes(70000)  # what fills buffers must not become short
    await check_websocket_channel(make_pair, ["", b"", "text" * 5000, noise])


async def test_channel_around_a_websocket_passes(autojump_clock: trio.testing.MockClock) -> None:
    """What the broken ones below are made from is not broken."""
    await check_websocket_channel(wrapped_pair, FEW)


# Those that do not


class Forgetful(Wrapped):
    """Has a checkpoint behind the point at which a message was taken."""

    async def receive(self) -> Message:
        """Receive, and then allow cancellation."""
        message = await self.websocket.receive()
        await trio.lowlevel.checkpoint()
        return message


class Hasty(Wrapped):
    """Has a checkpoint behind the point at which a message was sent."""

    async def send(self, value: Message) -> None:
        """Send, and then allow cancellation."""
        await self.websocket.send(value)
        await trio.lowlevel.checkpoint()


class Insensitive(Wrapped):
    """Goes on for a second when it is cancelled."""

    async def receive(self) -> Message:
        """Receive, for a second at least."""
        with trio.move_on_after(1, shield=True):
            return await self.websocket.receive()
        return await self.websocket.receive()


class Swallowing(Wrapped):
    """Returns something when it is cancelled."""

    async def receive(self) -> Message:
        """Receive, or make something up."""
        try:
            return await self.websocket.receive()
        except trio.Cancelled:
            return b"nothing yet"


class Unwilling(Wrapped):
    """Takes a cancellation for an error."""

    async def receive(self) -> Message:
        """Receive, or complain."""
        try:
            return await self.websocket.receive()
        except trio.Cancelled as exc:
            raise RuntimeError("interrupted") from exc


class UnwillingToSend(Wrapped):
    """Takes a cancellation for an error, when it sends."""

    async def send(self, value: Message) -> None:
        """Send, or complain."""
        await trio.lowlevel.checkpoint_if_cancelled()
        try:
            await self.websocket.send(value)
        except trio.Cancelled as exc:
            raise RuntimeError("interrupted") from exc


class Eager(Wrapped):
    """Is no cancellation point when a message is there."""

    async def receive(self) -> Message:
        """Receive, at once if possible."""
        try:
            return self.websocket.receive_nowait()
        except trio.WouldBlock:
            return await self.websocket.receive()


class EagerToSend(Wrapped):
    """Is no cancellation point when there is room."""

    async def send(self, value: Message) -> None:
        """Send, at once if possible."""
        try:
            self.websocket.send_nowait(value)
        except trio.WouldBlock:
            await self.websocket.send(value)


class Textual(Wrapped):
    """Makes text of everything."""

    async def receive(self) -> Message:
        """Receive text."""
        message = await self.websocket.receive()
        return message if isinstance(message, str) else message.decode()


class Discarding(Wrapped):
    """Drops empty messages."""

    async def send(self, value: Message) -> None:
        """Send what is worth it."""
        if value:
            await self.websocket.send(value)


class Repeating(Wrapped):
    """Sends everything twice."""

    async def send(self, value: Message) -> None:
        """Send, and make sure."""
        await self.websocket.send(value)
        await self.websocket.send(value)


class Fragmenting(Wrapped):
    """Sends long messages in two, with room for others between them."""

    async def send(self, value: Message) -> None:
        """Send, in parts."""
        for part in (value[:10000], value[10000:]) if len(value) > 10000 else (value,):
            await self.websocket.send(part)


class Polling(Wrapped):
    """Does not wait for messages."""

    async def receive(self) -> Message:
        """Receive, or return nothing."""
        try:
            return self.websocket.receive_nowait()
        except trio.WouldBlock:
            await trio.lowlevel.checkpoint()
            return b"nothing yet"


class Losing(Wrapped):
    """Loses the first message."""

    lost = False

    async def receive(self) -> Message:
        """Receive, but not the first."""
        if not self.lost:
            self.lost = True
            await self.websocket.receive()
        return await self.websocket.receive()


class Sharing(Wrapped):
    """Lets any number of tasks receive, one after the other."""

    def __init__(self, websocket: WebSocket) -> None:
        super().__init__(websocket)
        self._lock = trio.Lock()

    async def receive(self) -> Message:
        """Receive, in turn."""
        async with self._lock:
            return await self.websocket.receive()


class Exclusive(Wrapped):
    """Lets one task send at a time, and refuses others."""

    def __init__(self, websocket: WebSocket) -> None:
        super().__init__(websocket)
        self._guard = trio.StrictFIFOLock()

    async def send(self, value: Message) -> None:
        """Send, or refuse."""
        try:
            self._guard.acquire_nowait()
        except trio.WouldBlock:
            raise trio.BusyResourceError("one at a time") from None
        try:
            await self.websocket.send(value)
            await trio.lowlevel.checkpoint()
        finally:
            self._guard.release()


class Renaming(Wrapped):
    """Has errors of its own."""

    async def receive(self) -> Message:
        """Receive, or raise OSError."""
        try:
            return await self.websocket.receive()
        except trio.EndOfChannel as exc:
            raise OSError("closed") from exc


class RenamingInSend(Wrapped):
    """Has errors of its own, when it sends."""

    async def send(self, value: Message) -> None:
        """Send, or raise OSError."""
        try:
            await self.websocket.send(value)
        except trio.BrokenResourceError as exc:
            raise OSError("broken") from exc


class Silent(Wrapped):
    """Drops what is sent after the end."""

    async def send(self, value: Message) -> None:
        """Send, if possible."""
        try:
            await self.websocket.send(value)
        except trio.BrokenResourceError:
            await trio.lowlevel.checkpoint()


class Closing(Wrapped):
    """Closes, but goes on as if it had not."""

    async def aclose(self) -> None:
        """Close nothing."""
        await trio.lowlevel.checkpoint()


class CloseOnce(Wrapped):
    """Cannot be closed twice."""

    closed = False

    async def aclose(self) -> None:
        """Close, or complain."""
        if self.closed:
            raise trio.ClosedResourceError("closed already")
        self.closed = True
        await self.websocket.aclose()


class Polite(Wrapped):
    """Does not close when it is cancelled."""

    async def aclose(self) -> None:
        """Close, later."""
        await trio.lowlevel.checkpoint()
        await self.websocket.aclose()


class Endless(Wrapped):
    """Begins again when it is iterated again."""

    async def __anext__(self) -> Message:
        """Iterate, with a surprise behind the end."""
        try:
            return await self.websocket.receive()
        except trio.EndOfChannel:
            if self.ended:
                return "surprise"
            self.ended = True
            raise StopAsyncIteration from None

    ended = False


class Reversing(Wrapped):
    """Iterates backwards."""

    async def __anext__(self) -> Message:
        """Iterate, from the end."""
        if self.messages is None:
            self.messages = [message async for message in self.websocket]
        if not self.messages:
            raise StopAsyncIteration
        return self.messages.pop()

    messages: list[Message] | None = None


class Ajar(Wrapped):
    """Stays open when its block is left."""

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Do nothing."""


class Lingering(Wrapped):
    """Gives what it has not received yet after it was closed."""

    def __init__(self, websocket: WebSocket) -> None:
        super().__init__(websocket)
        self._left: list[Message] = []

    async def receive(self) -> Message:
        """Receive, or return what is left."""
        return self._left.pop() if self._left else await self.websocket.receive()

    async def aclose(self) -> None:
        """Close, and keep what is there."""
        with suppress(ConnectionClosed, trio.BusyResourceError), trio.move_on_after(1):
            self._left.append(await self.websocket.receive())
        await self.websocket.aclose()


class Suspicious(Wrapped):
    """Takes a peer that never said anything for broken."""

    heard = False

    async def receive(self) -> Message:
        """Receive, or suspect."""
        try:
            message = await self.websocket.receive()
        except trio.EndOfChannel as exc:
            if self.heard:
                raise
            raise trio.BrokenResourceError from exc
        self.heard = True
        return message


class Surprised(Wrapped):
    """Takes its own close for the peer's, when it waits."""

    closed = False

    async def receive(self) -> Message:
        """Receive, and look only before whether it is closed."""
        closed = self.closed
        try:
            return await self.websocket.receive()
        except trio.ClosedResourceError:
            if closed:
                raise
            raise trio.EndOfChannel from None

    async def aclose(self) -> None:
        """Close, and note it."""
        self.closed = True
        await self.websocket.aclose()


class SurprisedInSend(Wrapped):
    """Takes its own close for the peer's, when it waits for room."""

    closed = False

    async def send(self, value: Message) -> None:
        """Send, and look only before whether it is closed."""
        closed = self.closed
        try:
            await self.websocket.send(value)
        except trio.ClosedResourceError:
            if closed:
                raise
            raise trio.BrokenResourceError from None

    async def aclose(self) -> None:
        """Close, and note it."""
        self.closed = True
        await self.websocket.aclose()


class Startled(Wrapped):
    """Has an error of its own when the peer goes while it waits for room."""

    async def send(self, value: Message) -> None:
        """Send, and look only before whether the peer is there."""
        gone = self.websocket.close_received
        try:
            await self.websocket.send(value)
        except trio.BrokenResourceError as exc:
            if gone:
                raise
            raise OSError("broken") from exc


class Lonely(Wrapped):
    """Cannot close while another one does."""

    closing = False

    async def aclose(self) -> None:
        """Close, if nobody else does."""
        assert not Lonely.closing, "another one is closing"
        Lonely.closing = True
        try:
            await self.websocket.aclose()
        finally:
            Lonely.closing = False


class NoChannel:
    """Has the methods and not the type."""

    def __init__(self, websocket: WebSocket) -> None:
        self.send = websocket.send
        self.receive = websocket.receive
        self.aclose = websocket.aclose


# Who breaks which promise, and what is said of it.
BROKEN: list[tuple[type, Check, str]] = [
    (
        Forgetful,
        _check._cancellation_races_message,
        "cancelled after . checkpoints, one message became 0",
    ),
    (Hasty, _check._cancelled_send_is_exact, r"\d messages were sent, \d received"),
    (Insensitive, _check._receive_is_cancelled_first, "receive.. is not a cancellation point"),
    (
        Swallowing,
        _check._cancelled_receive_loses_nothing,
        "receive.. cannot be cancelled while it waits",
    ),
    (Unwilling, _check._cancelled_receive_loses_nothing, "cancelled receive.. raised RuntimeError"),
    (UnwillingToSend, _check._cancelled_send_is_exact, "cancelled send.. raised RuntimeError"),
    (Eager, _check._receive_is_cancelled_first, "receive.. is not a cancellation point"),
    (EagerToSend, _check._send_is_cancelled_first, "send.. is not a cancellation point"),
    (Textual, _check._messages_arrive, "b'a' was sent, 'a' received"),
    (Discarding, _check._messages_arrive, "'' was sent, 'b' received"),
    (Repeating, _check._messages_arrive, "b'a' was sent, 'a' received"),
    (Fragmenting, _check._messages_arrive, "was sent, 'xxxx"),
    (Polling, _check._receive_waits, "receive.. does not wait"),
    (Losing, _check._receive_waits, "still waiting after 10 seconds"),
    (Sharing, _check._one_may_receive, "a second receive.. waits too"),
    (Exclusive, _check._many_may_send, "send.. raised BusyResourceError"),
    (Renaming, _check._iteration_ends, "closed"),
    (RenamingInSend, _check._peer_has_closed, "send.. raised OSError.*, not BrokenResourceError"),
    (Silent, _check._peer_has_closed, "send.. returned None, not BrokenResourceError"),
    (Closing, _check._iteration_ends, "still waiting after 10 seconds"),
    (CloseOnce, _check._is_closed, "closed already"),
    (Polite, _check._cancelled_close_closes, "send.. returned None, not ClosedResourceError"),
    (Endless, _check._iteration_ends, "iteration has begun again, with 'surprise'"),
    (Reversing, _check._iteration_ends, "'xxx.* was not sent, or not now"),
    (Ajar, _check._block_closes, "send.. returned None, not ClosedResourceError"),
    (Lingering, _check._is_closed, "receive.. returned 'a', not ClosedResourceError"),
    (
        Suspicious,
        _check._peers_close_wakes_receiver,
        "raised BrokenResourceError.*, not EndOfChannel",
    ),
    (Surprised, _check._close_wakes_receiver, "raised EndOfChannel.*, not ClosedResourceError"),
    (
        SurprisedInSend,
        _check._forced_close_wakes_sender,
        "raised BrokenResourceError.*, not ClosedResourceError",
    ),
    (Startled, _check._peers_end_wakes_sender, "raised OSError.*, not BrokenResourceError"),
    (Lonely, _check._both_close, "another one is closing"),
    (NoChannel, _check._is_a_channel, "is no trio.abc.Channel"),
]


@pytest.mark.parametrize(
    ("make", "promise", "problem"), [pytest.param(*row, id=row[0].__name__) for row in BROKEN]
)
async def test_broken_channel_is_found(
    make: Callable[[WebSocket], Channel],
    promise: Check,
    problem: str,
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Each breaks one promise, and the check says which."""
    with pytest.raises(Exception, match=problem) as caught:
        await check_websocket_channel(partial(wrapped_pair, make), FEW)
    (note,) = caught.value.__notes__
    assert note.endswith(f": {promise.__doc__}")


def test_every_promise_is_broken_by_some() -> None:
    """No check is left out above, but for the one that a stream below has to break."""
    assert {promise for _, promise, _ in BROKEN} == set(_check._CHECKS) - {_check._send_waits}


async def test_channel_without_backpressure_is_found(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Trio's own streams in memory take everything, and so does what is above them."""
    with pytest.raises(AssertionError, match=r"send\(\) never waits") as caught:
        await check_websocket_channel(
            lambda: wrapped_pair(streams=trio.testing.memory_stream_pair()), FEW
        )
    (note,) = caught.value.__notes__
    assert note.endswith(f": {_check._send_waits.__doc__}")


async def test_failure_tells_which_end(autojump_clock: trio.testing.MockClock) -> None:
    """Of a pair whose ends differ, the note says which one was at fault."""

    @asynccontextmanager
    async def make_pair() -> AsyncGenerator[tuple[Channel, Channel], None]:
        async with memory_websocket_pair() as (client, server):
            yield client, Polling(server)

    with pytest.raises(AssertionError, match="does not wait") as caught:
        await check_websocket_channel(make_pair, FEW)
    assert "the first of the pair as `near`" in caught.value.__notes__[0]


@pytest.mark.parametrize("messages", [[], ["a"], ["a", "b", "a"]])
async def test_too_few_messages_are_refused(messages: list[str]) -> None:
    """With one message nobody can tell which one came."""
    with pytest.raises(ValueError, match="at least two"):
        await check_websocket_channel(wrapped_pair, messages)


async def test_check_can_be_cancelled(autojump_clock: trio.testing.MockClock) -> None:
    """It ends, pair and all, and the cancellation goes on to its scope."""

    @asynccontextmanager
    async def make_pair() -> AsyncGenerator[tuple[Channel, Channel], None]:
        await trio.sleep_forever()
        yield pytest.fail("unreachable")

    with trio.move_on_after(1) as scope:
        await check_websocket_channel(make_pair)
    assert scope.cancelled_caught
