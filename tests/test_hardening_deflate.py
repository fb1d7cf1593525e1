"""Attacks on permessage-deflate over real sockets, beside somebody innocent: H9, F1, F11 to F13."""

import zlib
from contextlib import suppress
from unittest.mock import patch

import pytest
import trio

from tests.attacks import read_to_the_end, under_attack
from tests.clients import LOOPBACK, listening
from tests.helpers import peer_frame
from tests.memory import measured
from trio_ws import (
    ConnectionClosed,
    Deflate,
    HandshakeError,
    Limits,
    WebSocket,
    open_websocket_url,
)
from trio_ws.protocol.state import Role
from trio_ws.testing import Opcode, ScriptedPeer, upgrade_request, upgrade_response
from trio_ws.testing._upgrade import SAMPLE_KEY

KIB = 1024
MIB = 1024 * KIB
TEXT, BINARY, CONTINUATION, PING, PONG = (
    Opcode.TEXT,
    Opcode.BINARY,
    Opcode.CONTINUATION,
    Opcode.PING,
    Opcode.PONG,
)
RSV1 = 4
PMD = "permessage-deflate"

# H9: what a client may offer

OFFERS: list[tuple[str, str | None]] = [
    # the offer, and the answer: None for no extension, "400" for no WebSocket
    (PMD, PMD),
    (f"{PMD}; client_max_window_bits", f"{PMD}; client_max_window_bits=12"),
    (f"{PMD}; client_max_window_bits=15", f"{PMD}; client_max_window_bits=12"),
    (f"{PMD}; client_max_window_bits=10", f"{PMD}; client_max_window_bits=10"),
    (f'{PMD}; client_max_window_bits="10"', f"{PMD}; client_max_window_bits=10"),
    (f"{PMD}; client_max_window_bits=8", f"{PMD}; client_max_window_bits=8"),
    (f"{PMD}; client_max_window_bits=7", None),
    (f"{PMD}; client_max_window_bits=16", None),
    (f"{PMD}; client_max_window_bits=010", None),
    (f"{PMD}; client_max_window_bits=abc", None),
    (f"{PMD}; client_max_window_bits=-9", None),
    (f"{PMD}; client_max_window_bits={'9' * 1000}", None),
    (f"{PMD}; server_max_window_bits=10", f"{PMD}; server_max_window_bits=10"),
    (f"{PMD}; server_max_window_bits=15", f"{PMD}; server_max_window_bits=12"),
    (f"{PMD}; server_max_window_bits=8", None),
    (f"{PMD}; server_max_window_bits", None),
    (f"{PMD}; server_max_window_bits=0", None),
    (f"{PMD}; server_no_context_takeover", f"{PMD}; server_no_context_takeover"),
    (f"{PMD}; client_no_context_takeover", f"{PMD}; client_no_context_takeover"),
    (f"{PMD}; client_no_context_takeover=1", None),
    (f"{PMD}; server_no_context_takeoverXX", None),
    (f"{PMD}; unknown", None),
    (f"{PMD}; unknown=1", None),
    (f"{PMD}; client_max_window_bits=10; client_max_window_bits=10", None),
    (f"{PMD}; server_no_context_takeover; server_no_context_takeover", None),
    (f"{PMD}; unknown, {PMD}; server_max_window_bits=11", f"{PMD}; server_max_window_bits=11"),
    (f"{PMD}; server_no_context_takeover; unknown, {PMD}", PMD),
    (f'foo; bar="a, {PMD}"', "400"),
    (f'foo; bar="a", {PMD}', PMD),
    ("x-webkit-deflate-frame", None),
    (f"foo, bar; baz=1, {PMD}", PMD),
    (f"{PMD},", PMD),
    (f"{PMD};", "400"),
    (";;=,", "400"),
    (f"{PMD}; =10", "400"),
    (f'{PMD}; client_max_window_bits="', "400"),
    (f"{PMD}," * 700, PMD),
    ("," * 12_000, None),
    (f"{PMD}; " + "x; " * 3000 + "x", None),
]


@pytest.mark.parametrize(("offer", "answer"), OFFERS, ids=[row[0][:60] for row in OFFERS])
async def test_h9_offer(offer: str, answer: str | None) -> None:
    """What is right is agreed on, what is not is declined, what has no grammar is refused."""
    async with under_attack(compression="deflate") as site, await site.attacker() as peer:
        await peer.send_bytes(upgrade_request(headers=[("Sec-WebSocket-Extensions", offer)]))
        head = await peer.receive_head()
        if answer == "400":
            assert head.status == 400
        else:
            assert head.status == 101
            agreed = head.values("Sec-WebSocket-Extensions")
            assert agreed == ([] if answer is None else [answer])


# H9: what a server may answer to our offer, which has client_max_window_bits and no more

ANSWERS: list[tuple[str, bool]] = [
    ("", True),
    (PMD, True),
    (f"{PMD}; client_max_window_bits=15", True),
    (f"{PMD}; client_max_window_bits=8", True),
    (f'{PMD}; client_max_window_bits="9"', True),
    (f"{PMD}; server_max_window_bits=8", True),
    (f"{PMD}; server_max_window_bits=15; server_no_context_takeover", True),
    (f"{PMD}; client_no_context_takeover", True),
    (f"{PMD}; client_max_window_bits", False),
    (f"{PMD}; client_max_window_bits=7", False),
    (f"{PMD}; client_max_window_bits=16", False),
    (f"{PMD}; client_max_window_bits=09", False),
    (f"{PMD}; client_max_window_bits=abc", False),
    (f'{PMD}; client_max_window_bits=""', False),
    (f"{PMD}; server_max_window_bits", False),
    (f"{PMD}; server_max_window_bits=16", False),
    (f"{PMD}; client_no_context_takeover=1", False),
    (f"{PMD}; server_no_context_takeoverXX", False),
    (f"{PMD}; unknown", False),
    (f"{PMD}; client_no_context_takeover; client_no_context_takeover", False),
    (f"{PMD}, {PMD}", False),
    (f"{PMD}, foo", False),
    ("foo", False),
    (f"{PMD};", False),
    (f"{PMD} x", False),
    ("=", False),
    (";", False),
    ('"', False),
    ('foo="', False),
    (PMD.upper(), False),
    (f"{PMD}," * 700, False),
]


@pytest.mark.parametrize(("extensions", "good"), ANSWERS, ids=[row[0][:60] for row in ANSWERS])
async def test_h9_answer(extensions: str, good: bool) -> None:
    """What does not answer our offer fails the handshake, without another exception."""

    async def answer(stream: trio.SocketStream) -> None:
        peer = ScriptedPeer(stream, "server", rsv=RSV1)
        await peer.receive_head()
        await peer.send_bytes(
            upgrade_response(headers=[("Sec-WebSocket-Extensions", extensions)])
            + peer_frame(Role.CLIENT, Opcode.CLOSE, b"\x03\xe8")
        )
        await read_to_the_end(peer)

    async with under_attack() as site, listening(answer) as port:
        url = f"ws://{LOOPBACK}:{port}/"
        with patch("trio_ws.protocol._client_handshake.new_key", return_value=SAMPLE_KEY):
            try:
                async with open_websocket_url(url, compression="deflate") as ws:
                    opened = True
                    await ws.wait_closed()
            except HandshakeError:
                opened = False
        await site.check_innocent()
    assert opened is good


# Compressed frames by hand


def deflated(
    data: bytes, *, level: int = 9, bits: int = 15, mode: int = zlib.Z_SYNC_FLUSH
) -> bytes:
    """Return a message's payload, compressed as RFC 7692 section 7.2.1 says."""
    stream = zlib.compressobj(level, zlib.DEFLATED, -bits)
    return (stream.compress(data) + stream.flush(mode)).removesuffix(b"\x00\x00\xff\xff")


def in_fragments(payload: bytes, count: int) -> list[bytes]:
    """Return the frames of one compressed message in so many fragments."""
    size = -(-len(payload) // count)
    parts = [payload[start : start + size] for start in range(0, len(payload), size)]
    return [
        peer_frame(
            Role.SERVER,
            CONTINUATION if number else BINARY,
            part,
            fin=number == len(parts) - 1,
            rsv=0 if number else RSV1,
        )
        for number, part in enumerate(parts)
    ]


async def open_compressed(peer: ScriptedPeer) -> None:
    """Make the opening handshake, compression agreed on."""
    await peer.send_bytes(upgrade_request(headers=[("Sec-WebSocket-Extensions", PMD)]))
    assert (await peer.receive_head()).values("Sec-WebSocket-Extensions") == [PMD]


# F1: bombs

BOMB = deflated(bytes(64 * MIB))  # 64 KiB on the wire
SMALL_BOMB = peer_frame(Role.SERVER, BINARY, deflated(bytes(MIB)), rsv=RSV1)  # within the limit

BOMBS: list[tuple[str, bytes, int | None]] = [
    ("one-frame", b"".join(in_fragments(BOMB, 1)), 1009),
    ("1000-fragments", b"".join(in_fragments(BOMB, 1000)), 1009),
    ("text", peer_frame(Role.SERVER, TEXT, BOMB, rsv=RSV1), 1009),
    ("nested", peer_frame(Role.SERVER, BINARY, deflated(BOMB), rsv=RSV1), None),
    ("one-byte-over", peer_frame(Role.SERVER, BINARY, deflated(bytes(MIB + 1)), rsv=RSV1), 1009),
    ("at-the-limit", SMALL_BOMB, None),
    ("many-at-the-limit", SMALL_BOMB * 20, None),
]


class Receiver:
    """A handler that receives, and keeps beginnings and sizes."""

    def __init__(self) -> None:
        self.beginnings: list[str | bytes] = []
        self.sizes: list[int] = []

    async def __call__(self, ws: WebSocket) -> None:
        """Receive to the end."""
        with suppress(ConnectionClosed):
            async for message in ws:
                self.beginnings.append(message[:10])
                self.sizes.append(len(message))


@pytest.mark.parametrize(("data", "code"), [r[1:] for r in BOMBS], ids=[r[0] for r in BOMBS])
async def test_f1_bomb(data: bytes, code: int | None) -> None:
    """It is refused as soon as the limit is passed: no more than that is ever inflated."""
    receiver = Receiver()
    async with under_attack(receiver, compression="deflate") as site:
        async with await site.attacker() as peer:
            await open_compressed(peer)
            with measured() as held:
                with suppress(trio.BrokenResourceError):
                    await peer.send_bytes(data + peer_frame(Role.SERVER, Opcode.CLOSE, b"\x03\xe8"))
                await site.check_innocent()
                close = await peer.receive_frame()
                most = held.most
            assert close is not None
            assert close.close_code == (code or 1000)
        await site.wait_released()
    # A message, its parts, and what is read of the wire.
    assert most <= 4 * MIB
    assert all(size <= Limits().max_message_size for size in receiver.sizes)
    assert len(receiver.sizes) == (0 if code else len(data) // len(SMALL_BOMB) or 1)


# F11: control frames between the fragments of a compressed message


@pytest.mark.parametrize("opcode", [PING, PONG], ids=["ping", "pong"])
@pytest.mark.parametrize("position", range(6))
async def test_f11_control_frame_amid_a_compressed_message(opcode: Opcode, position: int) -> None:
    """Wherever it stands, the message is what it was."""
    message = bytes(range(256)) * 4
    frames = in_fragments(deflated(message), 5)
    frames.insert(position, peer_frame(Role.SERVER, opcode, b"between"))
    async with (
        under_attack(compression=Deflate(threshold=float("inf"))) as site,
        await site.attacker() as peer,
    ):
        await open_compressed(peer)
        await peer.send_bytes(b"".join(frames) * 2)
        echoed: list[bytes] = []
        while len(echoed) < 2:
            frame = await peer.receive_frame()
            assert frame is not None
            echoed += [frame.payload] if frame.opcode == BINARY else []
        assert echoed == [message] * 2


# F12: compressed frames where nothing was agreed on


async def test_f12_compressed_frame_that_was_not_negotiated() -> None:
    """One connection has agreed on compression, the other has not: 1002 for that one alone."""
    frame = peer_frame(Role.SERVER, BINARY, deflated(b"hello"), rsv=RSV1)
    async with (
        under_attack(compression=Deflate(threshold=float("inf"))) as site,
        await site.attacker() as with_it,
        await site.attacker() as without,
    ):
        await open_compressed(with_it)
        await without.client_handshake()
        for _ in range(2):
            await with_it.send_bytes(frame)
            echoed = await with_it.receive_frame()
            assert echoed is not None
            assert echoed.payload == b"hello"
            with suppress(trio.BrokenResourceError):
                await without.send_bytes(frame)
        close = await without.receive_frame()
        assert close is not None
        assert close.close_code == 1002


# F13: tricks with the compressed stream

HELLO = deflated(b"hello")
TRICKS: list[tuple[str, bytes, list[bytes] | int]] = [
    # the payload, sent twice; the messages that come out, or the code it is closed with
    ("stored-block", deflated(b"hello", level=0), [b"hello", b"hello"]),
    ("last-block", deflated(b"hello", mode=zlib.Z_FINISH) + b"\x00", [b"hello", b"hello"]),
    ("empty-message", b"\x00", [b"", b""]),
    # Of no bytes there is no end of a block: what follows goes wrong, and nothing worse happens.
    ("no-bytes", b"", [b"", b"\x00\xff\xff"]),
    ("many-empty-blocks", b"\x00\x00\x00\xff\xff" * 100 + HELLO, [b"hello", b"hello"]),
    ("tail-kept", HELLO + b"\x00\x00\xff\xff\x00", [b"hello", b"hello"]),
    ("reserved-block-type", b"\x06", 1007),
    ("garbage", b"\xff" * 20, 1007),
    ("distance-before-the-beginning", zlib.compress(b"abc" * 10)[5:-4], 1007),
    ("zlib-header", zlib.compress(b"hello"), 1007),
    ("gzip-header", b"\x1f\x8b\x08\x00" + HELLO, 1007),
]


@pytest.mark.parametrize(
    ("payload", "expected"), [row[1:] for row in TRICKS], ids=[row[0] for row in TRICKS]
)
@pytest.mark.parametrize("count", [1, 3], ids=["whole", "fragments"])
async def test_f13_trick(payload: bytes, expected: list[bytes] | int, count: int) -> None:
    """It works, or it is closed; nothing hangs, nothing wrong comes out."""
    frames = b"".join(in_fragments(payload, count)) if payload else b""
    frames = frames or peer_frame(Role.SERVER, BINARY, b"", rsv=RSV1)
    receiver = Receiver()
    async with under_attack(receiver, compression="deflate") as site:
        async with await site.attacker() as peer:
            await open_compressed(peer)
            with suppress(trio.BrokenResourceError):
                close = peer_frame(Role.SERVER, Opcode.CLOSE, b"\x03\xe8")
                await peer.send_bytes(frames * 2 + close)
            answer = await peer.receive_frame()
        await site.wait_released()
    assert answer is not None
    assert answer.close_code == (expected if isinstance(expected, int) else 1000)
    assert receiver.beginnings == ([] if isinstance(expected, int) else expected)
