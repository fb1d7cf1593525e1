"""Straight on the descriptor: reading, writing, and what the kernel may answer."""

import math
import os
import socket
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress

import pytest
import trio
import trio.testing

from tests.injection import Fault, Injector, inject
from tests.transports import (
    TOO_MUCH,
    as_stream,
    commit,
    open_wire,
    receive_exactly,
    socket_pair,
    tcp_pair,
)
from trio_ws._options import Limits, Timeouts
from trio_ws._pace import PACE
from trio_ws._transport import socket_below
from trio_ws._transport.socket import (
    BURST_SECONDS,
    FULL_READS_PER_YIELD,
    MAX_READ_SIZE,
    MIN_PROGRESS,
    MIN_READ_SIZE,
    SocketTransport,
    is_plain_socket,
)
from trio_ws.testing import bounded_stream_pair


class Spawned:
    """Stands in for a nursery where none should be needed: remembers what was to be started."""

    def __init__(self) -> None:
        self.tasks: list[Callable[[], object]] = []

    def __call__(self, async_fn: Callable[[], object]) -> None:
        """Start nothing."""
        self.tasks.append(async_fn)


@asynccontextmanager
async def lone_transport(
    pair: tuple[socket.socket, socket.socket] | None = None, *, stall: float = 20
) -> AsyncGenerator[tuple[SocketTransport, socket.socket, Spawned], None]:
    """Open a transport that has no nursery, and a bare socket as its peer."""
    near, far = pair or socket_pair()
    spawned = Spawned()
    transport = SocketTransport(
        as_stream(near), spawned, Limits(max_buffered_bytes=1000), Timeouts(stall=stall)
    )
    with far:
        try:
            yield transport, far, spawned
        finally:
            await transport.close()


def reset(far: socket.socket) -> None:
    """Close a TCP socket such that the peer is told of a broken connection, not of an end."""
    far.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    far.close()


async def test_plain_socket_is_a_trio_socket_stream() -> None:
    """Nothing else has a descriptor that we may use."""
    near, far = socket_pair()
    with far:
        stream = as_stream(near)
        assert is_plain_socket(stream)
        await stream.aclose()
    memory, _ = bounded_stream_pair()
    assert not is_plain_socket(memory)


# TCP_USER_TIMEOUT

USER_TIMEOUT = getattr(socket, "TCP_USER_TIMEOUT", None)


@pytest.mark.parametrize(
    ("stall", "milliseconds"),
    [(20, 20_000), (0.5, 500), (1e-6, 1), (1e9, 2**31 - 1), (1e306, 2**31 - 1), (math.inf, 0)],
)
async def test_user_timeout_is_the_stall(stall: float, milliseconds: int) -> None:
    """The kernel gives a vanished peer up by itself, after as long; never when the stall is inf."""
    async with lone_transport(tcp_pair(), stall=stall) as (transport, _, _):
        if USER_TIMEOUT is not None:
            below = socket_below(transport.stream)
            assert below is not None
            option = below.socket.getsockopt(socket.IPPROTO_TCP, USER_TIMEOUT)
            assert option == milliseconds


async def test_user_timeout_where_the_system_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """A system without the option is served without it."""
    monkeypatch.delattr(socket, "TCP_USER_TIMEOUT", raising=False)
    async with lone_transport(tcp_pair()) as (transport, far, _):
        transport.write(b"hello")
        assert far.recv(100) == b"hello"


async def test_user_timeout_is_for_tcp_alone() -> None:
    """A Unix socket is not asked; a socket that is closed already is none of our business yet."""
    near, far = tcp_pair()
    stream = as_stream(near)
    with far:
        await stream.aclose()
        transport = SocketTransport(stream, Spawned(), Limits(), Timeouts())
        assert transport.hangup_fd() is None


# Reading


async def test_read_waits_for_bytes() -> None:
    """It returns what has come, and at most what was asked for."""
    async with lone_transport() as (transport, far, _):

        async def write_soon() -> None:
            await trio.testing.wait_all_tasks_blocked()
            far.send(b"hello")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(write_soon)
            assert await transport.read(3) == b"hel"
        assert await transport.read(3) == b"lo"


async def test_read_returns_nothing_at_the_end_of_the_stream() -> None:
    """Again and again, as often as it is called."""
    async with lone_transport() as (transport, far, _):
        far.send(b"bye")
        far.shutdown(socket.SHUT_WR)
        assert [await transport.read(100) for _ in range(3)] == [b"bye", b"", b""]
        assert transport.read_nowait(100) == b""


async def test_read_that_was_full_reads_on_without_waiting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """While there is more at once nobody waits for readability; the others run all the same."""
    waits = 0
    genuine = trio.lowlevel.wait_readable

    async def wait_readable(fd: int) -> None:
        nonlocal waits
        waits += 1
        await genuine(fd)

    monkeypatch.setattr(trio.lowlevel, "wait_readable", wait_readable)
    steps = 0

    async def count_steps() -> None:
        nonlocal steps
        while True:
            steps += 1
            await trio.lowlevel.checkpoint()

    async with lone_transport() as (transport, far, _), trio.open_nursery() as nursery:
        reads = 8 * FULL_READS_PER_YIELD
        far.send(bytes(range(100)) + bytes(reads))
        nursery.start_soon(count_steps)
        received = [await transport.read(2) for _ in range(reads)]
        assert b"".join(received) == (bytes(range(100)) + bytes(reads))[: 2 * reads]
        assert waits == 1
        assert steps >= 6
        nursery.cancel_scope.cancel()


async def test_read_that_was_not_full_waits() -> None:
    """It has emptied the socket, so the next one waits for readability."""
    async with lone_transport() as (transport, far, _):
        for data in (b"0", b"1"):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(write_when_all_block, far, data)
                assert await transport.read(2) == data


async def test_read_grows_with_what_there_is() -> None:
    """From few bytes to as many as were asked for, and back when there is little again."""
    near, far = socket_pair()
    far.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2 * MAX_READ_SIZE)
    async with lone_transport((near, far)) as (transport, _, _):
        far.setblocking(False)
        sizes: list[int] = []
        for _ in range(10):
            with suppress(BlockingIOError):
                while True:
                    far.send(bytes(MIN_READ_SIZE))
            sizes.append(len(await transport.read(10 * MAX_READ_SIZE)))
        assert sizes[:4] == [MIN_READ_SIZE * 4**power for power in range(4)]
        assert max(sizes) == sizes[-1] <= MAX_READ_SIZE
        while transport.read_nowait(MAX_READ_SIZE):
            pass
        for _ in range(10):  # little by little it forgets
            far.send(b"!")
            assert transport.read_nowait(MAX_READ_SIZE) == b"!"
        far.send(bytes(2 * MIN_READ_SIZE))
        assert transport.read_nowait(MAX_READ_SIZE) == bytes(MIN_READ_SIZE)


async def test_small_read_does_not_shrink_the_next() -> None:
    """Asking for one byte says nothing about how many there are."""
    async with lone_transport() as (transport, far, _):
        far.send(bytes(2000))
        assert transport.read_nowait(1) == bytes(1)
        assert transport.read_nowait(MAX_READ_SIZE) == bytes(1999)


async def test_read_that_was_full_waits_when_there_is_no_more() -> None:
    """It asked for more than there was; then it waits like any other."""
    async with lone_transport() as (transport, far, _):
        far.send(b"0123")
        assert await transport.read(4) == b"0123"
        async with trio.open_nursery() as nursery:
            nursery.start_soon(write_when_all_block, far, b"later")
            assert await transport.read(4) == b"late"


async def write_when_all_block(far: socket.socket, data: bytes) -> None:
    """Send when nothing else is left to be done."""
    await trio.testing.wait_all_tasks_blocked()
    far.send(data)


async def test_read_that_was_woken_for_nothing_waits_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A socket may be called readable and then have nothing: that is no end of the stream."""
    genuine = trio.lowlevel.wait_readable
    lies = 1

    async def wait_readable(fd: int) -> None:
        nonlocal lies
        if lies:
            lies -= 1
            await trio.lowlevel.checkpoint()
        else:
            await genuine(fd)

    monkeypatch.setattr(trio.lowlevel, "wait_readable", wait_readable)
    async with lone_transport() as (transport, far, _), trio.open_nursery() as nursery:
        nursery.start_soon(write_when_all_block, far, b"hello")
        assert await transport.read(100) == b"hello"


@pytest.mark.parametrize("fault", [Fault.CANCEL_BEFORE_STEP, Fault.CANCEL_AFTER_STEP])
async def test_cancelled_read_loses_nothing(fault: Fault) -> None:
    """Wherever it strikes, the bytes are returned or still there."""

    async def scenario(injector: Injector) -> None:
        async with lone_transport() as (transport, far, _):
            received = b""
            async with trio.open_nursery() as nursery:
                nursery.start_soon(write_when_all_block, far, b"0123456789")
                with injector.armed():
                    while len(received) < 10:
                        received += await transport.read(4)
                while len(received) < 10:
                    received += await transport.read(4)
            assert received == b"0123456789"

    assert await inject(scenario, fault) >= 1


def test_read_nowait_takes_what_is_there() -> None:
    """``None`` says that there is nothing yet, ``b""`` that there never will be."""

    async def main() -> None:
        async with lone_transport() as (transport, far, _):
            assert transport.read_nowait(100) is None
            far.send(b"hello")
            assert transport.read_nowait(3) == b"hel"
            assert transport.read_nowait(100) == b"lo"
            assert transport.read_nowait(100) is None
            far.shutdown(socket.SHUT_WR)
            assert transport.read_nowait(100) == b""

    trio.run(main)


async def test_read_of_a_broken_connection_says_how_it_broke() -> None:
    """A reset is no end of the stream; the cause is the system's error."""
    async with lone_transport(tcp_pair()) as (transport, far, _):
        reset(far)
        with pytest.raises(trio.BrokenResourceError, match="Connection reset") as broken:
            await transport.read(100)
        assert isinstance(broken.value.__cause__, ConnectionResetError)


async def test_read_of_a_closed_socket_says_so() -> None:
    """Closed before or meanwhile, by the transport or by the stream itself."""
    async with lone_transport() as (transport, _, _):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(close_when_all_block, transport.stream)
            with pytest.raises(trio.ClosedResourceError):
                await transport.read(100)
        with pytest.raises(trio.ClosedResourceError):
            await transport.read(100)
        with pytest.raises(trio.ClosedResourceError):
            transport.read_nowait(100)


async def close_when_all_block(stream: trio.abc.AsyncResource) -> None:
    """Close when nothing else is left to be done."""
    await trio.testing.wait_all_tasks_blocked()
    await stream.aclose()


@pytest.mark.parametrize("waiting", ["wait_readable", "checkpoint"])
async def test_read_does_not_touch_a_descriptor_that_is_somebody_elses(
    waiting: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The number may be in use again when a reader wakes up: nothing is read from there."""
    async with lone_transport() as (transport, far, _):
        if waiting == "checkpoint":  # what it does after some reads that were full
            far.send(bytes(4 * FULL_READS_PER_YIELD))
            for _ in range(FULL_READS_PER_YIELD):
                assert await transport.read(4) == bytes(4)
        number = transport.hangup_fd()
        other, its_peer = far, far

        async def wait(*_: int) -> None:
            nonlocal other, its_peer
            await transport.close()
            other, its_peer = socket.socketpair()
            its_peer.send(b"not yours")

        with monkeypatch.context() as patch:
            patch.setattr(trio.lowlevel, waiting, wait)
            with pytest.raises(trio.ClosedResourceError):
                await transport.read(4)
        with other, its_peer:
            assert other.fileno() == number
            assert other.recv(100) == b"not yours"


# Hang-ups


async def test_hangup_fd_is_the_descriptor_while_it_is_open() -> None:
    """A hang-up of the peer can be seen there."""
    async with lone_transport() as (transport, _, _):
        below = socket_below(transport.stream)
        assert below is not None
        assert transport.hangup_fd() == below.socket.fileno() >= 0
        await transport.close()
        assert transport.hangup_fd() is None


# Writing


def test_write_goes_out_in_the_callers_task() -> None:
    """No task is started and nobody has to wait: the bytes are there when it returns."""

    async def main() -> None:
        async with lone_transport() as (transport, far, spawned):
            for write in (transport.write, transport.write_ping):
                PACE.restart()  # the others have run: no burst
                write(b"hello")
                assert far.recv(100) == b"hello"
            PACE.restart()
            transport.write_pongs([b"pong1", b"pong2"])
            assert far.recv(100) == b"pong1pong2"
            assert spawned.tasks == []
            assert transport.pending == 0

    trio.run(main)


async def test_write_with_header_is_one_system_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """Header and payload go out together, although nobody has joined them."""
    calls: list[int] = []
    genuine = os.writev

    def writev(fd: int, parts: tuple[bytes, bytes]) -> int:
        calls.append(genuine(fd, parts))
        return calls[-1]

    monkeypatch.setattr("trio_ws._transport.socket.os.writev", writev)
    async with lone_transport() as (transport, far, spawned):
        transport.write_with_header(b"header", b"payload")
        assert far.recv(100) == b"headerpayload"
        assert calls == [13]
        assert spawned.tasks == []
        assert transport.pending == 0


@pytest.mark.parametrize("taken", [0, 1, 5, 6, 7, 12])
async def test_write_with_header_goes_on_where_the_kernel_stopped(
    taken: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever that is, nothing comes twice, nothing is lost, and nothing comes between."""

    def writev(fd: int, parts: tuple[bytes, bytes]) -> int:
        if not taken:
            raise BlockingIOError
        return os.write(fd, b"".join(parts)[:taken])

    monkeypatch.setattr("trio_ws._transport.socket.os.writev", writev)
    async with open_wire("socket") as wire:
        wire.transport.write_with_header(b"header", b"payload")
        wire.transport.write_ping(b"ping")
        assert wire.transport.pending == 17 - taken
        wire.transport.flush_soon()
        assert await receive_exactly(wire.peer, 17) == b"headerpayloadping"


async def test_write_with_header_waits_behind_what_waits() -> None:
    """The order of the writes is that of the bytes."""
    async with open_wire("socket") as wire:
        wire.transport.write(bytes(TOO_MUCH))
        wire.transport.write_with_header(b"header", b"payload")
        wire.transport.flush_soon()
        assert (await receive_exactly(wire.peer, TOO_MUCH + 13))[TOO_MUCH:] == b"headerpayload"


async def test_write_with_header_to_a_broken_connection_fails_once() -> None:
    """As `write` does: the error is noted, and what comes later is dropped."""
    async with lone_transport() as (transport, far, spawned):
        far.close()
        for _ in range(2):
            transport.write_with_header(b"header", b"payload")
        assert isinstance(transport.write_error, trio.BrokenResourceError)
        assert transport.pending == 0
        assert spawned.tasks == []


@pytest.fixture
def stopwatch(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Stop the processor's clock; return what moves it on, by seconds."""
    now = 1000.0

    def move_on(seconds: float) -> None:
        nonlocal now
        now += seconds

    monkeypatch.setattr("trio_ws._transport.socket.time.perf_counter", lambda: now)
    return move_on


async def test_burst_shares_a_write(
    stopwatch: Callable[[float], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first goes out at once, what follows it closely goes out together, soon and in order."""
    async with open_wire("socket") as wire:
        writes: list[bytes] = []
        genuine = os.write

        def write(fd: int, data: bytes | memoryview) -> int:
            writes.append(bytes(data))
            return genuine(fd, data)

        monkeypatch.setattr("trio_ws._transport.socket.os.write", write)
        for frame in (b"one", b"two", b"three"):
            wire.transport.write(frame)
        wire.transport.write_ping(b"ping")
        assert writes == [b"one"]
        assert wire.transport.pending == len(b"twothreeping")
        await trio.testing.wait_all_tasks_blocked()
        assert writes == [b"one", b"ping", b"twothree"]
        assert await receive_exactly(wire.peer, 15) == b"onepingtwothree"
        assert wire.tasks == 0


@pytest.mark.parametrize("why", ["time has passed", "others have run"])
async def test_burst_is_over(why: str, stopwatch: Callable[[float], None]) -> None:
    """A message on its own is not delayed, however many there were before."""
    async with lone_transport() as (transport, far, spawned):
        for _ in range(3):
            if why == "time has passed":
                stopwatch(1.5 * BURST_SECONDS)
            else:
                PACE.restart()
            transport.write(b"hello")
            assert far.recv(100) == b"hello"
        assert spawned.tasks == []


async def test_close_gives_the_kernel_the_end_of_a_burst(
    stopwatch: Callable[[float], None],
) -> None:
    """What could go out without waiting does: the Close of a forced close, for example."""
    async with lone_transport() as (transport, far, _):
        for frame in (b"message", b"message", b"Close"):
            transport.write(frame)
        assert transport.pending
        await transport.close()
        assert far.recv(100) == b"messagemessageClose"


async def test_write_calls_one_flusher_for_the_rest() -> None:
    """However much is written behind what did not fit."""
    async with lone_transport() as (transport, _, spawned):
        for _ in range(5):
            transport.write(bytes(TOO_MUCH))
            transport.write_ping(b"ping")
            transport.write_pongs([b"pong"])
        assert len(spawned.tasks) == 1
        assert 4 * TOO_MUCH < transport.pending < 5 * TOO_MUCH + 24


async def test_write_to_a_clogged_socket_waits_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the kernel takes nothing at all, the frame is the buffer's from its first byte."""
    async with open_wire("socket") as wire:

        def write(fd: int, data: bytes | memoryview) -> int:
            raise BlockingIOError

        with monkeypatch.context() as patch:
            patch.setattr("trio_ws._transport.socket.os.write", write)
            wire.transport.write(b"hello")
        assert wire.transport.pending == 5
        assert await wire.peer.receive_some() == b"hello"


async def test_flusher_lets_the_others_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also while the kernel takes everything it is given: a quick peer must not hold us up."""
    async with open_wire("socket") as wire:
        commit(wire.transport, bytes(TOO_MUCH))
        await trio.testing.wait_all_tasks_blocked()
        writes: list[int] = []

        def write(fd: int, data: bytes | memoryview) -> int:
            writes.append(steps)
            return min(len(data), 1000)  # it says

        monkeypatch.setattr("trio_ws._transport.socket.os.write", write)
        steps = 0
        await receive_exactly(wire.peer, TOO_MUCH - wire.transport.pending)
        while wire.transport.pending:
            steps += 1
            await trio.lowlevel.checkpoint()
        assert len(writes) > 100
        assert max(writes.count(step) for step in set(writes)) <= 2


async def test_write_to_a_stream_that_was_closed_below_fails() -> None:
    """Somebody closed the stream behind our back: that is a failed write, not an exception."""
    async with lone_transport() as (transport, _, _):
        await transport.stream.aclose()
        transport.write(b"hello")
        assert isinstance(transport.write_error, trio.BrokenResourceError)
        assert isinstance(transport.write_error.__cause__, OSError)
        assert transport.pending == 0


async def test_flush_of_a_stream_that_was_closed_below_fails() -> None:
    """The flusher ends with it, and says so."""
    async with open_wire("socket") as wire:
        commit(wire.transport, bytes(TOO_MUCH))
        await trio.testing.wait_all_tasks_blocked()
        await wire.transport.stream.aclose()
        await trio.testing.wait_all_tasks_blocked()
        assert isinstance(wire.transport.write_error, trio.ClosedResourceError)
        assert wire.tasks == 0


async def test_flusher_does_not_touch_a_descriptor_that_is_somebody_elses() -> None:
    """The number may be in use again before the flusher runs: nothing is written there."""
    async with open_wire("socket") as wire:
        number = wire.transport.hangup_fd()
        wire.transport.write(bytes(TOO_MUCH))
        assert wire.tasks == 1  # the flusher, which has not run yet
        await wire.transport.stream.aclose()
        other, its_peer = socket.socketpair()
        with other, its_peer:
            assert other.fileno() == number
            its_peer.setblocking(False)
            await trio.testing.wait_all_tasks_blocked()
            with pytest.raises(BlockingIOError):
                its_peer.recv(1)
        assert wire.tasks == 0


# Stalls


async def test_stall_is_measured_by_what_the_peer_takes(
    mock_clock: trio.testing.MockClock,
) -> None:
    """A slow peer is kept as long as it takes something, though the socket is never writable."""
    async with roomy_wire(stall=5) as (transport, peer, nursery):
        transport.write(bytes(2_000_000))
        await trio.testing.wait_all_tasks_blocked()
        pending = transport.pending
        for _ in range(2):
            mock_clock.jump(4)
            await receive_exactly(peer, 40_000)
            mock_clock.jump(1.1)
            await trio.testing.wait_all_tasks_blocked()
            assert transport.pending == pending  # not writable: the kernel wants to see more of it
            assert transport.write_error is None
        mock_clock.jump(5.1)
        await trio.testing.wait_all_tasks_blocked()
        assert isinstance(transport.write_error, trio.TooSlowError)
        assert not nursery.child_tasks


@pytest.mark.parametrize("taken", [0, MIN_PROGRESS - 1, MIN_PROGRESS])
async def test_stall_is_less_than_the_least_progress(
    taken: int, mock_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Less than 4 KiB in all that time is as good as nothing."""
    unsent = 100_000

    def ioctl(fd: int, request: int, argument: bytes) -> bytes:
        return unsent.to_bytes(4, "little")

    monkeypatch.setattr("trio_ws._transport.socket.fcntl.ioctl", ioctl)
    monkeypatch.setattr("sys.byteorder", "little")
    async with roomy_wire(stall=5) as (transport, _, _):
        transport.write(bytes(2_000_000))
        await trio.testing.wait_all_tasks_blocked()
        unsent -= taken
        mock_clock.jump(5.1)
        await trio.testing.wait_all_tasks_blocked()
        assert (transport.write_error is None) == (taken >= MIN_PROGRESS)


async def test_stall_where_the_kernel_does_not_tell(
    mock_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without TIOCOUTQ a socket that does not become writable in time is stalled."""

    def ioctl(fd: int, request: int, argument: bytes) -> bytes:
        raise OSError(25, "Inappropriate ioctl for device")

    monkeypatch.setattr("trio_ws._transport.socket.fcntl.ioctl", ioctl)
    async with roomy_wire(stall=5) as (transport, peer, _):
        transport.write(bytes(2_000_000))
        await trio.testing.wait_all_tasks_blocked()
        await receive_exactly(peer, 40_000)
        mock_clock.jump(5.1)
        await trio.testing.wait_all_tasks_blocked()
        assert isinstance(transport.write_error, trio.TooSlowError)


async def test_stall_at_the_moment_of_closing_harms_nobody(
    mock_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The flusher's patience ends in the scheduler pass in which the socket is closed."""
    async with roomy_wire(stall=5) as (transport, _, nursery):
        genuine = trio.lowlevel.wait_writable

        async def wait_writable(fd: int) -> None:
            try:
                await genuine(fd)
            finally:
                await transport.stream.aclose()

        monkeypatch.setattr(trio.lowlevel, "wait_writable", wait_writable)
        transport.write(bytes(2_000_000))
        await trio.testing.wait_all_tasks_blocked()
        mock_clock.jump(5.1)
        await trio.testing.wait_all_tasks_blocked()
        assert isinstance(transport.write_error, trio.ClosedResourceError)
        assert not nursery.child_tasks


@asynccontextmanager
async def roomy_wire(
    *, stall: float
) -> AsyncGenerator[tuple[SocketTransport, trio.SocketStream, trio.Nursery], None]:
    """Open a transport whose kernel buffer is large, so that part of it can be taken."""
    near, far = socket_pair(send_buffer=None)
    async with trio.open_nursery() as nursery:
        transport = SocketTransport(
            as_stream(near), nursery.start_soon, Limits(), Timeouts(stall=stall)
        )
        async with as_stream(far) as peer:
            try:
                yield transport, peer, nursery
            finally:
                await transport.close()


# Ending


async def test_send_eof_ends_our_side_alone() -> None:
    """The peer reads the end of the stream and may still write; repeating it is harmless."""
    async with lone_transport() as (transport, far, _):
        transport.write(b"bye")
        await transport.send_eof()
        await transport.send_eof()
        assert far.recv(100) == b"bye"
        assert far.recv(100) == b""
        far.send(b"still here")
        assert await transport.read(100) == b"still here"
        await transport.close()
        await transport.send_eof()


async def test_close_frees_the_descriptor_at_once() -> None:
    """In the very call: no checkpoint lies before it."""
    async with lone_transport() as (transport, _, _):
        number = transport.hangup_fd()
        assert number is not None
        closing = transport.close()
        with pytest.raises(StopIteration):
            closing.send(None)
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(number)
