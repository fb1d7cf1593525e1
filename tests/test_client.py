"""The client: what it asks, what may go wrong and how it says so, and what a block brings about."""

import base64
import gc
import socket
import weakref
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, Unpack

import pytest
import trio
import trio.testing

from tests.servers import (
    LOOPBACK,
    Through,
    check_echo,
    close_code_of,
    closed_with,
    contexts,
    echo,
    ended_with,
    over_tcp_and_tls,
    serve_on_loopback,
)
from trio_ws import (
    ClientOptions,
    ClosedLocally,
    ConnectionEnded,
    ConnectionRejected,
    HandshakeError,
    HandshakeTimeout,
    InvalidURL,
    Keepalive,
    Limits,
    Request,
    Response,
    Timeouts,
    TLSFailed,
    WebSocket,
    connect_websocket_url,
    open_websocket_unix,
    open_websocket_url,
    wrap_client_stream,
)
from trio_ws.testing import (
    BoundedStream,
    Head,
    Opcode,
    ScriptedPeer,
    bounded_stream_pair,
    build_frame,
    serve_in_memory,
    upgrade_response,
)

URL = "ws://localhost/"

# For peers that do not shake hands in the end, in seconds.
SHORT = Timeouts(close=0.01)


def scripted_server(capacity: int = 65536) -> tuple[BoundedStream, ScriptedPeer]:
    """Return a stream for a client, and the server at its other end in the hands of the test."""
    near, far = bounded_stream_pair(capacity)
    return near, ScriptedPeer(far, "server")


async def request_of(
    url: str = URL, *, answer: list[tuple[str, str]] | None = None, **options: Unpack[ClientOptions]
) -> Head:
    """Return the request that a client makes of these arguments; accept it, and let it leave."""
    near, peer = scripted_server()
    request: Head | None = None

    async def serve() -> None:
        nonlocal request
        request = await peer.server_handshake(headers=answer or [])
        assert await closed_with(peer) == 1000

    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve)
        async with wrap_client_stream(near, url, **options):
            pass
    assert request is not None
    return request


@asynccontextmanager
async def serve_raw(
    handler: Callable[[trio.SocketStream], Awaitable[object]],
) -> AsyncGenerator[int, None]:
    """Call a function with each stream that is accepted on the port that this yields."""
    async with trio.open_nursery() as nursery:
        listeners: list[trio.SocketListener] = await nursery.start(
            partial(trio.serve_tcp, handler, 0, host=LOOPBACK)
        )
        yield listeners[0].socket.getsockname()[1]
        nursery.cancel_scope.cancel()


class Resolver(trio.abc.HostnameResolver):
    """Looks up every name as the test wants it."""

    def __init__(self, look_up: Callable[[], Awaitable[Any]]) -> None:
        self._look_up = look_up
        self.asked: list[bytes | None] = []

    async def getaddrinfo(  # noqa: PLR0917 - as the interface wants it
        self,
        host: bytes | None,
        port: bytes | str | int | None,
        family: int = 0,
        type: int = 0,  # noqa: A002 - its name in the interface
        proto: int = 0,
        flags: int = 0,
    ) -> Any:
        """Do what the test wants instead."""
        self.asked.append(host)
        return await self._look_up()

    async def getnameinfo(
        self, sockaddr: tuple[str, int] | tuple[str, int, int, int], flags: int
    ) -> tuple[str, str]:
        """Never asked."""
        raise NotImplementedError


async def never() -> None:
    """Wait in vain."""
    await trio.sleep_forever()


# What it asks


async def test_client_talks_to_a_server() -> None:
    """Text and binary, each way."""
    async with (
        serve_on_loopback(echo) as server,
        open_websocket_url(f"ws://localhost:{server.port}/chat?room=1") as ws,
    ):
        assert ws.request.target == "/chat?room=1"
        assert ws.response.status == 101
        assert (ws.subprotocol, ws.context) == (None, None)
        for message in ("hello", b"\x00\xff", "", b"", "é" * 100_000):
            await ws.send(message)
            assert await ws.receive() == message


async def test_client_knows_the_addresses() -> None:
    """Of both ends, from the socket."""
    async with (
        serve_on_loopback(echo) as server,
        open_websocket_url(f"ws://{LOOPBACK}:{server.port}/") as ws,
    ):
        assert ws.peer_address == (LOOPBACK, server.port)
        assert isinstance(ws.local_address, tuple)
        assert ws.request.peer_address == ws.peer_address
        assert not ws.request.secure


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="there is no IPv6 here")
async def test_client_connects_to_an_ip6_address() -> None:
    """In brackets, in the URL and in the Host header."""
    hosts: list[str] = []

    async def handler(ws: WebSocket) -> None:
        hosts.append(ws.request.host)
        await echo(ws)

    async with (
        serve_on_loopback(handler, host="::1") as server,
        open_websocket_url(f"ws://[::1]:{server.port}/") as ws,
    ):
        await ws.send("hello")
        assert await ws.receive() == "hello"
    assert hosts == [f"[::1]:{server.port}"]


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="there are no Unix sockets here")
async def test_client_connects_to_a_unix_socket(tmp_path: Path) -> None:
    """What is asked for comes from the URL; a path of any kind will do."""
    path = tmp_path / "socket"
    requests: list[Head] = []

    async def serve(listening: trio.socket.SocketType) -> None:
        for _ in range(2):
            stream, _ = await listening.accept()
            peer = ScriptedPeer(trio.SocketStream(stream), "server")
            requests.append(await peer.server_handshake())
            assert await closed_with(peer) == 1000
            await peer.aclose()

    with trio.socket.socket(trio.socket.AF_UNIX) as listening:
        await listening.bind(str(path))
        listening.listen()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(serve, listening)
            async with open_websocket_unix(path):
                pass
            async with open_websocket_unix(str(path), "ws://chat.example:81/room", origin="null"):
                pass
    first, second = requests
    assert (first.target, first.values("Host")) == ("/", ["localhost"])
    assert (second.target, second.values("Host")) == ("/room", ["chat.example:81"])
    assert second.values("Origin") == ["null"]


async def test_client_takes_a_stream_with_tls_of_its_own() -> None:
    """It shakes hands, unless that was done before."""
    tls = contexts()
    for shaken in (False, True):
        near, far = bounded_stream_pair()
        client = trio.SSLStream(near, tls.client, server_hostname="localhost")
        server = trio.SSLStream(far, tls.server, server_side=True)
        peer = ScriptedPeer(server, "server")

        async def serve(peer: ScriptedPeer = peer) -> None:
            await peer.server_handshake()
            frame = await peer.receive_frame()
            assert frame is not None
            assert frame.close_code == 1000

        async with trio.open_nursery() as nursery:
            nursery.start_soon(serve)
            if shaken:
                await client.do_handshake()
            async with wrap_client_stream(client, "wss://localhost/", timeouts=SHORT) as ws:
                assert ws.request.secure
                assert ws.stream is client


async def test_client_asks_for_the_target_of_the_url() -> None:
    """Percent-encoded, with the query; and for the host, with the port where it is not 80."""
    request = await request_of("ws://Example.COM:8080/caf\u00e9?q=a%20b")
    assert request.target == "/caf%C3%A9?q=a%20b"
    assert request.values("Host") == ["example.com:8080"]
    assert (await request_of("ws://example.com")).values("Host") == ["example.com"]


async def test_client_asks_for_what_the_options_say() -> None:
    """Subprotocols in their order, headers, an origin; none of them by default."""
    request = await request_of(
        answer=[("Sec-WebSocket-Protocol", "b")],
        subprotocols=["a", "b"],
        headers=[("X-Twice", "1"), ("X-Twice", "2"), ("Cookie", "id=1")],
        origin="https://example.com",
    )
    assert request.items("Sec-WebSocket-Protocol") == ["a", "b"]
    assert request.values("X-Twice") == ["1", "2"]
    assert request.values("Cookie") == ["id=1"]
    assert request.values("Origin") == ["https://example.com"]
    bare = {name.lower() for name, _ in (await request_of()).headers}
    assert bare == {
        *("host", "upgrade", "connection"),
        *("sec-websocket-key", "sec-websocket-version"),
    }


async def test_client_has_the_subprotocol_that_the_server_chose() -> None:
    """And the server's headers."""
    near, peer = scripted_server()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(
            partial(
                peer.server_handshake, headers=[("Sec-WebSocket-Protocol", "b"), ("X-Me", "yes")]
            )
        )
        async with wrap_client_stream(near, URL, subprotocols=["a", "b"]) as ws:
            assert ws.subprotocol == "b"
            assert ws.response.headers["X-Me"] == "yes"
            await peer.aclose()


async def test_user_and_password_in_the_url_become_basic_authorization() -> None:
    """Percent-decoded, as UTF-8; a header that is given takes precedence."""
    request = await request_of("ws://us%65r:p%40ss%C3%A9@localhost/")
    (value,) = request.values("Authorization")
    assert base64.b64decode(value.removeprefix("Basic ")).decode() == "user:p@ss\u00e9"
    request = await request_of(
        "ws://user:secret@localhost/", headers={"Authorization": "Bearer token"}
    )
    assert request.values("Authorization") == ["Bearer token"]


async def test_every_request_has_a_key_of_its_own() -> None:
    """RFC 6455 section 4.1: it is random."""
    keys = {(await request_of()).values("Sec-WebSocket-Key")[0] for _ in range(10)}
    assert len(keys) == 10


# What cannot be asked


BAD_ARGUMENTS: list[tuple[str, dict[str, Any], type[Exception]]] = [
    ("http://localhost/", {}, InvalidURL),
    ("localhost:80", {}, InvalidURL),
    ("ws://localhost/#top", {}, InvalidURL),
    ("ws://localhost/a b", {}, InvalidURL),
    ("ws://user:se cret@localhost/", {}, InvalidURL),
    (URL, {"subprotocols": "chat"}, TypeError),
    (URL, {"subprotocols": ["a,b"]}, ValueError),
    (URL, {"headers": {"X": "a\r\nInjected: yes"}}, ValueError),
    (URL, {"headers": {"Sec-WebSocket-Key": "mine"}}, ValueError),
    (URL, {"headers": {"Connection": "close"}}, ValueError),
    (URL, {"origin": "https://a.example\n"}, ValueError),
    (URL, {"origin": "https://a.example", "headers": {"Origin": "https://b.example"}}, ValueError),
    (URL, {"nonsense": 1}, TypeError),
]


@pytest.mark.parametrize(("url", "options", "error"), BAD_ARGUMENTS)
async def test_bad_arguments_raise_before_anybody_is_asked(
    url: str, options: dict[str, Any], error: type[Exception]
) -> None:
    """No name is looked up, no connection is made, and no password is shown."""
    resolver = Resolver(never)
    trio.socket.set_custom_hostname_resolver(resolver)
    with pytest.raises(error) as caught:
        async with open_websocket_url(url, **options):
            pass
    assert "cret" not in str(caught.value)
    async with trio.open_nursery() as nursery:
        with pytest.raises(error):
            await connect_websocket_url(nursery, url, **options)
    with pytest.raises(error):
        async with open_websocket_unix("/nowhere", url, **options):
            pass
    assert not resolver.asked


@pytest.mark.parametrize(("url", "options", "error"), BAD_ARGUMENTS)
async def test_bad_arguments_close_the_stream_that_was_to_be_wrapped(
    url: str, options: dict[str, Any], error: type[Exception]
) -> None:
    """It is owned from the first, and nothing is sent."""
    near, peer = scripted_server()
    with pytest.raises(error):
        async with wrap_client_stream(near, url, **options):
            pass
    assert await peer.stream.receive_some() == b""


async def test_ssl_context_goes_with_wss_only() -> None:
    """It would not be used: most likely the URL is wrong."""
    with pytest.raises(ValueError, match="wss") as caught:
        async with open_websocket_url("ws://user:secret@localhost/", contexts().client):
            pass
    assert "secret" not in str(caught.value)


async def test_unix_socket_goes_with_ws_only() -> None:
    """There is no TLS on it."""
    with pytest.raises(ValueError, match="must be ws") as caught:
        async with open_websocket_unix("/nowhere", "wss://user:secret@localhost/"):
            pass
    assert "secret" not in str(caught.value)


# Nobody there


async def test_connection_that_is_refused_is_an_oserror() -> None:
    """Plain, with the reason of each address as its cause."""
    with socket.socket() as bound:
        bound.bind((LOOPBACK, 0))
        with pytest.raises(OSError, match="all attempts to connect") as caught:
            async with open_websocket_url(f"ws://{LOOPBACK}:{bound.getsockname()[1]}/"):
                pass
    assert not isinstance(caught.value, HandshakeError)


async def test_name_that_does_not_exist_is_an_oserror() -> None:
    """The one that the lookup gave."""

    async def fail() -> None:
        await trio.lowlevel.checkpoint()
        raise socket.gaierror(socket.EAI_NONAME, "unknown")

    trio.socket.set_custom_hostname_resolver(Resolver(fail))
    with pytest.raises(socket.gaierror, match="unknown"):
        async with open_websocket_url("ws://nowhere.example/"):
            pass


async def test_unix_socket_that_is_not_there_is_an_oserror(tmp_path: Path) -> None:
    """The one that the system gave."""
    with pytest.raises(FileNotFoundError):
        async with open_websocket_unix(tmp_path / "nowhere"):
            pass


# Too slow


async def test_name_lookup_without_an_end_is_a_timeout_of_connect(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """After ``timeouts.open``."""
    trio.socket.set_custom_hostname_resolver(Resolver(never))
    with pytest.raises(HandshakeTimeout, match="within 3 seconds") as caught:
        async with open_websocket_url("ws://localhost/", timeouts=Timeouts(open=3)):
            pass
    assert (caught.value.phase, caught.value.seconds) == ("connect", 3)
    assert isinstance(caught.value, TimeoutError)
    assert trio.current_time() == 3


@pytest.mark.parametrize(("scheme", "phase"), [("ws", "handshake"), ("wss", "tls")])
async def test_server_that_accepts_and_says_nothing_is_a_timeout(scheme: str, phase: str) -> None:
    """D13: of the phase in which it was; over sockets."""
    closed = trio.Event()

    async def be_silent(stream: trio.SocketStream) -> None:
        async with stream:
            while await stream.receive_some():
                pass
        closed.set()

    async with serve_raw(be_silent) as port:
        tls = contexts().client if scheme == "wss" else None
        with pytest.raises(HandshakeTimeout) as caught:
            async with open_websocket_url(
                f"{scheme}://localhost:{port}/", tls, timeouts=Timeouts(open=0.1)
            ):
                pass
        await closed.wait()
    assert caught.value.phase == phase


@pytest.mark.parametrize("capacity", [16, 65536])
async def test_wrapped_stream_without_an_answer_is_a_timeout(
    capacity: int, autojump_clock: trio.testing.MockClock
) -> None:
    """Also where nobody reads the request; the stream is closed."""
    near, peer = scripted_server(capacity)
    with pytest.raises(HandshakeTimeout) as caught:
        async with wrap_client_stream(near, URL, timeouts=Timeouts(open=7)):
            pass
    assert caught.value.phase == "handshake"
    assert trio.current_time() == 7
    while await peer.stream.receive_some():
        pass


async def test_wrapped_stream_without_tls_is_a_timeout_of_tls(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Where it is an `trio.SSLStream` that has not shaken hands."""
    near, _ = bounded_stream_pair()
    stream = trio.SSLStream(near, contexts().client, server_hostname="localhost")
    with pytest.raises(HandshakeTimeout) as caught:
        async with wrap_client_stream(stream, URL, timeouts=Timeouts(open=7)):
            pass
    assert caught.value.phase == "tls"


async def test_time_for_opening_does_not_limit_the_block(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """It is over when the connection is open."""
    async with (
        serve_in_memory(echo) as server,
        server.open_websocket(timeouts=Timeouts(open=3)) as ws,
    ):
        await trio.sleep(100)
        await ws.send("hello")
        assert await ws.receive() == "hello"


# Other answers


async def failure_after(data: bytes, *, end: bool = False) -> HandshakeError:
    """Return what a client raises that is answered so."""
    near, peer = scripted_server()

    async def serve() -> None:
        await peer.receive_head()
        await peer.send_bytes(data)
        if end:
            await peer.aclose()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve)
        with pytest.raises(HandshakeError) as caught:
            async with wrap_client_stream(near, URL):
                pass
    return caught.value


async def test_other_answer_is_in_the_exception() -> None:
    """Status, headers and body; the message shows the beginning."""

    def process_request(request: Request) -> Response:
        return Response(401, {"WWW-Authenticate": "Basic"}, "who are you?")

    async with serve_on_loopback(echo, process_request=process_request) as server:
        with pytest.raises(ConnectionRejected, match=r"401 \(Unauthorized\): 'who are") as caught:
            async with open_websocket_url(f"ws://{LOOPBACK}:{server.port}/"):
                pass
    response = caught.value.response
    assert (response.status, response.body) == (401, b"who are you?")
    assert response.headers["WWW-Authenticate"] == "Basic"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirect_is_not_followed(status: int) -> None:
    """H14: nobody else is connected to, and learns what was meant for this server."""
    connected = False

    async def be_elsewhere(stream: trio.SocketStream) -> None:
        nonlocal connected
        connected = True

    async with serve_raw(be_elsewhere) as elsewhere:
        location = f"ws://localhost:{elsewhere}/"

        def process_request(request: Request) -> Response:
            return Response(status, {"Location": location})

        async with serve_on_loopback(echo, process_request=process_request) as server:
            with pytest.raises(ConnectionRejected) as caught:
                async with open_websocket_url(
                    f"ws://user:secret@localhost:{server.port}/", headers={"Cookie": "id=1"}
                ):
                    pass
        await trio.testing.wait_all_tasks_blocked()
    assert caught.value.response.headers["Location"] == location
    assert not connected


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"HTTP/1.1 101 Switching Protocols\r\n",
        b"SSH-2.0-OpenSSH_9.9\r\n",
        b"\x15\x03\x03\x00\x02\x02\x28",
        upgrade_response("b3RoZXIga2V5IGVudGlyZQ=="),
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
    ],
    ids=["nothing", "half a head", "SSH", "TLS", "another key", "bare 101"],
)
async def test_what_is_no_answer_is_a_handshake_error(data: bytes) -> None:
    """Plain, and of no subclass: nobody was rejected."""
    assert type(await failure_after(data, end=True)) is HandshakeError


async def test_ssh_banner_is_not_waited_on(autojump_clock: trio.testing.MockClock) -> None:
    """H13: it is an error at once, though the other end waits for more."""
    await failure_after(b"SSH-2.0-OpenSSH_9.9\r\n")
    assert trio.current_time() == 0


async def test_stream_that_breaks_before_the_answer_is_a_handshake_error() -> None:
    """With the transport's error as its cause, and words for it."""
    near, peer = scripted_server()
    assert isinstance(peer.stream, BoundedStream)
    peer.stream.reset()
    with pytest.raises(HandshakeError, match=r"broke before the server answered: \w") as caught:
        async with wrap_client_stream(near, URL):
            pass
    assert isinstance(caught.value.__cause__, trio.BrokenResourceError)


async def test_stream_that_was_closed_before_is_a_handshake_error() -> None:
    """With TLS or without, no error of Trio's comes out."""
    near, _ = scripted_server()
    await near.aclose()
    with pytest.raises(HandshakeError):
        async with wrap_client_stream(near, URL):
            pass
    near, _ = scripted_server()
    stream = trio.SSLStream(near, contexts().client, server_hostname="localhost")
    await trio.aclose_forcefully(stream)
    with pytest.raises(TLSFailed):
        async with wrap_client_stream(stream, URL):
            pass


async def test_connection_that_is_reset_instead_of_an_answer_is_a_handshake_error() -> None:
    """Over a socket, with what the system says."""

    async def crash(stream: trio.SocketStream) -> None:
        await stream.receive_some(1)
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

    async with serve_raw(crash) as port:
        with pytest.raises(HandshakeError, match=r"broke before the server answered: .*reset"):
            async with open_websocket_url(f"ws://{LOOPBACK}:{port}/"):
                pass


@pytest.mark.parametrize(
    ("beginning", "more", "error"),
    [
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n", HandshakeError),
        (b"", b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", HandshakeError),
        (b"HTTP/1.1 200 OK\r\n", b"X: y\r\n", HandshakeError),
        (b"HTTP/1.1 200 OK\r\nX: ", b"y" * 100, HandshakeError),
        (b"HTTP/1.1 500 Oops\r\n\r\n", b"x" * 1000, ConnectionRejected),
        (
            b"HTTP/1.1 500 Oops\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"64\r\n" + b"x" * 100 + b"\r\n",
            ConnectionRejected,
        ),
    ],
    ids=["100", "103", "headers", "header", "body", "chunks"],
)
async def test_endless_answer_is_cut_off(
    beginning: bytes,
    more: bytes,
    error: type[HandshakeError],
    autojump_clock: trio.testing.MockClock,
) -> None:
    """H13: after so many bytes that no honest answer has more."""
    pushed = 0
    near, peer = scripted_server()

    async def serve() -> None:
        nonlocal pushed
        with suppress(trio.BrokenResourceError):
            await peer.send_bytes(beginning)
            while True:
                await peer.send_bytes(more)
                pushed += len(more)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve)
        with pytest.raises(error) as caught:
            async with wrap_client_stream(near, URL):
                pass
    assert type(caught.value) is error
    assert pushed < 3 * 65536
    assert trio.current_time() == 0
    if isinstance(caught.value, ConnectionRejected):
        assert len(caught.value.response.body) <= Limits().max_error_body


async def test_answer_whose_body_does_not_come_is_a_timeout(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """H13: it ends within ``timeouts.open`` like everything else."""
    error = await failure_after(b"HTTP/1.1 500 Oops\r\nContent-Length: 100\r\n\r\nhalf")
    assert isinstance(error, HandshakeTimeout)
    assert trio.current_time() == 10


FIRST_FRAMES = build_frame(Opcode.TEXT, b"hello") + build_frame(Opcode.BINARY, b"\x00\xff")


@pytest.mark.parametrize("cut", range(len(FIRST_FRAMES) + 1))
async def test_frames_behind_the_answer_are_delivered(cut: int) -> None:
    """H5: in the same segment or in the next, cut anywhere: no desync."""
    near, peer = scripted_server()
    async with trio.open_nursery() as nursery:

        async def serve() -> None:
            request = await peer.receive_head()
            key = request.values("Sec-WebSocket-Key")[0]
            await peer.send_bytes(upgrade_response(key) + FIRST_FRAMES[:cut])
            await trio.testing.wait_all_tasks_blocked()
            await peer.send_bytes(FIRST_FRAMES[cut:])
            assert await closed_with(peer) == 1000

        nursery.start_soon(serve)
        async with wrap_client_stream(near, URL) as ws:
            assert await ws.receive() == "hello"
            assert await ws.receive() == b"\x00\xff"


# Cancelled while it opens


async def test_client_cancelled_while_it_looks_up_a_name_leaves_nothing() -> None:
    """Nor is the cancellation taken for a timeout of ours."""
    trio.socket.set_custom_hostname_resolver(Resolver(never))
    with trio.move_on_after(0) as scope:
        async with open_websocket_url("ws://localhost/"):
            raise AssertionError
    assert scope.cancelled_caught


@pytest.mark.parametrize("scheme", ["ws", "wss"])
async def test_client_cancelled_while_the_server_is_silent_leaves_nothing(scheme: str) -> None:
    """In the opening handshake, or in that of TLS: the server sees the end of the stream."""
    asked, ended = trio.Event(), trio.Event()

    async def be_silent(stream: trio.SocketStream) -> None:
        async with stream:
            while await stream.receive_some():
                asked.set()
        ended.set()

    async with serve_raw(be_silent) as port, trio.open_nursery() as nursery:
        tls = contexts().client if scheme == "wss" else None

        async def connect() -> None:
            async with open_websocket_url(f"{scheme}://localhost:{port}/", tls):
                raise AssertionError

        nursery.start_soon(connect)
        await asked.wait()
        nursery.cancel_scope.cancel()
        with trio.CancelScope(shield=True):
            await ended.wait()


# The block


@over_tcp_and_tls
async def test_block_that_is_left_closes_with_1000(secure: bool) -> None:
    """And the handler's loop ends."""
    codes: list[int] = []

    async def handler(ws: WebSocket) -> None:
        await echo(ws)
        assert ws.close_received is not None
        codes.append(ws.close_received.code)

    tls = contexts() if secure else None
    async with serve_on_loopback(handler, tls=tls) as server:
        await check_echo(server, tls)
        await server.aclose()
    assert codes == [1000]


class Mishap(BaseException):
    """No Exception, and yet nothing that Trio knows."""


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ValueError("plain"), 1011),
        (ExceptionGroup("a group", [ValueError("in it"), KeyError("too")]), 1011),
        (KeyboardInterrupt(), 1001),
        (Mishap(), 1001),
    ],
    ids=repr,
)
async def test_exception_of_the_block_comes_out_as_it_was(error: BaseException, code: int) -> None:
    """D11, R15: in no group but its own, with no context of ours; the peer sees 1011 or 1001."""
    near, peer = scripted_server()
    codes: list[int | None] = []

    async def serve() -> None:
        await peer.server_handshake()
        codes.append(await closed_with(peer))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve)
        with pytest.raises(type(error)) as caught:
            async with wrap_client_stream(near, URL):
                raise error
    assert caught.value is error
    assert error.__context__ is None
    assert codes == [code]


async def test_block_that_is_cancelled_closes_with_1001() -> None:
    """And the cancellation goes where it belongs."""
    near, peer = scripted_server()

    async def serve() -> None:
        await peer.server_handshake()
        assert await closed_with(peer) == 1001

    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve)
        with trio.CancelScope() as scope:
            async with wrap_client_stream(near, URL) as ws:
                scope.cancel()
                await ws.receive()
        assert scope.cancelled_caught


async def test_exceptions_of_the_connection_come_out_of_the_block_as_they_are() -> None:
    """R15: `ConnectionClosed` is no different."""
    near, peer = scripted_server()

    async def serve() -> None:
        await peer.server_handshake()
        await peer.close_frame(1001)
        assert await ended_with(peer) == 1001

    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve)
        with pytest.raises(ConnectionEnded):
            async with wrap_client_stream(near, URL) as ws:
                await ws.receive()


async def test_websocket_of_a_block_that_was_left_is_closed() -> None:
    """It says so."""
    async with serve_in_memory(echo) as server:
        async with server.open_websocket() as ws:
            pass
        with pytest.raises(ClosedLocally):
            await ws.send("too late")


async def test_blocks_can_be_nested_and_left_in_any_order() -> None:
    """By an exit stack, for example."""
    async with (
        serve_in_memory(echo) as server,
        server.open_websocket() as outer,
        server.open_websocket() as inner,
    ):
        for ws in (outer, inner):
            await ws.send("hello")
            assert await ws.receive() == "hello"


# Options of the connection


async def test_options_of_the_connection_are_kept(autojump_clock: trio.testing.MockClock) -> None:
    """Keepalive, limits and timeouts: each seen to work."""
    near, peer = scripted_server()
    keepalive, timeouts = Keepalive(interval=5, timeout=100), Timeouts(close=3)

    async def serve() -> None:
        await peer.server_handshake()
        frame = await peer.receive_frame()
        assert frame is not None
        assert (frame.opcode, trio.current_time()) == (Opcode.PING, 5)
        await peer.send_frame(Opcode.BINARY, bytes(11))
        frames, _ = await peer.receive_frames()
        assert close_code_of(frames) == 1009

    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve)
        async with wrap_client_stream(
            near, URL, keepalive=keepalive, timeouts=timeouts, limits=Limits(max_message_size=10)
        ) as ws:
            with suppress(trio.BrokenResourceError):
                await ws.receive()
    near, peer = scripted_server()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(peer.server_handshake)
        async with wrap_client_stream(near, URL, timeouts=timeouts):
            began = trio.current_time()
        assert trio.current_time() == began + 3


# connect_websocket_url


@over_tcp_and_tls
async def test_connected_websocket_lives_in_the_nursery(secure: bool) -> None:
    """Which is left when it is closed."""
    tls = contexts() if secure else None
    async with serve_on_loopback(echo, tls=tls) as server:
        url = f"{'wss' if secure else 'ws'}://localhost:{server.port}/"
        async with trio.open_nursery() as nursery:
            ws = await connect_websocket_url(nursery, url, tls and tls.client, subprotocols=["a"])
            await ws.send("hello")
            assert await ws.receive() == "hello"
            await ws.aclose()
        with pytest.raises(ClosedLocally):
            await ws.send("too late")


@pytest.mark.parametrize("code", [1000, 4000])
async def test_nursery_ends_when_the_peer_closes(code: int) -> None:
    """Nobody need receive."""

    async def handler(ws: WebSocket) -> None:
        await ws.aclose(code)

    async with serve_on_loopback(handler) as server:
        async with trio.open_nursery() as nursery:
            ws = await connect_websocket_url(nursery, f"ws://localhost:{server.port}/")
        assert ws.close_received is not None
        assert ws.close_received.code == code


async def test_nursery_ends_when_the_connection_breaks() -> None:
    """And nothing is raised in it."""

    async def crash(stream: trio.SocketStream) -> None:
        peer = ScriptedPeer(stream, "server")
        await peer.server_handshake()
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

    async with serve_raw(crash) as port:
        async with trio.open_nursery() as nursery:
            ws = await connect_websocket_url(nursery, f"ws://localhost:{port}/")
        assert ws.close_received is None


@over_tcp_and_tls
async def test_websocket_says_going_away_when_its_nursery_is_cancelled(secure: bool) -> None:
    """The guardian: 1001, not 1006; and nothing is left running."""
    codes: list[int | None] = []
    ended = trio.Event()

    async def handler(ws: WebSocket) -> None:
        await echo(ws)
        codes.append(ws.close_received.code if ws.close_received else None)
        ended.set()

    tls = contexts() if secure else None
    async with serve_on_loopback(handler, tls=tls) as server:
        url = f"{'wss' if secure else 'ws'}://localhost:{server.port}/"
        async with trio.open_nursery() as nursery:
            await connect_websocket_url(nursery, url, tls and tls.client)
            nursery.cancel_scope.cancel()
        await ended.wait()
    assert codes == [1001]


async def test_failed_connection_leaves_the_nursery_as_it_was() -> None:
    """The exception is the caller's, plain."""
    async with trio.open_nursery() as nursery:
        with pytest.raises(InvalidURL):
            await connect_websocket_url(nursery, "http://localhost/")
        with socket.socket() as bound:
            bound.bind((LOOPBACK, 0))
            with pytest.raises(OSError, match="all attempts"):
                await connect_websocket_url(nursery, f"ws://{LOOPBACK}:{bound.getsockname()[1]}/")
        assert not nursery.child_tasks


async def test_nursery_that_is_closed_already_leaves_nothing_open() -> None:
    """The error is Trio's, and the stream is closed."""
    async with trio.open_nursery() as nursery:
        pass
    async with serve_on_loopback(echo) as server:
        with pytest.raises(RuntimeError, match="closed"):
            await connect_websocket_url(nursery, f"ws://localhost:{server.port}/")


async def test_several_websockets_can_live_in_one_nursery() -> None:
    """Each with its own guardian."""
    async with serve_on_loopback(echo) as server, trio.open_nursery() as nursery:
        url = f"ws://localhost:{server.port}/"
        websockets = [await connect_websocket_url(nursery, url) for _ in range(3)]
        await websockets[0].aclose()
        for ws in websockets[1:]:
            await ws.send("hello")
            assert await ws.receive() == "hello"
            await ws.aclose()


# Nothing is left


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
    ],
)
async def test_failed_client_leaves_no_cycle(data: bytes) -> None:
    """Once its exception is gone, so is its stream, without the garbage collector."""
    refs: list[weakref.ref[Through]] = []

    async def fail() -> None:
        near, peer = scripted_server()
        stream = Through(near)
        refs.append(weakref.ref(stream))

        async def serve() -> None:
            await peer.receive_head()
            await peer.send_bytes(data)
            await peer.aclose()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(serve)
            with suppress(HandshakeError):
                async with wrap_client_stream(stream, URL):
                    pass

    gc.collect()
    gc.disable()
    try:
        for _ in range(3):
            await fail()
        assert [ref() for ref in refs] == [None] * 3
    finally:
        gc.enable()


async def test_client_leaves_no_cycle() -> None:
    """Nor one that was opened and left."""
    refs: list[weakref.ref[WebSocket]] = []

    async def chat() -> None:
        async with server.open_websocket() as ws:
            refs.append(weakref.ref(ws))
            await ws.send("hello")
            await ws.receive()

    async with serve_in_memory(echo) as server:
        gc.collect()
        gc.disable()
        try:
            for _ in range(3):
                await chat()
            await trio.testing.wait_all_tasks_blocked()
            assert [ref() for ref in refs] == [None] * 3
        finally:
            gc.enable()
