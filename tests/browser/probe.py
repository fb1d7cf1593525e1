"""A WebSocket in a page, in the hands of a test, and our server's end of it."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Unpack

import trio
from playwright.async_api import Page

from tests.browser.chromium import Window
from tests.connections import HANGS
from tests.servers import LOOPBACK, ServeOptions, serve_on_loopback
from trio_ws import Request, Response, Server, WebSocket
from trio_ws.testing import TLSContexts

PAGE = Path(__file__).with_name("probe.html").read_bytes()

REFUSED = [
    {"type": "error"},
    {"type": "close", "code": 1006, "reason": "", "wasClean": False},
]
"""What a page sees of a connection that does not come about, whatever the reason."""


def answer(request: Request) -> Response | None:
    """Answer with the page; its WebSockets go on."""
    html = {"Content-Type": "text/html; charset=utf-8"}
    return None if request.is_upgrade else Response(200, html, PAGE)


def address_of(server: Server, scheme: str = "http") -> str:
    """Return where the page is; with "ws", where its WebSockets go."""
    return f"{scheme}://{LOOPBACK}:{server.port}/"


class Probe:
    """A page and the one WebSocket it has at a time."""

    def __init__(self, window: Window, page: Page) -> None:
        self.window = window
        self.page = page

    async def run(self, script: str, argument: object = None) -> Any:
        """Run a script in the page and return what it does, or what its promise becomes."""
        return await self.window.do(self.page.evaluate(script, argument))

    async def connect(self, address: str, *protocols: str) -> None:
        """Begin to connect."""
        await self.run(
            "([address, protocols]) => connect(address, protocols)", [address, protocols]
        )

    async def next(self) -> dict[str, object]:
        """Wait for the next event of the WebSocket and return its facts."""
        happened: dict[str, object] = await self.run("next()")
        return happened

    async def closed(self, code: int, reason: str = "", *, clean: bool = True) -> None:
        """Wait for the end, which must be this and the next event."""
        end = {"type": "close", "code": code, "reason": reason, "wasClean": clean}
        assert await self.next() == end


async def open_probe(window: Window, address: str) -> Probe:
    """Open the page in a new tab."""
    return Probe(window, await window.open(address))


@asynccontextmanager
async def both_ends(
    window: Window,
    *protocols: str,
    tls: TLSContexts | None = None,
    **options: Unpack[ServeOptions],
) -> AsyncGenerator[tuple[Probe, WebSocket, dict[str, object]], None]:
    """Connect a page to a server of ours; yield both ends, and the event ``open``.

    Args:
        window: where to open the page.
        protocols: what the page offers.
        tls: serve https and wss.
        options: of the server.
    """
    arriving, arrivals = trio.open_memory_channel[WebSocket](1)

    async def hand_over(ws: WebSocket) -> None:
        await arriving.send(ws)
        await trio.sleep_forever()  # the end of a handler would close the connection

    secure = "" if tls is None else "s"
    options["process_request"] = answer
    serving = serve_on_loopback(hand_over, tls=tls, **options)
    with trio.fail_after(HANGS):
        async with serving as server:
            probe = await open_probe(window, address_of(server, f"http{secure}"))
            await probe.connect(address_of(server, f"ws{secure}"), *protocols)
            opened = await probe.next()
            assert opened["type"] == "open"
            yield probe, await arrivals.receive(), opened
