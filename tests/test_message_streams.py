"""One message in pieces, out and in; the blocks that open the streams are in test_connection."""

from contextlib import suppress
from typing import Literal, NoReturn

import pytest
import trio
import trio.testing

from tests.connections import (
    HANGS,
    Network,
    next_close,
    next_frame,
    pair_over,
    real_networks,
    run_until_idle,
    scripted,
)
from tests.helpers import both_roles
from trio_ws import (
    ClosedLocally,
    ConnectionBroken,
    ConnectionClosed,
    Limits,
    MessageReceiver,
    MessageSender,
    WebSocket,
)
from trio_ws._transport import Transport
from trio_ws.protocol.state import Role
from trio_ws.testing import Frame, Opcode, ScriptedPeer, bounded_stream_pair, join_messages

# Sending


async def frames_of_message(peer: ScriptedPeer) -> list[Frame]:
    """Receive the frames up to the last of a data message."""
    frames: list[Frame] = []
    while not frames or not (frames[-1].fin and frames[-1].opcode < Opcode.CLOSE):
        frames.append(await next_frame(peer))
    return frames


@both_roles
@pytest.mark.parametrize(
    ("text", "parts", "message"),
    [
        (True, ["a", "b\u00fc", b"\xc3\xbc"], "ab\u00fc\u00fc"),
        (False, [b"a", bytearray(b"b"), memoryview(b"c")], b"abc"),
        (True, [], ""),
        (False, [], b""),
        (True, [""], ""),
    ],
    ids=["text", "binary", "no text", "no binary", "empty part"],
)
async def test_parts_are_the_fragments_of_one_message(
    role: Role,
    text: bool,
    parts: list[str | bytes],
    message: str | bytes,
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Each part is one fragment; an empty final one completes the message (RFC 6455, 5.4)."""
    async with scripted(role) as (websocket, peer):
        async with websocket.send_stream(text=text) as stream:
            assert isinstance(stream, MessageSender)
            for part in parts:
                await stream.send(part)
        frames = await frames_of_message(peer)
        assert join_messages(frames) == [message]
        assert len(frames) == len(parts) + 1
        assert frames[-1].payload == b""
        assert websocket.statistics().messages_sent == 1
        await peer.close_frame()


@pytest.mark.parametrize(
    ("text", "part", "error"),
    [
        (True, 1, TypeError),
        (True, b"\xff", ValueError),
        (True, b"\xc3", ValueError),
        (True, "\ud800", ValueError),
        (False, "text", TypeError),
        (False, None, TypeError),
    ],
)
async def test_wrong_part_is_refused_and_harms_nothing(
    text: bool, part: object, error: type[Exception], autojump_clock: trio.testing.MockClock
) -> None:
    """Nothing of it was sent, and the message goes on."""
    async with scripted() as (websocket, peer):
        async with websocket.send_stream(text=text) as stream:
            await stream.send(b"a")
            with pytest.raises(error):
                await stream.send(part)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
            await stream.send(b"b")
        assert join_messages(await frames_of_message(peer)) == ["ab" if text else b"ab"]
        await peer.close_frame()


async def test_part_after_the_block_is_refused(autojump_clock: trio.testing.MockClock) -> None:
    """The message is complete, and nothing can be added to it."""
    async with scripted() as (websocket, peer):
        async with websocket.send_stream(text=True) as stream:
            await stream.send("a")
        with pytest.raises(trio.ClosedResourceError, match="send_stream"):
            await stream.send("b")
        assert join_messages(await frames_of_message(peer)) == ["a"]
        await peer.close_frame()


async def give_up() -> NoReturn:
    """Fail, unless cancelled."""
    await trio.lowlevel.checkpoint()
    raise KeyError


async def test_part_of_a_message_that_was_given_up_is_refused(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Also when the block was left by an exception before anything was sent."""
    async with scripted() as (websocket, peer):
        kept: list[MessageSender] = []
        with suppress(KeyError):
            async with websocket.send_stream(text=True) as stream:
                kept.append(stream)
                await give_up()
        with pytest.raises(trio.ClosedResourceError):
            await kept[0].send("b")
        await websocket.send("whole")
        assert join_messages(await frames_of_message(peer)) == ["whole"]
        await peer.close_frame()


@pytest.mark.parametrize("cancelled", [False, True])
async def test_half_a_message_ends_the_connection(
    cancelled: bool, autojump_clock: trio.testing.MockClock
) -> None:
    """A peer cannot be told to forget it: 1011, and no final fragment that would complete it."""
    async with scripted() as (websocket, peer):
        with trio.CancelScope() as scope, suppress(KeyError):
            async with websocket.send_stream(text=True) as stream:
                await stream.send("half")
                if cancelled:
                    scope.cancel()
                await give_up()
        assert scope.cancelled_caught is cancelled
        frame = await next_frame(peer)
        assert (frame.fin, frame.payload) == (False, b"half")
        assert (await next_close(peer)).close_code == 1011
        with pytest.raises(ConnectionClosed):
            await websocket.send("whole")


async def test_cancelled_part_was_not_sent(autojump_clock: trio.testing.MockClock) -> None:
    """It waits for room, is cancelled there, and the message goes on without it."""
    ours, theirs = bounded_stream_pair(100)
    limits = Limits(max_buffered_bytes=100)
    frames: list[Frame] = []

    async def receive(peer: ScriptedPeer) -> None:
        frames.extend(await frames_of_message(peer))
        await peer.close_frame()

    async with scripted(streams=(ours, theirs), limits=limits) as (websocket, peer):
        async with trio.open_nursery() as nursery, websocket.send_stream(text=True) as stream:
            await stream.send("a" * 500)
            with trio.move_on_after(1) as scope:
                await stream.send("lost")
            assert scope.cancelled_caught
            nursery.start_soon(receive, peer)
            await stream.send("b")
        assert join_messages(frames) == ["a" * 500 + "b"]


async def test_message_of_a_closed_connection_raises(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """A part that can no longer be sent says so, and so does the end of the message."""
    async with scripted() as (websocket, peer):
        block = websocket.send_stream(text=True)
        stream = await block.__aenter__()
        await stream.send("a")
        await peer.close_frame()
        await websocket.wait_closed()
        with pytest.raises(ConnectionBroken):
            await stream.send("b")
        with pytest.raises(ConnectionBroken):
            await block.__aexit__(None, None, None)


async def test_other_senders_wait_and_pings_do_not(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Only control frames come between fragments (RFC 6455 section 5.4)."""
    async with scripted() as (websocket, peer), trio.open_nursery() as nursery:
        async with websocket.send_stream(text=True) as stream:
            await stream.send("a")
            frames = [await next_frame(peer)]
            nursery.start_soon(websocket.send, "other")
            await websocket.pong(b"between")
            await run_until_idle()
            with pytest.raises(RuntimeError, match="leave the send_stream"):
                await websocket.send("mine")
            await stream.send("b")
        frames += await frames_of_message(peer)
        assert [frame.opcode for frame in frames] == [
            Opcode.TEXT,
            Opcode.PONG,
            Opcode.CONTINUATION,
            Opcode.CONTINUATION,
        ]
        assert join_messages(await frames_of_message(peer)) == ["other"]
        await peer.close_frame()


# Receiving


async def send_fragments(peer: ScriptedPeer, *parts: bytes, text: bool = True) -> None:
    """Send a message in these fragments."""
    first = Opcode.TEXT if text else Opcode.BINARY
    for index, part in enumerate(parts):
        await peer.send_frame(
            Opcode.CONTINUATION if index else first, part, fin=index == len(parts) - 1
        )


async def test_interrupt_strikes_in_the_blocks_of_streams_alone(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.testing.MockClock
) -> None:
    """Ctrl-C around them would keep the turn of the senders for ever, or lose a piece."""
    protected: dict[str, bool] = {}

    def watch(kind: type[object], name: str) -> None:
        method = getattr(kind, name)

        def watched(*args: object, **options: object) -> object:
            protected[name] = trio.lowlevel.currently_ki_protected()
            return method(*args, **options)

        monkeypatch.setattr(kind, name, watched)

    for name in ("wait_room", "release"):
        watch(Transport, name)
    for name in ("_send_fragment", "_receive_item", "_begin_stream", "_skip_streamed"):
        watch(WebSocket, name)
    async with scripted() as (websocket, peer):
        async with websocket.send_stream(text=True) as sender:
            protected["send block"] = trio.lowlevel.currently_ki_protected()
            await sender.send("a")
        await send_fragments(peer, b"a", b"b", b"c")
        async with websocket.receive_stream() as receiver:
            protected["receive block"] = trio.lowlevel.currently_ki_protected()
            for _ in range(2):
                await receiver.receive()
        await peer.close_frame()
    blocks = {name for name, is_so in protected.items() if not is_so}
    assert blocks == {"send block", "receive block"}
    assert len(protected) == 8


@both_roles
@pytest.mark.parametrize("text", [True, False])
async def test_message_is_received_in_pieces(
    role: Role, text: bool, autojump_clock: trio.testing.MockClock
) -> None:
    """They are of the message's kind, come as they arrive, and make the message."""
    parts = ["a\u00fc".encode(), b"", b"b" * 70_000]
    async with scripted(role) as (websocket, peer), trio.open_nursery() as nursery:

        async def send() -> None:
            await send_fragments(peer, *parts, text=text)
            await peer.send_frame(Opcode.TEXT, b"next")

        nursery.start_soon(send)
        async with websocket.receive_stream() as stream:
            assert isinstance(stream, MessageReceiver)
            assert stream.text is text
            pieces = [piece async for piece in stream]
            with pytest.raises(trio.EndOfChannel):
                await stream.receive()
        assert len(pieces) > 1
        assert all(isinstance(piece, str) is text for piece in pieces)
        octets = [piece.encode() if isinstance(piece, str) else piece for piece in pieces]
        assert b"".join(octets) == b"".join(parts)
        assert await websocket.receive() == "next"
        await peer.close_frame()


async def test_first_piece_is_there_before_the_message_is(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """A message that has no end can be read all the same; characters are never cut."""
    async with scripted() as (websocket, peer):
        await peer.send_frame(Opcode.TEXT, b"a\xc3", fin=False)
        async with websocket.receive_stream() as stream:
            assert await stream.receive() == "a"
            with trio.move_on_after(1000) as scope:
                await stream.receive()
            assert scope.cancelled_caught  # and nothing is lost
            await peer.send_frame(Opcode.CONTINUATION, b"\xbc")
            assert "".join([str(piece) async for piece in stream]) == "\u00fc"
        await peer.close_frame()


async def test_message_that_has_come_whole_is_one_piece(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """One that was queued before anybody streamed needs no more waiting."""
    async with scripted() as (websocket, peer):
        await peer.send_frame(Opcode.BINARY, b"whole")
        await trio.sleep(1)
        assert websocket.statistics().queued_messages == 1
        async with websocket.receive_stream() as stream:
            assert not stream.text
            assert [piece async for piece in stream] == [b"whole"]
        await peer.close_frame()


async def test_cancelled_first_piece_is_not_lost(autojump_clock: trio.testing.MockClock) -> None:
    """Cancelled before it is taken, it is there for the next call."""
    async with scripted() as (websocket, peer):
        await send_fragments(peer, b"a", b"b")
        async with websocket.receive_stream() as stream:
            with trio.CancelScope() as scope:
                scope.cancel()
                await stream.receive()
            assert scope.cancelled_caught
            assert "".join([str(piece) async for piece in stream]) == "ab"
        await peer.close_frame()


@pytest.mark.parametrize("way", ["break", "aclose", "exception", "unread"])
@pytest.mark.parametrize("complete", [True, False], ids=["all there", "still coming"])
async def test_rest_of_a_message_is_skipped(
    way: Literal["break", "aclose", "exception", "unread"],
    complete: bool,
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Whoever has enough leaves, without waiting; the next message is whole."""
    async with scripted() as (websocket, peer):
        await peer.send_frame(Opcode.TEXT, b"a", fin=False)
        if complete:
            await peer.send_frame(Opcode.CONTINUATION, b"b")
        began = trio.current_time()
        kept: list[MessageReceiver] = []
        with suppress(KeyError):
            async with websocket.receive_stream() as stream:
                kept.append(stream)
                if way != "unread":
                    assert str(await stream.receive())[0] == "a"
                if way == "aclose":
                    await stream.aclose()
                    await stream.aclose()
                if way == "exception":
                    await give_up()
            assert way != "exception"
        assert trio.current_time() == began
        with pytest.raises(trio.ClosedResourceError, match="was left"):
            await kept[0].receive()
        if not complete:
            await peer.send_frame(Opcode.CONTINUATION, b"b" * 1000)
        await peer.send_frame(Opcode.TEXT, b"next")
        assert await websocket.receive() == "next"
        await peer.close_frame()


async def test_channel_of_pieces_closes_as_a_channel_does(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """``async with`` on it skips the rest; when cancelled it has done so all the same."""
    async with scripted() as (websocket, peer):
        await peer.send_frame(Opcode.TEXT, b"a", fin=False)
        async with websocket.receive_stream() as stream:
            with trio.CancelScope() as scope:
                scope.cancel()
                async with stream:
                    pass
            assert scope.cancelled_caught
            with pytest.raises(trio.ClosedResourceError):
                await stream.receive()
        await peer.send_frame(Opcode.CONTINUATION, b"b")
        await peer.send_frame(Opcode.TEXT, b"next")
        assert await websocket.receive() == "next"
        await peer.close_frame()


async def test_end_of_a_message_is_a_checkpoint(autojump_clock: trio.testing.MockClock) -> None:
    """As everything that is awaited."""
    async with scripted() as (websocket, peer):
        await peer.send_frame(Opcode.TEXT, b"a")
        async with websocket.receive_stream() as stream:
            assert await stream.receive() == "a"
            with trio.testing.assert_checkpoints(), pytest.raises(trio.EndOfChannel):
                await stream.receive()
            with trio.testing.assert_checkpoints():
                await stream.aclose()
        await peer.close_frame()


async def test_connection_that_ends_within_the_message_raises(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """It is never taken for the end of the message."""
    async with scripted() as (websocket, peer):
        await peer.send_frame(Opcode.TEXT, b"a", fin=False)
        async with websocket.receive_stream() as stream:
            assert await stream.receive() == "a"
            await peer.aclose()
            with pytest.raises(ConnectionBroken):
                await stream.receive()


async def test_connection_that_we_close_within_the_message_raises(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """The blame is in the type, as with receive()."""
    async with scripted() as (websocket, peer):
        await peer.send_frame(Opcode.TEXT, b"a", fin=False)
        async with websocket.receive_stream() as stream:
            assert await stream.receive() == "a"
            await peer.close_frame()
            await websocket.aclose()
            with pytest.raises(ClosedLocally):
                await stream.receive()


async def test_second_receiver_is_refused(autojump_clock: trio.testing.MockClock) -> None:
    """The pieces are the stream's, and one task's at a time."""
    async with scripted() as (websocket, peer):
        await peer.send_frame(Opcode.TEXT, b"a", fin=False)
        async with websocket.receive_stream() as stream, trio.open_nursery() as nursery:
            assert await stream.receive() == "a"
            with pytest.raises(trio.BusyResourceError):
                await websocket.receive()
            nursery.start_soon(stream.receive)
            await run_until_idle()
            with pytest.raises(trio.BusyResourceError):
                await stream.receive()
            await peer.send_frame(Opcode.CONTINUATION, b"b")
        await peer.close_frame()


@real_networks
async def test_message_larger_than_all_limits_goes_from_stream_to_stream(network: Network) -> None:
    """Neither end ever holds it whole."""
    size, part = 0, b"x" * 50_000
    async with pair_over(network, server={"limits": Limits(max_message_size=1000)}) as (
        client,
        server,
    ):

        async def send() -> None:
            async with client.send_stream(text=False) as stream:
                for _ in range(60):
                    await stream.send(part)
            await client.send("next")

        with trio.fail_after(HANGS):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(send)
                async with server.receive_stream() as stream:
                    async for piece in stream:
                        size += len(piece)
                assert await server.receive() == "next"
    assert size == 60 * len(part)
