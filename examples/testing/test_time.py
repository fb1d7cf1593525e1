"""Tests of what takes time, in none: with ``autojump_clock`` hours pass at once."""

import pytest
import trio
from trio.testing import MockClock

from chat_server import IDLE, Chat
from trio_ws import Close, ConnectionBroken, ConnectionEnded
from trio_ws.testing import serve_in_memory


async def test_who_sleeps_has_to_go(autojump_clock: MockClock) -> None:
    """The first message puts it off, the second does not come."""
    async with serve_in_memory(Chat().serve) as server, server.open_websocket("/?Ada") as ada:
        await trio.sleep(IDLE - 1)
        await ada.send("yawn")
        await trio.sleep(IDLE - 1)
        assert [await ada.receive(), await ada.receive()] == ["Ada is here", "Ada: yawn"]
        with pytest.raises(ConnectionBroken) as closed:
            await ada.receive()
    assert closed.value.received == Close(4000, "sleep well")
    assert trio.current_time() == pytest.approx(2 * IDLE, abs=2)


async def test_later_is_later(autojump_clock: MockClock) -> None:
    """A scope with a deadline says that nothing has come yet, and loses nothing."""
    async with serve_in_memory(Chat().serve) as server, server.open_websocket("/?Ada") as ada:
        assert await ada.receive() == "Ada is here"
        await ada.send("/later 300 tea is ready")
        with trio.move_on_after(299) as too_early:
            await ada.receive()
        assert too_early.cancelled_caught
        with trio.fail_after(2):
            assert await ada.receive() == "tea is ready"


async def test_what_is_for_later_goes_with_its_author(autojump_clock: MockClock) -> None:
    """Cancelled when the connection ends: nobody hears of the tea."""
    async with serve_in_memory(Chat().serve) as server, server.open_websocket("/?Ada") as ada:
        async with server.open_websocket("/?Bob") as bob:
            await bob.send("/later 300 tea is ready")
        await trio.sleep(400)
        await server.server.aclose(1001, "good night")
        assert [line async for line in ada] == ["Ada is here", "Bob is here", "Bob has left"]
        with pytest.raises(ConnectionEnded) as closed:
            await ada.receive()
    assert closed.value.received == Close(1001, "good night")


async def test_quiet_connection_is_kept_alive(autojump_clock: MockClock) -> None:
    """Pings go out after 20 seconds of silence, and pongs come back: nobody is suspected."""
    async with serve_in_memory(Chat().serve) as server, server.open_websocket("/?Ada") as ada:
        await trio.sleep(IDLE - 1)
        assert ada.latency == pytest.approx(0)
        assert await ada.receive() == "Ada is here"
