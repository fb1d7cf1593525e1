"""The server: what it listens on, whom it admits, where its handlers run, and what it tells."""

import errno
import logging
import socket
import ssl
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import trio
import trio.testing

from tests.servers import (
    LOOPBACK,
    WrappingListener,
    answered,
    check_echo,
    check_echo_in_memory,
    closed_with,
    contexts,
    echo,
    ended_with,
    linger,
    open_peer,
    peer_of,
    serve_memory,
    serve_on_loopback,
)
from trio_ws import (
    ConnectionRejected,
    HandshakeError,
    HandshakeTimeout,
    Request,
    Response,
    Server,
    Timeouts,
    WebSocket,
    open_websocket_unix,
    open_websocket_url,
    serve_websocket,
    serve_websocket_listeners,
    wrap_client_stream,
    wrap_server_stream,
)
from trio_ws._accepting import LINGER_SECONDS
from trio_ws.testing import (
    BoundedStream,
    MemoryListener,
    Opcode,
    ScriptedPeer,
    bounded_stream_pair,
    serve_in_memory,
    upgrade_request,
)

needs_ip6 = pytest.mark.skipif(
    not Path("/proc/net/if_inet6").is_file() or not Path("/proc/net/if_inet6").read_text(),
    reason="there is no IPv6 here",
)
needs_unix_sockets = pytest.mark.skipif(
    not hasattr(socket, "AF_UNIX"), reason="there are no Unix sockets here"
)


def port_of(listener: trio.SocketListener) -> int:
    """Return the port it listens on."""
    port: int = listener.socket.getsockname()[1]
    return port


# Listening


async def test_server_listens_when_it_is_given() -> None:
    """``nursery.start`` returns when connections are accepted, on a port that it tells."""
    async with serve_on_loopback(echo) as server:
        (listener,) = server.listeners
        assert isinstance(listener, trio.SocketListener)
        assert server.port == port_of(listener) > 0
        await check_echo(server)


async def test_server_listens_on_the_port_it_is_told() -> None:
    """A free one in this test, of course."""
    async with serve_on_loopback(echo) as first:
        port = first.port
    async with trio.open_nursery() as nursery:
        server: Server = await nursery.start(serve_websocket, echo, LOOPBACK, port)
        assert server.port == port
        await check_echo(server)
        nursery.cancel_scope.cancel()


@needs_ip6
async def test_server_on_several_addresses_has_one_port() -> None:
    """Port 0 takes one that is free on all of them."""
    async with trio.open_nursery() as nursery:
        server: Server = await nursery.start(serve_websocket, echo, None, 0)
        assert len(server.listeners) > 1
        for listener in server.listeners:
            assert isinstance(listener, trio.SocketListener)
            assert port_of(listener) == server.port
        for host in ("127.0.0.1", "[::1]"):
            async with open_websocket_url(f"ws://{host}:{server.port}/") as ws:
                await ws.send("hello")
                assert await ws.receive() == "hello"
        nursery.cancel_scope.cancel()


class TwoAddresses:
    """Stands in for `trio.open_tcp_listeners` where there are two addresses, with ports apart.

    Args:
        taken: how many of the ports asked for turn out to be taken.
    """

    def __init__(self, taken: int) -> None:
        self._genuine = trio.open_tcp_listeners
        self._taken = taken
        self.asked: list[int] = []

    async def __call__(
        self, port: int, *, host: str | bytes | None = None
    ) -> list[trio.SocketListener]:
        """Open two listeners on two ports, or one where one port is asked for."""
        self.asked.append(port)
        if port == 0:
            return [*await self._genuine(0, host=host), *await self._genuine(0, host=host)]
        if self._taken:
            self._taken -= 1
            raise OSError(errno.EADDRINUSE, "taken")
        return await self._genuine(port, host=host)


@pytest.mark.parametrize("taken", [0, 1, 15])
async def test_port_that_is_taken_on_one_address_is_passed_over(
    taken: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was opened in vain is closed again."""
    opener = TwoAddresses(taken)
    monkeypatch.setattr(trio, "open_tcp_listeners", opener)
    async with serve_on_loopback(echo) as server:
        assert server.port == opener.asked[-1]
        assert len(opener.asked) == 2 * (taken + 1)
        await check_echo(server)


async def test_server_gives_up_when_no_port_is_free_on_all_addresses(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An OSError that says so, and nothing is left open."""
    monkeypatch.setattr(trio, "open_tcp_listeners", TwoAddresses(1000))
    with pytest.raises(OSError, match="no port that is free on all addresses") as caught:
        await serve_websocket(echo, LOOPBACK, 0)
    assert caught.value.errno == errno.EADDRINUSE


async def test_server_cancelled_while_it_looks_for_a_port_leaves_nothing_open(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nor does Cancelled between closing one listener and the next."""
    opener = TwoAddresses(1000)
    scope = trio.CancelScope()

    async def open_then_cancel(
        port: int, *, host: str | bytes | None = None
    ) -> list[trio.SocketListener]:
        listeners = await opener(port, host=host)
        scope.cancel()
        return listeners

    monkeypatch.setattr(trio, "open_tcp_listeners", open_then_cancel)
    with scope:
        await serve_websocket(echo, LOOPBACK, 0)
    assert scope.cancelled_caught


async def test_address_that_is_taken_is_an_oserror() -> None:
    """Plain, before anything runs."""
    async with serve_on_loopback(echo) as server:
        with pytest.raises(OSError, match="in use"):
            await serve_websocket(echo, LOOPBACK, server.port)


async def test_port_is_known_when_the_listeners_are_closed() -> None:
    """A server that was closed can still be told of in a log."""
    async with serve_on_loopback(echo) as server:
        port = server.port
        await server.aclose()
        assert server.port == port


async def test_port_of_a_listener_with_tls_of_its_own() -> None:
    """It is that of the listener below."""
    tls = contexts()
    (listener,) = await trio.open_ssl_over_tcp_listeners(0, tls.server, host=LOOPBACK)
    async with trio.open_nursery() as nursery:
        server: Server = await nursery.start(serve_websocket_listeners, echo, [listener])
        below = listener.transport_listener
        assert isinstance(below, trio.SocketListener)
        assert server.port == port_of(below)
        nursery.cancel_scope.cancel()


async def test_server_without_tcp_has_no_port() -> None:
    """In memory, for example."""
    async with serve_in_memory(echo) as server:
        with pytest.raises(ValueError, match="no port"):
            _ = server.server.port


@needs_unix_sockets
async def test_server_on_a_unix_socket(tmp_path: Path) -> None:
    """Handler and client see no addresses worth the name; there is no port either."""
    path = tmp_path / "socket"
    with trio.socket.socket(trio.socket.AF_UNIX) as listening:
        await listening.bind(str(path))
        listening.listen()
        async with trio.open_nursery() as nursery:
            serve = partial(serve_websocket_listeners, echo, [trio.SocketListener(listening)])
            server: Server = await nursery.start(serve)
            with pytest.raises(ValueError, match="no port"):
                _ = server.port
            async with open_websocket_unix(path, "ws://localhost/chat") as ws:
                assert ws.request.host == "localhost"
                assert ws.request.target == "/chat"
                await ws.send("hello")
                assert await ws.receive() == "hello"
            nursery.cancel_scope.cancel()


async def test_port_is_looked_for_behind_other_listeners(tmp_path: Path) -> None:
    """The first that is a TCP socket has it."""
    listeners: list[trio.abc.Listener[Any]] = [
        MemoryListener(),
        *await trio.open_tcp_listeners(0, host=LOOPBACK),
    ]
    async with trio.open_nursery() as nursery:
        server: Server = await nursery.start(serve_websocket_listeners, echo, listeners)
        await check_echo(server)
        nursery.cancel_scope.cancel()


async def test_server_on_a_socket_that_was_inherited() -> None:
    """As from a service manager: whatever makes a listener will do."""
    inherited = socket.create_server((LOOPBACK, 0))
    listener = trio.SocketListener(trio.socket.from_stdlib_socket(inherited))
    async with trio.open_nursery() as nursery:
        server: Server = await nursery.start(serve_websocket_listeners, echo, [listener])
        await check_echo(server)
        nursery.cancel_scope.cancel()


async def test_several_listeners_of_any_kind_make_one_server() -> None:
    """Their connections are together."""
    listeners = [MemoryListener(), MemoryListener()]
    async with trio.open_nursery() as nursery:
        server: Server = await nursery.start(serve_websocket_listeners, echo, listeners)
        assert server.listeners == tuple(listeners)
        peers: list[ScriptedPeer] = []
        for listener in listeners:
            peers.append(ScriptedPeer(await listener.connect(), "client"))
            await peers[-1].client_handshake()
        assert len(server.connections) == 2
        for peer in peers:
            await peer.aclose()
        nursery.cancel_scope.cancel()


async def test_cancelled_server_listens_no_more() -> None:
    """Whatever else it has to wait for."""
    async with serve_on_loopback(echo) as server:
        port = server.port
    with pytest.raises(OSError, match="all attempts to connect"):
        await trio.open_tcp_stream(LOOPBACK, port)


# Arguments


# What no type checker would let pass.
BadOptions = dict[str, Any]


bad_options = pytest.mark.parametrize(
    ("options", "error"),
    [
        (BadOptions(subprotocols="chat"), TypeError),
        (BadOptions(subprotocols=["a b"]), ValueError),
        (BadOptions(subprotocols=["a", "a"]), ValueError),
        (BadOptions(origins="https://example.com"), TypeError),
        (BadOptions(origins=["example.com"]), ValueError),
        (BadOptions(nonsense=1), TypeError),
    ],
)


@bad_options
async def test_bad_options_raise_before_anything_is_served(
    options: BadOptions, error: type[Exception]
) -> None:
    """No listener is left open, ours or theirs."""
    with pytest.raises(error):
        await serve_websocket(echo, LOOPBACK, 0, **options)
    listener = MemoryListener()
    with pytest.raises(error):
        await serve_websocket_listeners(echo, [listener], **options)
    with pytest.raises(ConnectionRefusedError):
        await listener.connect()


@bad_options
async def test_bad_options_close_the_stream_that_was_to_be_wrapped(
    options: BadOptions, error: type[Exception]
) -> None:
    """`wrap_server_stream` owns it from the first."""
    near, far = bounded_stream_pair()
    with pytest.raises(error):
        async with wrap_server_stream(far, **options):
            pass
    assert await near.receive_some() == b""


async def test_server_needs_a_listener() -> None:
    """None is most likely a mistake."""
    with pytest.raises(ValueError, match="listeners is empty"):
        await serve_websocket_listeners(echo, [])


# Connections


async def test_connections_are_those_that_are_open_now() -> None:
    """A snapshot: not those in the opening handshake, nor those that are closing."""
    websockets: list[WebSocket] = []

    async def handler(ws: WebSocket) -> None:
        websockets.append(ws)
        await linger(ws)

    async with serve_in_memory(handler) as server:
        assert server.server.connections == frozenset()
        async with await peer_of(server) as peer:
            await peer.send_bytes(b"GET / HT")
            await trio.testing.wait_all_tasks_blocked()
            assert server.server.connections == frozenset()
        first, second = await open_peer(server), await open_peer(server)
        before = server.server.connections
        assert before == set(websockets)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(websockets[0].aclose)
            await trio.testing.wait_all_tasks_blocked()
            assert server.server.connections == {websockets[1]}
            assert before == set(websockets)
            assert await closed_with(first) == 1000
        await websockets[1].send("hello")
        for peer in (first, second):
            await peer.aclose()


async def test_connection_of_a_handler_that_is_still_busy_is_none_when_it_is_closed() -> None:
    """However long the handler takes to notice."""
    async with serve_in_memory(linger) as server, await open_peer(server) as peer:
        (websocket,) = server.server.connections
        async with trio.open_nursery() as nursery:
            nursery.start_soon(websocket.wait_closed)
            await peer.close_frame()
            assert await ended_with(peer) == 1000
        assert server.server.connections == frozenset()


# max_connections


async def test_one_connection_too_many_is_answered_503(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """With Retry-After; handshakes in flight do not count, and a place that is free is taken."""
    async with serve_memory(echo, max_connections=2) as server:
        async with await peer_of(server) as in_flight:
            await in_flight.send_bytes(b"GET / HT")
            first, second = await open_peer(server), await open_peer(server)
            async with await peer_of(server) as third:
                await third.send_bytes(upgrade_request())
                head, _ = await answered(third)
            assert head.status == 503
            assert head.values("Retry-After") == ["1"]
            await in_flight.send_bytes(upgrade_request()[len(b"GET / HT") :])
            assert (await in_flight.receive_head()).status == 503
        await first.close_frame()
        await ended_with(first)
        await trio.testing.wait_all_tasks_blocked()
        await check_echo_in_memory(server)
        await second.aclose()


async def test_two_that_want_the_last_place_do_not_both_get_it(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Who is decided when it is opened, however long ``process_request`` takes."""
    statuses: list[int | None] = []

    async def process_request(request: Request) -> None:
        await trio.sleep(1)

    async def ask(peer: ScriptedPeer) -> None:
        await peer.send_bytes(upgrade_request())
        statuses.append((await peer.receive_head()).status)

    async with serve_memory(echo, max_connections=1, process_request=process_request) as server:
        peers = [await peer_of(server) for _ in range(3)]
        async with trio.open_nursery() as nursery:
            for peer in peers:
                nursery.start_soon(ask, peer)
        for peer in peers:
            await peer.aclose()
    assert sorted(status or 0 for status in statuses) == [101, 503, 503]


async def test_pages_are_served_by_a_full_server() -> None:
    """Only WebSockets are counted, and refusals cost nothing."""

    def process_request(request: Request) -> Response | None:
        return None if request.is_upgrade else Response(200, body="healthy")

    async with (
        serve_memory(echo, max_connections=1, process_request=process_request) as server,
        await open_peer(server),
    ):
        for _ in range(3):
            async with await peer_of(server) as peer:
                await peer.send_bytes(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
                head, body = await answered(peer)
                assert (head.status, body) == (200, b"healthy")


# Where handlers run


async def test_handlers_run_in_the_nursery_that_is_given() -> None:
    """They outlive the call that accepts, and need nothing of it."""
    nurseries: list[trio.Nursery | None] = []

    async def handler(ws: WebSocket) -> None:
        nurseries.append(trio.lowlevel.current_task().parent_nursery)
        await echo(ws)

    listener = MemoryListener()
    async with trio.open_nursery() as handlers:
        async with serve_memory(handler, listener, handler_nursery=handlers) as server:
            peer = await open_peer(server)
        with pytest.raises(ConnectionRefusedError):
            await listener.connect()
        await peer.send_frame(Opcode.TEXT, b"still here")
        frame = await peer.receive_frame()
        assert frame is not None
        assert frame.payload == b"still here"
        await peer.close_frame()
        assert await ended_with(peer) == 1000
    assert nurseries == [handlers]


async def test_cancelled_nursery_of_handlers_ends_them_and_no_server(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Their peers get 1001; who comes later is turned away, not left hanging."""
    async with trio.open_nursery() as nursery:
        handlers: trio.Nursery = await nursery.start(keep_nursery)
        handlers.start_soon(sleep_shielded, 30)  # or it would be closed
        async with serve_memory(echo, handler_nursery=handlers) as server:
            async with await open_peer(server) as peer:
                handlers.cancel_scope.cancel()
                assert await closed_with(peer) == 1001
            async with await peer_of(server) as late:
                assert await ended_with(late) is None


async def sleep_shielded(seconds: float) -> None:
    """Sleep, cancelled or not."""
    with trio.CancelScope(shield=True):
        await trio.sleep(seconds)


async def test_closed_nursery_of_handlers_is_an_error_that_leaves_nothing_open() -> None:
    """There is nowhere to serve: the server ends, and so does the connection."""
    async with trio.open_nursery() as handlers:
        pass
    listener = MemoryListener()
    client = await listener.connect()
    with pytest.raises(ExceptionGroup) as caught:
        await serve_websocket_listeners(echo, [listener], handler_nursery=handlers)
    assert caught.group_contains(RuntimeError, match="closed")
    assert await client.receive_some() == b""
    with pytest.raises(ConnectionRefusedError):
        await listener.connect()


async def test_failure_of_a_handler_in_a_nursery_of_ones_own_goes_there() -> None:
    """With ``isolate_handlers=False``: the server itself does not see it."""

    async def handler(ws: WebSocket) -> None:
        raise ValueError("a bug")

    peers: list[ScriptedPeer] = []

    async def run() -> None:
        async with trio.open_nursery() as outer:
            handlers: trio.Nursery = await outer.start(keep_nursery)
            serve = partial(serve_memory, handler_nursery=handlers, isolate_handlers=False)
            async with serve(handler) as server:
                peers.append(await open_peer(server))
                assert await closed_with(peers[0]) == 1011
                await trio.sleep_forever()

    with pytest.raises(ExceptionGroup) as caught:
        await run()
    assert caught.group_contains(ValueError, match="a bug")


async def keep_nursery(task_status: trio.TaskStatus[trio.Nursery]) -> None:
    """Keep a nursery open for others."""
    async with trio.open_nursery() as nursery:
        task_status.started(nursery)
        await trio.sleep_forever()


# Accepting


class FailingListener(WrappingListener):
    """A listener whose ``accept`` fails some times first."""

    def __init__(self, listener: MemoryListener, *errors: OSError) -> None:
        super().__init__(listener, lambda stream: stream)
        self._errors = list(errors)

    async def accept(self) -> trio.abc.Stream:
        """Fail, or accept."""
        await trio.lowlevel.checkpoint()
        if self._errors:
            raise self._errors.pop(0)
        return await super().accept()


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS])
async def test_server_out_of_resources_tries_again(
    number: int, autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    """Ten times a second, and it says so once a minute."""
    listener = MemoryListener()
    failing = FailingListener(listener, *[OSError(number, "no more")] * 650)
    async with trio.open_nursery() as nursery:
        await nursery.start(serve_websocket_listeners, echo, [failing])
        peer = ScriptedPeer(await listener.connect(), "client")
        await peer.client_handshake()
        assert 64 < trio.current_time() < 66
        await peer.aclose()
        nursery.cancel_scope.cancel()
    errors = [each for each in caplog.records if each.levelno > logging.INFO]
    assert len(errors) == 2


async def test_listener_that_fails_otherwise_ends_the_server() -> None:
    """Nobody knows what it means; the others are closed too."""
    listener = MemoryListener()
    failing = FailingListener(MemoryListener(), OSError(errno.EPERM, "no"))
    with pytest.raises(ExceptionGroup) as caught:
        await serve_websocket_listeners(echo, [listener, failing])
    assert caught.group_contains(OSError, match="no")
    with pytest.raises(ConnectionRefusedError):
        await listener.connect()


# wrap_server_stream


def ssl_pair() -> tuple[trio.SSLStream[BoundedStream], trio.SSLStream[BoundedStream]]:
    """Return somebody's own TLS streams, client and server, that have not shaken hands."""
    tls = contexts()
    near, far = bounded_stream_pair()
    return (
        trio.SSLStream(near, tls.client, server_hostname="localhost"),
        trio.SSLStream(far, tls.server, server_side=True),
    )


StreamPair = tuple[trio.abc.Stream, trio.abc.Stream]


def memory_pair() -> StreamPair:
    """Return Trio's own streams in memory."""
    return trio.testing.memory_stream_pair()


def socket_pair() -> StreamPair:
    """Return streams over two connected sockets."""
    near, far = (
        trio.SocketStream(trio.socket.from_stdlib_socket(each)) for each in socket.socketpair()
    )
    return near, far


@pytest.mark.parametrize("make_pair", [bounded_stream_pair, memory_pair, socket_pair, ssl_pair])
async def test_stream_of_any_kind_can_be_wrapped(make_pair: Callable[[], StreamPair]) -> None:
    """At both ends; TLS shakes hands by itself."""
    near, far = make_pair()

    async def serve() -> None:
        async with wrap_server_stream(far, subprotocols=["chat"]) as ws:
            assert ws.request.path == "/path"
            assert ws.request.secure == isinstance(far, trio.SSLStream)
            await echo(ws)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve)
        async with wrap_client_stream(near, "ws://localhost/path", subprotocols=["chat"]) as ws:
            assert ws.subprotocol == "chat"
            assert ws.request.secure == isinstance(near, trio.SSLStream)
            for message in ("hello", b"\x00", "x" * 100_000):
                await ws.send(message)
                assert await ws.receive() == message


async def test_wrapped_stream_whose_block_is_left_is_closed_with_1000() -> None:
    """And the stream is closed."""
    near, far = bounded_stream_pair()
    peer = ScriptedPeer(near, "client")

    async def serve() -> None:
        async with wrap_server_stream(far):
            pass

    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve)
        await peer.client_handshake()
        assert await closed_with(peer) == 1000


@pytest.mark.parametrize(
    "error", [ValueError("plain"), ExceptionGroup("a group", [ValueError("in it")])]
)
async def test_wrapped_stream_whose_block_raises_is_closed_with_1011(error: Exception) -> None:
    """R15: the exception comes out as it was, in no group but its own."""
    near, far = bounded_stream_pair()
    peer = ScriptedPeer(near, "client")

    async def serve() -> None:
        with pytest.raises(type(error)) as caught:
            async with wrap_server_stream(far):
                raise error
        assert caught.value is error
        assert error.__context__ is None

    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve)
        await peer.client_handshake()
        assert await closed_with(peer) == 1011


async def test_wrapped_stream_whose_block_is_cancelled_is_closed_with_1001() -> None:
    """The cancellation goes where it belongs."""
    near, far = bounded_stream_pair()
    peer = ScriptedPeer(near, "client")

    async def serve() -> None:
        async with wrap_server_stream(far):
            await trio.sleep_forever()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve)
        await peer.client_handshake()
        nursery.cancel_scope.cancel()
        with trio.CancelScope(shield=True):
            assert await closed_with(peer) == 1001


@pytest.mark.parametrize("sent", [b"", b"GET / HTTP/1.1\r\n"])
async def test_wrapped_stream_without_a_request_is_a_timeout(
    sent: bytes, autojump_clock: trio.testing.MockClock
) -> None:
    """In the phase in which it was, after ``timeouts.open``; the client is told."""
    near, far = bounded_stream_pair()
    await near.send_all(sent)
    with pytest.raises(HandshakeTimeout) as caught:
        async with wrap_server_stream(far, timeouts=Timeouts(open=7)):
            pass
    assert (caught.value.phase, caught.value.seconds) == ("handshake", 7)
    assert 7 <= trio.current_time() <= 7 + LINGER_SECONDS
    async with ScriptedPeer(near, "client") as peer:
        assert (await answered(peer))[0].status == 408


async def test_wrapped_stream_whose_request_takes_too_long_to_judge_is_a_timeout(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """The client, which has done its part, is told that it was not its fault."""

    async def process_request(request: Request) -> None:
        await trio.sleep_forever()

    near, far = bounded_stream_pair()
    await near.send_all(upgrade_request())
    with pytest.raises(HandshakeTimeout):
        async with wrap_server_stream(far, process_request=process_request):
            pass
    async with ScriptedPeer(near, "client") as peer:
        assert (await answered(peer))[0].status == 503


async def test_looking_for_room_does_not_look_at_every_connection(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """With very many connections each handshake would take longer than the one before."""
    async with serve_memory(echo, max_connections=3) as server:
        peers = [await open_peer(server) for _ in range(2)]
        memory = server.server
        assert memory._has_room
        with mock.patch.object(memory, "_serving", None):
            assert memory._has_room
        peers.append(await open_peer(server))
        assert not memory._has_room
        for peer in peers:
            await peer.aclose()
        await trio.testing.wait_all_tasks_blocked()
        assert (memory._has_room, memory._opened) == (True, 0)


async def test_wrapped_stream_without_tls_is_a_timeout_of_tls(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """As soon as the stream is an SSLStream, its handshake counts."""
    near, far = ssl_pair()
    with pytest.raises(HandshakeTimeout) as caught:
        async with wrap_server_stream(far, timeouts=Timeouts(open=7)):
            pass
    assert caught.value.phase == "tls"
    assert await near.transport_stream.receive_some() == b""


async def test_wrapped_stream_whose_tls_fails_is_a_handshake_error() -> None:
    """With what ``ssl`` has to say."""
    near, far = ssl_pair()
    await near.transport_stream.send_all(b"GET / HTTP/1.1\r\n\r\n")
    with pytest.raises(HandshakeError, match=r"TLS handshake failed: .*SSL") as caught:
        async with wrap_server_stream(far):
            pass
    assert isinstance(caught.value.__cause__, trio.BrokenResourceError)
    assert isinstance(caught.value.__cause__.__cause__, ssl.SSLError)


async def test_wrapped_stream_that_is_closed_already_is_a_handshake_error() -> None:
    """With TLS or without."""
    _, far = ssl_pair()
    await trio.aclose_forcefully(far)
    with pytest.raises(HandshakeError):
        async with wrap_server_stream(far):
            pass


async def test_wrapped_stream_that_refuses_raises_what_it_answered() -> None:
    """The body of the block is not run."""
    near, far = bounded_stream_pair()
    peer = ScriptedPeer(near, "client")
    await peer.send_bytes(upgrade_request(headers=[("Origin", "https://evil.example")]))
    await near.send_eof()
    with pytest.raises(ConnectionRejected) as caught:
        async with wrap_server_stream(far):
            raise AssertionError
    assert caught.value.response.status == 403
    head, body = await answered(peer)
    assert (head.status, body) == (403, caught.value.response.body)


async def test_wrapped_stream_cancelled_in_the_handshake_is_closed() -> None:
    """There never was a WebSocket."""
    near, far = bounded_stream_pair()
    with trio.move_on_after(0):
        async with wrap_server_stream(far):
            raise AssertionError
    assert await near.receive_some() == b""
