"""One message to many connections: who gets it, who does not, and that nobody waits."""

import resource
import socket
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from typing import Literal

import pytest
import trio
import trio.testing

from tests.connections import make_websocket, next_frame, pair_over, scripted
from tests.transports import as_stream, socket_pair
from trio_ws import (
    BroadcastResult,
    ConnectionBroken,
    Deflate,
    Limits,
    WebSocket,
    broadcast,
)
from trio_ws._caretaker import Caretaker
from trio_ws.protocol.connection import Protocol
from trio_ws.protocol.prepared import PreparedMessage
from trio_ws.protocol.state import Role
from trio_ws.testing import Opcode, ScriptedPeer, build_frame, join_messages

WhenFull = Literal["drop", "close"]

both_policies = pytest.mark.parametrize("when_full", ["drop", "close"])

# Full after one message of some size, which it may exceed its buffer by.
NARROW = Limits(max_buffered_bytes=1)

LARGE = "x" * 300_000  # more than the streams below take


@asynccontextmanager
async def several(
    count: int, role: Role = Role.SERVER, limits: Limits = NARROW
) -> AsyncGenerator[list[tuple[WebSocket, ScriptedPeer]], None]:
    """Open so many connections; in the end the peers are gone, so that nothing is waited for."""
    async with AsyncExitStack() as stack:
        opened = [
            await stack.enter_async_context(scripted(role, limits=limits)) for _ in range(count)
        ]
        yield opened
        for websocket, _ in opened:
            await trio.aclose_forcefully(websocket)


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize(
    ("message", "text", "opcode"),
    [("gr\xfc\xdfe", None, Opcode.TEXT), (b"\xff", None, Opcode.BINARY), (b"x", True, Opcode.TEXT)],
)
async def test_everybody_gets_the_message(
    role: Role,
    message: str | bytes,
    text: bool | None,
    opcode: Opcode,
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Text as text and binary as binary, to either role's peers, and it counts as sent."""
    payload = message.encode() if isinstance(message, str) else message
    async with several(3, role) as opened:
        websockets = [websocket for websocket, _ in opened]
        result = broadcast(websockets, message, text=text, when_full="drop")
        assert result == BroadcastResult((*websockets,), (), ())
        for websocket, peer in opened:
            frame = await next_frame(peer)
            assert (frame.opcode, frame.fin, frame.payload) == (opcode, True, payload)
            assert frame.masked is (role is Role.CLIENT)
            statistics = websocket.statistics()
            assert statistics.messages_sent == 1
            assert statistics.bytes_sent == len(payload) + (2 if role is Role.SERVER else 6)


async def test_nobody_is_an_audience() -> None:
    """An empty broadcast is no mistake."""
    assert broadcast([], "hello", when_full="close") == BroadcastResult((), (), ())


async def test_full_connections_go_without(autojump_clock: trio.testing.MockClock) -> None:
    """One that has no room misses this message alone; the others miss nothing."""
    async with several(2) as [(slow, slow_peer), (quick, quick_peer)]:
        await slow.send(LARGE)
        assert broadcast([slow, quick], "one", when_full="drop") == BroadcastResult(
            (quick,), (slow,), ()
        )
        assert (await next_frame(quick_peer)).payload == b"one"
        assert (await next_frame(slow_peer)).payload == LARGE.encode()
        await trio.testing.wait_all_tasks_blocked()
        assert broadcast([slow, quick], "two", when_full="drop").sent == (slow, quick)
        assert (await next_frame(slow_peer)).payload == b"two"
        assert slow.statistics().messages_sent == 2


async def test_full_connections_are_closed(autojump_clock: trio.testing.MockClock) -> None:
    """With 1013, behind what they have in their buffers, and without waiting for them."""
    async with several(2) as [(slow, slow_peer), (quick, quick_peer)]:
        await slow.send(LARGE)
        assert broadcast([slow, quick], "one", when_full="close") == BroadcastResult(
            (quick,), (), (slow,)
        )
        assert (await next_frame(quick_peer)).payload == b"one"
        assert (await next_frame(slow_peer)).payload == LARGE.encode()
        close = await next_frame(slow_peer)
        assert close.close_code == 1013
        with pytest.raises(ConnectionBroken):
            await slow.send("more")
        await slow_peer.send_frame(Opcode.CLOSE, close.payload)
        await slow.wait_closed()


@both_policies
async def test_connections_that_are_not_open_are_passed_over(
    when_full: WhenFull, autojump_clock: trio.testing.MockClock
) -> None:
    """Closed by us, by the peer, or by an earlier broadcast: they are in no list."""
    async with several(3) as [(ours, _), (theirs, theirs_peer), (open_still, peer)]:
        await trio.aclose_forcefully(ours)
        await theirs_peer.send_frame(Opcode.CLOSE, b"")
        with pytest.raises(trio.EndOfChannel):
            await theirs.receive()
        result = broadcast([ours, theirs, open_still], "hello", when_full=when_full)
        assert result == BroadcastResult((open_still,), (), ())
        assert (await next_frame(peer)).payload == b"hello"


async def test_no_message_parts_the_fragments_of_another(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """RFC 6455 section 5.4: while a message is sent in fragments, no other may begin."""
    async with several(1, limits=Limits()) as [(websocket, peer)]:
        async with websocket.send_stream(text=True) as stream:
            assert broadcast([websocket], "one", when_full="drop").dropped == (websocket,)
            await stream.send("frag")
            assert broadcast([websocket], "two", when_full="drop").dropped == (websocket,)
            await stream.send("ments")
        assert broadcast([websocket], "three", when_full="drop").sent == (websocket,)
        frames = [await next_frame(peer) for _ in range(4)]
        assert join_messages(frames) == ["fragments", "three"]


async def test_no_message_overtakes_a_sender_that_waits(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Also when there is room again, but whoever came first has not run yet."""
    async with several(1) as [(websocket, peer)], trio.open_nursery() as nursery:
        await websocket.send(LARGE)
        nursery.start_soon(websocket.send, "first")
        await trio.testing.wait_all_tasks_blocked()
        assert broadcast([websocket], "second", when_full="drop").dropped == (websocket,)
        assert (await next_frame(peer)).payload == LARGE.encode()
        assert (await next_frame(peer)).payload == b"first"


@both_policies
@pytest.mark.parametrize("message", [5, None, ["text"], "\ud800"])
async def test_wrong_message_goes_to_nobody(
    message: str, when_full: WhenFull, autojump_clock: trio.testing.MockClock
) -> None:
    """What cannot be sent is found before anybody is touched, those that are full included."""
    async with several(2) as opened:
        websockets = [websocket for websocket, _ in opened]
        await websockets[0].send(LARGE)
        with pytest.raises((TypeError, ValueError)):
            broadcast(websockets, message, when_full=when_full)
        assert [websocket.statistics().messages_sent for websocket in websockets] == [1, 0]
        assert all(websocket.close_sent is None for websocket in websockets)


async def test_wrong_arguments_go_to_nobody(autojump_clock: trio.testing.MockClock) -> None:
    """Nor does a message for something that is no WebSocket, or with no such policy."""
    async with several(1) as [(websocket, _)]:
        with pytest.raises(TypeError, match="sends to WebSockets, not to 'me'"):
            broadcast([websocket, "me"], "hello", when_full="drop")  # type: ignore[list-item] # pyright: ignore[reportArgumentType]
        with pytest.raises(ValueError, match="'wait'"):
            broadcast([websocket], "hello", when_full="wait")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
        assert websocket.statistics().messages_sent == 0


def failing_for(websocket: WebSocket) -> Callable[[Protocol, PreparedMessage], bytes]:
    """Return a `Protocol.send_prepared` for which this connection has no memory left."""
    send_prepared = Protocol.send_prepared

    def send_or_fail(protocol: Protocol, message: PreparedMessage) -> bytes:
        if protocol is websocket._protocol:
            raise MemoryError
        return send_prepared(protocol, message)

    return send_or_fail


async def test_connection_that_fails_fails_alone(
    autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it holds may be half a message: it is given up, and the next one gets its message."""
    async with several(2) as [(unlucky, _), (lucky, peer)]:
        with monkeypatch.context() as patch:
            patch.setattr(type(unlucky._protocol), "send_prepared", failing_for(unlucky))
            result = broadcast([unlucky, lucky], "hello", when_full="drop")
        assert result == BroadcastResult((lucky,), (), (unlucky,))
        assert (await next_frame(peer)).payload == b"hello"
        with pytest.raises(ConnectionBroken) as caught:
            await unlucky.receive()
        assert isinstance(caught.value.__cause__, MemoryError)


@pytest.mark.parametrize(
    "compression",
    [Deflate(threshold=0), Deflate(threshold=0, context_takeover=False), Deflate(), None],
    ids=["takeover", "no takeover", "threshold", "none"],
)
async def test_compressed_connections_understand_it(compression: Deflate | None) -> None:
    """Whatever each connection agreed on: it gets a frame that its peer can read."""
    async with AsyncExitStack() as stack:
        pairs = [
            await stack.enter_async_context(
                pair_over(server={"compression": ours}, client={"compression": ours})
            )
            for ours in (compression, compression, None)
        ]
        servers = [server for _, server in pairs]
        await servers[0].send("something of its own before")
        assert await pairs[0][0].receive() == "something of its own before"
        for number in range(3):
            message = f"{number} and the same for all"
            assert broadcast(servers, message, when_full="drop").sent == (*servers,)
            assert [await client.receive() for client, _ in pairs] == [message] * 3


async def test_idle_socket_gets_it_at_once() -> None:
    """No task has to run before the bytes are in the kernel."""
    near, far = socket_pair()
    async with trio.open_nursery() as nursery:
        with far:
            websocket = make_websocket(as_stream(near), Role.SERVER, nursery.start_soon)
            assert broadcast([websocket], "now", when_full="drop").sent == (websocket,)
            assert far.recv(100) == build_frame(Opcode.TEXT, b"now")
            await trio.aclose_forcefully(websocket)


@contextmanager
def many_descriptors(count: int) -> Generator[None, None, None]:
    """Let this process have so many files open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(count, hard)), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_who_does_not_read_costs_its_own_buffer_alone() -> None:
    """1,000 sockets that are read get everything; 10 that are not hold what their buffers hold."""
    readers, rounds = 1000, 8
    limits = Limits(max_buffered_bytes=4096)
    message, frame = bytes(2000), build_frame(Opcode.BINARY, bytes(2000))
    with many_descriptors(3 * readers):
        async with trio.open_nursery() as nursery:
            pairs = [socket_pair() for _ in range(readers + 10)]
            caretaker = Caretaker(nursery.start_soon)
            websockets = [
                make_websocket(
                    as_stream(near),
                    Role.SERVER,
                    nursery.start_soon,
                    limits=limits,
                    caretaker=caretaker,
                )
                for near, _ in pairs
            ]
            slow = {*websockets[::101]}
            results: list[BroadcastResult] = []
            for _ in range(rounds):
                results.append(broadcast(websockets, message, when_full="drop"))
                assert slow.issuperset(results[-1].dropped)
                await _read_all(
                    [
                        far
                        for websocket, (_, far) in zip(websockets, pairs, strict=True)
                        if websocket not in slow
                    ],
                    frame,
                )
            assert {*results[-1].dropped} == slow
            assert len(results[-1].sent) == readers
            for websocket in slow:
                pending = websocket.statistics().buffered_bytes
                assert limits.max_buffered_bytes <= pending < 4096 + len(frame)
            for websocket in websockets:
                await trio.aclose_forcefully(websocket)
            for _, far in pairs:
                far.close()


async def _read_all(sockets: list[socket.socket], frame: bytes) -> None:
    """Read one frame from each, which has to be there already or come by itself."""
    for sock in sockets:
        missing = frame
        while missing:
            await trio.lowlevel.wait_readable(sock)
            part = sock.recv(len(missing))
            assert missing.startswith(part)
            missing = missing[len(part) :]
