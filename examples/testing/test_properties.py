"""Tests of what holds whatever is said, by Hypothesis."""

from hypothesis import given, settings, strategies as st

from chat_server import Chat
from trio_ws.testing import Faults, serve_in_memory

texts = st.text() | st.binary()
commands = st.builds("/later {} {}".format, st.text("0123456789-.xe\u0661", max_size=7), st.text())


@settings(deadline=None, max_examples=30)
@given(messages=st.lists(texts | commands, max_size=5))
async def test_nothing_that_is_said_ends_the_chat(messages: list[str | bytes]) -> None:
    """A handler that fails fails the test, so there is nothing to assert."""
    async with serve_in_memory(Chat().serve) as server, server.open_websocket("/?Eve") as eve:
        for message in messages:
            await eve.send(message)


@settings(deadline=None, max_examples=30)
@given(lines=st.lists(st.text()), sizes=st.lists(st.integers(1, 50)))
async def test_order_is_the_same_for_all(lines: list[str], sizes: list[int]) -> None:
    """Everybody hears everything in one order, however the network splits it."""
    faults = Faults()
    faults.split(sizes)
    async with (
        serve_in_memory(Chat().serve) as server,
        server.open_websocket("/?Ada") as ada,
        server.open_websocket("/?Bob", faults=faults) as bob,
    ):
        assert await ada.receive() == "Ada is here"
        for number, line in enumerate(lines):
            await (ada if number % 2 else bob).send(line)
        heard = [(await ada.receive(), await bob.receive()) for _ in range(len(lines) + 1)]
        assert all(by_ada == by_bob for by_ada, by_bob in heard)
