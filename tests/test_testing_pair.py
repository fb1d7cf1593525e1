"""Both ends in memory, and a whole server in memory: the tools that applications test with."""

import math
from typing import NoReturn

import pytest
import trio
import trio.testing

from tests.connections import HANGS, Network, pair_over, run_until_idle
from tests.servers import echo
from trio_ws import (
    Accept,
    ConnectionBroken,
    ConnectionEnded,
    ConnectionRejected,
    HandshakeTimeout,
    Keepalive,
    Request,
    Response,
    Timeouts,
    WebSocket,
)
from trio_ws.testing import (
    ScriptedPeer,
    bounded_stream_pair,
    memory_websocket_pair,
    serve_in_memory,
)


class Noticed(Exception):
    """An exception of a test's own."""


# A pair


async def test_pair_talks_both_ways(autojump_clock: trio.testing.MockClock) -> None:
    """The client is the first of the two, and they are connected."""
    with trio.fail_after(HANGS):
        async with memory_websocket_pair() as (client, server):
            await client.send("to the server")
            assert await server.receive() == "to the server"
            await server.send(b"to the client")
            assert await client.receive() == b"to the client"
            assert repr(client).startswith("<WebSocket client '/'")
            assert repr(server).startswith("<WebSocket server '/'")
        assert repr(client).endswith("closed>")
        assert repr(server).endswith("closed>")


async def test_pair_makes_the_opening_handshake_that_was_asked_for(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """URL and options of both ends mean what they mean over a network."""

    async def process_request(request: Request) -> Accept:
        await trio.sleep(1)
        return Accept(headers={"X-Path": request.path}, context="of the server")

    async with memory_websocket_pair(
        "ws://user:pass@a.example/b?c=d",
        client={"subprotocols": ["x", "y"], "headers": {"X-Token": "1"}},
        server={"subprotocols": ["y"], "process_request": process_request},
    ) as (client, server):
        assert client.subprotocol == server.subprotocol == "y"
        assert client.request.target == server.request.target == "/b?c=d"
        assert server.request.headers["Host"] == "a.example"
        assert server.request.headers["Authorization"].startswith("Basic ")
        assert server.request.headers["X-Token"] == "1"
        assert client.response.headers["X-Path"] == "/b"
        assert (client.context, server.context) == (None, "of the server")


async def test_pair_runs_over_the_streams_that_it_is_given(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Whatever these are, the ends own them."""
    streams = bounded_stream_pair(100, max_write=7)
    async with memory_websocket_pair(streams=streams) as (client, server):
        assert (client.stream, server.stream) == streams
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client.send, "x" * 5000)
            assert await server.receive() == "x" * 5000
    assert all(stream.closed for stream in streams)


@pytest.mark.parametrize("network", ["trio memory", "socket", "tcp", "tls"])
async def test_pair_runs_over_all_kinds_of_streams(network: Network) -> None:
    """A test can be repeated over a real network as it is."""
    async with pair_over(network) as (client, server):
        await client.send("hello")
        assert await server.receive() == "hello"


async def test_pair_that_is_refused_raises_the_rejection(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """It is the client's exception, plain, and both streams are closed."""
    streams = bounded_stream_pair()
    with trio.fail_after(HANGS):
        with pytest.raises(ConnectionRejected) as caught:
            async with memory_websocket_pair(
                server={"process_request": lambda _: Response(403, body="no")}, streams=streams
            ):
                pytest.fail("the block was entered")
    assert caught.value.response.status == 403
    assert all(stream.closed for stream in streams)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"url": "http://a.example/"}, ValueError),
        ({"client": {"subprotocols": ["a", "a"]}}, ValueError),
        ({"server": {"subprotocols": ["a", "a"]}}, ValueError),
        ({"server": {"subprotocol": "a"}}, TypeError),
    ],
)
async def test_pair_with_bad_arguments_raises(
    arguments: dict[str, object],
    error: type[Exception],
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Nothing waits for an end that cannot come, and no stream stays open."""
    streams = bounded_stream_pair()
    with trio.fail_after(HANGS):
        with pytest.raises(error):
            async with memory_websocket_pair(streams=streams, **arguments):  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
                pytest.fail("the block was entered")
    assert all(stream.closed for stream in streams)


async def think_for_ever(_: Request) -> None:
    """Come to no decision."""
    await trio.sleep_forever()


async def test_pair_whose_server_is_silent_times_out(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """The client's patience ends the wait, and the server's is not asked for."""
    streams = bounded_stream_pair()
    began = trio.current_time()
    with trio.fail_after(HANGS):
        with pytest.raises(HandshakeTimeout):
            async with memory_websocket_pair(
                client={"timeouts": Timeouts(open=1)},
                server={
                    "timeouts": Timeouts(open=math.inf),
                    "process_request": think_for_ever,
                },
                streams=streams,
            ):
                pytest.fail("the block was entered")
    assert trio.current_time() - began == pytest.approx(1)
    assert all(stream.closed for stream in streams)


async def test_pair_whose_server_takes_too_long_fails(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """The server's patience ends the wait too: it says so, and so does the client."""
    began = trio.current_time()
    with trio.fail_after(HANGS):
        with pytest.raises(ConnectionRejected, match="503"):
            async with memory_websocket_pair(
                server={
                    "timeouts": Timeouts(open=1),
                    "process_request": think_for_ever,
                },
            ):
                pytest.fail("the block was entered")
    assert trio.current_time() - began == pytest.approx(1)


async def test_cancelled_opening_of_a_pair_leaves_nothing(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Both streams are closed and no task is left."""
    streams = bounded_stream_pair()
    with trio.move_on_after(1) as scope:
        async with memory_websocket_pair(
            server={"process_request": think_for_ever}, streams=streams
        ):
            pytest.fail("the block was entered")
    assert scope.cancelled_caught
    assert all(stream.closed for stream in streams)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (None, 1000),
        (Noticed(), 1011),
        (ExceptionGroup("of my own", [Noticed()]), 1011),
        (KeyboardInterrupt(), 1001),
    ],
    ids=["return", "exception", "group", "Ctrl-C"],
)
async def test_end_of_the_block_closes_both_ends(
    error: BaseException | None, code: int, autojump_clock: trio.testing.MockClock
) -> None:
    """They shake hands, no time passes, and the body's exception comes out as it was."""
    began = trio.current_time()
    raised: BaseException | None = None
    ends: tuple[WebSocket, ...] = ()
    with trio.fail_after(HANGS):
        try:
            async with memory_websocket_pair() as both:
                ends = both
                if error is not None:
                    raise error  # noqa: TRY301 - out of the block is where it goes
        except BaseException as exc:  # noqa: BLE001 - whatever it is, it is looked at
            raised = exc
    assert raised is error
    assert trio.current_time() == began
    assert len(ends) == 2
    for end in ends:
        assert end.close_sent is not None
        assert end.close_sent.code == code
        assert end.close_received is not None


async def test_cancelled_block_closes_both_ends_with_1001(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """The cancellation goes on to its scope."""
    ends: tuple[WebSocket, ...] = ()
    with trio.move_on_after(1) as scope:
        async with memory_websocket_pair() as both:
            ends = both
            await trio.sleep_forever()
    assert scope.cancelled_caught
    assert [end.close_sent and end.close_sent.code for end in ends] == [1001, 1001]


async def test_end_that_was_closed_by_the_body_stays_as_it_is(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Both ends can be closed by hand, and the block then just ends."""
    async with memory_websocket_pair() as (client, server), trio.open_nursery() as nursery:
        nursery.start_soon(client.aclose, 4000, "done")
        with pytest.raises(ConnectionBroken):
            await server.receive()
    assert server.close_received is not None
    assert server.close_received.code == 4000


async def test_hours_pass_in_no_time(autojump_clock: trio.testing.MockClock) -> None:
    """Keepalive and all: an idle pair lives as long as it is asked to."""
    async with memory_websocket_pair(
        client={"keepalive": Keepalive(interval=3600)},
        server={"keepalive": Keepalive(interval=math.inf)},
    ) as (client, server):
        await trio.sleep(24 * 3600)
        await client.send("still here")
        assert await server.receive() == "still here"
        assert client.latency is not None


# A server


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


async def test_handler_that_fails_does_not_end_the_server(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Its own connection is closed with 1011, as with any server."""

    async def fail(ws: WebSocket) -> NoReturn:
        await ws.receive()
        raise Noticed

    with trio.fail_after(HANGS):
        async with serve_in_memory(fail) as served:
            for _ in range(2):
                async with served.open_websocket() as ws:
                    await ws.send("go")
                    with pytest.raises(ConnectionBroken) as caught:
                        await ws.receive()
                    assert caught.value.code == 1011
