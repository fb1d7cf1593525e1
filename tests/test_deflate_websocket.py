"""Compression from end to end: the option, what is agreed on, streams, bombs, cancellation."""

import functools
import random
import zlib

import pytest
import trio
import trio.testing

from tests.connections import NO_KEEPALIVE, Network, pair_over, real_networks
from tests.faulty_networks import NETWORKS
from tests.injection import Fault, Injector, inject
from trio_ws import (
    ConnectionBroken,
    Deflate,
    WebSocket,
    wrap_client_stream,
    wrap_server_stream,
)
from trio_ws._options import Compression
from trio_ws.testing import Opcode, ScriptedPeer, bounded_stream_pair

ALL = Deflate(threshold=0)
MIB = 1024 * 1024


@pytest.mark.parametrize("client", [None, "deflate", Deflate(context_takeover=False)])
@pytest.mark.parametrize("server", [None, "deflate", Deflate(peer_window_bits=9)])
async def test_compression_is_used_where_both_want_it(
    client: Compression, server: Compression, autojump_clock: trio.testing.MockClock
) -> None:
    """Messages arrive either way; the WebSockets tell what was agreed on."""
    async with pair_over(
        "memory", client={"compression": client}, server={"compression": server}
    ) as (ours, theirs):
        assert (ours.compression is None) is (client is None or server is None)
        assert (ours.compression is None) is (theirs.compression is None)
        for message in ("text é" * 100, b"bytes" * 100, "", b"x"):
            await ours.send(message)
            assert await theirs.receive() == message
            await theirs.send(message)
            assert await ours.receive() == message
        small = ours.statistics().bytes_sent < 1000
        assert small is (ours.compression is not None)


async def test_compression_tells_what_holds(autojump_clock: trio.testing.MockClock) -> None:
    """Of the wishes what they came to, as each end sees it; the rest is as it was asked for."""
    async with pair_over(
        client={"compression": Deflate(level=9, context_takeover=False)},
        server={"compression": Deflate(threshold=1, peer_window_bits=10)},
    ) as (client, server):
        assert client.compression == Deflate(
            level=9, window_bits=10, context_takeover=False, peer_window_bits=15
        )
        assert server.compression == Deflate(
            threshold=1, peer_window_bits=10, peer_context_takeover=False
        )
        with pytest.raises(AttributeError):
            client.compression = None  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]


async def test_wrong_options_are_refused_at_once() -> None:
    """Before anything is connected, and the stream is closed."""
    ours, theirs = bounded_stream_pair()
    with pytest.raises(ValueError, match="compression must be"):
        async with wrap_client_stream(ours, "ws://localhost/", compression="gzip"):  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
            pass  # pragma: no cover - this is what must not happen
    with pytest.raises(TypeError, match="compression must be"):
        async with wrap_server_stream(theirs, compression=True):  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
            pass  # pragma: no cover - this is what must not happen


@real_networks
async def test_large_messages_go_both_ways_at_once(network: Network) -> None:
    """In one frame and in fragments, received whole and in pieces, with others in between."""
    chance = random.Random(5)
    text = "".join(chance.choices("abcdefgh ", k=300_000))

    async def send(websocket: WebSocket) -> None:
        await websocket.send(text)
        async with websocket.send_stream(text=True) as stream:
            for start in range(0, len(text), 50_000):
                await stream.send(text[start : start + 50_000])
        await websocket.send("done")

    async def receive(websocket: WebSocket) -> None:
        assert await websocket.receive() == text
        async with websocket.receive_stream() as stream:
            assert "".join([str(piece) async for piece in stream]) == text
        assert await websocket.receive() == "done"

    async with (
        pair_over(
            network,
            client={"compression": "deflate"},
            server={"compression": "deflate"},
        ) as both,
        trio.open_nursery() as nursery,
    ):
        for websocket in both:
            nursery.start_soon(send, websocket)
            nursery.start_soon(receive, websocket)
    assert all(websocket.statistics().bytes_sent < len(text) for websocket in both)


# Bombs


def bomb(size: int) -> bytes:
    """Return the payload of a message of so many zeros."""
    stream = zlib.compressobj(9, zlib.DEFLATED, -15)
    return (stream.compress(bytes(size)) + stream.flush(zlib.Z_SYNC_FLUSH))[:-4]


async def send_bomb(stream: trio.abc.Stream, size: int, *, behind: str) -> None:
    """Be a server that answers with a bomb, and with a message behind it."""
    peer = ScriptedPeer(stream, "server")
    await peer.server_handshake(headers=[("Sec-WebSocket-Extensions", "permessage-deflate")])
    await peer.send_frame(Opcode.BINARY, bomb(size), rsv=4)
    await peer.send_frame(Opcode.TEXT, behind.encode())
    while await stream.receive_some(1000):
        pass


@pytest.mark.parametrize("wanted", [True, False], ids=["receive", "away"])
async def test_message_too_large_is_told_before_it_is_inflated(
    wanted: bool, autojump_clock: trio.testing.MockClock
) -> None:
    """Whoever waits for it, or comes later, hears of 1009."""
    ours, theirs = bounded_stream_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(functools.partial(send_bomb, theirs, 16 * MIB, behind=""))
        async with wrap_client_stream(ours, "ws://localhost/", compression=ALL) as websocket:
            if not wanted:
                await trio.sleep(5)
            with pytest.raises(ConnectionBroken) as caught:
                await websocket.receive()
            assert caught.value.sent is not None
            assert caught.value.sent.code == 1009


@pytest.mark.parametrize("away", [True, False])
async def test_huge_message_can_be_streamed(
    away: bool, autojump_clock: trio.testing.MockClock
) -> None:
    """In pieces of some size, the others having their turns; the inbox never holds much of it."""
    ours, theirs = bounded_stream_pair()
    turns = 0

    async def take_turns() -> None:
        nonlocal turns
        while True:
            await trio.lowlevel.checkpoint()
            turns += 1

    async with trio.open_nursery() as nursery:
        nursery.start_soon(functools.partial(send_bomb, theirs, 16 * MIB, behind="behind"))
        async with wrap_client_stream(ours, "ws://localhost/", compression=ALL) as websocket:
            if away:
                await trio.sleep(5)
            async with websocket.receive_stream() as stream, trio.open_nursery() as others:
                others.start_soon(take_turns)
                size = 0
                async for piece in stream:
                    assert isinstance(piece, bytes)
                    assert len(piece) <= (64 * 1024 if size else MIB)
                    size += len(piece)
                    assert websocket.statistics().queued_messages <= 16
                others.cancel_scope.cancel()
            assert size == 16 * MIB
            assert turns > 50
            assert await websocket.receive() == "behind"


# Cancellation


# Nothing is read here by the task under fire.
CANCELS = [fault for fault in Fault if fault.value[0] == "cancel" and fault.value[2] != "read"]


@pytest.mark.parametrize("fault", CANCELS, ids=lambda fault: fault.name)
@pytest.mark.parametrize("network", ["memory", "socket"])
def test_cancelled_send_leaves_the_context_as_it_was(network: str, fault: Fault) -> None:
    """R2: at whatever point, the messages after it refer to nothing that was not sent."""
    kind = NETWORKS[network]
    chance = random.Random(1)
    text = "".join(chance.choices("abcdefghijklmnopqrstuvwxyz", k=kind.size))

    async def listen(stream: trio.abc.Stream, heard: list[str | bytes]) -> None:
        async with wrap_server_stream(stream, compression=ALL, keepalive=NO_KEEPALIVE) as websocket:
            heard += [message async for message in websocket]

    async def scenario(injector: Injector) -> None:
        sent, heard = list[str]([]), list[str | bytes]([])
        with kind.open(injector) as (ours, theirs):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(listen, theirs, heard)
                async with wrap_client_stream(
                    ours,
                    "ws://localhost/",
                    compression=ALL,
                    limits=kind.limits,
                    keepalive=NO_KEEPALIVE,
                ) as websocket:
                    with injector.armed():
                        for number in range(4):
                            await websocket.send(f"{number}{text}")
                            sent.append(f"{number}{text}")
                    await websocket.send(text)
                    sent.append(text)
        assert heard == sent

    run = functools.partial(inject, scenario, fault, seconds=25)
    assert trio.run(run, clock=trio.testing.MockClock(autojump_threshold=0)) > 0
