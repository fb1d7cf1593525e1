"""Instruments: what they are told of connections from beginning to end, and in which order.

What they are told of messages is in ``test_instrument_messages``.
"""

import errno
import logging
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, suppress
from functools import partial

import pytest
import trio
import trio.testing

from tests.clients import LOOPBACK, scripted_server
from tests.connections import (
    NO_KEEPALIVE,
    Network,
    hang_up,
    next_frame,
    pair_over,
    real_networks,
    run_until_idle,
    socket_pair,
)
from tests.helpers import other
from tests.injection import Fault, Injector, inject
from tests.instruments import Recorder
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
from tests.test_server import FailingListener
from trio_ws import (
    Accept,
    ClientOptions,
    Close,
    ConnectionBroken,
    ConnectionClosed,
    ConnectionRejected,
    HandshakeError,
    HandshakeTimeout,
    Instrument,
    Keepalive,
    Request,
    Response,
    ServerOptions,
    TLSFailed,
    WebSocket,
    connect_websocket_url,
    open_websocket_url,
    serve_websocket_listeners,
    wrap_client_stream,
    wrap_server_stream,
)
from trio_ws._instrument import Instruments
from trio_ws._opening import Opening, OpeningOptions
from trio_ws._url import parse_url
from trio_ws.protocol.state import Role
from trio_ws.testing import (
    MemoryListener,
    Opcode,
    ScriptedPeer,
    bounded_stream_pair,
    build_frame,
    upgrade_request,
)
from trio_ws.testing._pair import memory_websocket_pair

# Who is told

EVERY_METHOD = [
    "accepted",
    "rejected",
    "opened",
    "message_sent",
    "message_received",
    "ping_answered",
    "closed",
    "error",
]


def test_recorder_hears_all_there_is_to_hear() -> None:
    """A new method needs its place in the tests."""
    methods = [name for name in vars(Instrument) if not name.startswith("_")]
    assert methods == EVERY_METHOD
    assert all(name in vars(Recorder) for name in methods)


async def test_without_instruments_a_connection_is_a_plain_one() -> None:
    """Not one instruction is spent on what nobody wants to hear."""
    async with pair_over(client={"instruments": []}) as (client, server):
        assert type(client) is type(server) is WebSocket
    async with pair_over(client={"instruments": [Instrument()]}) as (client, server):
        assert type(client) is not WebSocket
        assert type(server) is WebSocket
        assert isinstance(client, WebSocket)
        assert repr(client).startswith("<WebSocket client ")


@pytest.mark.parametrize(
    ("instruments", "words"),
    [
        (Instrument(), r"write instruments=\[instrument\]$"),
        ([Instrument], "must be an object of Instrument, not <class"),
        ([print], "must be an object of Instrument, not <built-in"),
        (3, "instruments must be a sequence of them, not 3"),
        (None, "must be a sequence"),
    ],
)
async def test_what_is_no_instrument_is_refused(instruments: object, words: str) -> None:
    """At once, by clients and servers alike."""
    client: ClientOptions = {"instruments": instruments}  # type: ignore[typeddict-item]  # pyright: ignore[reportAssignmentType]
    server: ServerOptions = {"instruments": instruments}  # type: ignore[typeddict-item]  # pyright: ignore[reportAssignmentType]
    with pytest.raises(TypeError, match=words):
        async with open_websocket_url("ws://localhost/", **client):
            pass
    with pytest.raises(TypeError, match=words):
        await serve_websocket_listeners(echo, [MemoryListener()], **server)


async def test_instruments_are_told_in_their_order_and_need_not_hear_all(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """One that overrides nothing hears nothing."""
    order: list[str] = []

    class Named(Instrument):
        def __init__(self, name: str) -> None:
            self._name = name

        def opened(self, websocket: WebSocket) -> None:
            order.append(self._name)

    instruments = [Named("first"), Instrument(), Named("second")]
    async with pair_over(client={"instruments": instruments}) as (client, server):
        await client.send("x")
        await server.send("x")
        await client.receive()
        await client.ping()
    assert order == ["first", "second"]


# Beginning and end


async def leave(client: WebSocket, server: WebSocket) -> None:
    """Leave it to the end of the block."""


async def close_one(client: WebSocket, server: WebSocket) -> None:
    """Close one end."""
    await client.aclose()


async def close_other(client: WebSocket, server: WebSocket) -> None:
    """Close the other end."""
    await server.aclose()


async def close_both(client: WebSocket, server: WebSocket) -> None:
    """Close both, again and again."""
    async with trio.open_nursery() as nursery:
        for each in (client, server, client, server):
            nursery.start_soon(each.aclose)


async def break_off(client: WebSocket, server: WebSocket) -> None:
    """Close one end without a word."""
    await trio.aclose_forcefully(client)


async def break_off_twice(client: WebSocket, server: WebSocket) -> None:
    """Do so in two tasks at once."""
    async with trio.open_nursery() as nursery:
        for _ in range(2):
            nursery.start_soon(trio.aclose_forcefully, client)


async def fall_silent(client: WebSocket, server: WebSocket) -> None:
    """Lose the stream below."""
    await client.stream.aclose()


async def fail(client: WebSocket, server: WebSocket) -> None:
    """Leave the block by an exception."""
    raise KeyError


ENDINGS = [
    leave,
    close_one,
    close_other,
    close_both,
    break_off,
    break_off_twice,
    fall_silent,
    fail,
]


@pytest.mark.parametrize("network", ["memory", "socket", "tcp", "tls"])
@pytest.mark.parametrize("ending", ENDINGS, ids=lambda ending: ending.__name__)
async def test_closed_is_told_last_and_once_however_it_ended(
    ending: Callable[[WebSocket, WebSocket], Awaitable[None]], network: Network
) -> None:
    """And accepted and opened first, by both ends."""
    recorders = Recorder(), Recorder()
    with suppress(KeyError):
        async with pair_over(
            network, client={"instruments": [recorders[0]]}, server={"instruments": [recorders[1]]}
        ) as ends:
            await ends[0].send("there")
            await ends[1].send("and back")
            await ends[0].receive()
            await ending(*ends)
    for recorder in recorders:
        check_told_in_order(recorder)
        assert recorder.names[:2] == ["accepted", "opened"]


@pytest.mark.parametrize("network", ["memory", "tls"])
async def test_closed_is_told_when_the_block_is_cancelled(network: Network) -> None:
    """By both ends; a cancellation is no error."""
    recorders = Recorder(), Recorder()
    with trio.CancelScope() as scope:
        async with pair_over(
            network, client={"instruments": [recorders[0]]}, server={"instruments": [recorders[1]]}
        ):
            scope.cancel()
            await trio.sleep_forever()
    for recorder in recorders:
        assert recorder.names == ["accepted", "opened", "closed"]


def check_told_in_order(recorder: Recorder) -> None:
    """See that one connection at most was told of, from its first moment to its last."""
    names = [name for name in recorder.names if name != "error"]
    if names not in ([], ["rejected"]):
        assert names[:2] == ["accepted", "opened"]
        assert names[-1] == "closed"
        assert set(names[2:-1]) <= {"message_sent", "message_received", "ping_answered"}
        websocket = recorder.told[-1].websocket
        assert websocket is not None
        statistics = websocket.statistics()
        assert names.count("message_sent") == statistics.messages_sent
        assert names.count("message_received") == statistics.messages_received


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("fault", Fault)
async def test_order_is_kept_whatever_is_cancelled_or_breaks(
    fault: Fault, role: Role, autojump_clock: trio.testing.MockClock
) -> None:
    """At whichever point: a connection that was opened is closed, and each message told of."""
    opened = 0

    async def use(ws: WebSocket) -> None:
        await ws.send("one")
        async with ws.send_stream(text=True) as stream:
            await stream.send("two")
        with suppress(trio.WouldBlock):
            ws.send_nowait("three")
        await ws.receive()
        async with ws.receive_stream() as pieces:
            await pieces.receive()
        await ws.ping()

    async def scenario(injector: Injector) -> None:
        nonlocal opened
        recorders = ours, theirs = Recorder(), Recorder()
        near, far = bounded_stream_pair()

        async def be_the_peer() -> None:
            with suppress(HandshakeError, ConnectionClosed):
                async with open_end(other(role), far, theirs) as ws:
                    await echo(ws)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(be_the_peer)
            with injector.armed(), suppress(HandshakeError, ConnectionClosed):
                async with open_end(role, injector.stream(near), ours) as ws:
                    await use(ws)
        for recorder in recorders:
            check_told_in_order(recorder)
        opened += len(ours.facts("opened"))

    assert await inject(scenario, fault) > 1
    assert opened > 1


def open_end(
    role: Role, stream: trio.abc.Stream, recorder: Recorder
) -> AbstractAsyncContextManager[WebSocket]:
    """Open the end of this role over a stream."""
    if role is Role.CLIENT:
        return wrap_client_stream(
            stream, "ws://localhost/", instruments=[recorder], keepalive=NO_KEEPALIVE
        )
    return wrap_server_stream(stream, instruments=[recorder], keepalive=NO_KEEPALIVE)


async def test_closed_is_told_for_a_connection_in_a_nursery() -> None:
    """By one that no block belongs to, when the nursery is cancelled."""
    recorder = Recorder()
    async with serve_on_loopback(linger) as server, trio.open_nursery() as nursery:
        url = f"ws://{LOOPBACK}:{server.port}/"
        websocket = await connect_websocket_url(nursery, url, instruments=[recorder])
        assert recorder.names == ["accepted", "opened"]
        nursery.cancel_scope.cancel()
    assert recorder.names == ["accepted", "opened", "closed"]
    assert recorder.told[-1].websocket is websocket


async def test_no_connection_is_told_of_where_none_came_about() -> None:
    """The nursery that it was to live in is over."""
    recorder = Recorder()
    async with trio.open_nursery() as nursery:
        pass
    async with serve_on_loopback(linger) as server:
        url = f"ws://{LOOPBACK}:{server.port}/"
        with pytest.raises(RuntimeError):
            await connect_websocket_url(nursery, url, instruments=[recorder])
    assert recorder.names == ["rejected"]


async def test_accepted_has_what_was_said(autojump_clock: trio.testing.MockClock) -> None:
    """Request and response are those of the WebSocket, on both ends."""
    recorders = Recorder(), Recorder()
    async with memory_websocket_pair(
        "ws://localhost/there?token=1",
        client={"instruments": [recorders[0]], "subprotocols": ["chat"]},
        server={"instruments": [recorders[1]], "subprotocols": ["chat"]},
    ) as ends:
        for recorder, websocket in zip(recorders, ends, strict=True):
            assert recorder.only("accepted").facts == (websocket.request, websocket.response)
            assert websocket.request.path == "/there"
            assert websocket.response.status == 101
            assert recorder.only("opened").websocket is websocket


async def test_closed_says_how_and_after_how_long(autojump_clock: trio.testing.MockClock) -> None:
    """Both Close frames and the time, in seconds; the statistics are final then."""
    recorders = Recorder(), Recorder()
    async with pair_over(
        client={"instruments": [recorders[0]]}, server={"instruments": [recorders[1]]}
    ) as (client, server):
        await trio.sleep(2.5)
        await client.aclose(4000, "enough")
        await server.wait_closed()
    end, duration = recorders[1].only("closed").facts
    assert type(end) is ConnectionClosed
    assert end.received == Close(4000, "enough")
    assert end.clean
    assert end.__cause__ is None
    assert duration == 2.5
    end, duration = recorders[0].only("closed").facts
    assert type(end) is ConnectionClosed
    assert (end.sent, duration) == (Close(4000, "enough"), 2.5)


@real_networks
async def test_closed_says_that_the_network_failed(network: Network) -> None:
    """By the error of the transport."""
    recorder = Recorder()
    ours, theirs = socket_pair()
    async with trio.open_nursery() as nursery:
        peer = ScriptedPeer(theirs, "server")
        nursery.start_soon(peer.server_handshake)
        async with wrap_client_stream(ours, "ws://localhost/", instruments=[recorder]) as ws:
            await ws.send("unread")
            await hang_up(theirs, reset=True)
            with pytest.raises(ConnectionBroken):
                await ws.receive()
    (end, _) = recorder.only("closed").facts
    assert type(end) is ConnectionClosed
    assert end.code == 1006
    assert isinstance(end.__cause__, trio.BrokenResourceError)


# Pings


async def test_pings_are_told_when_they_are_answered(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Those that the application waits for, and those of keepalive."""
    recorder = Recorder()
    async with pair_over(
        client={"instruments": [recorder], "keepalive": Keepalive(interval=5)}
    ) as (client, server):
        round_trip = await client.ping()
        assert recorder.only("ping_answered").facts == (round_trip,)
        with trio.move_on_after(12):
            await server.discard_messages()
        assert len(recorder.facts("ping_answered")) == 3


async def test_answer_between_messages_is_told_between_them() -> None:
    """Though one read brings all three."""

    async def answer(peer: ScriptedPeer) -> None:
        await peer.server_handshake()
        ping = await next_frame(peer)
        frames = [(Opcode.TEXT, b"a"), (Opcode.PONG, ping.payload), (Opcode.TEXT, b"b")]
        await peer.send_bytes(b"".join(build_frame(*frame) for frame in frames))
        await peer.close_frame()

    recorder = Recorder()
    async with (
        scripted_server(answer) as stream,
        wrap_client_stream(stream, "ws://localhost/", instruments=[recorder]) as ws,
    ):
        await ws.ping()
        assert [message async for message in ws] == ["a", "b"]
    between = ["message_received", "ping_answered", "message_received"]
    assert recorder.names == ["accepted", "opened", *between, "closed"]


async def test_ping_that_is_not_answered_is_not_told(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """The connection is given up, and closed says why."""
    recorder = Recorder()
    async with (
        scripted_server(silent) as stream,
        wrap_client_stream(
            stream,
            "ws://localhost/",
            instruments=[recorder],
            keepalive=Keepalive(interval=5, timeout=5),
        ) as ws,
    ):
        with pytest.raises(ConnectionBroken):
            await ws.receive()
    assert recorder.names == ["accepted", "opened", "closed"]
    (end, duration) = recorder.only("closed").facts
    assert type(end) is ConnectionClosed
    assert isinstance(end.__cause__, trio.TooSlowError)
    assert isinstance(duration, float)
    assert 10 <= duration < 11


async def silent(peer: ScriptedPeer) -> None:
    """Accept, read, and answer nothing."""
    await peer.server_handshake()
    with suppress(trio.BrokenResourceError):
        while await peer.stream.receive_some():
            pass


# Handshakes that fail, on a server


async def ask(peer: ScriptedPeer, data: bytes) -> None:
    """Send this instead of a request, and read to the end."""
    await peer.send_bytes(data)
    await answered(peer)


async def ask_for_another_origin(peer: ScriptedPeer) -> None:
    """Be a page of somebody else's."""
    await ask(peer, upgrade_request("/there", headers=[("Origin", "http://other.example")]))


async def ask_for_a_page(peer: ScriptedPeer) -> None:
    """Be a browser that wants to look at it."""
    await ask(peer, upgrade_request("/page"))


async def send_no_http(peer: ScriptedPeer) -> None:
    """Speak something else."""
    await ask(peer, b"HELO there\r\n\r\n")


async def say_nothing(peer: ScriptedPeer) -> None:
    """Send half a request, and wait for the end."""
    await ask(peer, b"GET / HTTP/1.1\r\n")


async def hang_up_at_once(peer: ScriptedPeer) -> None:
    """Send nothing at all."""
    await peer.aclose()


async def wait_for_long(peer: ScriptedPeer) -> None:
    """Ask for what takes too long."""
    await ask(peer, upgrade_request("/slow"))


async def process(request: Request) -> Response | None:
    """Answer some requests, not all of them in time."""
    if request.path == "/slow":
        await trio.sleep_forever()
    return Response(200, body="a page") if request.path == "/page" else None


REFUSED = [
    (ask_for_another_origin, 403, "/there"),
    (ask_for_a_page, 200, "/page"),
    (send_no_http, 400, None),
    (say_nothing, 408, None),
    (hang_up_at_once, None, None),
    (wait_for_long, 503, "/slow"),
]

each_refusal = pytest.mark.parametrize(
    ("client", "status", "target"), REFUSED, ids=[row[0].__name__ for row in REFUSED]
)


def check_rejected(recorder: Recorder, status: int | None, target: str | None) -> None:
    """See that one handshake was told of as rejected, and nothing else."""
    assert recorder.names == ["rejected"]
    request, error = recorder.only("rejected").facts
    assert (request.target if isinstance(request, Request) else None) == target
    assert isinstance(error, HandshakeError)
    answer = error.response.status if isinstance(error, ConnectionRejected) else None
    assert answer == status


@each_refusal
async def test_handshake_that_a_server_refuses_is_told(
    client: Callable[[ScriptedPeer], Awaitable[None]],
    status: int | None,
    target: str | None,
    autojump_clock: trio.testing.MockClock,
) -> None:
    """With the request, if there was one, and the answer, if there was one."""
    recorder = Recorder()
    async with serve_memory(echo, process_request=process, instruments=[recorder]) as server:
        await client(await peer_of(server))
        await run_until_idle()
        check_rejected(recorder, status, target)


@each_refusal
async def test_handshake_that_a_wrapped_stream_refuses_is_told(
    client: Callable[[ScriptedPeer], Awaitable[None]],
    status: int | None,
    target: str | None,
    autojump_clock: trio.testing.MockClock,
) -> None:
    """As it is by a server."""
    recorder = Recorder()
    ours, theirs = bounded_stream_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(client, ScriptedPeer(theirs, "client"))
        with pytest.raises(HandshakeError):
            async with wrap_server_stream(ours, process_request=process, instruments=[recorder]):
                pass
    check_rejected(recorder, status, target)


async def test_handshake_that_there_is_no_room_for_is_told() -> None:
    """It was answered with 503."""
    recorder = Recorder()
    async with (
        serve_memory(echo, max_connections=1, instruments=[recorder]) as server,
        await open_peer(server),
    ):
        recorder.told.clear()
        await ask_for_a_page(await peer_of(server))
        await run_until_idle()
        check_rejected(recorder, 503, "/page")


async def test_handshake_that_a_drain_ends_is_told(autojump_clock: trio.testing.MockClock) -> None:
    """It was answered with 408, as it was not complete."""
    recorder = Recorder()
    async with serve_memory(echo, instruments=[recorder]) as server, trio.open_nursery() as nursery:
        peer = await peer_of(server)
        nursery.start_soon(ask, peer, b"GET / HTTP/1.1\r\n")
        await run_until_idle()
        await server.server.aclose()
    check_rejected(recorder, 503, None)


async def test_handshake_whose_tls_fails_is_told() -> None:
    """There was no request."""
    recorder = Recorder()
    async with serve_on_loopback(echo, tls=contexts(), instruments=[recorder]) as server:
        peer = await connect(server)
        await peer.send_bytes(b"GET / HTTP/1.1\r\n\r\n")
        await peer.receive_frames()
        await peer.aclose()
    check_rejected(recorder, None, None)


@pytest.mark.parametrize("wrapped", [True, False])
async def test_handshake_whose_tls_takes_too_long_is_told(
    wrapped: bool, autojump_clock: trio.testing.MockClock
) -> None:
    """There was no request, and nobody to answer."""
    recorder = Recorder()
    tls = contexts()

    def with_tls(stream: trio.abc.Stream) -> trio.abc.Stream:
        return trio.SSLStream(stream, tls.server, server_side=True)

    if wrapped:
        ours, theirs = bounded_stream_pair()
        with pytest.raises(HandshakeTimeout):
            async with wrap_server_stream(with_tls(ours), instruments=[recorder]):
                pass
        await theirs.aclose()
    else:
        async with (
            serve_memory(echo, wrap=with_tls, instruments=[recorder]) as server,
            await peer_of(server) as peer,
        ):
            await peer.receive_frames()
    check_rejected(recorder, None, None)


@pytest.mark.parametrize("wrapped", [True, False])
async def test_handshake_that_is_cancelled_by_the_application_is_not_told(
    wrapped: bool, autojump_clock: trio.testing.MockClock
) -> None:
    """Nor is one of a client."""
    recorder = Recorder()
    with trio.move_on_after(1):
        if wrapped:
            async with memory_websocket_pair(
                client={"instruments": [recorder]},
                server={"instruments": [recorder], "process_request": dawdle},
            ):
                pytest.fail("opened")
        async with (
            serve_memory(echo, process_request=dawdle, instruments=[recorder]) as server,
            await peer_of(server) as peer,
        ):
            await ask_for_a_page(peer)
    assert recorder.names == []


async def dawdle(request: Request) -> None:
    """Take too long."""
    await trio.sleep_forever()


# Handshakes that fail, on a client


async def refuse(peer: ScriptedPeer) -> None:
    """Be a server that is not for everybody."""
    await peer.receive_head()
    await peer.send_bytes(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n")


async def speak_ssh(peer: ScriptedPeer) -> None:
    """Be another kind of server."""
    await peer.receive_head()
    await peer.send_bytes(b"SSH-2.0-OpenSSH_9.9\r\n\r\n")


async def never_answer(peer: ScriptedPeer) -> None:
    """Be a server that has no time."""
    await peer.receive_head()
    assert await peer.stream.receive_some() == b""


@pytest.mark.parametrize(
    ("script", "error"),
    [
        (refuse, ConnectionRejected),
        (speak_ssh, HandshakeError),
        (never_answer, HandshakeTimeout),
    ],
)
async def test_handshake_that_fails_is_told_by_a_client(
    script: Callable[[ScriptedPeer], Awaitable[None]],
    error: type[HandshakeError],
    autojump_clock: trio.testing.MockClock,
) -> None:
    """With its request and what it raises."""
    recorder = Recorder()
    async with scripted_server(script) as stream:
        with pytest.raises(error) as caught:
            async with wrap_client_stream(stream, "ws://localhost/there", instruments=[recorder]):
                pass
    assert recorder.names == ["rejected"]
    request, told = recorder.only("rejected").facts
    assert isinstance(request, Request)
    assert request.target == "/there"
    assert told is caught.value


async def test_connection_that_fails_is_told_by_a_client() -> None:
    """Before the handshake has begun, too: nobody listens, or is not who he says."""
    recorder = Recorder()
    async with serve_on_loopback(echo, tls=contexts()) as server:
        port = server.port
        with pytest.raises(TLSFailed):
            async with open_websocket_url(f"wss://localhost:{port}/", instruments=[recorder]):
                pass
    with pytest.raises(OSError, match="all attempts"):
        async with open_websocket_url(f"ws://{LOOPBACK}:{port}/there", instruments=[recorder]):
            pass
    assert recorder.names == ["rejected", "rejected"]
    (_, untrusted), (request, refused) = recorder.facts("rejected")
    assert isinstance(untrusted, TLSFailed)
    assert isinstance(refused, OSError)
    assert isinstance(request, Request)
    assert request.target == "/there"


# What fails in the application, and in the system


@pytest.mark.parametrize("isolate", [True, False])
@pytest.mark.parametrize("grouped", [True, False])
async def test_handler_that_fails_is_told(isolate: bool, grouped: bool) -> None:
    """The exception as it was, whether it is logged or goes on up; then that it is closed."""
    recorder = Recorder()
    problem = ExceptionGroup("several", [KeyError(), ValueError()]) if grouped else KeyError()

    async def handler(ws: WebSocket) -> None:
        await ws.receive()
        raise problem

    async def serve() -> None:
        async with (
            serve_memory(handler, isolate_handlers=isolate, instruments=[recorder]) as server,
            server.open_websocket() as ws,
        ):
            await ws.send("go")
            await ws.wait_closed()
            await run_until_idle()

    if isolate:
        await serve()
    else:
        with pytest.raises(ExceptionGroup):
            await serve()
    told = recorder.only("error")
    assert told.facts == (problem,)
    assert told.websocket is recorder.only("opened").websocket
    assert recorder.names[-2:] == ["error", "closed"]


async def test_handler_that_fails_after_the_end_is_told(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Then closed comes first: the two are not the same thing."""
    recorder = Recorder()

    async def handler(ws: WebSocket) -> None:
        await ws.wait_closed()
        raise KeyError

    async with serve_memory(handler, instruments=[recorder]) as server:
        async with server.open_websocket():
            pass
        await run_until_idle()
    assert recorder.names == ["accepted", "opened", "closed", "error"]


async def test_end_of_a_connection_is_no_error(autojump_clock: trio.testing.MockClock) -> None:
    """Neither is what a handler raises at it, nor what comes out of a block."""
    recorder = Recorder()

    async def handler(ws: WebSocket) -> None:
        await ws.receive()
        await ws.aclose(4000)
        await ws.receive()

    async with serve_memory(handler, instruments=[recorder]) as server:
        with suppress(ConnectionBroken):
            async with server.open_websocket(instruments=[recorder]) as ws:
                await ws.send("go")
                pytest.fail(f"unexpected message {await ws.receive()!r}")
    assert "error" not in recorder.names


async def test_block_that_fails_is_told(autojump_clock: trio.testing.MockClock) -> None:
    """Once, however many blocks the exception goes through."""
    recorder = Recorder()
    problem = KeyError()
    with pytest.raises(KeyError):
        async with pair_over(client={"instruments": [recorder]}) as (client, _), client:
            raise problem
    assert recorder.only("error").facts == (problem,)


async def test_handler_that_fails_when_it_is_cancelled_is_told(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """What failed, without the cancellation."""
    recorder = Recorder()

    async def clean_up_badly() -> None:
        try:
            await trio.sleep_forever()
        finally:
            raise KeyError

    async def handler(ws: WebSocket) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(clean_up_badly)
            await trio.sleep_forever()

    async with serve_memory(handler, instruments=[recorder]) as server, server.open_websocket():
        await run_until_idle()
        await server.server.aclose(grace=0)
    assert repr(recorder.only("error").facts[0]).endswith("[KeyError()])")


async def accept_what_was_not_offered(request: Request) -> Accept:
    """Confuse the client."""
    return Accept(subprotocol="unheard-of")


async def fail_to_decide(request: Request) -> None:
    """Have a bug."""
    raise KeyError


@pytest.mark.parametrize(
    ("process_request", "error"),
    [(accept_what_was_not_offered, ValueError), (fail_to_decide, KeyError)],
)
async def test_process_request_that_fails_is_told(
    process_request: Callable[[Request], Awaitable[Accept | None]], error: type[Exception]
) -> None:
    """And that the handshake was answered with 500."""
    recorder = Recorder()
    async with serve_memory(
        echo, process_request=process_request, instruments=[recorder]
    ) as server:
        with pytest.raises(ConnectionRejected):
            async with server.open_websocket():
                pass
    assert recorder.names == ["error", "rejected"]
    told = recorder.only("error")
    assert told.websocket is None
    assert isinstance(told.facts[0], error)
    assert isinstance(rejection := recorder.only("rejected").facts[1], ConnectionRejected)
    assert rejection.response.status == 500


class BrokenStream(trio.abc.Stream):
    """A stream with a bug."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self._stream = stream

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """Fail."""
        await trio.lowlevel.checkpoint()
        raise KeyError

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Do nothing: nothing is sent."""

    async def wait_send_all_might_not_block(self) -> None:
        """Do nothing."""

    async def aclose(self) -> None:
        """Close below."""
        await self._stream.aclose()


async def test_stream_with_a_bug_is_told() -> None:
    """As an error, and as a handshake of which nothing came."""
    recorder = Recorder()
    async with (
        serve_memory(echo, wrap=BrokenStream, instruments=[recorder]) as server,
        await peer_of(server) as peer,
    ):
        assert await peer.receive_frame() is None
    assert recorder.names == ["error", "rejected"]
    assert recorder.only("error").facts[0] is recorder.only("rejected").facts[1]


async def test_listener_that_cannot_accept_is_told(autojump_clock: trio.testing.MockClock) -> None:
    """As often as that is logged: once a minute."""
    recorder = Recorder()
    problem = OSError(errno.EMFILE, "no more")
    failing = FailingListener(MemoryListener(), *[problem] * 650)
    async with trio.open_nursery() as nursery:
        await nursery.start(
            partial(serve_websocket_listeners, echo, [failing], instruments=[recorder])
        )
        await trio.sleep(100)
        nursery.cancel_scope.cancel()
    assert recorder.facts("error") == [(problem,), (problem,)]


# Instruments that fail


class Failing(Recorder):
    """Fails whatever it is told."""

    def __init__(self, method: str, error: BaseException) -> None:
        super().__init__()
        setattr(self, method, self._fail)
        self._error = error
        self.failed = 0

    def _fail(self, *args: object, **kwargs: object) -> None:
        self.failed += 1
        raise self._error


class NamelessError(Exception):
    """Cannot even be shown."""

    def __repr__(self) -> str:
        raise self


@pytest.mark.parametrize("error", [KeyError("x"), KeyboardInterrupt(), NamelessError()])
@pytest.mark.parametrize("method", EVERY_METHOD)
async def test_instrument_that_fails_harms_nobody(
    method: str,
    error: BaseException,
    caplog: pytest.LogCaptureFixture,
    autojump_clock: trio.testing.MockClock,
) -> None:
    """It is logged with its traceback and told nothing more; the others are."""
    recorder, failing = Recorder(), Failing(method, error)
    healthy = True

    async def handler(ws: WebSocket) -> None:
        await echo(ws)
        if not healthy:
            raise ValueError

    def process_request(request: Request) -> Response | None:
        return Response(403) if request.path == "/forbidden" else None

    async with serve_memory(
        handler, process_request=process_request, instruments=[failing, recorder]
    ) as server:
        for _ in range(2):
            for healthy in (True, False):  # noqa: B007 - the handler looks at it
                async with server.open_websocket() as ws:
                    await ws.send("over and over")
                    assert await ws.receive() == "over and over"
                    (seen,) = server.server.connections
                    await seen.ping()
            with pytest.raises(ConnectionRejected):
                async with server.open_websocket("ws://localhost/forbidden"):
                    pass
        await run_until_idle()
    assert failing.failed == 1
    assert len(failing.told) < len(recorder.told)
    assert {name: len(recorder.facts(name)) for name in EVERY_METHOD} == {
        "accepted": 4,
        "rejected": 2,
        "opened": 4,
        "message_sent": 4,
        "message_received": 4,
        "ping_answered": 4,
        "closed": 4,
        "error": 2,
    }
    (record,) = (each for each in caplog.records if each.name == "trio_ws.instrument")
    assert record.levelno == logging.ERROR
    assert record.exc_info is not None
    assert record.exc_info[1] is error


def test_interrupt_does_not_strike_in_an_instrument() -> None:
    """It would count as a failure of the instrument, and be lost."""
    protected: list[bool] = []
    instruments = Instruments([Instrument()])
    instruments.tell(lambda _: protected.append(trio.lowlevel.currently_ki_protected()))
    assert protected == [True]


async def test_instrument_that_has_failed_stays_out_when_the_client_comes_back() -> None:
    """It is one client, however often it connects."""
    failing, recorder = Failing("opened", KeyError()), Recorder()
    async with serve_memory(echo) as server, trio.open_nursery() as nursery:

        async def connect(*_: object) -> trio.abc.Stream:
            return await server.connect()

        options = OpeningOptions(instruments=[failing, recorder])
        opening = Opening(parse_url("ws://localhost/"), connect, options)
        for _ in range(3):
            await (await opening.open(nursery.start_soon)).aclose()
    assert failing.failed == 1
    assert recorder.names == ["accepted", "opened", "closed"] * 3


def test_nobody_is_told_when_there_is_nobody() -> None:
    """No instruments are none."""
    assert not Instruments()
    Instruments().tell(lambda _: pytest.fail("told"))
