"""First tests of the chat, in memory."""

import pytest
import trio

from chat_server import Chat
from trio_ws import ConnectionBroken, WebSocket
from trio_ws.testing import memory_websocket_pair, serve_in_memory
from trio_ws.testing.pytest_plugin import StartMemoryServer


async def test_everybody_in_the_room_hears() -> None:
    """A whole server and its clients, all in this one function."""
    async with serve_in_memory(Chat().serve) as server, server.open_websocket("/a?Ada") as ada:
        assert await ada.receive() == "Ada is here"
        async with server.open_websocket("/a?Bob") as bob:
            assert await ada.receive() == await bob.receive() == "Bob is here"
            await bob.send("hello")
            assert await ada.receive() == await bob.receive() == "Bob: hello"
        assert await ada.receive() == "Bob has left"


async def test_rooms_are_apart(memory_server: StartMemoryServer) -> None:
    """The same with a fixture of the plugin: the server ends with the test."""
    server = await memory_server(Chat().serve)
    async with server.open_websocket("/a?Ada") as ada, server.open_websocket("/b?Bob") as bob:
        await bob.send("hello")
        assert [await bob.receive(), await bob.receive()] == ["Bob is here", "Bob: hello"]
        await ada.send("is it quiet?")
        assert [await ada.receive(), await ada.receive()] == ["Ada is here", "Ada: is it quiet?"]


async def test_handler_alone() -> None:
    """No server: the handler gets one end of a pair, the test has the other."""
    async with (
        memory_websocket_pair("ws://localhost/?Ada") as (client, server),
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(Chat().serve, server)
        assert await client.receive() == "Ada is here"
        await client.aclose()


async def test_failing_handler_closes_with_1011(memory_server: StartMemoryServer) -> None:
    """Where a failing handler is what is tested, it must not fail the test."""

    async def fail(ws: WebSocket) -> None:
        raise LookupError(ws.request.path)

    server = await memory_server(fail, isolate_handlers=True)
    async with server.open_websocket("/kitchen") as ws:
        with pytest.raises(ConnectionBroken) as closed:
            await ws.receive()
    assert closed.value.code == 1011
