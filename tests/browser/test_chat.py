"""The page of the chat, with its own server and with servers that behave as they must not."""

import json
import re
import signal
from urllib.parse import urlsplit

import pytest
import trio
from playwright.async_api import Error, expect

from tests.browser.chat import at_tab
from tests.browser.chromium import Window
from tests.browser.probe import address_of
from tests.running import running
from tests.servers import Handler, serve_on_loopback
from trio_ws import Request, Response, WebSocket
from trio_ws.demo._server import answer


async def test_two_people_talk(window: Window) -> None:
    """Each sees the other come, speak and leave; what they write stays text."""
    async with running("-m", "trio_ws.demo", 0) as server:
        address = await server.address()
        ada, grace = await at_tab(window, address), await at_tab(window, address)
        await ada.join("Ada")
        await ada.say("Anybody here?")
        await grace.join("Grace")
        await grace.sees("Anybody here?")
        await ada.sees("Grace joined")
        for person in (ada, grace):
            await person.meets("AAda", "GGrace")
        await grace.say("<img src=x onerror=alert(1)> & <b>bold</b>")
        await ada.sees("<img src=x onerror=alert(1)> & <b>bold</b>")
        await window.do(grace.page.close())
        await ada.sees("Grace left")
        await ada.meets("AAda")


async def test_rooms_are_apart(window: Window) -> None:
    """What is said in one room is not heard in another, and a name goes along."""
    async with running("-m", "trio_ws.demo", 0) as server:
        address = await server.address()
        ada, alan = await at_tab(window, address), await at_tab(window, f"{address}library")
        await ada.join("Ada")
        await alan.join("Alan")
        await alan.say("Hush")
        await ada.say("Hello")
        await ada.meets("AAda")
        await ada.sees("Hush", times=0)
        rooms = ada.page.get_by_role("navigation", name="Rooms")
        await window.click(rooms.get_by_role("link", name="kitchen"))
        await ada.is_told("Connected")
        await window.do(expect(ada.page.get_by_role("heading", name="kitchen")).to_be_visible())
        await window.do(expect(ada.page).to_have_title("kitchen · Chat"))
        await ada.sees("Ada joined")
        await ada.sees("Hello", times=0)
        here = alan.page.get_by_role("navigation").get_by_role("link", name="library")
        await window.do(expect(here).to_have_attribute("aria-current", "page"))


async def test_reload_keeps_name_room_and_draft(window: Window) -> None:
    """Whoever reloads is in again, sees what was said, and goes on writing; until the name goes."""
    async with running("-m", "trio_ws.demo", 0) as server:
        ada = await at_tab(window, f"{await server.address()}kitchen")
        await ada.join("Ada")
        await ada.say("Tea is ready")
        await window.do(ada.field.fill("half a sen"))
        await window.do(ada.page.reload())
        await ada.is_told("Connected")
        await ada.meets("AAda")
        await ada.sees("Tea is ready")
        await window.do(expect(ada.field).to_have_value("half a sen"))
        await window.click(ada.page.get_by_role("button", name="Change name"))
        await ada.join("Countess")
        await ada.meets("CCountess")


async def test_keyboard_is_enough(window: Window) -> None:
    """Who never touches a mouse can join, write lines, and send."""
    async with running("-m", "trio_ws.demo", 0) as server:
        ada = await at_tab(window, await server.address())
        keyboard = ada.page.keyboard
        await window.do(expect(ada.name).to_be_focused())
        await window.do(keyboard.type("Ada"))
        await window.do(keyboard.press("Enter"))
        await ada.is_told("Connected")
        await window.do(expect(ada.field).to_be_focused())
        await window.do(keyboard.type("one"))
        await window.do(keyboard.press("Shift+Enter"))
        await window.do(keyboard.type("two"))
        await window.do(keyboard.press("Enter"))
        said = ada.log.get_by_text(re.compile(r"^one\ntwo$"))
        await window.do(expect(said).to_be_visible())
        await window.do(expect(ada.field).to_have_value(""))
        await window.do(expect(ada.field).to_be_focused())


async def test_server_restarts(window: Window) -> None:
    """Pages say so, come back by themselves, and have forgotten nothing."""
    async with running("-m", "trio_ws.demo", 0) as server:
        address = await server.address()
        ada, grace = await at_tab(window, address), await at_tab(window, address)
        await ada.join("Ada")
        await grace.join("Grace")
        await ada.say("See you")
        await grace.sees("See you")
        server.send_signal(signal.SIGTERM)
        assert await server.finish() == []
        for person in (ada, grace):
            await person.is_told("The server is restarting (1001). Connecting again")
        await window.do(ada.field.fill("I am still here"))
        await window.do(ada.field.press("Enter"))
    async with running("-m", "trio_ws.demo", urlsplit(address).port) as server:
        assert await server.address() == address
        for person in (ada, grace):
            await person.is_told("Connected")
            await person.meets("AAda", "GGrace")
            await person.sees("See you")
        await window.do(expect(ada.field).to_have_value("I am still here"))
        await window.do(ada.field.press("Enter"))
        await grace.sees("I am still here")


def line(text: str) -> dict[str, str]:
    """Return something that Ada has said."""
    return {"what": "say", "name": "Ada", "text": text, "at": "2030-01-01T12:00:00+00:00"}


async def fail(ws: WebSocket) -> None:
    """Have an error."""
    raise ValueError("for the test")


async def vanish(ws: WebSocket) -> None:
    """Hang up without a word."""
    await trio.aclose_forcefully(ws.stream)


def close_with(code: int, reason: str = "") -> Handler:
    """Return what closes so."""

    async def close(ws: WebSocket) -> None:
        await ws.aclose(code, reason)

    return close


@pytest.mark.parametrize(
    ("end", "words"),
    [
        (close_with(1000), "The server said goodbye (1000)."),
        (close_with(1001), "The server is restarting (1001)."),
        (close_with(1008), "The server refused to go on (1008)."),
        (fail, "The server had an error (1011)."),
        (close_with(1013), "This page was too slow, or the server is too busy (1013)."),
        (close_with(4000, "<b>out of tea</b>"), "The connection was lost (<b>out of tea</b>)."),
        (vanish, "The connection was lost (1006)."),
    ],
    ids=["1000", "1001", "1008", "1011", "1013", "a reason", "1006"],
)
async def test_page_says_what_happened(window: Window, end: Handler, words: str) -> None:
    """However a connection ends, the page says it in words, tries again, and is in again."""
    connections = 0
    seen = trio.Event()

    async def answer_when_seen(request: Request) -> Response | None:
        if request.is_upgrade and connections:
            await seen.wait()
        return answer(request)

    async def handler(ws: WebSocket) -> None:
        nonlocal connections
        connections += 1
        await (end(ws) if connections == 1 else ws.discard_messages())

    async with serve_on_loopback(handler, process_request=answer_when_seen) as server:
        person = await at_tab(window, address_of(server))
        await person.give_name("Ada")
        await person.is_told(f"{words} Connecting again …")
        await window.do(expect(person.send).to_be_disabled())
        seen.set()
        await person.is_told("Connected")
        await window.do(expect(person.send).to_be_enabled())


@pytest.mark.parametrize("arrived", [True, False])
async def test_what_was_lost_can_be_sent_again(window: Window, arrived: bool) -> None:
    """What the server has not got when the connection ends is in the field again, and only then."""
    connections = 0
    before, said = line("before"), line("lost?")

    async def handler(ws: WebSocket) -> None:
        nonlocal connections
        connections += 1
        assert await ws.receive() == "Ada"
        events = [before, said] if connections > 1 and arrived else [before]
        await ws.send(json.dumps({"what": "history", "events": events}))
        if connections == 1:
            assert await ws.receive() == "lost?"
            await ws.aclose(1001)
        else:
            await ws.send(json.dumps({"what": "people", "people": ["Ada", "Grace"]}))
            await ws.discard_messages()

    async with serve_on_loopback(handler, process_request=answer) as server:
        ada = await at_tab(window, address_of(server))
        await ada.join("Ada")
        await window.do(ada.field.fill("lost?"))
        await window.do(ada.field.press("Enter"))
        await ada.meets("AAda", "GGrace")
        await window.do(expect(ada.field).to_have_value("" if arrived else "lost?"))
        await ada.sees("lost?", times=1 if arrived else 0)
        await ada.sees("before", times=1)


async def test_log_shows_the_end_unless_one_looks_back(window: Window) -> None:
    """The log follows what is said, stays where somebody reads, and does not grow for ever."""

    async def handler(ws: WebSocket) -> None:
        events = [line(f"line {number}") for number in range(600)]
        await ws.send(json.dumps({"what": "history", "events": events}))
        async for message in ws:
            await ws.send(json.dumps(line(str(message))))

    async with serve_on_loopback(handler, process_request=answer) as server:
        grace = await at_tab(window, address_of(server))
        await grace.join("Grace")
        await window.do(expect(grace.log.get_by_role("listitem")).to_have_count(500))
        await grace.say("the end")
        for height in (700, 400):  # less, where a keyboard comes up
            await window.do(grace.page.set_viewport_size({"width": 360, "height": height}))
            await window.do(expect(grace.log.get_by_text("the end")).to_be_in_viewport())
        earlier = grace.log.get_by_text("line 300", exact=True)
        await window.do(earlier.scroll_into_view_if_needed())
        await grace.say("one more")
        await window.do(expect(earlier).to_be_in_viewport())
        await window.do(expect(grace.log.get_by_text("one more")).not_to_be_in_viewport())


async def test_broker_is_lost(window: Window) -> None:
    """What could not be handed on is in the field again, and the page says why."""

    async def handler(ws: WebSocket) -> None:
        await ws.send(json.dumps({"what": "gap"}))
        async for _ in ws:
            await ws.send(json.dumps({"what": "unavailable"}))

    async with serve_on_loopback(handler, process_request=answer) as server:
        ada = await at_tab(window, address_of(server))
        await ada.join("Ada")
        await ada.sees("Some messages may be missing here")
        await window.do(ada.field.fill("hello"))
        await window.do(ada.field.press("Enter"))
        await ada.sees("That could not be sent: the server has lost its broker", times=2)
        await window.do(expect(ada.field).to_have_value("hello"))


async def test_page_that_goes_offline(window: Window) -> None:
    """It says so, and does not wait for its timer when the network is back."""

    async def handler(ws: WebSocket) -> None:
        await ws.discard_messages()

    async with serve_on_loopback(handler, process_request=answer) as server:
        ada = await at_tab(window, address_of(server))
        await window.do(ada.page.evaluate("window.setTimeout = () => 0"))  # no timer ever ends
        await ada.join("Ada")
        await window.do(window.context.set_offline(offline=True))
        (ws,) = server.connections
        await vanish(ws)
        await ada.is_told("You are offline (1006). Connecting again")
        await window.do(window.context.set_offline(offline=False))
        await ada.is_told("Connected")


@pytest.mark.parametrize(("random", "share"), [(0, 0.5), (1, 1)])
async def test_page_tries_less_and_less_often(window: Window, random: int, share: float) -> None:
    """The time between tries doubles up to a limit, and half of it is left to chance."""
    await window.do(
        window.context.add_init_script(
            f"""
            window.delays = [];
            Math.random = () => {random};
            const later = setTimeout;
            window.setTimeout = (act, delay) => {{ delays.push(delay); return later(act, 0); }};
            """
        )
    )

    async def handler(ws: WebSocket) -> None:
        await ws.discard_messages()

    async with serve_on_loopback(handler, process_request=answer) as server:
        ada = await at_tab(window, address_of(server))
        await server.aclose()
        await ada.give_name("Ada")
        await ada.is_told("The server cannot be reached. Trying again …")
        await window.do(ada.page.wait_for_function("() => delays.length >= 7"))
        delays = await window.do(ada.page.evaluate("delays.slice(0, 7)"))
        assert delays == [share * full for full in (500, 1000, 2000, 4000, 8000, 15000, 15000)]


async def test_browser_refuses_html_of_strings(window: Window) -> None:
    """The browser itself keeps a careless line in the page from making HTML of what people say."""
    async with serve_on_loopback(vanish, process_request=answer) as server:
        ada = await at_tab(window, address_of(server))
        with pytest.raises(Error, match="TrustedHTML"):
            await window.do(ada.page.evaluate("document.body.innerHTML = '<b>bold</b>'"))
