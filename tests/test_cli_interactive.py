"""``trio-ws connect`` at a terminal, a pseudo-terminal that is: what is typed and what is seen."""

import re
import signal
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing

from tests.clients import listening, next_close
from tests.command_line import Outcome, command, run_command
from tests.connections import pair_over
from tests.servers import echo, serve_on_loopback
from tests.terminals import PseudoTerminal, pseudo_terminal
from trio_ws import Close, ConnectionEnded, Server, WebSocket
from trio_ws.cli import _interactive
from trio_ws.cli._asyncio_thread import AsyncioThread, run_with_asyncio
from trio_ws.cli._interactive import Conversation
from trio_ws.cli._terminal import Mark, Terminal
from trio_ws.testing import Opcode, ScriptedPeer

GREETING = "* connected; /help shows what you can do"
PONG = re.compile(r"\* pong after [\d.e+-]+ ms")
NORMAL = "* closed: 1000 (normal closure)"


@pytest.fixture
async def terminal() -> AsyncGenerator[PseudoTerminal, None]:
    """Open a terminal that is this process's, and see that it is left as it was."""
    async with pseudo_terminal() as terminal:
        with terminal.as_stdio():
            yield terminal
        assert terminal.is_as_before()


class Peer:
    """A server whose end of the one connection is in the hands of the test."""

    def __init__(self) -> None:
        self._send, self._receive = trio.open_memory_channel[WebSocket](1)
        self.url = ""

    async def handle(self, websocket: WebSocket) -> None:
        """Hand the connection to the test, and keep it until it is closed."""
        await self._send.send(websocket)
        await websocket.wait_closed()

    async def accepted(self) -> WebSocket:
        """Wait for the connection."""
        return await self._receive.receive()


@pytest.fixture
async def peer() -> AsyncGenerator[Peer, None]:
    """Run a server that does what the test says."""
    peer = Peer()
    async with serve_on_loopback(peer.handle) as server:
        peer.url = url_of(server)
        yield peer


@pytest.fixture
async def url() -> AsyncGenerator[str, None]:
    """Run an echo server."""
    async with serve_on_loopback(echo) as server:
        yield url_of(server)


def url_of(server: Server) -> str:
    """Return the URL of a server."""
    return f"ws://127.0.0.1:{server.port}/"


@asynccontextmanager
async def connected(terminal: PseudoTerminal, url: str) -> AsyncGenerator[Outcome, None]:
    """Connect at the terminal."""
    async with command("connect", url) as outcome:
        await terminal.see(GREETING, ">")
        yield outcome


async def leave(terminal: PseudoTerminal) -> None:
    """Press Ctrl-D and see it work."""
    await terminal.type("\x04")
    await terminal.see(NORMAL)


async def test_lines_go_out_and_messages_come_in(terminal: PseudoTerminal, url: str) -> None:
    """What is typed is sent as text, what comes is shown below it, and Ctrl-D closes."""
    async with connected(terminal, url) as outcome:
        await terminal.type("hello\r")
        await terminal.see("> hello", "< hello", ">")
        await leave(terminal)
    assert outcome.status == 0


async def test_messages_appear_above_what_is_typed(terminal: PseudoTerminal, peer: Peer) -> None:
    """A line half typed stays where it is, can be edited and is sent whole."""
    async with connected(terminal, peer.url):
        websocket = await peer.accepted()
        await terminal.type("half")
        await terminal.see("> half")
        await websocket.send("news")
        await websocket.send(b"\x00\xff")
        await terminal.see(GREETING, "< news", "< (2 bytes) 00 ff", "> half")
        await terminal.type("\x7f\x7fve I?\r")  # two backspaces
        assert await websocket.receive() == "have I?"
        await leave(terminal)
    assert websocket.close_received == Close(1000)


async def test_message_cannot_play_with_the_terminal(terminal: PseudoTerminal, peer: Peer) -> None:
    """Escape sequences are shown, not obeyed, and no line of a message passes for another's."""
    async with connected(terminal, peer.url):
        websocket = await peer.accepted()
        await websocket.send("\x1b[2J\x07one\n> two\r\n* three")
        await terminal.see(GREETING, r"< \x1b[2J\x07one", r"  > two\r", "  * three", ">")
        await leave(terminal)


async def test_history_brings_lines_back(terminal: PseudoTerminal, url: str) -> None:
    """The arrow up shows what was typed before."""
    async with connected(terminal, url):
        await terminal.type("hello\r")
        await terminal.see("< hello", ">")
        await terminal.type("\x1b[A")
        await terminal.see("> hello")
        await terminal.type("\r")
        await terminal.see("< hello", "> hello", "< hello", ">")
        await leave(terminal)


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        ("/hex 00 ff10", "< (3 bytes) 00 ff 10"),
        ("/hex 0", "* those are no hexadecimal digits, two for each byte: /hex 00 ff"),
        ("//path", "< /path"),
        ("/help", "  Ctrl-C and Ctrl-D close with 1000; the arrow keys bring back what you typed"),
        ("/close when", "* write /close, /close CODE or /close CODE REASON"),
        ("/", "* there is no /; /help shows what there is, //... sends /..."),
        ("/nick me", "* there is no /nick; /help shows what there is, //... sends /..."),
    ],
)
async def test_command(terminal: PseudoTerminal, url: str, line: str, answer: str) -> None:
    """A line with a slash is a command, and each has its answer."""
    async with connected(terminal, url):
        await terminal.type(f"{line}\r")
        await terminal.see(answer, ">")
        await leave(terminal)


async def test_keys_that_are_no_characters(terminal: PseudoTerminal, url: str) -> None:
    """What cannot be sent as text is not sent, and the user is told."""
    async with connected(terminal, url):
        await terminal.type("caf\udce9\r")  # in Latin-1
        await terminal.see("* not sent: that is not UTF-8", ">")
        await terminal.type("caf\u00e9\r")
        await terminal.see("> caf\u00e9", "< caf\u00e9", ">")
        await leave(terminal)


async def test_ping_tells_the_round_trip(terminal: PseudoTerminal, url: str) -> None:
    """/ping says how long it took."""
    async with connected(terminal, url):
        await terminal.type("/ping\r")
        await terminal.see_somewhere("* pong after ")
        assert sum(bool(PONG.fullmatch(line)) for line in terminal.lines) == 1
        await leave(terminal)


async def test_ping_that_is_not_answered(
    terminal: PseudoTerminal, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a while that is said, and the prompt comes back."""
    monkeypatch.setattr(_interactive, "_PING_SECONDS", 0)
    async with connected(terminal, url):
        await terminal.type("/ping\r")
        await terminal.see("* no pong for 0 seconds", ">")
        await leave(terminal)


@pytest.mark.parametrize(
    ("line", "close"),
    [
        ("/close\r", Close(1000)),
        ("/close 4001\r", Close(4001)),
        ("/close 3000  bye for now\r", Close(3000, "bye for now")),
        ("\x03", Close(1000)),
        ("\x04", Close(1000)),
        ("typed\x03", Close(1000)),
    ],
    ids=["close", "code", "reason", "Ctrl-C", "Ctrl-D", "Ctrl-C in a line"],
)
async def test_closing(terminal: PseudoTerminal, peer: Peer, line: str, close: Close) -> None:
    """Code and reason are as the user says, and shown."""
    async with connected(terminal, peer.url) as outcome:
        websocket = await peer.accepted()
        await terminal.type(line)
        await terminal.see(f"* closed: {close}")
    assert websocket.close_received == close
    assert outcome.status == 0


async def test_code_that_must_not_be_sent(terminal: PseudoTerminal, url: str) -> None:
    """The user is told, and the connection stays open."""
    async with connected(terminal, url):
        await terminal.type("/close 1005\r")
        await terminal.see_somewhere("* close code 1005 must not be sent")
        await terminal.type("hello\r")
        await terminal.see("> hello", "< hello", ">")
        await leave(terminal)


async def test_peer_that_closes(terminal: PseudoTerminal, peer: Peer) -> None:
    """The prompt goes, with what was typed left to be seen, and code and reason are shown."""
    async with connected(terminal, peer.url) as outcome:
        websocket = await peer.accepted()
        await terminal.type("half")
        await terminal.see("> half")
        await websocket.send("good night")
        await websocket.aclose(1001, "we close")
        await terminal.see("< good night", "> half", "* closed: 1001 (going away) 'we close'")
    assert outcome.status == 0


async def test_peer_that_closes_abnormally(
    terminal: PseudoTerminal, peer: Peer, capsys: pytest.CaptureFixture[str]
) -> None:
    """That is an error: one line of it, and an exit status."""
    async with connected(terminal, peer.url) as outcome:
        websocket = await peer.accepted()
        await websocket.aclose(1011, "oops")
    assert outcome.status == 1
    problem = "the connection ended: 1011 (internal error) 'oops'"
    assert capsys.readouterr().err == f"trio-ws: {problem}\n"


async def test_peer_that_vanishes(
    terminal: PseudoTerminal, capsys: pytest.CaptureFixture[str]
) -> None:
    """So is an end without a Close, with the reason behind it where there is one."""

    async def vanish(stream: trio.SocketStream) -> None:
        await ScriptedPeer(stream, "server").server_handshake()

    async with (
        listening(vanish) as port,
        command("connect", f"ws://127.0.0.1:{port}/") as outcome,
    ):
        await terminal.see_somewhere(GREETING)
    assert outcome.status == 1
    error = capsys.readouterr().err
    assert error.startswith("trio-ws: the connection ended: no Close frame received")
    assert error.count("\n") == 1


async def test_peer_that_does_not_answer_the_close(terminal: PseudoTerminal) -> None:
    """That the user was done is no error, but it is told."""

    async def hang_up(stream: trio.SocketStream) -> None:
        peer = ScriptedPeer(stream, "server")
        await peer.server_handshake()
        frame = await peer.receive_frame()
        assert frame is not None
        assert frame.opcode == Opcode.CLOSE

    async with (
        listening(hang_up) as port,
        connected(terminal, f"ws://127.0.0.1:{port}/") as outcome,
    ):
        await terminal.type("\x04")
        await terminal.see("* closed: no Close frame received; sent 1000 (normal closure)")
    assert outcome.status == 0


async def test_ctrl_c_while_the_close_is_not_answered(terminal: PseudoTerminal) -> None:
    """By then Ctrl-C is a signal, and the peer is waited for no longer."""

    async def hold_out(stream: trio.SocketStream) -> None:
        peer = ScriptedPeer(stream, "server")
        await peer.server_handshake()
        await next_close(peer)
        assert terminal.is_as_before()
        signal.raise_signal(signal.SIGINT)
        assert await peer.receive_frame() is None

    async with (
        listening(hold_out) as port,
        connected(terminal, f"ws://127.0.0.1:{port}/") as outcome,
    ):
        await terminal.type("\x04")
    assert outcome.status == 130


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
async def test_signal_at_the_prompt(
    terminal: PseudoTerminal, peer: Peer, number: signal.Signals
) -> None:
    """A signal ends it, with 1001 for the peer and the terminal as it was."""
    async with connected(terminal, peer.url) as outcome:
        websocket = await peer.accepted()
        await terminal.type("half")
        await terminal.see("> half")
        signal.raise_signal(number)
        await websocket.wait_closed()
    assert websocket.close_received == Close(1001)
    assert outcome.status == 128 + number


async def test_without_prompt_toolkit(
    terminal: PseudoTerminal, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """At a terminal the line editor is missed, and it is said what to install."""
    for name in ("trio_ws.cli._interactive", "trio_ws.cli._terminal"):
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "prompt_toolkit", None)
    assert await run_command("connect", "ws://127.0.0.1:1/") == 2
    assert "pip install 'trio_ws[cli]'" in capsys.readouterr().err


# What cannot be brought about from outside


class SlowTerminal(Terminal):
    """A terminal where a line was typed, and which shows nothing until it may."""

    def __init__(self, line: str) -> None:
        self._line = line
        self.may_show = trio.Event()
        self.shown: list[str] = []

    async def ask(self) -> str | None:
        """Return the line once the first message is to be shown."""
        await trio.testing.wait_all_tasks_blocked()
        return self._line

    async def show(self, mark: Mark, text: str) -> None:
        """Show a line, in time."""
        if mark == "<":
            await self.may_show.wait()
        self.shown.append(f"{mark} {text}")


@pytest.mark.parametrize("line", ["hello", "/ping"])
async def test_messages_before_the_end_are_shown(line: str) -> None:
    """What cannot be sent any more does not keep the peer's last words from being shown."""
    async with pair_over() as (ours, theirs):
        terminal = SlowTerminal(line)

        async def close() -> None:
            await theirs.send("one")
            await theirs.send("two")
            await theirs.aclose(1001)
            await trio.testing.wait_all_tasks_blocked()
            terminal.may_show.set()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(close)
            with pytest.raises(ConnectionEnded):
                await Conversation(ours, terminal).run()
        assert terminal.shown[1:] == ["< one", "< two"]


async def test_thread_hands_exceptions_on() -> None:
    """What a coroutine raises in the thread comes out where it was asked for, as it was."""

    async def fail() -> None:
        raise OSError("the terminal is gone")

    async def use(thread: AsyncioThread) -> None:
        await thread.run(fail)

    with pytest.raises(OSError, match="the terminal is gone"):
        await run_with_asyncio(use)


async def test_thread_ends_when_cancelled_at_once() -> None:
    """Cancelled before it has begun, it begins and ends."""
    with trio.CancelScope() as scope:
        scope.cancel()
        await run_with_asyncio(cancelled_later)
    assert scope.cancelled_caught


async def cancelled_later(thread: AsyncioThread) -> None:
    """Use a thread in a cancelled task."""

    async def never() -> None:
        raise NotImplementedError

    await thread.run(never)
