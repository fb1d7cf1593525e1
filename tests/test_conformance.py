"""What RFC 6455 asks for and no other test file is about, and the table that says where all is.

``docs/conformance.rst`` lists the RFCs' requirements beside the tests that hold us to them.
"""

import ast
import re
from functools import cache
from pathlib import Path

import pytest
import trio
import trio.testing

from tests.connections import hang_up, next_close, next_frame, scripted, socket_pair
from tests.helpers import both_roles, peer_frame
from tests.servers import echo
from trio_ws import ConnectionBroken, ConnectionEnded
from trio_ws.protocol.connection import Event, Ping, Pong, Protocol
from trio_ws.protocol.state import Role
from trio_ws.testing import Opcode

ROOT = Path(__file__).parents[1]
CONFORMANCE = ROOT / "docs" / "conformance.rst"


# RFC 6455 section 5.7: the examples, byte by byte.

UNMASKED_HELLO = "81 05 48 65 6c 6c 6f"
UNMASKED_PING = "89 05 48 65 6c 6c 6f"
BINARY_OF_256_BYTES = "82 7e 0100" + 256 * " 2a"
BINARY_OF_64_KIB = "82 7f 0000000000010000" + 65536 * " 2a"

EXAMPLES: list[tuple[str, Role, str, Event]] = [
    ("unmasked-text", Role.CLIENT, UNMASKED_HELLO, "Hello"),
    ("masked-text", Role.SERVER, "81 85 37 fa 21 3d 7f 9f 4d 51 58", "Hello"),
    ("fragmented-text", Role.CLIENT, "01 03 48 65 6c  80 02 6c 6f", "Hello"),
    ("unmasked-ping", Role.CLIENT, UNMASKED_PING, Ping(b"Hello")),
    ("masked-pong", Role.SERVER, "8a 85 37 fa 21 3d 7f 9f 4d 51 58", Pong(b"Hello")),
    ("256-bytes", Role.CLIENT, BINARY_OF_256_BYTES, b"*" * 256),
    ("64-kib", Role.CLIENT, BINARY_OF_64_KIB, b"*" * 65536),
]


@pytest.mark.parametrize(
    ("role", "octets", "event"), [row[1:] for row in EXAMPLES], ids=[row[0] for row in EXAMPLES]
)
def test_examples_of_the_rfc_are_understood(role: Role, octets: str, event: Event) -> None:
    """Whatever section 5.7 shows means what it says there."""
    assert Protocol(role).receive_data(bytes.fromhex(octets)) == [event]


def test_examples_of_the_rfc_are_what_a_server_sends() -> None:
    """Where section 5.7 leaves no choice, that is without a mask, it has the very bytes."""
    server = Protocol(Role.SERVER)
    assert server.send("Hello") == bytes.fromhex(UNMASKED_HELLO)
    assert server.ping(b"Hello") == bytes.fromhex(UNMASKED_PING)
    assert server.send(b"*" * 256) == bytes.fromhex(BINARY_OF_256_BYTES)
    assert server.send(b"*" * 65536) == bytes.fromhex(BINARY_OF_64_KIB)


# Section 7.1.7: what came before a violation.


@pytest.mark.parametrize(
    ("opcode", "payload", "code"), [(3, b"", 1002), (Opcode.TEXT, b"\xff", 1007)]
)
@both_roles
async def test_message_before_a_violation_is_answered(
    role: Role, opcode: int, payload: bytes, code: int, autojump_clock: trio.testing.MockClock
) -> None:
    """Even when both come in one read the answer goes out, and the Close behind it."""
    async with scripted(role) as (websocket, peer), trio.open_nursery() as nursery:

        async def serve() -> None:
            with pytest.raises(ConnectionBroken):
                await echo(websocket)

        nursery.start_soon(serve)
        before = peer_frame(role, Opcode.TEXT, b"before")
        await peer.send_bytes(2 * before + peer_frame(role, opcode, payload) + before)
        assert [(await next_frame(peer)).payload for _ in range(2)] == 2 * [b"before"]
        assert (await next_close(peer)).close_code == code
        await peer.aclose()


@both_roles
async def test_violation_behind_a_message_is_told_without_a_receiver(
    role: Role, autojump_clock: trio.testing.MockClock
) -> None:
    """Nobody has to receive for the connection to fail; the message is not lost by it."""
    async with scripted(role) as (websocket, peer):
        bad = peer_frame(role, Opcode.PONG, fin=False)
        await peer.send_bytes(peer_frame(role, Opcode.TEXT, b"before") + bad)
        assert (await next_close(peer)).close_code == 1002
        await peer.aclose()
        assert await websocket.receive() == "before"
        with pytest.raises(ConnectionBroken):
            await websocket.receive()


# Section 7.1.1: a peer that half-closes.


@pytest.mark.parametrize("code", [1000, None], ids=["with a Close", "without one"])
@both_roles
async def test_peer_that_sends_no_more_can_be_answered(role: Role, code: int | None) -> None:
    """A TCP connection that the peer has closed in its own direction carries ours still."""
    ours, theirs = socket_pair()
    async with scripted(role, streams=(ours, theirs)) as (websocket, peer):
        await peer.send_frame(Opcode.TEXT, b"before")
        if code is not None:
            await peer.close_frame(code)
        await theirs.send_eof()
        assert await websocket.receive() == "before"
        kind = ConnectionBroken if code is None else ConnectionEnded
        with pytest.raises(kind):
            await websocket.receive()
        if code is not None:
            assert (await next_close(peer)).close_code == code
        assert await peer.receive_frame() is None
        await hang_up(theirs, reset=False)


# The table


def named_tests() -> list[tuple[str, str]]:
    """Return the files and tests that the table points to."""
    return re.findall(r"``(test_\w+\.py)::(test_\w+)``", CONFORMANCE.read_text())


@cache
def names_in(file: str) -> set[str]:
    """Return the names of the tests that are in a file."""
    tree = ast.parse((ROOT / "tests" / file).read_text())
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    return {node.name for node in tree.body if isinstance(node, functions)}


def test_tests_in_the_documentation_exist() -> None:
    """The table of requirements points to tests that are there, and to many."""
    named = named_tests()
    assert [f"{file}::{name}" for file, name in named if name not in names_in(file)] == []
    assert len(named) >= 60
