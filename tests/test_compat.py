"""``trio_ws.compat.trio_websocket``: what it promises beyond what trio-websocket does."""

import math
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import cast

import pytest
import trio
import trio.testing

import trio_ws
from tests.compat_ends import HANGS, client_of_peer, echo, serving, serving_tcp
from tests.connections import next_close, socket_pair
from tests.servers import LOOPBACK, contexts
from trio_ws.compat import trio_websocket as compat
from trio_ws.compat.trio_websocket import (
    ConnectionClosed,
    WebSocketConnection,
    WebSocketRequest,
    WebSocketServer,
)
from trio_ws.testing import (
    MemoryListener,
    Opcode,
    ScriptedPeer,
    bounded_stream_pair,
    upgrade_request,
)


@asynccontextmanager
async def scripted_server(
    behaviour: Callable[[ScriptedPeer], Awaitable[object]],
) -> AsyncGenerator[int, None]:
    """Listen on TCP, and serve each connection by hand; yield the port."""

    async def serve(stream: trio.SocketStream) -> None:
        await behaviour(ScriptedPeer(stream, "server"))

    with trio.fail_after(HANGS):
        async with trio.open_nursery() as nursery:
            (listener,) = await nursery.start(partial(trio.serve_tcp, serve, 0, host=LOOPBACK))
            yield listener.socket.getsockname()[1]
            nursery.cancel_scope.cancel()


async def accept_and_be_silent(peer: ScriptedPeer) -> None:
    """Open the connection, and do nothing more."""
    await peer.server_handshake()
    await trio.sleep_forever()


async def be_silent(peer: ScriptedPeer) -> None:
    """Do nothing."""
    await trio.sleep_forever()


async def accept_and_echo(request: WebSocketRequest) -> None:
    """Accept and send back what comes."""
    await echo(await request.accept())


async def forget(request: WebSocketRequest) -> None:
    """Neither accept nor reject."""
    await trio.sleep_forever()


async def status_of(peer: ScriptedPeer) -> int | None:
    """Return the status of the response that a client by hand gets."""
    return (await peer.receive_head()).status


# Opening, as a client


@pytest.mark.parametrize("seconds", [0.01, 0])
async def test_open_gives_up_in_time(seconds: float) -> None:
    """A server that does not answer costs connect_timeout, and leaves nothing behind."""
    async with scripted_server(be_silent) as port:
        with pytest.raises(compat.ConnectionTimeout, match=r"within .* seconds"):
            async with compat.open_websocket(
                LOOPBACK, port, "/", use_ssl=False, connect_timeout=seconds
            ):
                pass


async def test_untrusted_certificate_is_said_at_once() -> None:
    """Failing TLS is a HandshakeError with the reason."""
    async with serving_tcp(compat, accept_and_echo, contexts().server) as server:
        with pytest.raises(compat.HandshakeError, match="certificate"):
            async with compat.open_websocket(LOOPBACK, server.port, "/", use_ssl=True):
                pass


async def test_credentials_in_a_url_are_not_sent() -> None:
    """As with trio-websocket, user and password are not used; nor need the URL be a str."""

    class URL:
        def __str__(self) -> str:
            return f"ws://user:password@{LOOPBACK}:{server.port}/x"

    seen: list[tuple[bytes, bytes]] = []

    async def handler(request: WebSocketRequest) -> None:
        seen.extend(request.headers)
        await request.accept()

    async with (
        serving_tcp(compat, handler) as server,
        compat.open_websocket_url(cast("str", URL())) as connection,
    ):
        assert connection.path == "/x"
    assert [name for name, _ in seen] == [
        *(b"upgrade", b"connection", b"sec-websocket-key", b"sec-websocket-version")
    ]


async def test_wrapped_stream_is_closed_when_there_can_be_no_request() -> None:
    """wrap_client_stream owns its stream, whatever its other arguments are."""
    near, far = bounded_stream_pair()
    async with trio.open_nursery() as nursery:
        with pytest.raises(ValueError, match="no request can have the target 'x'"):
            await compat.wrap_client_stream(nursery, near, "localhost", "x")
    assert await far.receive_some() == b""


async def test_headers_may_be_str_too(autojump_clock: trio.testing.MockClock) -> None:
    """Headers may be str, as wsproto takes them; Host is what was given."""
    near, far = bounded_stream_pair()
    peer = ScriptedPeer(far, "server")
    async with trio.open_nursery() as nursery:
        headers = cast("list[tuple[bytes, bytes]]", [("X-Text", "yes")])
        nursery.start_soon(
            partial(
                compat.wrap_client_stream,
                nursery,
                near,
                "example.com:81",
                "/",
                extra_headers=headers,
            )
        )
        head = await peer.server_handshake()
        assert ("X-Text", "yes") in head.headers
        assert ("Host", "example.com:81") in head.headers
        nursery.cancel_scope.cancel()
    await peer.aclose()


# Closing, as a client


@pytest.mark.parametrize("seconds", [0.01, 0])
async def test_close_gives_up_in_time(seconds: float) -> None:
    """A server that does not close costs disconnect_timeout."""
    async with scripted_server(accept_and_be_silent) as port:
        with pytest.raises(compat.DisconnectionTimeout):
            async with compat.open_websocket(
                LOOPBACK, port, "/", use_ssl=False, disconnect_timeout=seconds
            ):
                pass


async def test_exception_of_the_block_is_not_masked_by_a_late_close() -> None:
    """What the body raised is what comes out, however long closing takes."""
    async with scripted_server(accept_and_be_silent) as port:
        with pytest.raises(KeyError):
            async with compat.open_websocket(
                LOOPBACK, port, "/", use_ssl=False, disconnect_timeout=0.01
            ):
                raise KeyError


async def test_cancelled_block_says_that_it_goes_away() -> None:
    """The server hears 1001 from a block that is cancelled."""
    codes: list[int] = []

    async def note_close(peer: ScriptedPeer) -> None:
        await peer.server_handshake()
        codes.append((await next_close(peer)).close_code)
        await peer.close_frame(1001)

    async with scripted_server(note_close) as port:
        with trio.CancelScope() as scope:
            async with compat.open_websocket(LOOPBACK, port, "/", use_ssl=False):
                scope.cancel()
                await trio.sleep_forever()
        assert scope.cancelled_caught
    assert codes == [1001]


# The request


async def answers(behaviour: Callable[[WebSocketRequest], Awaitable[object]]) -> int | None:
    """Return the status that a client gets from a handler."""
    async with serving(compat, behaviour) as running:
        peer = await running.peer()
        await peer.send_bytes(upgrade_request())
        status = await status_of(peer)
        await peer.aclose()
        await trio.testing.wait_all_tasks_blocked()
        return status


async def test_request_is_answered_once() -> None:
    """After an answer there is no other."""
    raised: list[str] = []

    async def reject_and_accept(request: WebSocketRequest) -> None:
        await request.reject(404)
        for again in (request.accept, partial(request.reject, 403)):
            with pytest.raises(RuntimeError, match="answered") as refused:
                await again()
            raised.append(str(refused.value))

    assert await answers(reject_and_accept) == 404
    assert len(raised) == 2


async def test_framing_of_a_rejection_is_ours() -> None:
    """Headers that say where the body ends are not the handler's; others are."""

    async def handler(request: WebSocketRequest) -> None:
        await request.reject(
            401,
            extra_headers=[(b"Content-Length", b"7"), (b"WWW-Authenticate", b"Basic")],
            body=b"no",
        )

    async with serving(compat, handler) as running:
        peer = await running.peer()
        await peer.send_bytes(upgrade_request())
        head = await peer.receive_head()
        assert head.values("Content-Length") == ["2"]
        assert head.values("WWW-Authenticate") == ["Basic"]


async def test_handler_that_does_not_answer(autojump_clock: trio.testing.MockClock) -> None:
    """Cancelled, it leaves 503 behind."""
    async with trio.open_nursery() as nursery:
        listener = MemoryListener()
        await nursery.start(WebSocketServer(forget, [listener]).run)
        peer = ScriptedPeer(await listener.connect(), "client")
        await peer.send_bytes(upgrade_request())
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
        with trio.CancelScope(shield=True):
            assert await status_of(peer) == 503
            await peer.aclose()


async def test_cancelled_accept_has_done_nothing() -> None:
    """The request can still be accepted, or rejected."""

    async def handler(request: WebSocketRequest) -> None:
        with trio.CancelScope() as scope:
            scope.cancel()
            await request.accept()
        await request.reject(404)

    assert await answers(handler) == 404


async def test_accepting_a_client_that_is_gone() -> None:
    """accept() says so, and not the first message."""
    near, far = socket_pair()
    async with trio.open_nursery() as nursery:
        await near.send_all(upgrade_request())
        request = await compat.wrap_server_stream(nursery, far)
        await near.aclose()
        with pytest.raises(ConnectionClosed) as closed:
            await request.accept()
        assert closed.value.reason is not None
        assert closed.value.reason.code == 1006


# A server over one stream


async def test_cancelled_nursery_answers_what_is_unanswered(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """The background of wrap_server_stream answers 503 when it is cancelled."""
    near, far = bounded_stream_pair()
    peer = ScriptedPeer(near, "client")
    await peer.send_bytes(upgrade_request())
    async with trio.open_nursery() as nursery:
        request = await compat.wrap_server_stream(nursery, far)
        nursery.cancel_scope.cancel()
    assert await status_of(peer) == 503
    with pytest.raises(RuntimeError):
        await request.accept()


async def test_cancelled_nursery_closes_what_is_open(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """The background of wrap_server_stream closes with 1001 when it is cancelled."""
    near, far = bounded_stream_pair()
    async with ScriptedPeer(near, "client") as peer, trio.open_nursery() as nursery:
        nursery.start_soon(peer.client_handshake)
        request = await compat.wrap_server_stream(nursery, far)
        await request.accept()
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
        with trio.CancelScope(shield=True):
            assert (await next_close(peer)).close_code == 1001
            await peer.close_frame(1001)


async def test_rejected_request_leaves_the_nursery() -> None:
    """After a rejection nothing is left in the background."""
    near, far = bounded_stream_pair()
    peer = ScriptedPeer(near, "client")
    await peer.send_bytes(upgrade_request())
    async with peer, trio.open_nursery() as nursery:
        request = await compat.wrap_server_stream(nursery, far)
        nursery.start_soon(partial(request.reject, 403, body=b"no"))
        assert await status_of(peer) == 403
        await peer.aclose()
    with pytest.raises(trio.ClosedResourceError):
        await far.receive_some()


async def test_streams_without_a_request(autojump_clock: trio.testing.MockClock) -> None:
    """What is no request for a connection is answered here, and raises; the stream is closed."""

    async def raised_for(data: bytes | None) -> compat.HandshakeError:
        near, far = bounded_stream_pair()
        await near.send_all(data or b"")
        if data is None:
            await near.send_eof()
        async with trio.open_nursery() as nursery:
            with pytest.raises(compat.HandshakeError) as raised:
                await compat.wrap_server_stream(nursery, far)
        await near.aclose()
        return raised.value

    page = await raised_for(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert isinstance(page, compat.ConnectionRejected)
    assert (page.status_code, page.headers[0]) == (426, (b"upgrade", b"websocket"))
    assert type(await raised_for(None)) is compat.HandshakeError
    began = trio.current_time()
    assert isinstance(await raised_for(b"GET /"), compat.ConnectionTimeout)
    assert trio.current_time() - began == pytest.approx(60.5)  # half a second for the answer


async def test_tls_that_does_not_come_about(autojump_clock: trio.testing.MockClock) -> None:
    """A client that begins no TLS is given up after 60 seconds."""
    near, far = bounded_stream_pair()
    tls = trio.SSLStream(far, contexts().server, server_side=True)
    async with near, trio.open_nursery() as nursery:
        with pytest.raises(compat.ConnectionTimeout, match="TLS"):
            await compat.wrap_server_stream(nursery, tls)
        assert await near.receive_some() == b""


# Servers


async def test_slow_client_is_answered(autojump_clock: trio.testing.MockClock) -> None:
    """A client that sends no request hears 408 after connect_timeout."""
    async with serving(compat, accept_and_echo, connect_timeout=5) as running:
        peer = await running.peer()
        began = trio.current_time()
        assert await status_of(peer) == 408
        assert trio.current_time() - began == pytest.approx(5)


async def test_client_without_tls_harms_nobody() -> None:
    """Who speaks no TLS to a server that does is hung up on."""
    async with serving_tcp(compat, accept_and_echo, contexts().server) as server:
        async with await trio.open_tcp_stream(LOOPBACK, server.port) as stream:
            await stream.send_all(upgrade_request())
            assert (await stream.receive_some())[:1] in (b"", b"\x15")  # TLS's alert
        url = f"wss://{LOOPBACK}:{server.port}/"
        async with compat.open_websocket_url(url, contexts().client) as connection:
            await connection.send_message("still there")
            assert await connection.get_message() == "still there"


async def test_tls_listeners_of_the_program() -> None:
    """A WebSocketServer over trio's own TLS listeners knows that it is TLS."""
    listeners = await trio.open_ssl_over_tcp_listeners(
        0, contexts().server, host=LOOPBACK, https_compatible=True
    )
    async with trio.open_nursery() as nursery:
        server = WebSocketServer(accept_and_echo, listeners)
        await nursery.start(server.run)
        (endpoint,) = server.listeners
        assert isinstance(endpoint, compat.Endpoint)
        assert endpoint.url == f"wss://{LOOPBACK}:{server.port}"
        async with compat.open_websocket_url(endpoint.url, contexts().client) as connection:
            await connection.send_message("hello")
            assert await connection.get_message() == "hello"
        nursery.cancel_scope.cancel()


async def test_servers_without_a_port_of_their_own() -> None:
    """A port is had by a server with one listener, on TCP."""
    memory = MemoryListener()
    with pytest.raises(RuntimeError, match=r"does not have a port: <.*MemoryListener"):
        _ = WebSocketServer(accept_and_echo, [memory]).port
    both = WebSocketServer(accept_and_echo, [memory, memory])
    assert both.listeners == [repr(memory)] * 2
    with pytest.raises(RuntimeError, match="more than one listener"):
        _ = both.port


async def test_listeners_are_closed_when_there_can_be_no_server() -> None:
    """Options that cannot be leave no socket open."""
    with pytest.raises(ValueError, match="max_message_size"):
        await compat.serve_websocket(accept_and_echo, LOOPBACK, 0, None, max_message_size=0)


async def test_server_waits_no_longer_than_disconnect_timeout(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """A client that does not close keeps a connection of the server no longer than that."""

    async def handler(request: WebSocketRequest) -> None:
        await request.accept()

    async with serving(compat, handler, disconnect_timeout=5) as running:
        peer = await running.peer()
        await peer.client_handshake()
        assert (await next_close(peer)).close_code == 1000
        began = trio.current_time()
        assert await peer.receive_frame() is None
        assert trio.current_time() - began == pytest.approx(5)
        await trio.testing.wait_all_tasks_blocked()  # and the server lives on


async def test_exception_of_a_handler_is_not_masked_by_cancellation(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """A handler that fails because it is cancelled is heard of."""

    async def handler(request: WebSocketRequest) -> None:
        await request.accept()
        accepted.set()
        try:
            await trio.sleep_forever()
        finally:
            raise KeyError("a mistake")

    accepted = trio.Event()
    near, far = bounded_stream_pair()
    server = WebSocketServer(handler, [MemoryListener()])
    with pytest.RaisesGroup(KeyError, flatten_subgroups=True):
        async with ScriptedPeer(near, "client") as peer, trio.open_nursery() as nursery:
            nursery.start_soon(server._serve, far)  # trio.serve_listeners would mask it
            nursery.start_soon(peer.client_handshake)
            await accepted.wait()
            nursery.cancel_scope.cancel()


async def test_handler_may_let_go_of_its_own_closing_in_a_group() -> None:
    """What remains of a group is what ends the server; the end of its own connection is none."""

    async def handler(request: WebSocketRequest) -> None:
        connection = await request.accept()

        async def fail_when_cancelled() -> None:
            try:
                await trio.sleep_forever()
            finally:
                raise KeyError("a mistake")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(connection.get_message)  # of ours
            nursery.start_soon(connection.websocket.ping)  # and of trio_ws itself
            if "fail" in request.path:
                nursery.start_soon(fail_when_cancelled)

    async with serving(compat, handler) as running:
        for _ in range(2):
            connection = await running.connect(compat, "/")
            await connection.aclose()
    with pytest.RaisesGroup(KeyError, flatten_subgroups=True):
        async with serving(compat, handler) as running:
            connection = await running.connect(compat, "/fail")
            await connection.aclose()
            await trio.sleep_forever()


async def test_end_of_another_connection_is_a_failure() -> None:
    """A handler that is ended by the close of a connection to somewhere else has failed."""

    async def handler(request: WebSocketRequest) -> None:
        await request.accept()
        async with client_of_peer(compat) as (elsewhere, peer, _):
            await peer.aclose()
            await elsewhere.get_message()

    with pytest.RaisesGroup(ConnectionClosed, flatten_subgroups=True):
        async with serving(compat, handler) as running:
            connection = await running.connect(compat)
            with suppress(ConnectionClosed):
                await connection.get_message()
            await trio.sleep_forever()


async def test_handler_that_fails_before_it_answers() -> None:
    """What it raised is not held up by an answer: the client is hung up on."""
    received: list[bytes | bytearray] = []

    async def handler(request: WebSocketRequest) -> None:
        raise KeyError("a mistake")

    with pytest.RaisesGroup(KeyError, flatten_subgroups=True):
        async with serving(compat, handler) as running:
            peer = await running.peer()
            await peer.send_bytes(upgrade_request())
            with trio.CancelScope(shield=True):
                received.append(await peer.stream.receive_some())
            await trio.sleep_forever()
    assert received == [b""]


# Limits


async def test_limits_may_be_infinite() -> None:
    """math.inf, which trio-websocket allows, is a limit that nothing reaches."""
    infinite = cast("int", math.inf)
    async with serving(
        compat, accept_and_echo, message_queue_size=infinite, max_message_size=infinite
    ) as running:
        connection = await running.connect(compat, max_message_size=infinite)
        await connection.send_message(bytes(2**21))
        assert await connection.get_message() == bytes(2**21)


@pytest.mark.parametrize(("queue_size", "size"), [(0, 1), (1, 100_000), (5, 1)])
async def test_pings_are_answered_behind_a_queue_that_is_not_over(
    queue_size: int, size: int, autojump_clock: trio.testing.MockClock
) -> None:
    """With message_queue_size messages unread, a peer that asks whether we live is told."""
    async with client_of_peer(compat, message_queue_size=queue_size) as (connection, peer, _):
        for _ in range(queue_size):
            await peer.send_frame(Opcode.BINARY, bytes(size))
        await trio.sleep(1)
        await peer.send_frame(Opcode.PING, b"alive?")
        frame = await peer.receive_frame()
        assert frame is not None
        assert (frame.opcode, frame.payload) == (Opcode.PONG, b"alive?")
        with trio.move_on_after(60):
            while True:
                await peer.send_frame(Opcode.BINARY, bytes(size))
                await trio.sleep(1)
        assert connection.websocket.statistics().queued_messages == 2 * queue_size + 1


async def test_a_peer_that_takes_nothing_is_given_up(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Who sends to a peer that does not read for 60 seconds hears that it is gone."""

    async def send_on(connection: WebSocketConnection) -> None:
        while True:
            await connection.send_message(bytes(2**20))

    async with client_of_peer(compat) as (connection, _, _):
        began = trio.current_time()
        with pytest.raises(ConnectionClosed):
            await send_on(connection)
        assert trio.current_time() - began == pytest.approx(60, abs=1)


async def test_idle_connections_are_left_alone(autojump_clock: trio.testing.MockClock) -> None:
    """As with trio-websocket there is no keepalive: a silent peer may be silent for a day."""

    async def stay_silent(peer: ScriptedPeer) -> None:
        with trio.move_on_after(24 * 3600) as day:
            await peer.receive_frame()
        assert day.cancelled_caught

    near, far = bounded_stream_pair()
    async with ScriptedPeer(far, "server") as peer, trio.open_nursery() as nursery:
        nursery.start_soon(peer.server_handshake)
        connection = await compat.wrap_client_stream(nursery, near, "localhost", "/")
        await stay_silent(peer)
        assert connection.closed is None
        nursery.cancel_scope.cancel()

    near, far = bounded_stream_pair()
    async with ScriptedPeer(near, "client") as peer, trio.open_nursery() as nursery:
        nursery.start_soon(peer.client_handshake)
        request = await compat.wrap_server_stream(nursery, far)
        connection = await request.accept()
        await trio.testing.wait_all_tasks_blocked()
        await stay_silent(peer)
        assert connection.closed is None
        nursery.cancel_scope.cancel()


async def test_the_way_on_to_trio_ws() -> None:
    """Behind a connection is a WebSocket of trio_ws, for the parts of a program that have moved."""

    async def handler(request: WebSocketRequest) -> None:
        ws: trio_ws.WebSocket = (await request.accept()).websocket
        async for message in ws:
            await ws.send(message)

    async with serving(compat, handler) as running:
        connection = await running.connect(compat)
        await connection.send_message("hello")
        assert await connection.get_message() == "hello"
        await connection.aclose()
