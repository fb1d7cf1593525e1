"""Messages in pieces over all networks, at their limits, and cut off in the middle."""

import random

import pytest
import trio
import trio.testing

from tests.connections import (
    Network,
    next_close,
    next_frame,
    open_streams,
    pair_over,
    run_until_idle,
    scripted,
)
from tests.helpers import both_roles, peer_frame
from trio_ws import ClosedLocally, ConnectionBroken, ConnectionEnded, Limits
from trio_ws._caretaker import TICK
from trio_ws.protocol.state import Role
from trio_ws.testing import Opcode, ScriptedPeer, bounded_stream_pair

AWAY = 3 * TICK

every_network = pytest.mark.parametrize(
    "network", ["memory", "trio memory", "socket", "tcp", "tls"]
)


# Out


async def test_message_of_any_size_takes_little_room(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """The outgoing buffer holds no more than a part above max_buffered_bytes."""
    async with scripted(streams=bounded_stream_pair(1000)) as (websocket, peer):

        async def send() -> None:
            async with websocket.send_stream(text=False) as stream:
                for _ in range(100):
                    await stream.send(bytes(10_000))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(send)
            size = most = 0
            while not (frame := await next_frame(peer)).fin:
                size += len(frame.payload)
                most = max(most, websocket.statistics().buffered_bytes)
        assert size == 1_000_000
        assert most <= 65536 + 10_010


@pytest.mark.parametrize("way", ["closes", "breaks", "we close"])
async def test_sender_that_waits_for_room_hears_of_the_close(
    way: str, autojump_clock: trio.testing.MockClock
) -> None:
    """At once, whoever closed; the message was not complete and does not count."""
    ours, theirs = bounded_stream_pair(1000)

    async def send() -> None:
        async with websocket.send_stream(text=False) as stream:
            await stream.send(bytes(100_000))
            await stream.send(b"behind")

    async def expect_end() -> None:
        with pytest.raises(ClosedLocally if way == "we close" else ConnectionBroken):
            await send()

    async with scripted(streams=(ours, theirs)) as (websocket, peer):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(expect_end)
            await trio.sleep(1)
            if way == "closes":
                await peer.close_frame()
            elif way == "breaks":
                theirs.reset()
            else:
                await trio.aclose_forcefully(websocket)
        assert trio.current_time() <= 1 + AWAY
        assert websocket.statistics().messages_sent == 0


async def test_close_goes_between_the_fragments(autojump_clock: trio.testing.MockClock) -> None:
    """A control frame may be injected into a message; what would follow it is not sent."""
    async with scripted() as (websocket, peer), trio.open_nursery() as nursery:

        async def send() -> None:
            async with websocket.send_stream(text=True) as stream:
                await stream.send("half")
                nursery.start_soon(websocket.aclose, 4000)
                await next_frame(peer)
                assert (await next_close(peer)).close_code == 4000
                await stream.send("the other half")

        with pytest.raises(ClosedLocally):
            await send()
        await peer.close_frame(4000)


# In


@both_roles
async def test_pieces_come_as_they_arrive(
    role: Role, autojump_clock: trio.testing.MockClock
) -> None:
    """In the middle of a frame too; pings between fragments are answered meanwhile."""
    async with scripted(role) as (websocket, peer):
        frame = peer_frame(role, Opcode.BINARY, b"abcdef", fin=False)
        await peer.send_bytes(frame[:-4])
        async with websocket.receive_stream() as stream:
            assert await stream.receive() == b"ab"
            await peer.send_bytes(frame[-4:])
            assert await stream.receive() == b"cdef"
            await peer.send_frame(Opcode.PING, b"?")
            await peer.send_frame(Opcode.CONTINUATION, b"gh")
            assert [piece async for piece in stream] == [b"gh"]
            assert (await next_frame(peer)).payload == b"?"


async def test_text_is_cut_at_characters(autojump_clock: trio.testing.MockClock) -> None:
    """A character whose bytes come one by one is one piece, never a broken one."""
    text = "a\u00fc\u20ac\U0001f600z"
    async with scripted() as (websocket, peer), trio.open_nursery() as nursery:

        async def send() -> None:
            for byte in peer_frame(Role.SERVER, Opcode.TEXT, text.encode()):
                await peer.send_bytes(bytes([byte]))
                await run_until_idle()

        nursery.start_soon(send)
        async with websocket.receive_stream() as stream:
            assert [piece async for piece in stream] == list(text)


async def test_invalid_text_is_found_within_the_message(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """1007 as soon as it is seen, though the message is not complete."""
    async with scripted() as (websocket, peer):
        await peer.send_frame(Opcode.TEXT, b"fine", fin=False)
        async with websocket.receive_stream() as stream:
            assert await stream.receive() == "fine"
            await peer.send_frame(Opcode.CONTINUATION, b"\xff", fin=False)
            with pytest.raises(ConnectionBroken) as caught:
                await stream.receive()
        assert caught.value.sent is not None
        assert caught.value.sent.code == 1007
        await peer.aclose()


async def test_limits_on_what_is_stored_do_not_hold_for_what_is_not(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Neither max_message_size nor max_fragments, also when the message was begun before."""
    limits = Limits(max_message_size=100, max_fragments=2)
    async with scripted(limits=limits) as (websocket, peer), trio.open_nursery() as nursery:

        async def send() -> None:
            await peer.send_frame(Opcode.BINARY, bytes(90), fin=False)
            await peer.send_frame(Opcode.CONTINUATION, bytes(100_000), fin=False)
            for _ in range(10):
                await peer.send_frame(Opcode.CONTINUATION, bytes(1000), fin=False)
            await peer.send_frame(Opcode.CONTINUATION)

        nursery.start_soon(send)
        await trio.sleep(AWAY)
        async with websocket.receive_stream() as stream:
            assert sum([len(piece) async for piece in stream]) == 110_090


async def test_limit_of_the_stream_counts_all_of_the_message(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """What came before it was passed is delivered; then it is 1009."""
    async with scripted() as (websocket, peer):
        await peer.send_frame(Opcode.BINARY, bytes(600), fin=False)
        async with websocket.receive_stream(max_size=1000) as stream:
            assert len(await stream.receive()) == 600
            await peer.send_frame(Opcode.CONTINUATION, bytes(401))
            with pytest.raises(ConnectionBroken) as caught:
                await stream.receive()
        assert caught.value.sent is not None
        assert caught.value.sent.code == 1009
        await peer.aclose()


@pytest.mark.parametrize("away", [False, True])
@pytest.mark.parametrize("read", [0, 1])
@pytest.mark.parametrize("cancelled", [False, True])
async def test_stream_left_early_skips_what_has_come_and_what_will(
    away: bool, read: int, cancelled: bool, autojump_clock: trio.testing.MockClock
) -> None:
    """However much of it was read, and why ever it was left; the next message is whole."""
    async with scripted() as (websocket, peer):
        await peer.send_frame(Opcode.TEXT, b"one", fin=False)
        with trio.CancelScope() as scope:
            async with websocket.receive_stream() as stream:
                for _ in range(read):
                    assert await stream.receive() == "one"
                await peer.send_frame(Opcode.CONTINUATION, b"two", fin=False)
                if away:
                    await trio.sleep(AWAY)
                if cancelled:
                    scope.cancel()
                    await trio.lowlevel.checkpoint()
        await peer.send_frame(Opcode.CONTINUATION, b"three", fin=False)
        await peer.send_frame(Opcode.CONTINUATION, b"four")
        await peer.send_frame(Opcode.TEXT, b"next")
        assert await websocket.receive() == "next"


async def test_stream_that_was_read_leaves_the_next_message_to_others(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """It is over with its last piece, even before the block is left."""
    async with scripted() as (websocket, peer):
        await peer.send_frame(Opcode.TEXT, b"one", fin=False)
        await peer.send_frame(Opcode.CONTINUATION, b"two")
        await peer.send_frame(Opcode.TEXT, b"three")
        await peer.send_frame(Opcode.TEXT, b"four")
        async with websocket.receive_stream() as stream:
            assert [piece async for piece in stream] == ["one", "two"]
            assert await websocket.receive() == "three"
            async with websocket.receive_stream() as another:
                assert [piece async for piece in another] == ["four"]
                with pytest.raises(trio.EndOfChannel):
                    await stream.receive()


async def test_cancelled_reader_loses_no_piece(autojump_clock: trio.testing.MockClock) -> None:
    """Cancelled before the first piece, and while it waits for another one."""
    async with scripted() as (websocket, peer):
        await peer.send_frame(Opcode.TEXT, b"one", fin=False)
        async with websocket.receive_stream() as stream:
            with trio.CancelScope() as scope:
                scope.cancel()
                await stream.receive()
            assert scope.cancelled_caught
            assert await stream.receive() == "one"
            with trio.move_on_after(AWAY):
                await stream.receive()
            await peer.send_frame(Opcode.CONTINUATION, b"two")
            assert [piece async for piece in stream] == ["two"]


@pytest.mark.parametrize("code", [1000, 1001, None, 4000])
async def test_message_cut_off_by_a_close_does_not_look_complete(
    code: int | None, autojump_clock: trio.testing.MockClock
) -> None:
    """However clean the close, half a message is ConnectionBroken and does not end the loop."""

    async def read() -> None:
        async for _ in stream:
            pass

    async with scripted() as (websocket, peer):
        await peer.send_frame(Opcode.TEXT, b"half", fin=False)
        async with websocket.receive_stream() as stream:
            await peer.close_frame(code)
            with pytest.raises(ConnectionBroken):
                await read()
        if code != 4000:
            with pytest.raises(ConnectionEnded):
                await websocket.receive()


# Through


@every_network
@pytest.mark.parametrize("text", [False, True])
async def test_messages_of_all_sizes_go_through(network: Network, text: bool) -> None:
    """Sent in parts and received in pieces, or only one of the two, or neither."""
    rng = random.Random(1)
    alphabet = "abcdefgü€\U0001f600"
    sizes = [0, 1, 125, 126, 5000, 65535, 65536, 300_000]
    messages: list[str | bytes] = [
        "".join(rng.choices(alphabet, k=size)) if text else rng.randbytes(size) for size in sizes
    ]

    async def send() -> None:
        for message in messages:
            async with client.send_stream(text=text) as stream:
                position = 0
                while position < len(message):
                    step = rng.randrange(1, 20_000)
                    await stream.send(message[position : position + step])
                    position += step
            await client.send(message)

    async def receive() -> bytes:
        if rng.random() < 0.3:
            return as_bytes(await server.receive())
        async with server.receive_stream() as stream:
            pieces = [as_bytes(piece) async for piece in stream]
            assert stream.text is text
        return b"".join(pieces)

    async with (
        pair_over(network, server={"limits": Limits(max_message_size=2_000_000)}) as (
            client,
            server,
        ),
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(send)
        for message in messages:
            for _ in range(2):
                assert await receive() == as_bytes(message)


def as_bytes(data: str | bytes) -> bytes:
    """Return the payload that this makes."""
    return data.encode() if isinstance(data, str) else data


async def send_huge_frame(peer: ScriptedPeer, size: int) -> None:
    """Send one binary frame of zeros, masked with zeros, without ever having all of it."""
    await peer.send_bytes(b"\x82\xff" + size.to_bytes(8) + bytes(4))
    for _ in range(0, size, 100_000):
        await peer.send_bytes(bytes(100_000))


@every_network
async def test_huge_frame_goes_through_in_pieces(network: Network) -> None:
    """A single frame far above all limits: little of it is held at any time."""
    size = 20_000_000
    ours, theirs = await open_streams(network)
    async with (
        scripted(Role.SERVER, streams=(ours, theirs)) as (websocket, peer),
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(send_huge_frame, peer, size)
        received = most = 0
        async with websocket.receive_stream() as stream:
            async for piece in stream:
                received += len(piece)
                most = max(most, websocket.statistics().queued_messages)
        assert received == size
        assert most <= 3
        await peer.aclose()
