"""Selenium's Chrome DevTools connection, which imports trio_websocket, over ours in its place.

    python -m tests.programs.selenium_over_compat CHROMIUM CHROMEDRIVER

Opens a page in Chromium, hears what the page writes to the console (it has talked to our server),
evaluates a script in it, and one with a large result.  Prints what it has seen, a line each.
"""

# ruff: noqa: T201 - a program prints

import sys
import tempfile
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import trio
from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service

from tests.servers import LOOPBACK, echo
from trio_ws import Request, Response, Server, serve_websocket
from trio_ws.compat import trio_websocket as compat

PAGE = """<!doctype html>
<html lang="en"><title>A page of ours</title>
<script>
const ws = new WebSocket(`ws://${location.host}/`);
ws.onopen = () => ws.send("hello");
ws.onmessage = (event) => console.log(`heard ${event.data}`);
</script>
"""

FLAGS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]

LARGE = 2_000_000  # characters, in one message: more than the default limit


def page(request: Request) -> Response | None:
    """Answer with the page who does not want a WebSocket."""
    if request.is_upgrade:
        return None
    return Response(200, {"Content-Type": "text/html"}, PAGE)


@asynccontextmanager
async def driving(chromium: str, chromedriver: str) -> AsyncGenerator[webdriver.Chrome, None]:
    """Start the browser in a home of its own, and end it."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:
        options = Options()
        options.binary_location = chromium
        for flag in (*FLAGS, f"--user-data-dir={home}"):
            options.add_argument(flag)
        driver = await trio.to_thread.run_sync(
            partial(webdriver.Chrome, options=options, service=Service(chromedriver))
        )
        try:
            yield driver
        finally:
            with trio.CancelScope(shield=True):
                await trio.to_thread.run_sync(driver.quit)


async def look(session: Any, devtools: Any, url: str) -> None:
    """Open the page and look at it."""
    runtime = devtools.runtime
    await session.execute(runtime.enable())
    await session.execute(devtools.page.enable())
    async with session.wait_for(runtime.ConsoleAPICalled) as heard:
        await session.execute(devtools.page.navigate(url))
    print("console:", heard.value.args[0].value)
    title, _ = await session.execute(runtime.evaluate(expression="document.title"))
    print("title:", title.value)
    large, _ = await session.execute(runtime.evaluate(expression=f"'x'.repeat({LARGE})"))
    print("large:", len(large.value))


async def main(chromium: str, chromedriver: str) -> None:
    """Run the server and the browser."""
    assert "trio_websocket" not in sys.modules
    sys.modules["trio_websocket"] = compat
    async with trio.open_nursery() as nursery:
        serve = partial(serve_websocket, echo, LOOPBACK, 0, process_request=page)
        server: Server = await nursery.start(serve)
        async with driving(chromium, chromedriver) as driver, driver.bidi_connection() as bidi:
            connection = bidi.session.ws
            assert bidi.cdp is not None
            print("connection:", type(connection).__module__.rpartition(".")[0])
            await look(bidi.session, bidi.devtools, f"http://{LOOPBACK}:{server.port}/")
            await connection.aclose()
            try:
                await bidi.session.execute(bidi.devtools.runtime.disable())
            except bidi.cdp.CdpConnectionClosed as closed:
                print("closed:", closed.reason)
        nursery.cancel_scope.cancel()


if __name__ == "__main__":
    trio.run(main, sys.argv[1], sys.argv[2])
