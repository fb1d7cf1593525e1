"""What users hand in, of any type and any content, at every public function that takes something.

It is refused by `TypeError` or `ValueError`, and then nothing was written and nothing has changed;
or it goes out, and what the other end reads is what was handed in.  Text for handshakes is in
``test_handshake_hostile``, options' numbers are in ``test_options``; here are the wrong types, and
all that an open connection takes.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import pytest
import trio
import trio.testing
from hypothesis import HealthCheck, given, settings, strategies as st

from tests.connections import NO_KEEPALIVE, make_websocket
from tests.helpers import both_roles
from trio_ws import (
    Accept,
    ConnectionRejected,
    Headers,
    Response,
    WebSocket,
    open_websocket_url,
    serve_websocket_listeners,
    wrap_client_stream,
    wrap_server_stream,
)
from trio_ws.protocol.state import Role
from trio_ws.testing import (
    Frame,
    MemoryListener,
    Opcode,
    join_messages,
    parse_frames,
    upgrade_request,
)
from trio_ws.testing._upgrade import check_upgrade_request, parse_head

common = settings(
    deadline=None,
    max_examples=max(50, settings().max_examples // 2),
    suppress_health_check=[HealthCheck.too_slow],
)

texts = st.text(max_size=5) | st.sampled_from(["\ud800", "\0", "\r\n", "x" * 130, "chat"])
anything = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-1, 5000),
    st.sampled_from([0, 999, 1000, 1005, 3000, 1 << 70]),
    st.floats(),
    texts,
    st.binary(max_size=5) | st.sampled_from([bytes(125), bytes(126)]),
    st.binary(max_size=5).map(bytearray),
    st.binary(max_size=5).map(lambda data: memoryview(data)[:]),
    st.binary(max_size=5).map(lambda data: memoryview(data)[::2]),
    st.lists(st.integers(0, 3) | texts, max_size=3),
    st.dictionaries(texts, texts | st.integers(), max_size=2),
    st.builds(object),
)

Call = Callable[[WebSocket, Any, Any], Awaitable[None]]


# Open connections


async def _send(websocket: WebSocket, one: Any, another: Any) -> None:
    await websocket.send(one, text=another)


async def _send_nowait(websocket: WebSocket, one: Any, another: Any) -> None:
    websocket.send_nowait(one, text=another)


async def _ping(websocket: WebSocket, one: Any, another: Any) -> None:
    with trio.move_on_after(1):
        await websocket.ping(one)


async def _pong(websocket: WebSocket, one: Any, another: Any) -> None:
    await websocket.pong(one)


async def _send_stream(websocket: WebSocket, one: Any, another: Any) -> None:
    async with websocket.send_stream(text=isinstance(another, str)) as stream:
        await stream.send(one)


async def _close(websocket: WebSocket, one: Any, another: Any) -> None:
    await websocket.aclose(one, another)


CALLS = [_send, _send_nowait, _ping, _pong, _send_stream, _close]


def sent_by(role: Role, call: Call, one: object, another: object) -> list[Frame] | None:
    """Return the frames that a call with these arguments sends; ``None`` when it was refused.

    Behind a refusal the connection is as it was: a message goes through.
    """
    refused = False
    written = b""

    async def main() -> None:
        nonlocal refused, written
        ours, theirs = trio.testing.memory_stream_pair()
        async with trio.open_nursery() as nursery:
            websocket = make_websocket(ours, role, nursery.start_soon)
            try:
                await call(websocket, one, another)
            except (TypeError, ValueError):
                refused = True
                await websocket.send("still open")
            await websocket.aclose()
            async for data in theirs:
                written += data

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
    frames, rest = parse_frames(written, masked=role is Role.CLIENT)
    assert not rest
    closes = [frame for frame in frames if frame.opcode == Opcode.CLOSE]
    assert closes == frames[-1:]  # one, and nothing is behind it
    if refused:
        assert join_messages(frames[:-1]) == ["still open"]
        assert len(frames) == 2
        return None
    return frames


def as_sent(call: Call, one: Any, another: Any) -> tuple[int, bytes]:
    """Return opcode and payload of what arguments have to become that were not refused."""
    if call is _close:
        return Opcode.CLOSE, int(one).to_bytes(2) + str(another).encode()
    data = one.encode() if isinstance(one, str) else bytes(one)
    if call in (_ping, _pong):
        return (Opcode.PING if call is _ping else Opcode.PONG), data
    text = isinstance(another, str) if call is _send_stream else isinstance(one, str) or another
    return (Opcode.TEXT if text else Opcode.BINARY), data


@common
@given(one=anything, another=anything)
@both_roles
@pytest.mark.parametrize("call", CALLS)
def test_open_connection_sends_what_it_was_given_or_nothing(
    call: Call, role: Role, one: object, another: object
) -> None:
    """Each call of a `WebSocket` with anything for its arguments."""
    frames = sent_by(role, call, one, another)
    if frames is None:
        return
    if call is _ping and one is None:  # of its own choice
        assert frames[0].opcode == Opcode.PING
        return
    if call is _close:
        assert len(frames) == 1
    opcode, payload = as_sent(call, one, another)
    data = [frame for frame in frames if frame.opcode != Opcode.CLOSE or call is _close]
    assert data[0].opcode == opcode
    assert b"".join(frame.payload for frame in data) == payload


# Opening handshakes

OPTIONS = {
    "subprotocols": anything,
    "headers": anything | st.lists(st.tuples(texts, texts), max_size=2),
    "origin": anything,
}


@common
@given(options=st.fixed_dictionaries({}, optional=OPTIONS), url=anything | st.just("ws://a/b"))
def test_client_asks_as_it_was_told_or_not_at_all(options: Mapping[str, Any], url: Any) -> None:
    """Any options and any URL: either an error at once, or a request that says all of it."""
    written = b""
    refused = False

    async def main() -> None:
        nonlocal written, refused
        ours, theirs = trio.testing.memory_stream_pair()
        await theirs.send_all(b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n")
        with pytest.raises((TypeError, ValueError, ConnectionRejected)) as caught:
            async with wrap_client_stream(ours, url, **options):
                pass
        refused = not caught.errisinstance(ConnectionRejected)
        async for data in theirs:
            written += data

    trio.run(main)
    if refused:
        assert written == b""
        return
    found = parse_head(written)
    assert found is not None
    assert found[1] == len(written)
    check_upgrade_request(found[0])
    headers = Headers(options.get("headers", ()))
    assert set(headers.pairs) <= set(found[0].headers)
    if options.get("origin") is not None:
        assert found[0].values("Origin") == [options["origin"]]


@common
@given(url=anything, ssl_context=anything)
def test_client_connects_nowhere_with_nonsense(url: Any, ssl_context: Any) -> None:
    """No URL of these leads anywhere, and none is looked up."""

    async def main() -> None:
        with pytest.raises((TypeError, ValueError)):
            async with open_websocket_url(url, ssl_context):
                pass

    trio.run(main)


SERVER_OPTIONS = {
    "subprotocols": anything,
    "origins": anything | st.lists(anything, max_size=2),
}


@common
@given(options=st.fixed_dictionaries({}, optional=SERVER_OPTIONS))
def test_server_serves_as_it_was_told_or_not_at_all(options: Mapping[str, Any]) -> None:
    """Any options: either an error before a byte is read, or an answer."""
    written = b""
    refused = False

    async def main() -> None:
        nonlocal written, refused
        ours, theirs = trio.testing.memory_stream_pair()
        await theirs.send_all(upgrade_request(headers=[("Origin", "https://localhost")]))
        await theirs.send_eof()
        try:
            async with wrap_server_stream(ours, keepalive=NO_KEEPALIVE, **options):
                pass
        except (TypeError, ValueError):
            refused = True
        except ConnectionRejected as exc:
            assert exc.response.status == 403  # noqa: PT017 - it may be accepted as well
        async for data in theirs:
            written += data

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
    found = parse_head(written)
    assert (found is None) is refused


@common
@given(options=st.fixed_dictionaries({}, optional=SERVER_OPTIONS))
def test_listeners_are_closed_when_options_are_refused(options: Mapping[str, Any]) -> None:
    """A server that cannot begin leaves nothing open."""

    async def main() -> None:
        listener = MemoryListener()
        with trio.move_on_after(1):
            with pytest.raises((TypeError, ValueError)):
                await serve_websocket_listeners(_no_handler, [listener], **options)
        with pytest.raises(ConnectionRefusedError):
            await listener.connect()

    async def _no_handler(websocket: WebSocket) -> None:
        raise AssertionError

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


# Values


@common
@given(one=anything, two=anything, three=anything, four=anything)
def test_values_are_made_or_refused(one: Any, two: Any, three: Any, four: Any) -> None:
    """Headers, responses and decisions of anything at all."""
    for make in (
        lambda: Headers(two),
        lambda: Headers([(one, two)]),
        lambda: Response(one, two, three, four),
        lambda: Response(200, [(one, two)], three),
        lambda: Accept(one, two, three),
    ):
        try:
            made: object = make()
        except (TypeError, ValueError):
            continue
        assert repr(made).isprintable()
