"""How connections between Chromium and our server end, as each end sees it."""

import pytest
import trio

from tests.browser.chromium import Window
from tests.browser.probe import both_ends
from trio_ws import Close, ConnectionBroken, ConnectionEnded

ENDINGS = [
    (1000, ""),
    (1000, "bye"),
    (3000, "grüße, 世界 👋"),
    (4999, "x" * 123),  # the longest that a Close frame holds
]


@pytest.mark.parametrize(("code", "reason"), ENDINGS)
async def test_page_closes(window: Window, code: int, reason: str) -> None:
    """The server is told what the page said; the page gets its code back, as a clean end."""
    async with both_ends(window) as (probe, ws, _):
        await probe.run("([code, reason]) => socket.close(code, reason)", [code, reason])
        expected = ConnectionEnded if code == 1000 else ConnectionBroken
        with pytest.raises(expected) as closed:
            await ws.receive()
        assert closed.value.received == Close(code, reason)
        await probe.closed(code)


async def test_page_closes_without_a_code(window: Window) -> None:
    """Then none is sent in either direction, which both ends call 1005."""
    async with both_ends(window) as (probe, ws, _):
        await probe.run("socket.close()")
        with pytest.raises(ConnectionEnded) as closed:
            await ws.receive()
        assert closed.value.received == Close(1005)
        await probe.closed(1005)


@pytest.mark.parametrize(("code", "reason"), [*ENDINGS, (1001, ""), (1011, "oops"), (1013, "")])
async def test_server_closes(window: Window, code: int, reason: str) -> None:
    """The page is told what the server said, and that the end was clean."""
    async with both_ends(window) as (probe, ws, _):
        await ws.send("last words")
        await ws.aclose(code, reason)
        assert ws.close_sent == ws.close_received == Close(code, reason)
        assert (await probe.next())["data"] == "last words"
        await probe.closed(code, reason)


async def test_server_hangs_up(window: Window) -> None:
    """An end without a Close frame is no clean one; the page calls it 1006."""
    async with both_ends(window) as (probe, ws, _):
        await trio.aclose_forcefully(ws.stream)
        await probe.closed(1006, clean=False)
        with pytest.raises(ConnectionBroken):
            await ws.receive()


async def test_page_is_left(window: Window) -> None:
    """Whoever goes to another page, or closes the tab, leaves with 1001."""
    for leave in ("goto", "close"):
        async with both_ends(window) as (probe, ws, _):
            page = probe.page
            await window.do(page.goto("about:blank") if leave == "goto" else page.close())
            with pytest.raises(ConnectionEnded) as closed:
                await ws.receive()
            assert closed.value.received == Close(1001)


async def test_page_sends_before_it_leaves(window: Window) -> None:
    """What a page has sent arrives, though it closes in the same moment."""
    async with both_ends(window) as (probe, ws, _):
        await probe.run("for (let i = 0; i < 100; i++) socket.send(`message ${i}`); socket.close()")
        assert [message async for message in ws] == [f"message {i}" for i in range(100)]
        await probe.closed(1005)
