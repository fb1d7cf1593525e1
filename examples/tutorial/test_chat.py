"""Tutorial: tests of the chat.  Run them with ``python -m pytest test_chat.py``."""

import pytest
import trio
import trio.testing

from chat import PATIENCE, Room
from trio_ws import Close, ConnectionBroken, open_websocket_url, serve_websocket
from trio_ws.testing import serve_in_memory, tls_contexts


async def test_everybody_hears_everybody() -> None:
    """In memory: what one says, all hear, and also who comes and goes."""
    async with serve_in_memory(Room().chat) as server, server.open_websocket() as ada:
        await ada.send("Ada")
        assert await ada.receive() == "Ada is here"
        async with server.open_websocket() as grace:
            await grace.send("Grace")
            assert await ada.receive() == await grace.receive() == "Grace is here"
            await grace.send("hello")
            assert await ada.receive() == await grace.receive() == "Grace: hello"
        assert await ada.receive() == "Grace has left"


async def test_who_says_no_name_is_let_go(autojump_clock: trio.testing.MockClock) -> None:
    """In virtual time: a minute of silence takes no time at all."""
    async with serve_in_memory(Room().chat) as server, server.open_websocket() as silent:
        with pytest.raises(ConnectionBroken) as closed:
            await silent.receive()
        assert closed.value.received == Close(1008, "who are you?")
        assert autojump_clock.current_time() == pytest.approx(PATIENCE, abs=1)


async def test_who_does_not_keep_up_is_let_go() -> None:
    """In memory: one that does not read is closed, once its buffer is full."""
    room = Room()
    async with serve_in_memory(room.chat) as server, server.open_websocket() as slow:
        await slow.send("Slow")
        assert await slow.receive() == "Slow is here"
        for _ in range(10):
            room.tell_all("x" * 100_000)
        with pytest.raises(ConnectionBroken) as closed:
            await slow.discard_messages()
        assert closed.value.received == Close(1013, "too slow")


async def test_over_tls() -> None:
    """Over a real socket and real TLS, with a certificate of a moment."""
    contexts = tls_contexts("localhost")
    async with trio.open_nursery() as nursery:
        server = await nursery.start(serve_websocket, Room().chat, "localhost", 0, contexts.server)
        async with open_websocket_url(f"wss://localhost:{server.port}/", contexts.client) as ws:
            await ws.send("Ada")
            assert await ws.receive() == "Ada is here"
        await server.aclose()
