"""A program of others over ``trio_ws.compat.trio_websocket``: Selenium, with a real browser."""

from tests.debian import installed
from tests.running import running


async def test_selenium_drives_chromium_over_it() -> None:
    """Selenium's DevTools connection works with the import changed, in both directions."""
    browser = installed("chromium"), installed("chromedriver")
    async with running("-m", "tests.programs.selenium_over_compat", *browser) as program:
        assert await program.finish() == [
            "connection: trio_ws.compat.trio_websocket",
            "console: heard hello",
            "title: A page of ours",
            "large: 2000000",
            "closed: CloseReason<code=1000, name=NORMAL_CLOSURE, reason=None>",
        ]
