"""What the how-to guides show: their examples, run as their readers run them, and their pieces.

The pieces stand in sections of their own, as literally as the guides include them.
"""

import signal
import ssl
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path
from typing import Unpack
from urllib.parse import urlsplit
from zlib import crc32

import pytest
import trio
import trio.testing
import trustme

from tests.proxies import tinyproxy
from tests.running import fetch, finished, plain_http, running
from tests.servers import serve_on_loopback
from trio_ws import (
    Backoff,
    Close,
    ConnectionBroken,
    ConnectionRejected,
    Response,
    WebSocket,
    broadcast,
    is_transient,
    open_websocket_url,
    reconnect_websocket_url,
)
from trio_ws.pubsub import Broker, MemoryBroker, SubscribeOptions, Subscription
from trio_ws.testing import ScriptedPeer, build_frame, serve_in_memory, upgrade_request

# TLS


class Authority:
    """An authority, and the files of a server whose certificate it renews."""

    def __init__(self, directory: Path) -> None:
        self._authority = trustme.CA()
        self.certificate = directory / "certificate.pem"
        self.key = directory / "key.pem"
        trusted = self._authority.cert_pem.bytes().decode()
        self.client = ssl.create_default_context(cadata=trusted)
        self.renew()

    def renew(self, *, half: bool = False) -> None:
        """Write a new certificate and its key, or half of it: no key."""
        issued = self._authority.issue_cert("localhost")
        issued.cert_chain_pems[0].write_to_path(str(self.certificate))
        if not half:
            issued.private_key_pem.write_to_path(str(self.key))


def serial_of(ws: WebSocket) -> object:
    """Return the serial number of the server's certificate."""
    tls = ws.request.tls
    assert tls is not None
    assert tls.peer_certificate is not None
    return tls.peer_certificate["serialNumber"]


async def test_certificates_are_renewed_under_open_connections(tmp_path: Path) -> None:
    """Who is connected stays, who comes sees the new one; files that do not match are left."""
    files = Authority(tmp_path)
    async with running("reload_certificates.py", files.certificate, files.key, 0) as server:
        connect = partial(open_websocket_url, await server.address(), files.client)
        async with connect() as early:
            files.renew()
            server.send_signal(signal.SIGHUP)
            assert await server.line() == "new connections get the new certificate"
            async with connect() as late:
                assert serial_of(late) != serial_of(early)
                files.renew(half=True)
                server.send_signal(signal.SIGHUP)
                assert (await server.line()).startswith("the old certificate stays: ")
                async with connect() as latest:
                    assert serial_of(latest) == serial_of(late)
            await early.send("still here")
            assert await early.receive() == "still here"


async def test_client_certificates_say_who_it_is() -> None:
    """One who shows a certificate is known; one who does not gets nowhere."""
    known, refused = await finished("client_certificates.py")
    assert known == "you are (('email', 'ada@example.com'),)"
    assert "CERTIFICATE_REQUIRED" in refused


# Authentication


async def test_authentication_by_header() -> None:
    """The right password and the right token are let in, everything else is answered 401."""
    assert await finished("authentication.py") == [
        "you are ada",
        "refused: 401",
        "you are a script of Ada's",
        "refused: 401",
    ]


def log_in(address: str) -> tuple[str, str]:
    """Log in as a browser would; return the cookie and the ticket."""
    with plain_http(address) as connection:
        connection.request("GET", "/")
        response = connection.getresponse()
        cookie = response.headers["Set-Cookie"].partition(";")[0]
        return cookie, response.read().decode()


async def test_sessions_and_tickets() -> None:
    """A cookie lets in as often as one likes, a ticket once, nothing not at all."""
    async with running("sessions.py", 0) as server:
        address = await server.address()
        cookie, ticket = await trio.to_thread.run_sync(log_in, address)
        url = address.replace("http", "ws", 1)

        async def come(query: str = "", **headers: str) -> str | bytes:
            async with open_websocket_url(url + query, headers=headers) as ws:
                return await ws.receive()

        for _ in range(2):
            assert await come(Cookie=f"theme=dark; {cookie}") == "you are Ada"
        assert await come(f"?ticket={ticket}") == "you are Ada"
        for query, wrong in ((f"?ticket={ticket}", ""), ("", "session=guessed"), ("", "session=")):
            with pytest.raises(ConnectionRejected) as rejected:
                await come(query, Cookie=wrong)
            assert rejected.value.response.status == 401


async def test_first_message_says_who_it_is() -> None:
    """A good token is greeted and served; a bad one is closed."""
    async with running("first_message.py", 0) as server:
        address = await server.address()
        async with open_websocket_url(address) as ws:
            await ws.send("f3b1c0")
            assert await ws.receive() == "hello Ada"
            await ws.send("echo")
            assert await ws.receive() == "echo"
        async with open_websocket_url(address) as ws:
            await ws.send("guessed")
            with pytest.raises(ConnectionBroken) as broken:
                await ws.receive()
            assert broken.value.received == Close(4401, "who are you?")


# Paths


def list_of_rooms(address: str, headers: dict[str, str]) -> str:
    """Ask for the rooms as a program that has a token would."""
    with plain_http(address) as connection:
        connection.request("GET", "/rooms", headers=headers)
        return connection.getresponse().read().decode()


async def test_routes_lead_to_rooms_and_pages() -> None:
    """Rooms are apart and want a token, as their list does; the page is there for everybody."""
    ada, grace = ({"Authorization": f"Bearer {token}"} for token in ("f3b1c0", "77ab2e"))
    async with running("routes.py", 0) as server:
        address = await server.address()
        url = address.replace("http", "ws", 1)
        assert await fetch(address, "GET", "/") == (200, "text/html", "<h1>Two rooms</h1>")
        assert (await fetch(address, "GET", "/rooms"))[0] == 401
        kitchen = partial(open_websocket_url, f"{url}rooms/kitchen")
        async with kitchen(headers=ada) as one, kitchen(headers=grace) as other:
            async with open_websocket_url(f"{url}rooms/garden", headers=ada) as apart:
                await apart.send("nobody here?")
                assert await apart.receive() == "Ada: nobody here?"
            await other.send("hello")
            assert await one.receive() == await other.receive() == "Grace: hello"
            rooms = await trio.to_thread.run_sync(list_of_rooms, address, ada)
            assert rooms == "kitchen: 2\ngarden: 0"
        for target, headers, status in (("rooms/kitchen", {}, 401), ("rooms/cellar", ada, 404)):
            with pytest.raises(ConnectionRejected) as rejected:
                async with open_websocket_url(url + target, headers=headers):
                    pytest.fail("it was let in")
            assert rejected.value.response.status == status


# Slow clients


async def test_newest_only_is_never_behind() -> None:
    """One that reads gets values, each newer; one that does not is let go."""
    async with running("newest_only.py", 0) as server:
        address = await server.address()
        url = urlsplit(address)
        assert url.port is not None
        stream = await trio.open_tcp_stream("localhost", url.port)
        stream.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_RCVBUF, 4096)
        async with stream, open_websocket_url(address) as ws:
            await stream.send_all(upgrade_request(host=url.netloc))
            values = [float(await ws.receive()) for _ in range(5)]
            assert values == sorted(values)
            assert await server.line() == "somebody is too slow"


# Threads


async def test_foreign_thread_tells_everybody() -> None:
    """What the thread measures comes, in its order."""
    async with (
        running("foreign_thread.py", 0) as server,
        open_websocket_url(await server.address()) as ws,
    ):
        first, second = [float(await ws.receive()) for _ in range(2)]
        assert first <= second


# Without Trio


async def test_sans_io_server_echoes() -> None:
    """All sizes, both kinds, also what comes right behind the request; and a ping."""
    async with running("sans_io_server.py", 0) as server:
        address = await server.address()
        async with open_websocket_url(address) as ws:
            for message in ("grüße", b"\x00\xff", "", "x" * 100_000):
                await ws.send(message)
                assert await ws.receive() == message
            await ws.ping()
        url = urlsplit(address)
        assert url.port is not None
        early = upgrade_request(host=url.netloc) + build_frame(1, b"early", mask_key=b"mask")
        async with await trio.open_tcp_stream("127.0.0.1", url.port) as stream:
            peer = ScriptedPeer(stream, "client")
            await stream.send_all(early)
            assert (await peer.receive_head()).status == 101
            frame = await peer.receive_frame()
            assert frame is not None
            assert frame.payload == b"early"


async def test_sans_io_server_refuses() -> None:
    """What is no upgrade is answered; who hangs up at once is no trouble."""
    async with running("sans_io_server.py", 0) as server:
        address = (await server.address()).replace("ws", "http", 1)
        port = urlsplit(address).port
        assert port is not None
        await (await trio.open_tcp_stream("127.0.0.1", port)).aclose()
        assert (await fetch(address, "GET", "/"))[0] == 426


# Proxies


async def test_client_goes_through_a_proxy(tmp_path: Path) -> None:
    """By the one it is told, or by that of the environment."""
    async with (
        running("hello_server.py", 0) as server,
        tinyproxy(tmp_path) as port,
    ):
        address = await server.address()
        proxy = f"http://localhost:{port}"
        assert await finished("through_proxy.py", address, proxy) == ["Hello Ada!"]
        environment = {"https_proxy": "http://localhost:1", "no_proxy": ""}
        async with running("through_proxy.py", address, environment=environment) as client:
            assert (await client.finish(status=1))[-1].startswith("trio_ws._exceptions.ProxyError")


# Reconnecting


def worth_another_try(failure: Exception) -> bool:
    """Go on where the page is not there yet, because it is being deployed."""
    if isinstance(failure, ConnectionRejected) and failure.response.status == 404:
        return True
    return is_transient(failure)


async def show(ws: WebSocket) -> None:
    """Take one message."""
    received.append(await ws.receive())


received: list[str | bytes] = []
connected = trio.Event()


async def stay_connected(url: str) -> None:
    """Come to a server that is being deployed."""
    # [start]
    async with trio.open_nursery() as nursery:
        stay = partial(
            reconnect_websocket_url,
            is_transient=worth_another_try,
            backoff=Backoff(initial=0.1),
        )
        with trio.fail_after(60):
            await nursery.start(stay, show, url)
        connected.set()  # now, for the first time
        # [end]


async def test_reconnecting_decides_what_is_transient() -> None:
    """A 404 is tried again here, and the start waits for that."""
    answers = [Response(404), None]

    async def greet(ws: WebSocket) -> None:
        await ws.send("hello")

    async with serve_on_loopback(greet, process_request=lambda _: answers.pop(0)) as server:
        await stay_connected(f"ws://127.0.0.1:{server.port}/")
    assert received == ["hello"]
    assert connected.is_set()


# Publish and subscribe


async def relay(broker: Broker, topic: str, audience: set[WebSocket]) -> None:
    """Hand what comes to everybody in the room, by one task and one subscription."""
    async with broker.subscribe(topic, max_queued=1000) as subscription:
        async for message in subscription:
            broadcast(audience, message, when_full="close")


class ShardedBroker:
    """Spreads topics over brokers; each topic always finds the same one."""

    def __init__(self, brokers: Sequence[Broker]) -> None:
        self._brokers = brokers

    def _home(self, topic: str) -> Broker:
        return self._brokers[crc32(topic.encode()) % len(self._brokers)]

    async def publish(self, topic: str, message: str | bytes) -> None:
        """Publish at the topic's home."""
        await self._home(topic).publish(topic, message)

    def subscribe(
        self, topic: str, **options: Unpack[SubscribeOptions]
    ) -> AbstractAsyncContextManager[Subscription]:
        """Subscribe at the topic's home."""
        return self._home(topic).subscribe(topic, **options)


async def test_relay_over_sharded_brokers() -> None:
    """Each topic reaches its own room, and the topics do not all live in one place."""
    brokers = [MemoryBroker(), MemoryBroker()]
    broker: Broker = ShardedBroker(brokers)
    topics = [f"room {number}" for number in range(8)]
    audiences: dict[str, set[WebSocket]] = {f"/{number}": set() for number in range(8)}

    async def enter(ws: WebSocket) -> None:
        audiences[ws.request.path].add(ws)
        await ws.send("come in")
        await ws.discard_messages()

    async with serve_in_memory(enter) as server, trio.open_nursery() as nursery:
        for topic, audience in zip(topics, audiences.values(), strict=True):
            nursery.start_soon(relay, broker, topic, audience)
        await trio.testing.wait_all_tasks_blocked()
        assert all(each.statistics().topics for each in brokers)
        async with (
            server.open_websocket("ws://localhost/1") as one,
            server.open_websocket("ws://localhost/2") as two,
        ):
            assert await one.receive() == await two.receive() == "come in"
            await broker.publish("room 1", "first")
            await broker.publish("room 2", "second")
            assert await one.receive() == "first"
            assert await two.receive() == "second"
        nursery.cancel_scope.cancel()
