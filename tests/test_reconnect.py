"""A client that comes back: after what, when, and what ends it."""

import logging
import math
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Unpack

import pytest
import trio
import trio.testing

from tests.connections import HANGS, NO_KEEPALIVE
from tests.injection import Fault, Injector, inject
from tests.servers import LOOPBACK, Through, contexts, echo, linger, serve_on_loopback
from trio_ws import (
    Backoff,
    ClientOptions,
    Close,
    ConnectionBroken,
    ConnectionClosed,
    ConnectionEnded,
    ConnectionRejected,
    HandshakeError,
    HandshakeTimeout,
    InvalidURL,
    Keepalive,
    Server,
    TLSFailed,
    WebSocket,
    is_transient,
    open_websocket_url,
    reconnect_websocket_url,
    serve_websocket,
)
from trio_ws._opening import Enter, Opening, OpeningOptions
from trio_ws._reconnect import Handler, Reconnecting
from trio_ws._transport import Spawn
from trio_ws._url import WebSocketURL, parse_url
from trio_ws.testing import (
    BoundedStream,
    Opcode,
    ScriptedPeer,
    bounded_stream_pair,
    serve_in_memory,
)

Script = Callable[[ScriptedPeer], Awaitable[object]]

# Waits of 1, 2, 4... seconds: nothing left to chance.
CERTAIN = Backoff(jitter=0)

URL = "ws://user:secret@server.example/path?token=secret"


class Servers:
    """What a client meets, one after the other: a server's script, or an error of the network.

    After the last there is nobody, and nothing to wait for.

    Attributes:
        times: when each was connected to.
        codes: the close codes received from the client.
    """

    def __init__(self, *meets: Script | Exception) -> None:
        self._meets = list(meets)
        self._spawn: Spawn | None = None
        self.times: list[float] = []
        self.codes: list[int] = []

    async def connect(self, url: WebSocketURL, enter: Enter) -> trio.abc.Stream:
        """Connect to the next one."""
        await trio.lowlevel.checkpoint()
        self.times.append(trio.current_time())
        meet = self._meets.pop(0)
        if isinstance(meet, Exception):
            raise meet
        ours, theirs = bounded_stream_pair()
        assert self._spawn is not None
        self._spawn(self._serve, meet, theirs)
        return ours

    async def _serve(self, script: Script, stream: trio.abc.Stream) -> None:
        async with ScriptedPeer(stream, "server") as peer:
            with suppress(trio.BrokenResourceError, trio.ClosedResourceError):  # either hung up
                await script(peer)
                while frame := await peer.receive_frame():
                    if frame.opcode == Opcode.CLOSE:
                        self.codes.append(frame.close_code)
                        await peer.send_frame(Opcode.CLOSE, frame.payload)

    async def reconnect(
        self,
        handler: Handler,
        *,
        backoff: Backoff = CERTAIN,
        judge: Callable[[Exception], bool] = is_transient,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
        **options: Unpack[ClientOptions],
    ) -> None:
        """Be such a client until it ends; an error of its comes out plain."""
        given: ClientOptions = {"keepalive": NO_KEEPALIVE, **options}
        opening = Opening(parse_url(URL), self.connect, OpeningOptions(**given))
        reconnecting = Reconnecting(handler, opening, backoff, judge, task_status)
        error: Exception | None = None
        async with trio.open_nursery() as nursery:
            self._spawn = nursery.start_soon
            try:
                await reconnecting.run()
            except Exception as exc:  # noqa: BLE001 - raised again outside the nursery
                error = exc
            nursery.cancel_scope.cancel()  # servers that would wait for ever
        if error is not None:
            raise error

    @property
    def waits(self) -> list[float]:
        """The times between connecting and connecting."""
        return [
            round(later - earlier, 3)
            for earlier, later in zip(self.times, self.times[1:], strict=False)
        ]


async def staying(peer: ScriptedPeer) -> None:
    """Open, and leave the rest to the client."""
    await peer.server_handshake()


async def dropping(peer: ScriptedPeer) -> None:
    """Open, and hang up."""
    await peer.server_handshake()
    await peer.aclose()


async def dropping_in_handshake(peer: ScriptedPeer) -> None:
    """Hang up before there is an answer."""
    await peer.receive_head()
    await peer.aclose()


def closing(code: int | None, *, after: float = 0) -> Script:
    """Return a server that opens, and closes with this code."""

    async def script(peer: ScriptedPeer) -> None:
        await peer.server_handshake()
        await trio.sleep(after)
        await peer.close_frame(code)

    return script


def answering(status: int, *headers: str) -> Script:
    """Return a server that answers with this status and hangs up."""
    head = "\r\n".join((f"HTTP/1.1 {status} ", *headers, "Content-Length: 0", "", ""))

    async def script(peer: ScriptedPeer) -> None:
        await peer.receive_head()
        await peer.send_bytes(head.encode())

    return script


async def loop(ws: WebSocket) -> None:
    """Receive until the end."""
    async for _ in ws:
        pass


async def receive(ws: WebSocket) -> None:
    """Raise at the end."""
    while True:
        await ws.receive()


async def loop_then_close(ws: WebSocket) -> None:
    """Close after the end, to be sure."""
    try:
        await loop(ws)
    finally:
        await ws.aclose()


async def swallow(ws: WebSocket) -> None:
    """Return at the end, however it came."""
    with suppress(ConnectionClosed):
        await loop(ws)


async def receive_in_a_nursery(ws: WebSocket) -> None:
    """Raise a group of two."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(receive, ws)
        await ws.wait_closed()
        await ws.send("too late")


every_handler = pytest.mark.parametrize(
    "handler", [loop, receive, loop_then_close, swallow, receive_in_a_nursery]
)


def once(handler: Handler) -> tuple[Handler, list[WebSocket]]:
    """Return a handler that does this and then, called again, returns at once; and its calls."""
    calls: list[WebSocket] = []

    async def handle(ws: WebSocket) -> None:
        calls.append(ws)
        if len(calls) == 1:
            await handler(ws)

    return handle, calls


# What ends it


async def test_handler_that_returns_ends_it(autojump_clock: trio.testing.MockClock) -> None:
    """The connection is closed with 1000."""
    servers = Servers(staying)

    async def handler(ws: WebSocket) -> None:
        await ws.send("done")

    await servers.reconnect(handler)
    assert servers.codes == [1000]


async def test_own_close_ends_it(autojump_clock: trio.testing.MockClock) -> None:
    """Even one whose closing handshake nobody answers."""

    async def handler(ws: WebSocket) -> None:
        await ws.aclose(4000)
        await receive(ws)

    async def deaf(peer: ScriptedPeer) -> None:
        await peer.server_handshake()
        await peer.receive_frame()
        await peer.aclose()

    servers = Servers(staying)
    await servers.reconnect(handler)
    assert servers.codes == [4000]
    await Servers(deaf).reconnect(handler)


@every_handler
async def test_normal_closure_ends_it(
    autojump_clock: trio.testing.MockClock, handler: Handler
) -> None:
    """The peer has nothing more to say: that is no error."""
    await Servers(closing(1000)).reconnect(handler)


@every_handler
@pytest.mark.parametrize("code", [1002, 1008, 4000])
async def test_fatal_close_is_raised(
    autojump_clock: trio.testing.MockClock, handler: Handler, code: int
) -> None:
    """Plain, and whether or not the handler raised it."""
    with pytest.raises(ConnectionBroken) as caught:
        await Servers(closing(code)).reconnect(handler)
    assert caught.value.code == code
    assert type(caught.value) is ConnectionBroken


@pytest.mark.parametrize(
    ("meet", "kind"),
    [
        (answering(404), ConnectionRejected),
        (answering(302, "Location: /elsewhere"), ConnectionRejected),
        (TLSFailed("wrong name"), TLSFailed),
        (InvalidURL("ws:", "no host"), InvalidURL),
        (ValueError("no such thing"), ValueError),
    ],
)
async def test_fatal_failure_is_raised(
    autojump_clock: trio.testing.MockClock, meet: Script | Exception, kind: type[Exception]
) -> None:
    """Plain, at once, and without the failures before as its context."""
    if isinstance(meet, TLSFailed):
        meet.__cause__ = ValueError("for example")
    servers = Servers(OSError("no route"), meet)
    with pytest.raises(kind) as caught:
        await servers.reconnect(loop)
    assert caught.value.__context__ is None
    assert len(servers.times) == 2


async def test_exception_of_the_handler_goes_through(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Also one of a kind that would be transient if it came from opening."""
    error = ConnectionRefusedError("of something else")

    async def handler(ws: WebSocket) -> None:
        raise error

    servers = Servers(staying)
    with pytest.raises(ConnectionRefusedError) as caught:
        await servers.reconnect(handler)
    assert caught.value is error
    assert servers.codes == [1011]


async def test_group_of_the_handler_goes_through(autojump_clock: trio.testing.MockClock) -> None:
    """As it was, with the end of the connection beside the error."""

    async def handler(ws: WebSocket) -> None:
        try:
            await receive(ws)
        except ConnectionClosed as exc:
            raise ExceptionGroup("two", [exc, KeyError("x")]) from None

    with pytest.raises(ExceptionGroup) as caught:
        await Servers(closing(1001)).reconnect(handler)
    assert [type(exc) for exc in caught.value.exceptions] == [ConnectionEnded, KeyError]


async def test_end_of_another_connection_is_an_error(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """A bridge has two, and only one of them is ours to open again."""
    foreign = ConnectionBroken(None, None)

    async def handler(ws: WebSocket) -> None:
        raise foreign

    with pytest.raises(ConnectionBroken) as caught:
        await Servers(staying).reconnect(handler)
    assert caught.value is foreign


# What does not


@every_handler
@pytest.mark.parametrize("code", [1001, 1011, 1012, 1013, None])
async def test_transient_close_is_followed_by_another_connection(
    autojump_clock: trio.testing.MockClock, handler: Handler, code: int | None
) -> None:
    """Whatever the handler makes of it, a close of its own included."""
    handle, calls = once(handler)
    servers = Servers(closing(code), staying)
    await servers.reconnect(handle)
    assert len(calls) == 2
    assert calls[0] is not calls[1]
    assert servers.waits == [1]


@every_handler
async def test_connection_that_broke_is_followed_by_another(
    autojump_clock: trio.testing.MockClock, handler: Handler
) -> None:
    """Without a Close frame."""
    handle, calls = once(handler)
    await Servers(dropping, staying).reconnect(handle)
    assert len(calls) == 2


async def test_keepalive_timeout_is_followed_by_another_connection(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Though it was us who sent the Close, and the handler closes once more."""
    handle, calls = once(loop_then_close)

    async def deaf(peer: ScriptedPeer) -> None:
        await peer.server_handshake()
        await trio.sleep(1000)

    with pytest.raises(ConnectionBroken):
        await Servers(deaf).reconnect(
            loop_then_close, judge=lambda exc: False, keepalive=Keepalive(interval=1, timeout=1)
        )
    servers = Servers(deaf, staying)
    await servers.reconnect(handle, keepalive=Keepalive(interval=1, timeout=1))
    assert len(calls) == 2


async def test_connection_that_cannot_be_written_to_is_followed_by_another(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Though nothing was read that says so, and the handler closes once more."""

    class Mute(Through):
        async def send_all(self, data: bytes | bytearray | memoryview) -> None:
            if not bytes(data).startswith(b"GET "):
                raise trio.BrokenResourceError("nobody listens")
            await super().send_all(data)

    async def talk(ws: WebSocket) -> None:
        try:
            while True:
                await ws.send("hello")
                await trio.sleep(1)
        except ConnectionClosed:
            pass
        finally:
            await ws.aclose()

    async with serve_in_memory(linger) as server:
        streams = 0

        async def connect(url: WebSocketURL, enter: Enter) -> trio.abc.Stream:
            nonlocal streams
            streams += 1
            stream = await server.connect()
            assert isinstance(stream, BoundedStream)
            return Mute(stream) if streams == 1 else stream

        handle, calls = once(talk)
        opening = Opening(parse_url(URL), connect, OpeningOptions())
        await Reconnecting(handle, opening, CERTAIN, is_transient, trio.TASK_STATUS_IGNORED).run()
    assert len(calls) == 2


async def test_transient_failures_are_followed_by_attempts(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """With longer waits each time."""
    servers = Servers(
        OSError("no route"),
        socket.gaierror(socket.EAI_NONAME, "Name or service not known"),
        HandshakeTimeout("connect", 10),
        dropping_in_handshake,
        answering(503),
        answering(429),
        answering(502),
        TLSFailed("it hung up"),
        staying,
    )
    handled: list[WebSocket] = []

    async def handler(ws: WebSocket) -> None:
        handled.append(ws)

    await servers.reconnect(handler)
    assert len(handled) == 1
    assert servers.waits == [1, 2, 4, 8, 16, 32, 60, 60]


async def test_server_that_speaks_something_else_is_not_tried_again(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """It would say the same again."""

    async def ssh(peer: ScriptedPeer) -> None:
        await peer.send_bytes(b"SSH-2.0-OpenSSH_9.2\r\n")
        await peer.receive_head()

    servers = Servers(ssh)
    with pytest.raises(HandshakeError, match="this is not HTTP"):
        await servers.reconnect(loop)


async def test_user_decides_what_is_transient(autojump_clock: trio.testing.MockClock) -> None:
    """About each failure, 1000 included; but not about the handler's own end."""
    judged: list[str] = []

    def judge(failure: Exception) -> bool:
        judged.append(type(failure).__name__)
        return True

    servers = Servers(OSError(), answering(404), closing(4000), closing(1000), staying)
    handled: list[WebSocket] = []

    async def handler(ws: WebSocket) -> None:
        handled.append(ws)
        if len(handled) < 3:
            await loop(ws)

    await servers.reconnect(handler, judge=judge)
    assert judged == ["OSError", "ConnectionRejected", "ConnectionBroken", "ConnectionEnded"]
    assert len(handled) == 3


@every_handler
@pytest.mark.parametrize("code", [1001, None])
async def test_clean_end_that_is_fatal_is_raised(
    autojump_clock: trio.testing.MockClock, handler: Handler, code: int | None
) -> None:
    """Only 1000 means that all is said; another one that nobody comes back from is to be seen."""
    with pytest.raises(ConnectionEnded):
        await Servers(closing(code)).reconnect(handler, judge=lambda failure: False)


async def test_judge_that_raises_ends_it(autojump_clock: trio.testing.MockClock) -> None:
    """With what it raised."""

    def judge(failure: Exception) -> bool:
        raise KeyError("no opinion")

    with pytest.raises(KeyError):
        await Servers(OSError()).reconnect(loop, judge=judge)


async def test_headers_are_the_same_each_time(autojump_clock: trio.testing.MockClock) -> None:
    """Also when they came from something that gives them only once."""
    seen: list[str | None] = []

    async def handler(ws: WebSocket) -> None:
        seen.append(ws.request.headers.get("X-Room"))
        if len(seen) < 2:
            await loop(ws)

    await Servers(closing(1001), staying).reconnect(handler, headers=iter([("X-Room", "1")]))
    assert seen == ["1", "1"]


# How long it waits


@pytest.mark.parametrize(("lasts", "expected"), [(9.9, [1, 2, 4]), (10, [1, 1, 1])])
async def test_waits_begin_anew_after_a_connection_that_lasted(
    autojump_clock: trio.testing.MockClock, lasts: float, expected: list[float]
) -> None:
    """A server that falls over soon is not taken for one that works."""
    servers = Servers(*[closing(1011, after=lasts)] * 3, answering(404))
    with pytest.raises(ConnectionRejected):
        await servers.reconnect(swallow)
    assert servers.waits == [round(lasts + wait, 3) for wait in expected]


@pytest.mark.parametrize(
    ("backoff", "header", "wait"),
    [
        (CERTAIN, "Retry-After: 30", 31),
        (CERTAIN, "Retry-After: 100000", 601),
        (CERTAIN, f"Retry-After: {'9' * 1000}", 601),
        (CERTAIN, "Retry-After: soon", 1),
        (Backoff(jitter=0, max_retry_after=5), "Retry-After: 30", 6),
        (Backoff(jitter=0, max_retry_after=0), "Retry-After: 30", 1),
        (Backoff(jitter=0, max_retry_after=math.inf), "Retry-After: 100000", 100_001),
    ],
)
async def test_retry_after_is_granted_within_limits(
    autojump_clock: trio.testing.MockClock, backoff: Backoff, header: str, wait: float
) -> None:
    """Each client adds its own wait, or all who were told the same would come back at once."""
    servers = Servers(answering(503, header), staying)

    async def handler(ws: WebSocket) -> None:
        pass

    await servers.reconnect(handler, backoff=backoff)
    assert servers.waits == [wait]


# Cancellation


async def test_cancelled_while_it_waits(autojump_clock: trio.testing.MockClock) -> None:
    """At once."""
    servers = Servers(OSError(), OSError())
    with trio.move_on_after(1.5):
        await servers.reconnect(loop)
    assert trio.current_time() == servers.times[0] + 1.5
    assert len(servers.times) == 2


async def test_cancelled_while_it_shakes_hands(autojump_clock: trio.testing.MockClock) -> None:
    """At once, and the server sees the end."""
    ended = False

    async def silent(peer: ScriptedPeer) -> None:
        nonlocal ended
        await peer.receive_head()
        assert await peer.stream.receive_some() == b""
        ended = True

    began = trio.current_time()
    async with trio.open_nursery() as nursery:
        servers = Servers(silent)

        async def run() -> None:
            with trio.move_on_after(5) as scope:
                opening = Opening(parse_url(URL), servers.connect, OpeningOptions())
                servers._spawn = nursery.start_soon
                await Reconnecting(
                    loop, opening, CERTAIN, is_transient, trio.TASK_STATUS_IGNORED
                ).run()
            assert scope.cancelled_caught

        nursery.start_soon(run)
    assert trio.current_time() == began + 5
    assert ended


async def test_cancelled_in_the_handler(autojump_clock: trio.testing.MockClock) -> None:
    """The connection is closed with 1001."""
    async with serve_in_memory(loop) as server:

        async def connect(url: WebSocketURL, enter: Enter) -> trio.abc.Stream:
            return await server.connect()

        opening = Opening(parse_url(URL), connect, OpeningOptions())
        websockets: list[WebSocket] = []

        async def handler(ws: WebSocket) -> None:
            websockets.append(ws)
            await loop(ws)

        with trio.move_on_after(5):
            await Reconnecting(
                handler, opening, CERTAIN, is_transient, trio.TASK_STATUS_IGNORED
            ).run()
        [ws] = websockets
        assert ws.close_sent is not None
        assert ws.close_sent.code == 1001


@pytest.mark.parametrize(
    "fault",
    [fault for fault in Fault if fault is not Fault.BREAK_AFTER_WRITE],
    ids=lambda fault: fault.name,
)
async def test_cancelled_or_broken_anywhere_leaves_nothing_behind(
    autojump_clock: trio.testing.MockClock, fault: Fault
) -> None:
    """Through a connection that is drained, the wait, and one that our side ends."""
    backoff = Backoff(jitter=0, reset_after=1000)

    async def scenario(injector: Injector) -> None:
        async with serve_in_memory(echo) as server:
            calls = 0

            async def connect(url: WebSocketURL, enter: Enter) -> trio.abc.Stream:
                return injector.stream(await server.connect())

            async def handler(ws: WebSocket) -> None:
                nonlocal calls
                calls += 1
                await ws.send("hello")
                assert await ws.receive() == "hello"
                if calls == 1:
                    [connection] = server.server.connections
                    connection._drain(Close(1001))
                    await loop(ws)

            opening = Opening(parse_url(URL), connect, OpeningOptions(keepalive=NO_KEEPALIVE))
            with injector.armed():
                await Reconnecting(
                    handler, opening, backoff, is_transient, trio.TASK_STATUS_IGNORED
                ).run()
                assert calls >= 2

    assert await inject(scenario, fault) > 0


# Beginning


async def test_start_waits_for_the_first_connection(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """However many attempts that takes; and it is told once."""
    servers = Servers(OSError(), OSError(), closing(1001), staying)
    began = trio.current_time()
    async with trio.open_nursery() as nursery:
        await nursery.start(partial(_reconnect_as_task, servers))
        assert trio.current_time() - began == 3
    assert len(servers.times) == 4


async def _reconnect_as_task(
    servers: Servers, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    handle, _ = once(loop)
    await servers.reconnect(handle, task_status=task_status)


async def test_start_raises_what_is_fatal(autojump_clock: trio.testing.MockClock) -> None:
    """Plain."""
    async with trio.open_nursery() as nursery:
        with pytest.raises(ConnectionRejected):
            await nursery.start(partial(_reconnect_as_task, Servers(answering(404))))


async def test_arguments_are_checked_at_once() -> None:
    """Before anything is connected to, and never again and again."""
    with pytest.raises(InvalidURL):
        await reconnect_websocket_url(loop, "http://localhost/")
    with pytest.raises(ValueError, match="ssl_context goes with a wss URL"):
        await reconnect_websocket_url(loop, "ws://localhost/", contexts().client)
    with pytest.raises(InvalidURL):
        await reconnect_websocket_url(loop, "ws://localhost/", proxy="ftp://localhost/")


async def test_log_has_no_secrets(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither those of the URL nor those of the headers; each wait has its line."""
    caplog.set_level(logging.INFO, "trio_ws.client")
    servers = Servers(OSError("no route"), answering(503), answering(404))
    with pytest.raises(ConnectionRejected):
        await servers.reconnect(loop, headers={"X-Key": "secret"})
    assert len(caplog.records) == 2
    assert "secret" not in caplog.text


# Over the network


@pytest.mark.parametrize("ending", ["break", "return", "raise"])
async def test_d12_leaving_in_the_middle(ending: str) -> None:
    """D12: no cancel scope is left in a wrong order, and nothing runs on."""

    async def handler(ws: WebSocket) -> None:
        while True:
            await ws.send("hello")
            assert await ws.receive() == "hello"
            if ending == "break":
                break
            if ending == "return":
                return
            raise KeyError("x")

    async with serve_on_loopback(echo) as server:
        tasks = trio.lowlevel.current_statistics().tasks_living
        with trio.fail_after(HANGS):
            try:
                await reconnect_websocket_url(handler, f"ws://{LOOPBACK}:{server.port}/")
                assert ending != "raise"
            except KeyError:
                assert ending == "raise"
            while server.connections:
                await trio.testing.wait_all_tasks_blocked()
        assert trio.lowlevel.current_statistics().tasks_living <= tasks
        with trio.move_on_after(0) as scope:
            await trio.sleep_forever()
        assert scope.cancelled_caught


async def test_d16_server_that_is_drained_and_started_again() -> None:
    """D16: a handler with an ``async for`` is called again."""
    received: list[str | bytes] = []
    done = trio.Event()

    async def handler(ws: WebSocket) -> None:
        await ws.send(f"from {len(received)}")
        async for message in ws:
            received.append(message)
            done.set()
        await ws.aclose()

    quickly = Backoff(initial=0.001, maximum=0.001)
    async with trio.open_nursery() as nursery:
        server: Server = await nursery.start(serve_websocket, echo, LOOPBACK, 0)
        port = server.port
        await nursery.start(
            partial(reconnect_websocket_url, handler, f"ws://{LOOPBACK}:{port}/", backoff=quickly)
        )
        for expected in (["from 0"], ["from 0", "from 1"]):
            with trio.fail_after(HANGS):
                await done.wait()
            done = trio.Event()
            assert received == expected
            await server.aclose(1001)
            server = await nursery.start(serve_websocket, echo, LOOPBACK, port)
        nursery.cancel_scope.cancel()


async def test_d16_over_tls() -> None:
    """The context made for the first connection serves all of them."""
    tls = contexts()
    codes = [1012, 1011, 1000]

    async def drop(ws: WebSocket) -> None:
        await ws.aclose(codes.pop(0))

    async with serve_on_loopback(drop, tls=tls) as server:
        await reconnect_websocket_url(
            swallow,
            f"wss://localhost:{server.port}/",
            tls.client,
            backoff=Backoff(initial=0.001),
        )
    assert codes == []


async def test_block_inside_the_handler_is_another_connection() -> None:
    """A handler may open what it likes."""

    async def handler(ws: WebSocket) -> None:
        async with open_websocket_url(f"ws://{LOOPBACK}:{server.port}/") as other:
            await other.send("hello")
            assert await other.receive() == "hello"

    async with serve_on_loopback(echo) as server:
        await reconnect_websocket_url(handler, f"ws://{LOOPBACK}:{server.port}/")
