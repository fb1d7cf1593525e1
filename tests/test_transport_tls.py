"""TLS: records never torn, one task at a time in the SSLStream, nothing lost on cancellation."""

import gc
import math
import socket
import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing

from tests.injection import Fault, Injector, inject
from tests.transports import (
    TOO_MUCH,
    Wire,
    as_stream,
    commit,
    contexts,
    numbered,
    open_wire,
    receive_exactly,
    secured,
    send,
    socket_pair,
)
from trio_ws._options import Limits, Timeouts
from trio_ws._transport import make_transport, start_tls
from trio_ws._transport.outbox import CHUNK_SIZE
from trio_ws._transport.socket import SocketTransport
from trio_ws._transport.stream import StreamTransport
from trio_ws._transport.tls import MAX_CHUNKS_PER_SEND, NeverBlockingStream, TLSTransport
from trio_ws.testing import bounded_stream_pair, tls_contexts


def below(wire: Wire) -> NeverBlockingStream:
    """Return the stream below our TLS."""
    assert isinstance(wire.transport, TLSTransport)
    return wire.transport.stream.transport_stream


@asynccontextmanager
async def never_blocking_stream(
    max_buffered: int = 1000,
) -> AsyncGenerator[tuple[NeverBlockingStream, trio.SocketStream], None]:
    """Open such a stream and a peer that does not read by itself."""
    near, far = socket_pair()
    limits = Limits(max_buffered_bytes=max_buffered)
    async with trio.open_nursery() as nursery, as_stream(far) as peer:
        transport = SocketTransport(as_stream(near), nursery.start_soon, limits, Timeouts())
        async with NeverBlockingStream(transport, limits) as stream:
            yield stream, peer


# The stream below


async def test_stream_below_is_an_ordinary_one_at_first() -> None:
    """Until a transport serves it, ``send_all`` waits for the peer: nobody else limits it."""
    async with never_blocking_stream() as (stream, peer):
        sent = trio.Event()

        async def send_much() -> None:
            await stream.send_all(bytes(TOO_MUCH))
            sent.set()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(send_much)
            await trio.testing.wait_all_tasks_blocked()
            assert not sent.is_set()
            assert await receive_exactly(peer, TOO_MUCH) == bytes(TOO_MUCH)
        assert sent.is_set()


async def test_stream_below_never_blocks_once_it_is_served() -> None:
    """It takes whatever it is given, of any kind of bytes; what the kernel does not take waits."""
    async with never_blocking_stream() as (stream, peer):
        stream.served = True
        for data in (bytes(TOO_MUCH), bytearray(b"hello"), memoryview(b"world")):
            await stream.send_all(data)
        await stream.wait_send_all_might_not_block()
        assert stream.socket.pending > TOO_MUCH // 2
        assert (await receive_exactly(peer, TOO_MUCH + 10))[TOO_MUCH:] == b"helloworld"


async def test_stream_below_never_fails_to_send() -> None:
    """A failed write is noted; what the peer had sent before can still be read."""
    async with never_blocking_stream() as (stream, peer):
        await peer.send_all(b"last words")
        peer.socket.shutdown(socket.SHUT_RD)
        for _ in range(2):
            await stream.send_all(b"never")
        assert isinstance(stream.socket.write_error, trio.BrokenResourceError)
        assert await stream.receive_some(4) == b"last"
        assert await stream.receive_some() == b" words"


async def test_stream_below_reads_on_only_while_the_peer_takes_answers() -> None:
    """What TLS owes by itself is bounded too: the peer's questions then wait in the kernel."""
    async with never_blocking_stream(max_buffered=1000) as (stream, peer):
        stream.served = True
        await peer.send_all(b"question")
        await stream.send_all(bytes(2 * CHUNK_SIZE))
        assert await stream.receive_some(1) == b"q"
        await stream.send_all(bytes(TOO_MUCH))
        answered = 2 * CHUNK_SIZE + TOO_MUCH
        received: list[bytes] = []

        async def read() -> None:
            received.append(await stream.receive_some())

        async with trio.open_nursery() as nursery:
            nursery.start_soon(read)
            await trio.testing.wait_all_tasks_blocked()
            assert not received
            await receive_exactly(peer, answered)
        assert received == [b"uestion"]


# Sending


async def test_settle_brings_out_in_the_senders_task() -> None:
    """A frame is with the kernel when `settle` returns, and no task was started for it."""
    async with open_wire("tls") as wire:
        wire.transport.write(b"hello")
        assert wire.transport.pending == 5
        await wire.transport.settle()
        assert wire.tasks == 0
        assert wire.transport.pending == 0
        assert await wire.peer.receive_some() == b"hello"


async def test_settle_of_nothing_is_over_at_once() -> None:
    """Nothing to bring out: nobody has to wait, and no task is started."""
    async with open_wire("tls") as wire:
        await wire.transport.settle()
        assert wire.tasks == 0


async def test_settle_leaves_the_rest_to_the_flusher(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sender works for others too, but not for long."""
    async with open_wire("tls", max_buffered=100 * CHUNK_SIZE) as wire:
        for _ in range(MAX_CHUNKS_PER_SEND + 3):
            wire.transport.write(bytes(CHUNK_SIZE))
        await wire.transport.settle()
        taken = (MAX_CHUNKS_PER_SEND + 3) * CHUNK_SIZE
        assert wire.transport.pending - below(wire).socket.pending == 3 * CHUNK_SIZE
        assert wire.tasks == 2
        assert await receive_exactly(wire.peer, taken) == bytes(taken)


async def test_settle_stops_where_the_socket_is_full() -> None:
    """What is encrypted can no longer be overtaken, so the rest is not encrypted yet."""
    async with open_wire("tls") as wire:
        wire.transport.write(bytes(TOO_MUCH))
        await wire.transport.settle()
        assert below(wire).socket.full
        assert below(wire).socket.pending < 2 * CHUNK_SIZE
        assert wire.transport.pending > TOO_MUCH - CHUNK_SIZE
        await wire.transport.settle()
        assert below(wire).socket.pending < 2 * CHUNK_SIZE
        assert await receive_exactly(wire.peer, TOO_MUCH) == bytes(TOO_MUCH)


async def test_settle_besides_another_sender_leaves_it_to_that_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One task at a time is in the SSLStream; a frame that comes meanwhile goes out too."""
    async with open_wire("tls") as wire:
        genuine = NeverBlockingStream.send_all
        later = [b"second", b"third"]

        async def send_all(self: NeverBlockingStream, data: bytes | bytearray | memoryview) -> None:
            if later:
                commit(wire.transport, later.pop(0))
                await wire.transport.settle()
                assert not wire.transport._flushing
            await genuine(self, data)

        monkeypatch.setattr(NeverBlockingStream, "send_all", send_all)
        wire.transport.write(b"first")
        await wire.transport.settle()
        assert not wire.transport._flushing
        assert await receive_exactly(wire.peer, 16) == b"firstsecondthird"
        assert wire.transport.write_error is None


async def test_flusher_lets_a_sender_finish_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Called in while a sender is in the SSLStream, it waits for some scheduler passes."""
    async with open_wire("tls") as wire:
        genuine = NeverBlockingStream.send_all
        in_stream = 0

        async def send_all(self: NeverBlockingStream, data: bytes | bytearray | memoryview) -> None:
            nonlocal in_stream
            in_stream += 1
            assert in_stream == 1
            for _ in range(5):
                await trio.lowlevel.cancel_shielded_checkpoint()
            await genuine(self, data)
            in_stream -= 1

        commit(wire.transport, b"first")  # by the flusher, which has not run yet
        monkeypatch.setattr(NeverBlockingStream, "send_all", send_all)
        wire.transport.write(b"second")
        await wire.transport.settle()
        assert await receive_exactly(wire.peer, 11) == b"firstsecond"
        await trio.testing.wait_all_tasks_blocked()
        assert wire.tasks == 0


@pytest.mark.parametrize("seed", range(5))
async def test_writers_of_all_kinds_mix(seed: int) -> None:
    """Senders who settle, writers who do not, the flusher and a reader: each record is whole."""
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


async def test_wait_flushed_while_another_sender_brings_out() -> None:
    """What is waited for goes from one buffer to the other meanwhile, and nobody is forgotten."""
    async with open_wire("tls", max_buffered=100) as wire:
        wire.transport.write(bytes(CHUNK_SIZE))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(wire.transport.settle)
            nursery.start_soon(wire.transport.wait_flushed)
            await trio.testing.wait_all_tasks_blocked()
            assert len(nursery.child_tasks) == 1
            assert wire.transport.pending == below(wire).socket.pending > 100
            await receive_exactly(wire.peer, CHUNK_SIZE)
        assert wire.transport.pending == 0


async def test_wait_room_is_released_though_all_is_with_the_socket() -> None:
    """Sealing reaches also those who wait for the socket's buffer alone."""
    async with open_wire("tls", max_buffered=100) as wire:
        wire.transport.write(bytes(CHUNK_SIZE))
        await wire.transport.settle()
        assert wire.transport.pending == below(wire).socket.pending > 100
        async with trio.open_nursery() as nursery:
            nursery.start_soon(wire.transport.wait_room)
            await trio.testing.wait_all_tasks_blocked()
            wire.transport.seal()


async def test_settle_is_protected_from_ctrl_c(monkeypatch: pytest.MonkeyPatch) -> None:
    """KeyboardInterrupt tears no record."""
    async with open_wire("tls") as wire:
        protected: list[bool] = []
        genuine = NeverBlockingStream.send_all

        async def send_all(self: NeverBlockingStream, data: bytes | bytearray | memoryview) -> None:
            protected.append(trio.lowlevel.currently_ki_protected())
            await genuine(self, data)

        monkeypatch.setattr(NeverBlockingStream, "send_all", send_all)
        wire.transport.write(b"hello")
        await wire.transport.settle()
        assert protected == [True]


# Failures


async def test_broken_tls_ends_writing_and_hurts_nobody() -> None:
    """After garbage from the peer its SSLStream cannot be used; senders and flusher are told."""
    async with open_wire("tls") as wire:
        await wire.below.send_all(b"no TLS record at all")
        with pytest.raises(trio.BrokenResourceError) as broken:
            await wire.transport.read(100)
        assert isinstance(broken.value.__cause__, ssl.SSLError)
        commit(wire.transport, b"by the flusher")
        await trio.testing.wait_all_tasks_blocked()
        assert isinstance(wire.transport.write_error, trio.BrokenResourceError)
        assert str(wire.transport.write_error) == "TLS broke: BrokenResourceError()"
        assert wire.transport.pending == 0
        assert wire.tasks == 0


async def test_broken_tls_does_not_raise_in_the_sender() -> None:
    """The frame was committed: the next sender hears of it."""
    async with open_wire("tls") as wire:
        await wire.below.send_all(b"no TLS record at all")
        with pytest.raises(trio.BrokenResourceError):
            await wire.transport.read(100)
        await send(wire.transport, b"by the sender")
        assert isinstance(wire.transport.write_error, trio.BrokenResourceError)
        assert wire.transport.sealed
        assert not wire.transport.turn_taken


async def test_stream_closed_below_does_not_raise_in_the_sender() -> None:
    """Somebody closed it behind our back: a failed write."""
    async with open_wire("tls") as wire:
        await wire.transport.stream.aclose()
        await send(wire.transport, b"late")
        assert isinstance(wire.transport.write_error, trio.BrokenResourceError)


async def test_failure_of_the_socket_is_the_transports() -> None:
    """Whether it was noticed before the transport was made or after."""
    async with open_wire("tls") as wire:
        assert isinstance(wire.below, trio.SocketStream)
        wire.below.socket.shutdown(socket.SHUT_RD)
        await send(wire.transport, b"never")
        error = below(wire).socket.write_error
        assert error is not None
        assert wire.transport.write_error is error
        limits = Limits(max_buffered_bytes=1)
        again = make_transport(
            wire.transport.stream, wire.nursery.start_soon, limits=limits, timeouts=Timeouts()
        )
        assert again.write_error is error
        assert again.sealed
        commit(again, b"never")
        await again.wait_room()
        again.release()


async def test_failure_while_a_chunk_is_encrypted(monkeypatch: pytest.MonkeyPatch) -> None:
    """The socket fails while a sender is in the SSLStream: the rest is dropped, nothing raised."""
    async with open_wire("tls", max_buffered=100 * CHUNK_SIZE) as wire:
        genuine = NeverBlockingStream.send_all

        async def send_all(self: NeverBlockingStream, data: bytes | bytearray | memoryview) -> None:
            await genuine(self, data)
            self.socket.fail_writing(trio.BrokenResourceError("just now"))

        monkeypatch.setattr(NeverBlockingStream, "send_all", send_all)
        wire.transport.write(bytes(3 * CHUNK_SIZE))
        await wire.transport.settle()
        await trio.testing.wait_all_tasks_blocked()
        assert str(wire.transport.write_error) == "just now"
        assert wire.transport.pending == 0
        assert wire.tasks == 0


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
        assert wire.transport.hangup_fd() == below(wire).socket.stream.socket.fileno() >= 0
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

    assert await inject(scenario, fault) >= 3


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
                    nursery.start_soon,
                    server_side=False,
                    server_hostname="localhost",
                    limits=Limits(),
                    timeouts=Timeouts(),
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
    """Both write records; each is whole, and the SSLStream is nobody's alone."""
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


async def test_read_that_waits_to_answer_cannot_be_cancelled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It has taken the bytes; that a sender is before it takes some scheduler passes at most."""
    genuine = NeverBlockingStream.send_all
    go_on = trio.Event()

    async def send_all(self: NeverBlockingStream, data: bytes | bytearray | memoryview) -> None:
        await go_on.wait()
        await genuine(self, data)

    async with asking_wire() as (transport, server), trio.open_nursery() as nursery:
        server.tls.send(b"first")
        server.ask(b"data")
        assert await transport.read(100) == b"first"
        received: list[bytes | bytearray] = []
        scope = trio.CancelScope()

        async def read() -> None:
            with scope:
                received.append(await transport.read(100))

        monkeypatch.setattr(NeverBlockingStream, "send_all", send_all)
        nursery.start_soon(send, transport, b"sender")
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(read)
        await trio.testing.wait_all_tasks_blocked()
        scope.cancel()
        await trio.testing.wait_all_tasks_blocked()
        before = list(received)
        go_on.set()
        await trio.testing.wait_all_tasks_blocked()
        assert (before, received) == ([], [b"data"])
        assert server.receive() == b"sender"
        await send(transport, b"and on")
        await transport.wait_flushed()
        assert server.receive() == b"and on"


def iter_all(server: AskingServer) -> list[bytes]:
    """Return what else has come, record by record."""
    records: list[bytes] = []
    while True:
        try:
            records.append(server.receive())
        except ssl.SSLWantReadError:
            return records


# Opening and closing


async def test_closed_transport_is_freed_but_for_the_stream() -> None:
    """Trio's SSLStream is a cycle by itself; nothing of ours hangs on it."""
    async with open_wire("tls") as wire:
        commit(wire.transport, bytes(TOO_MUCH))
        await trio.testing.wait_all_tasks_blocked()
        await wire.transport.close()
        await trio.testing.wait_all_tasks_blocked()
        assert wire.transport not in gc.get_referents(below(wire).socket)


async def test_start_tls_over_a_stream_in_memory() -> None:
    """Whatever the stream below is, there is TLS; the transport is then that for any stream."""
    near, far = bounded_stream_pair(5000)
    limits, timeouts = Limits(), Timeouts(stall=math.inf)
    async with trio.open_nursery() as nursery:
        ours, peer = await secured(near, far, nursery)
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
    async with near, far, trio.open_nursery() as nursery:
        await far.send_all(b"GET / HTTP/1.1\r\n\r\n")
        with pytest.raises(trio.BrokenResourceError) as broken:
            await start_tls(
                near,
                contexts().server,
                nursery.start_soon,
                server_side=True,
                server_hostname=None,
                limits=Limits(),
                timeouts=Timeouts(),
            )
        assert isinstance(broken.value.__cause__, ssl.SSLError)
        await near.send_all(b"still open")
        assert await receive_exactly(far, 1000 if over == "x" else 10)


async def test_start_tls_that_is_cancelled_leaves_the_stream_open() -> None:
    """Nobody answers, the caller gives up and may close the stream itself."""
    first, second = socket_pair()
    async with as_stream(first) as near, as_stream(second), trio.open_nursery() as nursery:
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as shaking:

                @shaking.start_soon
                async def cancel_when_all_block() -> None:
                    await trio.testing.wait_all_tasks_blocked()
                    scope.cancel()

                await start_tls(
                    near,
                    contexts().client,
                    nursery.start_soon,
                    server_side=False,
                    server_hostname="localhost",
                    limits=Limits(),
                    timeouts=Timeouts(),
                )
        assert scope.cancelled_caught
        assert near.socket.fileno() >= 0
