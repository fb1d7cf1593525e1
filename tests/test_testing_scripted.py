"""The scripted peer: what it sends in each role, what it receives, and what it loses: nothing."""

import ast
import inspect
import sys
from types import ModuleType
from typing import Literal

import pytest
import trio
import trio.testing

from tests.injection import Fault, Injector, inject
from trio_ws.testing import (
    BoundedStream,
    CutShort,
    Frame,
    Opcode,
    ScriptedPeer,
    Violation,
    _frames,
    _scripted,
    _upgrade,
    bounded_stream_pair,
    build_frame,
    close_payload,
    upgrade_request,
    upgrade_response,
)
from trio_ws.testing._scripted import SAMPLE_MASK_KEY

Role = Literal["client", "server"]
roles = pytest.mark.parametrize("role", ["client", "server"])


def peer_and_wire(role: Role, *, rsv: int = 0) -> tuple[ScriptedPeer, BoundedStream]:
    """Return a peer and the other end of its stream, where the bytes are."""
    near, far = bounded_stream_pair()
    return ScriptedPeer(near, role, rsv=rsv), far


def peers() -> tuple[ScriptedPeer, ScriptedPeer]:
    """Return a client and a server that are connected."""
    near, far = bounded_stream_pair()
    return ScriptedPeer(near, "client"), ScriptedPeer(far, "server")


@pytest.mark.parametrize("module", [_frames, _upgrade, _scripted], ids=lambda each: each.__name__)
def test_oracle_shares_nothing_with_what_it_judges(module: ModuleType) -> None:
    """Of this package it imports its own parts only, and neither wsproto nor h11."""
    imported: set[str] = set()
    for node in ast.walk(ast.parse(inspect.getsource(module))):
        if isinstance(node, ast.ImportFrom):
            imported.add(node.module or ".")
        elif isinstance(node, ast.Import):
            imported.update(alias.name for alias in node.names)
    foreign = {name for name in imported if name.split(".")[0] not in sys.stdlib_module_names}
    assert foreign <= {"trio", "trio_ws.testing._frames", "trio_ws.testing._upgrade"}


# Sending


@pytest.mark.parametrize(
    ("role", "mask", "key"),
    [
        ("client", None, SAMPLE_MASK_KEY),
        ("server", None, None),
        ("client", False, None),
        ("server", True, SAMPLE_MASK_KEY),
        ("client", b"abcd", b"abcd"),
        ("server", b"abcd", b"abcd"),
        ("client", bytes(4), bytes(4)),
    ],
)
async def test_frame_is_masked_as_is_right_or_as_told(
    role: Role, mask: bool | bytes | None, key: bytes | None
) -> None:
    """A client masks, a server does not, and the test has the last word."""
    peer, wire = peer_and_wire(role)
    await peer.send_frame(Opcode.TEXT, b"Hello", mask=mask)
    assert await wire.receive_some() == build_frame(Opcode.TEXT, b"Hello", mask_key=key)


async def test_frame_may_be_as_wrong_as_told() -> None:
    """Reserved opcodes and bits, fragments of control frames: all goes out."""
    peer, wire = peer_and_wire("server")
    await peer.send_frame(0xB, fin=False, rsv=7)
    assert await wire.receive_some() == bytes([0x7B, 0])


async def test_bytes_are_sent_as_they_are() -> None:
    """Nothing is added."""
    peer, wire = peer_and_wire("client")
    await peer.send_bytes(b"\x00garbage")
    assert await wire.receive_some() == b"\x00garbage"


@pytest.mark.parametrize(
    ("code", "reason"), [(1001, "going away"), (1000, ""), (None, ""), (999, "not allowed")]
)
async def test_close_frame_has_the_code_and_the_reason(code: int | None, reason: str) -> None:
    """Allowed or not; the stream stays open."""
    peer, wire = peer_and_wire("server")
    await peer.close_frame(code, reason)
    assert await wire.receive_some() == build_frame(Opcode.CLOSE, close_payload(code, reason))
    await peer.send_bytes(b"more")


async def test_what_fits_in_no_frame_is_not_sent() -> None:
    """The mistake is the test's, and nothing goes out."""
    peer, wire = peer_and_wire("server")
    with pytest.raises(ValueError, match="no frame holds"):
        await peer.send_frame(16)
    with pytest.raises(ValueError, match="no frame holds"):
        await peer.send_frame(Opcode.TEXT, mask=b"")
    with pytest.raises(OverflowError):
        await peer.close_frame(65536)
    await peer.aclose()
    assert await wire.receive_some() == b""


# Receiving frames


async def test_frames_arrive_one_by_one_however_the_bytes_do() -> None:
    """And ``None`` at the end of the stream, again and again."""
    near, far = bounded_stream_pair(max_write=1, max_read=1)
    client, server = ScriptedPeer(near, "client"), ScriptedPeer(far, "server")

    async def send() -> None:
        await client.send_frame(Opcode.TEXT, b"Hel", fin=False)
        await client.send_frame(Opcode.PING)
        await client.send_frame(Opcode.CONTINUATION, b"lo")
        await client.aclose()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(send)
        assert await server.receive_frame() == Frame(False, 0, Opcode.TEXT, True, b"Hel")
        assert await server.receive_frame() == Frame(True, 0, Opcode.PING, True, b"")
        assert await server.receive_frame() == Frame(True, 0, Opcode.CONTINUATION, True, b"lo")
        assert await server.receive_frame() is None
        assert await server.receive_frame() is None


@pytest.mark.parametrize("size", range(1, 11))
async def test_frame_cut_by_the_end_of_the_stream_is_shown(size: int) -> None:
    """With all there is of it, again and again."""
    peer, wire = peer_and_wire("server")
    cut = build_frame(Opcode.TEXT, b"Hello", mask_key=SAMPLE_MASK_KEY)[:size]
    await wire.send_all(build_frame(Opcode.PING, mask_key=SAMPLE_MASK_KEY) + cut)
    await wire.send_eof()
    assert await peer.receive_frame() is not None
    for _ in range(2):
        with pytest.raises(CutShort, match="the stream ended inside a frame") as caught:
            await peer.receive_frame()
        assert caught.value.data == cut


@pytest.mark.parametrize(
    ("role", "data", "problem"),
    [
        ("server", build_frame(Opcode.TEXT), "unmasked frame from a client"),
        ("client", build_frame(Opcode.TEXT, mask_key=b"1234"), "masked frame from a server"),
        ("client", build_frame(Opcode.TEXT, rsv=2), "reserved bits"),
        ("client", build_frame(Opcode.CONTINUATION), "continuation frame without"),
        ("client", build_frame(Opcode.TEXT, b"\xff"), "no UTF-8"),
    ],
)
async def test_wrong_frame_is_a_violation_and_stays_one(
    role: Role, data: bytes, problem: str
) -> None:
    """Of itself, for its sender's role, and in its place; calling again does not get past it."""
    peer, wire = peer_and_wire(role)
    await wire.send_all(data + build_frame(Opcode.PING))
    for _ in range(2):
        with pytest.raises(Violation, match=problem):
            await peer.receive_frame()


async def test_frame_after_a_close_frame_is_a_violation() -> None:
    """The peer remembers what came before."""
    peer, wire = peer_and_wire("client")
    await wire.send_all(build_frame(Opcode.CLOSE, close_payload()) + build_frame(Opcode.PING))
    close = await peer.receive_frame()
    assert close is not None
    assert close.close_code == 1000
    with pytest.raises(Violation, match="frame after a Close frame"):
        await peer.receive_frame()


async def test_reserved_bits_of_an_extension_are_received() -> None:
    """Where the peer was told of them."""
    peer, wire = peer_and_wire("client", rsv=4)
    await wire.send_all(build_frame(Opcode.TEXT, b"\xff", rsv=4))
    assert await peer.receive_frame() == Frame(True, 4, Opcode.TEXT, False, b"\xff")


async def test_broken_stream_goes_through() -> None:
    """A reset is not an end between two frames."""
    peer, wire = peer_and_wire("client")
    wire.reset()
    with pytest.raises(trio.BrokenResourceError):
        await peer.receive_frame()


@pytest.mark.parametrize("cut", [b"", b"\x81\x05Hel"])
@pytest.mark.parametrize("is_reset", [False, True])
async def test_frames_are_received_to_the_end_of_the_stream(cut: bytes, is_reset: bool) -> None:
    """All of them, and what there is of the last, however the stream ends."""
    peer, wire = peer_and_wire("client")
    whole = build_frame(Opcode.TEXT, b"one") + build_frame(Opcode.TEXT, b"two")
    received: list[tuple[list[Frame], bytes]] = []

    async def receive() -> None:
        received.append(await peer.receive_frames())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(receive)
        await wire.send_all(whole + cut)
        await trio.testing.wait_all_tasks_blocked()
        if is_reset:
            wire.reset()
        else:
            await wire.aclose()
    ((frames, rest),) = received
    assert [frame.payload for frame in frames] == [b"one", b"two"]
    assert rest == cut


async def test_violation_ends_the_receiving_of_frames() -> None:
    """It is told, and not taken for an end."""
    peer, wire = peer_and_wire("client")
    await wire.send_all(build_frame(0x3))
    with pytest.raises(Violation, match="reserved opcode"):
        await peer.receive_frames()


# Receiving heads and bytes


async def test_body_follows_its_head() -> None:
    """A refusal is read in two steps, and frames may come after."""
    peer, wire = peer_and_wire("client")
    await wire.send_all(
        b"HTTP/1.1 403 Forbidden\r\nContent-Length: 6\r\n\r\nsecret" + build_frame(Opcode.PING)
    )
    head = await peer.receive_head()
    assert head.status == 403
    assert await peer.receive_bytes(int(head.values("content-length")[0])) == b"secret"
    assert await peer.receive_frame() == Frame(True, 0, Opcode.PING, False, b"")


async def test_bytes_are_awaited_until_all_are_there() -> None:
    """No more are taken, and none where none are wanted."""
    near, far = bounded_stream_pair(max_read=2)
    peer = ScriptedPeer(near, "client")
    await far.send_all(b"0123456789")
    await far.send_eof()
    assert await peer.receive_bytes(7) == b"0123456"
    assert await peer.receive_bytes(0) == b""
    with pytest.raises(CutShort, match="the stream ended before 4 bytes: b'789'"):
        await peer.receive_bytes(4)
    assert await peer.receive_bytes(3) == b"789"


@pytest.mark.parametrize("sent", [b"", b"HTTP/1.1 101 Swi"])
async def test_head_cut_by_the_end_of_the_stream_is_shown(sent: bytes) -> None:
    """Also where nothing was sent of it."""
    peer, wire = peer_and_wire("client")
    await wire.send_all(sent)
    await wire.aclose()
    with pytest.raises(CutShort, match="the stream ended inside a head") as caught:
        await peer.receive_head()
    assert caught.value.data == sent


# The opening handshake


async def test_handshake_of_client_and_server() -> None:
    """The two understand each other, and each returns what the other has sent."""
    client, server = peers()
    async with client, server, trio.open_nursery() as nursery:

        async def serve() -> None:
            headers = [("Sec-WebSocket-Protocol", "chat")]
            request = await server.server_handshake(headers=headers)
            assert request.target == "/room"
            assert request.values("host") == ["a.example"]
            await server.send_frame(Opcode.TEXT, b"welcome")

        nursery.start_soon(serve)
        offered = (each for each in [("Sec-WebSocket-Protocol", "chat, superchat")])
        answer = await client.client_handshake("/room", host="a.example", headers=offered)
        assert answer.values("sec-websocket-protocol") == ["chat"]
        assert await client.receive_frame() == Frame(True, 0, Opcode.TEXT, False, b"welcome")


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (b"HTTP/1.1 404 Not Found\r\n\r\n", "the status is not 101"),
        (upgrade_response("AAAAAAAAAAAAAAAAAAAAAA=="), "wrong Sec-WebSocket-Accept"),
        (
            upgrade_response(headers=[("Sec-WebSocket-Protocol", "chat")]),
            "a subprotocol that was not offered",
        ),
    ],
)
async def test_client_handshake_wants_a_right_answer(answer: bytes, problem: str) -> None:
    """Anything else is a violation."""
    peer, wire = peer_and_wire("client")
    await wire.send_all(answer)
    with pytest.raises(Violation, match=problem):
        await peer.client_handshake()
    assert await wire.receive_some() == upgrade_request()


async def test_server_handshake_wants_a_right_request() -> None:
    """To anything else it answers nothing."""
    peer, wire = peer_and_wire("server")
    await wire.send_all(upgrade_request(key="short"))
    with pytest.raises(Violation, match="not one Sec-WebSocket-Key of 16 bytes"):
        await peer.server_handshake()
    await peer.aclose()
    assert await wire.receive_some() == b""


# Ending


@roles
async def test_aclose_closes_the_stream_and_sends_nothing(role: Role) -> None:
    """No Close frame: that is for the test to send."""
    peer, wire = peer_and_wire(role)
    async with peer:
        assert isinstance(peer.stream, BoundedStream)
    assert peer.stream.closed
    assert await wire.receive_some() == b""


# Cancellation


@pytest.mark.parametrize(
    "fault", [Fault.CANCEL_BEFORE_STEP, Fault.CANCEL_AFTER_STEP, Fault.CANCEL_AFTER_READ]
)
async def test_cancelled_receiving_loses_nothing(
    fault: Fault, autojump_clock: trio.testing.MockClock
) -> None:
    """Wherever it strikes, doing the same again gets all there is."""

    async def scenario(injector: Injector) -> None:
        near, far = bounded_stream_pair(max_write=3)
        peer = ScriptedPeer(injector.stream(near), "client")
        received: list[object] = []

        async def receive() -> None:
            if len(received) == 0:
                received.append(await peer.receive_head())
            if len(received) == 1:
                received.append(await peer.receive_bytes(4))
            while len(received) < 4:
                received.append(await peer.receive_frame())

        frame = build_frame(Opcode.TEXT, b"Hello")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(far.send_all, b"HTTP/1.1 200 OK\r\n\r\nbody" + frame + frame)
            with injector.armed():
                await receive()
            await receive()
        assert received[1:] == [b"body"] + [Frame(True, 0, Opcode.TEXT, False, b"Hello")] * 2

    assert await inject(scenario, fault) > 5
