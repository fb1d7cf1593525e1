"""What goes out: messages, fragments, pings and pongs, each of them whole or not at all."""

import array
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial

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
from tests.helpers import both_roles
from trio_ws import (
    ConnectionBroken,
    ConnectionClosed,
    Limits,
    Timeouts,
)
from trio_ws._caretaker import TICK
from trio_ws._close import Close
from trio_ws._pings import MAX_OUTSTANDING
from trio_ws._sending import LARGE_PAYLOAD
from trio_ws.protocol.state import Role
from trio_ws.testing import (
    Frame,
    Opcode,
    bounded_stream_pair,
    join_messages,
)

AWAY = 3 * TICK

every_network = pytest.mark.parametrize(
    "network", ["memory", "trio memory", "socket", "tcp", "tls"]
)


# Sending


@both_roles
@pytest.mark.parametrize(
    ("message", "text", "sent"),
    [
        ("grüß", None, (Opcode.TEXT, "grüß".encode())),
        ("", None, (Opcode.TEXT, b"")),
        ("x", True, (Opcode.TEXT, b"x")),
        (b"\xff", None, (Opcode.BINARY, b"\xff")),
        (b"\xff", False, (Opcode.BINARY, b"\xff")),
        (bytearray(b"abc"), None, (Opcode.BINARY, b"abc")),
        (memoryview(b"abc"), None, (Opcode.BINARY, b"abc")),
        (array.array("B", [1, 2]), None, (Opcode.BINARY, b"\1\2")),
        ("grüß".encode(), True, (Opcode.TEXT, "grüß".encode())),
    ],
)
async def test_send_makes_one_frame(
    message: str | bytes,
    text: bool | None,
    sent: tuple[int, bytes],
    role: Role,
    autojump_clock: trio.testing.MockClock,
) -> None:
    """The type decides between text and binary unless the caller does; so with send_nowait()."""
    async with scripted(role) as (websocket, peer):
        await websocket.send(message, text=text)
        websocket.send_nowait(message, text=text)
        for _ in range(2):
            frame = await next_frame(peer)
            assert (frame.opcode, frame.payload) == sent
            assert frame.fin


@both_roles
@pytest.mark.parametrize("size", [LARGE_PAYLOAD - 1, LARGE_PAYLOAD, 100_000])
@pytest.mark.parametrize("text", [True, False], ids=["text", "binary"])
async def test_large_message_is_one_frame_like_any_other(
    size: int, text: bool, role: Role, autojump_clock: trio.testing.MockClock
) -> None:
    """Whether its payload was copied into it or not."""
    async with scripted(role) as (websocket, peer):
        for message in ("x" * size, "y" * size):
            await websocket.send(message if text else message.encode())
            frame = await next_frame(peer)
            assert frame.fin
            assert frame.opcode == (Opcode.TEXT if text else Opcode.BINARY)
            assert frame.payload == message.encode()
        figures = websocket.statistics()
        assert figures.messages_sent == 2
        header = (2 if size < 126 else 4 if size < 65536 else 10) + 4 * (role is Role.CLIENT)
        assert figures.bytes_sent == 2 * (header + size)


@pytest.mark.parametrize(
    ("message", "text", "error"),
    [
        (1, None, TypeError),
        (None, None, TypeError),
        ([b"x"], None, TypeError),
        ({"x": 1}, None, TypeError),
        ((part for part in ("a", "b")), None, TypeError),
        (array.array("I", [1]), None, TypeError),
        ("x", False, TypeError),
        ("\ud800", None, UnicodeEncodeError),
        (b"\xff", True, UnicodeDecodeError),
    ],
)
async def test_send_refuses_what_is_no_message(
    message: str, text: bool | None, error: type[Exception], autojump_clock: trio.testing.MockClock
) -> None:
    """F17: an error at once, nothing on the wire, and the connection is as it was."""
    async with scripted() as (websocket, peer):
        with pytest.raises(error):
            await websocket.send(message, text=text)
        with pytest.raises(error):
            websocket.send_nowait(message, text=text)
        assert websocket.statistics().bytes_sent == 0
        await websocket.send("fine")
        assert (await next_frame(peer)).payload == b"fine"


async def test_send_in_a_cancelled_scope_sends_nothing(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """R2: a deadline that has passed already costs nothing, and the next message is intact."""
    async with scripted() as (websocket, peer):
        with trio.CancelScope() as scope:
            scope.cancel()
            await websocket.send("not sent")
        assert scope.cancelled_caught
        await websocket.send("sent")
        assert (await next_frame(peer)).payload == b"sent"


@pytest.mark.parametrize("network", ["memory", "socket", "tcp", "tls"])
async def test_send_cancelled_while_it_waits_sends_nothing(network: Network) -> None:
    """R2: cancelled while waiting for room or for its turn; the others are served in order."""
    ours, theirs = await open_streams(network)
    async with scripted(Role.CLIENT, streams=(ours, theirs)) as (websocket, peer):
        size = 0
        while not websocket._transport.crowded:
            await websocket.send(bytes(1 << 16))
            size += 1
            await run_until_idle()
        scopes: list[trio.CancelScope] = []

        async def send(message: str) -> None:
            with trio.CancelScope() as scope:
                scopes.append(scope)
                await websocket.send(message)

        async with trio.open_nursery() as nursery:
            for number in range(6):
                nursery.start_soon(send, str(number))
                await run_until_idle()
            for number in (0, 2, 5):
                scopes[number].cancel()
            await run_until_idle()
            for _ in range(size):
                assert len((await next_frame(peer)).payload) == 1 << 16
            for number in (1, 3, 4):
                assert (await next_frame(peer)).payload == b"%d" % number
        await websocket.send("last")
        assert (await next_frame(peer)).payload == b"last"
        await peer.aclose()


@every_network
@pytest.mark.parametrize("waits", [False, True])
async def test_send_of_a_huge_message_is_cancelled(network: Network, *, waits: bool) -> None:
    """D4: whenever it is cancelled it arrives whole or not at all, and what follows, whole."""
    sizes: list[int] = []
    ours, theirs = await open_streams(network)
    async with scripted(Role.SERVER, streams=(ours, theirs)) as (websocket, peer):
        if waits:
            await websocket.send(bytes(10_000_000))
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(websocket.send, bytes(30_000_000))
                await run_until_idle()
                scope.cancel()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(websocket.send, "hello")
            while not sizes or sizes[-1] != len("hello"):
                sizes.append(len((await next_frame(peer)).payload))
        await peer.aclose()
    # A send() that found room has committed the message before it could be cancelled; only the
    # streams of trio.testing have always room.
    expected = [10_000_000] if waits else []
    if not waits or network == "trio memory":
        expected.append(30_000_000)
    assert sizes == [*expected, len("hello")]


@every_network
async def test_blocked_writer_does_not_stop_the_reading(network: Network) -> None:
    """D3: an echo server, and a client that sends from one task and receives in another."""
    count, size = 12, 900_000
    received = 0

    async def echo() -> None:
        async for message in server:
            await server.send(message)

    async def send() -> None:
        for _ in range(count):
            await client.send(bytes(size))

    async with pair_over(network) as (client, server), trio.open_nursery() as nursery:
        nursery.start_soon(echo)
        nursery.start_soon(send)
        while received < count:
            message = await client.receive()
            assert len(message) == size
            received += 1
        await client.aclose()


@every_network
async def test_many_tasks_send_at_once(network: Network) -> None:
    """R16: every message whole, in the order of its task; fragments and pings in their places."""
    tasks, messages = 20, 15
    received: list[list[int]] = [[] for _ in range(tasks + 1)]

    async def send(task: int) -> None:
        for number in range(messages):
            filler = "x" * (100_000 if (task, number % 5) == (3, 0) else task * number)
            await websocket.send(f"{task}:{number}:{filler}")
            if number % 4 == 0:
                await trio.lowlevel.checkpoint()

    async def send_fragments() -> None:
        for number in range(messages):
            async with websocket.send_stream(text=True) as stream:
                for part in (f"{tasks}:", f"{number}:", "x" * 5000, ""):
                    await stream.send(part)
                    await trio.lowlevel.checkpoint()

    async def ping() -> None:
        for _ in range(messages):
            await websocket.pong(b"heartbeat")
            with trio.move_on_after(0):
                await websocket.ping()

    async def read() -> None:
        frames: list[Frame] = []
        for _ in range((tasks + 1) * messages):
            while not frames or frames[-1].opcode >= Opcode.CLOSE or not frames[-1].fin:
                frames.append(await next_frame(peer))
            (message,) = join_messages(frames)
            assert isinstance(message, str)
            task, number, _ = message.split(":")
            received[int(task)].append(int(number))
            frames.clear()

    ours, theirs = await open_streams(network)
    async with scripted(Role.SERVER, streams=(ours, theirs)) as (websocket, peer):
        async with trio.open_nursery() as nursery:
            for task in range(tasks):
                nursery.start_soon(send, task)
            nursery.start_soon(send_fragments)
            nursery.start_soon(ping)
            await read()
        await peer.aclose()
    assert received == [[*range(messages)]] * (tasks + 1)


async def test_sender_that_never_waits_lets_others_run() -> None:
    """However fast the peer is, whoever sends in a loop yields every so often; in pings too."""
    turns = 0

    async def count_turns() -> None:
        nonlocal turns
        while True:
            await trio.lowlevel.checkpoint()
            turns += 1

    async def send_fragments() -> None:
        async with websocket.send_stream(text=True) as stream:
            for _ in range(2560):
                await stream.send("")

    async def repeat(call: Callable[[], Awaitable[object]]) -> None:
        for _ in range(2560):
            await call()

    ours, theirs = bounded_stream_pair(1 << 20)
    limits = Limits(max_buffered_bytes=1 << 20)
    async with scripted(streams=(ours, theirs), limits=limits) as (websocket, peer):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(count_turns)
            for run in (
                partial(repeat, partial(websocket.send, "")),
                partial(repeat, websocket.pong),
                send_fragments,
            ):
                before = turns
                await run()
                assert 5 <= turns - before < 200
            nursery.cancel_scope.cancel()
        await peer.aclose()


@both_roles
async def test_send_after_the_peer_closed(
    role: Role, autojump_clock: trio.testing.MockClock
) -> None:
    """ConnectionBroken, with the peer's code: there is nobody who would read it."""
    async with scripted(role) as (websocket, peer):
        await peer.close_frame(1001, "gone")
        await websocket.wait_closed()
        for call in (
            partial(websocket.send, "x"),
            partial(websocket.ping, b"x"),
            partial(websocket.pong, b"x"),
        ):
            with pytest.raises(ConnectionBroken) as caught:
                await call()
            assert caught.value.received == Close(1001, "gone")
            assert caught.value.sent == Close(1001)
        with pytest.raises(ConnectionBroken):
            websocket.send_nowait("x")


# send_nowait()


async def test_send_nowait_would_block(autojump_clock: trio.testing.MockClock) -> None:
    """When the buffer is full, or when others were there before, nothing is sent."""
    limits = Limits(max_buffered_bytes=1000)
    async with scripted(limits=limits, streams=bounded_stream_pair(100)) as (websocket, peer):
        with trio.testing.assert_no_checkpoints():
            websocket.send_nowait(bytes(1000))
            with pytest.raises(trio.WouldBlock):
                websocket.send_nowait("x")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(websocket.send, bytes(10))
            nursery.start_soon(websocket.send, bytes(20))
            await run_until_idle()
            with pytest.raises(trio.WouldBlock):
                websocket.send_nowait("x")
            sizes = [len((await next_frame(peer)).payload) for _ in range(3)]
        assert sorted(sizes) == [10, 20, 1000]
        async with websocket.send_stream(text=True):
            with pytest.raises(trio.WouldBlock):
                websocket.send_nowait("x")
        websocket.send_nowait("y")
        assert [(await next_frame(peer)).payload for _ in range(2)] == [b"", b"y"]


# send_stream()


async def test_send_stream_keeps_other_senders_waiting(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Messages wait until it is left; pings and pongs go between the fragments."""
    async with scripted() as (websocket, peer), trio.open_nursery() as nursery:
        async with websocket.send_stream(text=True) as stream:
            nursery.start_soon(websocket.send, "behind")
            await stream.send("one")
            await run_until_idle()
            await websocket.pong(b"between")
            await run_until_idle()
            await stream.send("two")
            with pytest.raises(RuntimeError):
                await websocket.send("from the same task")
            with pytest.raises(RuntimeError):
                await websocket.send_stream(text=True).__aenter__()
        frames = [await next_frame(peer) for _ in range(5)]
        assert [(frame.opcode, frame.payload, frame.fin) for frame in frames] == [
            (Opcode.TEXT, b"one", False),
            (Opcode.PONG, b"between", True),
            (Opcode.CONTINUATION, b"two", False),
            (Opcode.CONTINUATION, b"", True),
            (Opcode.TEXT, b"behind", True),
        ]
        assert websocket.statistics().messages_sent == 2


@pytest.mark.parametrize("begun", [False, True])
@pytest.mark.parametrize("cancelled", [False, True])
async def test_send_stream_left_early_closes(
    begun: bool, cancelled: bool, autojump_clock: trio.testing.MockClock
) -> None:
    """Half a message cannot be taken back: 1011.  If nothing of it was sent, nothing happens."""
    async with scripted(timeouts=Timeouts(close=5)) as (websocket, peer):
        with suppress(ValueError), trio.CancelScope() as scope:
            async with websocket.send_stream(text=True) as stream:
                if begun:
                    await stream.send("half")
                if cancelled:
                    scope.cancel()
                    await trio.lowlevel.checkpoint()
                raise ValueError
        if begun:
            assert (await next_frame(peer)).payload == b"half"
            assert (await next_close(peer)).close_code == 1011
            with pytest.raises(ConnectionBroken):
                await websocket.send("x")
            await peer.send_frame(Opcode.TEXT, b"sent before it knew")
            assert await websocket.receive() == "sent before it knew"
            with pytest.raises(ConnectionBroken) as caught:
                await websocket.receive()
            assert trio.current_time() == pytest.approx(5, abs=2 * TICK)
            assert caught.value.sent == Close(1011, "message not completed")
        else:
            await websocket.send("fine")
            assert (await next_frame(peer)).payload == b"fine"


async def test_send_stream_of_a_closed_connection(autojump_clock: trio.testing.MockClock) -> None:
    """It cannot be opened; and one that is open hears of the close at the next part."""

    async def send_stream() -> None:
        async with websocket.send_stream(text=True) as stream:
            await stream.send("half")
            await peer.close_frame()
            await websocket.wait_closed()
            await stream.send("the other half")

    async with scripted() as (websocket, peer):
        with pytest.raises(ConnectionBroken):
            await send_stream()
        assert websocket.close_sent == Close(1000)
        with pytest.raises(ConnectionBroken):
            await websocket.send_stream(text=True).__aenter__()


async def test_senders_behind_a_send_stream_are_released_by_the_close(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Whoever has the stream may be elsewhere for long; the others hear of the close at once."""

    async def send() -> None:
        with pytest.raises(ConnectionBroken):
            await websocket.send("waiting")
        assert trio.current_time() == 1

    async with scripted() as (websocket, peer), trio.open_nursery() as nursery:
        with suppress(ConnectionBroken):
            async with websocket.send_stream(text=True):
                nursery.start_soon(send)
                nursery.start_soon(send)
                await trio.sleep(1)
                await peer.close_frame()
                await trio.sleep(100)


# Pings


@both_roles
async def test_ping_returns_the_round_trip_time(
    role: Role, autojump_clock: trio.testing.MockClock
) -> None:
    """In seconds, also as the latency, whether anybody receives or not."""
    async with scripted(role) as (websocket, peer), trio.open_nursery() as nursery:

        async def answer() -> None:
            for _ in range(2):
                ping = await next_frame(peer)
                await trio.sleep(2)
                await peer.send_frame(Opcode.PONG, ping.payload)

        nursery.start_soon(answer)
        assert websocket.latency is None
        assert await websocket.ping() == 2
        nursery.start_soon(websocket.discard_messages)
        assert await websocket.ping(b"mine") == 2
        assert websocket.latency == 2
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    ("payload", "error"),
    [("text", TypeError), (1, TypeError), (bytes(126), ValueError)],
)
async def test_ping_and_pong_refuse_what_is_no_payload(
    payload: bytes, error: type[Exception], autojump_clock: trio.testing.MockClock
) -> None:
    """An error at once, and nothing on the wire."""
    async with scripted() as (websocket, _):
        with pytest.raises(error):
            await websocket.ping(payload)
        with pytest.raises(error):
            await websocket.pong(payload)
        assert websocket.statistics().bytes_sent == 0


async def test_ping_with_a_payload_that_is_on_its_way(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Its pong could not be told from the other one's; later the payload is good again."""
    async with scripted() as (websocket, peer):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(websocket.ping, b"x")
            await run_until_idle()
            with pytest.raises(ValueError, match="on its way"):
                await websocket.ping(b"x")
            await peer.send_frame(Opcode.PONG, (await next_frame(peer)).payload)
        with trio.move_on_after(1):
            await websocket.ping(b"x")
        assert (await next_frame(peer)).payload == b"x"


async def test_pings_on_their_way_are_limited(autojump_clock: trio.testing.MockClock) -> None:
    """S6: no more than 16 at once; further ones wait for a pong, or for a cancellation."""
    done = 0

    async def ping(scope: trio.CancelScope) -> None:
        nonlocal done
        with scope:
            await websocket.ping()
        done += 1

    async with scripted() as (websocket, peer), trio.open_nursery() as nursery:
        scopes = [trio.CancelScope() for _ in range(MAX_OUTSTANDING + 3)]
        for scope in scopes:
            nursery.start_soon(ping, scope)
            await run_until_idle()
        pings = [await next_frame(peer) for _ in range(MAX_OUTSTANDING)]
        await run_until_idle()
        assert websocket.statistics().buffered_bytes == 0
        scopes[0].cancel()
        pings.append(await next_frame(peer))
        # A pong answers all pings before it (RFC 6455 section 5.5.3).
        await peer.send_frame(Opcode.PONG, pings[9].payload)
        pings += [await next_frame(peer) for _ in range(2)]
        assert done == 10
        await peer.send_frame(Opcode.PONG, pings[-1].payload)
    assert done == len(scopes)


async def test_cancelled_ping_harms_nothing(autojump_clock: trio.testing.MockClock) -> None:
    """Its pong is an unsolicited one when it comes."""
    async with scripted() as (websocket, peer):
        with trio.move_on_after(1):
            await websocket.ping(b"slow")
        await peer.send_frame(Opcode.PONG, (await next_frame(peer)).payload)
        await peer.send_frame(Opcode.TEXT, b"x")
        assert await websocket.receive() == "x"
        assert websocket.latency is None


@pytest.mark.parametrize("way", ["closes", "hangs up", "resets", "we close"])
@pytest.mark.parametrize("receiving", [False, True])
async def test_ping_is_released_when_the_connection_closes(
    way: str, receiving: bool, autojump_clock: trio.testing.MockClock
) -> None:
    """D15: at once, those that wait for their turn too."""
    ours, theirs = bounded_stream_pair()
    released = 0

    async def ping() -> None:
        nonlocal released
        with pytest.raises(ConnectionClosed):
            await websocket.ping()
        released += 1

    async def receive() -> None:
        with suppress(ConnectionClosed):
            await websocket.receive()

    async with scripted(streams=(ours, theirs)) as (websocket, peer):
        async with trio.open_nursery() as nursery:
            if receiving:
                nursery.start_soon(receive)
            for _ in range(MAX_OUTSTANDING + 2):
                nursery.start_soon(ping)
            await run_until_idle()
            match way:
                case "closes":
                    await peer.close_frame()
                case "hangs up":
                    await peer.aclose()
                case "resets":
                    theirs.reset()
                case _:
                    await trio.aclose_forcefully(websocket)
        assert trio.current_time() == 0
        assert released == MAX_OUTSTANDING + 2


@both_roles
async def test_pong_is_a_heartbeat(role: Role, autojump_clock: trio.testing.MockClock) -> None:
    """It goes out as it is, and no answer is expected."""
    async with scripted(role) as (websocket, peer):
        await websocket.pong()
        await websocket.pong(b"beat")
        payloads = [(await next_frame(peer)).payload]
        if payloads != [b"beat"]:  # of unsent ones the newest is enough
            payloads.append((await next_frame(peer)).payload)
        assert payloads[-1] == b"beat"
