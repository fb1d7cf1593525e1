"""The tutorial, as its readers go through it: what they type, and what they are told to see."""

import re
import signal
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest
import trio

from tests.pages import blocks, output_of, read
from tests.running import EXAMPLES, fetch, finished, running
from trio_ws import Close, ConnectionBroken, ConnectionEnded, WebSocket, open_websocket_url

# The port that the tutorial names; here it is another one each time.
PORT = ":8765/"


def said(address: str, page: str, command: str) -> str:
    """Return what a page says a server will print, with the port that it has here."""
    [line] = output_of(page, command)
    assert PORT in line
    return line.replace(PORT, address[address.rindex(":") :])


def matches(told: str, line: str) -> bool:
    """Return whether a line is as a page tells it, where dots stand for anything."""
    return re.fullmatch(".*".join(map(re.escape, told.split("..."))), line) is not None


async def test_set_up_ends_with_hello() -> None:
    """The first command says what the page says."""
    assert await finished("hello.py") == output_of("docs/tutorial.rst", "python ../hello.py")


async def test_echo_server_and_client() -> None:
    """The server tells who comes and goes, the client what it got."""
    page = "docs/tutorial-echo.rst"
    async with running("tutorial/echo_server.py", 0) as server:
        address = await server.address()
        assert server.output.strip() == said(address, page, "python echo_server.py")
        assert await finished("tutorial/echo_client.py", address) == output_of(
            page, "python echo_client.py"
        )
        seen = next(block.text for block in blocks(read(page)) if block.argument == "none")
        assert [await server.line() for _ in range(2)] == seen.splitlines()


async def test_echo_client_without_a_server() -> None:
    """It ends with the error that the page shows."""
    with trio.socket.socket() as sock:
        await sock.bind(("127.0.0.1", 0))  # taken, and nobody listens
        port = sock.getsockname()[1]
        lines = await finished("tutorial/echo_client.py", f"ws://localhost:{port}/", status=1)
    told = output_of("docs/tutorial-echo.rst", "python echo_client.py ws://localhost:8765/")
    assert matches(told[-1].replace("8765", str(port)), lines[-1])


async def test_endings_are_those_of_the_page() -> None:
    """What the server sees of three clients."""
    told = output_of("docs/tutorial-echo.rst", "python endings.py")
    assert await finished("tutorial/endings.py") == told


async def test_timeouts_are_those_of_the_page() -> None:
    """What became of the messages, and what the server heard."""
    told = output_of("docs/tutorial-echo.rst", "python timeouts.py")
    assert await finished("tutorial/timeouts.py") == told


async def test_first_chat() -> None:
    """What one says all hear, the speaker too, and it goes on when somebody has left."""
    async with running("tutorial/chat_first.py", 0) as server:
        address = await server.address()
        assert server.output.strip() == said(
            address, "docs/tutorial-chat.rst", "python chat_first.py"
        )
        async with open_websocket_url(address) as ada:
            async with open_websocket_url(address) as grace:
                await grace.send("hello")
                assert await ada.receive() == await grace.receive() == "hello"
            await ada.send("anybody?")
            assert await ada.receive() == "anybody?"


def enter(address: str) -> AbstractAsyncContextManager[WebSocket]:
    """Connect as the page does."""
    return open_websocket_url(address.replace("http", "ws", 1), origin=address.rstrip("/"))


async def test_chat_and_its_page() -> None:
    """The page comes from the address printed; its people hear each other, and the end."""
    async with running("tutorial/chat.py", 0) as server:
        address = await server.address()
        assert server.output.strip() == said(address, "docs/tutorial-chat.rst", "python chat.py")
        page = (EXAMPLES / "tutorial" / "chat.html").read_text(encoding="utf-8")
        assert await fetch(address, "GET", "/") == (200, "text/html", page)
        async with enter(address) as ada:
            await ada.send("Ada")
            assert await ada.receive() == "Ada is here"
            async with enter(address) as grace:
                await grace.send("Grace")
                assert await ada.receive() == await grace.receive() == "Grace is here"
                await ada.send("<b>hi</b>")
                assert await grace.receive() == await ada.receive() == "Ada: <b>hi</b>"
            assert await ada.receive() == "Grace has left"
            server.send_signal(signal.SIGINT)
            with pytest.raises(ConnectionEnded) as ended:
                await ada.receive()
            assert ended.value.received == Close(1001)
        assert "KeyboardInterrupt" in "\n".join(await server.rest())


async def test_chat_wants_a_name() -> None:
    """Somebody who is nobody is let go, and nobody else hears of it."""
    async with running("tutorial/chat.py", 0) as server, enter(await server.address()) as ws:
        await ws.send("")
        with pytest.raises(ConnectionBroken) as broken:
            await ws.receive()
        assert broken.value.received == Close(1008, "who are you?")


async def make_certificate(directory: Path, *arguments: object) -> list[str]:
    """Make a certificate as the tutorial does, and return what is printed."""
    return await finished("-m", "trustme", "-d", directory, *arguments)


async def test_chat_over_tls(tmp_path: Path) -> None:
    """With the files that trustme makes the visitor gets in; with those of another it does not."""
    page = "docs/tutorial-tls.rst"
    other = tmp_path / "other"
    other.mkdir()
    printed = await make_certificate(tmp_path)
    told = output_of(page, "python -m trustme")
    assert len(told) == len(printed)
    assert all(map(matches, told, printed))
    assert await make_certificate(other, "-q") == []
    files = tmp_path / "server.pem", tmp_path / "server.key"
    async with running("tutorial/chat_tls.py", *files, 0) as server:
        address = await server.address()
        command = "python chat_tls.py server.pem server.key"
        assert server.output.strip() == said(address, page, command)
        url = address.replace("https", "wss", 1)
        visit = await finished("tutorial/visitor.py", url, tmp_path / "client.pem")
        command = "python visitor.py wss://localhost:8765/ client.pem"
        assert visit == output_of(page, command)
        refusal = await finished("tutorial/visitor.py", url, other / "client.pem", status=1)
        command = "python visitor.py wss://localhost:8765/ other/client.pem"
        assert matches(output_of(page, command)[-1], refusal[-1])


async def test_tests_pass() -> None:
    """The reader's tests of the chat, in the reader's way."""
    told = output_of("docs/tutorial-tests.rst", "python -m pytest test_chat.py")
    arguments = "-m", "pytest", "-p", "no:cacheprovider"
    lines = await finished(*arguments, EXAMPLES / "tutorial/test_chat.py")
    assert re.sub(r" in .*|=* *(?=\d)", "", lines[-1]).strip() == told[-1]
