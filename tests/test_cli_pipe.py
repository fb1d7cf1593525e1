"""``trio-ws connect`` in a pipe: lines in, lines out, and when it is enough."""

import math
import os
import signal
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
import trio.testing

from tests.command_line import Pipes, as_stdio, command, pipes, run_command
from tests.connections import pair_over
from tests.servers import echo, serve_on_loopback
from tests.terminals import pseudo_terminal
from trio_ws import Close, WebSocket
from trio_ws.cli import _stdio
from trio_ws.cli._connect import _wait
from trio_ws.cli._failures import Failure
from trio_ws.cli._pipe import Pipe, PipeOptions
from trio_ws.cli._stdio import Lines

HOST = "127.0.0.1"


@pytest.fixture
async def url() -> AsyncGenerator[str, None]:
    """Run an echo server."""
    async with serve_on_loopback(echo) as server:
        yield f"ws://{HOST}:{server.port}/"


@asynccontextmanager
async def noting_echo() -> AsyncGenerator[tuple[str, list[WebSocket]], None]:
    """Run an echo server; yield its URL, and its ends of the connections."""
    websockets: list[WebSocket] = []

    async def handler(websocket: WebSocket) -> None:
        websockets.append(websocket)
        await echo(websocket)

    async with serve_on_loopback(handler) as server:
        yield f"ws://{HOST}:{server.port}/", websockets


async def test_lines_become_messages_and_messages_lines(url: str) -> None:
    """Each line goes out as it comes, without its end; each message comes out as a line."""
    async with pipes() as ends, command("connect", url, "--wait", 0) as outcome:
        await ends.write(b"one\ntw")
        assert await ends.read_line() == "one"
        await ends.write("o\r\n\n\N{SNOWMAN}\n".encode())
        assert [await ends.read_line() for _ in range(3)] == ["two", "", "\N{SNOWMAN}"]
        await ends.end_input()
    assert outcome.status == 0


@pytest.mark.parametrize("data", [b"hi\n", b"hi"])
async def test_answer_to_the_last_line_is_waited_for(url: str, data: bytes) -> None:
    """As in ``echo hi | trio-ws URL``, whether the line has an end or not."""
    async with pipes() as ends, command("connect", url, "-n", 1) as outcome:
        await ends.write(data)
        await ends.end_input()
        assert await ends.read_line() == "hi"
    assert outcome.status == 0


@pytest.mark.parametrize(
    ("wait", "messages", "expected"),
    [(None, None, 1), (None, 3, math.inf), (5.0, None, 5), (5.0, 3, 5)],
)
def test_wait_for_the_last_answers(
    wait: float | None, messages: int | None, expected: float
) -> None:
    """A second, or for ever where a number of messages says when it is enough."""
    assert _wait(wait, messages) == expected


async def test_number_of_messages_is_enough(url: str) -> None:
    """Then it closes, though the input has not ended."""
    async with pipes() as ends, command("connect", url, "-n", 2) as outcome:
        await ends.write(b"1\n2\n3\n")
        assert [await ends.read_line() for _ in range(2)] == ["1", "2"]
    assert outcome.status == 0


async def test_binary_as_hexadecimal(url: str) -> None:
    """With --hex lines go out as binary messages, and these come back as such lines."""
    async with pipes() as ends, command("connect", url, "--hex", "-n", 1) as outcome:
        await ends.write(b"00 ff\n")
        assert await ends.read_line() == "00ff"
    assert outcome.status == 0


async def test_raw_output(url: str) -> None:
    """With --raw a message comes out as it is, and nothing behind it."""
    async with pipes() as ends, command("connect", url, "--hex", "--raw", "-n", 1) as outcome:
        await ends.write(b"00ff\n")
        assert await ends.read(2) == b"\x00\xff"
    assert outcome.status == 0
    async with pipes() as ends, command("connect", url, "--raw", "-n", 1) as outcome:
        await ends.write(b"text\n")
        assert await ends.read(4) == b"text"
    assert outcome.status == 0


@pytest.mark.parametrize(
    ("options", "data", "problem"),
    [
        ([], b"good\n\xff\n", "line 2 of the input is not UTF-8"),
        (["--hex"], b"00\n0x\n", "line 2 of the input is not hexadecimal"),
        (["--hex"], b"\xff\n", "line 1 of the input is not hexadecimal"),
    ],
)
async def test_input_that_cannot_be_sent(
    url: str,
    options: list[str],
    data: bytes,
    problem: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """It is said which line that is."""
    async with pipes() as ends, command("connect", url, *options) as outcome:
        await ends.write(data)
    assert outcome.status == 2
    assert capsys.readouterr().err == f"trio-ws: {problem}\n"


async def test_reader_that_has_had_enough(capsys: pytest.CaptureFixture[str]) -> None:
    """As in ``trio-ws URL | head -1``: that is no error."""
    async with (
        noting_echo() as (url, websockets),
        pipes() as ends,
        command("connect", url) as outcome,
    ):
        await ends.write(b"1\n")
        assert await ends.read_line() == "1"
        await ends.end_output()
        await ends.write(b"2\n")
    assert outcome.status == 0
    assert [websocket.close_received for websocket in websockets] == [Close(1000)]
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_signal(number: signal.Signals, capsys: pytest.CaptureFixture[str]) -> None:
    """The peer gets 1001, the shell what it expects, and nobody a message."""
    async with (
        noting_echo() as (url, websockets),
        pipes() as ends,
        command("connect", url) as outcome,
    ):
        await ends.write(b"1\n")
        assert await ends.read_line() == "1"
        signal.raise_signal(number)
    assert outcome.status == 128 + number
    assert [websocket.close_received for websocket in websockets] == [Close(1001)]
    assert capsys.readouterr().err == ""


async def test_output_to_a_terminal_is_for_people(url: str) -> None:
    """What a terminal would obey is shown instead, and binary with its size."""
    async with pseudo_terminal() as terminal, pipes() as ends:
        with terminal.as_stdout():
            async with command("connect", url, "-n", 1):
                await ends.write(b"a\x1b[2Jb\n")
                await terminal.see(r"a\x1b[2Jb")
            async with command("connect", url, "--hex", "-n", 1):
                await ends.write(b"00ff\n")
                await terminal.see(r"a\x1b[2Jb", "(2 bytes) 00 ff")


async def test_files(url: str, tmp_path: Path) -> None:
    """Input and output may be files, which nobody can wait for."""
    (tmp_path / "in").write_text("one\ntwo\n")
    (tmp_path / "out").touch()
    stdin = os.open(tmp_path / "in", os.O_RDONLY)
    stdout = os.open(tmp_path / "out", os.O_WRONLY)
    with as_stdio(stdin, stdout):
        assert await run_command("connect", url, "-n", 2) == 0
    assert (tmp_path / "out").read_text() == "one\ntwo\n"


# When it is enough, in memory and in virtual time


@asynccontextmanager
async def piped(
    wait: float, failures: list[Failure] | None = None
) -> AsyncGenerator[tuple[Pipes, WebSocket], None]:
    """Run a pipe over a connection in memory; yield its other ends and the peer.

    Args:
        wait: see `PipeOptions`.
        failures: where its failure goes.
    """
    async with pipes() as ends, pair_over() as (ours, theirs):
        options = PipeOptions(stdin=sys.stdin.fileno(), stdout=sys.stdout.fileno(), wait=wait)

        async def run() -> None:
            try:
                await Pipe(ours, options).run()
            except Failure as failure:
                assert failures is not None
                failures.append(failure)
            await ours.aclose()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(run)
            yield ends, theirs


async def test_silence_after_the_input_ends_it(autojump_clock: trio.testing.MockClock) -> None:
    """It closes so many seconds after the last message."""
    async with piped(wait=1) as (ends, peer):
        await trio.sleep(20)
        await ends.end_input()
        await trio.testing.wait_all_tasks_blocked()
        for number in range(3):
            await trio.sleep(0.9)
            await peer.send(str(number))
            assert await ends.read_line() == str(number)
        began = trio.current_time()
        await peer.wait_closed()
        assert trio.current_time() == pytest.approx(began + 1)
    assert peer.close_received == Close(1000)


async def test_wait_without_end(autojump_clock: trio.testing.MockClock) -> None:
    """Then the server says when it is over."""
    async with piped(wait=math.inf) as (ends, peer):
        await ends.end_input()
        await trio.sleep(30)
        await peer.send("late")
        await peer.aclose(1001)
        assert await ends.read_line() == "late"


async def test_reader_that_takes_its_time(autojump_clock: trio.testing.MockClock) -> None:
    """While the output takes nothing, nobody knows whether the server is silent."""
    message = "x" * 500_000
    async with piped(wait=1) as (ends, peer):
        await ends.end_input()
        await peer.send(message)
        await trio.sleep(20)
        assert await ends.read_line() == message
        await peer.wait_closed()


async def test_server_that_closes_before_the_input_ends() -> None:
    """What it sent before is written, and that it is done is no error."""
    async with piped(wait=1) as (ends, peer):
        await peer.send("one")
        await peer.aclose(1001)
        assert await ends.read_line() == "one"


async def test_server_that_closes_while_lines_are_sent() -> None:
    """What it sent before is written, though nothing can be sent any more."""
    async with piped(wait=1) as (ends, peer):
        message = "x" * 500_000
        await peer.send(message)
        await peer.send("two")
        await peer.aclose(1001)
        await trio.testing.wait_all_tasks_blocked()
        await ends.write(b"late\nlater\n")
        await trio.testing.wait_all_tasks_blocked()
        assert await ends.read_line() == message
        assert await ends.read_line() == "two"


async def test_server_that_closes_abnormally() -> None:
    """What it sent before is written, and then that is an error."""
    failures: list[Failure] = []
    async with piped(wait=1, failures=failures) as (ends, peer):
        await peer.send("one")
        await peer.aclose(1011, "oops")
        assert await ends.read_line() == "one"
    (failure,) = failures
    assert "1011 (internal error) 'oops'" in str(failure)
    assert failure.status == 1


# Lines


async def test_lines_end_as_they_like() -> None:
    """Line feeds end them, carriage returns before these belong to the end."""
    async with pipes() as ends:
        lines = Lines(sys.stdin.fileno())
        await ends.write(b"a\r\nb\rc\n\r\nd")
        await ends.end_input()
        received = [await lines.receive() for _ in range(5)]
        assert received == [b"a", b"b\rc", b"", b"d", None]
        assert lines.number == 4


async def test_line_that_has_no_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Input that is hardly made of lines is refused before it takes the memory."""
    monkeypatch.setattr(_stdio, "MOST_IN_LINE", 10)
    async with pipes() as ends:
        lines = Lines(sys.stdin.fileno())
        await ends.write(b"12345678901")
        with pytest.raises(Failure, match="a line of over 10 bytes"):
            await lines.receive()


async def test_cancelled_line_is_not_lost() -> None:
    """What had come of it is in the next one."""
    async with pipes() as ends:
        lines = Lines(sys.stdin.fileno())
        await ends.write(b"half")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lines.receive)
            await trio.testing.wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
        await ends.write(b" whole\n")
        assert await lines.receive() == b"half whole"
