"""Behind nginx and HAProxy, with the configurations that the examples show.

The proxies are the programs of Debian, in processes of their own.  Only ports, and in one test the
time after which they hang up, are other than in the examples.
"""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from examples.reverse_proxy.server import client_address
from tests.connections import HANGS
from tests.proxies import reserved_port, running
from tests.servers import LOOPBACK, serve_on_loopback
from trio_ws import (
    Accept,
    Close,
    ConnectionClosed,
    ConnectionRejected,
    Headers,
    Keepalive,
    Request,
    Response,
    WebSocket,
    open_websocket_url,
)

CONFIGURATIONS = Path(__file__).parent.parent / "examples" / "reverse_proxy"

every_proxy = pytest.mark.parametrize("proxy", ["nginx", "haproxy"])

# In seconds: a proxy's shortest patience, and pings that come in time.
PATIENCE = 2
OFTEN = Keepalive(interval=0.2, timeout=HANGS)


@asynccontextmanager
async def proxied(
    proxy: str, server_port: int, directory: Path, patience: int = 60
) -> AsyncGenerator[str, None]:
    """Run a proxy before a server; yield the proxy's address, a URL without a path."""
    with reserved_port() as port:
        name = "nginx.conf" if proxy == "nginx" else "haproxy.cfg"
        text = (CONFIGURATIONS / name).read_text(encoding="utf-8")
        for planned, actual in (
            (f"{LOOPBACK}:8080", f"{LOOPBACK}:{port}"),
            (f"{LOOPBACK}:8765", f"{LOOPBACK}:{server_port}"),
            (" 60s", f" {patience}s"),
        ):
            assert planned in text
            text = text.replace(planned, actual)
        path = directory / name
        path.write_text(text, encoding="utf-8")
        if proxy == "nginx":
            settings = f"daemon off; master_process off; pid {directory}/pid;"
            arguments = ["-p", str(directory), "-e", "stderr", "-c", str(path), "-g", settings]
        else:
            arguments = ["-db", "-q", "-f", str(path)]
        async with running(port, proxy, *arguments):
            yield f"ws://{LOOPBACK}:{port}"


async def obey(ws: WebSocket) -> None:
    """Close with the code that a message says, echo every other."""
    async for message in ws:
        if isinstance(message, str) and message.isdecimal():
            await ws.aclose(int(message), "as you wish")
        else:
            await ws.send(message)


@every_proxy
async def test_messages_pass(proxy: str, tmp_path: Path) -> None:
    """The upgrade goes through, and after it messages of all sizes; a subprotocol is agreed on."""
    async with (
        serve_on_loopback(obey, subprotocols=["chat"]) as server,
        proxied(proxy, server.port, tmp_path) as url,
        open_websocket_url(f"{url}/", subprotocols=["chat"]) as ws,
    ):
        assert ws.subprotocol == "chat"
        for message in ("grüße", b"\x00\xff", "", b"x" * 1_000_000):
            await ws.send(message)
            assert await ws.receive() == message
        assert await ws.ping() > 0


@every_proxy
async def test_close_codes_pass_both_ways(proxy: str, tmp_path: Path) -> None:
    """Each end hears with which code and reason the other closed."""
    heard: list[Close] = []

    async def note(ws: WebSocket) -> None:
        with suppress(ConnectionClosed):
            await obey(ws)
        if ws.close_received is not None:
            heard.append(ws.close_received)

    async with serve_on_loopback(note) as server, proxied(proxy, server.port, tmp_path) as url:
        async with open_websocket_url(f"{url}/") as ws:
            await ws.aclose(4001, "from the client")
        async with open_websocket_url(f"{url}/") as ws:
            await ws.send("4002")
            with pytest.raises(ConnectionClosed) as caught:
                await ws.receive()
            assert caught.value.received == Close(4002, "as you wish")
        async with open_websocket_url(f"{url}/") as ws:
            await server.aclose()
            await ws.wait_closed()
            assert ws.close_received is not None
            assert ws.close_received.code == 1001
    assert heard[0] == Close(4001, "from the client")


@every_proxy
async def test_keepalive_holds_an_idle_connection(proxy: str, tmp_path: Path) -> None:
    """A proxy hangs up on silence; pings of either end are none."""
    async with (
        serve_on_loopback(obey, keepalive=Keepalive(interval=60)) as server,
        proxied(proxy, server.port, tmp_path, PATIENCE) as url,
        open_websocket_url(f"{url}/", keepalive=OFTEN) as kept,
        open_websocket_url(f"{url}/", keepalive=Keepalive(interval=60)) as silent,
    ):
        await silent.wait_closed()  # later than the proxy's patience with both
        assert silent.close_received is None
        await kept.send("still there")
        assert await kept.receive() == "still there"


@every_proxy
async def test_server_knows_the_client(proxy: str, tmp_path: Path) -> None:
    """The address comes by X-Forwarded-For, whatever the client itself has put there."""

    async def tell(ws: WebSocket) -> None:
        await ws.send(f"{ws.context} at {ws.request.host}")

    def accept(request: Request) -> Accept:
        return Accept(context=client_address(request))

    async with (
        serve_on_loopback(tell, process_request=accept) as server,
        proxied(proxy, server.port, tmp_path) as url,
    ):
        authority = url.removeprefix("ws://")
        for headers in ({}, {"X-Forwarded-For": "192.0.2.7"}):
            # A browser's own page: its origin is what the proxy is called.
            async with open_websocket_url(
                f"{url}/", headers=headers, origin=f"http://{authority}"
            ) as ws:
                assert await ws.receive() == f"{LOOPBACK} at {authority}"


@every_proxy
async def test_refusals_pass(proxy: str, tmp_path: Path) -> None:
    """What the server answers instead comes whole; without a server the proxy says so."""

    def refuse(request: Request) -> Response:
        return Response(418, {"X-Kind": "teapot"}, "short and stout")

    async with serve_on_loopback(obey, process_request=refuse) as server:
        port = server.port
        async with proxied(proxy, port, tmp_path) as url:
            response = await refusal(url)
            assert (response.status, response.body) == (418, b"short and stout")
            assert response.headers["X-Kind"] == "teapot"
            await server.aclose()
            assert (await refusal(url)).status in (502, 503)


async def refusal(url: str) -> Response:
    """Return what the request for a WebSocket is answered with instead."""
    with pytest.raises(ConnectionRejected) as caught:
        async with open_websocket_url(f"{url}/"):
            pass
    return caught.value.response


@pytest.mark.parametrize(
    ("peer", "headers", "client"),
    [
        (("127.0.0.1", 1), {"X-Forwarded-For": "192.0.2.7"}, "192.0.2.7"),
        (("::1", 1, 0, 0), {"X-Forwarded-For": "10.9.8.7, 2001:DB8::1"}, "2001:db8::1"),
        (("127.0.0.1", 1), {}, "127.0.0.1"),
        (("127.0.0.1", 1), {"X-Forwarded-For": "unknown"}, "127.0.0.1"),
        (("192.0.2.1", 1), {"X-Forwarded-For": "127.0.0.1"}, "192.0.2.1"),
        ("", {"X-Forwarded-For": "192.0.2.7"}, ""),
    ],
)
def test_only_our_proxy_is_believed(peer: object, headers: dict[str, str], client: str) -> None:
    """The last entry counts, and only where our own proxy has sent it."""
    assert client_address(Request("GET", "/", Headers(headers), peer)) == client
