"""SOCKS proxies: a real one for SOCKS5, and by hand what it does not do."""

import socket
import sys

import pytest
import trio

from tests.clients import Nowhere, listening, resolve_everywhere
from tests.connections import hang_up
from tests.injection import Fault, Injector, inject
from tests.proxies import microsocks, reserved_port
from tests.servers import LOOPBACK, contexts, echo, over_tcp_and_tls, serve_on_loopback
from tests.test_proxy import TARGET, check_echo_through, failure_of
from trio_ws import HandshakeTimeout, Timeouts, is_transient, open_websocket_url
from trio_ws.testing import ScriptedPeer

# RFC 1928: no authentication; connected, from the address 0.0.0.0, port 0.
NO_AUTHENTICATION = b"\x05\x00"
CONNECTED = b"\x05\x00\x00\x01" + bytes(6)


# A real proxy


@pytest.mark.parametrize("scheme", ["socks5", "socks5h"])
@over_tcp_and_tls
async def test_tunnel_is_as_good_as_a_connection(scheme: str, secure: bool) -> None:
    """The fast transports serve it: what the proxy leaves us is a plain socket."""
    tls = contexts() if secure else None
    async with serve_on_loopback(echo, tls=tls) as server, microsocks() as port:
        transport = await check_echo_through(f"{scheme}://{LOOPBACK}:{port}", server, secure=secure)
        assert transport == ("TLSTransport" if secure else "SocketTransport")


async def test_credentials_that_are_right() -> None:
    """From the URL, where they are percent-encoded."""
    async with serve_on_loopback(echo) as server, microsocks("-u", "user", "-P", "s@cret") as port:
        await check_echo_through(f"socks5h://user:s%40cret@{LOOPBACK}:{port}", server)


@pytest.mark.parametrize("credentials", ["", "user:secret2@", "other:secret@"])
async def test_credentials_that_are_not(credentials: str) -> None:
    """The password is not in the error; trying again would not help."""
    async with microsocks("-u", "user", "-P", "secret") as port:
        error = await failure_of(f"socks5h://{credentials}{LOOPBACK}:{port}")
    assert (error.phase, error.response, error.reply) == ("tunnel", None, None)
    assert str(error).startswith(f"the proxy socks5h://{LOOPBACK}:{port} did not connect us: ")
    assert not is_transient(error)


async def test_target_that_is_not_there() -> None:
    """The reply has a code for it, and that is transient."""
    with reserved_port() as nobody:
        async with microsocks() as port:
            error = await failure_of(f"socks5h://{LOOPBACK}:{port}", f"ws://localhost:{nobody}/")
    assert (error.phase, error.reply) == ("tunnel", 5)
    assert str(error).endswith("did not connect us: Connection refused by destination host")
    assert is_transient(error)


@pytest.mark.parametrize("scheme", ["socks4", "socks4a", "socks5", "socks5h"])
async def test_proxy_that_is_not_there(scheme: str) -> None:
    """It says that it was the proxy, and which."""
    credentials = "user" if scheme.startswith("socks4") else "user:secret"
    with reserved_port() as port:
        error = await failure_of(f"{scheme}://{credentials}@{LOOPBACK}:{port}", "ws://127.0.0.1/")
    assert error.phase == "connect"
    assert isinstance(error.__cause__, OSError)
    assert str(error).startswith(f"the proxy {scheme}://{LOOPBACK}:{port} cannot be reached: ")
    assert is_transient(error)


# Who looks the name up


async def test_name_that_only_we_know() -> None:
    """With socks5 we look it up, with socks5h the proxy does, in vain."""
    async with serve_on_loopback(echo) as server, microsocks() as port:
        resolver = resolve_everywhere()
        url = f"ws://server.invalid:{server.port}/"
        async with open_websocket_url(url, proxy=f"socks5://{LOOPBACK}:{port}") as ws:
            assert ws.request.host == f"server.invalid:{server.port}"
        assert "server.invalid" in resolver.asked
        resolver.asked.clear()
        error = await failure_of(f"socks5h://{LOOPBACK}:{port}", url)
        assert "server.invalid" not in resolver.asked
    assert error.reply is not None
    assert is_transient(error)


async def test_name_that_we_cannot_find() -> None:
    """It is an error of the network, as without a proxy."""

    async def script(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        await stream.send_all(NO_AUTHENTICATION)
        assert await stream.receive_some() == b""

    async with listening(script) as port:
        trio.socket.set_custom_hostname_resolver(Nowhere())
        with pytest.raises(socket.gaierror):
            async with open_websocket_url(TARGET, proxy=f"socks5://{LOOPBACK}:{port}"):
                pytest.fail("connected")


@pytest.mark.parametrize(
    ("scheme", "asked"),
    [
        ("socks4", b"\x04\x01\x00\x50\x7f\x00\x00\x01user\x00"),
        ("socks4a", b"\x04\x01\x00\x50\x00\x00\x00\x01user\x00server.example\x00"),
    ],
)
async def test_socks4(scheme: str, asked: bytes) -> None:
    """With socks4 we look the name up, with socks4a the proxy does."""

    async def script(stream: trio.SocketStream) -> None:
        assert await stream.receive_some() == asked
        await stream.send_all(b"\x00\x5a" + bytes(6))
        peer = ScriptedPeer(stream, "server")
        await peer.server_handshake()
        while await peer.receive_frame():
            pass

    async with listening(script) as port:
        resolve_everywhere()
        async with open_websocket_url(
            TARGET, proxy=f"{scheme}://user@{LOOPBACK}:{port}", timeouts=Timeouts(close=0.01)
        ) as ws:
            assert ws.request.host == "server.example"


# Hostile ones


@pytest.mark.parametrize(
    ("replies", "problem", "reply", "transient"),
    [
        ([b""], "Connection closed", None, True),
        ([b"\x05"], "Connection closed", None, True),
        ([NO_AUTHENTICATION, b"\x05\x00\x00"], "Connection closed", None, True),
        ([b"HTTP/1.1 400 Bad Request\r\n\r\n"], "version", None, False),
        ([b"\x05\xff"], "method", None, False),
        ([b"\x05\x01"], "method", None, False),
        ([b"\x05\x77"], "method", None, False),
        ([b"\x05\x02", b"\x01\x01"], "authentication", None, False),
        ([NO_AUTHENTICATION, b"\x05\x01\x00"], "General SOCKS server failure", 1, True),
        ([NO_AUTHENTICATION, b"\x05\x02\x00"], "not allowed by ruleset", 2, False),
        ([NO_AUTHENTICATION, b"\x05\x04\x00"], "Host unreachable", 4, True),
        ([NO_AUTHENTICATION, b"\x05\x08\x00"], "Address type not supported", 8, False),
        ([NO_AUTHENTICATION, b"\x05\x99\x00"], "did not connect us", None, False),
        ([NO_AUTHENTICATION, b"\x05\x00\x01"], "did not connect us", None, False),
        ([NO_AUTHENTICATION, b"\x05\x00\x00\x09"], "did not connect us", None, False),
        ([NO_AUTHENTICATION, b"\x05\x00\x00\x03\x01\xff\x00\x00"], "malformed", None, False),
    ],
)
async def test_reply_that_makes_no_tunnel(
    replies: list[bytes], problem: str, reply: int | None, transient: bool
) -> None:
    """It is an error that says what came."""

    async def script(stream: trio.SocketStream) -> None:
        for each in replies:
            await stream.receive_some()
            await stream.send_all(each)

    async with listening(script) as port:
        error = await failure_of(f"socks5h://user:secret@{LOOPBACK}:{port}")
    assert (error.phase, error.response, error.reply) == ("tunnel", None, reply)
    assert problem.lower() in str(error).lower()
    assert str(error).isprintable()
    assert is_transient(error) is transient


async def test_proxy_that_resets() -> None:
    """That may pass."""

    async def script(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        await hang_up(stream, reset=True)

    async with listening(script) as port:
        error = await failure_of(f"socks5h://{LOOPBACK}:{port}")
    assert isinstance(error.__cause__, trio.BrokenResourceError)
    assert is_transient(error)


@pytest.mark.parametrize("part", [b"", NO_AUTHENTICATION, NO_AUTHENTICATION + CONNECTED[:5]])
async def test_proxy_that_is_silent(part: bytes) -> None:
    """``timeouts.open`` holds for the proxy too."""

    async def script(stream: trio.SocketStream) -> None:
        await stream.send_all(part)
        while await stream.receive_some():
            pass

    async with listening(script) as port:
        with pytest.raises(HandshakeTimeout) as caught:
            async with open_websocket_url(
                TARGET, proxy=f"socks5h://{LOOPBACK}:{port}", timeouts=Timeouts(open=0.05)
            ):
                pytest.fail("connected")
    assert caught.value.phase == "proxy"


@pytest.mark.parametrize("fault", [Fault.CANCEL_BEFORE_STEP, Fault.CANCEL_AFTER_STEP])
async def test_cancelled_on_the_way_leaves_nothing_behind(fault: Fault) -> None:
    """At each step."""

    async def scenario(injector: Injector) -> None:
        async with serve_on_loopback(echo) as server:
            with injector.armed():
                async with open_websocket_url(
                    f"ws://localhost:{server.port}/", proxy=f"socks5h://{LOOPBACK}:{port}"
                ):
                    pass

    async with microsocks() as port:
        assert await inject(scenario, fault) > 10


async def test_library_that_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says what to do, before anything is connected to."""
    monkeypatch.setitem(sys.modules, "python_socks", None)
    with pytest.raises(ImportError, match=r"pip install 'trio_ws\[proxy\]'"):
        async with open_websocket_url(TARGET, proxy="socks5h://localhost:1"):
            pytest.fail("connected")
