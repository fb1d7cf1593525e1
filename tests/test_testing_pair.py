"""Both ends of a connection in memory: the tool that applications test with."""

import math

import pytest
import trio
import trio.testing

from tests.connections import HANGS, Network, pair_over
from trio_ws import (
    Accept,
    ConnectionBroken,
    ConnectionRejected,
    HandshakeTimeout,
    Keepalive,
    Request,
    Response,
    Timeouts,
    WebSocket,
)
from trio_ws.testing import (
    bounded_stream_pair,
    memory_websocket_pair,
)


class Noticed(Exception):
    """An exception of a test's own."""


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
