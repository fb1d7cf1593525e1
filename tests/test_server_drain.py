"""The end of a server: drained by `Server.aclose`, or cancelled; in order, within its limits."""

import logging
import math
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial

import pytest
import trio
import trio._core._run
import trio.testing

from tests.servers import (
    Handler,
    WrappingListener,
    answered,
    check_echo,
    close_code_of,
    closed_with,
    connect,
    contexts,
    echo,
    ended_with,
    linger,
    open_peer,
    over_tcp_and_tls,
    peer_of,
    serve_memory,
    serve_on_loopback,
)
from trio_ws import (
    Close,
    ClosedLocally,
    ConnectionEnded,
    Request,
    Server,
    Timeouts,
    WebSocket,
    open_websocket_url,
    serve_websocket,
    serve_websocket_listeners,
)
from trio_ws.testing import (
    CutShort,
    MemoryListener,
    MemoryServer,
    Opcode,
    ScriptedPeer,
    TLSContexts,
    bounded_stream_pair,
    serve_in_memory,
    upgrade_request,
)
from trio_ws.testing._servers import FaultyListener


class Peers:
    """Many peers of one server, each closing as it is asked to."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self._nursery = nursery
        self.codes: list[int | None] = []

    async def open(self, server: MemoryServer, count: int = 1, target: str = "/") -> None:
        """Open so many connections, and answer the Close on each."""
        for _ in range(count):
            self._nursery.start_soon(self._stay, await open_peer(server, target))

    async def _stay(self, peer: ScriptedPeer) -> None:
        async with peer:
            self.codes.append(await closed_with(peer))


# In order


async def test_drain_ends_loops_and_then_the_server(autojump_clock: trio.testing.MockClock) -> None:
    """Peers get the code and the reason, loops end normally, ``serve_websocket`` returns."""
    ended: list[Close | None] = []

    async def handler(ws: WebSocket) -> None:
        async for message in ws:
            await ws.send(message)
        ended.append(ws.close_sent)

    listener = MemoryListener()
    async with trio.open_nursery() as nursery:
        server: Server = await nursery.start(serve_websocket_listeners, handler, [listener])
        peers = Peers(nursery)
        await peers.open(MemoryServer(server, FaultyListener(listener)), 3)
        assert len(server.connections) == 3
        await server.aclose(1012, "restarting")
        assert server.connections == frozenset()
        assert ended == [Close(1012, "restarting")] * 3
    assert peers.codes == [1012] * 3
    assert trio.current_time() == 0


async def test_drain_says_going_away_by_default() -> None:
    """1001, and no reason."""
    async with serve_in_memory(echo) as server, trio.open_nursery() as nursery:
        peers = Peers(nursery)
        await peers.open(server)
        await server.server.aclose()
        await trio.testing.wait_all_tasks_blocked()
        assert peers.codes == [1001]


async def test_drain_delivers_what_came_before_it() -> None:
    """A peer that has not seen the Close yet loses nothing; it is not answered any more."""
    received: list[str | bytes] = []

    async def handler(ws: WebSocket) -> None:
        async for message in ws:
            received.append(message)
            if message == "last":
                with pytest.raises(ClosedLocally):
                    await ws.send("too late")

    async with serve_in_memory(handler) as server, await open_peer(server) as peer:
        await peer.send_frame(Opcode.TEXT, b"first")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(server.server.aclose)
            frame = await peer.receive_frame()
            assert frame is not None
            assert frame.close_code == 1001
            await peer.send_frame(Opcode.TEXT, b"last")
            await peer.close_frame(1001)
            assert await ended_with(peer) is None
    assert received == ["first", "last"]


async def test_drain_closes_the_listeners_first() -> None:
    """Whoever is sent away must find the next server, not this one."""
    listener = MemoryListener()
    seen: list[str] = []

    class Telling(WrappingListener):
        async def aclose(self) -> None:
            seen.append("listener closed" if server_is_open() else "too late")
            await super().aclose()

    def server_is_open() -> bool:
        return all(websocket.close_sent is None for websocket in server.connections) and bool(
            server.connections
        )

    async with trio.open_nursery() as nursery:
        telling = Telling(listener, lambda stream: stream)
        server: Server = await nursery.start(serve_websocket_listeners, echo, [telling])
        peers = Peers(nursery)
        await peers.open(MemoryServer(server, FaultyListener(listener)))
        await server.aclose()
        assert seen[0] == "listener closed"
        with pytest.raises(ConnectionRefusedError):
            await listener.connect()


async def test_drained_server_on_loopback_leaves_its_port() -> None:
    """Another one may listen there at once."""
    async with serve_on_loopback(echo) as server:
        port = server.port
        async with open_websocket_url(f"ws://127.0.0.1:{port}/") as ws:
            await server.aclose()
            with pytest.raises(ConnectionEnded):
                await ws.receive()
            async with trio.open_nursery() as nursery:
                second: Server = await nursery.start(serve_websocket, echo, "127.0.0.1", port)
                await check_echo(second)
                await second.aclose()


async def test_closed_listeners_leave_connections_alone() -> None:
    """Nobody new comes, whoever is there stays, and the server ends after the last of them."""
    async with trio.open_nursery() as nursery:
        server: Server = await nursery.start(serve_websocket, echo, "127.0.0.1", 0)
        url = f"ws://127.0.0.1:{server.port}/"
        async with open_websocket_url(url) as ws:
            for listener in server.listeners:
                await listener.aclose()
            with pytest.raises(OSError, match="connect"):
                await open_websocket_url(url).__aenter__()
            await ws.send("still here")
            assert await ws.receive() == "still here"


async def test_drain_of_an_idle_server_is_over_at_once(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """And so is another one, also when the server has long ended."""
    async with serve_in_memory(echo) as server:
        await server.server.aclose()
        await server.server.aclose()
    await server.server.aclose()
    assert trio.current_time() == 0


@pytest.mark.parametrize(
    ("code", "reason", "grace", "error"),
    [
        (1005, "", 10.0, ValueError),
        (9999, "", 10.0, ValueError),
        (1001, "x" * 124, 10.0, ValueError),
        (1001, "", -1.0, ValueError),
        (1001, "", math.nan, ValueError),
        (1001, "", "10", TypeError),
        ("1001", "", 10.0, TypeError),
    ],
)
async def test_drain_with_bad_arguments_closes_nothing(
    code: int, reason: str, grace: float, error: type[Exception]
) -> None:
    """Not even the listeners."""
    async with serve_in_memory(echo) as server, server.open_websocket() as ws:
        with pytest.raises(error):
            await server.server.aclose(code, reason, grace=grace)
        await ws.send("hello")
        assert await ws.receive() == "hello"
        async with server.open_websocket():
            pass


# Within its limits


@pytest.mark.parametrize("grace", [0, 3])
async def test_handlers_that_ignore_the_drain_are_cancelled(
    grace: float, autojump_clock: trio.testing.MockClock
) -> None:
    """After ``grace`` seconds, and then they have a second at most."""
    async with serve_in_memory(linger) as server:
        silent = await open_peer(server)
        await server.server.aclose(grace=grace)
        assert grace <= trio.current_time() <= grace + 1
        assert await ended_with(silent) == 1001


async def test_handlers_have_the_grace_for_their_last_words(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Waiting ends with the last of them, not with the grace."""
    done: list[str] = []

    async def handler(ws: WebSocket) -> None:
        async for _ in ws:
            pass
        await trio.sleep(5)
        done.append("cleaned up")

    async with serve_in_memory(handler) as server, trio.open_nursery() as nursery:
        await Peers(nursery).open(server, 2)
        await server.server.aclose(grace=100)
        assert done == ["cleaned up"] * 2
        assert trio.current_time() == 5


async def test_grace_may_be_endless(autojump_clock: trio.testing.MockClock) -> None:
    """For whoever is sure of the handlers."""

    async def handler(ws: WebSocket) -> None:
        await trio.sleep(80_000)

    async with serve_in_memory(handler) as server, trio.open_nursery() as nursery:
        await Peers(nursery).open(server)
        await server.server.aclose(grace=math.inf)
        assert trio.current_time() == 80_000


async def test_cancelled_drain_cancels_the_handlers_at_once(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """It does not wait; the listeners are closed all the same."""
    listener = MemoryListener()
    async with serve_memory(linger, listener) as server, trio.open_nursery() as nursery:
        peers = Peers(nursery)
        await peers.open(server, 2)
        with trio.move_on_after(2) as scope:
            await server.server.aclose(grace=100)
        assert scope.cancelled_caught
        with pytest.raises(ConnectionRefusedError):
            await listener.connect()
        await trio.testing.wait_all_tasks_blocked()
        assert not server.server._serving
        assert peers.codes == [1001, 1001]


async def test_drain_that_is_cancelled_from_the_first_closes_the_listeners() -> None:
    """As every close in Trio: cancelled, it is only less polite."""
    listener = MemoryListener()
    async with serve_memory(echo, listener) as server:
        await trio.aclose_forcefully(Drained(server.server))
        with pytest.raises(ConnectionRefusedError):
            await listener.connect()


class Drained(trio.abc.AsyncResource):
    """A server as a resource, to be closed forcefully."""

    def __init__(self, server: Server) -> None:
        self._server = server

    async def aclose(self) -> None:
        """Drain it."""
        await self._server.aclose()


async def test_two_drains_wait_for_the_same_end(autojump_clock: trio.testing.MockClock) -> None:
    """The shorter grace counts; peers get one Close."""
    ends: list[float] = []

    async with serve_in_memory(linger) as server, trio.open_nursery() as nursery:

        async def drain(grace: float) -> None:
            await server.server.aclose(grace=grace)
            ends.append(trio.current_time())

        silent = await open_peer(server)
        nursery.start_soon(drain, 10)
        nursery.start_soon(drain, 3)
    assert ends == [4, 4]
    assert await ended_with(silent) == 1001


# From inside


async def drain_at_once(server: Server) -> None:
    """Drain in the handler's own task."""
    await server.aclose()


async def drain_in_a_child(server: Server) -> None:
    """Drain in a task of the handler's nursery."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(server.aclose)


async def drain_in_a_grandchild(server: Server) -> None:
    """Drain in a task further below."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(drain_in_a_child, server)


@pytest.mark.parametrize("drain", [drain_at_once, drain_in_a_child, drain_in_a_grandchild])
async def test_handler_that_drains_its_server_is_not_waited_for(
    drain: Callable[[Server], Awaitable[None]], autojump_clock: trio.testing.MockClock
) -> None:
    """The others are; and it can still tell its peer that it is done."""
    listener = MemoryListener()
    servers: list[Server] = []

    async def handler(ws: WebSocket) -> None:
        if ws.request.path != "/admin":
            await echo(ws)
            await trio.sleep(5)
            return
        await drain(servers[0])
        assert trio.current_time() == 5
        await ws.send("drained")

    async with trio.open_nursery() as nursery:
        servers.append(await nursery.start(serve_websocket_listeners, handler, [listener]))
        server = MemoryServer(servers[0], FaultyListener(listener))
        peers = Peers(nursery)
        await peers.open(server, 2)
        async with await open_peer(server, "/admin") as admin:
            frame = await admin.receive_frame()
            assert frame is not None
            assert frame.payload == b"drained"
            assert peers.codes == [1001, 1001]
            assert await closed_with(admin) == 1000


async def test_handlers_that_drain_their_server_do_not_wait_for_each_other(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Nor for what another does then; but for all others. A drain from outside waits for all."""
    ends: list[tuple[str, float]] = []

    async def handler(ws: WebSocket) -> None:
        if ws.request.path == "/":
            await echo(ws)
            await trio.sleep(5)
            return
        await ws.receive()
        await server.server.aclose(grace=30)
        ends.append((ws.request.path, trio.current_time()))
        if ws.request.path == "/last":
            await trio.sleep(5)

    async with serve_in_memory(handler) as server, trio.open_nursery() as nursery:
        peers = Peers(nursery)
        await peers.open(server)
        admins = [await open_peer(server, target) for target in ("/first", "/last")]
        for peer in admins:
            await peer.send_frame(Opcode.TEXT, b"go")
            nursery.start_soon(closed_with, peer)
        await trio.testing.wait_all_tasks_blocked()
        await server.server.aclose(grace=30)
        assert trio.current_time() == 10
    assert sorted(ends) == [("/first", 5), ("/last", 5)]
    assert peers.codes == [1001]


async def test_handler_that_drains_hears_of_another_that_does(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Of two that are alone, the first does not wait for the second any more."""
    ends: list[tuple[str, float]] = []

    async def handler(ws: WebSocket) -> None:
        if ws.request.path == "/second":
            await trio.sleep(5)
        await server.server.aclose(grace=1000)
        ends.append((ws.request.path, trio.current_time()))
        await trio.sleep(5)

    async with serve_in_memory(handler) as server, trio.open_nursery() as nursery:
        second = await open_peer(server, "/second")
        first = await open_peer(server, "/first")
        nursery.start_soon(closed_with, first)
        nursery.start_soon(closed_with, second)
        await trio.sleep(10)
        await trio.testing.wait_all_tasks_blocked()
        assert not server.server._serving
    assert sorted(ends) == [("/first", 5), ("/second", 5)]


async def test_handler_that_drains_and_is_cancelled_meanwhile(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """By a drain from outside, which has less patience: both end, and so does the server."""

    async def handler(ws: WebSocket) -> None:
        if ws.request.path == "/":
            await linger(ws)
        await server.server.aclose(grace=1000)

    async with serve_in_memory(handler) as server, trio.open_nursery() as nursery:
        peers = Peers(nursery)
        await peers.open(server)
        await peers.open(server, target="/admin")
        await trio.testing.wait_all_tasks_blocked()
        await server.server.aclose(grace=3)
        assert not server.server._serving
        assert trio.current_time() == 3
    assert peers.codes == [1001, 1001]


async def test_process_request_that_drains_the_server_is_not_waited_for(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Its own client is told that there is no more room."""

    async def process_request(request: Request) -> None:
        await server.server.aclose()

    async with (
        serve_in_memory(echo, process_request=process_request) as server,
        await peer_of(server) as peer,
    ):
        await peer.send_bytes(upgrade_request())
        head, _ = await answered(peer)
        assert head.status == 503
        assert trio.current_time() == 0


async def test_task_that_a_handler_started_elsewhere_waits_for_the_handler(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """It is no part of the handler: whose nursery it lives in counts."""
    async with trio.open_nursery() as elsewhere:

        async def handler(ws: WebSocket) -> None:
            elsewhere.start_soon(server.server.aclose)
            await echo(ws)
            await trio.sleep(5)

        async with serve_in_memory(handler) as server:
            async with await open_peer(server) as peer:
                assert await closed_with(peer) == 1001
            await server.server.aclose()
            assert trio.current_time() == 5


# While connections come


class SlowListener(WrappingListener):
    """A listener that gives a connection away a moment after it has taken it, as sockets do."""

    def __init__(self, listener: MemoryListener) -> None:
        super().__init__(listener, lambda stream: stream)
        self.taken = trio.Event()
        self.give = trio.Event()

    async def accept(self) -> trio.abc.Stream:
        """Accept, and hesitate."""
        stream = await super().accept()
        self.taken.set()
        with trio.CancelScope(shield=True):
            await self.give.wait()
        return stream


async def test_connection_accepted_while_the_listeners_are_closed_is_turned_away(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """The drain cannot know of it, and yet the server does not wait for its request."""
    listener = MemoryListener()
    slow = SlowListener(listener)
    async with trio.open_nursery() as nursery:
        server: Server = await nursery.start(serve_websocket_listeners, echo, [slow])
        async with ScriptedPeer(await listener.connect(), "client") as late:
            await slow.taken.wait()
            await server.aclose()
            slow.give.set()
            head, _ = await answered(late)
            assert head.status == 503
    assert trio.current_time() == 0


async def test_tls_handshake_in_flight_is_ended_by_the_drain(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """There is no way to answer it."""
    async with serve_memory(echo, tls=contexts()) as server, await peer_of(server) as peer:
        await peer.send_bytes(b"\x16\x03\x01")
        await trio.testing.wait_all_tasks_blocked()
        await server.server.aclose()
        assert await peer.stream.receive_some() == b""
        assert trio.current_time() == 0


async def test_drain_waits_for_handlers_in_another_nursery(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """And cancels them, but not that nursery."""
    listener = MemoryListener()
    async with trio.open_nursery() as handlers, trio.open_nursery() as nursery:
        serve = partial(serve_websocket_listeners, handler_nursery=handlers)
        server: Server = await nursery.start(serve, linger, [listener])
        silent = await open_peer(MemoryServer(server, FaultyListener(listener)))
        await server.aclose(grace=3)
        assert trio.current_time() == 4
        assert await ended_with(silent) == 1001
        assert not handlers.cancel_scope.cancel_called
        assert not handlers.child_tasks


# All at once (R14)


async def test_shutdown_of_a_busy_server_is_done_in_time(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    """R14: open, in the handshake, stalled, ignored: in grace and a second all is over."""
    grace = 5

    async def handler(ws: WebSocket) -> None:
        if ws.request.path == "/stalled":
            while True:
                await ws.send(bytes(10_000))
        if ws.request.path == "/ignoring":
            await linger(ws)
        await echo(ws)

    listener = MemoryListener(lambda: bounded_stream_pair(4096), backlog=1000)
    async with trio.open_nursery() as nursery:
        listening: Server = await nursery.start(serve_websocket_listeners, handler, [listener])
        server = MemoryServer(listening, FaultyListener(listener))
        peers = Peers(nursery)
        await peers.open(server, 100)
        await peers.open(server, 10, "/ignoring")
        silent = [await open_peer(server, "/ignoring") for _ in range(10)]
        stalled = [await open_peer(server, "/stalled") for _ in range(20)]
        asking = [await peer_of(server) for _ in range(20)]
        for peer in asking[:10]:
            await peer.send_bytes(b"GET / HTTP/1.1\r\n")
        await trio.testing.wait_all_tasks_blocked()
        assert len(listening.connections) == 140
        began = trio.current_time()
        await listening.aclose(grace=grace)
        assert trio.current_time() - began <= grace + 1
        assert not listening._serving
    assert peers.codes == [1001] * 110
    for peer in asking:
        head, _ = await answered(peer)
        assert head.status == 503
    for peer in silent:
        assert await ended_with(peer) == 1001
    for peer in stalled:
        frames, _ = await peer.receive_frames()
        assert close_code_of(frames) is None
    assert [each for each in caplog.records if each.levelno > logging.INFO] == []


@over_tcp_and_tls
async def test_shutdown_over_sockets_leaves_none_open(secure: bool) -> None:
    """R14: the same in small; that no descriptor is left is seen to for every test."""
    tls = contexts() if secure else None

    async def handler(ws: WebSocket) -> None:
        if ws.request.path == "/stalled":
            while True:
                await ws.send(bytes(100_000))
        await echo(ws)

    codes: list[int | None] = []

    async def stay(peer: ScriptedPeer) -> None:
        async with peer:
            codes.append(await closed_with(peer))

    async with trio.open_nursery() as clients, serve_on_loopback(handler, tls=tls) as server:
        others: list[ScriptedPeer] = []
        for _ in range(20):
            peer = await connect(server, tls)
            await peer.client_handshake()
            clients.start_soon(stay, peer)
        for _ in range(5):
            others.append(await connect(server, tls))
            await others[-1].client_handshake("/stalled")
            others.append(await connect(server))
            await others[-1].send_bytes(b"\x16\x03")
        await server.aclose(grace=0.1)
        assert not server._serving
        for peer in others:
            await trio.aclose_forcefully(peer.stream)
    assert codes == [1001] * 20


# Cancelled instead (D6)


async def send_for_ever(ws: WebSocket) -> None:
    """Send messages of all sizes, one behind the other."""
    while True:
        for size in (1, 1000, 300_000):
            await ws.send(bytes(size))


@over_tcp_and_tls
@pytest.mark.parametrize("handler", [echo, linger, send_for_ever])
async def test_cancelled_server_says_going_away(secure: bool, handler: Handler) -> None:
    """D6: idle peers see 1001, not 1006; one in mid-send sees whole frames and then 1001."""
    tls = contexts() if secure else None
    codes: list[int | None] = []

    async def stay(peer: ScriptedPeer) -> None:
        async with peer:
            codes.append(await closed_with(peer))

    async with trio.open_nursery() as clients, serve_on_loopback(handler, tls=tls) as server:
        for _ in range(5):
            peer = await connect(server, tls)
            await peer.client_handshake()
            clients.start_soon(stay, peer)
        if handler is send_for_ever:
            for _ in range(50):
                await trio.lowlevel.checkpoint()
        else:
            await trio.testing.wait_all_tasks_blocked()
    assert codes == [1001] * 5


@pytest.mark.parametrize("size", [10, 100_000])
async def test_cancelled_server_does_not_wait_for_peers_that_take_nothing(
    size: int, autojump_clock: trio.testing.MockClock
) -> None:
    """D6: a second, and whoever was in mid-send sees no Close after half a frame."""

    async def handler(ws: WebSocket) -> None:
        while True:
            await ws.send(bytes(size))

    listener = MemoryListener(lambda: bounded_stream_pair(4096))
    async with serve_memory(handler, listener) as server:
        peer = await open_peer(server)
        await trio.testing.wait_all_tasks_blocked()
    assert trio.current_time() == 1
    frames, _ = await peer.receive_frames()
    assert close_code_of(frames) is None
    assert all(frame.payload == bytes(size) for frame in frames)


async def test_cancelled_server_has_listeners_closed_at_once(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Though its peers may have a second."""
    listener = MemoryListener()
    closed_at: list[float] = []

    class Telling(WrappingListener):
        async def aclose(self) -> None:
            closed_at.append(trio.current_time())
            await super().aclose()

    async with trio.open_nursery() as nursery:
        telling = Telling(listener, lambda stream: stream)
        server: Server = await nursery.start(serve_websocket_listeners, echo, [telling])
        await open_peer(MemoryServer(server, FaultyListener(listener)))
        await trio.sleep(5)
        nursery.cancel_scope.cancel()
    assert closed_at == [5]
    assert trio.current_time() == 6


async def test_cancellation_during_a_drain_is_heard(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """The grace is not for whoever cancels."""
    async with (
        serve_in_memory(linger, timeouts=Timeouts(close=100)) as server,
        trio.open_nursery() as nursery,
    ):
        silent = await open_peer(server)
        nursery.start_soon(partial(server.server.aclose, grace=100))
        await trio.sleep(2)
        nursery.cancel_scope.cancel()
    assert trio.current_time() <= 4
    assert await ended_with(silent) == 1001


async def test_drain_leaves_nothing_running() -> None:
    """Neither a task nor a descriptor."""
    before = trio.lowlevel.current_statistics().tasks_living
    async with trio.open_nursery() as nursery:
        server: Server = await nursery.start(serve_websocket, echo, "127.0.0.1", 0)
        for _ in range(10):
            await check_echo(server)
        await server.aclose()
    assert trio.lowlevel.current_statistics().tasks_living == before


# At any moment


async def visit(server: MemoryServer, tls: TLSContexts | None) -> str:
    """Connect, talk and leave as a client does; return in a word how far it came."""
    try:
        stream: trio.abc.Stream = await server.connect()
    except ConnectionRefusedError:
        return "refused"
    if tls is not None:
        stream = trio.SSLStream(
            stream, tls.client, server_hostname="localhost", https_compatible=True
        )
    async with ScriptedPeer(stream, "client") as peer:
        try:
            await peer.send_bytes(upgrade_request())
            status = (await peer.receive_head()).status
        except (trio.BrokenResourceError, CutShort):
            return "hung up"
        if status != 101:
            return str(status)
        with suppress(trio.BrokenResourceError):
            await peer.send_frame(Opcode.TEXT, b"hello")
            await peer.close_frame(1000)
        frames, rest = await peer.receive_frames()
        assert rest == b""
        return f"closed {close_code_of(frames)}"


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("way", ["drained", "cancelled"])
async def test_server_that_ends_at_any_moment_ends_well(
    way: str, secure: bool, autojump_clock: trio.testing.MockClock
) -> None:
    """Whoever has seen 101 sees a Close; nobody is kept, and nothing is left."""
    tls = contexts() if secure else None
    outcomes: Counter[str] = Counter()

    async def process_request(request: Request) -> None:
        await trio.lowlevel.checkpoint()

    async def handler(ws: WebSocket) -> None:
        await trio.lowlevel.checkpoint()
        await echo(ws)

    async def come(server: MemoryServer) -> None:
        outcomes[await visit(server, tls)] += 1

    for steps in range(0, 120, 2) if secure else range(60):
        trio._core._run._r.seed(steps)  # the order of tasks
        began = trio.current_time()
        async with (
            trio.open_nursery() as visitors,
            serve_memory(handler, tls=tls, process_request=process_request) as server,
        ):
            visitors.start_soon(come, server)
            visitors.start_soon(come, server)
            for _ in range(steps):
                await trio.lowlevel.checkpoint()
            if way == "drained":
                await server.server.aclose(grace=5)
                assert not server.server._serving
        assert trio.current_time() - began <= 1
    always = {"hung up", "closed 1001", "closed 1000"}
    assert outcomes.keys() >= always
    assert outcomes.keys() <= always | {"refused"} | ({"503"} if way == "drained" else set())
    assert bool(outcomes["503"]) == (way == "drained")
