"""What a channel of messages over a network promises, each promise a check.

The checks know nothing but `trio.abc.Channel`: what holds for a `trio_ws.WebSocket` has to hold for
whatever is built around one, and over any stream.  A check's docstring is the promise.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import trio

from trio_ws.testing._bench import Bench, Channel, MakePair, require, run_check, same

# Short, empty and long ones of both types; the last fills buffers.
_MESSAGES = ("hello", b"hello", "", b"", "\u00e9\U0001f600" * 1000, bytes(70000), "x" * 65536)

# By how many checkpoints a cancellation comes after what it races with.
_STEPS = 8


async def check_websocket_channel(
    make_pair: MakePair, messages: Sequence[Any] = _MESSAGES, *, seconds: float = 10
) -> None:
    """Check that two connected channels keep what the two ends of a WebSocket promise.

    For a channel of your own around a `trio_ws.WebSocket`, or a stream of your own below one.
    Each promise is checked on a new pair and in both directions: messages whole and in order,
    backpressure, exact cancellation, one receiver at a time and any number of senders, iteration,
    and every way to close, from either end.  Goes well with `trio.testing.MockClock`, where the
    pair uses no real socket.

    Args:
        make_pair: returns an async context manager of the two channels, as
            `memory_websocket_pair` is; called for each check.
        messages: at least two that differ; the last is sent to fill buffers, so it should have
            some 64 KiB.  By default texts and bytes.
        seconds: how long one check may take.

    Raises:
        AssertionError: a promise is not kept; its text says how, its note says which.  What the
            channels raise comes out as it is.
        ValueError: there are too few messages.
    """
    if len(messages) < 2 or same(messages[0], messages[-1]):
        raise ValueError("messages must be at least two, and the first differ from the last")
    for check in _CHECKS:
        for swapped in (False, True):
            await run_check(check, make_pair, messages, swapped=swapped, seconds=seconds)


# Messages


async def _is_a_channel(bench: Bench) -> None:
    """Both ends are trio.abc.Channel."""
    for end in (bench.near, bench.far):
        is_one = isinstance(end, trio.abc.Channel)  # pyright: ignore[reportUnnecessaryIsInstance]
        require(is_one, f"{end!r} is no trio.abc.Channel")


async def _receive_waits(bench: Bench) -> None:
    """receive() waits for a message."""
    receiving = await bench.start_waiting(bench.far.receive)
    require(not receiving.over, "receive() does not wait")
    sending = bench.start(bench.near.send, bench.messages[0])
    await receiving.result()
    await sending.result()


async def _messages_arrive(bench: Bench) -> None:
    """Messages arrive whole, in order and of the same type, in both directions at once."""
    for end in (bench.near, bench.far):
        bench.start(_send_all, end, bench.messages)
    for end in (bench.far, bench.near):
        for message in bench.messages:
            received = await end.receive()
            require(same(received, message), f"{message!r:.50} was sent, {received!r:.50} received")


async def _send_waits(bench: Bench) -> None:
    """send() waits while nobody receives, and goes on when somebody does."""
    sent, sending = await bench.fill()
    for _ in range(sent + 1):
        await bench.far.receive()
    await sending.result()


async def _many_may_send(bench: Bench) -> None:
    """Any number of tasks may send at once, and their messages stay whole."""
    awaited = [message for message in bench.messages for _ in range(10)]
    sending = [bench.start(bench.near.send, message) for message in awaited]
    receiving = bench.start(_receive_some, bench.far, len(awaited))
    for call in sending:
        await call.result()
    for received in await receiving.result():
        known = [index for index, each in enumerate(awaited) if same(each, received)]
        require(bool(known), f"{received!r:.50} was not sent, or not so often")
        del awaited[known[0]]


async def _one_may_receive(bench: Bench) -> None:
    """A second receive() raises BusyResourceError and does not disturb the first."""
    first = await bench.start_waiting(bench.far.receive)
    second = await bench.start_waiting(bench.far.receive)
    require(second.over, "a second receive() waits too")
    await second.raised(trio.BusyResourceError)
    await bench.near.send(bench.messages[0])
    require(same(await first.result(), bench.messages[0]), "the first receive() was disturbed")


# Cancellation


async def _cancelled_receive_loses_nothing(bench: Bench) -> None:
    """receive() that is cancelled while it waits has taken nothing."""
    receiving = await bench.start_waiting(bench.far.receive)
    await receiving.cancel()
    require(receiving.error is None, f"cancelled receive() raised {receiving.error!r}")
    require(not receiving.returned, "receive() cannot be cancelled while it waits")
    await bench.near.send(bench.messages[0])
    require(same(await bench.far.receive(), bench.messages[0]), "a message was lost")


async def _receive_is_cancelled_first(bench: Bench) -> None:
    """receive() in a cancelled scope raises Cancelled, though a message is there, and leaves it."""
    await bench.near.send(bench.messages[0])
    await bench.start_waiting(trio.lowlevel.checkpoint)
    for _ in range(3):
        with trio.CancelScope() as scope:
            scope.cancel()
            await bench.far.receive()
        require(scope.cancelled_caught, "receive() is not a cancellation point")
    require(same(await bench.far.receive(), bench.messages[0]), "a message was lost")


async def _cancellation_races_message(bench: Bench) -> None:
    """receive() that is cancelled as a message comes returns it, or leaves it for the next."""
    message, marker = bench.messages[0], bench.messages[-1]
    for steps in range(_STEPS):
        receiving = await bench.start_waiting(bench.far.receive)
        bench.start(bench.near.send, message)
        await _checkpoints(steps)
        await receiving.cancel()
        require(receiving.error is None, f"cancelled receive() raised {receiving.error!r}")
        received = [receiving.value] if receiving.returned else []
        received += await bench.receive_before(marker)
        problem = f"cancelled after {steps} checkpoints, one message became {len(received)}"
        require(len(received) == 1 and same(received[0], message), problem)


async def _send_is_cancelled_first(bench: Bench) -> None:
    """send() in a cancelled scope raises Cancelled, though there is room, and sends nothing."""
    for _ in range(3):
        with trio.CancelScope() as scope:
            scope.cancel()
            await bench.near.send(bench.messages[0])
        require(scope.cancelled_caught, "send() is not a cancellation point")
    received = await bench.receive_before(bench.messages[-1])
    require(not received, f"cancelled send() has sent {received!r:.50}")


async def _cancelled_send_is_exact(bench: Bench) -> None:
    """send() has sent all of its message when it returns, and nothing when it is cancelled."""
    # The cancellation races with a receiver that makes room, so it strikes on either side of
    # the point of commitment.
    for steps in range(_STEPS):
        sent, sending = await bench.fill()
        received = 0
        if steps:
            await bench.far.receive()
            received = 1
        await _checkpoints(steps)
        await sending.cancel()
        require(sending.error is None, f"cancelled send() raised {sending.error!r}")
        rest = await bench.receive_before(bench.messages[0])
        whole = all(same(message, bench.messages[-1]) for message in rest)
        require(whole, "a cancelled send() has damaged messages")
        sent += sending.returned
        received += len(rest)
        require(received == sent, f"{sent} messages were sent, {received} received")


# Closing


async def _iteration_ends(bench: Bench) -> None:
    """Iteration gives the messages sent before the peer closed, and then ends."""
    bench.start(_send_and_close, bench.near, bench.messages)
    awaited = [*bench.messages]
    async for message in bench.far:
        in_order = bool(awaited) and same(message, awaited.pop(0))
        require(in_order, f"{message!r:.50} was not sent, or not now")
    require(not awaited, f"iteration has left out {awaited!r:.50}")
    async for message in bench.far:
        raise AssertionError(f"iteration has begun again, with {message!r:.50}")


async def _peer_has_closed(bench: Bench) -> None:
    """After the peer's close receive() raises EndOfChannel, send() BrokenResourceError."""
    closing = bench.start(_send_and_close, bench.near, bench.messages[:1])
    require(same(await bench.far.receive(), bench.messages[0]), "a message was lost")
    for _ in range(2):
        await bench.raises(trio.EndOfChannel, bench.far.receive)
    await bench.raises(trio.BrokenResourceError, bench.far.send, bench.messages[0])
    await closing.result()
    await bench.far.aclose()


async def _peers_close_wakes_receiver(bench: Bench) -> None:
    """A waiting receive() raises EndOfChannel when the peer closes."""
    receiving = await bench.start_waiting(bench.far.receive)
    await bench.near.aclose()
    await receiving.raised(trio.EndOfChannel)


async def _is_closed(bench: Bench) -> None:
    """After aclose() all raises ClosedResourceError, unread messages or not; aclose() does not."""
    await bench.far.send(bench.messages[0])
    await bench.start_waiting(trio.lowlevel.checkpoint)
    await bench.near.aclose()
    await _closed(bench, bench.near)
    await bench.near.aclose()


async def _close_wakes_receiver(bench: Bench) -> None:
    """A waiting receive() raises ClosedResourceError when its own end is closed."""
    receiving = await bench.start_waiting(bench.near.receive)
    await bench.near.aclose()
    await receiving.raised(trio.ClosedResourceError)


async def _cancelled_close_closes(bench: Bench) -> None:
    """aclose() in a cancelled scope closes as well, and the peer notices."""
    await trio.aclose_forcefully(bench.near)
    await _closed(bench, bench.near)
    receiving = bench.start(bench.far.receive)
    await receiving.wait()
    ended = isinstance(receiving.error, (trio.EndOfChannel, trio.BrokenResourceError))
    require(ended, f"the peer's receive() raised {receiving.error!r}")


async def _peers_end_wakes_sender(bench: Bench) -> None:
    """A waiting send() raises BrokenResourceError when the peer closes forcefully."""
    _, sending = await bench.fill()
    await trio.aclose_forcefully(bench.far)
    await sending.raised(trio.BrokenResourceError)


async def _forced_close_wakes_sender(bench: Bench) -> None:
    """A waiting send() raises ClosedResourceError when its own end is closed forcefully."""
    _, sending = await bench.fill()
    await trio.aclose_forcefully(bench.near)
    await sending.raised(trio.ClosedResourceError)
    await _closed(bench, bench.near)


async def _block_closes(bench: Bench) -> None:
    """Leaving ``async with`` closes."""
    async with bench.near:
        pass
    await _closed(bench, bench.near)


async def _both_close(bench: Bench) -> None:
    """Both ends may close at once."""
    closing = [bench.start(end.aclose) for end in (bench.near, bench.far)]
    for call in closing:
        await call.result()


_CHECKS = (
    _is_a_channel,
    _receive_waits,
    _messages_arrive,
    _send_waits,
    _many_may_send,
    _one_may_receive,
    _cancelled_receive_loses_nothing,
    _receive_is_cancelled_first,
    _cancellation_races_message,
    _send_is_cancelled_first,
    _cancelled_send_is_exact,
    _iteration_ends,
    _peer_has_closed,
    _peers_close_wakes_receiver,
    _is_closed,
    _close_wakes_receiver,
    _cancelled_close_closes,
    _peers_end_wakes_sender,
    _forced_close_wakes_sender,
    _block_closes,
    _both_close,
)


async def _closed(bench: Bench, end: Channel) -> None:
    await bench.raises(trio.ClosedResourceError, end.send, bench.messages[0])
    await bench.raises(trio.ClosedResourceError, end.receive)


async def _checkpoints(count: int) -> None:
    for _ in range(count):
        await trio.lowlevel.checkpoint()


async def _send_all(end: Channel, messages: Sequence[Any]) -> None:
    for message in messages:
        await end.send(message)


async def _receive_some(end: Channel, count: int) -> list[Any]:
    return [await end.receive() for _ in range(count)]


async def _send_and_close(end: Channel, messages: Sequence[Any]) -> None:
    await _send_all(end, messages)
    await end.aclose()
