"""`WebSocket.statistics` and `Server.statistics`: what was done, and what is held."""

import dataclasses

import pytest
import trio
import trio.testing

from tests.connections import HANGS, next_frame, pair_over, run_until_idle, scripted
from tests.servers import (
    answered,
    connect,
    contexts,
    echo,
    linger,
    open_peer,
    peer_of,
    serve_memory,
    serve_on_loopback,
)
from trio_ws import (
    Request,
    Response,
    ServerStatistics,
    Timeouts,
    WebSocket,
    WebSocketStatistics,
)
from trio_ws.protocol.state import Role
from trio_ws.testing import Opcode, ScriptedPeer, upgrade_request

# WebSocket


@pytest.mark.parametrize("role", Role)
async def test_connection_counts_messages_and_all_bytes_of_frames(
    role: Role, autojump_clock: trio.testing.MockClock
) -> None:
    """Control frames too, and fragments; a message counts once, when it is complete."""
    mask = 4 if role is Role.CLIENT else 0
    async with scripted(role) as (ws, peer):
        assert ws.statistics() == WebSocketStatistics(0, 0, 0, 0, 0, 0, None, trio.current_time())
        await ws.send("four")
        await ws.send(b"x" * 200)
        async with ws.send_stream(text=True) as stream:
            await stream.send("a")
            assert ws.statistics().messages_sent == 2
        await ws.pong(b"p")
        sent = (2 + 4) + (4 + 200) + (2 + 1) + 2 + (2 + 1)
        statistics = ws.statistics()
        assert (statistics.messages_sent, statistics.bytes_sent) == (3, sent + 5 * mask)
        await peer.send_frame(Opcode.PING, b"!")
        await peer.send_frame(Opcode.TEXT, b"a", fin=False)
        await peer.send_frame(Opcode.CONTINUATION, b"b")
        await peer.send_frame(Opcode.BINARY, b"")
        assert await ws.receive() == "ab"
        received = (2 + 1) + (2 + 1) + (2 + 1) + 2 + 4 * (4 - mask)
        statistics = ws.statistics()
        assert (statistics.messages_received, statistics.bytes_received) == (2, received)
        assert statistics.queued_messages == 1
        assert statistics.bytes_sent == sent + (2 + 1) + 6 * mask
        await trio.aclose_forcefully(ws)
    assert ws.statistics().messages_received == 2


async def test_connection_says_what_waits_here(autojump_clock: trio.testing.MockClock) -> None:
    """Messages for the application, pieces of a streamed one, bytes for the network."""
    async with scripted() as (ws, peer):
        for _ in range(3):
            await peer.send_frame(Opcode.TEXT, b"x")
        await run_until_idle()
        await trio.sleep(1)
        assert ws.statistics().queued_messages == 3
        await ws.receive()
        assert ws.statistics().queued_messages == 2
        ws.send_nowait(b"x" * 300_000)
        waits = ws.statistics().buffered_bytes
        assert 0 < waits <= 300_000 + 10
        await next_frame(peer)
        await run_until_idle()
        assert ws.statistics().buffered_bytes == 0
        await trio.aclose_forcefully(ws)


async def test_connection_knows_latency_and_last_activity(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """In seconds; activity is what the peer shows."""
    async with pair_over() as (client, _):
        began = trio.current_time()
        await trio.sleep(5)
        await client.send("x")
        assert client.statistics().last_activity == began
        assert client.statistics().latency is None
        latency = await client.ping()
        assert client.statistics().latency == latency
        assert client.statistics().last_activity == trio.current_time()


# Server


def figures(statistics: ServerStatistics) -> dict[str, object]:
    """Return the figures that are not zero."""
    return {name: value for name, value in dataclasses.asdict(statistics).items() if value}


async def test_server_counts_what_its_connections_do(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """The open ones and those that are closed, each message once."""
    async with serve_memory(echo) as server:
        assert figures(server.server.statistics()) == {"listeners": 1}
        async with server.open_websocket() as first, server.open_websocket() as second:
            for ws in (first, second, second):
                await ws.send("four")
                await ws.receive()
            during = server.server.statistics()
        await run_until_idle()
        after = server.server.statistics()
    traffic = {
        "messages_sent": 3,
        "messages_received": 3,
        "bytes_sent": 3 * 6,
        "bytes_received": 3 * 10,
    }
    assert figures(during) == {"listeners": 1, "connections": 2, "accepted": 2, **traffic}
    # A Close and its code, from either side.
    traffic["bytes_sent"] += 2 * 4
    traffic["bytes_received"] += 2 * 8
    assert figures(after) == {"listeners": 1, "accepted": 2, "closed": 2, **traffic}


async def test_server_statistics_are_a_value(autojump_clock: trio.testing.MockClock) -> None:
    """Frozen, equal to another of the same figures, and not changed by what comes later."""
    async with serve_memory(echo) as server:
        before, same = server.server.statistics(), server.server.statistics()
        assert before == same
        assert hash(before) == hash(same)
        await refused(await peer_of(server), b"no http\r\n\r\n")
        await run_until_idle()
        assert before == same != server.server.statistics()
        with pytest.raises(dataclasses.FrozenInstanceError):
            before.accepted = 3  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]


async def refused(peer: ScriptedPeer, data: bytes) -> None:
    """Send this instead of a request that is accepted, and read the answer."""
    await peer.send_bytes(data)
    await answered(peer)


def process(request: Request) -> Response | None:
    """Have a page."""
    return Response(200, body="a page") if request.path == "/page" else None


async def test_server_counts_handshakes_by_what_came_of_them(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """In progress, rejected by status, failed without an answer."""
    async with (
        serve_memory(
            echo, process_request=process, max_connections=1, timeouts=Timeouts(open=5)
        ) as server,
        trio.open_nursery() as nursery,
    ):
        statistics = server.server.statistics
        await refused(await peer_of(server), b"no http\r\n\r\n")
        for _ in range(2):
            await refused(await peer_of(server), upgrade_request("/page"))
        await (await peer_of(server)).aclose()
        async with await open_peer(server):
            await refused(await peer_of(server), upgrade_request("/"))
        nursery.start_soon(refused, await peer_of(server), b"GET / HT")
        await run_until_idle()
        assert statistics().handshakes == 1
        await trio.sleep(6)
        counted = statistics()
    assert counted.handshakes == 0
    assert counted.rejected == {400: 1, 200: 2, 503: 1, 408: 1}
    assert counted.failed == 1
    assert (counted.accepted, counted.closed) == (1, 1)


async def test_server_counts_tls_that_fails() -> None:
    """As a handshake that failed; while it lasts it is one in progress."""
    async with serve_on_loopback(echo, tls=contexts()) as server:
        peer = await connect(server)
        await peer.send_bytes(b"GET / HTTP/1.1\r\n")
        await peer.receive_frames()
        await peer.aclose()
        with trio.fail_after(HANGS):
            while server.statistics().handshakes:
                await trio.lowlevel.checkpoint()
        assert server.statistics().failed == 1


async def test_server_counts_handlers_that_fail() -> None:
    """Not those that end with their connection."""

    async def handler(ws: WebSocket) -> None:
        if await ws.receive() == "fail":
            raise KeyError
        await ws.receive()

    async with serve_memory(handler) as server:
        for message in ("fail", "go on"):
            async with server.open_websocket() as ws:
                await ws.send(message)
                await run_until_idle()
        await run_until_idle()
        counted = server.server.statistics()
    assert (counted.handler_failures, counted.closed) == (1, 2)


async def test_connection_counts_until_its_handler_has_ended(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """As it does for ``max_connections``."""
    leave = trio.Event()

    async def handler(ws: WebSocket) -> None:
        await ws.wait_closed()
        await leave.wait()

    async with serve_memory(handler) as server:
        async with server.open_websocket():
            pass
        assert server.server.connections == frozenset()
        assert server.server.statistics().connections == 1
        leave.set()
        await run_until_idle()
        assert server.server.statistics().connections == 0


async def test_server_that_drains_has_no_listeners(autojump_clock: trio.testing.MockClock) -> None:
    """And in the end no connections."""
    async with serve_memory(linger) as server, server.open_websocket():
        await server.server.aclose(grace=0)
        counted = server.server.statistics()
    assert (counted.listeners, counted.connections, counted.closed) == (0, 0, 1)
