"""HTTP proxies: a real one, hostile ones, and which one is used at all."""

import gc
import pickle
import re
import ssl
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Unpack

import pytest
import trio

from tests.clients import listening
from tests.connections import HANGS, hang_up
from tests.injection import Fault, Injector, inject
from tests.proxies import relay, reserved_port, tinyproxy
from tests.servers import LOOPBACK, contexts, echo, over_tcp_and_tls, serve_on_loopback
from trio_ws import (
    FROM_ENVIRONMENT,
    ClientOptions,
    ConnectOptions,
    HandshakeTimeout,
    InvalidURL,
    Limits,
    ProxyError,
    Server,
    Timeouts,
    TLSFailed,
    WebSocket,
    connect_websocket_url,
    is_transient,
    open_websocket_url,
)
from trio_ws._proxy import choose_proxy
from trio_ws._url import parse_url
from trio_ws.testing import Head, ScriptedPeer, upgrade_request

Script = Callable[[trio.SocketStream], Awaitable[object]]

TUNNEL = b"HTTP/1.1 200 Connection established\r\n\r\n"

# Nobody is asked for it: where a proxy is to be asked, the name is not looked up here.
TARGET = "ws://server.example/"


async def check_echo_through(
    proxy: str,
    server: Server,
    *,
    secure: bool = False,
    proxy_ssl_context: ssl.SSLContext | None = None,
    **options: Unpack[ClientOptions],
) -> str:
    """Open a connection through a proxy, exchange a message; return the kind of its transport."""
    scheme = "wss" if secure else "ws"
    async with open_websocket_url(
        f"{scheme}://localhost:{server.port}/path?query",
        contexts().client if secure else None,
        proxy=proxy,
        proxy_ssl_context=proxy_ssl_context,
        **options,
    ) as ws:
        await ws.send("hello")
        assert await ws.receive() == "hello"
        assert ws.request.target == "/path?query"
        assert ws.request.secure is secure
        return type(ws._transport).__name__


async def failure_of(proxy: str, url: str = TARGET, **options: Unpack[ClientOptions]) -> ProxyError:
    """Try to connect through a proxy that will not have it, and return the error."""
    with pytest.raises(ProxyError) as caught:
        async with open_websocket_url(url, proxy=proxy, **options):
            pytest.fail("connected")
    assert "secret" not in f"{caught.value!r}{caught.value}{vars(caught.value)}"
    assert "secret" not in str(pickle.loads(pickle.dumps(caught.value)))
    return caught.value


# A real proxy


@over_tcp_and_tls
async def test_tunnel_is_as_good_as_a_connection(tmp_path: Path, secure: bool) -> None:
    """The fast transports serve it: what the proxy leaves us is a plain socket."""
    tls = contexts() if secure else None
    async with serve_on_loopback(echo, tls=tls) as server, tinyproxy(tmp_path) as port:
        transport = await check_echo_through(f"http://{LOOPBACK}:{port}", server, secure=secure)
        assert transport == ("TLSTransport" if secure else "SocketTransport")


async def test_tunnel_into_a_nursery(tmp_path: Path) -> None:
    """All functions that connect by a URL take a proxy."""
    async with (
        serve_on_loopback(echo) as server,
        tinyproxy(tmp_path) as port,
        trio.open_nursery() as nursery,
    ):
        ws = await connect_websocket_url(
            nursery, f"ws://localhost:{server.port}/", proxy=f"http://{LOOPBACK}:{port}"
        )
        assert ws.peer_address == (LOOPBACK, port)
        await ws.aclose()


async def test_credentials_that_are_right(tmp_path: Path) -> None:
    """From the URL, where they are percent-encoded."""
    async with (
        serve_on_loopback(echo) as server,
        tinyproxy(tmp_path, "BasicAuth us-er sec.ret") as port,
    ):
        await check_echo_through(f"http://us%2Der:sec%2Eret@{LOOPBACK}:{port}/", server)


@pytest.mark.parametrize("credentials", ["", "user@", "user:secret2@", "other:secret@"])
async def test_credentials_that_are_not(tmp_path: Path, credentials: str) -> None:
    """The proxy's answer is in the error, the password is not; trying again would not help."""
    async with tinyproxy(tmp_path, "BasicAuth user secret") as port:
        error = await failure_of(f"http://{credentials}{LOOPBACK}:{port}")
    assert error.phase == "tunnel"
    assert error.response is not None
    assert error.response.status in {401, 407}
    assert "Proxy-Authenticate" in error.response.headers or error.response.status == 401
    assert not is_transient(error)
    assert f"http://{LOOPBACK}:{port} answered with 40" in str(error)


async def test_target_that_the_proxy_refuses(tmp_path: Path) -> None:
    """403, in our words."""
    async with tinyproxy(tmp_path, "ConnectPort 443") as port:
        error = await failure_of(f"http://{LOOPBACK}:{port}")
    assert error.response is not None
    assert error.response.status == 403
    assert error.response.body
    assert not is_transient(error)


async def test_target_that_is_not_there(tmp_path: Path) -> None:
    """The proxy's 5xx: transient."""
    with reserved_port() as nobody:
        async with tinyproxy(tmp_path) as port:
            error = await failure_of(f"http://{LOOPBACK}:{port}", f"ws://localhost:{nobody}/")
    assert error.response is not None
    assert error.response.status >= 500
    assert is_transient(error)


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_proxy_that_is_not_there(scheme: str) -> None:
    """It says that it was the proxy, and which."""
    with reserved_port() as port:
        error = await failure_of(f"{scheme}://user:secret@{LOOPBACK}:{port}")
    assert error.phase == "connect"
    assert isinstance(error.__cause__, OSError)
    assert str(error).startswith(f"the proxy {scheme}://{LOOPBACK}:{port} cannot be reached: ")
    assert is_transient(error)


@over_tcp_and_tls
async def test_proxy_over_tls(tmp_path: Path, secure: bool) -> None:
    """TLS to the proxy, and with wss TLS inside of it."""
    tls = contexts()
    async with (
        serve_on_loopback(echo, tls=tls if secure else None) as server,
        tinyproxy(tmp_path, "BasicAuth user secret") as behind,
        relay(behind, tls) as (port, sent),
    ):
        transport = await check_echo_through(
            f"https://user:secret@localhost:{port}",
            server,
            secure=secure,
            proxy_ssl_context=tls.client,
        )
        assert transport == ("StreamTransport" if secure else "TLSTransport")
        assert sent.startswith(b"CONNECT localhost:%d HTTP/1.1\r\n" % server.port)


async def test_proxy_with_a_certificate_that_is_not_trusted() -> None:
    """By default that is as bad as with a server, and nothing is sent to it."""
    async with (
        serve_on_loopback(echo) as somebody,
        relay(somebody.port, contexts()) as (port, sent),
    ):
        error = await failure_of(f"https://user:secret@localhost:{port}")
    assert error.phase == "tls"
    assert "the certificate of localhost was not accepted" in str(error)
    assert not isinstance(error, TLSFailed)
    assert not is_transient(error)
    assert not sent


async def test_proxy_that_hangs_up_during_tls() -> None:
    """That may pass."""

    async def script(stream: trio.SocketStream) -> None:
        await stream.receive_some()

    async with listening(script) as port:
        error = await failure_of(f"https://localhost:{port}")
    assert error.phase == "tls"
    assert is_transient(error)


@over_tcp_and_tls
async def test_h16_credentials_go_where_they_belong(tmp_path: Path, secure: bool) -> None:
    """H16: the server gets none of the proxy's, and the proxy none of the server's."""
    requests: list[WebSocket] = []

    async def handler(ws: WebSocket) -> None:
        requests.append(ws)
        await echo(ws)

    tls = contexts() if secure else None
    async with (
        serve_on_loopback(handler, tls=tls) as server,
        tinyproxy(tmp_path, "BasicAuth proxyuser proxysecret") as behind,
        relay(behind) as (port, sent),
    ):
        await check_echo_through(
            f"http://proxyuser:proxysecret@{LOOPBACK}:{port}",
            server,
            secure=secure,
            headers={"Authorization": "Bearer token", "Cookie": "session=1"},
        )
    [ws] = requests
    assert "Proxy-Authorization" not in ws.request.headers
    assert ws.request.headers["Authorization"] == "Bearer token"
    to_proxy, _, through_it = sent.partition(b"\r\n\r\n")
    fields = to_proxy.decode().split("\r\n")
    assert fields == [
        f"CONNECT localhost:{server.port} HTTP/1.1",
        f"Host: localhost:{server.port}",
        "Proxy-Authorization: Basic cHJveHl1c2VyOnByb3h5c2VjcmV0",
    ]
    assert (b"token" in through_it) is not secure
    assert b"Proxy-Authorization" not in through_it


async def test_request_may_come_together_with_the_end_of_tls() -> None:
    """What we have sent apart, a proxy may join; the server answers all the same."""
    tls = contexts()
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = tls.client.wrap_bio(incoming, outgoing, server_hostname="localhost")
    async with (
        serve_on_loopback(echo, tls=tls) as server,
        await trio.open_tcp_stream(LOOPBACK, server.port) as stream,
    ):

        async def until_done(step: Callable[[], object]) -> object:
            while True:
                try:
                    return step()
                except ssl.SSLWantReadError:
                    await stream.send_all(outgoing.read())
                    incoming.write(await stream.receive_some())

        await until_done(client.do_handshake)
        client.write(upgrade_request("/", host="localhost"))
        with trio.fail_after(HANGS):
            assert await until_done(lambda: client.read(12)) == b"HTTP/1.1 101"


# Hostile ones


def answering(answer: bytes) -> Script:
    """Return a proxy that answers with these bytes, whatever it is asked, and hangs up."""

    async def script(stream: trio.SocketStream) -> None:
        head = await ScriptedPeer(stream, "server").receive_head()
        assert head.start == "CONNECT server.example:80 HTTP/1.1"
        await stream.send_all(answer)

    return script


@pytest.mark.parametrize(
    ("answer", "problem", "transient"),
    [
        (b"", "stream ended before there was a response", True),
        (b"HTTP/1.1 200 OK\r\nX: y", "stream ended before there was a response", True),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "this is not HTTP", False),
        (b"\x05\xff", "this is not HTTP", False),
        (b"HTTP/1.1 2000 OK\r\n\r\n", "not valid HTTP", False),
        (b"HTTP/1.1 200 OK\nX: y\n\n", "a line of the head is malformed", False),
        (b"HTTP/1.1 200 OK\r\nX: " + b"y" * 20_000, "the head is too large", False),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n", "too many headers", False),
        (b"HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\n\r\n", "not valid HTTP", False),
        (b"HTTP/1.1 302 Found\r\nLocation: http://evil.example/\r\n\r\n", "302 (Found)", False),
        (b"HTTP/1.1 407 No\r\n\r\nwrong password secret?", "407 (Proxy", False),
        (b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n", "503 (Service", True),
        (TUNNEL + b"HTTP/1.1 101 Switching Protocols\r\n", "sent more than an answer", False),
    ],
)
async def test_answer_that_makes_no_tunnel(answer: bytes, problem: str, transient: bool) -> None:
    """It is an error that says what came, as far as that may be said."""
    async with listening(answering(answer.replace(b"secret?", b"?"))) as port:
        error = await failure_of(f"http://user:secret@{LOOPBACK}:{port}")
    assert error.phase == "tunnel"
    assert re.search(re.escape(problem), str(error))
    assert str(error).isprintable()
    assert is_transient(error) is transient


@pytest.mark.parametrize("answer", [b"", b"SSH\r\n", b"HTTP/1.1 407 No\r\n\r\n", TUNNEL + b"x"])
async def test_failure_leaves_no_cycle(answer: bytes) -> None:
    """When its error is forgotten, nothing is left for the garbage collector."""
    async with listening(answering(answer)) as port:
        gc.collect()
        gc.disable()
        try:
            with suppress(ProxyError):
                async with open_websocket_url(TARGET, proxy=f"http://{LOOPBACK}:{port}"):
                    pytest.fail("connected")
            assert gc.collect() == 0
        finally:
            gc.enable()


async def test_answer_without_end_is_cut_short() -> None:
    """Not more of its body is read than of a server's."""

    async def script(stream: trio.SocketStream) -> None:
        await stream.send_all(b"HTTP/1.1 407 No\r\n\r\n")
        with suppress(trio.BrokenResourceError):
            while True:
                await stream.send_all(b"x" * 1000)

    async with listening(script) as port:
        error = await failure_of(f"http://{LOOPBACK}:{port}", limits=Limits(max_error_body=5000))
    assert error.response is not None
    assert error.response.body == b"x" * 5000


async def test_proxy_that_resets() -> None:
    """That may pass, and it is not the server's fault."""

    async def script(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        await hang_up(stream, reset=True)

    async with listening(script) as port:
        error = await failure_of(f"http://{LOOPBACK}:{port}")
    assert isinstance(error.__cause__, trio.BrokenResourceError)
    assert is_transient(error)


@pytest.mark.parametrize("part", [b"", TUNNEL[:20]])
async def test_proxy_that_is_silent(part: bytes) -> None:
    """``timeouts.open`` holds for the proxy too, and the error says where the time went."""

    async def script(stream: trio.SocketStream) -> None:
        await stream.send_all(part)
        while await stream.receive_some():
            pass

    async with listening(script) as port:
        with pytest.raises(HandshakeTimeout) as caught:
            async with open_websocket_url(
                TARGET, proxy=f"http://{LOOPBACK}:{port}", timeouts=Timeouts(open=0.05)
            ):
                pytest.fail("connected")
    assert caught.value.phase == "proxy"
    assert str(caught.value) == "the proxy did not connect us within 0.05 seconds"


async def test_success_has_no_body_whatever_it_says() -> None:
    """Content-Length and Transfer-Encoding are to be ignored there (RFC 9110 section 9.3.6)."""
    heads: list[Head] = []

    async def script(stream: trio.SocketStream) -> None:
        peer = ScriptedPeer(stream, "server")
        await peer.receive_head()
        await peer.send_bytes(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        heads.append(await peer.server_handshake())
        while await peer.receive_frame():
            pass

    async with (
        listening(script) as port,
        open_websocket_url(
            TARGET, proxy=f"http://{LOOPBACK}:{port}", timeouts=Timeouts(close=0.01)
        ),
    ):
        pass
    [head] = heads
    assert head.values("Host") == ["server.example"]


@pytest.mark.parametrize("fault", [Fault.CANCEL_BEFORE_STEP, Fault.CANCEL_AFTER_STEP])
async def test_cancelled_on_the_way_leaves_nothing_behind(tmp_path: Path, fault: Fault) -> None:
    """At each step of connecting through two layers of TLS."""
    tls = contexts()

    async def scenario(injector: Injector) -> None:
        async with (
            serve_on_loopback(echo, tls=tls) as server,
            relay(behind, tls) as (port, _),
        ):
            with injector.armed():
                async with open_websocket_url(
                    f"wss://localhost:{server.port}/",
                    tls.client,
                    proxy=f"https://localhost:{port}",
                    proxy_ssl_context=tls.client,
                ):
                    pass

    async with tinyproxy(tmp_path) as behind:
        assert await inject(scenario, fault) > 10


# Which one


def set_environment(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]) -> None:
    """Have these variables in the environment, and no others that say what proxy to use."""
    for name in ("http", "https", "all", "ws", "wss", "no"):
        monkeypatch.delenv(f"{name}_proxy", raising=False)
        monkeypatch.delenv(f"{name}_PROXY".upper(), raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize(
    ("environment", "url", "chosen"),
    [
        ({}, "ws://a.example/", None),
        ({"HTTP_PROXY": "http://p:1"}, "ws://a.example/", "http://p:1"),
        ({"HTTP_PROXY": "http://p:1"}, "wss://a.example/", None),
        ({"HTTPS_PROXY": "http://p:1"}, "wss://a.example/", "http://p:1"),
        ({"HTTPS_PROXY": "http://p:1"}, "ws://a.example/", "http://p:1"),
        ({"HTTPS_PROXY": "http://p:1", "HTTP_PROXY": "http://q:2"}, "ws://a/", "http://p:1"),
        ({"ALL_PROXY": "socks5h://p:1"}, "ws://a.example/", "socks5h://p:1"),
        ({"ALL_PROXY": "socks5h://p:1", "https_proxy": "http://q:2"}, "wss://a/", "http://q:2"),
        ({"WS_PROXY": "http://p:1", "HTTPS_PROXY": "http://q:2"}, "ws://a/", "http://p:1"),
        ({"wss_proxy": "http://p:1", "HTTPS_PROXY": "http://q:2"}, "wss://a/", "http://p:1"),
        ({"HTTP_PROXY": "http://p:1", "http_proxy": "http://q:2"}, "ws://a/", "http://q:2"),
        ({"HTTPS_PROXY": "http://p:1", "https_proxy": ""}, "wss://a/", None),
        ({"HTTPS_PROXY": "p.example:3128"}, "wss://a/", "http://p.example:3128"),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "a.example"}, "wss://a.example/", None),
        ({"HTTPS_PROXY": "http://p:1", "no_proxy": "example"}, "wss://a.example/", None),
        ({"HTTPS_PROXY": "http://p:1", "no_proxy": ".example"}, "wss://a.example/", None),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "*"}, "wss://a.example/", None),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "b, c"}, "wss://a/", "http://p:1"),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "ample"}, "wss://a.example/", "http://p:1"),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "a:8443"}, "wss://a:8443/", None),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "a:8443"}, "wss://a/", "http://p:1"),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "::1"}, "wss://[::1]/", None),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "[::1]"}, "wss://[::1]/", None),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "::2"}, "wss://[::1]/", "http://p:1"),
        ({"HTTP_PROXY": "http://p:1", "REQUEST_METHOD": "GET"}, "ws://a/", None),
    ],
)
def test_proxy_from_the_environment(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], url: str, chosen: str | None
) -> None:
    """Lower case wins, an empty value is none, NO_PROXY names suffixes; no CGI is misled."""
    set_environment(monkeypatch, environment)
    found = choose_proxy(FROM_ENVIRONMENT, parse_url(url))
    assert (None if found is None else str(found)) == chosen


async def test_environment_is_asked_only_on_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By default nothing but the argument decides."""
    async with (
        serve_on_loopback(echo) as server,
        tinyproxy(tmp_path) as behind,
        relay(behind) as (port, sent),
    ):
        set_environment(monkeypatch, {"HTTPS_PROXY": f"http://{LOOPBACK}:{port}"})
        url = f"ws://{LOOPBACK}:{server.port}/"
        async with open_websocket_url(url) as ws:
            assert ws.peer_address == (LOOPBACK, server.port)
        assert not sent
        async with open_websocket_url(url, proxy=FROM_ENVIRONMENT) as ws:
            assert ws.peer_address == (LOOPBACK, port)
        assert sent


@pytest.mark.parametrize(
    ("options", "kind", "problem"),
    [
        ({"proxy": "ftp://host:1"}, InvalidURL, "begins with one of http, https, socks4"),
        ({"proxy": "host:3128"}, InvalidURL, "begins with one of http, https, socks4"),
        ({"proxy": "http://host/path"}, InvalidURL, "ends with its port"),
        ({"proxy": 3128}, TypeError, "must be a URL"),
        ({"proxy_ssl_context": contexts().client}, ValueError, "goes with .* an https proxy"),
        (
            {"proxy": "http://host:1", "proxy_ssl_context": contexts().client},
            ValueError,
            "goes with .* an https proxy",
        ),
    ],
)
async def test_proxy_that_cannot_be(
    options: ConnectOptions, kind: type[Exception], problem: str
) -> None:
    """Arguments are checked before anything is connected to."""
    with pytest.raises(kind, match=problem):
        async with open_websocket_url(TARGET, **options):
            pytest.fail("connected")
