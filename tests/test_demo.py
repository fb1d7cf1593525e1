"""The chat of ``make demo``, in a process of its own, over real sockets and with a real Redis."""

import json
import signal
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager
from urllib.parse import urlsplit

import pytest
import trio
import trio.testing

from tests.redis_server import RedisServer, running_redis
from tests.running import ROOT, fetch, running
from trio_ws import Close, ConnectionRejected, WebSocket, open_websocket_url
from trio_ws.demo._rooms import MOST_EVENTS, Room
from trio_ws.pubsub import MemoryBroker

DEMO = ROOT / "trio_ws" / "demo"


@pytest.fixture
async def redis() -> AsyncGenerator[RedisServer, None]:
    """Run a Redis for the test."""
    async with running_redis() as server:
        yield server


async def next_event(ws: WebSocket, what: str) -> dict[str, object]:
    """Receive the next event of a kind, without the time of it."""
    while True:
        event: dict[str, object] = json.loads(await ws.receive())
        if event["what"] == what:
            event.pop("at", None)
            return event


async def end_of_chat(ws: WebSocket) -> Close | None:
    """Wait for the end of a connection, whatever is told before; return the peer's Close."""
    await ws.discard_messages()
    return ws.close_received


async def people_become(ws: WebSocket, *names: str) -> None:
    """Wait until the room's people are these."""
    while (await next_event(ws, "people"))["people"] != list(names):
        pass


def enter_chat(address: str, room: str = "") -> AbstractAsyncContextManager[WebSocket]:
    """Connect as the page does."""
    url = address.replace("http", "ws", 1) + room
    return open_websocket_url(url, origin=address.rstrip("/"))


async def test_chat_serves_its_page() -> None:
    """The page comes from the address printed, at the path of any room, and nothing else does."""
    page = (DEMO / "index.html").read_text(encoding="utf-8")
    async with running("-m", "trio_ws.demo", 0) as server:
        address = await server.address()
        assert address.startswith("http://localhost:")
        html = "text/html; charset=utf-8"
        assert await fetch(address, "GET", "/") == (200, html, page)
        assert await fetch(address, "GET", "/kitchen?a=b") == (200, html, page)
        assert await fetch(address, "HEAD", "/") == (200, html, "")
        assert (await fetch(address, "GET", "/favicon.ico"))[0] == 404
        server.send_signal(signal.SIGTERM)
        assert await server.finish() == []


async def test_chat_lets_people_of_a_room_talk() -> None:
    """Who is in a room hears the others come, speak and leave; other rooms hear nothing."""
    async with running("-m", "trio_ws.demo", 0) as server:
        address = await server.address()
        async with enter_chat(address) as ada, enter_chat(address, "kitchen") as alan:
            await alan.send("Alan")
            await people_become(alan, "Alan")
            await ada.send("Ada")
            assert await next_event(ada, "join") == {"what": "join", "name": "Ada"}
            async with enter_chat(address) as grace:
                await grace.send("Grace")
                await people_become(ada, "Ada", "Grace")
                joined = {"what": "join", "name": "Grace"}
                assert await next_event(ada, "join") == joined
                await grace.send("<b>hi</b>")
                said = {"what": "say", "name": "Grace", "text": "<b>hi</b>"}
                assert await next_event(ada, "say") == await next_event(grace, "say") == said
            await people_become(ada, "Ada")
            assert await next_event(ada, "leave") == {"what": "leave", "name": "Grace"}
            await alan.send("anybody?")
            heard = await next_event(alan, "say")
            assert heard == {"what": "say", "name": "Alan", "text": "anybody?"}


async def test_chat_tells_what_was_said_before() -> None:
    """Who comes in sees the last lines, in their order."""
    async with running("-m", "trio_ws.demo", 0) as server:
        address = await server.address()
        async with enter_chat(address, "kitchen") as ada:
            await ada.send("Ada")
            for number in range(60):
                await ada.send(f"line {number}")
            while (await next_event(ada, "say"))["text"] != "line 59":
                pass
            async with enter_chat(address, "kitchen") as grace:
                await grace.send("  ")
                history = json.loads(await grace.receive())
                assert history["what"] == "history"
                assert [event["text"] for event in history["events"]] == [
                    f"line {number}" for number in range(10, 60)
                ]
                await people_become(grace, "Ada", "somebody")


async def test_chat_room_stands_when_all_talk_at_once() -> None:
    """However many speak in one moment, the room goes on."""
    broker = MemoryBroker()
    async with trio.open_nursery() as nursery:
        room: Room = await nursery.start(Room(broker, "/").run)
        async with trio.open_nursery() as speakers:
            for _ in range(1000):
                speakers.start_soon(broker.publish, "chat:/", '{"what": "say"}')
        await trio.testing.wait_all_tasks_blocked()
        assert len(room._events) == MOST_EVENTS
        nursery.cancel_scope.cancel()


async def test_chats_share_rooms_over_redis(redis: RedisServer) -> None:
    """Two servers with one Redis have the same people in a room; one that ends takes its own."""
    environment = {"REDIS_URL": redis.url}
    async with running("-m", "trio_ws.demo", 0, environment=environment) as here:
        address = await here.address()
        # Started in the same way, the second one on a machine finds the port taken.
        taken = urlsplit(address).port
        async with (
            running("-m", "trio_ws.demo", taken, environment=environment) as there,
            enter_chat(address) as ada,
            enter_chat(await there.address()) as grace,
        ):
            await ada.send("Ada")
            await people_become(ada, "Ada")
            await grace.send("Grace")
            await people_become(ada, "Ada", "Grace")
            await people_become(grace, "Ada", "Grace")
            await grace.send("hi")
            assert await next_event(ada, "say") == await next_event(grace, "say")
            there.send_signal(signal.SIGTERM)
            assert await end_of_chat(grace) == Close(1001)
            await people_become(ada, "Ada")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_chat_says_goodbye(number: signal.Signals) -> None:
    """On a signal the chat closes its connections with 1001 and ends without a word."""
    async with running("-m", "trio_ws.demo", 0) as server:
        url = (await server.address()).replace("http", "ws", 1)
        async with open_websocket_url(url) as ws:
            await ws.send("Ada")
            await next_event(ws, "join")
            server.send_signal(number)
            assert await end_of_chat(ws) == Close(1001)
        assert await server.finish() == []


async def test_chat_refuses_other_pages() -> None:
    """A page of another origin may not take part."""
    async with running("-m", "trio_ws.demo", 0) as server:
        url = (await server.address()).replace("http", "ws", 1)
        with pytest.raises(ConnectionRejected) as rejected:
            async with open_websocket_url(url, origin="https://elsewhere.example"):
                pytest.fail("the connection was accepted")
        assert rejected.value.response.status == 403
