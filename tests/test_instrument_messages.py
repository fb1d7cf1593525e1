"""Instruments and messages: whichever way a message leaves or enters, it is told of once."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import pytest
import trio
import trio.testing

from tests.connections import NO_KEEPALIVE, pair_over, run_until_idle
from tests.instruments import Recorder
from tests.lanes import Lane, each_lane, use_lane
from tests.servers import LOOPBACK, echo, serve_on_loopback
from trio_ws import (
    Deflate,
    Limits,
    Timeouts,
    WebSocket,
    blocking,
    broadcast,
    wrap_client_stream,
)
from trio_ws.testing import Opcode, ScriptedPeer, bounded_stream_pair

Message = str | bytes

# Of both kinds, and in all sizes: text that is no ASCII, nothing at all, more than one read brings.
MESSAGES: list[Message] = ["ping", "gr\xfc\xdfe", b"\x00\xff", "", b"", "x" * 70_000, b"y" * 70_000]
# What is told of them: their sizes in bytes, and whether they are text.
TOLD = [
    (len(each if isinstance(each, bytes) else each.encode()), isinstance(each, str))
    for each in MESSAGES
]


async def by_send(ws: WebSocket, message: Message) -> None:
    """Send it."""
    await ws.send(message)


async def by_send_as_text(ws: WebSocket, message: Message) -> None:
    """Send text as bytes."""
    if isinstance(message, str):
        await ws.send(bytearray(message.encode()), text=True)
    else:
        await ws.send(memoryview(message))


async def by_send_in_turn(ws: WebSocket, message: Message) -> None:
    """Send it when another sender has had its turn."""
    await ws._transport.wait_room()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ws.send, message)
        await run_until_idle()
        ws._transport.release()


async def by_send_nowait(ws: WebSocket, message: Message) -> None:
    """Send it as soon as that means no waiting."""
    while True:
        with suppress(trio.WouldBlock):
            return ws.send_nowait(message)
        await run_until_idle()


async def by_broadcast(ws: WebSocket, message: Message) -> None:
    """Send it as soon as it is not dropped."""
    while not broadcast([ws], message, when_full="drop").sent:
        await run_until_idle()


async def by_send_stream(ws: WebSocket, message: Message) -> None:
    """Send it in two parts, cut at a character."""
    middle = len(message) // 2
    async with ws.send_stream(text=isinstance(message, str)) as stream:
        for part in (message[:middle], message[middle:]):
            await stream.send(part if isinstance(part, str) else bytearray(part))


SENDING: list[Callable[[WebSocket, Message], Awaitable[None]]] = [
    by_send,
    by_send_as_text,
    by_send_in_turn,
    by_send_nowait,
    by_broadcast,
    by_send_stream,
]


async def by_receive(ws: WebSocket) -> None:
    """Receive one after the other."""
    for _ in MESSAGES:
        await ws.receive()


async def by_receive_nowait(ws: WebSocket) -> None:
    """Look again and again."""
    left = len(MESSAGES)
    while left:
        try:
            ws.receive_nowait()
        except trio.WouldBlock:
            await run_until_idle()
        else:
            left -= 1


async def by_iteration(ws: WebSocket) -> None:
    """Iterate."""
    left = len(MESSAGES)
    async for _ in ws:
        left -= 1
        if not left:
            break


async def by_receive_stream(ws: WebSocket) -> None:
    """Receive all in pieces."""
    for _ in MESSAGES:
        async with ws.receive_stream() as stream:
            async for _ in stream:
                pass


async def by_cancelled_stream(ws: WebSocket) -> None:
    """Begin each in pieces, think better of it before one has come, and receive it whole."""
    for _ in MESSAGES:
        with trio.move_on_after(0):
            async with ws.receive_stream():
                pytest.fail("not cancelled")
        await ws.receive()


async def by_discarding(ws: WebSocket) -> None:
    """Drop them, unlooked at."""
    with trio.move_on_after(1):
        await ws.discard_messages()


RECEIVING: list[Callable[[WebSocket], Awaitable[None]]] = [
    by_receive,
    by_receive_nowait,
    by_iteration,
    by_receive_stream,
    by_cancelled_stream,
    by_discarding,
]


def name_of(function: Callable[..., object]) -> str:
    """Return the name that a case goes by."""
    return function.__name__


each_end = pytest.mark.parametrize("client_sends", [True, False], ids=["client", "server"])
compressed_or_not = pytest.mark.parametrize(
    "compression", [None, Deflate(threshold=0)], ids=["plain", "deflate"]
)


async def exchange(
    sending: Callable[[WebSocket, Message], Awaitable[None]],
    receiving: Callable[[WebSocket], Awaitable[None]],
    *,
    client_sends: bool,
    compression: Deflate | None,
) -> None:
    """Send all messages from one end to the other; see that both are told of each of them."""
    out, into = Recorder(), Recorder()
    recorders = (out, into) if client_sends else (into, out)
    async with pair_over(
        client={"instruments": [recorders[0]], "compression": compression},
        server={"instruments": [recorders[1]], "compression": compression},
    ) as ends:
        sender, receiver = ends if client_sends else reversed(ends)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(receiving, receiver)
            for message in MESSAGES:
                await sending(sender, message)
        assert (sender.compression is None) is (compression is None)
        assert sender.statistics().messages_sent == len(MESSAGES)
        assert receiver.statistics().messages_received == len(MESSAGES)
    assert (out.facts("message_sent"), out.facts("message_received")) == (TOLD, [])
    assert (into.facts("message_received"), into.facts("message_sent")) == (TOLD, [])
    assert {told.websocket for told in out.told if told.name != "accepted"} == {sender}
    assert into.names == ["accepted", "opened", *["message_received"] * len(MESSAGES), "closed"]


@compressed_or_not
@each_lane
@each_end
@pytest.mark.parametrize("sending", SENDING, ids=name_of)
async def test_message_sent_is_told_whichever_way_it_leaves(
    sending: Callable[[WebSocket, Message], Awaitable[None]],
    client_sends: bool,
    lane: Lane,
    compression: Deflate | None,
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Once, with its size and kind, by both ends, on every lane."""
    with use_lane(lane):
        await exchange(sending, by_receive, client_sends=client_sends, compression=compression)


@compressed_or_not
@each_lane
@each_end
@pytest.mark.parametrize("receiving", RECEIVING[1:], ids=name_of)
async def test_message_received_is_told_whichever_way_it_enters(
    receiving: Callable[[WebSocket], Awaitable[None]],
    client_sends: bool,
    lane: Lane,
    compression: Deflate | None,
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Once, with its size and kind, on every lane."""
    with use_lane(lane):
        await exchange(by_send, receiving, client_sends=client_sends, compression=compression)


async def test_blocking_client_is_told_of_too() -> None:
    """Of what all its calls send and receive, and of its ping."""
    recorder = Recorder()

    def talk(url: str) -> None:
        with blocking.open_websocket_url(url, instruments=[recorder]) as ws:
            ws.send("one")
            assert ws.receive() == "one"
            ws.ping()
            ws.send(b"two")
            assert next(iter(ws)) == b"two"

    async with serve_on_loopback(echo) as server:
        await trio.to_thread.run_sync(talk, f"ws://{LOOPBACK}:{server.port}/")
    both = ["message_sent", "message_received"]
    assert recorder.names == ["accepted", "opened", *both, "ping_answered", *both, "closed"]


@each_end
async def test_message_that_was_not_sent_is_not_told(
    client_sends: bool, autojump_clock: trio.testing.MockClock
) -> None:
    """Not one of the wrong type, one that was cancelled, dropped or begun only, or was too late."""
    recorder = Recorder()
    limits = Limits(max_buffered_bytes=1)
    async with pair_over(
        client={"instruments": [recorder] if client_sends else [], "limits": limits},
        server={"instruments": [] if client_sends else [recorder], "limits": limits},
    ) as ends:
        sender = ends[0] if client_sends else ends[1]
        with pytest.raises(TypeError):
            await sender.send(1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        await sender.send(b"x" * 300_000)  # more than the network takes
        with pytest.raises(trio.WouldBlock):
            sender.send_nowait("full")
        assert broadcast([sender], "full", when_full="drop").dropped == (sender,)
        with trio.CancelScope() as scope:
            scope.cancel()
            await sender.send("cancelled")
        with trio.CancelScope() as scope:
            async with sender.send_stream(text=True) as stream:
                scope.cancel()
                await stream.send("cancelled")
        await trio.aclose_forcefully(sender)
        with pytest.raises(trio.ClosedResourceError):
            await sender.send("late")
        await trio.aclose_forcefully(ends[0] if sender is ends[1] else ends[1])
    assert recorder.facts("message_sent") == [(300_000, False)]


async def test_message_begun_in_fragments_is_not_told_before_its_end(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Nor is one that never gets there; the size is that of all fragments."""
    recorder = Recorder()
    async with pair_over(client={"instruments": [recorder]}) as (client, server):
        async with client.send_stream(text=True) as stream:
            await stream.send("gr\xfc\xdfe")
            assert recorder.names == ["accepted", "opened"]
            await stream.send(b"!")
        assert recorder.facts("message_sent") == [(8, True)]
        with suppress(KeyError):
            async with client.send_stream(text=True) as stream:
                await stream.send("half")
                raise KeyError
        assert client.statistics().messages_sent == 1
        await client.wait_closed()
        assert server.close_received is not None
    assert recorder.facts("message_sent") == [(8, True)]


@asynccontextmanager
async def client_of_a_script(recorder: Recorder) -> AsyncGenerator[tuple[WebSocket, ScriptedPeer]]:
    """Open a client's end that tells this recorder, over which a server sends what a test says."""
    ours, theirs = bounded_stream_pair()
    peer = ScriptedPeer(theirs, "server")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(peer.server_handshake)
        async with wrap_client_stream(
            ours,
            "ws://localhost/",
            instruments=[recorder],
            keepalive=NO_KEEPALIVE,
            timeouts=Timeouts(close=5),
        ) as ws:
            yield ws, peer
        await peer.aclose()


async def test_message_left_early_is_told_if_it_had_come_to_its_end(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """As a message of which nobody takes the rest; the next one's size has nothing of it."""
    recorder = Recorder()
    async with client_of_a_script(recorder) as (ws, peer):
        for rest_has_come in (True, False):
            await peer.send_frame(Opcode.TEXT, b"be", fin=False)
            if rest_has_come:
                await peer.send_frame(Opcode.CONTINUATION, b"gun")
                await run_until_idle()
            async with ws.receive_stream() as stream:
                assert await stream.receive() == "be"
            if not rest_has_come:
                await peer.send_frame(Opcode.CONTINUATION, b"gun")
            await peer.send_frame(Opcode.TEXT, b"next", fin=False)
            await peer.send_frame(Opcode.CONTINUATION)
            async with ws.receive_stream() as stream:
                assert [piece async for piece in stream if piece] == ["next"]
        await trio.aclose_forcefully(ws)
    assert recorder.facts("message_received") == [(5, True), (4, True), (4, True)]
    assert recorder.only("closed").websocket is ws
    assert ws.statistics().messages_received == 3


async def test_messages_that_nobody_takes_are_told(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Those in the queue, and those that still come when we have sent our Close."""
    recorder = Recorder()
    async with (
        client_of_a_script(recorder) as (ws, peer),
        trio.open_nursery() as nursery,
    ):
        await peer.send_frame(Opcode.TEXT, b"queued")
        await trio.sleep(1)
        assert recorder.facts("message_received") == [(6, True)]
        nursery.start_soon(ws.aclose)
        await run_until_idle()
        await peer.send_frame(Opcode.BINARY, b"late")
        await run_until_idle()
        assert ws.statistics().queued_messages == 0
    assert recorder.facts("message_received") == [(6, True), (4, False)]
    assert ws.statistics().messages_received == 2
    assert recorder.names[-1] == "closed"
