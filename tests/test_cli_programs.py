"""``trio-ws`` as its users run it: programs in processes of their own, and a recorded session.

Few, for each takes its time to start; what they do in all its variety is in the other files.
"""

import os
import re
import signal
import subprocess
import sys

import trio

from tests.proxies import reserved_port
from tests.running import ROOT, running
from tests.servers import echo, serve_on_loopback
from tests.terminals import pseudo_terminal
from trio_ws import Close, WebSocket, open_websocket_url

SESSION = (ROOT / "tests" / "session.txt").read_text(encoding="utf-8").splitlines()
GREETING = SESSION[1]
SECONDS = 30  # what a test may take; it takes a fraction


async def run_program(*arguments: object, stdin: bytes) -> subprocess.CompletedProcess[bytes]:
    """Run ``trio-ws`` in a pipe to its end."""
    command = [sys.executable, "-W", "error", "-m", "trio_ws", *map(str, arguments)]
    with trio.fail_after(SECONDS):
        return await trio.run_process(
            command, stdin=stdin, capture_stdout=True, capture_stderr=True, check=False, cwd=ROOT
        )


def in_general(line: str) -> str:
    """Return a line of a session, with what is different each time as it is in the record."""
    line = re.sub(r"ws://localhost:\d+/", "ws://localhost:8765/", line)
    return re.sub(r"\b[\d.e+-]+ ms\b", "0.42 ms", line)


async def test_recorded_session() -> None:
    """What the documentation shows of a terminal is what is seen there."""
    command, *record = SESSION
    async with serve_on_loopback(echo, host="localhost") as server, pseudo_terminal() as terminal:
        url = f"ws://localhost:{server.port}/"
        assert in_general(f"$ trio-ws connect {url}") == command

        async def see(*lines: str) -> None:
            await terminal.wait_until(lambda: [*map(in_general, terminal.lines)] == list(lines))

        async with terminal.program("connect", url) as process:
            for number, line in enumerate(record):
                if line.startswith("> "):
                    await see(*record[:number], ">")
                    await terminal.type(f"{line.removeprefix('> ')}\r")
            await see(*record)
            assert await process.wait() == 0
        assert terminal.is_as_before()


async def test_server_that_is_killed() -> None:
    """The client says so, and leaves the terminal as it was."""
    async with running("-m", "trio_ws", "serve", "--port", 0) as server:
        url = await server.address()
        assert await server.line() == f"to talk to it: trio-ws connect {url}"
        async with pseudo_terminal() as terminal, terminal.program(url) as process:
            await terminal.see(GREETING, ">")
            await terminal.type("half")
            await terminal.see(GREETING, "> half")
            server.send_signal(signal.SIGKILL)
            assert await server.finish(-signal.SIGKILL) == []
            assert await process.wait() == 1
            await terminal.see_somewhere("trio-ws: the connection ended: no Close frame received")
            assert terminal.is_as_before()


async def test_signal_at_the_prompt() -> None:
    """SIGTERM ends the client, which leaves the terminal as it was and the server with 1001."""
    websockets: list[WebSocket] = []

    async def handler(websocket: WebSocket) -> None:
        websockets.append(websocket)
        await websocket.wait_closed()

    async with serve_on_loopback(handler) as server, pseudo_terminal() as terminal:
        async with terminal.program(f"ws://127.0.0.1:{server.port}/") as process:
            await terminal.see(GREETING, ">")
            process.terminate()
            assert await process.wait() == 128 + signal.SIGTERM
        assert terminal.is_as_before()
    assert [websocket.close_received for websocket in websockets] == [Close(1001)]


async def test_pipe() -> None:
    """As in ``echo hi | trio-ws URL``."""
    async with serve_on_loopback(echo) as server:
        ended = await run_program("-n", 1, f"ws://127.0.0.1:{server.port}/", stdin=b"hi\n")
    assert (ended.stdout, ended.stderr, ended.returncode) == (b"hi\n", b"", 0)


async def test_pipe_to_nobody() -> None:
    """One line says so."""
    with reserved_port() as port:
        ended = await run_program(f"ws://127.0.0.1:{port}/", stdin=b"hi\n")
    problem = f"cannot connect to ws://127.0.0.1:{port}/: Connection refused"
    assert (ended.stdout, ended.stderr.decode()) == (b"", f"trio-ws: {problem}\n")
    assert ended.returncode == 1


async def test_reader_that_has_gone() -> None:
    """As in ``trio-ws serve | true``: the interpreter has no complaint at its end either."""
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-W", "error", "-m", "trio_ws", "serve", "--port", "0"]
    try:
        with trio.fail_after(SECONDS):
            ended = await trio.run_process(
                command,
                stdout=writing,
                capture_stderr=True,
                check=False,
                cwd=ROOT,
                # With a buffer, as by default: something is left in it that cannot be written.
                env={**os.environ, "PYTHONUNBUFFERED": ""},
            )
    finally:
        os.close(writing)
    assert (ended.stderr, ended.returncode) == (b"", 0)


async def test_server_drains() -> None:
    """On SIGTERM the server closes its connections with 1001 and ends well."""
    async with running("-m", "trio_ws", "serve", "--port", 0) as server:
        url = await server.address()
        await server.line()
        async with open_websocket_url(url) as websocket:
            await websocket.send("hello")
            assert await websocket.receive() == "hello"
            server.send_signal(signal.SIGTERM)
            await websocket.wait_closed()
            assert websocket.close_received == Close(1001)
        assert await server.finish() == ["SIGTERM: closing 1 connection"]
