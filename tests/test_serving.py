"""One connection of a server: what the end of its handler means, and that it hurts no other."""

import contextvars
import gc
import logging
import math
import weakref
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import NoReturn, cast

import pytest
import trio
import trio.testing

from tests.servers import (
    Handler,
    Through,
    check_echo,
    check_echo_in_memory,
    closed_with,
    connect,
    contexts,
    echo,
    ended_with,
    linger,
    open_peer,
    over_tcp_and_tls,
    peer_of,
    reset,
    serve_memory,
    serve_on_loopback,
)
from trio_ws import (
    ConnectionBroken,
    ConnectionClosed,
    Limits,
    Request,
    Server,
    Timeouts,
    WebSocket,
    run_siblings,
    serve_websocket_listeners,
)
from trio_ws._accepting import Acceptance
from trio_ws.protocol.handshake import ServerHandshake
from trio_ws.testing import (
    BoundedStream,
    MemoryListener,
    Opcode,
    ScriptedPeer,
    serve_in_memory,
    upgrade_request,
)

INNOCENT = "/innocent"

PAGE = b"GET /page HTTP/1.1\r\nHost: localhost\r\n\r\n"


def beside_echo(handler: Handler) -> Handler:
    """Return a handler that echoes to the innocent and is this one for all others."""

    async def choose(ws: WebSocket) -> None:
        await (echo if ws.request.path == INNOCENT else handler)(ws)

    return choose


@pytest.fixture
def problems(caplog: pytest.LogCaptureFixture) -> Callable[[], list[BaseException | None]]:
    """Return what tells the exceptions of all that was logged above INFO."""
    caplog.set_level(logging.INFO, logger="trio_ws")

    def tell() -> list[BaseException | None]:
        return [
            each.exc_info[1] if each.exc_info else None
            for each in caplog.records
            if each.levelno > logging.INFO
        ]

    return tell


Problems = Callable[[], list[BaseException | None]]


def leaves(error: BaseException | None) -> Iterator[BaseException]:
    """Yield the exceptions in a group and in the groups in it, or the exception itself."""
    if isinstance(error, BaseExceptionGroup):
        for each in cast("BaseExceptionGroup[BaseException]", error).exceptions:
            yield from leaves(each)
    elif error is not None:
        yield error


# The table of outcomes (R12)


async def give_up(ws: WebSocket) -> NoReturn:
    """Fail, with what is no exception of this library."""
    await trio.lowlevel.checkpoint()
    raise ValueError("a bug")


async def give_up_twice(ws: WebSocket) -> None:
    """Fail in two tasks."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(give_up, ws)
        nursery.start_soon(give_up, ws)


async def fail_like_another_websocket(ws: WebSocket) -> None:
    """Fail as a bridge does whose other connection is closed."""
    raise ConnectionBroken(None, None)


async def greet(ws: WebSocket) -> None:
    """Return after a word."""
    await ws.send("hello")


async def be_no_handler(ws: WebSocket) -> None:
    """Return what cannot be awaited, when called wrongly."""
    await None  # type: ignore[misc]  # pyright: ignore[reportGeneralTypeIssues]


@pytest.mark.parametrize(
    ("handler", "code", "logged"),
    [
        (greet, 1000, set[type[Exception]]()),
        (give_up, 1011, {ValueError}),
        (give_up_twice, 1011, {ValueError}),
        (fail_like_another_websocket, 1011, {ConnectionBroken}),
        (be_no_handler, 1011, {TypeError}),
    ],
)
async def test_end_of_the_handler_decides_the_close_code(
    handler: Handler, code: int, logged: set[type[Exception]], problems: Problems
) -> None:
    """R12: 1000 or 1011, the failure is logged with its traceback, and others do not notice."""
    async with (
        serve_in_memory(beside_echo(handler), isolate_handlers=True) as server,
        server.open_websocket(f"ws://localhost{INNOCENT}") as innocent,
    ):
        async with await open_peer(server) as peer:
            assert await closed_with(peer) == code
        await innocent.send("still here")
        assert await innocent.receive() == "still here"
        assert innocent.close_received is None
    assert {type(leaf) for error in problems() for leaf in leaves(error)} == logged
    assert all(leaf.__traceback__ for error in problems() for leaf in leaves(error))


async def receive_until_closed(ws: WebSocket) -> None:
    """Let out what says that the connection is closed."""
    while True:
        await ws.receive()


async def receive_in_two_tasks(ws: WebSocket) -> None:
    """Let out a group of nothing but that."""

    async def send() -> None:
        await ws.wait_closed()
        await ws.send("too late")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(send)
        nursery.start_soon(receive_until_closed, ws)


async def send_for_ever(ws: WebSocket) -> None:
    """Send until the connection is closed."""
    while True:
        await ws.send("tick")
        await trio.sleep(1)


async def receive_and_send(ws: WebSocket) -> None:
    """Have a nursery of one task that receives and one that sends, as most applications do."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(receive_until_closed, ws)
        nursery.start_soon(send_for_ever, ws)


async def use_siblings(ws: WebSocket) -> None:
    """Do the same by the helper that this library has for it."""
    await run_siblings(partial(receive_until_closed, ws), partial(send_for_ever, ws))


@pytest.mark.parametrize("code", [1000, 1001, 3000, None])
@pytest.mark.parametrize(
    "handler", [receive_until_closed, receive_in_two_tasks, receive_and_send, use_siblings]
)
async def test_end_by_the_close_of_the_own_connection_is_normal(
    handler: Handler,
    code: int | None,
    problems: Problems,
    autojump_clock: trio.testing.MockClock,
) -> None:
    """R12: plain or in a group, whatever the code: the peer gets it back, nothing is logged."""
    async with serve_in_memory(handler) as server, await open_peer(server) as peer:
        await peer.close_frame(code)
        assert await ended_with(peer) == (code or 1005)
        await trio.testing.wait_all_tasks_blocked()
        assert not server.server.connections
    assert problems() == []


@pytest.mark.parametrize("handler", [receive_until_closed, receive_and_send, use_siblings])
async def test_peer_that_vanishes_is_nothing_to_be_logged(
    handler: Handler, problems: Problems, autojump_clock: trio.testing.MockClock
) -> None:
    """D18: whether it ends its stream or resets it, and whoever hears of it first."""
    async with serve_in_memory(handler) as server:
        for vanish in (BoundedStream.aclose, reset_in_memory):
            peer = await open_peer(server)
            stream = peer.stream
            assert isinstance(stream, BoundedStream)
            await vanish(stream)
            await trio.sleep(30)
            assert not server.server.connections
    assert problems() == []


async def reset_in_memory(stream: BoundedStream) -> None:
    """Reset; async for the table."""
    stream.reset()


@over_tcp_and_tls
async def test_peer_that_resets_is_nothing_to_be_logged(secure: bool, problems: Problems) -> None:
    """D18: over sockets, while there is traffic."""
    ended = trio.Event()

    async def send_and_receive(ws: WebSocket) -> None:
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(receive_until_closed, ws)
                while True:
                    await ws.send("x" * 1000)
        finally:
            ended.set()

    tls = contexts() if secure else None
    async with serve_on_loopback(send_and_receive, tls=tls) as server:
        peer = await connect(server, tls)
        await peer.client_handshake()
        await peer.receive_frame()
        reset(peer)
        await ended.wait()
    assert problems() == []


async def test_group_of_the_own_close_and_another_failure_is_parted(problems: Problems) -> None:
    """R12: only the rest is logged."""

    async def fail_when_closed(ws: WebSocket) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(receive_until_closed, ws)
            try:
                await trio.sleep_forever()
            finally:
                raise ValueError("a bug in the cleanup")

    async with (
        serve_in_memory(fail_when_closed, isolate_handlers=True) as server,
        await open_peer(server) as peer,
    ):
        await peer.close_frame(1000)
        assert await ended_with(peer) == 1000
        await trio.testing.wait_all_tasks_blocked()
    assert [type(leaf) for error in problems() for leaf in leaves(error)] == [ValueError]


async def test_close_of_another_websocket_is_a_failure(problems: Problems) -> None:
    """R12: a bridge has two, and only its own is a normal end."""

    async def bridge(ws: WebSocket) -> None:
        async with backend.open_websocket() as other:
            while True:
                await ws.send(await other.receive())

    async with (
        serve_in_memory(greet) as backend,
        serve_in_memory(bridge, isolate_handlers=True) as server,
        await open_peer(server) as peer,
    ):
        frame = await peer.receive_frame()
        assert frame is not None
        assert frame.payload == b"hello"
        assert await closed_with(peer) == 1011
    (error,) = problems()
    assert isinstance(error, ConnectionClosed)
    assert error.code == 1000


async def test_handler_that_closes_with_a_code_of_its_own_has_its_way(problems: Problems) -> None:
    """Also when it then returns, or uses the connection once more."""

    async def close(ws: WebSocket) -> None:
        await ws.aclose(4000, "for a reason")
        if ws.request.path == "/again":
            await ws.send("too late")

    async with serve_in_memory(close) as server:
        for target in ("/", "/again"):
            async with await open_peer(server, target) as peer:
                assert await closed_with(peer) == 4000
    assert problems() == []


@pytest.mark.parametrize("fatal", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("isolate", [True, False])
async def test_what_ends_the_program_goes_up(
    fatal: type[BaseException],
    isolate: bool,
    problems: Problems,
    autojump_clock: trio.testing.MockClock,
) -> None:
    """R12: it ends the server, every peer gets 1001, and nothing of it is logged."""
    peers: list[ScriptedPeer] = []

    async def end_program(ws: WebSocket) -> None:
        await ws.receive()
        raise fatal

    async def run() -> None:
        handler = beside_echo(end_program)
        async with serve_memory(handler, isolate_handlers=isolate) as server:
            peers.append(await open_peer(server))
            peers.append(await open_peer(server, INNOCENT))
            await peers[0].send_frame(Opcode.TEXT, b"go")
            await trio.sleep_forever()

    with pytest.raises(BaseExceptionGroup) as caught:
        await run()
    assert [type(leaf) for leaf in leaves(caught.value)] == [fatal]
    for peer in peers:
        assert await ended_with(peer) == 1001
    assert problems() == []


@pytest.mark.parametrize("fatal", [KeyboardInterrupt, SystemExit])
async def test_what_ends_the_program_goes_up_from_process_request(
    fatal: type[BaseException], problems: Problems, autojump_clock: trio.testing.MockClock
) -> None:
    """As from a handler; whoever asked gets no answer."""
    peers: list[ScriptedPeer] = []

    def process_request(request: Request) -> None:
        raise fatal

    async def run() -> None:
        async with serve_memory(echo, process_request=process_request) as server:
            peers.append(await peer_of(server))
            await peers[0].send_bytes(upgrade_request())
            await trio.sleep_forever()

    with pytest.raises(BaseExceptionGroup) as caught:
        await run()
    assert [type(leaf) for leaf in leaves(caught.value)] == [fatal]
    assert await peers[0].receive_frames() == ([], b"")
    assert problems() == []


async def test_cancelled_handler_closes_with_1001(
    problems: Problems, autojump_clock: trio.testing.MockClock
) -> None:
    """R12: here by the drain of a server whose grace is over."""
    async with serve_in_memory(linger, timeouts=Timeouts(close=5)) as server:
        await open_peer(server)
        silent = await open_peer(server)
        await server.server.aclose(grace=3)
        assert await ended_with(silent) == 1001
        assert trio.current_time() == 4
    assert problems() == []


async def test_handler_with_a_scope_of_its_own_that_was_cancelled_has_returned() -> None:
    """A timeout inside a handler is the handler's business."""

    async def time_out(ws: WebSocket) -> None:
        with trio.move_on_after(0):
            await ws.receive()

    async with serve_in_memory(time_out) as server, await open_peer(server) as peer:
        assert await closed_with(peer) == 1000


async def fail_on_the_way_out(ws: WebSocket) -> None:
    """When cancelled, raise a group of Cancelled and a failure."""

    async def fail() -> None:
        try:
            await trio.sleep_forever()
        finally:
            raise ValueError("a bug in the cleanup")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(fail)
        await trio.sleep_forever()


async def test_failure_of_a_cancelled_handler_is_logged(
    problems: Problems, autojump_clock: trio.testing.MockClock
) -> None:
    """R12: cancellation is the stronger: 1001, and other connections do not notice."""
    async with (
        serve_memory(beside_echo(fail_on_the_way_out)) as server,
        server.open_websocket(f"ws://localhost{INNOCENT}") as innocent,
    ):
        peer = await open_peer(server)
        await trio.testing.wait_all_tasks_blocked()
        (serving,) = (
            each
            for each in server.server._serving
            if each.websocket is not None and each.websocket.request.path != INNOCENT
        )
        serving.cancel()
        async with peer:
            assert await closed_with(peer) == 1001
        await innocent.send("still here")
        assert await innocent.receive() == "still here"
    assert [type(leaf) for error in problems() for leaf in leaves(error)] == [ValueError]


# isolate_handlers=False


@pytest.mark.parametrize("handler", [give_up, give_up_twice])
async def test_failure_goes_up_when_handlers_are_not_isolated(
    handler: Handler, problems: Problems, autojump_clock: trio.testing.MockClock
) -> None:
    """The peer gets 1011 first, all others 1001 then; nothing is logged, for it is raised."""
    peers: list[ScriptedPeer] = []

    async def run() -> None:
        async with serve_memory(beside_echo(handler), isolate_handlers=False) as server:
            peers.append(await open_peer(server, INNOCENT))
            peers.append(await open_peer(server))
            await trio.sleep_forever()

    with pytest.raises(BaseExceptionGroup) as caught:
        await run()
    assert {type(leaf) for leaf in leaves(caught.value)} == {ValueError}
    for peer, code in zip(peers, (1001, 1011), strict=True):
        assert await ended_with(peer) == code
    assert problems() == []


async def test_failure_of_a_cancelled_handler_goes_up_when_it_is_not_isolated(
    problems: Problems, autojump_clock: trio.testing.MockClock
) -> None:
    """Together with the cancellation, which finds its scope."""

    async def run() -> None:
        async with serve_memory(fail_on_the_way_out, isolate_handlers=False) as server:
            await open_peer(server)
            await server.server.aclose(grace=0)
            await trio.sleep_forever()

    with pytest.raises(BaseExceptionGroup) as caught:
        await run()
    assert [type(leaf) for leaf in leaves(caught.value)] == [ValueError]
    assert problems() == []


async def test_normal_ends_are_normal_when_handlers_are_not_isolated() -> None:
    """A return, and the close of the own connection."""
    serve = partial(serve_memory, isolate_handlers=False)
    async with serve(receive_and_send) as server, await open_peer(server) as peer:
        await peer.close_frame(1000)
        assert await ended_with(peer) == 1000
    async with serve(greet) as server, await open_peer(server) as peer:
        assert await closed_with(peer) == 1000


# Peers that do not let go


async def test_handler_that_returns_with_much_unread_is_done_in_time(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """D2: what the peer has sent is dropped, its Close waited for, and then the server can end."""
    returned = trio.Event()

    async def return_later(ws: WebSocket) -> None:
        await trio.sleep(5)
        returned.set()

    async def send_much(peer: ScriptedPeer) -> None:
        with suppress(trio.BrokenResourceError):
            for _ in range(1000):
                await peer.send_frame(Opcode.BINARY, bytes(1000))

    limits = Limits(max_queued_messages=2)
    async with (
        serve_in_memory(return_later, timeouts=Timeouts(close=3), limits=limits) as server,
        trio.open_nursery() as nursery,
    ):
        peer = await open_peer(server)
        nursery.start_soon(send_much, peer)
        await returned.wait()
        await server.server.aclose()
        assert trio.current_time() <= 5 + 3 + 1
    assert await ended_with(peer) == 1000


@over_tcp_and_tls
async def test_handler_that_returns_in_a_flood_is_done(secure: bool) -> None:
    """D2: over sockets, from a peer that never stops and answers no Close."""

    async def flood(peer: ScriptedPeer) -> None:
        with suppress(trio.BrokenResourceError):
            while True:
                await peer.send_frame(Opcode.BINARY, bytes(10_000))

    tls = contexts() if secure else None
    timeouts = Timeouts(close=0.1)
    async with (
        serve_on_loopback(greet, tls=tls, timeouts=timeouts) as server,
        trio.open_nursery() as nursery,
    ):
        peer = await connect(server, tls)
        await peer.client_handshake()
        nursery.start_soon(flood, peer)
        assert await ended_with(peer) == 1000
        await server.aclose()
        nursery.cancel_scope.cancel()
        await peer.aclose()


# Where a handler runs


request_id: contextvars.ContextVar[str] = contextvars.ContextVar("request_id", default="unset")


async def test_handler_runs_in_a_copy_of_the_context_of_the_server() -> None:
    """What one sets, no other sees; what was set before the server was called, all do."""
    seen: list[str] = []

    async def handler(ws: WebSocket) -> None:
        seen.append(request_id.get())
        request_id.set("set by a handler")

    token = request_id.set("before")
    try:
        async with serve_in_memory(handler) as server:
            request_id.set("after")
            for _ in range(2):
                async with await open_peer(server) as peer:
                    assert await closed_with(peer) == 1000
            assert request_id.get() == "after"
    finally:
        request_id.reset(token)
    assert seen == ["before", "before"]


async def test_handler_sees_the_context_of_process_request() -> None:
    """They run in one task, one after the other."""
    seen: list[str] = []

    async def process_request(request: Request) -> None:
        request_id.set(request.path)

    async def handler(ws: WebSocket) -> None:
        seen.append(request_id.get())

    async with serve_in_memory(handler, process_request=process_request) as server:
        for target in ("/a", "/b"):
            async with await open_peer(server, target) as peer:
                await closed_with(peer)
    assert seen == ["/a", "/b"]


async def test_handler_can_be_interrupted() -> None:
    """Ctrl-C strikes in the application's functions, in nothing around them."""
    protected: dict[str, bool] = {}

    def process_request(request: Request) -> None:
        protected["process_request"] = trio.lowlevel.currently_ki_protected()

    async def handler(ws: WebSocket) -> None:
        protected["handler"] = trio.lowlevel.currently_ki_protected()

    class Watching(Through):
        async def receive_some(self, max_bytes: int | None = None) -> bytes:
            protected.setdefault("handshake", trio.lowlevel.currently_ki_protected())
            return await super().receive_some(max_bytes)

    async with (
        serve_memory(handler, wrap=Watching, process_request=process_request) as server,
        await open_peer(server) as peer,
    ):
        await closed_with(peer)
    assert protected == {"process_request": False, "handler": False, "handshake": True}


async def test_handler_is_not_limited_by_the_time_for_opening(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """The deadline of the handshake ends with it."""
    async with (
        serve_in_memory(echo, timeouts=Timeouts(open=5)) as server,
        server.open_websocket() as ws,
    ):
        await trio.sleep(100)
        await ws.send("hello")
        assert await ws.receive() == "hello"


async def test_time_for_opening_may_be_endless(autojump_clock: trio.testing.MockClock) -> None:
    """At both ends."""
    for_ever = Timeouts(open=math.inf)

    async def process_request(request: Request) -> None:
        await trio.sleep(80_000)

    async with (
        serve_in_memory(echo, timeouts=for_ever, process_request=process_request) as server,
        server.open_websocket(timeouts=for_ever) as ws,
    ):
        await ws.send("hello")
        assert await ws.receive() == "hello"


# Handshakes that fail


async def test_stream_that_fails_in_an_odd_way_ends_its_connection_alone(
    problems: Problems,
) -> None:
    """What no stream should raise is logged; the server lives on."""

    class Odd(Through):
        async def receive_some(self, max_bytes: int | None = None) -> bytes:
            raise OSError("odd")

    odd = True
    async with serve_memory(echo, wrap=lambda each: Odd(each) if odd else each) as server:
        stream = await server.connect()
        assert await stream.receive_some() == b""
        odd = False
        await check_echo_in_memory(server)
    assert [type(error) for error in problems()] == [OSError]


async def test_refusal_is_nothing_to_be_logged_above_info(problems: Problems) -> None:
    """Any stranger can bring it about as often as he likes."""
    async with serve_in_memory(echo) as server:
        for request in (b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03garbage", b""):
            async with await peer_of(server) as peer:
                await peer.send_bytes(request)
                if request:
                    await peer.receive_head()
    assert problems() == []


# TLS


async def test_tls_of_the_servers_own() -> None:
    """``ssl_context`` is all it takes."""
    tls = contexts()
    async with serve_on_loopback(echo, tls=tls) as server:
        await check_echo(server, tls)


async def test_tls_over_streams_in_memory() -> None:
    """``ssl_context`` goes with any listener."""
    tls = contexts()
    async with serve_memory(echo, tls=tls) as server:
        stream = trio.SSLStream(
            await server.connect(), tls.client, server_hostname="localhost", https_compatible=True
        )
        async with ScriptedPeer(stream, "client") as peer:
            await peer.client_handshake()
            await peer.send_frame(Opcode.TEXT, b"hello")
            frame = await peer.receive_frame()
            assert frame is not None
            assert frame.payload == b"hello"


async def test_tls_of_a_listener_that_brings_its_own_has_to_be_in_time(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Its handshake is made within ``timeouts.open`` too."""
    listener = MemoryListener()
    tls_listener = trio.SSLListener(listener, contexts().server)
    serve = partial(serve_websocket_listeners, timeouts=Timeouts(open=5))
    async with trio.open_nursery() as nursery:
        await nursery.start(serve, echo, [tls_listener])
        stream = await listener.connect()
        assert await stream.receive_some() == b""
        assert trio.current_time() == 5
        nursery.cancel_scope.cancel()


async def test_tls_of_a_listener_that_brings_its_own() -> None:
    """A `trio.SSLListener` does as well, and its facts are known."""
    tls = contexts()
    seen: list[Request] = []
    listeners = await trio.open_ssl_over_tcp_listeners(0, tls.server, host="127.0.0.1")
    serve = partial(serve_websocket_listeners, echo, listeners, process_request=seen.append)
    async with trio.open_nursery() as nursery:
        server: Server = await nursery.start(serve)
        await check_echo(server, tls)
        nursery.cancel_scope.cancel()
    (request,) = seen
    assert request.secure
    assert request.peer_address is not None


async def test_tls_that_fails_is_nothing_to_be_logged_above_info(problems: Problems) -> None:
    """Over a listener that brings its own; over sockets see test_server_hostile."""
    tls = contexts()
    listener = MemoryListener()
    tls_listener = trio.SSLListener(listener, tls.server)
    async with trio.open_nursery() as nursery:
        await nursery.start(serve_websocket_listeners, echo, [tls_listener])
        stream = await listener.connect()
        await stream.send_all(b"GET / HTTP/1.1\r\n\r\n")
        while await stream.receive_some():
            pass
        nursery.cancel_scope.cancel()
    assert problems() == []


# Nothing is left


@pytest.mark.parametrize(
    "handler", [greet, give_up, give_up_twice, receive_until_closed, receive_in_two_tasks, linger]
)
async def test_connection_leaves_no_cycle(
    handler: Handler, monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.testing.MockClock
) -> None:
    """Its memory is free without the garbage collector, however the handler ended."""
    # A record of the log would keep the traceback.
    monkeypatch.setattr(logging.getLogger("trio_ws.server"), "disabled", True)
    refs: list[weakref.ref[object]] = []

    async def run_handler(ws: WebSocket) -> None:
        refs.append(weakref.ref(ws))
        await handler(ws)

    gc.collect()
    gc.disable()
    try:
        async with serve_in_memory(run_handler, isolate_handlers=True) as server:
            for _ in range(5):
                peer = await open_peer(server)
                await peer.close_frame(1000)
                await peer.receive_frames()
                await peer.aclose()
            if handler is linger:
                await server.server.aclose(grace=0)
            await trio.testing.wait_all_tasks_blocked()
            assert len(refs) == 5
            assert [ref() for ref in refs] == [None] * 5
    finally:
        gc.enable()


async def test_open_connection_keeps_nothing_of_its_handshake() -> None:
    """Which holds a parser and its buffers."""
    found: list[object] = []

    async def handler(ws: WebSocket) -> None:
        found.extend(
            each for each in gc.get_objects() if isinstance(each, (Acceptance, ServerHandshake))
        )

    async with serve_in_memory(handler) as server, await open_peer(server) as peer:
        assert await closed_with(peer) == 1000
    assert found == []


@pytest.mark.parametrize("sent", [b"", PAGE, upgrade_request()])
async def test_failed_handshake_leaves_no_cycle(
    sent: bytes, monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.testing.MockClock
) -> None:
    """Its stream is free without the garbage collector, whatever it failed by."""
    monkeypatch.setattr(logging.getLogger("trio_ws.server"), "disabled", True)
    refs: list[weakref.ref[Through]] = []

    def wrap(stream: BoundedStream) -> Through:
        wrapped = Through(stream)
        refs.append(weakref.ref(wrapped))
        return wrapped

    async def process_request(request: Request) -> None:
        await give_up_in_handshake()

    gc.collect()
    gc.disable()
    try:
        async with serve_memory(echo, wrap=wrap, process_request=process_request) as server:
            for _ in range(5):
                async with await peer_of(server) as peer:
                    await peer.send_bytes(sent)
                    await trio.testing.wait_all_tasks_blocked()
            await trio.sleep(30)
            await trio.testing.wait_all_tasks_blocked()
            assert len(refs) == 5
            # The listener's task still has the one it accepted last.
            assert [ref() for ref in refs[:-1]] == [None] * 4
    finally:
        gc.enable()


async def give_up_in_handshake() -> NoReturn:
    """Fail as a ``process_request`` may."""
    raise ValueError("a bug")
