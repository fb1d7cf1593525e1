"""What is promised of connections that end badly, or that are slow: R4 to R7 of the promises."""

import os
import socket
import struct
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Literal
from unittest import mock

import pytest
import trio
import trio.testing

from tests.connections import (
    HANGS,
    Network as RealNetwork,
    open_streams,
    run_until_idle,
    scripted,
)
from tests.faulty_networks import NETWORKS, Network
from tests.helpers import both_roles, other, peer_frame
from tests.injection import StreamAt
from tests.stage import Peer, set_stage
from tests.transports import contexts
from trio_ws import ClosedLocally, ConnectionBroken, ConnectionEnded, WebSocket
from trio_ws._transport import socket as socket_transport, socket_below
from trio_ws.protocol.state import Role
from trio_ws.testing import (
    BoundedStream,
    Opcode,
    ScriptedPeer,
    bounded_stream_pair,
    build_frame,
)

every_network = pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS)
every_tls_network = pytest.mark.parametrize(
    "network",
    [network for network in NETWORKS.values() if network.secure],
    ids=lambda network: network.name,
)

STALL = 20.0  # the default of Timeouts.stall, in seconds
GRACE = 1.0  # for a block that was cancelled


# R4: a forced close never appends to half a frame


async def raise_in_block(_: WebSocket, __: trio.CancelScope) -> None:
    """Leave the block by an exception: what is committed may move for as long as it does."""
    raise KeyError


async def cancel_block(_: WebSocket, scope: trio.CancelScope) -> None:
    """Leave the block by cancellation: there is a second of grace."""
    scope.cancel()
    await trio.lowlevel.checkpoint()


async def cancel_aclose(websocket: WebSocket, scope: trio.CancelScope) -> None:
    """Close under cancellation: there is no waiting."""
    with trio.CancelScope() as inner:
        inner.cancel()
        await websocket.aclose()
    assert inner.cancelled_caught


async def close_forcefully(websocket: WebSocket, _: trio.CancelScope) -> None:
    """Close as Trio's function for the purpose does."""
    await trio.aclose_forcefully(websocket)


Way = Callable[[WebSocket, trio.CancelScope], Awaitable[None]]

WAYS: dict[Way, float] = {
    raise_in_block: STALL,
    cancel_block: GRACE,
    cancel_aclose: 0.0,
    close_forcefully: 0.0,
}


def is_closed(stream: trio.abc.Stream) -> bool:
    """Tell whether our end of a network is closed."""
    if isinstance(stream, StreamAt):
        stream = stream.stream
    if isinstance(stream, trio.SocketStream):
        return stream.socket.fileno() < 0
    assert isinstance(stream, BoundedStream)
    return stream.closed


@pytest.mark.parametrize("way", WAYS)
@both_roles
@every_network
async def test_forced_close_appends_nothing_to_half_a_frame(
    network: Network,
    role: Role,
    way: Way,
    autojump_clock: trio.testing.MockClock,
) -> None:
    """While the peer reads nothing, half a frame is the last it gets; no descriptor stays."""
    async with set_stage(network) as stage:
        reads = trio.Event()
        peer = stage.start_peer(other(role), reads=reads)
        began = trio.current_time()
        try:
            with trio.CancelScope() as scope:
                async with stage.websocket(role) as websocket:
                    await peer.opened.wait()
                    await stage.send(websocket, 0)
                    await run_until_idle()
                    await way(websocket, scope)
        except KeyError:
            assert way is raise_in_block
        assert is_closed(stage.ours)
        assert trio.current_time() - began <= WAYS[way]
        reads.set()
        await peer.done.wait()
        assert peer.frames == []
        # Of a TLS record that was cut off nobody can read anything.
        assert peer.cut != b"" or network.secure
        stage.check(peer, lost=True)


@both_roles
@every_network
async def test_cancelled_block_sends_what_is_committed_to_a_peer_that_reads(
    network: Network, role: Role, autojump_clock: trio.testing.MockClock
) -> None:
    """Half a frame is finished within the grace, and the Close comes behind it."""
    async with set_stage(network) as stage:
        reads = trio.Event()
        peer = stage.start_peer(other(role), reads=reads)
        with trio.CancelScope() as scope:
            async with stage.websocket(role) as websocket:
                await peer.opened.wait()
                await stage.send(websocket, 0)
                stage.nursery.start_soon(set_after, reads, GRACE / 2)
                scope.cancel()
                await trio.lowlevel.checkpoint()
        assert is_closed(stage.ours)
        await peer.done.wait()
        stage.check(peer, 1001)


async def set_after(event: trio.Event, seconds: float) -> None:
    """Set an event later."""
    await trio.sleep(seconds)
    event.set()


@pytest.mark.parametrize("way", [cancel_aclose, close_forcefully])
@both_roles
@every_network
async def test_forced_close_tries_the_close_frame_once(
    network: Network,
    role: Role,
    way: Way,
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Where a socket takes it without waiting, the peer of an idle connection hears of its end."""
    async with set_stage(network) as stage, stage.open(role) as (websocket, peer):
        with trio.CancelScope() as scope:
            await way(websocket, scope)
        assert is_closed(stage.ours)
    # A stream that was handed to us takes nothing without waiting.
    stage.check(peer, 1000, lost=not network.real)


# R5: a reset amid a message


def fragmented(role: Role) -> bytes:
    """Return a message in three frames, as the peer of this role sends it."""
    return (
        peer_frame(role, Opcode.TEXT, "Übermo".encode(), fin=False)
        + peer_frame(role, Opcode.CONTINUATION, b"rgen", fin=False)
        + peer_frame(role, Opcode.CONTINUATION, b"!")
    )


def reset(stream: trio.abc.Stream) -> None:
    """Close the socket below so that the other end gets a reset."""
    below = socket_below(stream)
    assert below is not None
    below.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    below.socket.close()


@pytest.mark.parametrize("present", [True, False], ids=["receiving", "elsewhere"])
@pytest.mark.parametrize("network", ["tcp", "tls"])
@both_roles
async def test_reset_within_a_message_leaves_none_of_it(
    role: Role, network: RealNetwork, present: bool
) -> None:
    """At every byte the connection is broken, with the reason beside it; no part comes out."""
    data = fragmented(role)
    for offset in range(len(data) + 1):
        ends = await open_streams(network)
        ours, theirs = ends if role is Role.CLIENT else ends[::-1]
        async with scripted(role, streams=(ours, theirs)) as (websocket, peer):
            await peer.send_bytes(data[:offset])
            reset(theirs)
            if not present:
                await websocket.wait_closed()
            if offset == len(data):
                assert await websocket.receive() == "Übermorgen!"
            with pytest.raises(ConnectionBroken) as caught:
                await websocket.receive()
            assert caught.value.code == 1006
            assert caught.value.received is None
            assert isinstance(caught.value.__cause__, trio.BrokenResourceError)
            with pytest.raises(ConnectionBroken):
                await websocket.send("too late")


# R6: TLS that was cut off


class Cut(trio.abc.Stream):
    """A stream that takes only so many bytes more, and then none."""

    def __init__(self, below: trio.abc.Stream) -> None:
        self._below = below
        self.left: int | None = None

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        """Receive from the stream below."""
        return await self._below.receive_some(max_bytes)

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Send what may still be sent, and drop the rest."""
        if self.left is not None:
            data = data[: self.left]
            self.left -= len(data)
        await self._below.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        """Wait for the stream below."""
        await self._below.wait_send_all_might_not_block()

    async def aclose(self) -> None:
        """Close the stream below."""
        await self._below.aclose()


Hangup = Literal["close_notify", "end of stream"]


class TLSPeer:
    """A peer over TLS that ends as it is told to."""

    def __init__(self, stream: trio.abc.Stream, role: Role) -> None:
        self.below = Cut(stream)
        server_side = role is Role.SERVER
        self._tls = trio.SSLStream(
            self.below,
            contexts().server if server_side else contexts().client,
            server_hostname="localhost",
            server_side=server_side,
        )
        self.end = ScriptedPeer(self._tls, role.value)

    async def shake_hands(self) -> None:
        """Open the connection."""
        if self.end.role == "server":
            await self.end.server_handshake()
        else:
            await self.end.client_handshake()

    async def hang_up(self, how: Hangup) -> None:
        """End the stream, rightly or by cutting it off."""
        if how == "end of stream":
            await self.below.aclose()
        else:
            await self._tls.aclose()


@asynccontextmanager
async def open_tls(network: Network, role: Role) -> AsyncGenerator[tuple[WebSocket, TLSPeer], None]:
    """Open our end over TLS, and such a peer."""
    async with set_stage(network) as stage:
        peer = TLSPeer(stage.theirs, other(role))
        stage.nursery.start_soon(peer.shake_hands)
        async with stage.websocket(role) as websocket:
            await run_until_idle()
            yield websocket, peer
        await trio.aclose_forcefully(peer.below)


every_hangup = pytest.mark.parametrize("how", ["close_notify", "end of stream"])
HALF = 9  # bytes, of a frame that is longer


@every_hangup
@both_roles
@every_tls_network
async def test_tls_that_ends_within_a_frame_is_broken(
    network: Network, role: Role, how: Hangup, autojump_clock: trio.testing.MockClock
) -> None:
    """The part of a message that came is not delivered, whether TLS says goodbye or not."""
    async with open_tls(network, role) as (websocket, peer):
        await peer.end.send_bytes(peer_frame(role, Opcode.TEXT, b"half a message")[:HALF])
        await peer.hang_up(how)
        with pytest.raises(ConnectionBroken) as caught:
            await websocket.receive()
        assert caught.value.code == 1006


@both_roles
@every_tls_network
async def test_tls_that_ends_within_a_record_is_broken(
    network: Network, role: Role, autojump_clock: trio.testing.MockClock
) -> None:
    """Nothing of a record that was cut off is delivered; what came before it is."""
    async with open_tls(network, role) as (websocket, peer):
        await peer.end.send_frame(Opcode.TEXT, b"whole")
        peer.below.left = HALF
        await peer.end.send_frame(Opcode.TEXT, b"cut off")
        await peer.hang_up("end of stream")
        assert await websocket.receive() == "whole"
        with pytest.raises(ConnectionBroken) as caught:
            await websocket.receive()
        assert caught.value.code == 1006


@every_hangup
@both_roles
@every_tls_network
async def test_tls_that_ends_between_frames_is_broken(
    network: Network, role: Role, how: Hangup, autojump_clock: trio.testing.MockClock
) -> None:
    """A message that came whole is delivered; that TLS says goodbye replaces no Close frame."""
    async with open_tls(network, role) as (websocket, peer):
        await peer.end.send_frame(Opcode.TEXT, b"whole")
        await peer.hang_up(how)
        assert await websocket.receive() == "whole"
        with pytest.raises(ConnectionBroken) as caught:
            await websocket.receive()
        assert caught.value.code == 1006


@every_hangup
@both_roles
@every_tls_network
async def test_tls_that_ends_instead_of_the_close_is_not_clean(
    network: Network, role: Role, how: Hangup, autojump_clock: trio.testing.MockClock
) -> None:
    """Our Close was sent and none came back: closing ends, and says 1006."""
    async with open_tls(network, role) as (websocket, peer):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(websocket.aclose)
            frame = await peer.end.receive_frame()
            assert frame is not None
            assert frame.close_code == 1000
            await peer.hang_up(how)
        with pytest.raises(ClosedLocally) as caught:
            await websocket.receive()
        assert caught.value.code == 1006
        assert not caught.value.clean


@every_hangup
@both_roles
@every_tls_network
async def test_tls_that_ends_after_both_closes_is_clean(
    network: Network, role: Role, how: Hangup, autojump_clock: trio.testing.MockClock
) -> None:
    """Once both Close frames were seen, it does not matter how the stream ends."""
    async with open_tls(network, role) as (websocket, peer):
        await peer.end.close_frame(1001, "going")
        with pytest.raises(ConnectionEnded) as caught:
            await websocket.receive()
        assert caught.value.clean
        assert (caught.value.code, caught.value.reason) == (1001, "going")
        frame = await peer.end.receive_frame()
        assert frame is not None
        assert frame.close_code == 1001
        await peer.hang_up(how)


# R7: partial writes


class ShortWrites:
    """Stands in for ``os`` where a socket is written: each call takes only so many bytes."""

    def __init__(self, most: int) -> None:
        self._most = most

    read = staticmethod(os.read)

    def write(self, fd: int, data: bytes | memoryview) -> int:
        """Write some of it."""
        return os.write(fd, data[: self._most])

    def writev(self, fd: int, parts: tuple[bytes, ...]) -> int:
        """Write some of them."""
        return self.write(fd, b"".join(parts))


async def converse(websocket: WebSocket, peer: Peer) -> None:
    """Send one of everything, each when what came before it has arrived: nothing overtakes."""
    messages = 0
    for message in "", "short", b"\0" * 125, "é" * 63, b"\xff" * 70_000:
        await websocket.send(message)
        messages += 1
        await peer.wait_messages(messages)
    async with websocket.send_stream(text=False) as sender:
        for part in b"one", b"", b"two" * 1000:
            await sender.send(part)
    await peer.wait_messages(messages + 1)
    await websocket.ping(b"ping")
    await websocket.pong(b"pong")
    await websocket.aclose(3000, "that was all")


async def bytes_sent(role: Role, network: Network, most: int | None) -> bytes:
    """Return what our end sends in `converse`, without masks, when writes take so few bytes."""
    async with set_stage(network) as stage:
        if not network.real:
            stage.ours, stage.theirs = bounded_stream_pair(max_write=most)
        with mock.patch.object(socket_transport, "os", ShortWrites(most) if most else os):
            async with stage.open(role) as (websocket, peer):
                await converse(websocket, peer)
    assert peer.cut == b""
    return b"".join(
        build_frame(frame.opcode, frame.payload, fin=frame.fin) for frame in peer.frames
    )


@pytest.mark.parametrize("most", [1, 7, 1460])
@both_roles
@every_network
async def test_partial_writes_change_no_byte(
    network: Network, role: Role, most: int, autojump_clock: trio.testing.MockClock
) -> None:
    """However little a write takes, the bytes are those of a run in which it takes all.

    Masks are random, so they are taken out; all else in a frame follows from what is compared,
    for the peer accepts no length but the shortest and no reserved bit.
    """
    assert await bytes_sent(role, network, most) == await bytes_sent(role, network, None)


# What the matrix of the cancellation tests has brought to light


@every_network
async def test_ping_does_not_overtake_the_answer_to_the_handshake(
    network: Network, autojump_clock: trio.testing.MockClock
) -> None:
    """A ping goes ahead of what waits, but not ahead of the head of our response."""
    async with set_stage(network) as stage:
        peer = stage.start_peer(Role.CLIENT)
        async with stage.websocket(Role.SERVER) as websocket:
            websocket.send_nowait("message")
            with trio.fail_after(HANGS):
                await websocket.ping()
        await peer.done.wait()
        assert [frame.opcode for frame in peer.frames][-1] == Opcode.CLOSE
        assert peer.messages == ["message"]
