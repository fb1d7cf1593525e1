"""``trio-ws ping``: round trips, what they have in common, and what ends it."""

import re
import signal
from collections.abc import AsyncGenerator

import pytest
import trio
import trio.testing

from tests.clients import answer_close, listening
from tests.command_line import command, pipes, run_command
from tests.pages import output_of
from tests.servers import LOOPBACK, echo, serve_on_loopback
from trio_ws import WebSocket
from trio_ws.testing import ScriptedPeer

OPEN = r"ws://127\.0\.0\.1:\d+/: open after [\d.]+ ms"
SUMMARY = r"min/avg/max/stddev: [\d.e+-]+ ms / [\d.e+-]+ ms / [\d.e+-]+ ms / [\d.e+-]+ ms"


@pytest.fixture
async def url() -> AsyncGenerator[str, None]:
    """Run an echo server."""
    async with serve_on_loopback(echo) as server:
        yield f"ws://{LOOPBACK}:{server.port}/"


def pong(number: int) -> str:
    """Return what the line of a pong looks like."""
    return rf"pong {number}: [\d.e+-]+ ms"


def check(output: str, *patterns: str) -> None:
    """See that the lines of the output look like this."""
    lines = output.splitlines()
    matches = [re.fullmatch(*pair) is not None for pair in zip(patterns, lines, strict=True)]
    assert all(matches), output


async def test_number_of_pings(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    """After the last pong comes what they have in common."""
    assert await run_command("ping", "-c", 2, "-i", 0, url) == 0
    check(capsys.readouterr().out, OPEN, pong(1), pong(2), SUMMARY)


def test_documentation_shows_what_is_printed() -> None:
    """The example there looks as what the other tests see."""
    lines = output_of("docs/command-line.rst", "trio-ws ping -c 3 ws://localhost:8765/")
    output = "\n".join(lines).strip().replace("//localhost:", "//127.0.0.1:")
    check(output, OPEN, pong(1), pong(2), pong(3), SUMMARY)


async def test_interval(
    url: str, capsys: pytest.CaptureFixture[str], autojump_clock: trio.testing.MockClock
) -> None:
    """Between a pong and the next ping lies a second, unless it is said otherwise."""
    began = trio.current_time()
    assert await run_command("ping", "-c", 3, url) == 0
    assert await run_command("ping", "-c", 3, "-i", "0.25", url) == 0
    assert trio.current_time() == pytest.approx(began + 2.5)


async def test_ctrl_c_is_the_usual_end(url: str) -> None:
    """It ends with what the round trips have in common."""
    async with pipes() as ends, command("ping", "-i", "inf", url) as outcome:
        check(f"{await ends.read_line()}\n{await ends.read_line()}", OPEN, pong(1))
        signal.raise_signal(signal.SIGINT)
        check(await ends.read_line(), SUMMARY)
    assert outcome.status == 0


async def test_ctrl_c_before_the_first_pong() -> None:
    """Then there is nothing to tell."""

    async def silent(stream: trio.SocketStream) -> None:
        peer = ScriptedPeer(stream, "server")
        await peer.server_handshake()
        await peer.receive_frame()
        signal.raise_signal(signal.SIGINT)
        assert await answer_close(peer) == 1001

    async with (
        listening(silent) as port,
        pipes() as ends,
        command("ping", f"ws://{LOOPBACK}:{port}/") as outcome,
    ):
        check(await ends.read_line(), OPEN)
    assert outcome.status == 130


async def test_pong_that_does_not_come(
    capsys: pytest.CaptureFixture[str], autojump_clock: trio.testing.MockClock
) -> None:
    """It is given up after --timeout."""

    async def silent(stream: trio.SocketStream) -> None:
        peer = ScriptedPeer(stream, "server")
        await peer.server_handshake()
        await peer.receive_frames()

    async with listening(silent) as port:
        url = f"ws://{LOOPBACK}:{port}/"
        assert await run_command("ping", "--timeout", 3, url) == 1
    output = capsys.readouterr()
    check(output.out, OPEN)
    assert output.err == "trio-ws: no pong for 3 seconds\n"


async def test_messages_are_dropped(capsys: pytest.CaptureFixture[str]) -> None:
    """Pongs come behind what the server sends, however much that is."""

    async def talk(websocket: WebSocket) -> None:
        for _ in range(100):
            await websocket.send("x" * 10_000)
        await echo(websocket)

    async with serve_on_loopback(talk) as server:
        assert await run_command("ping", "-c", 1, f"ws://{LOOPBACK}:{server.port}/") == 0
    check(capsys.readouterr().out, OPEN, pong(1), SUMMARY)


async def test_server_that_closes(capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever it says in its Close, there were to be more pings."""

    async def close(websocket: WebSocket) -> None:
        await websocket.aclose(1000, "enough")

    async with serve_on_loopback(close) as server:
        assert await run_command("ping", f"ws://{LOOPBACK}:{server.port}/") == 1
    problem = "the connection ended: 1000 (normal closure) 'enough'"
    assert capsys.readouterr().err == f"trio-ws: {problem}\n"
