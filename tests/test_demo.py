"""The chat of ``make demo``, over real sockets and with a real Redis."""

import json
import runpy
import signal
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from importlib import import_module
from typing import NoReturn
from urllib.parse import urlsplit

import pytest
import trio
import trio.testing

from tests.connections import pair_over
from tests.redis_server import RedisServer, running_redis
from tests.running import ROOT, fetch, running
from trio_ws import (
    Close,
    ConnectionBroken,
    ConnectionRejected,
    WebSocket,
    connect_websocket_url,
    open_websocket_url,
)
from trio_ws.demo import serve_chat
from trio_ws.demo._presence import GONE_AFTER, TELL_EVERY, Presence
from trio_ws.demo._rooms import MOST_EVENTS, Room
from trio_ws.demo._server import Chat
from trio_ws.pubsub import BrokerUnavailable, MemoryBroker, MessagesMissed, Subscription
from trio_ws.testing import upgrade_request

DEMO = ROOT / "trio_ws" / "demo"


@pytest.fixture
async def redis() -> AsyncGenerator[RedisServer, None]:
    """Run a Redis for the test."""
    async with running_redis() as server:
        yield server


@asynccontextmanager
async def chatting(
    port: int = 0, *, ended_by: signal.Signals = signal.SIGTERM
) -> AsyncGenerator[str, None]:
    """Run the chat until the end of the block, where it gets a signal; yield its address."""
    send, receive = trio.open_memory_channel[str](1)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve_chat, port, send.send_nowait)
        yield await receive.receive()
        signal.raise_signal(ended_by)


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
    async with (
        chatting() as address,
        enter_chat(address) as ada,
        enter_chat(address, "kitchen") as alan,
    ):
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
    async with chatting() as address, enter_chat(address, "kitchen") as ada:
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


async def test_chats_share_rooms_over_redis(
    redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two servers with one Redis have the same people in a room; one that ends takes its own."""
    monkeypatch.setenv("REDIS_URL", redis.url)
    async with chatting() as address:
        # Started in the same way, the second one on a machine finds the port taken.
        taken = urlsplit(address).port
        async with (
            running("-m", "trio_ws.demo", taken) as there,
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
    """On a signal the chat closes its connections with 1001 and ends."""
    async with trio.open_nursery() as nursery:
        async with chatting(ended_by=number) as address:
            ws = await connect_websocket_url(nursery, address.replace("http", "ws", 1))
            await ws.send("Ada")
            await next_event(ws, "join")
        assert await end_of_chat(ws) == Close(1001)


async def test_chat_takes_another_port() -> None:
    """Where its port is taken, it is found on another one."""
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with listener:
        taken: int = listener.socket.getsockname()[1]
        async with chatting(taken) as address:
            assert urlsplit(address).port != taken
            assert (await fetch(address, "GET", "/"))[0] == 200
            assert (await fetch(address, "GET", "/no/room"))[0] == 404


async def test_chat_has_only_so_many_rooms(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever would open one too many is refused; those that are there can be entered."""
    monkeypatch.setattr("trio_ws.demo._server.MOST_ROOMS", 1)
    async with chatting() as address, enter_chat(address, "kitchen") as ada:
        await ada.send("Ada")
        await people_become(ada, "Ada")
        with pytest.raises(ConnectionRejected) as rejected:
            async with enter_chat(address, "library"):
                pytest.fail("the connection was accepted")
        assert rejected.value.response.status == 503
        async with enter_chat(address, "kitchen") as grace:
            await grace.send("Grace")
            await people_become(ada, "Ada", "Grace")


async def test_chat_gives_the_place_of_an_empty_room_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one that was left first is forgotten when there is one too many; no other one is."""
    monkeypatch.setattr("trio_ws.demo._server.MOST_ROOMS", 2)
    broker = MemoryBroker()
    async with trio.open_nursery() as nursery:
        chat = Chat(broker, nursery)
        async with chat._visit("/kitchen") as kitchen, chat._visit("/garden") as garden:
            await trio.testing.wait_all_tasks_blocked()
            topics = broker.statistics().topics
        async with chat._visit("/garden") as again, chat._visit("/kitchen"):
            assert again is garden
        async with chat._visit("/library"):  # in place of the kitchen, which was left before
            await trio.testing.wait_all_tasks_blocked()
            assert broker.statistics().topics == topics
            async with chat._visit("/garden") as again:
                assert again is garden
            async with chat._visit("/kitchen") as again:  # in place of the garden
                assert again is not kitchen
        nursery.cancel_scope.cancel()


async def test_chat_does_not_wait_for_who_sleeps(autojump_clock: trio.testing.MockClock) -> None:
    """A browser that does not answer the goodbye holds the end up for no longer than a moment."""
    async with chatting() as address:
        port = urlsplit(address).port
        assert port is not None
        stream = await trio.open_tcp_stream("localhost", port)
        await stream.send_all(upgrade_request(host=f"localhost:{port}"))
        assert bytes(await stream.receive_some()).startswith(b"HTTP/1.1 101 ")
        began = trio.current_time()
    assert trio.current_time() - began < 5
    await stream.aclose()


async def test_chat_refuses_other_pages() -> None:
    """A page of another origin may not take part."""
    async with chatting() as address:
        url = address.replace("http", "ws", 1)
        with pytest.raises(ConnectionRejected) as rejected:
            async with open_websocket_url(url, origin="https://elsewhere.example"):
                pytest.fail("the connection was accepted")
        assert rejected.value.response.status == 403


class LostBroker(MemoryBroker):
    """A broker that is lost as soon as somebody says something."""

    async def publish(self, topic: str, message: str | bytes) -> None:
        """Fail."""
        raise BrokerUnavailable("for the test")


async def test_chat_room_whose_broker_is_lost() -> None:
    """Whoever says something is told that nobody has heard it."""
    async with trio.open_nursery() as nursery:
        room: Room = await nursery.start(Room(LostBroker(), "/").run)
        async with pair_over() as (ours, theirs):
            await room.enter(theirs, "Ada")
            assert json.loads(await ours.receive()) == {"what": "history", "events": []}
            assert json.loads(await ours.receive()) == {"what": "people", "people": ["Ada"]}
            assert json.loads(await ours.receive()) == {"what": "unavailable"}
        nursery.cancel_scope.cancel()


async def test_chat_room_that_cannot_be_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever would come in is told why, and to come again."""

    def refuse(*_: object, **__: object) -> NoReturn:
        raise BrokerUnavailable("for the test")

    monkeypatch.setattr(MemoryBroker, "subscribe", refuse)
    async with trio.open_nursery() as nursery, pair_over() as (ours, theirs):
        nursery.start_soon(Chat(MemoryBroker(), nursery).take_part, theirs)
        with pytest.raises(ConnectionBroken):
            await ours.receive()
        assert ours.close_received == Close(1013, "the server has lost its broker")


async def test_chat_room_that_has_missed_something(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its people see that there is a gap, and it goes on."""
    gaps = [MessagesMissed("chat:/")]
    receive = Subscription.receive

    async def receive_after_gaps(subscription: Subscription) -> str | bytes:
        if gaps:
            raise gaps.pop()
        return await receive(subscription)

    monkeypatch.setattr(Subscription, "receive", receive_after_gaps)
    async with trio.open_nursery() as nursery:
        room: Room = await nursery.start(Room(MemoryBroker(), "/").run)
        async with pair_over() as (ours, theirs):
            await room.enter(theirs, "Ada")
            history = {"what": "history", "events": [{"what": "gap"}]}
            assert json.loads(await ours.receive()) == history
            assert await next_event(ours, "join") == {"what": "join", "name": "Ada"}
        nursery.cancel_scope.cancel()


async def test_people_of_a_server_that_fell_silent(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """They are forgotten after a while, and not before."""
    broker = MemoryBroker()
    seen: list[list[str]] = []
    here = Presence(broker, "people", lambda: seen.append(here.people()))
    there = Presence(broker, "people", lambda: None)
    async with trio.open_nursery() as nursery:
        for listen_or_repeat in (here.listen, here.repeat):
            nursery.start_soon(listen_or_repeat)
        await trio.testing.wait_all_tasks_blocked()
        await there.add("Grace")
        await here.add("Ada")
        await trio.testing.wait_all_tasks_blocked()
        assert seen[-1] == ["Ada", "Grace"]
        await trio.sleep(GONE_AFTER - 1)
        assert here.people() == ["Ada", "Grace"]
        await trio.sleep(2 * TELL_EVERY)
        assert seen[-1] == ["Ada"]
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize(("arguments", "port"), [([], 8765), (["0"], 0)])
def test_chat_is_a_module_to_run(
    arguments: list[str], port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``python -m trio_ws.demo`` serves on the port that it is given."""
    runs: list[tuple[object, int]] = []

    def run(async_fn: object, port: int) -> None:
        runs.append((async_fn, port))

    monkeypatch.setattr("sys.argv", ["demo", *arguments])
    monkeypatch.setattr("trio.run", run)
    runpy.run_module("trio_ws.demo", run_name="__main__")
    assert runs == [(serve_chat, port)]


def test_chat_can_be_imported() -> None:
    """As tools do that look at all modules: nothing runs then."""
    import_module("trio_ws.demo.__main__")
