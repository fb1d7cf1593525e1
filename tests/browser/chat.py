"""People at the page of the chat."""

import re

from playwright.async_api import Locator, Page, expect

from tests.browser.chromium import Window


class Person:
    """Somebody at a tab, who finds everything as a screen reader does: by role and name."""

    def __init__(self, window: Window, page: Page) -> None:
        self.page = page
        self.window = window
        self.log: Locator = page.get_by_role("log", name="Messages")
        self.name: Locator = page.get_by_role("textbox", name="What is your name?")
        self.field: Locator = page.get_by_role("textbox", name="Message")
        self.send: Locator = page.get_by_role("button", name="Send")
        self.status: Locator = page.get_by_role("status")
        self.people: Locator = page.get_by_role("list", name="Here now").get_by_role("listitem")
        self.do = window.do

    async def give_name(self, name: str) -> None:
        """Say who it is, whatever comes of it."""
        await self.do(self.name.fill(name))
        await self.window.click(self.page.get_by_role("button", name="Join"))

    async def join(self, name: str) -> None:
        """Say who it is, and wait to be in."""
        await self.give_name(name)
        await self.is_told("Connected")

    async def say(self, text: str) -> None:
        """Say something, and wait until everybody has been told."""
        await self.do(self.field.fill(text))
        await self.window.click(self.send)
        await self.sees(text)

    async def sees(self, text: str, *, times: int = 1) -> None:
        """Wait until this stands in the log so many times."""
        await self.do(expect(self.log.get_by_text(text, exact=True)).to_have_count(times))

    async def is_told(self, words: str) -> None:
        """Wait until the status begins so."""
        await self.do(expect(self.status).to_have_text(re.compile(f"^{re.escape(words)}")))

    async def meets(self, *names: str) -> None:
        """Wait until these are the people in the room."""
        await self.do(expect(self.people).to_have_text([*names]))


async def at_tab(window: Window, address: str) -> Person:
    """Open the chat in a new tab."""
    return Person(window, await window.open(address))
