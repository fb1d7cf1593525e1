"""`WebSocket` as the application sees it: a channel like any other, with facts to ask for."""

import math
import os
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import FrozenInstanceError
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
    pair_over,
    run_until_idle,
    scripted,
    socket_pair,
    tcp_pair,
)
from tests.helpers import both_roles, peer_frame
from trio_ws import (
    ClosedLocally,
    ConnectionBroken,
    ConnectionClosed,
    ConnectionEnded,
    Keepalive,
    Limits,
    Timeouts,
    WebSocket,
    WebSocketStatistics,
    wrap_server_stream,
)
from trio_ws._caretaker import TICK
from trio_ws._close import Close
from trio_ws.protocol.state import Role
from trio_ws.testing import (
    Opcode,
    ScriptedPeer,
    bounded_stream_pair,
    build_frame,
    upgrade_request,
)

AWAY = 3 * TICK

every_network = pytest.mark.parametrize(
    "network", ["memory", "trio memory", "socket", "tcp", "tls"]
)


# A channel


async def copy(
    source: trio.abc.ReceiveChannel[str | bytes], sink: trio.abc.SendChannel[str | bytes]
) -> None:
    """Copy what comes from one channel to another one, as code does that knows Trio alone."""
    async with source, sink:
        try:
            async for value in source:
                await sink.send(value)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass


@both_roles
async def test_websocket_is_a_channel(role: Role, autojump_clock: trio.testing.MockClock) -> None:
    """Code over trio.abc.Channel works with it, in both directions."""
    async with scripted(role) as (websocket, peer):
        assert isinstance(websocket, trio.abc.Channel)
        into, out_of = trio.open_memory_channel[str | bytes](math.inf)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(copy, websocket, into)
            await peer.send_frame(Opcode.TEXT, b"one")
            await peer.send_frame(Opcode.BINARY, b"two")
            await peer.close_frame()
        assert [value async for value in out_of] == ["one", b"two"]


async def test_two_websockets_can_be_bridged(autojump_clock: trio.testing.MockClock) -> None:
    """A WebSocket is a source and a sink; the end of one becomes the end of the other."""
    async with (
        scripted(Role.SERVER) as (inner, near),
        scripted(Role.CLIENT) as (outer, far),
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(copy, inner, outer)
        await near.send_frame(Opcode.TEXT, b"through")
        assert (await next_frame(far)).payload == b"through"
        await near.close_frame(1001)
        assert (await next_close(far)).close_code == 1000
        await far.aclose()
        assert (await next_close(near)).close_code == 1001


async def test_loop_ends_on_a_clean_close_only(autojump_clock: trio.testing.MockClock) -> None:
    """1000, 1001 and no code end ``async for``; anything else comes out of it."""
    for code in (1000, 1001, None):
        async with scripted() as (websocket, peer):
            await peer.send_frame(Opcode.TEXT, b"x")
            await peer.close_frame(code)
            assert [message async for message in websocket] == ["x"]
    async with scripted() as (websocket, peer):
        await peer.send_frame(Opcode.TEXT, b"x")
        await peer.close_frame(1008)
        got: list[str | bytes] = []
        with pytest.raises(ConnectionBroken):
            await append_all(websocket, got)
        assert got == ["x"]


async def append_all(websocket: WebSocket, got: list[str | bytes]) -> None:
    """Receive into a list until the loop ends."""
    async for message in websocket:
        got.append(message)  # noqa: PERF401 - what came before an exception is wanted too


async def test_discard_messages_drops_until_the_close(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """It returns on a clean close and raises otherwise, however much the peer sends."""
    for code in (1000, 4000):
        async with scripted() as (websocket, peer), trio.open_nursery() as nursery:
            nursery.start_soon(websocket.discard_messages)
            for _ in range(200):
                await peer.send_frame(Opcode.BINARY, bytes(1000))
            assert websocket.statistics().queued_messages == 0
            await run_until_idle()
            assert websocket.statistics().messages_received == 200
            if code == 4000:
                nursery.cancel_scope.cancel()
                await run_until_idle()
            await peer.close_frame(code)
        if code == 4000:
            with pytest.raises(ClosedLocally):
                await websocket.discard_messages()


# Use and misuse


@both_roles
async def test_use_after_our_own_close(role: Role, autojump_clock: trio.testing.MockClock) -> None:
    """ClosedLocally: whoever closed it knows why."""
    async with scripted(role) as (websocket, _):
        await trio.aclose_forcefully(websocket)
        for call in (
            partial(websocket.send, "x"),
            partial(websocket.ping, b"x"),
            partial(websocket.pong, b"x"),
            websocket.receive,
            websocket.discard_messages,
        ):
            with pytest.raises(ClosedLocally) as caught:
                await call()
            assert (caught.value.received, caught.value.sent) == (None, Close(1000))
            assert (websocket.close_received, websocket.close_sent) == (None, Close(1000))
        with pytest.raises(ClosedLocally):
            websocket.send_nowait("x")
        await websocket.aclose()
        with pytest.raises(ClosedLocally):
            websocket.receive_nowait()
        await websocket.wait_closed()


async def test_reset_during_the_opening_handshake_is_heard_of() -> None:
    """The answer to the request could not be written: the first send() says so."""
    ours, theirs = socket_pair()
    await theirs.send_all(upgrade_request())
    await theirs.aclose()
    async with wrap_server_stream(ours) as websocket:
        with pytest.raises(ConnectionBroken):
            await websocket.send("x")
        with pytest.raises(ConnectionBroken):
            await websocket.receive()


@both_roles
async def test_receive_returns_what_came_behind_the_opening_handshake(
    role: Role, autojump_clock: trio.testing.MockClock
) -> None:
    """Bytes that came with the handshake come before those that came later, pings answered."""
    trailing = peer_frame(role, Opcode.TEXT, b"one") + peer_frame(role, Opcode.PING, b"hi")
    beginning = peer_frame(role, Opcode.TEXT, b"two")
    async with scripted(role, trailing_data=trailing + beginning[:3]) as (websocket, peer):
        await peer.send_bytes(beginning[3:])
        await peer.send_frame(Opcode.TEXT, b"three")
        assert [await websocket.receive() for _ in range(3)] == ["one", "two", "three"]
        assert (await next_frame(peer)).payload == b"hi"


# receive_nowait()


async def test_receive_nowait_looks_at_the_socket() -> None:
    """On a socket what has arrived is there at once, without any other task."""
    ours, theirs = socket_pair()
    async with scripted(streams=(ours, theirs)) as (websocket, peer):
        with pytest.raises(trio.WouldBlock):
            websocket.receive_nowait()
        for number in range(3):
            os.write(theirs.socket.fileno(), peer_frame(Role.SERVER, Opcode.TEXT, b"%d" % number))
            assert websocket.receive_nowait() == str(number)
        os.write(theirs.socket.fileno(), peer_frame(Role.SERVER, Opcode.TEXT, b"half", fin=False))
        with pytest.raises(trio.WouldBlock):
            websocket.receive_nowait()
        await peer.aclose()
        with pytest.raises(ConnectionBroken):
            websocket.receive_nowait()


async def test_receive_nowait_finds_a_message_behind_many_pings() -> None:
    """It does not parse for ever; what it has read and not parsed is not lost."""
    ours, theirs = socket_pair()
    pings = 1000
    flood = peer_frame(Role.SERVER, Opcode.PING) * pings
    async with scripted(streams=(ours, theirs)) as (websocket, peer):
        os.write(theirs.socket.fileno(), flood + peer_frame(Role.SERVER, Opcode.TEXT, b"behind"))
        message = None
        for _ in range(pings):
            with suppress(trio.WouldBlock):
                message = websocket.receive_nowait()
                break
        assert message == "behind"
        await peer.aclose()


async def test_receive_nowait_has_an_understudy_look_elsewhere(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """On another stream the first call finds nothing, but a later one what has come meanwhile."""
    async with scripted() as (websocket, peer):
        await peer.send_frame(Opcode.TEXT, b"here")
        with pytest.raises(trio.WouldBlock):
            websocket.receive_nowait()
        await run_until_idle()
        assert trio.current_time() == 0
        assert websocket.receive_nowait() == "here"
        await peer.close_frame()
        await run_until_idle()
        with pytest.raises(ConnectionEnded):
            websocket.receive_nowait()


async def test_receive_nowait_that_reads_the_close_has_the_stream_closed() -> None:
    """The understudy waits for bytes that will not come, for receive_nowait() has taken them."""
    ours, theirs = socket_pair()
    async with scripted(streams=(ours, theirs)) as (websocket, peer):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(websocket.wait_closed)
            await run_until_idle()
            os.write(theirs.socket.fileno(), peer_frame(Role.SERVER, Opcode.CLOSE))
            with pytest.raises(ConnectionEnded):
                websocket.receive_nowait()
        assert ours.socket.fileno() < 0
        await next_close(peer)


async def test_receive_nowait_of_a_broken_socket() -> None:
    """A reset is an end, with its cause."""
    ours, theirs = await tcp_pair()
    async with scripted(streams=(ours, theirs)) as (websocket, _):
        await hang_up(theirs, reset=True)
        await trio.lowlevel.wait_readable(ours.socket)
        with pytest.raises(ConnectionBroken) as caught:
            websocket.receive_nowait()
        assert isinstance(caught.value.__cause__, trio.BrokenResourceError)


# receive_stream(): the rest is in test_message_streams


async def test_receive_stream_of_a_queued_message(autojump_clock: trio.testing.MockClock) -> None:
    """What is complete already comes in one piece."""
    async with scripted() as (websocket, peer):
        await peer.send_frame(Opcode.TEXT, b"whole")
        await peer.send_frame(Opcode.TEXT, b"next")
        await trio.sleep(AWAY)
        async with websocket.receive_stream() as stream:
            assert [piece async for piece in stream] == ["whole"]
        async with websocket.receive_stream():
            pass  # not read at all
        assert websocket.statistics().queued_messages == 0


@pytest.mark.parametrize("queued", [False, True])
@pytest.mark.parametrize("payload", [b"12345678901", "üüüüü!".encode()])
async def test_receive_stream_fails_a_message_over_its_limit(
    queued: bool, payload: bytes, autojump_clock: trio.testing.MockClock
) -> None:
    """``max_size`` is in bytes, and holds for what has arrived already too."""
    async with scripted() as (websocket, peer):
        for _ in range(2):
            await peer.send_frame(Opcode.TEXT, payload[:-1])
            if queued:
                await trio.sleep(AWAY)
            async with websocket.receive_stream(max_size=10) as stream:
                assert [piece async for piece in stream] == [payload[:-1].decode()]
        await peer.send_frame(Opcode.TEXT, payload)
        if queued:
            await trio.sleep(AWAY)
        with pytest.raises(ConnectionBroken) as caught:
            await websocket.receive_stream(max_size=10).__aenter__()
        assert caught.value.sent is not None
        assert caught.value.sent.code == 1009
        assert (await next_close(peer)).close_code == 1009
        with pytest.raises(ConnectionBroken):
            await websocket.receive()
        await peer.aclose()


async def leave_at_the_door(websocket: WebSocket) -> None:
    """Open a receive_stream, and be cancelled while it waits for the first piece."""
    with trio.move_on_after(AWAY) as scope:
        await websocket.receive_stream().__aenter__()
    assert scope.cancelled_caught


HEADER = build_frame(Opcode.TEXT, b"one", fin=False, mask_key=b"mask")[:6]
REST = build_frame(Opcode.TEXT, b"one", fin=False, mask_key=b"mask")[6:]


@pytest.mark.parametrize("then", ["receive", "receive_nowait", "receive_stream", "in turns"])
@pytest.mark.parametrize("sent", [b"", HEADER[:1], HEADER, HEADER + REST[:1]], ids=len)
async def test_receive_stream_cancelled_at_the_door_loses_nothing(
    sent: bytes, then: str, autojump_clock: trio.testing.MockClock
) -> None:
    """The message may have begun by then: whoever comes next gets all of it, whole or in pieces."""
    async with scripted() as (websocket, peer):
        await peer.send_bytes(sent)
        if sent.endswith(REST[:1]):
            # There is a piece, so that the door is open; be cancelled in it.
            await trio.sleep(AWAY)
            with trio.CancelScope() as scope:
                scope.cancel()
                await websocket.receive_stream().__aenter__()
            assert scope.cancelled_caught
        else:
            await leave_at_the_door(websocket)
        await peer.send_bytes((HEADER + REST)[len(sent) :])
        await trio.sleep(AWAY)
        got: list[str | bytes] = []
        if then == "in turns":
            with trio.move_on_after(AWAY):
                got.append(await websocket.receive())
        await peer.send_frame(Opcode.CONTINUATION, b" two", fin=False)
        await trio.sleep(AWAY)
        if then == "receive_nowait":
            for _ in range(2):
                with pytest.raises(trio.WouldBlock):
                    websocket.receive_nowait()
        elif then == "in turns":
            with pytest.raises(trio.WouldBlock):
                websocket.receive_nowait()
            with trio.CancelScope() as scope:
                scope.cancel()
                await websocket.receive_stream().__aenter__()
        await peer.send_frame(Opcode.CONTINUATION, b" three")
        await peer.send_frame(Opcode.TEXT, b"four")
        await trio.sleep(AWAY)
        if then == "receive":
            assert await websocket.receive() == "one two three"
        elif then == "receive_nowait":
            assert websocket.receive_nowait() == "one two three"
        else:
            async with websocket.receive_stream() as stream:
                got += [piece async for piece in stream]
            assert "".join(map(str, got)) == "one two three"
        assert await websocket.receive() == "four"


async def test_receive_of_a_message_begun_as_a_stream_has_its_limit(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """receive() takes over a message that is too large for it: 1009, as always."""
    async with scripted(limits=Limits(max_message_size=1000)) as (websocket, peer):
        await peer.send_bytes(build_frame(Opcode.BINARY, bytes(5000), mask_key=b"mask")[:8])
        await leave_at_the_door(websocket)
        await peer.send_bytes(bytes(2000))
        with pytest.raises(ConnectionBroken) as caught:
            await websocket.receive()
        assert caught.value.sent is not None
        assert caught.value.sent.code == 1009


async def test_close_drops_a_message_begun_as_a_stream(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """After our own aclose() nothing of it is delivered."""
    async with scripted() as (websocket, peer):
        await peer.send_bytes(HEADER)
        await leave_at_the_door(websocket)
        await peer.send_bytes(REST)
        with trio.move_on_after(AWAY):
            await websocket.receive()
        await trio.aclose_forcefully(websocket)
        with pytest.raises(ClosedLocally):
            await websocket.receive_stream().__aenter__()


async def test_refused_receive_stream_does_not_disturb_the_one_that_waits(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """R17: the first still gets its message in pieces, though it is too large to be whole."""

    async def stream() -> None:
        async with websocket.receive_stream() as pieces:
            assert sum([len(piece) async for piece in pieces]) == 5000

    async with (
        scripted(limits=Limits(max_message_size=100)) as (websocket, peer),
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(stream)
        await run_until_idle()
        with pytest.raises(trio.BusyResourceError):
            await websocket.receive_stream().__aenter__()
        with pytest.raises(trio.BusyResourceError):
            websocket.receive_nowait()
        await peer.send_frame(Opcode.BINARY, bytes(5000))


async def test_receive_stream_that_is_left_makes_room(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Its pieces filled the queue; when they are dropped, reading goes on."""
    async with scripted(limits=Limits(max_queued_bytes=1000)) as (websocket, peer):
        await peer.send_frame(Opcode.BINARY, b"first", fin=False)
        async with websocket.receive_stream():
            await trio.sleep(AWAY)
            await peer.send_frame(Opcode.CONTINUATION, bytes(500), fin=False)
            await peer.send_frame(Opcode.CONTINUATION, bytes(500))
            await peer.send_frame(Opcode.TEXT, b"behind")
            await trio.sleep(AWAY)
        await peer.send_frame(Opcode.PING)
        await trio.sleep(AWAY)
        assert (await next_frame(peer)).opcode == Opcode.PONG
        assert await websocket.receive() == "behind"


# Closing: the rest is in test_ending


@pytest.mark.parametrize(
    ("code", "reason", "error"),
    [
        (9999, "", ValueError),
        (1005, "", ValueError),
        (1006, "", ValueError),
        (999, "", ValueError),
        (1000, "x" * 200, ValueError),
        (1000, "ü" * 62, ValueError),
        (1000, "\ud800", ValueError),
        ("1000", "", TypeError),
        (1000, b"", TypeError),
    ],
)
async def test_aclose_refuses_what_must_not_be_sent(
    code: int, reason: str, error: type[Exception], autojump_clock: trio.testing.MockClock
) -> None:
    """D7: an error at once, nothing on the wire, and the connection is as it was."""
    async with scripted() as (websocket, peer):
        with pytest.raises(error):
            await websocket.aclose(code, reason)
        assert websocket.close_sent is None
        await websocket.send("still open")
        assert (await next_frame(peer)).payload == b"still open"
        await trio.aclose_forcefully(websocket)
        with pytest.raises(error):
            await websocket.aclose(code, reason)


async def test_wait_closed_is_for_any_number_of_tasks(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """All are woken by the close, and afterwards it returns at once."""
    async with scripted() as (websocket, peer):
        async with trio.open_nursery() as nursery:
            for _ in range(5):
                nursery.start_soon(websocket.wait_closed)
            with trio.move_on_after(1) as scope:
                await websocket.wait_closed()
            assert scope.cancelled_caught
            await peer.close_frame()
        with trio.testing.assert_checkpoints():
            await websocket.wait_closed()
        assert trio.current_time() == 1


async def test_wait_closed_is_woken_by_the_receiver_that_reads_the_close(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Whoever has the role, the stream is closed at once when somebody waits for that."""

    async def receive() -> None:
        with pytest.raises(ConnectionEnded):
            await websocket.receive()

    async with scripted() as (websocket, peer):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(receive)
            nursery.start_soon(websocket.wait_closed)
            await run_until_idle()
            await peer.close_frame()
        assert trio.current_time() == 0


# Everything ends: R9

Call = Callable[[WebSocket], Awaitable[object]]


async def send_much(websocket: WebSocket) -> None:
    """Send more than there is room for."""
    while True:
        await websocket.send(bytes(100_000))


async def stream_much(websocket: WebSocket) -> None:
    """The same in fragments."""
    async with websocket.send_stream(text=False) as stream:
        while True:
            await stream.send(bytes(100_000))


async def leave_block(websocket: WebSocket) -> None:
    """Leave a block, having said something."""
    async with websocket:
        with suppress(ConnectionClosed):
            await websocket.send("x")


async def receive_stream(websocket: WebSocket) -> None:
    """Wait for a message, and for the rest of it."""
    async with websocket.receive_stream() as stream:
        async for _ in stream:
            pass


async def ping_much(websocket: WebSocket) -> None:
    """Ping from more tasks than may."""
    async with trio.open_nursery() as nursery:
        for _ in range(20):
            nursery.start_soon(websocket.ping)


CALLS: list[Call] = [
    WebSocket.receive,
    WebSocket.discard_messages,
    WebSocket.ping,
    WebSocket.wait_closed,
    WebSocket.aclose,
    WebSocket.pong,
    send_much,
    stream_much,
    leave_block,
    receive_stream,
    ping_much,
]


@pytest.mark.parametrize("stage", ["open", "in a message", "closing", "queue is full"])
@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.__name__)
async def test_every_call_ends_with_a_silent_peer(
    call: Call, stage: str, autojump_clock: trio.testing.MockClock
) -> None:
    """R9: no await needs a timeout of the user's, whatever the peer does not do."""
    timeouts = Timeouts(close=5, stall=7)
    keepalive = Keepalive(interval=10, timeout=4)
    async with scripted(timeouts=timeouts, keepalive=keepalive) as (websocket, peer):
        if stage == "in a message":
            await peer.send_frame(Opcode.TEXT, b"once", fin=False)
        elif stage == "closing":
            websocket._drain(Close(1001))
        elif stage == "queue is full":
            for _ in range(16):
                await peer.send_frame(Opcode.TEXT, b"x")
            await trio.sleep(AWAY)
        began = trio.current_time()
        if stage == "queue is full" and call in {WebSocket.wait_closed, WebSocket.ping, ping_much}:
            # These say that they wait behind unread messages: it is the application's turn.
            with suppress(ExceptionGroup):
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(websocket.discard_messages)
                    nursery.start_soon(call, websocket)
        else:
            with suppress(ConnectionClosed, ExceptionGroup):
                await call(websocket)
        assert trio.current_time() <= began + 10 + 4 + 5 * TICK


# Facts


@every_network
async def test_addresses_are_those_of_the_socket(network: Network) -> None:
    """Each end knows its own address and the peer's, where there is one."""
    async with pair_over(network) as (client, server):
        if network in {"tcp", "tls"}:
            assert client.local_address is not None
            assert client.local_address == server.peer_address
            assert client.peer_address == server.local_address
        elif network != "socket":
            assert client.local_address is client.peer_address is server.peer_address is None
        assert isinstance(client.stream, trio.abc.Stream)
        with pytest.raises(AttributeError):
            setattr(client, "stream", server.stream)  # noqa: B010 - type checkers know better


async def test_facts_of_the_opening_handshake(autojump_clock: trio.testing.MockClock) -> None:
    """Request, response, subprotocol and context are there for the handler to see."""
    async with pair_over(
        client={"subprotocols": ["b", "a"], "headers": [("X-Test", "1")]},
        server={"subprotocols": ["a", "b"]},
    ) as (client, server):
        assert client.subprotocol == server.subprotocol == "a"
        assert server.request.headers["x-test"] == "1"
        assert client.response.status == server.response.status == 101
        assert client.context is server.context is None


async def test_repr_says_role_target_and_state(autojump_clock: trio.testing.MockClock) -> None:
    """For people who debug; what the peer chose is escaped."""
    async with scripted(Role.CLIENT) as (websocket, peer):
        assert repr(websocket) == "<WebSocket client '/' peer=None open>"
        websocket._drain(Close())
        assert "closing" in repr(websocket)
        await peer.close_frame()
        await websocket.wait_closed()
        assert "closed" in repr(websocket)


async def discard_until_closed(websocket: WebSocket) -> None:
    """Discard messages until we close the connection."""
    with pytest.raises(ClosedLocally):
        await websocket.discard_messages()


@every_network
async def test_statistics_count_both_ways(network: Network) -> None:
    """What one end has sent the other has received, to the last byte of the Close."""
    async with pair_over(network) as (client, server):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(discard_until_closed, server)
            await client.send("four")
            async with client.send_stream(text=False) as stream:
                await stream.send(bytes(100_000))
            await client.ping()
            await client.pong(b"beat")
            nursery.start_soon(server.aclose)
            with pytest.raises(ConnectionEnded):
                await client.receive()
        await client.wait_closed()
        here, there = client.statistics(), server.statistics()
        assert (here.messages_sent, here.messages_received) == (2, 0)
        assert (there.messages_sent, there.messages_received) == (0, 2)
        assert here.bytes_sent == there.bytes_received > 100_000
        assert there.bytes_sent == here.bytes_received > 0
        assert here.latency == client.latency is not None
        assert there.latency is server.latency is None


async def test_statistics_tell_what_is_held(autojump_clock: trio.testing.MockClock) -> None:
    """Queued messages, buffered bytes, and when the peer was last heard of."""
    async with scripted(streams=bounded_stream_pair(100)) as (websocket, peer):
        await trio.sleep(3)
        await peer.send_frame(Opcode.TEXT, b"x")
        await trio.sleep(4)
        await websocket.send(bytes(1000))
        await run_until_idle()
        statistics = websocket.statistics()
        assert statistics == WebSocketStatistics(
            messages_sent=1,
            messages_received=1,
            bytes_sent=1004,
            bytes_received=7,
            queued_messages=1,
            buffered_bytes=1004,
            latency=None,
            last_activity=3,
        )
        with pytest.raises(FrozenInstanceError):
            setattr(statistics, "latency", 1)  # noqa: B010 - type checkers know better


async def test_keepalive_of_many_connections_under_one_nursery(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Every connection has its first alarm set when it begins."""
    async with trio.open_nursery() as nursery:
        peers: list[ScriptedPeer] = []
        for _ in range(3):
            ours, theirs = bounded_stream_pair()
            make_websocket(ours, Role.CLIENT, nursery.start_soon, keepalive=Keepalive(interval=3))
            peers.append(ScriptedPeer(theirs, "server"))
        for peer in peers:
            assert (await next_frame(peer)).opcode == Opcode.PING
        assert trio.current_time() == pytest.approx(3, abs=2 * TICK)
        for peer in peers:
            await peer.aclose()
