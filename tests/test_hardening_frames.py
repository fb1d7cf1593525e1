"""Attacks with frames over real sockets, beside somebody innocent: F1 to F17.

What each frame deserves is judged without I/O in ``test_protocol_hostile``; here the same table
goes over the wire, to our server and to our client.  A row is a line.
"""

import array
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any, cast

import pytest
import trio
import trio.testing

from tests.attacks import SMALL_BUFFER, flood, read_to_the_end, under_attack
from tests.clients import LOOPBACK, listening
from tests.connections import scripted
from tests.helpers import peer_frame
from tests.servers import echo, open_peer, serve_memory
from tests.test_protocol_hostile import Build, violations
from trio_ws import (
    ConnectionBroken,
    ConnectionClosed,
    Keepalive,
    Timeouts,
    WebSocket,
    open_websocket_url,
)
from trio_ws._reading import RECEIVER_READ_SIZE
from trio_ws.protocol.state import Role
from trio_ws.testing import Opcode, ScriptedPeer

KIB = 1024
TEXT, BINARY, CONTINUATION, PING, PONG = (
    Opcode.TEXT,
    Opcode.BINARY,
    Opcode.CONTINUATION,
    Opcode.PING,
    Opcode.PONG,
)


class Victim:
    """Receives until it is over, and keeps what it got.

    Attributes:
        messages: those that came.
        closed: how it ended, once it has.
        bytes_received: all that was read until then.
    """

    def __init__(self) -> None:
        self.messages: list[str | bytes] = []
        self.closed: ConnectionClosed | None = None
        self.bytes_received = 0

    async def handle(self, ws: WebSocket) -> None:
        """Be the handler."""
        try:
            async for message in ws:
                self.messages.append(message)
        except ConnectionClosed as exc:
            self.closed = exc
        self.bytes_received = ws.statistics().bytes_received


async def send_violation(
    peer: ScriptedPeer, role: Role, frames: Sequence[Build], code: int
) -> None:
    """Send it between two messages; see that one Close is the answer, and the end."""
    data = b"".join(build(role) for build in frames)
    with suppress(trio.BrokenResourceError):  # it need not wait until we have sent it all
        await peer.send_bytes(
            peer_frame(role, TEXT, b"before") + data + peer_frame(role, TEXT, b"after")
        )
    answers = [frame for frame in (await peer.receive_frames())[0] if frame.opcode != PONG]
    assert [frame.opcode for frame in answers] == [Opcode.CLOSE]
    assert answers[0].close_code == code


def check_victim(victim: Victim) -> None:
    """See that it got what came before the violation, and nothing that came behind it."""
    assert [message for message in victim.messages if message] == ["before"]
    assert isinstance(victim.closed, ConnectionBroken)
    assert victim.closed.received is None


@violations
async def test_f8_violation_over_the_wire_by_a_client(frames: Sequence[Build], code: int) -> None:
    """The code arrives, whatever is unread; the handler hears of it; nobody else does."""
    victim = Victim()
    async with under_attack(victim.handle) as site:
        async with await site.attacker() as peer:
            await peer.client_handshake()
            await send_violation(peer, Role.SERVER, frames, code)
        await site.wait_released()
    check_victim(victim)


@violations
async def test_f8_violation_over_the_wire_by_a_server(frames: Sequence[Build], code: int) -> None:
    """The same of a hostile server."""
    victim = Victim()

    async def attack(stream: trio.SocketStream) -> None:
        peer = ScriptedPeer(stream, "server")
        await peer.server_handshake()
        await send_violation(peer, Role.CLIENT, frames, code)

    async with (
        under_attack() as site,
        listening(attack) as port,
        open_websocket_url(f"ws://{LOOPBACK}:{port}/") as ws,
    ):
        await victim.handle(ws)
        await site.check_innocent()
    check_victim(victim)


# Floods that end by themselves


def to_server(opcode: int, payload: bytes = b"", *, fin: bool = True) -> bytes:
    """Return a frame of a client."""
    return peer_frame(Role.SERVER, opcode, payload, fin=fin)


BEGINNING = to_server(TEXT, fin=False)
FLOODS: list[tuple[str, bytes, bytes, int]] = [
    # what it is, how it begins, what is repeated, what it is closed with
    ("F2-empty-fragments", BEGINNING, to_server(CONTINUATION, fin=False) * 1000, 1009),
    ("F2-tiny-fragments", BEGINNING, to_server(CONTINUATION, b"x", fin=False) * 1000, 1009),
    ("F2-large-fragments", BEGINNING, to_server(CONTINUATION, bytes(64 * KIB), fin=False), 1009),
    ("F9-zeros-after-a-violation", to_server(0xB), bytes(64 * KIB), 1002),
    ("F9-frames-after-a-violation", to_server(0xB), to_server(TEXT, b"x" * 1000), 1002),
    ("F9-bytes-after-the-close", to_server(Opcode.CLOSE, b"\x03\xe8"), bytes(64 * KIB), 1000),
]


@pytest.mark.parametrize(
    ("beginning", "more", "code"), [row[1:] for row in FLOODS], ids=[row[0] for row in FLOODS]
)
async def test_flood_that_is_cut_off(beginning: bytes, more: bytes, code: int) -> None:
    """The Close comes through, next to nothing of the flood was read, and it hits a wall."""
    victim = Victim()
    async with under_attack(victim.handle) as site:
        async with await site.attacker() as peer:
            await peer.client_handshake()
            await peer.send_bytes(beginning)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(flood, peer, more)
                await site.check_innocent()
                close = await peer.receive_frame()
        assert close is not None
        assert close.close_code == code
        await site.wait_released()
    assert victim.messages == []
    # A message of 1 MiB, or what one read brings.
    assert victim.bytes_received <= 1024 * KIB + 2 * RECEIVER_READ_SIZE


# Floods that do not end: the innocent one is served meanwhile


ONGOING: list[tuple[str, bytes]] = [
    ("F6-pings", to_server(PING, bytes(125)) * 100),
    ("F6-empty-pings", to_server(PING) * 1000),
    ("F6-pongs", to_server(PONG, bytes(125)) * 100),
    ("F7-empty-messages", to_server(TEXT) * 1000),
    ("F7-tiny-messages", to_server(BINARY, b"x") * 1000),
    ("F7-fragmented-messages", (to_server(TEXT, fin=False) + to_server(CONTINUATION)) * 500),
    ("F7-large-messages", to_server(BINARY, bytes(500 * KIB))),
]


@pytest.mark.parametrize("data", [row[1] for row in ONGOING], ids=[row[0] for row in ONGOING])
async def test_flood_that_does_not_end(data: bytes) -> None:
    """All of it is allowed, and answered; others have their turn all the same."""
    async with under_attack(send_buffer=SMALL_BUFFER) as site, await site.attacker() as peer:
        await peer.client_handshake()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(flood, peer, data)
            nursery.start_soon(read_to_the_end, peer)
            for _ in range(20):
                await site.check_innocent()
            (attacked,) = site.attacked
            assert attacked.statistics().bytes_received > 0
            nursery.cancel_scope.cancel()


# What they make us owe: the pongs of one turn, or the outgoing buffer and one message above it.
OWED = {
    "F6-pings": 64 * 131,
    "F6-empty-pings": 64 * 6,
    "F7-empty-messages": 65 * KIB,
    "F7-tiny-messages": 65 * KIB,
    "F7-fragmented-messages": 65 * KIB,
    "F7-large-messages": (64 + 501) * KIB,
}


@pytest.mark.parametrize("name", OWED)
async def test_flood_of_somebody_who_does_not_read(name: str) -> None:
    """F6, S3: what cannot be sent is bounded, and the stall ends it."""
    data = dict(ONGOING)[name]
    timeouts = Timeouts(stall=0.3, close=0.1)
    async with (
        under_attack(timeouts=timeouts, send_buffer=SMALL_BUFFER) as site,
        await site.deaf_attacker() as peer,
        trio.open_nursery() as nursery,
    ):
        await peer.client_handshake()
        nursery.start_soon(flood, peer, data)
        most = await site.watch_until_released()
    assert 0 < most <= OWED[name]


# F3: a frame that dribbles in


async def test_f3_frame_that_dribbles_in() -> None:
    """A byte a segment: it is a message in the end, and the innocent one has its turns."""
    async with under_attack() as site, await site.attacker() as peer:
        await peer.client_handshake()
        for index, byte in enumerate(to_server(BINARY, bytes(4000))):
            await peer.send_bytes(bytes([byte]))
            if index % 500 == 0:
                await site.check_innocent()
        echoed = await peer.receive_frame()
        assert echoed is not None
        assert echoed.payload == bytes(4000)


# F5: something that never becomes complete


HALVES: list[tuple[str, bytes]] = [
    ("header", to_server(TEXT, b"hello")[:1]),
    ("mask", to_server(TEXT, b"hello")[:4]),
    ("payload", to_server(TEXT, b"hello")[:-1]),
    ("large-payload", to_server(BINARY, bytes(1000 * KIB))[:-1]),
    ("long-length", to_server(BINARY, bytes(1000 * KIB))[:6]),
    ("message", to_server(TEXT, b"hello", fin=False)),
    ("message-with-half-a-fragment", BEGINNING + to_server(CONTINUATION, b"hello")[:-1]),
    ("ping", to_server(PING, b"hello")[:-1]),
    ("close", to_server(Opcode.CLOSE, b"\x03\xe8")[:-1]),
]


@pytest.mark.parametrize("data", [row[1] for row in HALVES], ids=[row[0] for row in HALVES])
async def test_f5_half_of_something(data: bytes, autojump_clock: trio.testing.MockClock) -> None:
    """Keepalive gives its sender up, in the time it always takes, and nothing is delivered."""
    victim = Victim()

    async def handle(ws: WebSocket) -> None:
        await (victim.handle if ws.request.target == "/half" else echo)(ws)

    keepalive = Keepalive(interval=5, timeout=5)
    async with (
        serve_memory(handle, keepalive=keepalive, timeouts=Timeouts(close=1)) as server,
        server.open_websocket() as innocent,
    ):
        peer = await open_peer(server, "/half")
        await peer.send_bytes(data)
        with trio.fail_after(5 + 5 + 1 + 0.5):
            while (frame := await peer.receive_frame()) is not None:
                assert frame.opcode in (PING, Opcode.CLOSE)
        await peer.aclose()
        await trio.testing.wait_all_tasks_blocked()
        assert len(server.server._serving) == 1
        await innocent.send("still here")
        assert await innocent.receive() == "still here"
    assert victim.messages == []
    assert isinstance(victim.closed, ConnectionBroken)


# F15: what a peer says, in the log

EVIL = "\r\nERROR all is lost\x1b[2J\0\u202e\u2028"


async def test_f15_log_has_one_printable_line_for_each_thing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A close reason and headers with control characters: nobody can forge a line or a colour."""
    caplog.set_level(logging.DEBUG, logger="trio_ws")

    async def handler(ws: WebSocket) -> None:
        async for _ in ws:
            pass

    async def complain(ws: WebSocket) -> None:
        try:
            await handler(ws)
        except ConnectionClosed as exc:
            logging.getLogger("trio_ws.test").warning("ended: %s", exc)
            raise

    async with under_attack(complain) as site:
        async with await site.attacker() as peer:
            await peer.client_handshake()
            await peer.close_frame(4000, EVIL)
            await read_to_the_end(peer)
        for line in (
            b"\x1b[2J",
            b"GET /\x1b[2J HTTP/1.1\r\n\r\n",
            b"GET / HTTP/1.1\r\n\x1b: x\r\n",
        ):
            async with await site.attacker() as peer:
                await peer.send_bytes(line)
                await read_to_the_end(peer)
        await site.wait_released()
    assert caplog.records
    assert any("4000" in record.getMessage() for record in caplog.records)
    for record in caplog.records:
        assert record.getMessage().isprintable()


# F17: what is no message

NO_MESSAGES: list[object] = [None, 5, 1.5, [b"x"], {"a": 1}, {1}, (1, 2), object(), iter([b"x"])]
CALLS: list[tuple[str, Callable[[WebSocket, Any], Awaitable[object]]]] = [
    ("send", lambda ws, value: ws.send(value)),
    ("send-as-text", lambda ws, value: ws.send(value, text=True)),
    ("send-as-binary", lambda ws, value: ws.send(value, text=False)),
    ("ping", lambda ws, value: ws.ping(cast("Any", 0 if value is None else value))),
    ("pong", lambda ws, value: ws.pong(value)),
    ("close-reason", lambda ws, value: ws.aclose(1000, value)),
    ("close-code", lambda ws, value: ws.aclose(cast("Any", [value]))),
]


@pytest.mark.parametrize("call", [row[1] for row in CALLS], ids=[row[0] for row in CALLS])
async def test_f17_wrong_types_send_nothing(
    call: Callable[[WebSocket, Any], Awaitable[object]], autojump_clock: trio.testing.MockClock
) -> None:
    """A ``TypeError`` for each, not a byte on the wire, and the connection is as it was."""
    async with scripted() as (websocket, peer):
        for value in NO_MESSAGES:
            with pytest.raises(TypeError):
                await call(websocket, value)
        assert websocket.statistics().bytes_sent == 0
        for buffer in (b"x", bytearray(b"x"), memoryview(b"x"), array.array("B", b"x")):
            await websocket.send(buffer)
            frame = await peer.receive_frame()
            assert frame is not None
            assert frame.payload == b"x"
