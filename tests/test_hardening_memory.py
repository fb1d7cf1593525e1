"""What one peer can make us hold: the formula of ``docs/security.rst``, and peers that try.

Each row drives one connection of a server over loopback to a worst case of its own; what was
allocated meanwhile, as Python counts it, stays within the formula.  What the kernel and OpenSSL
hold is not in it.
"""

from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest
import trio

from tests.attacks import SMALL_BUFFER, Site, under_attack
from tests.connections import HANGS
from tests.helpers import peer_frame
from tests.memory import measured
from tests.servers import contexts, echo, linger
from trio_ws import ConnectionClosed, Limits, WebSocket
from trio_ws._reading import RECEIVER_READ_SIZE
from trio_ws.protocol.handshake import Accept
from trio_ws.protocol.http import Request
from trio_ws.protocol.state import Role
from trio_ws.testing import Opcode, ScriptedPeer, upgrade_request

KIB = 1024
TEXT, BINARY, CONTINUATION, PING = Opcode.TEXT, Opcode.BINARY, Opcode.CONTINUATION, Opcode.PING

# Python takes 4 bytes for each character of a text with one character beyond U+FFFF in it.
TEXT_FACTOR = 4
# A text of one character is an object of 80 bytes with a place in the inbox, from 8 bytes of frame.
TINY_FACTOR = 12
# Objects of a connection, whatever it does: with TLS there are more of them.
BASE = 32 * KIB


def most_held(
    limits: Limits, largest_sent: int, *, tls: bool = False, read: int = RECEIVER_READ_SIZE
) -> int:
    """Return what a connection of a server holds at most, in bytes.

    Args:
        limits: what it was given.
        largest_sent: the largest message that the application sends, in bytes.
        tls: whether there is TLS.
        read: the most that is read at once, in bytes.
    """
    # Its parts, and the whole while they are joined.
    message = 2 * TEXT_FACTOR * limits.max_message_size
    inbox = TEXT_FACTOR * limits.max_queued_bytes + TINY_FACTOR * read
    outgoing = limits.max_buffered_bytes + largest_sent
    head = 4 * limits.max_header_bytes
    tls_records = 256 * KIB if tls else 0
    return message + inbox + read + outgoing + head + tls_records + BASE


LIMITS = Limits(max_message_size=256 * KIB)


async def receive_all(ws: WebSocket) -> None:
    """Receive until the end."""
    with suppress(ConnectionClosed):
        await ws.discard_messages()


async def receive_one(ws: WebSocket) -> None:
    """Receive once, and be elsewhere then."""
    await ws.receive()
    await trio.sleep_forever()


def frame(opcode: int, payload: bytes = b"", *, fin: bool = True) -> bytes:
    """Return a frame of a client."""
    return peer_frame(Role.SERVER, opcode, payload, fin=fin)


def wide(size: int) -> bytes:
    """Return so many bytes of text that take four times the room."""
    return b"a" * (size - 4) + "\N{OK HAND SIGN}".encode()


SIZE = LIMITS.max_message_size
WHOLE = frame(TEXT, wide(SIZE))
PART = SIZE // LIMITS.max_fragments
FRAGMENTED = (
    frame(TEXT, wide(PART), fin=False)
    + frame(CONTINUATION, wide(PART), fin=False) * (LIMITS.max_fragments - 2)
    + frame(CONTINUATION, wide(PART))
)
TINY_FRAGMENTS = frame(TEXT, fin=False) + frame(CONTINUATION, fin=False) * 999
TINY = frame(TEXT, "\u0100".encode()) * 60_000

Handler = Callable[[WebSocket], Awaitable[object]]

WORST: list[tuple[str, Handler, bytes, int]] = [
    # what it is, the handler, what is sent, and what that makes us hold at the least
    ("text-received", receive_all, WHOLE, 4 * SIZE),
    ("text-queued", linger, WHOLE, 4 * SIZE),
    ("text-behind-others", linger, frame(TEXT, b"a" * 4000) * 15 + WHOLE, 4 * SIZE),
    ("text-echoed", echo, WHOLE * 20, 5 * SIZE),
    ("binary-echoed", echo, frame(BINARY, bytes(SIZE)) * 20, 2 * SIZE),
    ("fragments-received", receive_all, FRAGMENTED, 8 * SIZE),
    ("fragments-queued", linger, FRAGMENTED, 8 * SIZE),
    ("tiny-messages-received", receive_all, TINY, 0),
    ("tiny-messages-queued", receive_one, TINY, 0),
    ("tiny-messages-echoed", echo, TINY, 0),
    ("tiny-fragments", receive_all, TINY_FRAGMENTS, 0),
    ("too-large", linger, frame(BINARY, bytes(SIZE + 1)), 0),
    ("announced", receive_all, peer_frame(Role.SERVER, BINARY, bytes(SIZE - 1), size=SIZE), SIZE),
    ("pings", echo, frame(PING, bytes(125)) * 1000, 0),
    ("pings-to-nobody", linger, frame(PING, bytes(125)) * 1000, 0),
]  # fmt: skip


async def send_in_pieces(peer: ScriptedPeer, data: bytes) -> None:
    """Send much, without allocating much here."""
    with suppress(trio.BrokenResourceError):
        for start in range(0, len(data), 16 * KIB):
            await peer.send_bytes(memoryview(data)[start : start + 16 * KIB])


async def hold(site: Site, data: bytes, least: int) -> int:
    """Send all this, or what of it is taken, and read nothing; return the most that was held."""
    async with await site.deaf_attacker() as peer:
        await peer.client_handshake()
        await site.check_innocent()
        with measured() as held, trio.fail_after(HANGS):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(send_in_pieces, peer, data)
                for _ in range(30):
                    await site.check_innocent()
                while held.most < least:  # who reads instead of the application comes later
                    await site.check_innocent()
                nursery.cancel_scope.cancel()
            return held.most


@pytest.mark.parametrize(
    ("handler", "data", "least"), [row[1:] for row in WORST], ids=[row[0] for row in WORST]
)
async def test_connection_holds_what_the_formula_says(
    handler: Handler, data: bytes, least: int
) -> None:
    """Not more, and not much less than the row says."""
    async with under_attack(handler, limits=LIMITS, send_buffer=SMALL_BUFFER) as site:
        assert least <= await hold(site, data, least) <= most_held(LIMITS, SIZE)


@pytest.mark.parametrize("name", ["text-echoed", "fragments-received"])
async def test_connection_with_tls_holds_what_the_formula_says(name: str) -> None:
    """There is a little more then."""
    ((handler, data, least),) = [row[1:] for row in WORST if row[0] == name]
    tls = contexts()
    async with under_attack(handler, tls=tls, limits=LIMITS, send_buffer=SMALL_BUFFER) as site:
        assert least <= await hold(site, data, least) <= most_held(LIMITS, SIZE, tls=True)


HEADS = {
    "one-header": [("X", "y" * 15_000)],
    "many-headers": [(f"X-{number:02}", "y" * 130) for number in range(94)],
    "tiny-headers": [(f"X{number:02}", "") for number in range(94)],
}


@pytest.mark.parametrize("name", HEADS)
async def test_handshake_holds_what_the_formula_says(name: str) -> None:
    """A head within the limits costs four times its limit at most, for as long as it is decided."""
    entered, decide = trio.Event(), trio.Event()

    async def process_request(request: Request) -> Accept:
        if request.target == "/":
            entered.set()
            await decide.wait()
        return Accept()

    async with (
        under_attack(process_request=process_request) as site,
        await site.attacker() as peer,
    ):
        with measured() as held:
            await peer.send_bytes(upgrade_request(headers=HEADS[name]))
            await entered.wait()
            most = held.most
        decide.set()
        assert (await peer.receive_head()).status == 101
    assert most <= 4 * Limits().max_header_bytes + BASE
