"""The pages of the examples, in a real browser."""

import re
import signal
from datetime import datetime
from urllib.parse import urlsplit

import pytest
from playwright.async_api import Locator, Page, expect

from tests.browser.chromium import Window
from tests.running import running


def ticks_of(page: Page) -> Locator:
    """Return the times that the clock has shown, the last one first."""
    return page.get_by_role("list", name="Ticks").get_by_role("time")


async def test_clock_ticks(window: Window) -> None:
    """Times come one after the other, each a new one, and the page says how long each has taken."""
    async with running("clock/server.py", 0) as server:
        page = await window.open(await server.address())
        await window.do(expect(page.get_by_role("status")).to_have_text("connected"))
        await window.do(expect(ticks_of(page)).not_to_have_count(0))
        newest = await window.do(ticks_of(page).first.get_attribute("datetime"))
        assert newest is not None
        changed = expect(ticks_of(page).first).not_to_have_attribute("datetime", newest)
        await window.do(changed)
        # All at once, for it ticks on.
        ticks: list[tuple[str, str]] = await window.do(
            ticks_of(page).evaluate_all(
                "ticks => ticks.map((tick) => [tick.dateTime, tick.nextSibling.textContent])"
            )
        )
        times = [datetime.fromisoformat(time) for time, _ in ticks]
        for (_, waited), time, before in zip(ticks, times, times[1:], strict=False):
            assert time > before
            seconds = float(waited.removeprefix("after ").removesuffix(" s"))
            assert seconds == pytest.approx((time - before).total_seconds(), abs=0.01)


async def test_clock_comes_back(window: Window) -> None:
    """A clock whose server was killed says so, and ticks again when there is a server again."""
    async with running("clock/server.py", 0) as server:
        address = await server.address()
        page = await window.open(address)
        status = page.get_by_role("status")
        await window.do(expect(status).to_have_text("connected"))
        server.send_signal(signal.SIGKILL)
        await server.finish(-signal.SIGKILL)
        await window.do(expect(status).to_have_text("connection lost (1006), trying again …"))
    async with running("clock/server.py", urlsplit(address).port) as server:
        assert await server.address() == address
        await window.do(expect(status).to_have_text("connected"))
        await window.do(expect(ticks_of(page)).not_to_have_count(0))


async def test_counter_in_three_tabs(window: Window) -> None:
    """Each click is seen in all tabs; all know how many there are, also when one is closed."""
    async with running("counter/server.py", 0) as server:
        address = await server.address()
        tabs = [await window.open(address) for _ in range(3)]

        async def all_show(value: int, watching: str) -> None:
            for tab in tabs:
                await window.do(expect(tab.get_by_label("Value")).to_have_text(str(value)))
                await window.do(expect(tab.get_by_text("watching")).to_have_text(watching))

        await all_show(0, "3 are watching")
        for value, tab in enumerate(tabs, start=1):
            await window.click(tab.get_by_role("button", name="One more"))
            await all_show(value, "3 are watching")
        await window.do(tabs[0].get_by_role("button", name="One less").press("Enter"))
        await all_show(2, "3 are watching")
        for watching in ("2 are watching", "1 is watching"):
            await window.do(tabs.pop().close())
            await all_show(2, watching)


async def test_counter_that_is_lost_cannot_be_clicked(window: Window) -> None:
    """While there is no connection, the buttons are disabled; then they work again."""
    async with running("counter/server.py", 0) as server:
        address = await server.address()
        page = await window.open(address)
        up = page.get_by_role("button", name="One more")
        await window.do(expect(up).to_be_enabled())
        server.send_signal(signal.SIGINT)
        await server.rest()
        lost = re.compile(r"connection lost \(1001\), trying again")
        await window.do(expect(page.get_by_text(lost)).to_be_visible())
        await window.do(expect(up).to_be_disabled())
    async with running("counter/server.py", urlsplit(address).port) as server:
        assert await server.address() == address
        await window.click(up)
        await window.do(expect(page.get_by_label("Value")).to_have_text("1"))
