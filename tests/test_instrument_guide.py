"""The pieces that the guide to observability shows."""

import logging
from functools import partial

import pytest
import trio
import trio.testing

from tests.servers import LOOPBACK, echo, serve_memory, serve_on_loopback
from trio_ws import Instrument, Server, WebSocket, open_websocket_url, serve_websocket

logger = logging.getLogger("reports")


async def report(server: Server) -> None:
    """Log how a server fares, once a minute."""
    while True:
        await trio.sleep(60)
        figures = server.statistics()
        logger.info("%d open, %d messages", figures.connections, figures.messages_received)


async def test_report_comes_once_a_minute(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    """What happened until then."""
    caplog.set_level(logging.INFO, logger.name)
    async with serve_memory(echo) as server, server.open_websocket() as ws:
        await ws.send("x")
        with trio.move_on_after(121):
            await report(server.server)
    assert [record.args for record in caplog.records] == [(1, 1), (1, 1)]


class SlowPeers(Instrument):
    """Notes who is far away."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.slow = set[object]()

    def ping_answered(self, websocket: WebSocket, round_trip: float) -> None:
        """Note the address of a peer whose answer took long."""
        if round_trip > self.seconds:
            self.slow.add(websocket.peer_address)


async def test_slow_peers_are_noted() -> None:
    """By the instrument that the server was given."""
    port = 0
    async with trio.open_nursery() as nursery:
        # [start]
        slow_peers = SlowPeers(0.5)
        serve = partial(serve_websocket, echo, "localhost", port, instruments=[slow_peers])
        server: Server = await nursery.start(serve)
        # [end]
        slow_peers.seconds = 0.0  # what is slow enough for a test
        async with open_websocket_url(f"ws://localhost:{server.port}/") as ws:
            await ws.send("are you there?")
            await ws.receive()
            (websocket,) = server.connections
            await websocket.ping()
            assert slow_peers.slow == {ws.local_address}
        nursery.cancel_scope.cancel()


def log_connections() -> None:
    """Log what a server does to the console, and of the rest the warnings and errors."""
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("trio_ws.server").setLevel(logging.INFO)


async def test_connections_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    """By the server, opened and closed; not by the client."""
    logger = logging.getLogger("trio_ws.server")
    before = logger.level
    try:
        log_connections()
        async with serve_on_loopback(echo) as server:
            async with open_websocket_url(f"ws://{LOOPBACK}:{server.port}/"):
                pass
            await server.aclose()
    finally:
        logger.setLevel(before)
    assert [record.name for record in caplog.records] == ["trio_ws.server"] * 2
