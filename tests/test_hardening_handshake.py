"""Attacks on the opening handshake over real sockets, beside somebody innocent: H1 to H19.

What each request deserves is judged without I/O in ``test_handshake_hostile``; here the same
tables go over the wire, and what is asserted is that the answer arrives, that the connection ends,
and that the innocent one does not notice.  A row is a line.
"""

import math
from contextlib import suppress
from dataclasses import replace
from unittest.mock import patch

import pytest
import trio

from tests.attacks import Site, flood, read_to_the_end, under_attack
from tests.clients import LOOPBACK, listening
from tests.connections import HANGS
from tests.servers import contexts
from tests.test_handshake_hostile import (
    BAD_ANSWERS,
    BODY,
    ENDLESS_ANSWERS,
    REQUEST,
    REQUESTS,
    SMUGGLED,
    request,
)
from trio_ws import HandshakeError, HandshakeTimeout, Limits, Timeouts, open_websocket_url
from trio_ws.protocol.handshake import Accept
from trio_ws.protocol.http import Request
from trio_ws.testing import Opcode, ScriptedPeer, build_frame
from trio_ws.testing._upgrade import SAMPLE_KEY, parse_head

KIB = 1024
START = b"GET / HTTP/1.1\r\n"

# H3, H7, H8: requests that are refused

REFUSED: list[tuple[str, bytes, int]] = [
    *[(f"H7-{name}", data, status) for name, data, status in REQUESTS if status != 101],
    *[(f"H8-{name}", data + BODY, 400) for name, data in SMUGGLED],
    ("H3-100k-headers", START + b"X: y\r\n" * 100_000, 431),
    ("H3-1-mb-value", START + b"X: " + b"y" * 1024 * KIB, 431),
    ("H3-1-mb-url", b"GET /" + b"x" * 1024 * KIB, 414),
    ("H3-complete-head-over-the-limit", REQUEST[:-2] + b"X: y\r\n" * 101 + b"\r\n", 431),
    ("H6-host", request(("Host", "\xff")), 400),
    ("H6-connection", request(("Connection", "Upgrade\xff")), 400),
    ("H6-upgrade", request(("Upgrade", "websocket\xff")), 400),
    ("H6-subprotocol", request(("Sec-WebSocket-Protocol", "\xff")), 400),
    ("H6-extensions", request(("Sec-WebSocket-Extensions", "\xff")), 400),
    ("H6-label-without-name", request(("Host", "xn--")), 400),
    ("H11-origin", request(("Origin", "https://evil.example")), 403),
]


@pytest.mark.parametrize(("data", "status"), [r[1:] for r in REFUSED], ids=[r[0] for r in REFUSED])
async def test_refused_request_over_the_wire(data: bytes, status: int) -> None:
    """The answer arrives in spite of what is unread, and then the connection ends."""
    async with under_attack() as site:
        async with await site.attacker() as peer:
            with suppress(trio.BrokenResourceError):  # it need not wait until we have sent it all
                await peer.send_bytes(data)
            found = parse_head(await read_to_the_end(peer))
        assert found is not None
        assert found[0].status == status
        assert found[0].values("Connection")[0].endswith("close")
        await site.wait_released()


# H1: too little

WAITED_FOR: list[tuple[str, bytes, bool]] = [
    ("nothing", b"", False),
    ("half-a-request", REQUEST[: len(REQUEST) // 2], False),
    ("all-but-the-last-byte", REQUEST[:-1], False),
    ("nothing-over-tls", b"", True),
    ("half-a-hello-over-tls", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc", True),
]


def lose_patience(site: Site) -> None:
    """Have little time for handshakes from now on; the innocent one has made its own."""
    options = site.server._options
    connection = replace(options.connection, timeouts=Timeouts(open=0.1))
    site.server._options = replace(options, connection=connection)


@pytest.mark.parametrize(
    ("sent", "secure"), [row[1:] for row in WAITED_FOR], ids=[row[0] for row in WAITED_FOR]
)
async def test_h1_crowd_that_is_waited_for_in_vain(sent: bytes, secure: bool) -> None:
    """All of it is got rid of, on plain TCP with an answer."""
    async with under_attack(tls=contexts() if secure else None) as site:
        lose_patience(site)
        crowd = [
            ScriptedPeer(await trio.open_tcp_stream(LOOPBACK, site.server.port), "client")
            for _ in range(30)
        ]
        for peer in crowd:
            await peer.send_bytes(sent)
        await site.check_innocent()
        for peer in crowd:
            with trio.fail_after(HANGS):
                answer = await read_to_the_end(peer)
            assert answer == b"" if secure else answer.startswith(b"HTTP/1.1 408 ")
            await peer.aclose()
        await site.wait_released()


# H3, H4: too much

ENDLESS: list[tuple[str, bytes, bytes, bytes]] = [
    ("url", b"GET /", b"x" * 1000, b"HTTP/1.1 414 "),
    ("headers", START, b"X: y\r\n" * 200, b"HTTP/1.1 431 "),
    ("value", START + b"X: ", b"y" * 1000, b"HTTP/1.1 431 "),
    ("spaces", START + b"X:", b" " * 1000, b"HTTP/1.1 431 "),
    ("lines-without-an-end", START, b"x" * 1000, b"HTTP/1.1 431 "),
    ("binary", b"", bytes(1000), b"HTTP/1.1 400 "),
    ("empty-lines", b"", b"\r\n" * 500, b"HTTP/1.1 400 "),
]


@pytest.mark.parametrize(
    ("beginning", "more", "answer"), [row[1:] for row in ENDLESS], ids=[row[0] for row in ENDLESS]
)
async def test_h3_endless_head_over_the_wire(beginning: bytes, more: bytes, answer: bytes) -> None:
    """It is answered as soon as the limit is passed, and cut off."""
    async with under_attack() as site:
        async with await site.attacker() as peer, trio.open_nursery() as nursery:
            await peer.send_bytes(beginning)
            nursery.start_soon(flood, peer, more)
            await site.check_innocent()
            # Only the beginning: a reset may cut off the end, for we go on sending.
            assert (await peer.stream.receive_some())[: len(answer)] == answer
        await site.wait_released()


async def test_h3_head_that_dribbles_in() -> None:
    """A head as long as may be, a byte at a time, costs the innocent one nothing."""
    head = REQUEST[:-2] + b"X: " + b"y" * (4 * KIB - len(REQUEST) - 5) + b"\r\n\r\n"
    limits, timeouts = Limits(max_header_bytes=4 * KIB), Timeouts(open=math.inf)
    async with (
        under_attack(limits=limits, timeouts=timeouts) as site,
        await site.attacker() as peer,
    ):
        for index in range(len(head)):
            await peer.send_bytes(head[index : index + 1])
            if index % KIB == 0:
                await site.check_innocent()
        assert (await peer.receive_head()).status == 101
        await peer.close_frame()
        assert await peer.receive_frame() is not None


async def test_h4_flood_while_the_application_decides() -> None:
    """It stays with the kernel and with the attacker, and none of it is lost."""
    decide = trio.Event()
    frame = build_frame(Opcode.BINARY, bytes(60_000), mask_key=b"abcd")

    async def process_request(request: Request) -> Accept:
        if request.target == "/":
            await decide.wait()
        return Accept()

    async with (
        under_attack(process_request=process_request) as site,
        await site.attacker() as peer,
    ):

        async def push() -> None:
            await peer.send_bytes(REQUEST + frame)
            for _ in range(199):
                await peer.send_bytes(frame)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(push)
            for _ in range(20):
                await site.check_innocent()
            (attacked,) = [each for each in site.server._serving if each.websocket is None]
            assert attacked._acceptance is not None
            assert len(attacked._acceptance._handshake.trailing_data) <= 4 * KIB
            decide.set()
            assert (await peer.receive_head()).status == 101
            for _ in range(200):
                echoed = await peer.receive_frame()
                assert echoed is not None
                assert len(echoed.payload) == 60_000


# H5: frames behind the request

FRAMES = build_frame(Opcode.TEXT, b"hello", mask_key=b"abcd") * 2


@pytest.mark.parametrize("cut", range(0, len(FRAMES) + 1, 3))
async def test_h5_frames_behind_the_request(cut: int) -> None:
    """In the segment of the request and in the next, cut anywhere: nothing is lost."""
    async with under_attack() as site, await site.attacker() as peer:
        await peer.send_bytes(REQUEST + FRAMES[:cut])
        assert (await peer.receive_head()).status == 101
        await peer.send_bytes(FRAMES[cut:])
        for _ in range(2):
            frame = await peer.receive_frame()
            assert frame is not None
            assert frame.payload == b"hello"


# H12, H13: a hostile server, whose client is beside an innocent one


class HostileServer:
    """Answers a request with what it is given, and keeps all that it is sent."""

    def __init__(self, *answer: bytes, endless: bool = False) -> None:
        self._answer = answer
        self._endless = endless
        self.received = b""

    async def serve(self, stream: trio.SocketStream) -> None:
        """Wait for the request, answer, and read until the client has hung up."""
        peer = ScriptedPeer(stream, "server")
        await peer.receive_head()
        with suppress(trio.BrokenResourceError):
            for part in self._answer:
                await peer.send_bytes(part)
        if self._endless:
            await flood(peer, self._answer[-1])
        self.received = await read_to_the_end(peer)


@pytest.mark.parametrize("data", [r[1] for r in BAD_ANSWERS], ids=[r[0] for r in BAD_ANSWERS])
async def test_h12_answer_that_is_none_over_the_wire(data: bytes) -> None:
    """The client says so, sends nothing more and hangs up, without waiting for the server to."""
    hostile = HostileServer(data + b"more")
    with patch("trio_ws.protocol._client_handshake.new_key", return_value=SAMPLE_KEY):
        async with under_attack() as site:
            async with listening(hostile.serve) as port:
                with pytest.raises(HandshakeError) as caught:
                    async with open_websocket_url(f"ws://{LOOPBACK}:{port}/"):
                        pass
                await site.check_innocent()
            assert not isinstance(caught.value, HandshakeTimeout)
            assert hostile.received == b""


@pytest.mark.parametrize(
    ("parts", "error"),
    [row[1:] for row in ENDLESS_ANSWERS],
    ids=[row[0] for row in ENDLESS_ANSWERS],
)
async def test_h13_endless_answer_over_the_wire(
    parts: tuple[bytes, ...], error: type[HandshakeError]
) -> None:
    """The client has soon had enough of it."""
    hostile = HostileServer(*parts, endless=True)
    async with under_attack() as site:
        async with listening(hostile.serve) as port:
            with pytest.raises(HandshakeError) as caught:
                async with open_websocket_url(f"ws://{LOOPBACK}:{port}/"):
                    pass
            await site.check_innocent()
        assert type(caught.value) is error
        assert hostile.received == b""
