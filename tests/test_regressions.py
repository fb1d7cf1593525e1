"""Defects that were found by attack and mended: each has its test here, so that it stays so."""

import math
import socket
from contextlib import suppress
from functools import partial

import pytest
import trio
import trio.testing

from tests.connections import (
    HANGS,
    next_close,
    next_frame,
    run_until_idle,
    scripted,
    socket_pair,
)
from tests.helpers import both_roles, peer_frame, sent_frames
from tests.servers import connect, contexts, over_tcp_and_tls, serve_on_loopback
from trio_ws import (
    Close,
    ConnectionBroken,
    ConnectionClosed,
    Keepalive,
    Limits,
    Server,
    Timeouts,
    WebSocket,
    open_websocket_url,
)
from trio_ws._caretaker import TICK
from trio_ws._reading import FRAMES_PER_TURN
from trio_ws._transport.tls import TLSTransport
from trio_ws.protocol.connection import Event, Piece, Ping, Protocol
from trio_ws.protocol.state import Role, State
from trio_ws.testing import MemoryServer, Opcode, build_frame, serve_in_memory

# Parsing no more than so many frames at once: the protocol


def limited(
    role: Role, frames_per_call: int | None, *, max_message_size: int = 1000, defer: bool = False
) -> Protocol:
    """Return our end, which parses so many frames in one call."""
    protocol = Protocol(role, Limits(max_message_size=max_message_size))
    protocol.frames_per_call = frames_per_call
    protocol.defer_oversized = defer
    return protocol


def pings(role: Role, *numbers: int) -> bytes:
    """Return pings to this role with these numbers as payloads."""
    return b"".join(peer_frame(role, Opcode.PING, b"%d" % number) for number in numbers)


def go_on(protocol: Protocol) -> list[Event]:
    """Have what is left unparsed parsed, call by call."""
    events: list[Event] = []
    for _ in range(100):
        if not protocol.behind:
            return events
        events += protocol.receive_data(b"")
    pytest.fail("parsing does not come to an end")


@both_roles
def test_parsing_stops_after_so_many_control_frames(role: Role) -> None:
    """The next call, with nothing, goes on where it stopped; the last leaves nothing behind."""
    protocol = limited(role, 4)
    first = protocol.receive_data(pings(role, *range(10)))
    assert first == [Ping(b"0"), Ping(b"1"), Ping(b"2"), Ping(b"3")]
    assert protocol.behind
    assert protocol.receive_data(b"") == [Ping(b"4"), Ping(b"5"), Ping(b"6"), Ping(b"7")]
    assert protocol.behind
    assert protocol.receive_data(b"") == [Ping(b"8"), Ping(b"9")]
    assert not protocol.behind
    assert protocol.receive_data(b"") == []


@both_roles
def test_parsing_stops_in_the_middle_of_a_fragmented_message(role: Role) -> None:
    """Fragments count like control frames; the message is whole in the end."""
    protocol = limited(role, 2)
    data = peer_frame(role, Opcode.TEXT, b"a", fin=False)
    data += peer_frame(role, Opcode.CONTINUATION, b"b", fin=False) * 2
    data += peer_frame(role, Opcode.CONTINUATION, b"c")
    assert protocol.receive_data(data) == []
    assert protocol.behind
    assert protocol.message_in_progress
    assert protocol.receive_data(b"") == ["abbc"]
    assert not protocol.behind


@both_roles
def test_parsing_does_not_count_ordinary_messages(role: Role) -> None:
    """They take next to no time: all that come in a row are returned at once."""
    protocol = limited(role, 1)
    message = peer_frame(role, Opcode.TEXT, b"hello")
    assert protocol.receive_data(message * 100) == ["hello"] * 100
    assert not protocol.behind
    assert protocol.receive_data(pings(role, 1) + message * 100) == [Ping(b"1")]
    assert protocol.behind
    assert protocol.receive_data(b"") == ["hello"] * 100
    assert not protocol.behind


@both_roles
@pytest.mark.parametrize("rest", [b"", b"\x89"], ids=["nothing", "half a header"])
def test_parsing_of_just_so_many_frames(role: Role, rest: bytes) -> None:
    """Only bytes that were not looked at leave it behind; half a header costs one more call."""
    protocol = limited(role, 3)
    assert len(protocol.receive_data(pings(role, 1, 2, 3) + rest)) == 3
    assert protocol.behind is bool(rest)
    assert protocol.receive_data(b"") == []
    assert not protocol.behind
    assert protocol.receive_data(pings(role, 4)[len(rest) :]) == [Ping(b"4")]


@both_roles
def test_parsing_takes_more_data_while_it_is_behind(role: Role) -> None:
    """What comes meanwhile is parsed in its turn."""
    protocol = limited(role, 2)
    events = protocol.receive_data(pings(role, 1, 2, 3))
    events += protocol.receive_data(pings(role, 4, 5))
    assert protocol.behind
    assert events + go_on(protocol) == [Ping(b"%d" % number) for number in range(1, 6)]


def sent_payloads(protocol: Protocol) -> list[tuple[int, bytes]]:
    """Return opcodes and payloads of what the peer is owed."""
    frames = sent_frames(protocol.role, protocol.data_to_send())
    return [(frame.opcode, frame.payload) for frame in frames]


def all_kinds(role: Role) -> bytes:
    """Return frames of all kinds to this role, in an order that mixes them; a Close ends them."""
    frame = partial(peer_frame, role)
    return b"".join(
        [
            frame(Opcode.TEXT, b"first"),
            pings(role, 1, 2),
            frame(Opcode.PONG, b"unsolicited"),
            frame(Opcode.BINARY, b"x" * 700),
            frame(Opcode.TEXT, "ä".encode()[:1], fin=False),
            pings(role, 3),
            frame(Opcode.CONTINUATION, "ä".encode()[1:], fin=False),
            frame(Opcode.CONTINUATION),
            frame(Opcode.TEXT) * 3,
            frame(Opcode.BINARY, b"", fin=False),
            frame(Opcode.CONTINUATION, b"y" * 300),
            pings(role, 4),
            frame(Opcode.TEXT, b"last"),
            frame(Opcode.CLOSE, b"\x03\xe8bye"),
            pings(role, 5),
        ]
    )


@both_roles
@pytest.mark.parametrize("frames_per_call", [1, 2, 3, 7])
@pytest.mark.parametrize("chunk", [1, 5, 64, 10_000])
def test_parsing_in_portions_says_the_same(role: Role, frames_per_call: int, chunk: int) -> None:
    """Events, pongs, the Close and the state are those of parsing all in one go."""
    data = all_kinds(role)
    at_once, portioned = limited(role, None), limited(role, frames_per_call)
    expected = at_once.receive_data(data)
    events: list[Event] = []
    for start in range(0, len(data), chunk):
        events += portioned.receive_data(data[start : start + chunk])
        events += go_on(portioned)
    assert events == expected
    assert expected[-2:] == ["last", Close(1000, "bye")]
    # A client's masks differ, so frames are compared and not bytes.
    assert sent_payloads(portioned) == sent_payloads(at_once) != []
    assert portioned.state is at_once.state is State.CLOSED


@both_roles
def test_stream_may_end_while_parsing_is_behind(role: Role) -> None:
    """Nothing more is parsed then, and nothing is kept."""
    protocol = limited(role, 2)
    assert len(protocol.receive_data(pings(role, 1, 2, 3))) == 2
    assert protocol.receive_data(None) == []
    assert not protocol.behind
    assert protocol.state is State.CLOSED
    assert protocol.receive_data(b"") == []


@both_roles
def test_message_may_be_held_while_parsing_is_behind(role: Role) -> None:
    """Held means that nothing more is parsed; who does not want it in pieces fails it."""
    protocol = limited(role, 2, max_message_size=10, defer=True)
    data = pings(role, 1, 2) + peer_frame(role, Opcode.TEXT, b"too much for us")
    assert len(protocol.receive_data(data + pings(role, 3))) == 2
    assert (protocol.behind, protocol.held) == (True, False)
    assert protocol.receive_data(b"") == []
    assert (protocol.behind, protocol.held) == (False, True)
    protocol.data_to_send()
    protocol.fail_held()
    (close,) = sent_frames(role, protocol.data_to_send())
    assert close.close_code == 1009
    assert not protocol.held


@both_roles
def test_streaming_of_what_was_held_stops_after_so_many_frames(role: Role) -> None:
    """`begin_stream` parses, too: what lies behind the message is left for the next call."""
    protocol = limited(role, 2, max_message_size=10, defer=True)
    data = peer_frame(role, Opcode.TEXT, b"too much for us")
    assert protocol.receive_data(data + pings(role, 1, 2, 3)) == []
    assert protocol.held
    assert protocol.begin_stream(None) == [Piece("too much for us", final=True), Ping(b"1")]
    assert protocol.behind
    assert go_on(protocol) == [Ping(b"2"), Ping(b"3")]


@both_roles
@pytest.mark.parametrize("sound", [0, 1, 2, 3])
def test_parsing_may_fail_in_the_middle(role: Role, sound: int) -> None:
    """What came before counts, what came behind does not: 1002, and nothing is left behind."""
    protocol = limited(role, 2)
    broken = peer_frame(role, 0xB)
    events = protocol.receive_data(pings(role, *range(sound)) + broken + pings(role, 8, 9))
    events += go_on(protocol)
    assert events == [Ping(b"%d" % number) for number in range(sound)]
    assert protocol.failure is not None
    *pongs, close = sent_frames(role, protocol.data_to_send())
    assert len(pongs) == sound
    assert close.close_code == 1002
    assert protocol.receive_data(b"") == []
    assert not protocol.behind


@both_roles
def test_our_close_while_parsing_is_behind(role: Role) -> None:
    """Messages are returned still, pings are no longer answered, the peer's Close is found."""
    protocol = limited(role, 2)
    data = pings(role, 1, 2, 3, 4) + peer_frame(role, Opcode.TEXT, b"message")
    events = protocol.receive_data(data + peer_frame(role, Opcode.CLOSE, b"\x03\xe8"))
    assert len(sent_frames(role, protocol.data_to_send())) == 2
    protocol.close(1000, "")
    events += go_on(protocol)
    assert events[2:] == [Ping(b"3"), Ping(b"4"), "message", Close(1000)]
    assert protocol.data_to_send() == b""
    assert protocol.state is State.CLOSED


# Parsing no more than so many frames at once: the connection

# In bytes: of a flood that is there before anybody reads.
FLOOD = 200 * 1024


class Flood:
    """Many frames of one kind with a message behind them, and what they make us note."""

    def __init__(self, kind: str) -> None:
        payload = bytes(20)
        self.kind = kind
        if kind == "pings":
            self.unit, self.frames = peer_frame(Role.SERVER, Opcode.PING, payload), 1
            self.noted = len(build_frame(Opcode.PONG, payload))
        else:
            self.unit = peer_frame(Role.SERVER, Opcode.BINARY, payload, fin=False)
            self.unit += peer_frame(Role.SERVER, Opcode.CONTINUATION, payload)
            self.frames, self.noted = 2, 1
        self.units = FLOOD // len(self.unit)
        self.data = self.unit * self.units + peer_frame(Role.SERVER, Opcode.TEXT, b"behind")

    def seen(self, websocket: WebSocket) -> int:
        """Return how many frames of the flood were acted on."""
        statistics = websocket.statistics()
        noted = statistics.bytes_sent if self.kind == "pings" else statistics.messages_received
        return noted // self.noted * self.frames


class Neighbour:
    """A task beside a flood, which looks at it whenever it gets its turn."""

    def __init__(self, flood: Flood, websocket: WebSocket) -> None:
        self._flood = flood
        self._websocket = websocket
        self.most_between = 0  # frames parsed between two turns of ours

    async def live(self) -> None:
        """Do nothing but taking turns, until the whole flood is over."""
        total = self._flood.units * self._flood.frames
        seen = turns = 0
        while seen < total:
            turns += 1
            assert turns < 10 * total, "the flood has stopped"
            await trio.lowlevel.checkpoint()
            before, seen = seen, self._flood.seen(self._websocket)
            self.most_between = max(self.most_between, seen - before)

    def check(self) -> None:
        """See that we were not kept waiting."""
        # A task may run last in one of Trio's batches and first in the next.
        assert 0 < self.most_between <= 2 * FRAMES_PER_TURN + 2


both_floods = pytest.mark.parametrize("kind", ["pings", "fragments"])
ROOMY = Limits(max_queued_messages=100_000, max_queued_bytes=2**30)


@both_floods
async def test_flood_does_not_starve_the_neighbour_of_a_receiver(kind: str) -> None:
    """However much one read brings, others get their turn after so many frames of it."""
    flood = Flood(kind)
    async with scripted(streams=trio.testing.memory_stream_pair()) as (websocket, peer):
        neighbour = Neighbour(flood, websocket)
        await peer.send_bytes(flood.data)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(neighbour.live)
            messages = 1
            while await websocket.receive() != "behind":
                messages += 1
        neighbour.check()
        assert messages == (1 if kind == "pings" else flood.units + 1)
        await peer.aclose()


@both_floods
async def test_flood_does_not_starve_the_neighbour_of_an_understudy(kind: str) -> None:
    """Nor does it when nobody receives."""
    flood = Flood(kind)
    streams = trio.testing.memory_stream_pair()
    async with scripted(streams=streams, limits=ROOMY) as (websocket, peer):
        neighbour = Neighbour(flood, websocket)
        await peer.send_bytes(flood.data)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(websocket.wait_closed)
            await neighbour.live()
            await run_until_idle()
            neighbour.check()
            expected = 1 if kind == "pings" else flood.units + 1
            assert websocket.statistics().queued_messages == expected
            await peer.aclose()


@both_floods
async def test_flood_is_discarded_in_turns(kind: str) -> None:
    """`discard_messages` gives way like any receiver, and finds the Close at the end."""
    flood = Flood(kind)
    async with scripted(streams=trio.testing.memory_stream_pair()) as (websocket, peer):
        neighbour = Neighbour(flood, websocket)
        await peer.send_bytes(flood.data + peer_frame(Role.SERVER, Opcode.CLOSE, b"\x03\xe8"))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(neighbour.live)
            await websocket.discard_messages()
        neighbour.check()
        assert websocket.close_received == Close(1000)
        await peer.aclose()


async def test_receive_nowait_goes_on_with_what_was_read() -> None:
    """Each call parses so many frames of what an earlier read brought, without reading."""
    first, last = (peer_frame(Role.SERVER, Opcode.TEXT, text) for text in (b"first", b"last"))
    many = peer_frame(Role.SERVER, Opcode.PING) * (3 * FRAMES_PER_TURN + 1)
    async with scripted(streams=trio.testing.memory_stream_pair()) as (websocket, peer):
        await peer.send_bytes(first + many + last)
        assert await websocket.receive() == "first"
        for _ in range(2):
            with pytest.raises(trio.WouldBlock):
                websocket.receive_nowait()
        assert websocket.receive_nowait() == "last"
        await peer.aclose()


async def test_aclose_finds_the_close_behind_a_flood(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """What was read is parsed to its end before anything is waited for."""
    many = peer_frame(Role.SERVER, Opcode.PING) * (10 * FRAMES_PER_TURN)
    async with scripted(streams=trio.testing.memory_stream_pair()) as (websocket, peer):
        data = peer_frame(Role.SERVER, Opcode.TEXT, b"first") + many
        await peer.send_bytes(data + peer_frame(Role.SERVER, Opcode.CLOSE, b"\x0f\xa1"))
        assert await websocket.receive() == "first"
        assert websocket.close_received is None
        await websocket.aclose()
        assert websocket.close_received == Close(4001)
        assert trio.current_time() == 0


# Pings


async def test_ping_with_the_payload_of_one_that_was_just_answered(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """The one who waited for the first pong, and runs later, does not give the second ping up."""
    async with scripted() as (websocket, peer), trio.open_nursery() as nursery:
        nursery.start_soon(websocket.ping, b"again")
        assert (await next_frame(peer)).payload == b"again"
        pong = peer_frame(Role.SERVER, Opcode.PONG, b"again")

        async def answer() -> None:
            await peer.send_bytes(pong + peer_frame(Role.SERVER, Opcode.TEXT, b"message"))
            assert (await next_frame(peer)).payload == b"again"
            await peer.send_bytes(pong)

        nursery.start_soon(answer)
        assert await websocket.receive() == "message"
        with trio.fail_after(HANGS):
            assert await websocket.ping(b"again") == 0
        await peer.aclose()


# TLS


async def test_cancelled_aclose_over_tls_sends_the_close_beside_a_sender() -> None:
    """What it has committed waits still: that goes out, and the Close behind it."""
    rounds = 20
    ended, endings = trio.open_memory_channel[tuple[type[BaseException] | None, int]](rounds)

    async def handler(ws: WebSocket) -> None:
        try:
            await ws.discard_messages()
        except ConnectionClosed as exc:
            await ended.send((type(exc), exc.code))
        else:
            await ended.send((None, ws.close_received.code if ws.close_received else 0))

    async def send_for_ever(ws: WebSocket) -> None:
        with suppress(ConnectionClosed):
            while True:
                await ws.send(bytes(100))

    with trio.fail_after(HANGS):
        async with serve_on_loopback(handler, tls=contexts()) as server:
            url = f"wss://localhost:{server.port}/"
            for _ in range(rounds):
                async with (
                    open_websocket_url(url, contexts().client) as ws,
                    trio.open_nursery() as nursery,
                ):
                    transport = ws._transport
                    assert isinstance(transport, TLSTransport)
                    nursery.start_soon(send_for_ever, ws)
                    while not transport.pending:
                        await trio.lowlevel.checkpoint()
                    await trio.aclose_forcefully(ws)
                assert await endings.receive() == (None, 1000)


@over_tcp_and_tls
async def test_failed_connection_ends_without_waiting_for_the_peer_to_hang_up(
    secure: bool,
) -> None:
    """A peer that answers our Close and waits for us to hang up first, as it should, sees that."""
    tls = contexts() if secure else None
    timeouts = Timeouts(close=math.inf)

    async def handler(ws: WebSocket) -> None:
        with pytest.raises(ConnectionBroken):
            await ws.receive()

    with trio.fail_after(10):
        async with (
            serve_on_loopback(handler, tls=tls, timeouts=timeouts) as server,
            await connect(server, tls) as peer,
        ):
            await peer.client_handshake()
            await peer.send_bytes(peer_frame(Role.SERVER, Opcode.BINARY, size=2**30))
            assert (await next_close(peer)).close_code == 1009
            await peer.close_frame(1009)
            assert await peer.receive_frame() is None


# Server.aclose()


class Meeting:
    """A handler that closes its server, but not before so many others are about to do the same."""

    server: Server

    def __init__(self, members: int) -> None:
        self._missing = members
        self._complete = trio.Event()
        self.left = 0  # handlers that are done

    async def close_server(self) -> None:
        """Close the server together with all others, and take a while to end."""
        self._missing -= 1
        if not self._missing:
            self._complete.set()
        await self._complete.wait()
        await self.server.aclose(grace=math.inf)
        await trio.sleep(1)
        self.left += 1


async def test_two_handlers_that_close_the_server_do_not_wait_for_each_other(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Neither handler can end before its call does, and no limit would end the calls."""
    meeting = Meeting(2)

    async def handler(ws: WebSocket) -> None:
        await meeting.close_server()

    with trio.fail_after(HANGS):
        async with serve_in_memory(handler) as memory:
            meeting.server = memory.server
            async with memory.open_websocket() as one, memory.open_websocket() as two:
                await one.wait_closed()
                await two.wait_closed()
                # Each was closed by the handler of the other.
                assert (one.close_received, two.close_received) == (Close(1001), Close(1001))
                await trio.sleep(10)
                assert meeting.left == 2


async def stay(server: MemoryServer, target: str) -> None:
    """Connect to the server, and stay until it closes the connection."""
    async with server.open_websocket(f"ws://localhost{target}") as websocket:
        await websocket.wait_closed()


async def test_closing_the_server_from_outside_waits_for_handlers_that_close_it(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Only handlers need not wait for each other: whoever is none of them waits for all."""
    meeting = Meeting(2)
    let_go = trio.Event()

    async def handler(ws: WebSocket) -> None:
        if ws.request.target == "/busy":
            await let_go.wait()
        else:
            await meeting.close_server()

    async def let_go_later() -> None:
        await trio.sleep(1)
        let_go.set()

    with trio.fail_after(HANGS):
        async with serve_in_memory(handler) as memory, trio.open_nursery() as nursery:
            meeting.server = memory.server
            for target in ("/busy", "/", "/"):
                nursery.start_soon(stay, memory, target)
                await run_until_idle()
            assert memory.server._closers  # both are in their calls, and wait for the busy one
            nursery.start_soon(let_go_later)
            await memory.server.aclose(grace=math.inf)
            assert meeting.left == 2


# Keepalive


async def test_keepalive_ping_that_fails_at_once_keeps_the_deadline_of_the_close(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """The look at keepalive finds the connection hung up; the end it then sets itself comes."""
    ours, theirs = socket_pair()
    keepalive = Keepalive(interval=1, timeout=math.inf)
    opened = scripted(streams=(ours, theirs), keepalive=keepalive, timeouts=Timeouts(close=2))
    async with opened as (websocket, _):
        # Writing fails, while reading does not end.
        ours.socket.shutdown(socket.SHUT_WR)
        with pytest.raises(ConnectionBroken):
            await websocket.receive()
        assert trio.current_time() <= 1 + 2 + 2 * TICK
