"""``trio-ws serve`` and ``trio-ws demo``: where they listen, whom they serve, how they end."""

import logging
import signal
import ssl
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
import trio.testing
import trustme

from tests.command_line import Outcome, Pipes, command, pipes, run_command
from tests.proxies import reserved_port
from trio_ws import (
    Close,
    ConnectionRejected,
    WebSocket,
    open_websocket_unix,
    open_websocket_url,
)
from trio_ws.cli._handler import load_handler
from trio_ws.cli._listening import connectable


class Serving:
    """A command that serves: what it says, and how it ends."""

    def __init__(self, ends: Pipes, outcome: Outcome) -> None:
        self._ends = ends
        self._outcome = outcome
        self.address = ""
        self.signalled = False
        self.connect: list[str] = []

    async def line(self) -> str:
        """Wait for the next line that it prints."""
        return await self._ends.read_line()

    def send_signal(self, number: signal.Signals) -> None:
        """End it."""
        self.signalled = True
        signal.raise_signal(number)

    @property
    def status(self) -> int | None:
        """Its exit status, once it has ended."""
        return self._outcome.status


@asynccontextmanager
async def serving(*arguments: object) -> AsyncGenerator[Serving, None]:
    """Run ``trio-ws serve`` until a signal ends it, at the end of the block at last."""
    async with pipes() as ends, command("serve", *arguments) as outcome:
        serving = Serving(ends, outcome)
        serving.address = (await serving.line()).removeprefix("serving on ")
        hint = await serving.line()
        serving.connect = hint.removeprefix("to talk to it: trio-ws connect ").split()
        yield serving
        if not serving.signalled:
            serving.send_signal(signal.SIGTERM)


async def check_echo(websocket: WebSocket) -> None:
    """See that an echo answers."""
    await websocket.send("hello")
    assert await websocket.receive() == "hello"


async def test_echo_by_default() -> None:
    """Without a handler it is an echo, on a port of localhost."""
    async with serving("--port", 0) as server:
        assert server.connect == [server.address]
        async with open_websocket_url(server.address) as websocket:
            await check_echo(websocket)
            assert websocket.compression is None


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_signal_drains(number: signal.Signals) -> None:
    """Connections are closed with 1001, and that is a normal end."""
    async with serving("--port", 0) as server, open_websocket_url(server.address) as websocket:
        server.send_signal(number)
        assert await server.line() == f"{number.name}: closing 1 connection"
        await websocket.wait_closed()
        assert websocket.close_received == Close(1001)
    assert server.status == 0


HANDLERS = """
import trio
from trio_ws import Request, Response, Router

async def greet(ws):
    await ws.send("hello")

async def stay(ws):
    await ws.send("ready")
    await trio.sleep_forever()

class rooms:
    greet = greet

router = Router()
router.websocket("/<name>")(lambda ws, name: ws.send(name))

number = 1
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a directory with handlers of the user's."""
    (tmp_path / "handlers_of_a_test.py").write_text(HANDLERS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [*sys.path])
    monkeypatch.delitem(sys.modules, "handlers_of_a_test", raising=False)
    return tmp_path


@pytest.mark.parametrize("name", ["greet", "rooms.greet"])
async def test_handler_by_its_name(here: Path, name: str) -> None:
    """A function of a module in the current directory is called with each connection."""
    async with (
        serving(f"handlers_of_a_test:{name}", "--port", 0) as server,
        open_websocket_url(server.address) as websocket,
    ):
        assert await websocket.receive() == "hello"


async def test_router_by_its_name(here: Path) -> None:
    """A router serves its paths, and answers what is no path of its own."""
    async with serving("handlers_of_a_test:router", "--port", 0) as server:
        async with open_websocket_url(f"{server.address}kitchen") as websocket:
            assert await websocket.receive() == "kitchen"
        with pytest.raises(ConnectionRejected, match="404"):
            async with open_websocket_url(f"{server.address}no/room"):
                pytest.fail("the connection was accepted")


async def test_second_signal_ends_at_once(here: Path) -> None:
    """Handlers that do not end are not waited for any longer."""
    async with (
        serving("handlers_of_a_test:stay", "--port", 0, "--grace", "inf") as server,
        open_websocket_url(server.address) as websocket,
    ):
        assert await websocket.receive() == "ready"
        server.send_signal(signal.SIGTERM)
        await server.line()
        server.send_signal(signal.SIGINT)
    assert server.status == 130


async def test_grace_ends(here: Path, autojump_clock: trio.testing.MockClock) -> None:
    """Handlers that do not end are cancelled when their time is over."""
    arguments = ["--host", "127.0.0.1", "--port", 0, "--grace", 3]
    async with (
        serving("handlers_of_a_test:stay", *arguments) as server,
        open_websocket_url(server.address) as websocket,
    ):
        assert await websocket.receive() == "ready"
        server.send_signal(signal.SIGTERM)
        began = trio.current_time()
        await websocket.wait_closed()
    assert trio.current_time() == pytest.approx(began + 3)
    assert server.status == 0


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("handlers_of_a_test", "write module:function"),
        ("handlers_of_a_test:", "write module:function"),
        ("./handlers_of_a_test.py:greet", "write module:function"),
        ("handlers_of_a_test.py:greet", "there is no module 'handlers_of_a_test.py'"),
        ("no_such_module:greet", "there is no module 'no_such_module'"),
        ("handlers_of_a_test:great", "has no attribute 'great'"),
        ("handlers_of_a_test:number", "is no function to call with a WebSocket: 1"),
    ],
)
async def test_handler_that_is_none(
    here: Path, name: str, problem: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is said what is wrong with the name."""
    assert await run_command("serve", name) == 2
    assert problem in capsys.readouterr().err


def test_handler_whose_module_fails(here: Path) -> None:
    """What the user's own code raises is for the user to see, traceback and all."""
    (here / "failing_of_a_test.py").write_text("import no_such_module")
    with pytest.raises(ModuleNotFoundError, match="no_such_module"):
        load_handler("failing_of_a_test:handler")


async def test_unix_socket(tmp_path: Path) -> None:
    """Over a Unix socket, whose file goes with the server."""
    path = tmp_path / "socket"
    async with serving("--unix", path) as server:
        assert server.address == str(path)
        assert server.connect == ["--unix", str(path)]
        async with open_websocket_unix(path) as websocket:
            await check_echo(websocket)
    assert not path.exists()


async def test_certificate_of_the_moment() -> None:
    """It is trusted by who is told of its authority, in a file that goes with the server."""
    async with serving("--tls-self-signed", "--port", 0) as server:
        option, path, url = server.connect
        assert option == "--ca"
        assert url == server.address
        assert url.startswith("wss://localhost:")
        async with open_websocket_url(url, ssl.create_default_context(cafile=path)) as websocket:
            await check_echo(websocket)
    assert not await trio.Path(path).exists()


@pytest.mark.parametrize("together", [False, True])
async def test_certificate_of_files(tmp_path: Path, together: bool) -> None:
    """Certificate and key come from two files or one."""
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost")
    if together:
        certificate.private_key_and_cert_chain_pem.write_to_path(tmp_path / "both.pem")
        options = ["--cert", tmp_path / "both.pem"]
    else:
        certificate.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
        certificate.private_key_pem.write_to_path(tmp_path / "key.pem")
        options = ["--cert", tmp_path / "cert.pem", "--key", tmp_path / "key.pem"]
    context = ssl.create_default_context(cadata=authority.cert_pem.bytes().decode())
    async with serving(*options, "--port", 0) as server:
        assert server.connect == [server.address]
        async with open_websocket_url(server.address, context) as websocket:
            await check_echo(websocket)


async def test_compression() -> None:
    """Messages are compressed where both want it."""
    async with (
        serving("--compress", "--port", 0) as server,
        open_websocket_url(server.address, compression="deflate") as websocket,
    ):
        assert websocket.compression is not None


@pytest.mark.parametrize(
    ("options", "origin", "allowed"),
    [
        ([], "https://example.com", False),
        (["--origin", "https://example.com"], "https://example.com", True),
        (["--origin", "https://example.com"], None, True),
        (["--origin", "https://example.com"], "https://example.org", False),
        (["--origin", "*"], "https://example.org", True),
    ],
)
async def test_origins(options: list[str], origin: str | None, allowed: bool) -> None:
    """Pages of other origins may come when they are named; programs may in any case."""
    async with serving(*options, "--port", 0) as server:
        try:
            async with open_websocket_url(server.address, origin=origin) as websocket:
                await check_echo(websocket)
        except ConnectionRejected:
            assert not allowed
        else:
            assert allowed


async def test_origin_that_is_none(capsys: pytest.CaptureFixture[str]) -> None:
    """It is said how one is written."""
    assert await run_command("serve", "--port", 0, "--origin", "example.com") == 2
    assert "write scheme://host" in capsys.readouterr().err


async def test_verbose_tells_of_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    """With --verbose the server's log is switched on."""
    levels: list[int] = []

    def configure(*, level: int, format: str) -> None:  # noqa: A002 - logging's own name
        levels.append(level)

    monkeypatch.setattr("logging.basicConfig", configure)
    async with serving("--verbose", "--port", 0):
        pass
    assert levels == [logging.INFO]


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["--key", "key.pem"], "--key goes with --cert"),
        (["--tls-self-signed", "--host", "a b"], "there is no certificate for 'a b'"),
        (["--cert", "c.pem", "--tls-self-signed"], "either --tls-self-signed or of --cert"),
        (["--unix", "socket", "--tls-self-signed"], "a Unix socket is served without TLS"),
        (["--cert", "/no/such.pem"], "cannot read /no/such.pem: No such file or directory"),
        (["--cert", __file__], "there is no certificate with its key, in PEM, in "),
        (["--cert", __file__, "--key", __file__], f"in {__file__} and {__file__}"),
    ],
)
async def test_tls_that_is_none(
    options: list[str], problem: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is said what is wrong."""
    assert await run_command("serve", *options) == 2
    assert problem in capsys.readouterr().err


async def test_without_trustme(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is said what to install."""
    monkeypatch.setitem(sys.modules, "trustme", None)
    assert await run_command("serve", "--tls-self-signed") == 2
    assert "pip install 'trio_ws[testing]'" in capsys.readouterr().err


async def test_port_that_is_taken(capsys: pytest.CaptureFixture[str]) -> None:
    """It is said which, and what to do."""
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with listener:
        port = listener.socket.getsockname()[1]
        assert await run_command("serve", "--port", port, "--host", "127.0.0.1") == 1
    error = capsys.readouterr().err
    assert error.startswith("trio-ws: cannot listen on ")
    assert f"{port}: Address already in use; " in error


async def test_path_that_is_taken(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file that is there is left alone, whatever it is."""
    (tmp_path / "socket").write_text("mine")
    assert await run_command("serve", "--unix", tmp_path / "socket") == 1
    assert capsys.readouterr().err == (
        f"trio-ws: cannot listen on {tmp_path}/socket: Address already in use;"
        " remove it, if no server uses it\n"
    )
    assert (tmp_path / "socket").read_text() == "mine"


async def test_path_that_cannot_be(capsys: pytest.CaptureFixture[str]) -> None:
    """It is said why."""
    assert await run_command("serve", "--unix", "/no/such/socket") == 1
    assert capsys.readouterr().err == (
        "trio-ws: cannot listen on /no/such/socket: No such file or directory\n"
    )


@pytest.mark.parametrize(
    ("host", "shown"),
    [
        ("localhost", "localhost"),
        ("0.0.0.0", "localhost"),
        ("::", "localhost"),
        ("127.0.0.1", "127.0.0.1"),
        ("::1", "[::1]"),
    ],
)
def test_address_is_one_to_connect_to(host: str, shown: str) -> None:
    """What is printed can be connected to, whatever is listened on."""
    assert connectable(host) == shown


async def test_demo_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """The address comes first, then what to do there; a signal ends it."""
    monkeypatch.delenv("REDIS_URL", raising=False)
    async with pipes() as ends, command("demo", 0) as outcome:
        url = (await ends.read_line()).replace("http", "ws", 1)
        async with open_websocket_url(url) as websocket:
            assert (await ends.read_line()).startswith("Open it in two windows")
            signal.raise_signal(signal.SIGTERM)
            await websocket.discard_messages()
            assert websocket.close_received == Close(1001)
    assert outcome.status == 0


async def test_demo_whose_address_nobody_reads(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As in ``trio-ws demo | true``: it ends, without a complaint."""
    monkeypatch.delenv("REDIS_URL", raising=False)
    async with pipes() as ends:
        await ends.end_output()
        assert await run_command("demo", 0) == 0
    assert capsys.readouterr().err == ""


async def test_demo_without_its_redis(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is no URL of a Redis, and a Redis that is not there, are one line each."""
    async with pipes():
        monkeypatch.setenv("REDIS_URL", "localhost")
        assert await run_command("demo", 0) == 2
        assert capsys.readouterr().err.startswith("trio-ws: REDIS_URL: 'localhost': a URL of Redis")
        with reserved_port() as port:
            monkeypatch.setenv("REDIS_URL", f"redis://127.0.0.1:{port}")
            assert await run_command("demo", 0) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"trio-ws: Redis at 127.0.0.1:{port}: ")
    assert error.count("\n") == 1
