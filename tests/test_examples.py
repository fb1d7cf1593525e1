"""The examples, run as their readers run them: each in a process of its own, over real sockets.

Ports are given by the system and read from what the example prints.  Where it matters that our two
ends do not only understand each other, the other end is the websockets package.
"""

import ast
import hashlib
import json
import os
import re
import signal
import socket
from collections.abc import AsyncGenerator, Iterator
from contextlib import (
    AsyncExitStack,
    asynccontextmanager,
    suppress,
)
from datetime import datetime
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import trio
import trustme
from websockets.exceptions import ConnectionClosed as OtherConnectionClosed
from websockets.trio.client import connect
from websockets.trio.server import ServerConnection, serve

from tests.redis_server import RedisServer, running_redis
from tests.running import EXAMPLES, fetch, finished, running
from tests.servers import serve_on_loopback
from trio_ws import (
    Close,
    ConnectionClosed,
    ConnectionEnded,
    WebSocket,
    open_websocket_url,
    run_siblings,
)
from trio_ws.testing import build_frame, upgrade_request

NAMES = sorted(path.relative_to(EXAMPLES).as_posix() for path in EXAMPLES.rglob("*.py"))
PAGES = sorted(path.relative_to(EXAMPLES).as_posix() for path in EXAMPLES.rglob("*.html"))
MOST_LINES = 59


@asynccontextmanager
async def foreign_echo_server() -> AsyncGenerator[str, None]:
    """Serve an echo by the websockets package; yields its address."""

    async def echo(ws: ServerConnection) -> None:
        with suppress(OtherConnectionClosed):
            while True:
                await ws.send(await ws.recv())

    async with trio.open_nursery() as nursery:
        server = await nursery.start(partial(serve, echo, 0, host="127.0.0.1"))
        port = server.listeners[0].socket.getsockname()[1]
        yield f"ws://127.0.0.1:{port}/"
        nursery.cancel_scope.cancel()


async def end_of(ws: WebSocket) -> Close | None:
    """Wait for the end of a connection on which nothing more may come; return the peer's Close."""
    with pytest.raises(ConnectionClosed) as caught:
        pytest.fail(f"unexpected message {await ws.receive()!r}")
    return caught.value.received


# All of them


def examples_run(tree: ast.Module) -> Iterator[str]:
    """Find the examples that the tests of a module run, by themselves or by pytest."""
    for test in tree.body:
        if isinstance(test, ast.AsyncFunctionDef) and test.name.startswith("test_"):
            for node in ast.walk(test):
                match node:
                    case ast.Call(func=ast.Name("running" | "finished")):
                        yield from texts_in(node)
                    case _:
                        pass


def texts_in(call: ast.Call) -> Iterator[str]:
    """Find the texts in a call's arguments, also where they are parts of paths."""
    for node in ast.walk(call):
        match node:
            case ast.Constant(value=str(text)):
                yield text
            case _:
                pass


@pytest.mark.parametrize("name", NAMES)
def test_example_is_run_by_a_test(name: str) -> None:
    """Each example is run by a test."""
    tests = (path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("test_*.py"))
    assert any(name in examples_run(ast.parse(test)) for test in tests if "tests.running" in test)


@pytest.mark.parametrize("name", NAMES)
def test_example_is_short(name: str) -> None:
    """Each example has less than sixty lines."""
    assert len((EXAMPLES / name).read_text(encoding="utf-8").splitlines()) <= MOST_LINES


@pytest.mark.parametrize("name", [*NAMES, *PAGES])
def test_example_is_listed(name: str) -> None:
    """Each example has its place in the list of examples."""
    assert f"`{name} <{name}>`__" in (EXAMPLES / "README.rst").read_text(encoding="utf-8")


# First steps


async def test_hello_server_greets() -> None:
    """The server greets, and closes with 1000 when its handler returns."""
    async with (
        running("hello_server.py", 0) as server,
        open_websocket_url(await server.address()) as ws,
    ):
        await ws.send("Grace")
        assert await ws.receive() == "Hello Grace!"
        assert await end_of(ws) == Close(1000)


async def test_hello_server_greets_another_implementation() -> None:
    """The server greets a client of the websockets package."""
    async with (
        running("hello_server.py", 0) as server,
        connect(await server.address(), proxy=None) as ws,
    ):
        await ws.send("Grace")
        assert await ws.recv() == "Hello Grace!"


async def test_hello_client_is_greeted() -> None:
    """Client and server are a pair."""
    async with running("hello_server.py", 0) as server:
        assert await finished("hello_client.py", await server.address()) == ["Hello Ada!"]


async def test_hello_client_talks_to_another_implementation() -> None:
    """The client talks to a server of the websockets package."""
    async with foreign_echo_server() as address:
        assert await finished("hello_client.py", address) == ["Ada"]


async def test_blocking_client_is_greeted() -> None:
    """A client in a program without Trio gets the same greeting."""
    async with running("hello_server.py", 0) as server:
        assert await finished("blocking_client.py", await server.address()) == ["Hello Ada!"]


async def test_client_inside_asyncio_is_greeted() -> None:
    """So does one in an asyncio program."""
    async with running("hello_server.py", 0) as server:
        assert await finished("inside_asyncio.py", await server.address()) == ["Hello Ada!"]


async def test_with_anyio_gets_its_echoes() -> None:
    """The task groups and streams of anyio work with a WebSocket."""
    async with running("echo.py", 0) as server:
        assert await finished("with_anyio.py", await server.address()) == ["one", "two", "three"]


async def test_echo_sends_back_text_and_binary() -> None:
    """What comes back to a client of the websockets package is of the kind that was sent."""
    async with running("echo.py", 0) as server, connect(await server.address(), proxy=None) as ws:
        for message in ("grüße", b"\x00\xff", "", b"", "x" * 100_000):
            await ws.send(message)
            assert await ws.recv() == message


async def test_reconnecting_client_comes_back() -> None:
    """After 1012 it connects again; 1000 is the end."""
    codes = [1012, 1000]

    async def feed(ws: WebSocket) -> None:
        await ws.send(f"{len(codes)} left")
        await ws.aclose(codes.pop(0))

    async with serve_on_loopback(feed) as server:
        lines = await finished("reconnecting_client.py", f"ws://127.0.0.1:{server.port}/")
    assert [line for line in lines if not line.startswith("trio_ws.client: ")] == [
        *("connected", "2 left"),
        *("connected", "1 left", "done"),
    ]
    assert any("connecting again" in line for line in lines)


# TLS


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path, Path]:
    """Write files for a server named localhost: its certificate, its key, and the authority."""
    authority = trustme.CA()
    issued = authority.issue_cert("localhost")
    paths = tmp_path / "certificate.pem", tmp_path / "key.pem", tmp_path / "authority.pem"
    issued.cert_chain_pems[0].write_to_path(str(paths[0]))
    issued.private_key_pem.write_to_path(str(paths[1]))
    authority.cert_pem.write_to_path(str(paths[2]))
    return paths


async def test_secure_hello_server_and_client(certificate: tuple[Path, Path, Path]) -> None:
    """A client that trusts the authority is greeted over TLS."""
    chain, key, authority = certificate
    async with running("secure_hello_server.py", chain, key, 0) as server:
        address = await server.address()
        assert address.startswith("wss://")
        assert await finished("secure_hello_client.py", address, authority) == [
            "Hello Ada, nobody else can read this!"
        ]


async def test_secure_hello_client_without_trust(certificate: tuple[Path, Path, Path]) -> None:
    """A client that does not know the authority says so, and the server is none the worse."""
    chain, key, authority = certificate
    async with running("secure_hello_server.py", chain, key, 0) as server:
        address = await server.address()
        [complaint] = await finished("secure_hello_client.py", address, status=1)
        assert complaint.startswith("no connection: the certificate of localhost was not accepted")
        assert len(await finished("secure_hello_client.py", address, authority)) == 1


async def test_secure_hello_trustme_runs_through() -> None:
    """The rig greets itself over TLS."""
    address, greeting, version = await finished("secure_hello_trustme.py")
    assert re.fullmatch(r"serving on wss://localhost:[0-9]+/", address)
    assert greeting == "Hello Ada, nobody else can read this!"
    assert version == "over TLSv1.3"


# Patterns


async def test_clock_ticks() -> None:
    """The page comes from the address printed; a WebSocket from there gets times, in order."""
    async with running("clock/server.py", 0) as server:
        address = await server.address()
        status, kind, page = await fetch(address, "GET", "/")
        assert (status, kind) == (200, "text/html; charset=utf-8")
        assert page == (EXAMPLES / "clock" / "index.html").read_text(encoding="utf-8")
        url = address.replace("http", "ws", 1)
        async with open_websocket_url(url, origin=address.rstrip("/")) as ws:
            await ws.send("slower, please")
            first, second = [datetime.fromisoformat(str(await ws.receive())) for _ in range(2)]
            assert first < second


async def test_counter_is_shared() -> None:
    """A step of one is seen by all, and so is who comes and who leaves."""
    async with running("counter/server.py", 0) as server:
        address = await server.address()
        assert (await fetch(address, "GET", "/"))[2] == (
            EXAMPLES / "counter" / "index.html"
        ).read_text(encoding="utf-8")
        page = partial(open_websocket_url, address.replace("http", "ws", 1))
        async with page() as one:
            assert json.loads(await one.receive()) == {"value": 0, "watching": 1}
            async with page() as other:
                both = [json.loads(await each.receive()) for each in (one, other)]
                assert both == [{"value": 0, "watching": 2}] * 2
                await other.send("down")
                await other.send("sideways")
                for expected in ({"value": -1, "watching": 2},) * 2:
                    assert json.loads(await one.receive()) == expected
            assert json.loads(await one.receive()) == {"value": -1, "watching": 1}


async def test_feed_sends_whatever_the_client_says() -> None:
    """The feed drops what its client says, however much, and hears it leave."""
    async with running("feed.py", 0) as server:
        async with open_websocket_url(await server.address()) as ws:
            assert await server.line() == "somebody came"
            assert re.fullmatch(r"\d{4}-\d\d-\d\dT[0-9:.]+\+00:00", str(await ws.receive()))
            for _ in range(100):  # many more than the feed's queue would hold
                await ws.send("is anybody listening?")
            await ws.ping()  # is read behind all of them
        assert await server.line() == "somebody left"


async def test_consumer_takes_what_producer_sends(tmp_path: Path) -> None:
    """All lines of a file arrive in order, and both ends know that these were all."""
    file = tmp_path / "lines.txt"
    file.write_text("first\n\nthird, grüße\n", encoding="utf-8")
    async with running("consumer.py", 0) as consumer:
        address = await consumer.address()
        assert await finished("producer.py", address, file) == ["3 lines arrived"]
        assert [await consumer.line() for _ in range(4)] == [
            "got 'first'",
            "got ''",
            "got 'third, grüße'",
            "that was all",
        ]


async def test_producer_sends_itself() -> None:
    """Without a file the producer sends its own source, here to an echo it does not listen to."""
    source = (EXAMPLES / "producer.py").read_text(encoding="utf-8")
    async with foreign_echo_server() as address:
        lines = len(source.splitlines())
        assert await finished("producer.py", address) == [f"{lines} lines arrived"]


async def test_consumer_notices_that_something_may_be_missing() -> None:
    """A client that just hangs up is told apart from one that closes."""
    async with running("consumer.py", 0) as consumer:
        async with raw_websocket(await consumer.address()) as stream:
            await stream.send_all(build_frame(1, b"half of it", mask_key=b"mask"))
        assert await consumer.line() == "got 'half of it'"
        assert (await consumer.line()).startswith("there may have been more: no Close frame")


async def test_consumer_and_producer_work_at_once() -> None:
    """Jobs may be sent before, between and after results; these come in order."""
    async with (
        running("consumer_and_producer.py", 0) as server,
        connect(await server.address(), proxy=None) as ws,
    ):
        for job in ("stressed", "drawer"):
            await ws.send(job)
        results = [await ws.recv() for _ in range(3)]
        assert results == ["send me words", "desserts", "reward"]
        await ws.send(b"\x01\x02")
        assert await ws.recv() == b"\x02\x01"


async def test_broadcast_lets_go_of_who_is_too_slow() -> None:
    """The two that read get the pictures; the one that does not is closed."""
    assert await finished("broadcast.py") == ["2 got the last picture, 1 was too slow"]


async def test_registration_tells_everybody() -> None:
    """Everybody hears who comes, what is said, and who goes."""
    async with running("registration.py", 0) as server:
        address = await server.address()
        async with open_websocket_url(address) as ada:
            assert await ada.receive() == "1 connected"
            async with open_websocket_url(address) as grace:
                assert await grace.receive() == "2 connected"
                assert await ada.receive() == "2 connected"
                await grace.send("hello, world")
                assert await ada.receive() == await grace.receive() == "hello, world"
            assert await ada.receive() == "1 connected"


async def test_registration_leaves_the_slow_behind() -> None:
    """A client that does not read misses messages; another one gets all of them."""
    async with running("registration.py", 0) as server:
        address = await server.address()

        async def talk(ws: WebSocket) -> None:
            while True:
                await ws.send(b"x" * 500_000)
                assert len(await ws.receive()) == 500_000

        async def hear() -> None:
            assert (await server.line()).endswith("is too slow and misses a message")

        async with raw_websocket(address), open_websocket_url(address) as ws:
            assert await ws.receive() == "2 connected"
            await run_siblings(hear, partial(talk, ws))
            # More of the kind may have been printed before the slow one hung up.
        server.send_signal(signal.SIGTERM)
        assert all(line.endswith("misses a message") for line in await server.rest())


async def test_from_thread_reports_and_returns() -> None:
    """The thread's reports come as it works, then the result; pings are answered meanwhile."""
    expected = b"swordfish"
    for _ in range(4):
        expected = hashlib.pbkdf2_hmac("sha256", expected, b"salt", 50_000)
    async with (
        running("from_thread.py", 0) as server,
        open_websocket_url(await server.address()) as ws,
    ):
        await ws.send("swordfish")
        await ws.ping()
        reports = [await ws.receive() for _ in range(4)]
        assert reports == [f"round {done} of 4" for done in range(1, 5)]
        assert await ws.receive() == expected.hex()


async def test_from_thread_when_the_client_leaves() -> None:
    """Work for a client that has left ends without a word; the next client is served."""
    async with running("from_thread.py", 0) as server:
        address = await server.address()
        for rounds in (1, 4):
            async with open_websocket_url(address) as ws:
                await ws.send("swordfish")
                for done in range(1, rounds + 1):
                    assert await ws.receive() == f"round {done} of 4"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_graceful_shutdown_tells_clients(number: signal.Signals) -> None:
    """On a signal every client gets a Close that says why, and the server ends by itself."""
    async with running("graceful_shutdown.py", 0) as server:
        address = await server.address()
        async with open_websocket_url(address) as ws, connect(address, proxy=None) as other:
            for end in (ws, other):
                await end.send("one")
            assert await ws.receive() == await other.recv() == "one"
            server.send_signal(number)
            with pytest.raises(ConnectionEnded) as ended:
                await ws.receive()
            with pytest.raises(OtherConnectionClosed) as other_ended:
                await other.recv()
        assert ended.value.received == Close(1001, "the server is restarting")
        assert other_ended.value.rcvd is not None
        assert other_ended.value.rcvd.reason == "the server is restarting"
        assert await server.finish() == [
            f"{number.name}: closing 2 connections",
            "goodbye to one client, 1 messages sent",
            "goodbye to one client, 1 messages sent",
            "done",
        ]


# Across processes


@pytest.fixture
async def redis() -> AsyncGenerator[RedisServer, None]:
    """Run a Redis for the test."""
    async with running_redis() as server:
        yield server


async def test_publish_subscribe_keeps_rooms_apart() -> None:
    """What is said in a room is heard there, also by who says it, and nowhere else."""
    async with running("publish_subscribe.py", 0) as server:
        address = await server.address()
        async with (
            open_websocket_url(f"{address}kitchen") as ada,
            open_websocket_url(f"{address}kitchen") as grace,
            open_websocket_url(f"{address}cellar") as alan,
        ):
            assert await ada.receive() == await grace.receive() == "(you are in /kitchen)"
            assert await alan.receive() == "(you are in /cellar)"
            await alan.send(b"down here")
            await ada.send("tea?")
            assert await ada.receive() == await grace.receive() == "tea?"
            assert await alan.receive() == b"down here"


async def test_publish_subscribe_tells_what_may_be_missing(redis: RedisServer) -> None:
    """When Redis was away, members hear of that, and then of what is said."""
    async with running("publish_subscribe.py", 0, redis.url) as server:
        address = await server.address()
        async with (
            open_websocket_url(f"{address}kitchen") as ada,
            open_websocket_url(f"{address}kitchen") as grace,
        ):
            assert await ada.receive() == await grace.receive() == "(you are in /kitchen)"
            await redis.kill()
            await redis.start()
            assert await ada.receive() == await grace.receive() == "(you may have missed something)"
            await grace.send("still there?")
            assert await ada.receive() == await grace.receive() == "still there?"
        server.send_signal(signal.SIGTERM)
        assert "connected again" in "\n".join(await server.rest())


async def test_server_behind_a_proxy_believes_its_proxy() -> None:
    """Who comes from this machine is taken for the proxy; test_reverse_proxies has real ones."""
    async with running("reverse_proxy/server.py", 0) as server:
        address = await server.address()
        async with open_websocket_url(address, headers={"X-Forwarded-For": "192.0.2.7"}) as ws:
            assert await ws.receive() == "you are 192.0.2.7"
        async with open_websocket_url(address) as ws:
            assert await ws.receive() == "you are 127.0.0.1"
            await ws.send("echo")
            assert await ws.receive() == "echo"


async def test_worker_drains(redis: RedisServer) -> None:
    """A worker by itself serves on its port, and tells its clients when it ends."""
    with socket.socket() as reserved:  # as workers.py does it
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        reserved.bind(("127.0.0.1", 0))
        port = reserved.getsockname()[1]
        async with running("worker.py", redis.url, port) as worker:
            name = (await worker.line()).removesuffix(" serves")
            async with open_websocket_url(f"ws://127.0.0.1:{port}/") as ws:
                assert await ws.receive() == name
                await check_all_hear([ws])
                worker.send_signal(signal.SIGTERM)
                assert await end_of(ws) == Close(1001, "this worker is restarting")
            assert await worker.finish() == []


async def connected_to_each(url: str, workers: set[str], stack: AsyncExitStack) -> list[WebSocket]:
    """Connect until each worker has a client: which one gets it is the kernel's choice."""
    clients: list[WebSocket] = []
    served: set[str | bytes] = set()
    while served != workers:
        clients.append(await stack.enter_async_context(open_websocket_url(url)))
        served.add(await clients[-1].receive())
        assert served <= workers
        assert len(clients) < 100, "the kernel does not spread the connections"
    return clients


async def check_all_hear(clients: list[WebSocket]) -> None:
    """See that what each says is heard by all, once."""
    for number, speaker in enumerate(clients):
        await speaker.send(str(number))
        assert {await ws.receive() for ws in clients} == {str(number)}


async def test_workers_are_kept_running(redis: RedisServer) -> None:
    """A worker that is killed is replaced, while the other one serves on; SIGTERM ends them all."""
    async with running("workers.py", redis.url, 0, 2) as supervisor:
        url = await supervisor.address()
        names = {(await supervisor.line()).removesuffix(" serves") for _ in range(2)}
        victim = min(names)
        async with AsyncExitStack() as stack:
            clients = await connected_to_each(url, names, stack)
            os.kill(int(victim.removeprefix("worker ")), signal.SIGKILL)
            assert await supervisor.line() == "a worker has ended: -9"
            replacement = (await supervisor.line()).removesuffix(" serves")
            survivors = names - {victim} | {replacement}
            clients = await connected_to_each(url, survivors, stack)
            await check_all_hear(clients)
            supervisor.send_signal(signal.SIGTERM)
            for ws in clients:
                assert await end_of(ws) == Close(1001, "this worker is restarting")
        assert await supervisor.finish() == []


async def test_workers_that_cannot_start_are_tried_again() -> None:
    """Without Redis a worker ends at once; it is tried again, and SIGTERM ends that too."""
    async with running("workers.py", "unix:///nowhere", 0, 1) as supervisor:
        await supervisor.address()
        ends = 0
        while ends < 2:
            ends += await supervisor.line() == "a worker has ended: 1"
        supervisor.send_signal(signal.SIGTERM)
        await supervisor.finish()
        assert "BrokerUnavailable: Redis at /nowhere: " in supervisor.output


# Other transports


@asynccontextmanager
async def raw_websocket(address: str) -> AsyncGenerator[trio.SocketStream, None]:
    """Open a WebSocket by hand, with a small window, and leave what comes over it to the test."""
    url = urlsplit(address)
    assert url.port is not None
    stream = await trio.open_tcp_stream("localhost", url.port)
    stream.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_RCVBUF, 4096)
    async with stream:
        await stream.send_all(upgrade_request(host=url.netloc))
        head = b""
        while b"\r\n\r\n" not in head:
            head += await stream.receive_some(1)  # and nothing of what follows
        assert head.startswith(b"HTTP/1.1 101 ")
        yield stream


async def test_existing_socket_server_survives_bad_connections() -> None:
    """What is no WebSocket is reported, a good one served."""
    async with running("existing_socket_server.py", 0) as server:
        address = await server.address()
        stream = await trio.open_tcp_stream("127.0.0.1", urlsplit(address).port or 0)
        async with stream:
            await stream.send_all(b"EHLO example.org\r\n\r\n")
            assert (await stream.receive_some()).startswith(b"HTTP/1.1 400 ")
        assert (await server.line()).startswith("lost: the request was answered with 400")
        async with connect(address, proxy=None) as ws:
            await ws.send("still there?")
            assert await ws.recv() == "still there?"


async def test_existing_socket_client_and_server() -> None:
    """Both roles over streams that were there before."""
    async with running("existing_socket_server.py", 0) as server:
        url = urlsplit(await server.address())
        assert await finished("existing_socket_client.py", url.hostname, url.port) == [
            "over a socket of my own"
        ]


async def test_existing_socket_client_talks_to_another_implementation() -> None:
    """A stream of one's own leads to a server of the websockets package."""
    async with foreign_echo_server() as address:
        url = urlsplit(address)
        assert await finished("existing_socket_client.py", url.hostname, url.port) == [
            "over a socket of my own"
        ]


async def test_unix_socket_runs_through() -> None:
    """Both ends meet at a path, of which nothing is left."""
    where, message = await finished("unix_socket.py")
    assert message == "no port in sight"
    path = trio.Path(where.removeprefix("serving on "))
    assert path.is_absolute()
    assert not await path.parent.exists()


async def test_sans_io_client_is_greeted() -> None:
    """The client without Trio is greeted, and closes when the server does."""
    async with running("hello_server.py", 0) as server:
        assert await finished("sans_io_client.py", await server.address()) == [
            "received 'Hello Ada!'",
            "closed: 1000 (normal closure)",
        ]


async def test_sans_io_client_talks_to_another_implementation() -> None:
    """The client without Trio closes a connection of the websockets package by itself."""
    async with foreign_echo_server() as address:
        assert await finished("sans_io_client.py", address) == [
            "received 'Ada'",
            "closed: 1000 (normal closure)",
        ]


def test_sans_io_client_knows_no_trio() -> None:
    """The client without Trio does not import it."""
    source = (EXAMPLES / "sans_io_client.py").read_text(encoding="utf-8")
    imported = re.findall(r"^(?:import|from) (\w+)", source, re.MULTILINE)
    assert "trio_ws" in imported
    assert "trio" not in imported


# The pages


@pytest.mark.parametrize("name", [*PAGES, "../trio_ws/demo/index.html"])
def test_page_keeps_text_text(name: str) -> None:
    """A page needs nothing from elsewhere and never makes HTML of what people write."""
    page = (EXAMPLES / name).read_text(encoding="utf-8")
    assert "textContent" in page
    for suspect in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "://"):
        assert suspect not in page
