"""Servers for one test, in memory and on loopback, and what a handler that fails does to them."""

import ssl
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import NoReturn

import pytest
import trio
import trio.testing

from tests.connections import HANGS, run_until_idle
from tests.servers import contexts, echo
from trio_ws import (
    ConnectionBroken,
    ConnectionClosed,
    ConnectionEnded,
    ConnectionRejected,
    Response,
    TLSFailed,
    WebSocket,
)
from trio_ws.testing import (
    Faults,
    LoopbackServer,
    MemoryServer,
    ScriptedPeer,
    serve_in_memory,
    serve_on_loopback,
    tls_contexts,
)


class Noticed(Exception):
    """An exception of a test's own."""


class FromHandler(Exception):
    """An exception of a handler."""


# In memory


async def test_server_serves_websockets(autojump_clock: trio.testing.MockClock) -> None:
    """Several at once, with the options of either side."""
    with trio.fail_after(HANGS):
        async with (
            serve_in_memory(echo, subprotocols=["chat"]) as served,
            served.open_websocket("ws://a.example/b", subprotocols=["chat"]) as first,
            served.open_websocket() as second,
        ):
            await second.send("second")
            await first.send("first")
            assert await first.receive() == "first"
            assert await second.receive() == "second"
            assert first.subprotocol == "chat"
            assert first.request.target == "/b"
            assert first.request.headers["Host"] == "a.example"
            assert second.request.headers["Host"] == "localhost"
            assert len(served.server.connections) == 2


async def test_server_takes_bytes_of_a_tests_own(autojump_clock: trio.testing.MockClock) -> None:
    """`connect` gives the bare stream: no handshake was made."""
    with trio.fail_after(HANGS):
        async with (
            serve_in_memory(echo) as served,
            ScriptedPeer(await served.connect(), "client") as peer,
        ):
            await peer.send_bytes(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            assert (await peer.receive_head()).status == 426


async def test_server_that_refuses_raises_in_the_client(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """As over a network."""
    with trio.fail_after(HANGS):
        async with serve_in_memory(
            echo, process_request=lambda _: Response(404, body="no such page")
        ) as served:
            with pytest.raises(ConnectionRejected) as caught:
                async with served.open_websocket():
                    pytest.fail("the block was entered")
    assert caught.value.response.body == b"no such page"


async def test_server_can_be_drained(autojump_clock: trio.testing.MockClock) -> None:
    """It is a `Server` as `serve_websocket` returns it; afterwards nobody can connect."""
    with trio.fail_after(HANGS):
        async with serve_in_memory(echo) as served:
            async with served.open_websocket() as ws, trio.open_nursery() as nursery:
                nursery.start_soon(served.server.aclose)
                with pytest.raises(ConnectionEnded) as caught:
                    await ws.receive()
                assert caught.value.code == 1001
            await run_until_idle()
            with pytest.raises(ConnectionRefusedError):
                await served.connect()
            with pytest.raises(ConnectionRefusedError):
                async with served.open_websocket():
                    pytest.fail("the block was entered")


async def test_end_of_the_block_cancels_the_handlers(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """They are gone with it, and their clients were told 1001."""
    ended: list[str] = []

    async def linger(ws: WebSocket) -> None:
        try:
            await trio.sleep_forever()
        finally:
            ended.append(ws.request.target)

    async with serve_in_memory(linger) as served:
        peer = ScriptedPeer(await served.connect(), "client")
        await peer.client_handshake("/a")
        await run_until_idle()
    assert ended == ["/a"]
    frame = await peer.receive_frame()
    assert frame is not None
    assert frame.close_code == 1001


@pytest.mark.parametrize(
    "error",
    [Noticed(), ExceptionGroup("of my own", [Noticed(), Noticed()]), KeyboardInterrupt()],
    ids=["exception", "group", "Ctrl-C"],
)
async def test_exception_of_the_body_comes_out_as_it_was(
    error: BaseException, autojump_clock: trio.testing.MockClock
) -> None:
    """In no group that it was not in, and with no other as its context."""
    with trio.fail_after(HANGS):
        with pytest.raises(type(error)) as caught:
            async with serve_in_memory(echo):
                raise error
    assert caught.value is error
    assert error.__context__ is None


async def test_exception_of_the_client_comes_out_through_the_server(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Nested blocks add nothing either."""
    error = Noticed()
    with trio.fail_after(HANGS):
        with pytest.raises(Noticed) as caught:
            async with serve_in_memory(echo) as served, served.open_websocket():
                raise error
    assert caught.value is error


async def test_cancelled_block_of_a_server_is_cancelled(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """The cancellation goes on to its scope."""
    with trio.move_on_after(1) as scope:
        async with serve_in_memory(echo) as served, served.open_websocket():
            await trio.sleep_forever()
    assert scope.cancelled_caught


@pytest.mark.parametrize(
    ("options", "error"),
    [({"subprotocols": ["a", "a"]}, ValueError), ({"subprotocol": "a"}, TypeError)],
)
async def test_server_with_bad_options_raises(
    options: dict[str, object], error: type[Exception]
) -> None:
    """Before the block is entered, and plain."""
    with pytest.raises(error, match="subprotocol"):
        async with serve_in_memory(echo, **options):  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
            pytest.fail("the block was entered")


async def test_path_alone_is_asked_for_at_localhost() -> None:
    """It is what most tests want to say."""
    async with serve_in_memory(echo) as served, served.open_websocket("/room?x=1") as ws:
        assert ws.request.target == "/room?x=1"
        assert ws.request.headers["Host"] == "localhost"


async def test_connections_have_faults_of_their_own(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """They are what the server sees, of this connection and of no other."""
    reset = Faults()
    async with (
        serve_in_memory(echo) as served,
        served.open_websocket() as whole,
        served.open_websocket(faults=reset) as faulty,
        served.open_websocket() as other,
    ):
        reset.reset()
        with pytest.raises(ConnectionBroken):
            await faulty.receive()
        for ws in (whole, other):
            await ws.send("hello")
            assert await ws.receive() == "hello"


async def test_bare_stream_may_have_faults(autojump_clock: trio.testing.MockClock) -> None:
    """Bytes of a test's own are split as any others."""
    faults = Faults()
    faults.split(1)
    async with (
        serve_in_memory(echo) as served,
        ScriptedPeer(await served.connect(faults=faults), "client") as peer,
    ):
        await peer.client_handshake()


async def test_most_connections_can_be_limited(autojump_clock: trio.testing.MockClock) -> None:
    """As with `serve_websocket`."""
    async with serve_in_memory(echo, max_connections=1) as served, served.open_websocket():
        with pytest.raises(ConnectionRejected, match="503"):
            async with served.open_websocket():
                pytest.fail("the block was entered")


# On loopback


@pytest.mark.parametrize("secure", [False, True], ids=["tcp", "tls"])
async def test_loopback_server_serves_over_sockets(secure: bool) -> None:
    """Over TCP and over TLS, with the same words as in memory."""
    with trio.fail_after(HANGS):
        async with serve_on_loopback(
            echo, tls=contexts() if secure else None, subprotocols=["chat"]
        ) as served:
            scheme = "wss" if secure else "ws"
            assert served.url == f"{scheme}://localhost:{served.server.port}"
            async with served.open_websocket("/a", subprotocols=["chat"]) as ws:
                await ws.send("hello")
                assert await ws.receive() == "hello"
                assert ws.subprotocol == "chat"
                assert ws.request.target == "/a"
                assert (ws.request.headers["Host"]) == served.url.partition("//")[2]
            async with ScriptedPeer(await served.connect(), "client") as peer:
                await peer.client_handshake()
                (websocket,) = served.server.connections
                assert (websocket.request.tls is not None) is secure


async def test_loopback_server_is_found_at_its_full_url() -> None:
    """What is no path is taken as it is."""
    with trio.fail_after(HANGS):
        async with serve_on_loopback(echo) as served:
            url = f"ws://127.0.0.1:{served.server.port}/b"
            async with served.open_websocket(url) as ws:
                assert ws.request.headers["Host"] == url.split("/")[2]


async def test_loopback_server_can_be_distrusted() -> None:
    """Contexts of two calls do not know each other: so a refusal is tested."""
    mixed = contexts()._replace(client=tls_contexts().client)
    with trio.fail_after(HANGS):
        async with serve_on_loopback(echo, tls=mixed) as served:
            with pytest.raises(TLSFailed) as caught:
                async with served.open_websocket():
                    pytest.fail("the block was entered")
    assert isinstance(caught.value.__cause__, ssl.SSLCertVerificationError)


# Handlers that fail

Serve = Callable[..., AbstractAsyncContextManager[MemoryServer | LoopbackServer]]

everywhere = pytest.mark.parametrize(
    "serve", [serve_in_memory, serve_on_loopback, partial(serve_on_loopback, tls=contexts())]
)


async def fail(ws: WebSocket) -> NoReturn:
    """Fail on the first message."""
    await ws.receive()
    raise FromHandler


async def ask(
    serving: AbstractAsyncContextManager[MemoryServer | LoopbackServer],
    body: Callable[[WebSocket], Awaitable[object]],
) -> None:
    """Serve, connect, send the first message, and be the body of the test."""
    with trio.fail_after(HANGS):
        async with serving as served, served.open_websocket() as ws:
            await ws.send("go")
            await body(ws)


async def sleep(ws: WebSocket) -> None:
    """Look at nothing."""
    await trio.sleep_forever()


@everywhere
async def test_handler_that_fails_fails_the_test(serve: Serve) -> None:
    """Its exception comes out as it was; what the body sees of it is only a consequence."""
    with pytest.raises(FromHandler) as caught:
        await ask(serve(fail), WebSocket.receive)
    assert caught.value.__context__ is None


async def test_handler_that_fails_ends_what_does_not_look(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """The body is cancelled, whatever it waits for."""
    with pytest.raises(FromHandler):
        await ask(serve_in_memory(fail), sleep)
    assert trio.current_time() < 1


async def test_handler_that_fails_is_not_hidden_by_an_expected_close(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """A body that takes 1011 for granted does not make it right."""

    async def expect_close(ws: WebSocket) -> None:
        with pytest.raises(ConnectionClosed):
            await ws.receive()

    with pytest.raises(FromHandler):
        await ask(serve_in_memory(fail), expect_close)


async def test_handler_that_fails_while_it_is_cancelled_is_heard(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """The body was over, the handler's clean-up is still tested."""

    async def fail_late(ws: WebSocket) -> None:
        try:
            await trio.sleep_forever()
        finally:
            raise FromHandler

    with pytest.raises(FromHandler):
        async with serve_in_memory(fail_late) as served, served.open_websocket():
            await run_until_idle()


def test_block_with_a_handler_that_is_cancelled_is_left_as_any_other() -> None:
    """The cancellation ends there.  By `trio.run`, for pytest-trio would take it for its own."""

    async def main() -> str:
        async with serve_in_memory(sleep) as served, served.open_websocket():
            await run_until_idle()
        return "left"

    assert trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0)) == "left"


async def test_group_of_a_handler_comes_out_as_it_was(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """A group is a group, but for what speaks of its own connection's end."""
    group = ExceptionGroup("of the handler", [FromHandler(), Noticed()])

    async def fail_twice(ws: WebSocket) -> None:
        raise group

    with pytest.raises(ExceptionGroup) as caught:
        async with serve_in_memory(fail_twice) as served, served.open_websocket():
            await trio.sleep_forever()
    assert caught.value is group

    async def fail_with_the_close(ws: WebSocket) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(fail, ws)
            with pytest.raises(trio.Cancelled):
                await trio.sleep_forever()
            await ws.aclose()
            await ws.receive()

    with pytest.raises(ExceptionGroup) as caught_rest:
        await ask(serve_in_memory(fail_with_the_close), sleep)
    assert [type(each) for each in caught_rest.value.exceptions] == [FromHandler]


async def test_body_that_fails_too_makes_a_group(autojump_clock: trio.testing.MockClock) -> None:
    """Neither is lost; what is a consequence of the other is left out."""

    async def fail_too(ws: WebSocket) -> NoReturn:
        try:
            await trio.sleep_forever()
        finally:
            raise ExceptionGroup("of the body", [Noticed(), trio.TooSlowError()])

    with pytest.raises(ExceptionGroup) as caught:
        await ask(serve_in_memory(fail), fail_too)
    body, failure = caught.value.exceptions
    assert repr(body) == "ExceptionGroup('of the body', [Noticed(), TooSlowError()])"
    assert isinstance(failure, FromHandler)


async def test_handler_that_ends_by_its_close_fails_nothing(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """That its peer has gone is no failure."""

    async def receive(ws: WebSocket) -> None:
        while True:
            await ws.receive()

    async with serve_in_memory(receive) as served:
        async with served.open_websocket() as ws:
            await ws.aclose(4000)
        await run_until_idle()


async def test_what_is_no_handler_is_refused(autojump_clock: trio.testing.MockClock) -> None:
    """As by `serve_websocket`: at once where that is possible, and in words."""

    async def of_two(ws: WebSocket, name: str) -> None:
        pytest.fail("it was called")

    with pytest.raises(TypeError, match=r"the handler must be .* of one argument"):
        async with serve_in_memory(of_two):  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
            pytest.fail("the block was entered")
    with pytest.raises(TypeError, match="write async def <lambda>"):
        await ask(serve_in_memory(lambda _: None), sleep)  # type: ignore[arg-type,return-value]  # pyright: ignore[reportArgumentType]


@everywhere
async def test_isolated_handler_fails_as_in_use(serve: Serve) -> None:
    """Its own connection is closed with 1011, and the server goes on."""
    with trio.fail_after(HANGS):
        async with serve(fail, isolate_handlers=True) as served:
            for _ in range(2):
                async with served.open_websocket() as ws:
                    await ws.send("go")
                    with pytest.raises(ConnectionBroken) as caught:
                        await ws.receive()
                    assert caught.value.code == 1011


async def test_ctrl_c_in_a_handler_is_no_failure_of_it(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """It goes up through the server, in the groups of its nurseries, as in use."""

    async def interrupted(ws: WebSocket) -> None:
        raise KeyboardInterrupt

    with pytest.raises(BaseExceptionGroup) as caught:
        async with serve_in_memory(interrupted) as served, served.open_websocket():
            await trio.sleep_forever()
    assert caught.value.split(KeyboardInterrupt)[1] is None
