"""A listener in memory: who is accepted, who waits, who is refused."""

import errno
import functools
import itertools

import pytest
import trio
import trio.testing

from tests.injection import Fault, Injector, inject
from trio_ws.testing import BoundedStream, MemoryListener, bounded_stream_pair

cancellations = pytest.mark.parametrize(
    "fault", [Fault.CANCEL_BEFORE_STEP, Fault.CANCEL_AFTER_STEP]
)


async def test_connect_gives_the_other_end_of_what_accept_gives() -> None:
    """The two ends are connected."""
    async with MemoryListener() as listener:
        client = await listener.connect()
        server = await listener.accept()
        await client.send_all(b"question")
        assert await server.receive_some() == b"question"
        await server.send_all(b"answer")
        assert await client.receive_some() == b"answer"


async def test_accept_waits_for_a_connection() -> None:
    """It does not matter who comes first."""
    listener = MemoryListener()
    accepted: list[BoundedStream] = []

    async def accept() -> None:
        accepted.append(await listener.accept())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(accept)
        await trio.testing.wait_all_tasks_blocked()
        client = await listener.connect()
    await client.send_all(b"x")
    assert await accepted[0].receive_some() == b"x"
    await listener.aclose()


async def test_accept_is_for_one_task_at_a_time() -> None:
    """A second one is told so."""
    listener = MemoryListener()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(listener.accept)
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(trio.BusyResourceError, match="already accepting"):
            await listener.accept()
        nursery.cancel_scope.cancel()


async def test_connect_waits_while_the_backlog_is_full() -> None:
    """Connections are made in their order as others are accepted."""
    listener = MemoryListener(backlog=2)
    connected: list[int] = []

    async def connect(number: int) -> None:
        client = await listener.connect()
        connected.append(number)
        await client.send_all(bytes([number]))

    async with trio.open_nursery() as nursery:
        for number in range(4):
            nursery.start_soon(connect, number)
            await trio.testing.wait_all_tasks_blocked()
        assert connected == [0, 1]
        for number in range(4):
            server = await listener.accept()
            await trio.testing.wait_all_tasks_blocked()
            assert await server.receive_some() == bytes([number])
            assert connected == list(range(min(number + 3, 4)))


@pytest.mark.parametrize(("backlog", "error"), [(0, ValueError), (2.5, TypeError)])
def test_listener_refuses_a_backlog_that_is_none(backlog: int, error: type[Exception]) -> None:
    """A backlog is an integer of at least 1."""
    with pytest.raises(error, match="backlog must be"):
        MemoryListener(backlog=backlog)


async def test_listener_makes_its_pairs_as_it_is_told() -> None:
    """The client's end is the first of the pair."""
    pairs = [bounded_stream_pair(3) for _ in range(2)]
    listener = MemoryListener(iter(pairs).__next__)
    for client, server in pairs:
        assert await listener.connect() is client
        assert await listener.accept() is server


async def test_listener_serves_trios_serve_listeners() -> None:
    """Whatever takes Trio's listeners takes this one, and closes it."""
    listener = MemoryListener(functools.partial(bounded_stream_pair, 100, max_write=7))

    async def echo(stream: BoundedStream) -> None:
        async for data in stream:
            await stream.send_all(data)

    async with trio.open_nursery() as nursery:
        await nursery.start(trio.serve_listeners, echo, [listener])
        for _ in range(3):
            async with await listener.connect() as client:
                await client.send_all(b"hello")
                received = b""
                while len(received) < 5:
                    received += await client.receive_some()
                assert received == b"hello"
        nursery.cancel_scope.cancel()
    with pytest.raises(ConnectionRefusedError):
        await listener.connect()


# Closing


async def test_aclose_refuses_and_resets_but_spares_the_accepted() -> None:
    """Each connection meets the end that its state calls for."""
    listener = MemoryListener()
    spared = await listener.connect()
    server = await listener.accept()
    waiting = await listener.connect()
    await listener.aclose()
    await listener.aclose()
    with pytest.raises(ConnectionRefusedError) as refused:
        await listener.connect()
    assert refused.value.errno == errno.ECONNREFUSED
    with pytest.raises(trio.ClosedResourceError, match="this listener was closed"):
        await listener.accept()
    with pytest.raises(trio.BrokenResourceError):
        await waiting.receive_some()
    await spared.send_all(b"still there")
    assert await server.receive_some() == b"still there"


async def test_aclose_wakes_who_waits() -> None:
    """A waiting accept and a waiting connect end, each with the error of its side."""
    full, empty = MemoryListener(backlog=1), MemoryListener()
    await full.connect()

    async def accept() -> None:
        with pytest.raises(trio.ClosedResourceError):
            await empty.accept()

    async def connect() -> None:
        with pytest.raises(ConnectionRefusedError):
            await full.connect()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(accept)
        nursery.start_soon(connect)
        await trio.testing.wait_all_tasks_blocked()
        await full.aclose()
        await empty.aclose()


async def test_cancelled_aclose_still_closes() -> None:
    """Cancelled comes with everything closed."""
    listener = MemoryListener()
    client = await listener.connect()
    await trio.aclose_forcefully(listener)
    with pytest.raises(ConnectionRefusedError):
        await listener.connect()
    with pytest.raises(trio.BrokenResourceError):
        await client.receive_some()


# Cancellation


@cancellations
async def test_cancelled_accept_takes_no_connection(
    fault: Fault, autojump_clock: trio.testing.MockClock
) -> None:
    """Wherever it strikes, the next accept gets the connection."""

    async def scenario(injector: Injector) -> None:
        listener = MemoryListener()
        accepted: list[BoundedStream] = []
        async with trio.open_nursery() as nursery:
            nursery.start_soon(connect_when_all_block, listener)
            with injector.armed():
                accepted.append(await listener.accept())
            if not accepted:
                accepted.append(await listener.accept())
        assert await accepted[0].receive_some() == b"hello"
        await listener.aclose()

    assert await inject(scenario, fault) >= 2


@cancellations
async def test_cancelled_connect_makes_no_connection(
    fault: Fault, autojump_clock: trio.testing.MockClock
) -> None:
    """Wherever it strikes, as many connections are accepted as connects have returned."""

    async def scenario(injector: Injector) -> None:
        counter = itertools.count()

        def make_pair() -> tuple[BoundedStream, BoundedStream]:
            next(counter)
            return bounded_stream_pair()

        listener = MemoryListener(make_pair, backlog=1)
        clients = [await listener.connect()]
        async with trio.open_nursery() as nursery:
            nursery.start_soon(accept_when_all_block, listener)
            with injector.armed():
                clients.append(await listener.connect())
        assert next(counter) == len(clients)
        await listener.aclose()

    assert await inject(scenario, fault) >= 2


async def connect_when_all_block(listener: MemoryListener) -> None:
    """Connect and say hello once nobody can run."""
    await trio.testing.wait_all_tasks_blocked()
    client = await listener.connect()
    await client.send_all(b"hello")


async def accept_when_all_block(listener: MemoryListener) -> None:
    """Accept a connection once nobody can run."""
    await trio.testing.wait_all_tasks_blocked()
    await listener.accept()
