"""The plugin for pytest, in runs of its own: under pytest-trio and under anyio.

The runs are in this process, where what is imported already need not be imported again.
"""

import subprocess
import sys

import pytest
import trustme

pytest_plugins = ["pytester"]

# Each run would import it anew, and that cryptography does not bear.
assert trustme.__name__

PLUGIN = "trio_ws.testing.pytest_plugin"

TRIO_MODE = """
[pytest]
trio_mode = true
"""

# What stands at the top of a test file where the mode is not on.
MARKED_TRIO = """
import pytest
pytestmark = pytest.mark.trio
"""

MARKED_ANYIO = """
import pytest
pytestmark = pytest.mark.anyio

@pytest.fixture
def anyio_backend():
    return "trio"
"""

RUNNERS = [
    pytest.param(TRIO_MODE, "", id="pytest-trio with trio_mode"),
    pytest.param("[pytest]", MARKED_TRIO, id="pytest-trio without"),
    pytest.param("[pytest]", MARKED_ANYIO, id="anyio on trio"),
]
under_each_runner = pytest.mark.parametrize(("configuration", "head"), RUNNERS)

HEAD = """
import ssl
import pytest
import trio
from trio_ws import ConnectionBroken, open_websocket_url

async def echo(ws):
    async for message in ws:
        await ws.send(message)

async def fail(ws):
    await ws.receive()
    raise LookupError("of the handler")

async def check_echo(ws):
    await ws.send("hello")
    assert await ws.receive() == "hello"
"""

THAT_PASS = """
async def test_pair(websocket_pair):
    client, server = websocket_pair
    await client.send("hello")
    assert await server.receive() == "hello"

async def test_memory_server(memory_server):
    server = await memory_server(echo, subprotocols=["chat"])
    other = await memory_server(echo)
    async with server.open_websocket("/a", subprotocols=["chat"]) as ws:
        assert ws.subprotocol == "chat"
        await check_echo(ws)
        async with other.open_websocket() as ws:
            await check_echo(ws)

@pytest.mark.parametrize("secure", [False, True])
async def test_loopback_server(secure, loopback_server, tls):
    server = await loopback_server(echo, tls=tls if secure else None)
    async with server.open_websocket("/a") as ws:
        await check_echo(ws)

async def test_certificate_of_the_same_authority(loopback_server, tls, certificate_authority):
    server = await loopback_server(echo, tls=tls)
    context = ssl.create_default_context()
    certificate_authority.configure_trust(context)
    async with open_websocket_url(server.url, context) as ws:
        await check_echo(ws)

async def test_failing_handler_is_isolated(memory_server):
    server = await memory_server(fail, isolate_handlers=True)
    async with server.open_websocket() as ws:
        await ws.send("go")
        with pytest.raises(ConnectionBroken) as caught:
            await ws.receive()
        assert caught.value.code == 1011

async def test_bad_options_are_refused_where_they_are_given(memory_server):
    with pytest.raises(TypeError, match="subprotocol"):
        await memory_server(echo, subprotocol="chat")
"""

THAT_FAIL = """
async def test_that_notices(memory_server):
    server = await memory_server(fail)
    async with server.open_websocket() as ws:
        await ws.send("go")
        await ws.receive()

async def test_that_expects_the_close(memory_server):
    server = await memory_server(fail)
    async with server.open_websocket() as ws:
        await ws.send("go")
        with pytest.raises(ConnectionBroken):
            await ws.receive()

async def test_over_sockets(loopback_server):
    server = await loopback_server(fail)
    async with server.open_websocket() as ws:
        await ws.send("go")
        await ws.receive()
"""

THAT_FAILS_LATE = """
async def test_that_was_over(memory_server):
    async def fail_late(ws):
        try:
            await trio.sleep_forever()
        finally:
            raise LookupError("of the clean-up")

    server = await memory_server(fail_late)
    async with server.open_websocket() as ws:
        pass
"""

THAT_FAILS_ITSELF = """
async def test_that_fails_as_well(memory_server):
    server = await memory_server(fail)
    async with server.open_websocket() as ws:
        await ws.send("go")
        try:
            await ws.receive()
        finally:
            raise ArithmeticError("of the test")
"""

THAT_DOES_NOT_LOOK = """
async def test_that_does_not_look(memory_server):
    server = await memory_server(fail)
    async with server.open_websocket() as ws:
        await ws.send("go")
        await trio.sleep_forever()
"""

IN_VIRTUAL_TIME = """
from trio.testing import MockClock

@pytest.fixture
def anyio_backend():
    return "trio", {"clock": MockClock(autojump_threshold=0)}

async def test_hours(memory_server):
    server = await memory_server(echo)
    async with server.open_websocket() as ws:
        await trio.sleep(3600)
        await check_echo(ws)
"""


def run(pytester: pytest.Pytester, configuration: str, *parts: str) -> pytest.RunResult:
    """Run a test file of these parts, with the plugin, where every warning is an error."""
    pytester.makeini(configuration)
    pytester.makepyfile("\n".join([HEAD, *parts]))
    return pytester.runpytest_inprocess("-p", PLUGIN, "-W", "error", "-p", "no:cacheprovider")


@under_each_runner
def test_fixtures_serve(pytester: pytest.Pytester, configuration: str, head: str) -> None:
    """Both ends, servers in memory and on loopback, TLS: with each way to run async tests."""
    result = run(pytester, configuration, head, THAT_PASS)
    result.assert_outcomes(passed=7)


@under_each_runner
def test_handler_that_fails_fails_the_test(
    pytester: pytest.Pytester, configuration: str, head: str
) -> None:
    """With its own exception in no group, whatever the test itself made of it."""
    result = run(pytester, configuration, head, THAT_FAIL)
    result.assert_outcomes(failed=3)
    assert str(result.stdout).count("\nE       LookupError: of the handler") == 3
    result.stdout.no_fnmatch_line("*Exception Group*")
    result.stdout.no_fnmatch_line("*pytest_plugin.py*")


@under_each_runner
def test_other_failures_are_heard_too(
    pytester: pytest.Pytester, configuration: str, head: str
) -> None:
    """That of a test besides that of a handler, and that of a handler when the test was over."""
    result = run(pytester, configuration, head, THAT_FAILS_ITSELF, THAT_FAILS_LATE)
    # For anyio the test is over before its fixtures are.
    late = {"failed": 1, "passed": 1, "errors": 1} if "anyio" in head else {"failed": 2}
    result.assert_outcomes(**late)
    result.stdout.fnmatch_lines_random(
        [
            "*ArithmeticError: of the test",
            "*LookupError: of the handler",
            "*LookupError: of the clean-up",
        ]
    )


@pytest.mark.parametrize(("configuration", "head"), RUNNERS[:1])
def test_handler_that_fails_ends_the_test_at_once(
    pytester: pytest.Pytester, configuration: str, head: str
) -> None:
    """Under pytest-trio, where a fixture can do that."""
    result = run(pytester, configuration, head, THAT_DOES_NOT_LOOK)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["E*LookupError: of the handler"])


def test_time_is_virtual_under_anyio_too(pytester: pytest.Pytester) -> None:
    """The clock is an option of the backend."""
    result = run(pytester, "[pytest]", MARKED_ANYIO, IN_VIRTUAL_TIME)
    result.assert_outcomes(passed=1)


def test_plugin_is_opt_in(pytester: pytest.Pytester) -> None:
    """Who does not ask for it has no such fixtures."""
    pytester.makeini(TRIO_MODE)
    pytester.makepyfile("async def test_pair(websocket_pair): pass")
    result = pytester.runpytest_inprocess("-p", "no:cacheprovider")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*fixture 'websocket_pair' not found*"])


def test_testing_needs_no_pytest() -> None:
    """What the plugin needs is not imported by what it is a plugin of."""
    program = (
        "import sys; sys.modules.update(pytest=None, pytest_trio=None, trustme=None);"
        " import trio_ws.testing"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True)
