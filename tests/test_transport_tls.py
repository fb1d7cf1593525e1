"""TLS on a socket: records never torn, plaintext waits, nothing lost on cancellation."""

import gc
import math
import random
import socket
import ssl
import weakref
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager, suppress

import pytest
import trio
import trio.testing

from tests.injection import Fault, Injector, inject
from tests.transports import (
    TOO_MUCH,
    Renegotiation,
    Wire,
    as_stream,
    commit,
    contexts,
    handshaken,
    numbered,
    open_wire,
    receive_exactly,
    secured,
    send,
    socket_pair,
)
from trio_ws._options import Limits, Timeouts
from trio_ws._transport import TLSStream, close_forcefully, make_transport, start_tls
from trio_ws._transport.outbox import CHUNK_SIZE
from trio_ws._transport.records import Records
from trio_ws._transport.socket import FULL_READS_PER_YIELD
from trio_ws._transport.stream import StreamTransport
from trio_ws._transport.tls import MAX_SEALED, SealingOutbox, TLSTransport
from trio_ws.testing import bounded_stream_pair, tls_contexts


def outbox_of(wire: Wire) -> SealingOutbox:
    """Return the outgoing buffer of our end, which must have been used."""
    assert isinstance(wire.transport._outbox, SealingOutbox)
    return wire.transport._outbox


# Sending


async def test_write_goes_out_in_the_callers_task() -> None:
    """A frame is with the kernel when `write` returns, and no task was started for it."""
    async with open_wire("tls") as wire:
        wire.transport.write(b"hello")
        assert wire.transport.pending == 0
        assert wire.tasks == 0
        assert await wire.peer.receive_some() == b"hello"


async def test_only_what_is_about_to_leave_is_encrypted() -> None:
    """A chunk of a big frame is ciphertext, all else plaintext, which a ping can overtake."""
    async with open_wire("tls") as wire:
        wire.transport.write(bytes(TOO_MUCH))
        commit(wire.transport, b"data")
        wire.transport.write_ping(b"ping")
        await trio.testing.wait_all_tasks_blocked()
        assert 0 < outbox_of(wire).sealed_size < CHUNK_SIZE + 1024
        assert wire.transport.pending > TOO_MUCH - CHUNK_SIZE
        received = await receive_exactly(wire.peer, TOO_MUCH + 8)
        assert received == bytes(TOO_MUCH) + b"pingdata"
        await trio.testing.wait_all_tasks_blocked()
        assert wire.transport.pending == 0


async def test_a_burst_shares_its_records() -> None:
    """What the flusher brings out together is encrypted together."""
    async with open_wire("tls") as wire:
        await clog(wire)
        for frame in numbered(10):
            commit(wire.transport, frame)
        data = await receive_exactly(wire.peer, TOO_MUCH)
        assert data == bytes(TOO_MUCH)
        assert await wire.peer.receive_some(5000) == b"".join(numbered(10))


async def clog(wire: Wire) -> None:
    """Commit more than the peer's kernel takes."""
    commit(wire.transport, bytes(TOO_MUCH))
    await trio.testing.wait_all_tasks_blocked()


async def test_close_gives_the_kernel_what_it_takes() -> None:
    """What is committed and waits for the flusher goes out first, all of it in whole records."""
    async with open_wire("tls") as wire:
        for frame in (b"at once", b"in a burst", b"and the Close"):
            commit(wire.transport, frame)
        await wire.transport.close()
        assert await receive_exactly(wire.peer, 100) == b"at oncein a burstand the Close"


def test_outbox_holds_ciphertext_in_the_order_in_which_it_was_made() -> None:
    """Before it nothing, behind it what was begun, then the rest; the size counts it all."""
    client, _ = handshaken()
    outbox = SealingOutbox(client)
    outbox.hold(b"0123")
    outbox.resume(memoryview(b"begun"))
    outbox.append(b"frame")
    outbox.advance(2)
    outbox.hold(b"4567")
    assert (outbox.size, outbox.sealed_size) == (16, 6)
    assert bytes(outbox.next_chunk()) == b"234567"
    outbox.advance(6)
    assert (outbox.size, outbox.sealed_size) == (10, 0)


@pytest.mark.parametrize("seed", range(5))
async def test_writers_of_all_kinds_mix(seed: int) -> None:
    """Senders who wait, writers who do not, the flusher and a reader: each record is whole."""
    async with open_wire("tls") as wire, trio.open_nursery() as nursery:
        frames = numbered(60, 3001)
        received = bytearray()

        async def send_some(mine: list[bytes]) -> None:
            for frame in mine:
                await send(wire.transport, frame)

        async def commit_some(mine: list[bytes]) -> None:
            for frame in mine:
                commit(wire.transport, frame)
                for _ in range(seed):
                    await trio.lowlevel.checkpoint()

        async def read_peer() -> None:
            while len(received) < 60 * 3001:
                received.extend(await wire.peer.receive_some(5000))

        async def chat() -> None:
            for _ in range(20):
                await wire.peer.send_all(bytes(1000))
                assert await wire.transport.read(1000)

        for begin, write in ((0, send_some), (10, send_some), (20, commit_some), (30, commit_some)):
            nursery.start_soon(write, frames[begin : begin + 10])
        nursery.start_soon(send_some, frames[40:])
        nursery.start_soon(read_peer)
        nursery.start_soon(chat)
        while len(received) < 60 * 3001:
            await trio.testing.wait_all_tasks_blocked()
        pieces = [bytes(received[at : at + 3001]) for at in range(0, len(received), 3001)]
        assert sorted(pieces) == frames
        for begin in (0, 10, 20, 30):
            mine = frames[begin : begin + 10]
            assert [piece for piece in pieces if piece in mine] == mine
        assert wire.transport.write_error is None
        assert not wire.transport.turn_taken


# Failures


async def test_broken_tls_ends_writing_and_hurts_nobody() -> None:
    """After garbage from the peer nothing can be encrypted any more; the next sender is told."""
    async with open_wire("tls") as wire:
        await wire.below.send_all(b"no TLS record at all")
        with pytest.raises(trio.BrokenResourceError) as broken:
            await wire.transport.read(100)
        assert isinstance(broken.value.__cause__, ssl.SSLError)
        commit(wire.transport, b"by the flusher")
        await trio.testing.wait_all_tasks_blocked()
        assert isinstance(wire.transport.write_error, trio.BrokenResourceError)
        assert isinstance(wire.transport.write_error.__cause__, ssl.SSLError)
        assert wire.transport.pending == 0
        assert wire.tasks == 0


async def test_broken_tls_does_not_raise_in_the_sender() -> None:
    """The frame was committed: the next sender hears of it."""
    async with open_wire("tls") as wire:
        await wire.below.send_all(b"no TLS record at all")
        with pytest.raises(trio.BrokenResourceError):
            await wire.transport.read(100)
        await trio.testing.wait_all_tasks_blocked()  # the alert is out
        await send(wire.transport, b"by the sender")
        assert isinstance(wire.transport.write_error, trio.BrokenResourceError)
        assert wire.transport.sealed
        assert not wire.transport.turn_taken


async def test_socket_closed_below_does_not_raise_in_the_sender() -> None:
    """Somebody closed it behind our back: a failed write."""
    async with open_wire("tls") as wire:
        assert isinstance(wire.transport, TLSTransport)
        wire.transport.stream.transport_stream.socket.close()
        await send(wire.transport, b"late")
        assert isinstance(wire.transport.write_error, trio.BrokenResourceError)


async def test_what_is_committed_too_late_is_dropped() -> None:
    """After the close nothing is kept for a flusher, whoever goes on writing."""
    async with open_wire("tls") as wire:
        await wire.transport.close()
        for _ in range(3):
            commit(wire.transport, b"late")
        assert wire.transport.pending == 0
        assert wire.tasks == 0


async def test_what_is_wrong_is_told_to_the_peer() -> None:
    """The alert goes out, if that needs no waiting, before the socket is closed."""
    async with open_wire("tls") as wire:
        await wire.below.send_all(b"no TLS record at all")
        with pytest.raises(trio.BrokenResourceError):
            await wire.transport.read(100)
        await wire.transport.close()
        with pytest.raises(trio.BrokenResourceError) as told:
            await wire.peer.receive_some()
        assert "alert" in str(told.value.__cause__).lower()


# TLS 1.2 that is negotiated anew


@pytest.mark.parametrize("owed", [b"", b"its hello, "])
@pytest.mark.parametrize("size", [8, TOO_MUCH])
async def test_write_waits_for_the_end_of_a_renegotiation(
    owed: bytes, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was committed meanwhile stays plaintext; what TLS has to say goes before it."""
    async with open_wire("tls") as wire:
        assert isinstance(wire.transport, TLSTransport)
        records = wire.transport.stream._records
        monkeypatch.setattr(records, "object", Renegotiation(records, owed))
        commit(wire.transport, bytes(size))
        wire.transport.write_ping(b"ping")
        await trio.testing.wait_all_tasks_blocked()
        assert wire.transport.pending == size + 4
        if owed:
            assert await wire.peer.receive_some(100) == owed
        await wire.peer.send_all(b"the answer")
        assert await wire.transport.read(100) == b"the answer"
        assert await receive_exactly(wire.peer, size + 4) == bytes(size) + b"ping"
        assert wire.transport.write_error is None


async def test_renegotiation_that_does_not_end_is_a_stall(
    autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a peer that takes nothing: the limit is the same."""
    async with open_wire("tls", stall=20) as wire:
        assert isinstance(wire.transport, TLSTransport)
        records = wire.transport.stream._records
        monkeypatch.setattr(records, "object", Renegotiation(records))
        began = trio.current_time()
        commit(wire.transport, b"data")
        await wire.transport.wait_flushed()
        assert trio.current_time() - began == 20
        assert isinstance(wire.transport.write_error, trio.TooSlowError)
        assert wire.tasks == 0


async def test_renegotiation_that_the_close_cuts_short() -> None:
    """Whoever flushes ends with the transport."""
    with pytest.MonkeyPatch.context() as patch:
        async with open_wire("tls") as wire:
            assert isinstance(wire.transport, TLSTransport)
            records = wire.transport.stream._records
            patch.setattr(records, "object", Renegotiation(records))
            commit(wire.transport, b"data")
            await trio.testing.wait_all_tasks_blocked()
            await wire.transport.close()
            await trio.testing.wait_all_tasks_blocked()
            assert wire.tasks == 0
            assert wire.transport.write_error is None


# Reading


async def test_read_returns_nothing_when_the_peer_hangs_up() -> None:
    """Without TLS's own farewell too: the Close frames tell a whole connection from a cut one."""
    async with open_wire("tls") as wire:
        await wire.peer.send_all(b"bye")
        await wire.below.aclose()
        assert await wire.transport.read(100) == b"bye"
        assert await wire.transport.read(100) == b""


async def test_read_finds_what_is_decrypted_already() -> None:
    """One record may be read in parts; the descriptor is not readable meanwhile."""
    async with open_wire("tls") as wire:
        await wire.peer.send_all(b"0123456789")
        assert [await wire.transport.read(4) for _ in range(3)] == [b"0123", b"4567", b"89"]
        assert wire.transport.read_nowait(100) is None


async def test_hangup_fd_is_that_of_the_socket() -> None:
    """While it is open."""
    async with open_wire("tls") as wire:
        assert isinstance(wire.transport, TLSTransport)
        assert (
            wire.transport.hangup_fd()
            == wire.transport.stream.transport_stream.socket.fileno()
            >= 0
        )
        await wire.transport.close()
        assert wire.transport.hangup_fd() is None


async def test_read_in_a_cancelled_scope_takes_nothing() -> None:
    """Although it is shielded where there is something to lose."""
    async with open_wire("tls") as wire:
        await wire.peer.send_all(b"hello")
        with trio.CancelScope() as scope:
            scope.cancel()
            await wire.transport.read(100)
        assert scope.cancelled_caught
        assert await wire.transport.read(100) == b"hello"


async def test_read_can_be_cancelled_while_it_waits(mock_clock: trio.testing.MockClock) -> None:
    """By a scope or by its deadline, again and again; what comes later is not lost."""
    async with open_wire("tls") as wire:
        for _ in range(2):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(wire.transport.read, 100)
                await trio.testing.wait_all_tasks_blocked()
                nursery.cancel_scope.cancel()
        await wire.peer.send_all(b"hello")
        assert await wire.transport.read(100) == b"hello"


@pytest.mark.parametrize("fault", [Fault.CANCEL_BEFORE_STEP, Fault.CANCEL_AFTER_STEP])
async def test_cancelled_read_loses_nothing(fault: Fault) -> None:
    """Wherever it strikes, the bytes are returned or still there."""

    async def scenario(injector: Injector) -> None:
        received = b""
        async with open_wire("tls") as wire:
            await wire.peer.send_all(b"0123456789")
            with injector.armed():
                while len(received) < 10:
                    received += await wire.transport.read(4)
            while len(received) < 10:
                received += await wire.transport.read(4)
        assert received == b"0123456789"

    assert await inject(scenario, fault) >= 1


async def test_read_nowait_finds_what_has_come() -> None:
    """Also what is decrypted already; ``None`` while there is nothing, or half a record."""
    async with open_wire("tls") as wire:
        assert wire.transport.read_nowait(100) is None
        await wire.peer.send_all(b"0123456789")
        assert wire.transport.read_nowait(1) == b"0"
        assert wire.transport.read_nowait(100) == b"123456789"
        assert wire.transport.read_nowait(100) is None


async def test_read_nowait_takes_whole_records_off_the_socket() -> None:
    """Asked for little, it takes much all the same, and the next read does not wait for it."""
    async with open_wire("tls") as wire:
        data = bytes(range(256)) * 64
        await wire.peer.send_all(data)
        assert wire.transport.read_nowait(1) == data[:1]
        received = b""
        while len(received) < len(data) - 1:
            received += await wire.transport.read(1000)
        assert received == data[1:]


async def test_transport_finds_what_came_with_the_opening_handshake() -> None:
    """What the stream has decrypted and nobody asked for is the first that is read."""
    near, far = socket_pair()
    async with trio.open_nursery() as nursery:
        stream, peer = await secured(as_stream(near), as_stream(far))
        await peer.send_all(b"0123456789")
        assert await stream.receive_some(4) == b"0123"
        transport = make_transport(stream, nursery.start_soon, limits=Limits(), timeouts=Timeouts())
        assert await transport.read(100) == b"456789"
        await transport.close()
        await close_forcefully(peer)


class Flood:
    """A peer that has always sent more than was read, in records of one size."""

    def __init__(self, plain: socket.socket, records: Records, size: int) -> None:
        self._socket = plain
        self._records = records
        self._size = size
        self._unsent = b""

    def rise(self) -> None:
        """Send until the kernel takes no more."""
        with suppress(BlockingIOError):
            while True:
                while len(self._unsent) < 20_000:
                    self._unsent += self._records.seal(bytes(self._size))
                sent = self._socket.send(self._unsent, socket.MSG_DONTWAIT)
                self._unsent = self._unsent[sent:]


@pytest.mark.parametrize("size", [1, 16_384])
@pytest.mark.parametrize("reads_before", [0, 1])
async def test_peer_that_never_pauses_does_not_keep_the_others_waiting(
    size: int, reads_before: int
) -> None:
    """Whatever the sizes of its records and of our reads, and the tinier the more often."""
    client, server = handshaken()
    near, far = socket_pair(send_buffer=None)
    stream = TLSStream(as_stream(near), contexts().server, server_side=True, server_hostname=None)
    stream._records = server
    flood = Flood(far, client, size)
    streak = longest = 0

    async def run_besides() -> None:
        nonlocal streak
        while True:
            streak = 0
            await trio.lowlevel.checkpoint()

    with far:
        async with trio.open_nursery() as nursery:
            transport = make_transport(
                stream, nursery.start_soon, limits=Limits(), timeouts=Timeouts()
            )
            assert isinstance(transport, TLSTransport)
            transport._full_reads = reads_before
            nursery.start_soon(run_besides)
            for _ in range(60):
                flood.rise()
                assert await transport.read(16_384)
                streak += 1
                longest = max(longest, streak)
            nursery.cancel_scope.cancel()
            await transport.close()
    assert longest <= (2 if size == 1 else 2 * FULL_READS_PER_YIELD)


async def test_reading_waits_while_the_peer_takes_no_answers() -> None:
    """What TLS owes by itself is bounded too: the peer's questions then wait in the kernel."""
    async with open_wire("tls", max_buffered=1000) as wire:
        await wire.peer.send_all(b"question")
        assert isinstance(wire.transport, TLSTransport)
        wire.transport._queue().hold(bytes(MAX_SEALED + TOO_MUCH))  # as if so much were owed
        wire.transport.flush_soon()
        received: list[bytes | bytearray] = []

        async def read() -> None:
            received.append(await wire.transport.read(100))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(read)
            await trio.testing.wait_all_tasks_blocked()
            assert not received
            await receive_exactly(wire.below, MAX_SEALED + TOO_MUCH)
        assert received == [b"question"]


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("seed", range(3))
async def test_bytes_are_those_of_trios_stream(version: ssl.TLSVersion, seed: int) -> None:
    """Against `trio.SSLStream`: megabytes both ways at once, cut at random, arrive as they were."""
    rng = random.Random(seed)
    outward, inward = rng.randbytes(3_000_000), rng.randbytes(2_000_000)
    near, far = socket_pair(send_buffer=None)
    async with trio.open_nursery() as nursery:
        tls = tls_contexts()
        tls.client.maximum_version = version
        stream, peer = await secured(as_stream(near), as_stream(far), tls=tls)
        assert stream.version() == {"TLSv1_2": "TLSv1.2", "TLSv1_3": "TLSv1.3"}[version.name]
        transport = make_transport(stream, nursery.start_soon, limits=Limits(), timeouts=Timeouts())
        received = bytearray()

        async def read() -> None:
            while len(received) < len(inward):
                received.extend(await transport.read(rng.choice([1, 100, 20_000, 262_144])))

        async def write() -> None:
            for part in cut(outward, rng):
                await send(transport, part)

        async def peer_writes() -> None:
            for part in cut(inward, rng):
                await peer.send_all(part)

        async with trio.open_nursery() as working:
            working.start_soon(read)
            working.start_soon(write)
            working.start_soon(peer_writes)
            assert await receive_exactly(peer, len(outward)) == outward
        assert received == inward
        await transport.close()
        await close_forcefully(peer)


def cut(data: bytes, rng: random.Random) -> Iterator[bytes]:
    """Cut data into parts, most of them small and some large."""
    at = 0
    while at < len(data):
        size = rng.choice([1, 50, 5000, 16_384, 65_537, 900_000])
        yield data[at : at + size]
        at += size


class AskingServer:
    """A TLS server that asks for a certificate in mid-connection, so that reading means answering.

    It asks by TLS 1.3's post-handshake authentication.  A KeyUpdate, which is likelier in life, has
    the same effect on the one who reads, but Python's ssl module cannot send one.
    """

    def __init__(self, plain: socket.socket, context: ssl.SSLContext) -> None:
        plain.setblocking(False)
        self.tls = context.wrap_socket(plain, server_side=True, do_handshake_on_connect=False)

    async def do_handshake(self) -> None:
        """Shake hands."""
        while True:
            try:
                self.tls.do_handshake()
            except ssl.SSLWantReadError:
                await trio.lowlevel.wait_readable(self.tls)
            else:
                return

    def ask(self, data: bytes) -> None:
        """Ask for the certificate and send data behind the question."""
        self.tls.verify_client_post_handshake()
        self.tls.send(data)

    def receive(self) -> bytes:
        """Return what has come."""
        return self.tls.recv(1000)


@asynccontextmanager
async def asking_wire() -> AsyncGenerator[tuple[TLSTransport, AskingServer], None]:
    """Open a transport, a client for once, whose peer may ask it for its certificate."""
    tls = tls_contexts()
    tls.server.verify_mode = ssl.CERT_OPTIONAL
    tls.server.post_handshake_auth = tls.client.post_handshake_auth = True
    near, far = socket_pair()
    server = AskingServer(far, tls.server)
    with server.tls:
        async with as_stream(near) as stream, trio.open_nursery() as nursery:
            async with trio.open_nursery() as shaking:
                shaking.start_soon(server.do_handshake)
                ours = await start_tls(
                    stream,
                    tls.client,
                    server_side=False,
                    server_hostname="localhost",
                )
            transport = make_transport(
                ours, nursery.start_soon, limits=Limits(), timeouts=Timeouts()
            )
            assert isinstance(transport, TLSTransport)
            yield transport, server
            await transport.close()


@pytest.mark.parametrize("cancelled", ["as the question came", "before", "never"])
async def test_read_that_has_to_answer_loses_nothing(
    cancelled: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cancelled between reading and answering, it loses neither bytes read nor its own record."""
    genuine = trio.lowlevel.wait_readable
    scope = trio.CancelScope()

    async def wait_readable(fd: int) -> None:
        await genuine(fd)
        if cancelled == "as the question came":
            scope.cancel()

    received = b""
    async with asking_wire() as (transport, server):
        server.ask(b"data")
        if cancelled == "before":
            scope.cancel()
        with monkeypatch.context() as patch, scope:
            patch.setattr(trio.lowlevel, "wait_readable", wait_readable)
            received += await transport.read(100)
        if not received:
            received += await transport.read(100)
        assert received == b"data"
        assert scope.cancelled_caught == (cancelled == "before")
        await send(transport, b"and on")
        await transport.wait_flushed()
        assert server.receive() == b"and on"
        server.ask(b"again")
        assert await transport.read(100) == b"again"


async def test_read_that_has_to_answer_besides_a_sender() -> None:
    """Both write records; each is whole and in its place."""
    async with asking_wire() as (transport, server):
        received: list[bytes | bytearray] = []

        async def read() -> None:
            received.append(await transport.read(100))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(read)
            await trio.testing.wait_all_tasks_blocked()
            server.ask(b"data")
            frames = numbered(8)
            for frame in frames:
                await send(transport, frame)
        await transport.wait_flushed()
        assert received == [b"data"]
        assert server.receive() + b"".join(iter_all(server)) == b"".join(frames)


def iter_all(server: AskingServer) -> list[bytes]:
    """Return what else has come, record by record."""
    records: list[bytes] = []
    while True:
        try:
            records.append(server.receive())
        except ssl.SSLWantReadError:
            return records


# Opening and closing


@pytest.mark.parametrize("broken", [False, True])
async def test_closed_transport_is_freed(broken: bool) -> None:
    """Transport, stream, records and socket: there is no cycle among them."""
    near, far = socket_pair()
    gc.disable()
    try:
        async with trio.open_nursery() as nursery:
            stream, peer = await secured(as_stream(near), as_stream(far))
            transport = make_transport(
                stream, nursery.start_soon, limits=Limits(), timeouts=Timeouts()
            )
            commit(transport, bytes(TOO_MUCH))
            await trio.testing.wait_all_tasks_blocked()
            if broken:
                await peer.transport_stream.send_all(b"no TLS record at all")
                with pytest.raises(trio.BrokenResourceError):
                    await transport.read(100)
            await transport.close()
            await peer.transport_stream.aclose()
        assert isinstance(stream, TLSStream)
        gone = weakref.ref(stream.transport_stream)
        del transport, stream
        assert gone() is None
    finally:
        gc.enable()


async def test_start_tls_over_a_stream_in_memory() -> None:
    """Whatever the stream below is, there is TLS; the transport is then that for any stream."""
    near, far = bounded_stream_pair(5000)
    limits, timeouts = Limits(), Timeouts(stall=math.inf)
    async with trio.open_nursery() as nursery:
        ours, peer = await secured(near, far)
        assert ours.transport_stream is near
        transport = make_transport(ours, nursery.start_soon, limits=limits, timeouts=timeouts)
        assert type(transport) is StreamTransport
        commit(transport, bytes(TOO_MUCH))
        assert await receive_exactly(peer, TOO_MUCH) == bytes(TOO_MUCH)
        await transport.close()


@pytest.mark.parametrize("over", ["socket", "memory"])
async def test_start_tls_that_fails_leaves_the_stream_open(over: str) -> None:
    """The cause is the SSLError; the caller, who closes the stream, may say more."""
    near: trio.SocketStream | trio.abc.Stream
    far: trio.abc.Stream
    if over == "socket":
        first, second = socket_pair()
        near, far = as_stream(first), as_stream(second)
    else:
        near, far = bounded_stream_pair()
    async with near, far:
        await far.send_all(b"GET / HTTP/1.1\r\n\r\n")
        with pytest.raises(trio.BrokenResourceError) as broken:
            await start_tls(
                near,
                contexts().server,
                server_side=True,
                server_hostname=None,
            )
        assert isinstance(broken.value.__cause__, ssl.SSLError)
        await near.send_all(b"still open")
        assert await receive_exactly(far, 1000 if over == "x" else 10)


async def test_start_tls_that_is_cancelled_leaves_the_stream_open() -> None:
    """Nobody answers, the caller gives up and may close the stream itself."""
    first, second = socket_pair()
    async with as_stream(first) as near, as_stream(second):
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as shaking:

                @shaking.start_soon
                async def cancel_when_all_block() -> None:
                    await trio.testing.wait_all_tasks_blocked()
                    scope.cancel()

                await start_tls(
                    near,
                    contexts().client,
                    server_side=False,
                    server_hostname="localhost",
                )
        assert scope.cancelled_caught
        assert near.socket.fileno() >= 0
