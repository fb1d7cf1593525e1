"""Who reads: the receiver, the understudy, and nobody while the inbox is full."""

import math
import random
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial

import pytest
import trio
import trio.testing

from tests.connections import (
    Network,
    hang_up,
    make_websocket,
    next_close,
    next_frame,
    open_streams,
    real_networks,
    run_until_idle,
    scripted,
    tcp_pair,
)
from tests.helpers import both_roles
from tests.injection import Fault, Injector
from trio_ws import (
    ClosedLocally,
    ConnectionBroken,
    ConnectionClosed,
    ConnectionEnded,
    Keepalive,
    Limits,
    Timeouts,
    WebSocket,
)
from trio_ws._caretaker import TICK, Caretaker
from trio_ws._reading import UNDERSTUDY_READ_SIZE
from trio_ws.protocol.state import Role
from trio_ws.testing import (
    Opcode,
    ScriptedPeer,
    bounded_stream_pair,
    build_frame,
    serve_in_memory,
)

# By when an understudy has been called in, in seconds.
AWAY = 3 * TICK


def frame(role: Role, opcode: int, payload: bytes = b"", *, fin: bool = True) -> bytes:
    """Return a frame as the peer of this role sends it."""
    mask_key = b"mask" if role is Role.SERVER else None
    return build_frame(opcode, payload, fin=fin, mask_key=mask_key)


async def fill_inbox(websocket: WebSocket, peer: ScriptedPeer, count: int = 16) -> None:
    """Send numbered messages until the queue is full, and let the understudy find them."""
    for number in range(count):
        await peer.send_frame(Opcode.TEXT, b"%d" % number)
    while websocket.statistics().queued_messages < count:  # noqa: ASYNC110 - there is no event
        await trio.sleep(TICK)
    await trio.sleep(AWAY)


# The receiver


@both_roles
async def test_receive_returns_messages_in_order(
    role: Role, autojump_clock: trio.testing.MockClock
) -> None:
    """Text comes as str, binary as bytes, fragments joined, in the order of the peer."""
    async with scripted(role) as (websocket, peer):
        await peer.send_frame(Opcode.TEXT, "grüß".encode())
        await peer.send_frame(Opcode.BINARY, b"\xff\x00")
        await peer.send_frame(Opcode.TEXT, b"frag", fin=False)
        await peer.send_frame(Opcode.PING, b"between")
        await peer.send_frame(Opcode.CONTINUATION, b"mented")
        assert await websocket.receive() == "grüß"
        assert await websocket.receive() == b"\xff\x00"
        assert await websocket.receive() == "fragmented"
        assert (await next_frame(peer)).payload == b"between"


@pytest.mark.parametrize("way", ["receive", "receive_nowait", "receive_stream"])
async def test_second_receiver_raises_at_once(
    way: str, autojump_clock: trio.testing.MockClock
) -> None:
    """R17: while one task receives another one is refused, and the first gets its message."""

    async def receive_first() -> None:
        assert await websocket.receive() == "for the first"

    async with scripted() as (websocket, peer), trio.open_nursery() as nursery:
        nursery.start_soon(receive_first)
        await run_until_idle()
        with pytest.raises(trio.BusyResourceError, match="another task"):
            await receive_in(way, websocket)
        assert trio.current_time() == 0
        await peer.send_frame(Opcode.TEXT, b"for the first")


async def receive_in(way: str, websocket: WebSocket) -> str | bytes:
    """Receive a message in one of the ways there are."""
    if way == "receive":
        return await websocket.receive()
    if way == "receive_nowait":
        return websocket.receive_nowait()
    async with websocket.receive_stream() as stream:
        pieces = [str(piece) async for piece in stream]
    return "".join(pieces)


async def test_receiver_of_queued_messages_lets_others_run(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Whoever never has to wait yields every so often all the same."""
    turns = 0

    async def count_turns() -> None:
        nonlocal turns
        while True:
            await trio.lowlevel.checkpoint()
            turns += 1

    async with scripted() as (websocket, peer):
        await peer.send_bytes(frame(Role.SERVER, Opcode.BINARY, b"x") * 4000)
        await websocket.receive()
        assert websocket.statistics().queued_messages == 3999
        async with trio.open_nursery() as nursery:
            nursery.start_soon(count_turns)
            for _ in range(3999):
                await websocket.receive()
            nursery.cancel_scope.cancel()
        assert 10 <= turns < 100


async def test_flood_of_control_frames_lets_others_run(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """One read may bring thousands of pings; they are answered in many turns, also to the end."""
    pings = 5000
    async with scripted() as (websocket, peer), trio.open_nursery() as nursery:
        nursery.start_soon(until_closed, drop_messages, websocket)
        await run_until_idle()
        await peer.send_bytes(frame(Role.SERVER, Opcode.PING) * pings)
        for _ in range(20):
            await trio.lowlevel.checkpoint()
        assert 0 < websocket.statistics().bytes_sent < 2 * pings
        await trio.aclose_forcefully(websocket)
        sent = websocket.statistics().bytes_sent
    assert websocket.statistics().bytes_sent == sent


async def test_receive_of_queued_message_is_cancelled_before_it_takes_it(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """In a cancelled scope receive() raises although there is a message, and leaves it there."""
    async with scripted() as (websocket, peer):
        await fill_inbox(websocket, peer, 2)
        with trio.CancelScope() as scope:
            scope.cancel()
            await websocket.receive()
        assert scope.cancelled_caught
        assert await websocket.receive() == "0"


async def test_inbox_of_many_messages_keeps_their_order(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """One read may bring more messages than the queue holds; all come out as they went in."""
    count = 1500
    data = b"".join(frame(Role.SERVER, Opcode.TEXT, b"%d" % number) for number in range(count))
    async with scripted() as (websocket, peer):
        await peer.send_bytes(data)
        assert [await websocket.receive() for _ in range(count)] == [
            str(number) for number in range(count)
        ]


# Cancelled receivers (R3), and the role that goes to and fro


class Sabotage:
    """Cancels whatever runs in its scopes, after a random number of scheduler passes."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._scope = trio.CancelScope()
        self.strikes = 0

    def scope(self) -> trio.CancelScope:
        """Return a scope to be struck."""
        self._scope = trio.CancelScope()
        return self._scope

    async def run(self) -> None:
        """Strike again and again."""
        while True:
            for _ in range(self._random.randrange(8)):
                await trio.lowlevel.checkpoint()
            self._scope.cancel()
            await trio.lowlevel.checkpoint()


async def send_numbered(peer: ScriptedPeer, count: int, seed: int) -> None:
    """Send numbered text messages, each in one to four fragments, pings among them."""
    rng = random.Random(seed)
    for number in range(count):
        text = f"{number}:{'x' * rng.randrange(300)}".encode()
        cuts = sorted(rng.randrange(len(text) + 1) for _ in range(rng.randrange(4)))
        parts = [text[i:j] for i, j in zip([0, *cuts], [*cuts, len(text)], strict=True)]
        for index, part in enumerate(parts):
            if rng.random() < 0.1:
                await peer.send_frame(Opcode.PING)
            if rng.random() < 0.3:
                await trio.lowlevel.checkpoint()
            opcode = Opcode.CONTINUATION if index else Opcode.TEXT
            await peer.send_frame(opcode, part, fin=index == len(parts) - 1)


async def read_all(peer: ScriptedPeer) -> None:
    """Read and check what the endpoint under test sends, and drop it."""
    with suppress(trio.ClosedResourceError, trio.BrokenResourceError):
        while await peer.receive_frame():
            pass


async def receive_under_sabotage(websocket: WebSocket, peer: ScriptedPeer, count: int) -> int:
    """Receive that many numbered messages in spite of it; return how often it struck."""
    sabotage = Sabotage(seed=count)
    strikes = expected = 0
    async with trio.open_nursery() as nursery:
        nursery.start_soon(send_numbered, peer, count, 1)
        nursery.start_soon(read_all, peer)
        nursery.start_soon(sabotage.run)
        while expected < count:
            with sabotage.scope() as scope:
                message = await websocket.receive()
                assert isinstance(message, str)
                assert message.partition(":")[0] == str(expected)
                expected += 1
            strikes += scope.cancelled_caught
        nursery.cancel_scope.cancel()
    return strikes


@pytest.mark.parametrize(
    ("network", "count"), [("memory", 3000), ("socket", 1500), ("tcp", 1500), ("tls", 600)]
)
async def test_cancelled_receive_loses_and_reorders_nothing(network: Network, count: int) -> None:
    """R3: receive() cancelled at random thousands of times; all messages come, in order."""
    ours, theirs = await open_streams(network)
    async with scripted(Role.CLIENT, streams=(ours, theirs)) as (websocket, peer):
        strikes = await receive_under_sabotage(websocket, peer, count)
        await peer.aclose()
    assert strikes > count // 4


@pytest.mark.parametrize("network", ["memory", "trio memory", "socket", "tcp", "tls"])
async def test_role_changes_hands_without_loss(network: Network) -> None:
    """A ping is always on its way, so that the understudy has the role whenever it is free."""

    async def ping_for_ever() -> None:
        while True:
            with trio.CancelScope() as scope:
                scopes.append(scope)
                await websocket.ping()

    scopes: list[trio.CancelScope] = []
    ours, theirs = await open_streams(network)
    async with scripted(Role.CLIENT, streams=(ours, theirs)) as (websocket, peer):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ping_for_ever)
            assert await receive_under_sabotage(websocket, peer, 500) > 0
            nursery.cancel_scope.cancel()
        await peer.aclose()


@pytest.mark.parametrize("seed", range(30))
async def test_role_changes_hands_under_randomised_interleavings(
    seed: int, autojump_clock: trio.testing.MockClock
) -> None:
    """Receiving, cancelled receiving, polling, streaming and staying away, mixed by a seed."""
    rng = random.Random(seed)
    count, expected = 120, 0
    streams = bounded_stream_pair(
        rng.choice([50, 1000, 65536]), max_write=rng.choice([7, None]), rng=rng
    )

    async def receive_somehow() -> str | bytes | None:
        match rng.randrange(6):
            case 0:
                await trio.sleep(rng.choice([0, TICK / 2, AWAY]))
            case 1:
                with trio.move_on_after(rng.choice([0, TICK / 2, TICK, AWAY])):
                    return await websocket.receive()
            case 2:
                try:
                    return websocket.receive_nowait()
                except trio.WouldBlock:
                    await trio.lowlevel.checkpoint()
            case 3:
                with trio.move_on_after(rng.choice([0, TICK])):
                    async with websocket.receive_stream() as stream:
                        with trio.CancelScope(shield=True):
                            return "".join([str(piece) async for piece in stream])
            case _:
                return await websocket.receive()
        return None

    async with (
        scripted(Role.SERVER, streams=streams) as (websocket, peer),
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(send_numbered, peer, count, seed)
        nursery.start_soon(read_all, peer)
        while expected < count:
            message = await receive_somehow()
            if message is not None:
                assert str(message).partition(":")[0] == str(expected)
                expected += 1
        await peer.aclose()


async def test_receive_in_cancelled_scope_leaves_the_understudy_alone(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Whoever is cancelled already does not take the role, and the understudy reads on."""
    async with scripted() as (websocket, peer):
        await trio.sleep(AWAY)
        with trio.CancelScope() as scope:
            scope.cancel()
            await websocket.receive()
        await peer.send_frame(Opcode.PING)
        await run_until_idle()
        assert trio.current_time() == pytest.approx(AWAY)
        assert (await next_frame(peer)).opcode == Opcode.PONG


class SlowToCancel(trio.abc.Stream):
    """A stream whose ``receive_some`` takes its time to raise `trio.Cancelled`."""

    def __init__(self, stream: trio.abc.Stream, seconds: float) -> None:
        self.stream = stream
        self.seconds = seconds

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        """Receive from the stream below."""
        try:
            return await self.stream.receive_some(max_bytes)
        except trio.Cancelled:
            with trio.CancelScope(shield=True):
                await trio.sleep(self.seconds)
            raise

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Send to the stream below."""
        await self.stream.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        """Wait for the stream below."""
        await self.stream.wait_send_all_might_not_block()

    async def aclose(self) -> None:
        """Close the stream below."""
        await self.stream.aclose()


async def test_receiver_who_leaves_before_it_has_the_role_leaves_no_gap(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """The understudy was sent away for a receiver that left too: another one is called."""
    ours, theirs = bounded_stream_pair()
    async with scripted(streams=(SlowToCancel(ours, 1), theirs)) as (websocket, peer):
        await trio.sleep(AWAY)
        with trio.move_on_after(TICK / 2):
            await websocket.receive()
        await trio.sleep(2)
        await peer.send_frame(Opcode.PING)
        await run_until_idle()
        assert (await next_frame(peer)).opcode == Opcode.PONG


async def test_receiver_waits_for_the_role_while_a_ping_waits_for_its_pong(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """The receiver is cancelled: the understudy that it sent away is replaced at once."""
    ours, theirs = bounded_stream_pair()

    async def answer_ping() -> None:
        ping = await next_frame(peer)
        await trio.sleep(1)
        await peer.send_frame(Opcode.PONG, ping.payload)

    async with (
        scripted(streams=(SlowToCancel(ours, TICK / 2), theirs)) as (websocket, peer),
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(answer_ping)
        nursery.start_soon(websocket.ping)
        await run_until_idle()
        with trio.move_on_after(TICK / 4):
            await websocket.receive()
        await run_until_idle()
    assert trio.current_time() < 1 + 2 * TICK + 20  # the peer hangs up only at the end


# The understudy


async def sleep(websocket: WebSocket) -> None:
    """Be away in the simplest way."""
    await trio.sleep(60)


async def wait_for_something_else(websocket: WebSocket) -> None:
    """Wait for what never happens."""
    await trio.Event().wait()


async def only_send(websocket: WebSocket) -> None:
    """Push, and never receive."""
    while True:
        await websocket.send("news")
        await trio.sleep(TICK / 3)


async def be_in_a_send_stream(websocket: WebSocket) -> None:
    """Begin a message and do not end it."""
    async with websocket.send_stream(text=True) as stream:
        await stream.send("once upon a time")
        await trio.sleep(60)


async def be_in_a_receive_stream(websocket: WebSocket) -> None:
    """Begin to read a message, and stop."""
    async with websocket.receive_stream():
        await trio.sleep(60)


async def drop_messages(websocket: WebSocket) -> None:
    """Receive for ever."""
    await websocket.discard_messages()


Occupation = Callable[[WebSocket], Awaitable[object]]

occupations = pytest.mark.parametrize(
    "occupation",
    [
        sleep,
        wait_for_something_else,
        only_send,
        be_in_a_send_stream,
        be_in_a_receive_stream,
        drop_messages,
    ],
)


async def next_control_frame(peer: ScriptedPeer) -> tuple[int, bytes]:
    """Return opcode and payload of the next control frame; data frames are passed over."""
    while (found := await next_frame(peer)).opcode < Opcode.CLOSE:
        pass
    return found.opcode, found.payload


async def until_closed(occupation: Occupation, websocket: WebSocket) -> None:
    """Run this until it ends with the connection."""
    with suppress(ConnectionClosed):
        await occupation(websocket)


@occupations
@both_roles
async def test_ping_is_answered_while_the_application_is_elsewhere(
    role: Role, occupation: Occupation, autojump_clock: trio.testing.MockClock
) -> None:
    """Whatever the application does, a pong follows within two or three ticks."""
    async with scripted(role) as (websocket, peer), trio.open_nursery() as nursery:
        nursery.start_soon(occupation, websocket)
        await run_until_idle()
        for number in range(3):
            began = trio.current_time()
            await peer.send_frame(Opcode.PING, b"%d" % number)
            assert await next_control_frame(peer) == (Opcode.PONG, b"%d" % number)
            assert trio.current_time() <= began + AWAY
        nursery.cancel_scope.cancel()
        await peer.aclose()


@occupations
@both_roles
async def test_close_is_noticed_while_the_application_is_elsewhere(
    role: Role, occupation: Occupation, autojump_clock: trio.testing.MockClock
) -> None:
    """The peer's Close is answered, the stream closed, and wait_closed() woken."""
    async with scripted(role) as (websocket, peer), trio.open_nursery() as nursery:
        nursery.start_soon(until_closed, occupation, websocket)
        nursery.start_soon(websocket.wait_closed)
        await run_until_idle()
        await peer.close_frame(4000, "enough")
        opcode, payload = await next_control_frame(peer)
        assert (opcode, payload) == (Opcode.CLOSE, (4000).to_bytes(2))
        assert await peer.receive_frames() == ([], b"")
        assert trio.current_time() <= 2 * AWAY
        assert websocket.close_received is not None
        nursery.cancel_scope.cancel()


@occupations
async def test_end_of_stream_is_noticed_while_the_application_is_elsewhere(
    occupation: Occupation, autojump_clock: trio.testing.MockClock
) -> None:
    """A peer that hangs up without a Close is found too: 1006."""
    async with scripted() as (websocket, peer), trio.open_nursery() as nursery:
        nursery.start_soon(until_closed, occupation, websocket)
        await run_until_idle()
        await peer.aclose()
        await websocket.wait_closed()
        assert trio.current_time() <= AWAY
        nursery.cancel_scope.cancel()
    with pytest.raises(ClosedLocally) as caught:  # by the end of the block
        await websocket.receive()
    assert caught.value.code == 1006


@real_networks
async def test_application_computes_in_a_worker_thread(network: Network) -> None:
    """Pings are answered and the close is noticed while the only task waits for a thread."""
    done = threading.Event()

    async def be_the_peer() -> None:
        await peer.send_frame(Opcode.PING, b"still there?")
        assert (await next_frame(peer)).payload == b"still there?"
        await peer.send_frame(Opcode.TEXT, b"last")
        await peer.close_frame()
        await next_close(peer)
        assert await peer.receive_frame() is None
        done.set()

    ours, theirs = await open_streams(network)
    async with (
        scripted(Role.CLIENT, streams=(ours, theirs)) as (websocket, peer),
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(be_the_peer)
        assert await trio.to_thread.run_sync(done.wait, 30)
        await websocket.wait_closed()
        assert await websocket.receive() == "last"
        with pytest.raises(ConnectionEnded):
            await websocket.receive()


async def test_understudy_is_not_called_for_a_receiver_that_comes_and_goes(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Away for less than a tick between two receive(): no other task is involved."""
    async with scripted() as (websocket, peer):
        await run_until_idle()
        tasks = trio.lowlevel.current_statistics().tasks_living
        for _ in range(50):
            await peer.send_frame(Opcode.TEXT, b"x")
            await websocket.receive()
            await trio.sleep(TICK / 10)
            assert trio.lowlevel.current_statistics().tasks_living == tasks


# The inbox and its limits


async def test_reading_pauses_when_the_queue_is_full_of_messages(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """With no receiver the queue takes max_queued_messages; the rest stays where it is."""
    async with scripted(limits=Limits(max_queued_messages=4)) as (websocket, peer):
        for number in range(10):
            await peer.send_frame(Opcode.TEXT, b"%d" % number)
            await trio.sleep(AWAY)
        assert websocket.statistics().queued_messages == 4
        assert [await websocket.receive() for _ in range(10)] == [str(n) for n in range(10)]


async def test_reading_pauses_when_the_queue_is_full_of_bytes(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """A queued message counts its length and 64 bytes more, text by its characters."""
    async with scripted(limits=Limits(max_queued_bytes=1000)) as (websocket, peer):
        await peer.send_frame(Opcode.BINARY, bytes(1000 - 64 - 1 - 64 - 64))
        await peer.send_frame(Opcode.TEXT, b"")
        await trio.sleep(AWAY)
        await peer.send_frame(Opcode.TEXT, b"x")
        await trio.sleep(AWAY)
        assert websocket.statistics().queued_messages == 3
        await peer.send_frame(Opcode.TEXT, b"too much")
        await trio.sleep(AWAY)
        assert websocket.statistics().queued_messages == 3


async def test_reading_of_a_streamed_message_pauses_too(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Pieces count as messages do, so a slow reader of a huge message holds little."""
    async with scripted() as (websocket, peer), trio.open_nursery() as nursery:
        size = 1 << 20
        nursery.start_soon(peer.send_frame, Opcode.BINARY, bytes(size))
        async with websocket.receive_stream() as stream:
            await trio.sleep(AWAY)
            received = websocket.statistics().bytes_received
            assert received <= 64 * 1024 + 2 * 64 * 1024
            await trio.sleep(60)
            assert websocket.statistics().bytes_received == received
            assert sum([len(piece) async for piece in stream]) == size
        await peer.aclose()


async def test_read_without_a_receiver_is_small(autojump_clock: trio.testing.MockClock) -> None:
    """The understudy reads 16 KiB at a time, so the queue is overshot by little."""
    async with scripted() as (websocket, peer):
        await peer.send_bytes(frame(Role.SERVER, Opcode.BINARY, b"x") * 9000)
        await trio.sleep(1)
        assert websocket.statistics().bytes_received == UNDERSTUDY_READ_SIZE


async def test_reading_goes_on_below_the_low_water_mark(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """After a pause reading goes on when the queue is less than half full, not for each message."""
    async with scripted(limits=Limits(max_queued_messages=8)) as (websocket, peer):
        for number in range(20):
            await peer.send_frame(Opcode.TEXT, b"%d" % number)
            await trio.sleep(AWAY)
        for number in range(4):
            assert await websocket.receive() == str(number)
            await trio.sleep(AWAY)
            assert websocket.statistics().queued_messages == 7 - number
        assert await websocket.receive() == "4"
        await trio.sleep(AWAY)
        assert websocket.statistics().queued_messages > 3


async def test_paused_reading_goes_on_for_a_ping_below_the_limit(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """ping() waits behind unread messages, and for no more than the first of them to be taken."""
    pongs: list[float] = []

    async def ping() -> None:
        pongs.append(await websocket.ping())

    async def answer() -> None:
        await peer.send_frame(Opcode.PONG, (await next_frame(peer)).payload)

    async with scripted() as (websocket, peer), trio.open_nursery() as nursery:
        await fill_inbox(websocket, peer)
        nursery.start_soon(ping)
        nursery.start_soon(answer)
        await trio.sleep(30)
        assert not pongs
        assert await websocket.receive() == "0"
        await run_until_idle()
        assert pongs == [pytest.approx(30)]


async def test_reading_goes_on_after_receive_nowait_made_room(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Whoever takes messages without waiting has the connection looked after too."""
    async with scripted() as (websocket, peer):
        await fill_inbox(websocket, peer)
        for number in range(15):
            assert websocket.receive_nowait() == str(number)
        await peer.send_frame(Opcode.PING)
        await trio.sleep(AWAY)
        assert (await next_frame(peer)).opcode == Opcode.PONG


# Hang-ups that nobody reads of


@pytest.mark.parametrize("reset", [False, True], ids=["closes", "resets"])
async def test_hangup_is_noticed_while_reading_is_paused(*, reset: bool) -> None:
    """D17: the queue is full and nobody receives; the peer goes, and wait_closed() says so."""
    ours, theirs = await tcp_pair()

    async def wait_for_pong() -> None:
        with pytest.raises(ConnectionBroken):
            await websocket.ping()

    async with (
        scripted(streams=(ours, theirs)) as (websocket, peer),
        trio.open_nursery() as nursery,
    ):
        await fill_inbox(websocket, peer, 100 if reset else 17)
        nursery.start_soon(wait_for_pong)
        await run_until_idle()
        if not reset:
            await peer.close_frame()
        await hang_up(theirs, reset=reset)
        await websocket.wait_closed()
        with pytest.raises(ConnectionBroken):
            await websocket.send("too late")
        with pytest.raises(ConnectionBroken):
            websocket.send_nowait("too late")
        if not reset:
            # What came before is there, and the peer's Close behind it.
            assert [await websocket.receive() for _ in range(17)] == [str(n) for n in range(17)]
            with pytest.raises(ConnectionEnded) as ended:
                await websocket.receive()
            assert ended.value.code == 1000


@pytest.mark.parametrize("how", ["closes", "resets", "vanishes"])
async def test_peer_of_a_handler_that_only_sends_is_missed(
    how: str, autojump_clock: trio.testing.MockClock
) -> None:
    """D17 in memory: 100 messages nobody wants, then the peer goes; sending ends in time."""
    ours, theirs = bounded_stream_pair()

    async def push() -> None:
        with suppress(ConnectionBroken):
            while True:
                await websocket.send(bytes(1000))
                await trio.sleep(TICK)

    async with scripted(streams=(ours, theirs), timeouts=Timeouts(stall=5)) as (websocket, peer):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(push)
            for number in range(100):
                await peer.send_frame(Opcode.TEXT, b"%d" % number)
            if how == "closes":
                await theirs.aclose()
            elif how == "resets":
                theirs.reset()
        if how == "vanishes":
            # The peer's side takes 64 KiB, ours 64 KiB, at 10 kB/s; then nothing moves.
            assert trio.current_time() <= 14 + 5 + 1
        else:
            assert trio.current_time() <= AWAY


async def test_paused_reading_of_a_stream_without_descriptor_is_nobodys_task(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Where no hang-up can be seen nothing is looked for: the caretaker dozes."""
    ours, theirs = bounded_stream_pair()
    async with trio.open_nursery() as nursery:
        websocket = make_websocket(ours, Role.SERVER, nursery.start_soon)
        peer = ScriptedPeer(theirs, "client")
        await fill_inbox(websocket, peer)
        await run_until_idle()
        assert trio.lowlevel.current_statistics().seconds_to_next_deadline == math.inf
        await trio.aclose_forcefully(websocket)


# Idle connections


@both_roles
async def test_idle_connections_have_no_task_and_no_timer(
    role: Role, autojump_clock: trio.testing.MockClock
) -> None:
    """Any number under one caretaker: a task per handler in receive(), and no deadline."""
    count = 20

    async def handle(websocket: WebSocket) -> None:
        with pytest.raises(ConnectionBroken):
            await websocket.receive()

    async with trio.open_nursery() as nursery:
        caretaker = Caretaker(nursery.start_soon)
        before = trio.lowlevel.current_statistics().tasks_living
        peers: list[trio.abc.Stream] = []
        for _ in range(count):
            ours, theirs = bounded_stream_pair()
            websocket = make_websocket(ours, role, nursery.start_soon, caretaker=caretaker)
            nursery.start_soon(handle, websocket)
            peers.append(theirs)
        await trio.sleep(10)
        statistics = trio.lowlevel.current_statistics()
        assert statistics.tasks_living == before + count + 1
        assert statistics.seconds_to_next_deadline == math.inf
        for peer in peers:
            await peer.aclose()


async def test_idle_server_has_one_task_per_handler(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """The same, seen from outside: with keepalive there is one timer for all of them."""
    ticks = 0

    async def handle(websocket: WebSocket) -> None:
        await websocket.discard_messages()

    class CountSteps(trio.abc.Instrument):
        def before_task_step(self, task: trio.lowlevel.Task) -> None:
            nonlocal ticks
            ticks += 1

    async with serve_in_memory(handle, keepalive=Keepalive(interval=1000, timeout=1000)) as server:
        before = trio.lowlevel.current_statistics().tasks_living
        peers = [ScriptedPeer(await server.connect(), "client") for _ in range(20)]
        for peer in peers:
            await peer.client_handshake()
        await trio.sleep(1)
        assert trio.lowlevel.current_statistics().tasks_living == before + 20 + 1
        counter = CountSteps()
        trio.lowlevel.add_instrument(counter)
        await trio.sleep(900)
        trio.lowlevel.remove_instrument(counter)
        assert ticks <= 2  # this task's own
        for peer in peers:
            await peer.aclose()


async def test_understudy_leaves_when_there_is_nothing_left_to_do(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """A full queue needs no task, and a closed connection leaves none behind."""
    ours, theirs = bounded_stream_pair()
    async with trio.open_nursery() as nursery:
        before = trio.lowlevel.current_statistics().tasks_living
        websocket = make_websocket(ours, Role.SERVER, nursery.start_soon)
        peer = ScriptedPeer(theirs, "client")
        await fill_inbox(websocket, peer)
        assert trio.lowlevel.current_statistics().tasks_living == before + 1
        await peer.close_frame()
        while websocket.statistics().queued_messages:
            await websocket.receive()
        await websocket.wait_closed()
        await run_until_idle()
        assert trio.lowlevel.current_statistics().tasks_living == before


# Messages over the limits


@both_roles
async def test_oversized_message_fails_the_connection_of_a_receiver(
    role: Role, autojump_clock: trio.testing.MockClock
) -> None:
    """receive() does not want it: the peer gets 1009, at the header already."""
    async with scripted(role, limits=Limits(max_message_size=1000)) as (websocket, peer):
        await peer.send_frame(Opcode.TEXT, b"fits")
        await peer.send_bytes(frame(role, Opcode.BINARY, bytes(1001))[:20])
        assert await websocket.receive() == "fits"
        with pytest.raises(ConnectionBroken) as caught:
            await websocket.receive()
        assert caught.value.sent is not None
        assert caught.value.sent.code == 1009
        assert (await next_close(peer)).close_code == 1009
        await peer.aclose()


@pytest.mark.parametrize("away", [False, True], ids=["receiver", "understudy"])
async def test_oversized_message_waits_for_somebody_who_streams(
    away: bool, autojump_clock: trio.testing.MockClock
) -> None:
    """Whoever has read its header, it is held until receive_stream() comes, and so is the next."""
    oversized = frame(Role.SERVER, Opcode.BINARY, bytes(5000))
    async with scripted(limits=Limits(max_message_size=1000)) as (websocket, peer):
        await peer.send_bytes(frame(Role.SERVER, Opcode.TEXT, b"before") + oversized + oversized)
        if away:
            await trio.sleep(60)
        assert await websocket.receive() == "before"
        if away:
            await trio.sleep(60)
        for _ in range(2):
            async with websocket.receive_stream() as stream:
                assert sum([len(piece) async for piece in stream]) == 5000
        await peer.send_frame(Opcode.TEXT, b"behind")
        assert await websocket.receive() == "behind"


async def test_oversized_message_is_not_read_while_it_is_held(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Nothing behind its header is read or answered until somebody comes for it."""
    async with scripted(limits=Limits(max_message_size=1000)) as (websocket, peer):
        await trio.sleep(AWAY)
        await peer.send_bytes(frame(Role.SERVER, Opcode.BINARY, bytes(100_000))[:50_000])
        await trio.sleep(AWAY)
        assert websocket.statistics().bytes_received <= UNDERSTUDY_READ_SIZE
        with pytest.raises(ConnectionBroken):
            await websocket.receive()


async def test_receive_nowait_fails_what_is_held(autojump_clock: trio.testing.MockClock) -> None:
    """receive_nowait() wants whole messages as receive() does."""
    async with scripted(limits=Limits(max_message_size=1000)) as (websocket, peer):
        await trio.sleep(AWAY)
        await peer.send_frame(Opcode.BINARY, bytes(1001))
        await trio.sleep(AWAY)
        with pytest.raises(ConnectionBroken):
            websocket.receive_nowait()
        assert (await next_close(peer)).close_code == 1009


# The end


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (1000, ConnectionEnded),
        (1001, ConnectionEnded),
        (None, ConnectionEnded),
        (1002, ConnectionBroken),
        (1011, ConnectionBroken),
        (4000, ConnectionBroken),
    ],
)
@pytest.mark.parametrize("away", [False, True], ids=["receiver", "understudy"])
async def test_receive_after_the_peer_closed(
    code: int | None, kind: type[Exception], away: bool, autojump_clock: trio.testing.MockClock
) -> None:
    """Messages that came before are returned first; then the code decides, again and again."""
    async with scripted() as (websocket, peer):
        await peer.send_frame(Opcode.TEXT, b"before")
        await peer.close_frame(code, "reason" if code else "")
        await peer.send_frame(Opcode.TEXT, b"behind")
        if away:
            await websocket.wait_closed()
        assert await websocket.receive() == "before"
        caught: list[BaseException] = []
        for _ in range(3):
            with pytest.raises(kind) as info:
                await websocket.receive()
            caught.append(info.value)
        assert len({id(error) for error in caught}) == 3
        assert len({str(error) for error in caught}) == 1


async def test_waiters_hear_the_same_facts_in_exceptions_of_their_own(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Everybody is released when the stream breaks, with a fresh exception and the same cause."""
    errors: list[ConnectionBroken] = []

    async def wait(call: Callable[[], Awaitable[object]]) -> None:
        with pytest.raises(ConnectionBroken) as caught:
            await call()
        errors.append(caught.value)

    ours, theirs = bounded_stream_pair()
    async with scripted(streams=(ours, theirs)) as (websocket, _):
        await websocket.send(bytes(200_000))  # the next one waits
        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait, websocket.receive)
            nursery.start_soon(wait, websocket.ping)
            nursery.start_soon(wait, partial(websocket.ping, b"other"))
            nursery.start_soon(wait, partial(websocket.send, "x"))
            nursery.start_soon(wait, partial(websocket.send, "y"))
            nursery.start_soon(websocket.wait_closed)
            await run_until_idle()
            theirs.reset()
        await wait(websocket.receive)
    assert len({id(error) for error in errors}) == len(errors) == 6
    assert {(error.code, error.received, error.sent) for error in errors} == {(1006, None, None)}
    assert {type(error.__cause__) for error in errors} == {trio.BrokenResourceError}
    assert {error._token for error in errors} == {websocket._token}


async def test_messages_of_the_peer_are_dropped_during_our_close(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """A sibling in receive() keeps the role, discards, and ends with ClosedLocally."""
    async with scripted() as (websocket, peer):
        await peer.send_frame(Opcode.TEXT, b"one", fin=False)

        async def receive() -> None:
            with pytest.raises(ClosedLocally):
                await websocket.receive()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(receive)
            nursery.start_soon(websocket.aclose)
            await next_close(peer)
            await peer.send_frame(Opcode.CONTINUATION, b"and the same")
            await peer.send_frame(Opcode.TEXT, b"two")
            await peer.close_frame()
        assert websocket.statistics().messages_received == 2
        assert trio.current_time() == 0


async def test_receive_inside_a_receive_stream_is_refused(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """While a message is read in pieces nobody may take one for a message, R17 again."""
    async with scripted() as (websocket, peer):
        await peer.send_frame(Opcode.TEXT, b"one", fin=False)
        async with websocket.receive_stream() as stream:
            for way in ("receive", "receive_nowait", "receive_stream"):
                with pytest.raises(trio.BusyResourceError, match="receive_stream"):
                    await receive_in(way, websocket)
            await peer.send_frame(Opcode.CONTINUATION, b"two")
            await peer.send_frame(Opcode.TEXT, b"three")
            assert [piece async for piece in stream] == ["one", "two"]
            assert await websocket.receive() == "three"


async def test_pieces_are_dropped_during_our_close(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """So does one who reads a message in pieces."""
    async with scripted() as (websocket, peer):
        await peer.send_frame(Opcode.TEXT, b"one", fin=False)
        async with websocket.receive_stream() as stream:
            assert await stream.receive() == "one"

            async def receive() -> None:
                with pytest.raises(ClosedLocally):
                    await stream.receive()

            async with trio.open_nursery() as nursery:
                nursery.start_soon(receive)
                await run_until_idle()
                nursery.start_soon(websocket.aclose)
                await next_close(peer)
                await peer.send_frame(Opcode.CONTINUATION, b"and the same")
                await peer.close_frame()


class Stubborn(SlowToCancel):
    """A stream whose ``receive_some`` returns bytes when the stream is closed meanwhile."""

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        """Receive from the stream below."""
        try:
            return await self.stream.receive_some(max_bytes)
        except trio.ClosedResourceError:
            return b"\x81"


async def test_bytes_that_come_too_late_are_dropped(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """What a read returns once the connection is given up is nothing to anybody."""
    ours, theirs = bounded_stream_pair()
    async with scripted(streams=(Stubborn(ours, 0), theirs)) as (websocket, _):

        async def receive() -> None:
            with pytest.raises(ClosedLocally):
                await websocket.receive()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(receive)
            await run_until_idle()
            await trio.aclose_forcefully(websocket)
        assert websocket.statistics().bytes_received == 0


@both_roles
async def test_unsolicited_pongs_are_ignored(
    role: Role, autojump_clock: trio.testing.MockClock
) -> None:
    """RFC 6455 section 5.5.3: a pong that nobody asked for is a heartbeat, and nothing else."""
    async with scripted(role) as (websocket, peer), trio.open_nursery() as nursery:
        await peer.send_frame(Opcode.PONG, b"hello")
        await peer.send_frame(Opcode.TEXT, b"x")
        assert await websocket.receive() == "x"
        nursery.start_soon(websocket.ping)
        ping = await next_frame(peer)
        await peer.send_frame(Opcode.PONG, b"hello again")
        await run_until_idle()
        assert websocket.latency is None
        await peer.send_frame(Opcode.PONG, ping.payload)
        await run_until_idle()
        assert websocket.latency == 0


async def test_stalled_peer_ends_the_connection(autojump_clock: trio.testing.MockClock) -> None:
    """A peer that takes no bytes for timeouts.stall: broken, released, with its cause."""
    async with scripted(timeouts=Timeouts(stall=7)) as (websocket, _):
        await websocket.send(bytes(300_000))
        with pytest.raises(ConnectionBroken) as caught:
            await websocket.receive()
        assert trio.current_time() == 7
        assert isinstance(caught.value.__cause__, trio.TooSlowError)


async def test_failed_write_does_not_hide_the_peers_close(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Writing has failed, but reading goes on, for the peer may have said why."""
    injector = Injector(Fault.BREAK_BEFORE_WRITE, 1)
    ours, theirs = bounded_stream_pair()
    async with scripted(streams=(injector.stream(ours), theirs)) as (websocket, peer):
        await peer.send_frame(Opcode.TEXT, b"you talk too much")
        await peer.close_frame(1008)
        with injector.armed():
            await websocket.send("x")
            await run_until_idle()
        assert injector.fired
        with pytest.raises(ConnectionBroken):
            await websocket.send("y")
        assert await websocket.receive() == "you talk too much"
        with pytest.raises(ConnectionBroken) as caught:
            await websocket.receive()
        assert caught.value.code == 1008


async def test_failed_write_without_an_end_of_reading_ends_in_time(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """If nothing comes of it, the peer has timeouts.close to end the connection."""
    injector = Injector(Fault.BREAK_BEFORE_WRITE, 1)
    ours, theirs = bounded_stream_pair()
    async with scripted(streams=(injector.stream(ours), theirs), timeouts=Timeouts(close=4)) as (
        websocket,
        _,
    ):
        with injector.armed():
            await websocket.send("x")
            await run_until_idle()
        with pytest.raises(ConnectionBroken) as caught:
            await websocket.receive()
        assert trio.current_time() == pytest.approx(4, abs=2 * TICK)
        assert isinstance(caught.value.__cause__, trio.BrokenResourceError)
