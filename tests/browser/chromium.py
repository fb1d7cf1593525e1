"""A headless Chromium, driven from Trio.

Playwright speaks asyncio, so a thread of its own runs that event loop, and what a test wants of the
browser is carried over: ``await window.do(page.get_by_label("Name").fill("Ada"))``.  The coroutine
runs over there while Trio's tasks, our servers among them, go on here.

There is one browser for all tests of a process and a fresh context for each of them.
"""

import asyncio
import os
import subprocess
from collections.abc import AsyncGenerator, Coroutine, Generator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import trio
from anyio.from_thread import BlockingPortal, start_blocking_portal
from playwright.async_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Locator,
    Page,
    ViewportSize,
    WebError,
    async_playwright,
    expect,
)

from tests.debian import installed
from trio_ws.testing import TLSContexts, tls_contexts

T = TypeVar("T")

# What a page may take for anything; it takes a fraction.  Playwright says best what did not happen,
# so it gives up first.
SECONDS = 20.0
ALL_SECONDS = 25.0

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

WIDE: ViewportSize = {"width": 1000, "height": 700}


class Window:
    """The tabs of one test, which share what they store with nobody else.

    Attributes:
        console: what they have written to the console; Chromium itself writes there why it could
            not connect.
        errors: the exceptions that their scripts did not catch.
    """

    def __init__(self, portal: BlockingPortal, context: BrowserContext) -> None:
        self.context = context
        self.console: list[str] = []
        self.errors: list[str] = []
        self._portal = portal

    async def do(self, work: Coroutine[Any, Any, T]) -> T:
        """Run something of playwright, in its thread, and return what it returns."""
        run_there = self._portal.call
        return await trio.to_thread.run_sync(run_there, asyncio.wait_for, work, ALL_SECONDS)

    def note_console(self, message: ConsoleMessage) -> None:
        """Keep what a page has written."""
        self.console.append(message.text)

    def note_error(self, error: WebError) -> None:
        """Keep what a script has not caught."""
        self.errors.append(str(error.error))

    async def open(self, address: str) -> Page:
        """Open a page in a new tab."""
        page = await self.do(self.context.new_page())
        await self.do(page.goto(address))
        return page

    async def click(self, target: Locator) -> None:
        """Click on something; its tab comes to the front first, for others are seldom drawn."""
        await self.do(target.page.bring_to_front())
        await self.do(target.click())


class Chromium:
    """The browser.

    Attributes:
        tls: contexts of an authority that the browser trusts.
    """

    def __init__(self, portal: BlockingPortal, browser: Browser, tls: TLSContexts) -> None:
        self.tls = tls
        self._portal = portal
        self._browser = browser

    @asynccontextmanager
    async def window(
        self, *, viewport: ViewportSize = WIDE, scale: float = 1
    ) -> AsyncGenerator[Window, None]:
        """Open a window without tabs; in the end no script in it may have failed."""
        window = await trio.to_thread.run_sync(self._portal.call, self._new_window, viewport, scale)
        try:
            yield window
        finally:
            with trio.CancelScope(shield=True):
                await window.do(window.context.close())
        assert window.errors == []

    async def _new_window(self, viewport: ViewportSize, scale: float) -> Window:
        context = await self._browser.new_context(
            viewport=viewport,
            device_scale_factor=scale,
            locale="en-GB",
            timezone_id="Europe/London",
        )
        context.set_default_timeout(1000 * SECONDS)
        window = Window(self._portal, context)
        context.on("console", window.note_console)
        context.on("weberror", window.note_error)
        return window


@contextmanager
def running_chromium() -> Generator[Chromium, None, None]:
    """Start the browser in a home of its own, and end it with the block."""
    path = installed("chromium")
    expect.set_options(timeout=1000 * SECONDS)
    with (
        # A helper of the browser that outlives it for a moment may still write there.
        TemporaryDirectory(ignore_cleanup_errors=True) as home,
        start_blocking_portal("asyncio") as portal,
        portal.wrap_async_context_manager(async_playwright()) as playwright,
    ):
        tls = tls_contexts()
        _trust(Path(home), *tls.client.get_ca_certs(binary_form=True))

        async def launch() -> Browser:
            return await playwright.chromium.launch(
                executable_path=path, args=FLAGS, env={**os.environ, "HOME": home, "TMPDIR": home}
            )

        browser = portal.call(launch)
        try:
            yield Chromium(portal, browser, tls)
        finally:
            portal.call(browser.close)


def _trust(home: Path, authority: bytes) -> None:
    """Have the browser of this home trust an authority, as an administrator would."""
    database = home / ".pki" / "nssdb"
    database.mkdir(parents=True)
    certificate = home / "authority.der"
    certificate.write_bytes(authority)
    certutil = [installed("certutil"), "-d", f"sql:{database}"]
    subprocess.run([*certutil, "-N", "--empty-password"], check=True)
    trusted = ["-A", "-n", "tests", "-t", "C,,", "-i", str(certificate)]
    subprocess.run([*certutil, *trusted], check=True)
