"""What everybody needs of a page, held against all pages in all their states.

Names for whoever hears them, contrast in both colour schemes, room on a narrow screen, no motion
for whoever wants none.
"""

import json
import re
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from tests.browser.chat import Person
from tests.browser.chromium import Window
from tests.browser.probe import address_of
from tests.running import EXAMPLES, ROOT
from tests.servers import serve_on_loopback
from trio_ws import Request, Response, Server, WebSocket

CLOCK = EXAMPLES / "clock" / "index.html"
COUNTER = EXAMPLES / "counter" / "index.html"
CHAT = ROOT / "trio_ws" / "demo" / "index.html"
PAGES = [*sorted(EXAMPLES.rglob("*.html")), CHAT]

HARD_TO_SEE = Path(__file__).with_name("contrast.js").read_text(encoding="utf-8")

AT = "2030-01-01T12:00:00.5+00:00"
LONG = "a-word-of-many-letters-" * 8
EVENTS = [
    {"what": "join", "name": "Grace", "at": AT},
    *({"what": "say", "name": "Grace", "text": text, "at": AT} for text in ("hello", LONG)),
    {"what": "gap"},
]

MESSAGES: dict[Path, list[str]] = {
    CLOCK: [AT, AT.replace("12:", "13:")],
    COUNTER: [json.dumps({"value": -123456789, "watching": 3})],
    CHAT: [
        json.dumps({"what": "history", "events": EVENTS}),
        json.dumps({"what": "people", "people": ["Ada", "Grace", LONG[:24]]}),
    ],
}

State = Callable[[Window, Page, Server], Awaitable[object]]


async def at_first(window: Window, page: Page, server: Server) -> None:
    """Leave the page as it comes."""


async def connected(window: Window, page: Page, server: Server) -> None:
    """Wait until all is there that the server has to say."""
    await window.do(expect(page.get_by_text("connected")).to_be_visible())
    await window.do(expect(page.get_by_text(re.compile("watching|after"))).to_be_visible())


async def joined(window: Window, page: Page, server: Server) -> None:
    """Join the chat, and begin to write."""
    person = Person(window, page)
    await person.join("Ada")
    await person.sees(LONG)
    await window.do(person.field.fill("half a sentence"))


async def lost(window: Window, page: Page, server: Server) -> None:
    """Lose the chat."""
    await joined(window, page, server)
    await server.aclose()
    await Person(window, page).is_told("The server is restarting (1001)")


ROOMS = ["link lobby", "link kitchen", "link garden"]
CONTROLS: dict[tuple[Path, State], list[str]] = {
    (CLOCK, connected): [],
    (COUNTER, connected): ["button One less", "button One more"],
    (CHAT, at_first): [*ROOMS, "textbox What is your name?", "button Join"],
    (CHAT, joined): [*ROOMS, "button Change name", "textbox Message", "button Send"],
    (CHAT, lost): [*ROOMS, "button Change name", "textbox Message", "button Send"],
}
in_all_states = pytest.mark.parametrize(
    ("path", "state"),
    CONTROLS,
    ids=[f"{path.parent.name} {state.__name__}" for path, state in CONTROLS],
)


@asynccontextmanager
async def shown(window: Window, path: Path, state: State) -> AsyncGenerator[Page, None]:
    """Show a page in a state, to somebody who wants no motion, without its own server."""

    def answer(request: Request) -> Response | None:
        html = {"Content-Type": "text/html; charset=utf-8"}
        return None if request.is_upgrade else Response(200, html, path.read_bytes())

    async def handler(ws: WebSocket) -> None:
        for message in MESSAGES[path]:
            await ws.send(message)
        await ws.discard_messages()

    async with serve_on_loopback(handler, process_request=answer) as server:
        page = await window.open(address_of(server))
        await window.do(page.emulate_media(reduced_motion="reduce"))
        await state(window, page, server)
        yield page


@in_all_states
async def test_controls_have_names(window: Window, path: Path, state: State) -> None:
    """Whoever cannot see a page hears what each control is for, and where the log is."""
    async with shown(window, path, state) as page:
        seen = await window.do(page.locator("html").aria_snapshot())
        controls = re.findall(r'- (button|link|textbox)(?: "(.*?)")?', seen)
        assert [" ".join(each) for each in controls] == CONTROLS[path, state]
        assert "- heading" in seen
        assert "- main:" in seen
        assert "- status" in seen
        assert ('- log "Messages"' in seen) is (state in (joined, lost))


@in_all_states
async def test_contrast(window: Window, path: Path, state: State) -> None:
    """In light and dark, text and fields stand out from what is behind them."""
    async with shown(window, path, state) as page:
        backgrounds: set[str] = set()
        for scheme in ("light", "dark"):
            await window.do(page.emulate_media(color_scheme=scheme))
            assert await window.do(page.evaluate(HARD_TO_SEE)) == []
            background = "getComputedStyle(document.body).backgroundColor"
            backgrounds.add(await window.do(page.evaluate(background)))
        assert len(backgrounds) == 2


@in_all_states
async def test_narrow_screen_and_no_motion(window: Window, path: Path, state: State) -> None:
    """On the smallest of phones nothing sticks out and all controls are in reach; nothing moves."""
    async with shown(window, path, state) as page:
        await window.do(page.set_viewport_size({"width": 320, "height": 480}))
        assert await window.do(page.evaluate("document.documentElement.scrollWidth")) == 320
        for control in await window.do(page.get_by_role("main").locator("button, textarea").all()):
            if await window.do(control.is_visible()):
                await window.do(expect(control).to_be_in_viewport(ratio=1))
        moving = "getComputedStyle(each).animationName !== 'none'"
        elements = "[...document.querySelectorAll('*')]"
        assert not await window.do(page.evaluate(f"{elements}.some((each) => {moving})"))


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.parent.name)
def test_source(path: Path) -> None:
    """No page makes HTML of strings or loads anything from elsewhere; each says what it is."""
    source = path.read_text(encoding="utf-8")
    assert not re.search(
        r"(inner|outer|insertAdjacent)HTML|document\.write|\beval\b|srcdoc|DOMParser|Fragment\(",
        source,
    )
    assert not re.search(r"https?://|<[a-z]+ [^>]*\bon[a-z]+=", source)
    for needed in (
        '<html lang="en">',
        "<title>",
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        '<meta name="color-scheme" content="light dark">',
        'role="status"',
        "<noscript>",
    ):
        assert needed in source
