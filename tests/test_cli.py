"""``trio-ws``: its arguments, what it says when something goes wrong, and its exit status."""

import errno
import io
import os
import re
import runpy
import signal
import ssl
import sys
import tomllib
from importlib import import_module
from pathlib import Path

import pytest
import trio
import trio.testing

from tests.clients import Nowhere, listening, silent
from tests.command_line import command, pipes, run_command
from tests.proxies import reserved_port
from tests.running import ROOT
from tests.servers import contexts, echo, serve_on_loopback
from tests.terminals import pseudo_terminal
from trio_ws import Close, Request, Response, WebSocket, serve_websocket_listeners
from trio_ws.cli import _connect, _demo, _ping, _serve, main
from trio_ws.cli._main import parse
from trio_ws.cli._text import MOST_BYTES, MOST_CHARACTERS, end_in_words, shown

# Arguments


@pytest.mark.parametrize(
    ("arguments", "run"),
    [
        ("connect ws://localhost/", _connect.run),
        ("ws://localhost/", _connect.run),
        ("ws://localhost/ --hex", _connect.run),
        ("--hex ws://localhost/", _connect.run),
        ("localhost:8765", _connect.run),
        ("serve", _serve.run),
        ("serve chat:handler", _serve.run),
        ("ping ws://localhost/", _ping.run),
        ("demo", _demo.run),
        ("demo 0", _demo.run),
    ],
)
def test_command_is_known(arguments: str, run: object) -> None:
    """A command goes by its name, and a URL where its name would be is to be connected to."""
    assert parse(arguments.split()).run is run


@pytest.mark.parametrize("name", ["", "connect", "serve", "ping", "demo"])
def test_help(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has examples and fits into a terminal."""
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit) as ended:
        main([*name.split(), "--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    assert "\nexamples:\n" in text
    assert max(map(len, text.splitlines())) < 80


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    """It is that of the package."""
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert capsys.readouterr().out == f"trio_ws {version}\n"


def test_nothing_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    """Then it shows what one might ask for."""
    with pytest.raises(SystemExit) as ended:
        main([])
    assert ended.value.code == 2
    assert "examples:" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ("conect ws://localhost/", "invalid choice: 'conect'"),
        ("connect -H Cookie ws://localhost/", "'Cookie' has no colon; write 'Name: value'"),
        ("connect --timeout 0 ws://localhost/", "0 seconds is no time"),
        ("connect --timeout soon ws://localhost/", "'soon' is no number of seconds"),
        ("connect --wait -1 ws://localhost/", "-1 is not 0 or more"),
        ("connect --wait nan ws://localhost/", "nan is not 0 or more"),
        ("connect -n 0 ws://localhost/", "0 is not 1 or more"),
        ("connect -n many ws://localhost/", "'many' is not a whole number"),
        ("connect --insecure --ca file wss://localhost/", "not allowed with argument"),
        ("connect --sub chat ws://localhost/", "unrecognized arguments: --sub"),
        ("serve --port 65536", "65536 is not from 0 to 65535"),
        ("demo home", "'home' is not the number of a port"),
    ],
)
def test_arguments_that_are_wrong(
    arguments: str, problem: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is said which and why, and the exit status is 2."""
    with pytest.raises(SystemExit) as ended:
        main(arguments.split())
    assert ended.value.code == 2
    assert problem in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ("connect", "Give a URL: ws://localhost:8765/"),
        ("http://localhost/", "write ws:// instead"),
        ("localhost:8765", "begins with ws:// or wss://"),
        ("--ca file ws://localhost/", "--ca and --insecure go with a wss:// URL"),
        ("--insecure ws://localhost/", "--ca and --insecure go with a wss:// URL"),
        ("--ca /no/such.pem wss://localhost/", "cannot read /no/such.pem: No such file"),
        (f"--ca {__file__} wss://localhost/", f"there is no certificate, in PEM, in {__file__}"),
        ("--unix socket --proxy http://proxy/ ws://localhost/", "give --unix or --proxy"),
        ("--proxy ftp://proxy/ ws://localhost/", "the URL of a proxy begins with one of http"),
        ("--subprotocol a,b ws://localhost/", "a,b"),
        ("ping", "Give a URL"),
    ],
)
async def test_arguments_that_do_not_go_together(
    arguments: str, problem: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is said why in one line, and the exit status is 2."""
    async with pipes():
        assert await run_command(*arguments.split()) == 2
    error = capsys.readouterr().err
    assert error.startswith("trio-ws: ")
    assert problem in error
    assert error.count("\n") == 1


def options_in_help(name: str, capsys: pytest.CaptureFixture[str]) -> set[str]:
    """Return the options that a command's help names."""
    with pytest.raises(SystemExit):
        parse([name, "--help"])
    return set(re.findall(r"(?<!\w)--[a-z][a-z-]*", capsys.readouterr().out)) - {"--help"}


def options_in_documentation(name: str) -> set[str]:
    """Return the options that a command's section of the page describes."""
    page = (ROOT / "docs" / "command-line.rst").read_text(encoding="utf-8")
    section = page.partition(f".. program:: trio-ws {name}\n")[2].partition(".. program::")[0]
    described = re.findall(r"^\.\. option:: (.*)", section, re.MULTILINE)
    return set(re.findall(r"(?<!\w)--[a-z][a-z-]*", "\n".join(described)))


def test_options_are_documented(capsys: pytest.CaptureFixture[str]) -> None:
    """Each option of each command has its entry, and none is described that is not there."""
    connect, serve, ping = (options_in_help(name, capsys) for name in ("connect", "serve", "ping"))
    assert options_in_documentation("connect") == connect
    assert options_in_documentation("serve") == serve
    assert options_in_documentation("ping") == ping - connect
    assert connect - ping == {"--wait", "--messages", "--hex", "--raw"}


# What they do


async def test_request_has_what_was_asked_for() -> None:
    """Header fields, origin, subprotocols and compression get to the server."""
    requests: list[Request] = []
    serve = serve_on_loopback(
        echo, process_request=requests.append, subprotocols=["chat"], compression="deflate"
    )
    async with serve as server, pipes() as ends:
        options = ["-H", "A: 1", "--header", "B:2 ", "--origin", f"http://127.0.0.1:{server.port}"]
        options += ["--subprotocol", "superchat", "--subprotocol", "chat", "--compress", "-n", "1"]
        async with command(*options, f"ws://127.0.0.1:{server.port}/path?query"):
            await ends.write(b"hi\n")
    (request,) = requests
    assert request.target == "/path?query"
    assert [request.headers[name] for name in ("A", "B")] == ["1", "2"]
    assert request.origin == f"http://127.0.0.1:{server.port}"
    assert list(request.subprotocols) == ["superchat", "chat"]
    assert "permessage-deflate" in request.headers["Sec-WebSocket-Extensions"]


async def test_greeting_tells_what_was_agreed_on(tmp_path: Path) -> None:
    """At a terminal one sees whether it is secure, compressed, and by which subprotocol."""
    authority = tmp_path / "ca.pem"
    (certificate,) = contexts().client.get_ca_certs(binary_form=True)
    authority.write_text(ssl.DER_cert_to_PEM_cert(certificate))
    serve = serve_on_loopback(
        echo, tls=contexts(), subprotocols=["chat"], compression="deflate", host="localhost"
    )
    async with serve as server, pseudo_terminal() as terminal:
        with terminal.as_stdio():
            options = ["--ca", authority, "--subprotocol", "chat", "--compress"]
            async with command(*options, f"wss://localhost:{server.port}/"):
                greeting = "* connected (TLSv1.3, subprotocol chat, compressed);"
                await terminal.see(f"{greeting} /help shows what you can do", ">")
                await terminal.type("\x04")


async def test_certificate_that_nobody_signed(capsys: pytest.CaptureFixture[str]) -> None:
    """It is refused, with a word on what can be done, and accepted with --insecure."""
    async with serve_on_loopback(echo, tls=contexts(), host="localhost") as server, pipes() as ends:
        url = f"wss://localhost:{server.port}/"
        assert await run_command(url) == 1
        error = capsys.readouterr().err
        assert error.startswith(f"trio-ws: the certificate of {url} was not accepted: ")
        assert error.endswith("; --ca FILE trusts who signed it, --insecure trusts anybody\n")
        await ends.end_input()
        assert await run_command("--insecure", "--wait", 0, url) == 0


async def test_unix_socket(tmp_path: Path) -> None:
    """With --unix the URL need not be given, and is asked for if it is."""
    targets: list[str] = []

    async def handler(websocket: WebSocket) -> None:
        targets.append(websocket.request.target)
        await echo(websocket)

    listening = trio.socket.socket(trio.socket.AF_UNIX)
    await listening.bind(str(tmp_path / "socket"))
    listening.listen()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve_websocket_listeners, handler, [trio.SocketListener(listening)])
        for url in ([], ["ws://localhost/room"]):
            connect = command("connect", "--unix", tmp_path / "socket", "-n", 1, *url)
            async with pipes() as ends, connect:
                await ends.write(b"hi\n")
                assert await ends.read_line() == "hi"
        nursery.cancel_scope.cancel()
    assert targets == ["/", "/room"]


async def test_largest_message(capsys: pytest.CaptureFixture[str]) -> None:
    """A larger one than --max-size ends the connection."""
    async with (
        serve_on_loopback(echo) as server,
        pipes() as ends,
        command("--max-size", 4, f"ws://127.0.0.1:{server.port}/") as outcome,
    ):
        await ends.write(b"1234\n12345\n")
        assert await ends.read_line() == "1234"
    assert outcome.status == 1
    assert "1009 (message too big)" in capsys.readouterr().err


async def test_proxy(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A proxy comes from --proxy, or from the environment when that is asked for."""
    with reserved_port() as port:
        proxy = f"http://127.0.0.1:{port}"
        monkeypatch.setenv("HTTPS_PROXY", proxy)
        monkeypatch.setenv("NO_PROXY", "")
        for option in (proxy, "env"):
            async with pipes():
                assert await run_command("--proxy", option, "ws://example.com/") == 1
            assert f"the proxy {proxy} cannot be reached" in capsys.readouterr().err


# What goes wrong on the way


async def test_nobody_listens(capsys: pytest.CaptureFixture[str]) -> None:
    """It is said to what could not be connected, and why."""
    with reserved_port() as port:
        async with pipes():
            assert await run_command(f"ws://127.0.0.1:{port}/") == 1
    problem = f"cannot connect to ws://127.0.0.1:{port}/: Connection refused"
    assert capsys.readouterr().err == f"trio-ws: {problem}\n"


async def test_unix_socket_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    """The path is named."""
    async with pipes():
        assert await run_command("connect", "--unix", "/no/such") == 1
    assert capsys.readouterr().err == (
        "trio-ws: cannot connect to /no/such: No such file or directory\n"
    )


async def test_host_that_nobody_knows(capsys: pytest.CaptureFixture[str]) -> None:
    """The resolver's own words say so."""
    trio.socket.set_custom_hostname_resolver(Nowhere())
    async with pipes():
        assert await run_command("ws://example.com/") == 1
    problem = "trio-ws: cannot connect to ws://example.com/: Name or service not known"
    assert capsys.readouterr().err.startswith(problem)


@pytest.mark.parametrize(
    ("status", "words"),
    [(401, "--header 'Authorization: ...'"), (403, "--origin"), (404, "404 (Not Found)")],
)
async def test_server_that_rejects(
    status: int, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The status is shown, and where one can do something about it, what."""
    serve = serve_on_loopback(echo, process_request=lambda _: Response(status))
    async with serve as server, pipes():
        assert await run_command(f"ws://127.0.0.1:{server.port}/") == 1
    error = capsys.readouterr().err
    assert str(status) in error
    assert words in error


async def test_server_that_says_nothing(
    capsys: pytest.CaptureFixture[str], autojump_clock: trio.testing.MockClock
) -> None:
    """It is given up after --timeout, and said how to wait longer."""
    async with listening(silent) as port, pipes():
        assert await run_command("--timeout", 3, f"ws://127.0.0.1:{port}/") == 1
    error = capsys.readouterr().err
    assert "within 3 seconds" in error
    assert error.endswith("; --timeout allows more\n")


async def test_ctrl_c_before_the_connection_is_open() -> None:
    """Nothing has to be closed, and nothing is said."""

    async def interrupt(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        signal.raise_signal(signal.SIGINT)
        await silent(stream)

    async with listening(interrupt) as port, pipes():
        assert await run_command(f"ws://127.0.0.1:{port}/") == 130


def test_ctrl_c_before_signals_are_received(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C has its exit status at any time."""

    async def interrupt(_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(_demo, "run", interrupt)
    assert main(["demo"]) == 130


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), 1, "No space left on device"),
        (BrokenPipeError(errno.EPIPE, "Broken pipe"), 0, ""),
    ],
)
async def test_output_that_fails(
    error: OSError,
    status: int,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A full disk is an error, a reader that has had enough is none."""

    async def fail(_: object) -> None:
        raise error

    monkeypatch.setattr(_demo, "run", fail)
    async with pipes():
        assert await run_command("demo") == status
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(("full", "status"), [(True, 1), (False, 0)])
def test_version_that_cannot_be_printed(
    full: bool, status: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As in ``trio-ws --version > /dev/full``, an error, and ``| true``, none."""
    if full:
        writing = os.open("/dev/full", os.O_WRONLY)
    else:
        reading, writing = os.pipe()
        os.close(reading)
    with os.fdopen(writing, "w", encoding="utf-8") as stdout:
        monkeypatch.setattr("sys.stdout", stdout)
        assert main(["--version"]) == status
    assert ("No space left on device" in capsys.readouterr().err) == full


def test_streams_that_are_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """As by ``<&- >&- 2>&-``: there is nothing to read, and nothing is missed by anybody."""
    for name in ("stdin", "stdout", "stderr"):
        monkeypatch.setattr(sys, name, None)
    assert main(["connect"]) == 2
    streams = sys.stdin, sys.stdout, sys.stderr
    assert sys.stdin.read() == ""
    for stream in streams:
        descriptor = stream.fileno()
        stream.close()  # which writes what is left
        os.close(descriptor)


async def test_terminal_that_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nobody can be told, the exit status tells."""
    with io.TextIOWrapper(io.FileIO("/dev/full", "w"), write_through=True) as full:
        monkeypatch.setattr("sys.stderr", full)
        assert await run_command("connect") == 2


# Entries


def test_script_is_the_function() -> None:
    """What an installer makes ``trio-ws`` of is `main`."""
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    module, _, name = scripts["trio-ws"].partition(":")
    assert getattr(import_module(module), name) is main


def test_module_is_the_script(monkeypatch: pytest.MonkeyPatch) -> None:
    """``python -m trio_ws`` does the same."""
    monkeypatch.setattr("sys.argv", ["trio_ws", "--version"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_module("trio_ws", run_name="__main__")
    assert ended.value.code == 0


def test_module_can_be_imported() -> None:
    """As tools do that look at all modules: nothing runs then."""
    import_module("trio_ws.__main__")


# Text


@pytest.mark.parametrize(
    ("message", "text"),
    [
        ("hello", "hello"),
        ("", ""),
        ("one\ntwo\n", "one\n  two\n  "),
        ("a\tb", r"a\tb"),
        ("\x1b[31mred\x9b0m\r", r"\x1b[31mred\x9b0m\r"),
        ("left\u202eright", r"left\u202eright"),
        ("two\u2028lines", r"two\u2028lines"),
        ("\N{WOMAN}\u200d\N{ROCKET}\u3000\u00a0.", "\N{WOMAN}\u200d\N{ROCKET}\u3000\u00a0."),
        (b"", "(0 bytes)"),
        (b"\x01", "(1 byte) 01"),
        (b"\x00\xff", "(2 bytes) 00 ff"),
    ],
)
def test_message_is_shown(message: str | bytes, text: str) -> None:
    """What a terminal would obey is shown as an escape, other scripts as they are."""
    assert shown(message) == text


def test_long_message_is_shown_in_part() -> None:
    """It is said how long it is."""
    count = MOST_CHARACTERS + 1
    assert shown("x" * count) == f"{'x' * MOST_CHARACTERS}... ({count} characters in all)"
    assert shown("x" * MOST_CHARACTERS) == "x" * MOST_CHARACTERS
    count = MOST_BYTES + 1
    assert shown(bytes(count)) == f"({count} bytes) {bytes(MOST_BYTES).hex(' ')} ..."
    assert shown(bytes(MOST_BYTES)).endswith(" 00")


@pytest.mark.parametrize(
    ("received", "sent", "words"),
    [
        (Close(1000), Close(1000), "1000 (normal closure)"),
        (Close(1000), Close(1000, "bye"), "1000 (normal closure) 'bye'"),
        (Close(1001, "bye"), Close(1001), "1001 (going away) 'bye'"),
        (None, Close(1000), "no Close frame received; sent 1000 (normal closure)"),
        (
            Close(1001),
            Close(1000),
            "received 1001 (going away); sent 1000 (normal closure)",
        ),
    ],
)
def test_end_in_words(received: Close | None, sent: Close | None, words: str) -> None:
    """In short, where both ends said the same."""
    assert end_in_words(received, sent) == words
