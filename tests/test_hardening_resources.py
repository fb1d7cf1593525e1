"""What a peer may take over time: memory, tasks, descriptors, patience.  S2 to S7.

Over real sockets it is about what is held, in memory about when it is over.  The figures are
measured by the scripts in ``tests/stress``.
"""

import ast
import gc
import weakref
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import pytest
import trio
import trio.testing

from tests.attacks import SMALL_BUFFER, under_attack
from tests.connections import HANGS, pair_over, scripted
from tests.helpers import both_roles, peer_frame
from tests.servers import contexts, echo, over_tcp_and_tls, serve_on_loopback
from trio_ws import (
    ConnectionBroken,
    Keepalive,
    Limits,
    Timeouts,
    WebSocket,
    open_websocket_url,
)
from trio_ws._caretaker import TICK
from trio_ws._reading import UNDERSTUDY_READ_SIZE
from trio_ws.protocol.state import Role
from trio_ws.testing import Opcode, ScriptedPeer

PACKAGE = Path(__file__).parent.parent / "trio_ws"

KIB = 1024
MIB = 1024 * KIB

# S2: a peer that has vanished without a word


async def receive(ws: WebSocket) -> None:
    """Wait for what does not come."""
    await ws.receive()


async def send_much(ws: WebSocket) -> None:
    """Send more than fits anywhere."""
    while True:
        await ws.send(bytes(100_000))


async def ping(ws: WebSocket) -> None:
    """Wait for a pong."""
    await ws.ping()


async def be_elsewhere(ws: WebSocket) -> None:
    """Wait for the end only."""
    await ws.wait_closed()
    await ws.receive()


async def receive_in_pieces(ws: WebSocket) -> None:
    """Wait for the rest of a message."""
    async with ws.receive_stream() as pieces:
        async for _ in pieces:
            pass


VANISHED: list[tuple[str, Callable[[WebSocket], Awaitable[None]], bytes, float]] = [
    # what we do, what came before the silence, when it is over at the latest, in seconds
    ("receiving", receive, b"", 20 + 20),
    ("receiving-half-a-message", receive, b"half", 20 + 20),
    ("receiving-pieces", receive_in_pieces, b"half", 20 + 20),
    ("sending", send_much, b"", 20),
    ("pinging", ping, b"", 20 + 20),
    ("elsewhere", be_elsewhere, b"", 20 + 20),
]


@both_roles
@pytest.mark.parametrize(
    ("act", "half", "seconds"), [r[1:] for r in VANISHED], ids=[r[0] for r in VANISHED]
)
async def test_s2_peer_that_vanishes(
    role: Role,
    act: Callable[[WebSocket], Awaitable[None]],
    half: bytes,
    seconds: float,
    autojump_clock: trio.testing.MockClock,
) -> None:
    """It is noticed by keepalive when idle, by the stall in mid-send; everybody is released."""
    timeouts = Timeouts(close=1)
    async with scripted(role, keepalive=Keepalive(), timeouts=timeouts) as (websocket, peer):
        if half:
            await peer.send_bytes(peer_frame(role, Opcode.TEXT, half, fin=False))
        with trio.fail_after(seconds + timeouts.close + 3 * TICK), pytest.raises(ConnectionBroken):
            await act(websocket)
        await trio.aclose_forcefully(peer)


# S3: a peer whose window is closed


async def fill(ws: WebSocket) -> None:
    """Put in what the network and the outgoing buffer take."""
    with suppress(trio.WouldBlock):
        while True:
            ws.send_nowait(bytes(10_000))


async def send_for_ever(ws: WebSocket) -> None:
    """Wait in ``send()``."""
    while True:
        await ws.send(bytes(10_000))


async def fill_and_close(ws: WebSocket) -> None:
    """Wait in ``aclose()``."""
    await fill(ws)
    await ws.aclose()


async def fill_and_ping(ws: WebSocket) -> None:
    """Wait in ``ping()``."""
    await fill(ws)
    await ws.ping()


async def fill_and_fail(ws: WebSocket) -> None:
    """Leave the handler by an exception."""
    await fill(ws)
    raise KeyError


async def send_parts(ws: WebSocket) -> None:
    """Wait in a ``send_stream()``."""
    async with ws.send_stream(text=False) as stream:
        while True:
            await stream.send(bytes(10_000))


@over_tcp_and_tls
@pytest.mark.parametrize(
    "handler", [send_for_ever, fill, fill_and_close, fill_and_ping, fill_and_fail, send_parts]
)
async def test_s3_peer_that_does_not_read(
    handler: Callable[[WebSocket], Awaitable[None]], secure: bool
) -> None:
    """Wherever the handler waits, the stall releases it; what is held stays within the limit."""
    tls = contexts() if secure else None
    timeouts = Timeouts(stall=0.1, close=0.1)
    async with (
        under_attack(handler, tls=tls, timeouts=timeouts, send_buffer=SMALL_BUFFER) as site,
        await site.deaf_attacker() as peer,
    ):
        await peer.client_handshake()
        most = await site.watch_until_released()
    # One message above the limit, and what TLS adds to records.
    assert 0 < most <= Limits().max_buffered_bytes + 10_000 + 2 * KIB


# S4: an application that does not receive


async def test_s4_application_that_does_not_receive() -> None:
    """What a peer sends then stays outside, and nothing of it is lost."""
    count, size = 600, 10_000
    wake = trio.Event()
    received: list[bytes] = []
    most = 0

    async def sleeper(ws: WebSocket) -> None:
        await wake.wait()
        async for message in ws:
            assert isinstance(message, bytes)
            received.append(message[:4])

    async def push(peer: ScriptedPeer) -> None:
        for number in range(count):
            await peer.send_frame(Opcode.BINARY, number.to_bytes(4, "big") + bytes(size - 4))
        await peer.close_frame()

    code: int | None = None
    async with (
        under_attack(sleeper) as site,
        await site.attacker() as peer,
        trio.open_nursery() as nursery,
    ):
        await peer.client_handshake()
        nursery.start_soon(push, peer)
        (attacked,) = site.attacked
        while attacked.statistics().queued_messages == 0:
            await site.check_innocent()
        for _ in range(200):
            await site.check_innocent()
            most = max(most, attacked.statistics().bytes_received)
        wake.set()
        while frame := await peer.receive_frame():
            code = frame.close_code if frame.opcode == Opcode.CLOSE else None
    assert code == 1000
    assert received == [number.to_bytes(4, "big") for number in range(count)]
    assert most <= Limits().max_queued_bytes + size + 2 * UNDERSTUDY_READ_SIZE


# S5: both ends send before they receive


@pytest.mark.parametrize("count", [1, 1000])
async def test_s5_both_ends_send_first(count: int, autojump_clock: trio.testing.MockClock) -> None:
    """It goes through where it fits into the buffers, and otherwise the stall ends it."""
    outcomes: list[str] = []

    async def send_then_receive(ws: WebSocket) -> None:
        try:
            for _ in range(count):
                await ws.send(bytes(100_000))
            for _ in range(count):
                await ws.receive()
        except ConnectionBroken:
            outcomes.append("broken")
        else:
            outcomes.append("done")

    async with pair_over("memory") as both, trio.open_nursery() as nursery:
        for websocket in both:
            nursery.start_soon(send_then_receive, websocket)
    assert outcomes == (["done"] * 2 if count == 1 else ["broken"] * 2)


# S6: what a peer that never answers pings can make grow


async def test_s6_pings_without_a_pong(autojump_clock: trio.testing.MockClock) -> None:
    """Keepalive has one on its way, the application no more than 16, and the rest wait."""
    async with scripted(keepalive=Keepalive(interval=1, timeout=3600)) as (websocket, peer):
        async with trio.open_nursery() as nursery:
            for _ in range(100):
                nursery.start_soon(websocket.ping)
            await trio.sleep(100)
            assert websocket._pings is not None
            assert len(websocket._pings._outstanding) <= 17
            nursery.cancel_scope.cancel()
        await peer.aclose()


# S7: no connection waits for the garbage collector


@over_tcp_and_tls
async def test_s7_connections_over_sockets_leave_no_cycle(secure: bool) -> None:
    """They come and go with the collector switched off, and nothing of them is left."""
    tls = contexts() if secure else None
    remembered: list[weakref.ref[WebSocket]] = []

    async def handler(ws: WebSocket) -> None:
        remembered.append(weakref.ref(ws))
        await echo(ws)

    async with serve_on_loopback(handler, tls=tls) as server:
        url = f"{'wss' if secure else 'ws'}://localhost:{server.port}/"

        async def chat() -> None:
            async with open_websocket_url(url, tls and tls.client) as ws:
                remembered.append(weakref.ref(ws))
                await ws.send("hello")
                assert await ws.receive() == "hello"

        gc.collect()
        gc.disable()
        try:
            for _ in range(30):
                await chat()
            with trio.fail_after(HANGS):
                while server._serving:
                    await server._changed.park()
            await trio.testing.wait_all_tasks_blocked()
            assert len(remembered) == 60
            assert [reference for reference in remembered if reference() is not None] == []
        finally:
            gc.enable()


# R21: no clock but Trio's, which tests can move and suspended machines cannot

CLOCKS = {
    # the module, and what it asks: nothing that anybody waits for depends on it
    ("_transient.py", "time.time"),  # the date that a Retry-After header names
    ("_transport/socket.py", "time.perf_counter"),  # whether two writes are a burst
}


def test_r21_time_is_told_by_trio_alone() -> None:
    """Timers run by ``trio.current_time``; whoever asks another clock is on the list."""
    asked = {
        (path.relative_to(PACKAGE).as_posix(), f"{node.value.id}.{node.attr}")
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute)
        if isinstance(node.value, ast.Name)
        if node.value.id == "time"
    }
    assert asked == CLOCKS
