"""Any stream that was handed to us: who calls its methods, with how much, and what it may raise."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing

from tests.injection import Fault, Injector, inject
from tests.transports import TOO_MUCH, commit, open_wire, receive_exactly, send
from trio_ws._options import Limits, Timeouts
from trio_ws._transport.outbox import CHUNK_SIZE
from trio_ws._transport.stream import StreamTransport
from trio_ws.testing import bounded_stream_pair


class Oddity(Exception):
    """What no stream of Trio's would raise."""


class OddStream(trio.abc.Stream):
    """Somebody's stream: takes notes, takes its time, and raises what it was told to raise."""

    def __init__(self) -> None:
        self.sent: list[int] = []
        self.sending = 0
        self.seconds = 0.0
        self.error: Exception | None = None
        self.closed = False

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Note how much it was."""
        self.sending += 1
        assert self.sending == 1
        await trio.sleep(self.seconds)
        self.sending -= 1
        self._raise()
        self.sent.append(len(data))

    async def wait_send_all_might_not_block(self) -> None:
        """Not called by anybody."""
        raise NotImplementedError

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """Return as much as was asked for."""
        await trio.lowlevel.checkpoint()
        self._raise()
        assert max_bytes is not None
        return bytes(max_bytes)

    async def aclose(self) -> None:
        """Close, and fail at it all the same."""
        self.closed = True
        self._raise()

    def _raise(self) -> None:
        if self.error is not None:
            raise self.error


@asynccontextmanager
async def odd_transport(
    *, stall: float = 20
) -> AsyncGenerator[tuple[StreamTransport, OddStream, trio.Nursery], None]:
    """Open a transport over an odd stream."""
    stream = OddStream()
    async with trio.open_nursery() as nursery:
        yield (
            StreamTransport(stream, nursery.start_soon, Limits(), Timeouts(stall=stall)),
            stream,
            nursery,
        )


async def test_read_asks_the_stream() -> None:
    """For as much as was wanted."""
    async with odd_transport() as (transport, _, _):
        assert await transport.read(7) == bytes(7)
        assert transport.read_nowait(7) is None
        assert transport.hangup_fd() is None


@pytest.mark.parametrize("fault", [Fault.CANCEL_BEFORE_STEP, Fault.CANCEL_AFTER_STEP])
async def test_cancelled_read_loses_nothing(fault: Fault) -> None:
    """Wherever it strikes, the bytes are returned or still there."""

    async def scenario(injector: Injector) -> None:
        received = b""
        async with open_wire("stream") as wire:
            await wire.peer.send_all(b"0123456789")
            with injector.armed():
                while len(received) < 10:
                    received += await wire.transport.read(4)
            while len(received) < 10:
                received += await wire.transport.read(4)
        assert received == b"0123456789"

    assert await inject(scenario, fault) >= 3


async def test_send_all_gets_slices() -> None:
    """No call has more than a chunk, so that a large frame is seen to move."""
    async with odd_transport() as (transport, stream, _):
        transport.write(bytes(2 * CHUNK_SIZE + 5))
        transport.write(bytes(7))
        await trio.testing.wait_all_tasks_blocked()
        assert stream.sent == [CHUNK_SIZE, CHUNK_SIZE, 5, 7]


async def test_send_all_is_called_by_the_flusher_alone() -> None:
    """Writers come and go, one call goes after the other."""
    async with odd_transport() as (transport, stream, nursery):
        for _ in range(3):
            transport.write(bytes(10))
            transport.write_ping(bytes(5))
            transport.write_pongs([bytes(3)])
            assert len(nursery.child_tasks) == 1
            await trio.lowlevel.checkpoint()
        await trio.testing.wait_all_tasks_blocked()
        assert sum(stream.sent) >= 3 * 15 + 3
        assert not nursery.child_tasks


async def test_stall_is_measured_slice_by_slice(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """A large frame may take longer than ``timeouts.stall``, a slice of it may not."""
    async with odd_transport(stall=20) as (transport, stream, _):
        stream.seconds = 19
        transport.write(bytes(5 * CHUNK_SIZE))
        await transport.wait_flushed()
        assert trio.current_time() == 5 * 19
        assert transport.write_error is None
        stream.seconds = 21
        transport.write(b"stuck")
        await transport.wait_flushed()
        assert trio.current_time() == 5 * 19 + 20
        assert isinstance(transport.write_error, trio.TooSlowError)
        assert transport.pending == 0


async def test_stall_after_a_part_was_taken_sends_no_more(
    mock_clock: trio.testing.MockClock,
) -> None:
    """Half a frame is out: nothing may follow it but the end of the stream."""
    async with open_wire("stream", stall=5) as wire:
        commit(wire.transport, bytes(10_000))
        await trio.testing.wait_all_tasks_blocked()
        mock_clock.jump(6)
        await trio.testing.wait_all_tasks_blocked()
        assert isinstance(wire.transport.write_error, trio.TooSlowError)
        commit(wire.transport, b"!")
        await trio.testing.wait_all_tasks_blocked()
        await wire.transport.close()
        assert await receive_exactly(wire.peer, 100_000) == bytes(4096)


@pytest.mark.parametrize("error", [Oddity("odd"), OSError("none of Trio's"), RuntimeError()])
async def test_whatever_the_stream_raises_ends_writing_alone(error: Exception) -> None:
    """The flusher does not raise: its nursery is not that stream's alone."""
    async with odd_transport() as (transport, stream, nursery):
        stream.error = error
        transport.write(b"hello")
        await trio.testing.wait_all_tasks_blocked()
        assert transport.write_error is error
        assert transport.sealed
        assert not nursery.child_tasks


async def test_linger_and_close_forgive_the_stream() -> None:
    """Whatever it raises then, it is closed and everybody is released."""
    async with odd_transport() as (transport, stream, nursery):
        stream.error = Oddity()
        await transport.linger()
        await transport.wait_room()
        nursery.start_soon(transport.wait_room)
        await trio.testing.wait_all_tasks_blocked()
        await transport.close()
        await trio.testing.wait_all_tasks_blocked()
        assert stream.closed
        assert transport.closed
        assert not nursery.child_tasks


async def test_close_ends_a_write_in_progress() -> None:
    """The flusher does not wait for the stream's own idea of a closed stream."""
    async with odd_transport() as (transport, stream, nursery):
        stream.seconds = float("inf")
        transport.write(b"stuck")
        await trio.testing.wait_all_tasks_blocked()
        await transport.close()
        await trio.testing.wait_all_tasks_blocked()
        assert not nursery.child_tasks
        assert transport.write_error is None


async def test_send_eof_where_the_stream_can() -> None:
    """A stream that cannot be half-closed is left as it is."""
    near, far = bounded_stream_pair()
    transport = StreamTransport(near, print, Limits(), Timeouts())
    await transport.send_eof()
    assert await far.receive_some() == b""
    await transport.close()
    async with odd_transport() as (odd, stream, _):
        await odd.send_eof()
        assert not stream.closed


async def test_foreign_tls_is_served(mock_clock: trio.testing.MockClock) -> None:
    """Somebody's SSLStream over memory: whole frames in order, also past its own buffers."""
    async with open_wire("stream") as wire:
        await send(wire.transport, bytes(TOO_MUCH))
        assert await receive_exactly(wire.peer, TOO_MUCH) == bytes(TOO_MUCH)
