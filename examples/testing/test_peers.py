"""Tests of clients that are not as they should be."""

from chat_server import Chat
from trio_ws.testing import Opcode, ScriptedPeer, serve_in_memory


async def test_who_breaks_the_rules_has_to_go() -> None:
    """A peer of the test's own sends what no client may: a text that is no UTF-8."""
    async with (
        serve_in_memory(Chat().serve) as server,
        ScriptedPeer(await server.connect(), "client") as peer,
    ):
        await peer.client_handshake("/?Eve")
        await peer.send_frame(Opcode.TEXT, b"\xff")
        frames, _ = await peer.receive_frames()
    assert frames[-1].close_code == 1007
