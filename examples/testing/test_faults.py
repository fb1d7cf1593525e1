"""Tests of what networks do."""

import pytest
import trio
from trio.testing import MockClock

from chat_server import Chat
from trio_ws.testing import Faults, serve_in_memory


async def test_who_vanishes_has_left(autojump_clock: MockClock) -> None:
    """Bob pulls the plug; after 20 seconds it is pinged, and 20 later it is given up."""
    faults = Faults()
    async with (
        serve_in_memory(Chat().serve) as server,
        server.open_websocket("/?Ada") as ada,
        server.open_websocket("/?Bob", faults=faults),
    ):
        assert [await ada.receive(), await ada.receive()] == ["Ada is here", "Bob is here"]
        faults.vanish()
        assert await ada.receive() == "Bob has left"
        assert trio.current_time() == pytest.approx(40, abs=1)


async def test_torn_message_is_not_heard(autojump_clock: MockClock) -> None:
    """The connection is reset in the middle of a frame; half a message is none."""
    faults = Faults()
    async with (
        serve_in_memory(Chat().serve) as server,
        server.open_websocket("/?Ada") as ada,
        server.open_websocket("/?Bob", faults=faults) as bob,
    ):
        faults.reset(after=10, only="receiving")  # as the server sees it
        await bob.send("I have something to say")
        lines = [await ada.receive() for _ in range(3)]
        assert lines == ["Ada is here", "Bob is here", "Bob has left"]


async def test_who_does_not_keep_up_has_to_go(autojump_clock: MockClock) -> None:
    """Nothing gets through to Bob; once too much waits for it, it is let go."""
    faults = Faults()
    async with (
        serve_in_memory(Chat().serve) as server,
        server.open_websocket("/?Ada") as ada,
        server.open_websocket("/?Bob", faults=faults),
    ):
        faults.stall(only="sending")
        while await ada.receive() != "Bob has left":
            await ada.send("x" * 10_000)
            await trio.sleep(1)  # virtual time stands still while anybody is busy
