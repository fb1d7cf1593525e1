"""The page of the tutorial's chat, as its readers open it: in two windows."""

import signal

from playwright.async_api import Page, expect

from tests.browser.chromium import Window
from tests.running import running


async def say(window: Window, page: Page, text: str) -> None:
    """Type a line and send it; the first one is a name."""
    box = page.get_by_role("textbox")
    await window.do(box.fill(text))
    await window.do(box.press("Enter"))


async def shows(window: Window, page: Page, *lines: str) -> None:
    """Wait until the page's log shows these lines and no others."""
    log = page.get_by_role("log", name="Messages")
    await window.do(expect(log.get_by_role("listitem")).to_have_text([*lines]))


async def test_chat_of_the_tutorial(window: Window) -> None:
    """Two people talk, one leaves, the server ends; what is HTML in a line stays text."""
    async with running("tutorial/chat.py", 0) as server:
        address = await server.address()
        ada, grace = await window.open(address), await window.open(address)
        await say(window, ada, "Ada")
        await shows(window, ada, "Ada is here")
        await say(window, grace, "Grace")
        await shows(window, grace, "Grace is here")
        await say(window, ada, "<b>hello</b>")
        await shows(window, grace, "Grace is here", "Ada: <b>hello</b>")
        await window.do(grace.close())
        lines = "Ada is here", "Grace is here", "Ada: <b>hello</b>", "Grace has left"
        await shows(window, ada, *lines)
        server.send_signal(signal.SIGINT)
        await window.do(expect(ada.get_by_role("status")).to_have_text("closed: 1001 "))
        await server.rest()
    assert window.errors == []
