"""We get on with others: R20 of the reliability promises, over real sockets.

Every test runs with each library, as its client and as its server, bare and over TLS.
"""

import functools
import itertools
import math
import random
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import pytest
import trio

from tests.counterparts import HOST, Counterpart, Library, Rejected
from tests.counterparts_in_threads import Aiohttp, WebsocketsAsyncio, WebsocketsSync
from tests.counterparts_on_trio import TrioWebsocket, WebsocketsTrio
from tests.transports import contexts
from trio_ws import (
    ConnectionBroken,
    ConnectionEnded,
    ConnectionRejected,
    Deflate,
    Request,
    Response,
    Server,
    WebSocket,
    open_websocket_url,
    serve_websocket,
)
from trio_ws.protocol.state import Role

LIBRARIES = [WebsocketsTrio(), WebsocketsAsyncio(), WebsocketsSync(), TrioWebsocket(), Aiohttp()]

MIB = 1024 * 1024

# In seconds; nothing here waits for time to pass.
HANGS = 30


@dataclass(frozen=True, slots=True)
class Link:
    """How to connect with another library: which, in which role of ours, with TLS or without.

    Where we want compression, the others do: they compress unless they are told not to.
    """

    library: Library
    role: Role
    secure: bool
    compression: Deflate | None = None

    def url(self, port: int) -> str:
        """Return where a server on this port is."""
        return f"{'wss' if self.secure else 'ws'}://{HOST}:{port}/"

    @asynccontextmanager
    async def open(
        self, *, ours: Sequence[str] = (), theirs: Sequence[str] = ()
    ) -> AsyncGenerator[tuple[WebSocket, Counterpart], None]:
        """Connect; close in the end, both ends within the time.

        Args:
            ours: our subprotocols.
            theirs: the counterpart's.
        """
        connect = self._as_client if self.role is Role.CLIENT else self._as_server
        with trio.fail_after(HANGS):
            async with connect(ours, theirs) as ends:
                yield ends

    @asynccontextmanager
    async def _as_client(
        self, ours: Sequence[str], theirs: Sequence[str]
    ) -> AsyncGenerator[tuple[WebSocket, Counterpart], None]:
        tls = contexts() if self.secure else None
        async with (
            self.library.serve(tls and tls.server, theirs) as server,
            open_websocket_url(
                self.url(server.port),
                tls and tls.client,
                subprotocols=ours,
                compression=self.compression,
            ) as websocket,
        ):
            counterpart = await server.accepted.receive()
            yield websocket, counterpart
            await close_both(websocket, counterpart)

    @asynccontextmanager
    async def _as_server(
        self, ours: Sequence[str], theirs: Sequence[str]
    ) -> AsyncGenerator[tuple[WebSocket, Counterpart], None]:
        async with (
            our_server(self, subprotocols=ours) as (server, accepted),
            self.library.connect(
                self.url(server.port), contexts().client if self.secure else None, theirs
            ) as counterpart,
        ):
            websocket = await accepted.receive()
            yield websocket, counterpart
            await close_both(websocket, counterpart)


async def close_both(websocket: WebSocket, counterpart: Counterpart) -> None:
    """Close a connection, and wait until the other end has noticed."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(counterpart.wait_closed)
        await websocket.aclose()


@asynccontextmanager
async def our_server(
    link: Link,
    *,
    subprotocols: Sequence[str] = (),
    process_request: Callable[[Request], Response | None] | None = None,
) -> AsyncGenerator[tuple[Server, trio.MemoryReceiveChannel[WebSocket]], None]:
    """Serve; what is accepted comes through the channel."""
    give, accepted = trio.open_memory_channel[WebSocket](1)

    async def handler(websocket: WebSocket) -> None:
        give.send_nowait(websocket)
        await websocket.wait_closed()

    serve = functools.partial(
        serve_websocket,
        handler,
        HOST,
        0,
        contexts().server if link.secure else None,
        subprotocols=subprotocols,
        process_request=process_request,
        compression=link.compression,
    )
    async with trio.open_nursery() as nursery:
        server: Server = await nursery.start(serve)
        yield server, accepted
        await server.aclose()


def links(
    *,
    roles: Sequence[Role] = tuple(Role),
    of: Callable[[Library], bool] = lambda _: True,
    secure: Sequence[bool] = (False, True),
) -> pytest.MarkDecorator:
    """Run a test over every link, or over those that it is about."""
    return pytest.mark.parametrize(
        "link",
        [
            pytest.param(
                Link(library, role, over_tls),
                id=f"{role.value} {'over TLS ' if over_tls else ''}with {library.name}",
            )
            for library in LIBRARIES
            if of(library)
            for role in roles
            for over_tls in secure
        ],
    )


every_link = links()


async def both(first: Coroutine[Any, Any, object], second: Coroutine[Any, Any, object]) -> None:
    """Do two things at once."""

    async def run(coroutine: Coroutine[Any, Any, object]) -> None:
        await coroutine

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run, first)
        nursery.start_soon(run, second)


async def expect(message: str | bytes, receive: Coroutine[Any, Any, str | bytes]) -> None:
    """Receive this message."""
    received = await receive
    assert type(received) is type(message)
    assert received == message


# Messages


@every_link
async def test_messages_of_all_sizes_arrive_both_ways(link: Link) -> None:
    """What either end sends is what the other receives, from nothing to a mebibyte."""
    async with link.open() as (ours, theirs):
        for size in 0, 1, 125, 126, 65535, 65536, MIB:
            text = "é" * (size // 2) + "x" * (size % 2)
            for message in text, bytes(range(256)) * (size // 256) + b"\0" * (size % 256):
                await both(ours.send(message), expect(message, theirs.receive()))
                await both(theirs.send(message), expect(message, ours.receive()))


@every_link
async def test_fragments_arrive_both_ways(link: Link) -> None:
    """A mebibyte in 64 fragments is one message at either end, text or binary."""
    async with link.open() as (ours, theirs):
        for part in "p\N{POUND SIGN}" * 5461 + "!", b"\xff" * 16384:
            parts = [part] * 64
            whole = part * 64

            async def send(parts: Sequence[str | bytes] = parts) -> None:
                async with ours.send_stream(text=isinstance(parts[0], str)) as sender:
                    for part in parts:
                        await sender.send(part)

            await both(send(), expect(whole, theirs.receive()))
            await both(theirs.send_fragments(parts), expect(whole, ours.receive()))


@every_link
async def test_fragments_of_theirs_can_be_streamed(link: Link) -> None:
    """What they send in fragments may be received in pieces."""
    parts = [bytes([number]) * 4096 for number in range(16)]
    async with link.open() as (ours, theirs), trio.open_nursery() as nursery:
        nursery.start_soon(theirs.send_fragments, parts)
        async with ours.receive_stream() as receiver:
            assert b"".join(
                [
                    bytes(piece, "utf-8") if isinstance(piece, str) else piece
                    async for piece in receiver
                ]
            ) == b"".join(parts)


@every_link
async def test_pings_are_answered_both_ways(link: Link) -> None:
    """Either end may ping, and the other answers."""
    async with link.open() as (ours, theirs):

        async def ping_and_tell() -> None:
            assert await ours.ping() >= 0
            await ours.send("answered")

        await both(ping_and_tell(), expect("answered", theirs.receive()))
        await theirs.ping()


# Compression

SETTINGS = {
    "as it comes": Deflate(),
    "all, alone": Deflate(threshold=0, context_takeover=False, peer_context_takeover=False),
    "all, together": Deflate(threshold=0, level=9, mem_level=9),
    "small windows": Deflate(window_bits=9, peer_window_bits=9),
    "large windows": Deflate(window_bits=15, peer_window_bits=15),
    "theirs only": Deflate(threshold=math.inf),
}


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
@links(of=lambda library: library.name != "trio-websocket", secure=[False])
async def test_compressed_messages_arrive_both_ways(link: Link, settings: Deflate) -> None:
    """Alike and not alike, small and large, whole and in fragments, with a ping in between."""
    chance = random.Random(9)
    text = "".join(chance.choices("abcdefgh é", k=5000))
    messages: list[str | bytes] = ["", text[:100], text, text, b"", text.encode(), text * 20]
    messages += [chance.randbytes(70_000), "x" * 127, "x" * 128, text[::-1]]
    link = replace(link, compression=settings)
    async with link.open() as (ours, theirs):
        assert ours.compression is not None
        for message in messages:
            await both(ours.send(message), expect(message, theirs.receive()))
            await both(theirs.send(message), expect(message, ours.receive()))
        await theirs.ping()

        async def send_fragments() -> None:
            async with ours.send_stream(text=True) as sender:
                for start in range(0, len(text), 1000):
                    await sender.send(text[start : start + 1000])

        await both(send_fragments(), expect(text, theirs.receive()))
        parts = [text[start : start + 1000] for start in range(0, len(text), 1000)]
        await both(theirs.send_fragments(parts), expect(text, ours.receive()))


# The opening handshake


@every_link
async def test_subprotocol_is_agreed_on(link: Link) -> None:
    """Both ends name the one subprotocol that both speak."""
    async with link.open(ours=["chat.v3", "chat.v2"], theirs=["chat.v2", "chat.v1"]) as ends:
        assert [end.subprotocol for end in ends] == ["chat.v2", "chat.v2"]


@every_link
async def test_no_subprotocol_is_agreed_on_where_the_server_speaks_none(link: Link) -> None:
    """Both ends do without, though the client has made an offer."""
    offer: dict[str, Sequence[str]] = {"ours" if link.role is Role.CLIENT else "theirs": ["chat"]}
    async with link.open(**offer) as ends:
        assert [end.subprotocol for end in ends] == [None, None]


@links(roles=[Role.SERVER])
async def test_our_rejection_arrives(link: Link) -> None:
    """Their client hears the status that our server answers with."""
    with trio.fail_after(HANGS):
        async with our_server(link, process_request=lambda _: Response(403)) as (server, _):
            with pytest.raises(Rejected) as caught:
                async with link.library.connect(
                    link.url(server.port), contexts().client if link.secure else None
                ):
                    pass  # pragma: no cover - this is what must not happen
    assert caught.value.status == 403


@links(roles=[Role.CLIENT])
async def test_their_rejection_arrives(link: Link) -> None:
    """Our client hears the status and the body that their server answers with."""
    tls = contexts() if link.secure else None
    with trio.fail_after(HANGS):
        async with link.library.serve(tls and tls.server, rejects=True) as server:
            with pytest.raises(ConnectionRejected) as caught:
                async with open_websocket_url(link.url(server.port), tls and tls.client):
                    pass  # pragma: no cover - this is what must not happen
    assert caught.value.response.status == 403
    assert b"not you" in caught.value.response.body


# Closing

CLOSES = [(1000, ""), (1001, "so long"), (3000, "dort\N{HORIZONTAL ELLIPSIS}"), (4999, "x" * 123)]


@every_link
async def test_our_close_arrives(link: Link) -> None:
    """The other end hears our code and our reason, and answers."""
    for code, reason in CLOSES:
        async with link.open() as (ours, theirs):

            async def hear(theirs: Counterpart = theirs, expected: object = (code, reason)) -> None:
                assert await theirs.wait_closed() == expected

            await both(ours.aclose(code, reason), hear())
            assert ours.close_received is not None


@every_link
async def test_their_close_arrives(link: Link) -> None:
    """We hear the other end's code and its reason, behind the messages before it, and answer."""
    for code, reason in CLOSES:
        async with link.open() as (ours, theirs):

            async def close(
                theirs: Counterpart = theirs, code: int = code, reason: str = reason
            ) -> None:
                await theirs.send("last words")
                await theirs.close(code, reason)

            async def hear(ours: WebSocket = ours, code: int = code, reason: str = reason) -> None:
                assert await ours.receive() == "last words"
                kind = ConnectionEnded if code < 3000 else ConnectionBroken
                with pytest.raises(kind) as caught:
                    await ours.receive()
                assert (caught.value.code, caught.value.reason) == (code, reason)
                assert caught.value.clean

            await both(close(), hear())


@every_link
async def test_both_close_at_once(link: Link) -> None:
    """Two Close frames that cross are a closing handshake."""
    async with link.open() as (ours, theirs):
        await both(ours.aclose(), theirs.close(1000, ""))
        if ours.close_received is None:
            # Told to close while its reader is answering ours, which over TLS takes some scheduler
            # passes, it hangs up in the midst of that.
            assert (link.library.name, link.secure) == ("trio-websocket", True)
        else:
            assert ours.close_received.code == 1000


@links(roles=[Role.SERVER])
async def test_our_server_drains(link: Link) -> None:
    """Their client hears that our server goes away, and the server is gone in the end."""
    tls = contexts().client if link.secure else None
    with trio.fail_after(HANGS):
        async with (
            our_server(link) as (server, accepted),
            link.library.connect(link.url(server.port), tls) as theirs,
        ):
            await accepted.receive()
            heard: list[object] = []

            async def hear() -> None:
                heard.append(await theirs.wait_closed())

            await both(server.aclose(1012, "back soon"), hear())
            assert heard == [(1012, "back soon")]
            assert server.connections == frozenset()


@links(roles=[Role.CLIENT], of=lambda library: library.name.startswith("websockets"))
async def test_their_server_drains(link: Link) -> None:
    """Our client's loop ends when their server goes away."""
    tls = contexts() if link.secure else None
    with trio.fail_after(HANGS):
        async with (
            link.library.serve(tls and tls.server) as server,
            open_websocket_url(link.url(server.port), tls and tls.client) as ours,
            trio.open_nursery() as nursery,
        ):
            await server.accepted.receive()
            assert server.drain is not None
            nursery.start_soon(server.drain)
            assert [message async for message in ours] == []
            assert ours.close_received is not None
            assert ours.close_received.code == 1001


# Cancellation


def numbered(number: int) -> bytes:
    """Return a large message that tells everywhere which it is."""
    return b"%07d." % number * (256 * 1024 // 8)


@every_link
async def test_our_sender_cancelled_in_mid_send_tears_nothing(link: Link) -> None:
    """The other end gets all that was sent, in order, nothing of what was not, and what follows."""
    sent = 0
    async with link.open() as (ours, theirs), trio.open_nursery() as nursery:

        async def send(task_status: trio.TaskStatus[trio.CancelScope]) -> None:
            nonlocal sent
            with trio.CancelScope() as scope:
                task_status.started(scope)
                while True:
                    await ours.send(numbered(sent))
                    sent += 1

        scope = await nursery.start(send)
        # Until a frame is half written and the next send has to wait for it.
        seen = -1
        while seen != sent or not ours.statistics().buffered_bytes:
            seen = sent
            await trio.testing.wait_all_tasks_blocked(0.01)
        scope.cancel()
        nursery.start_soon(ours.send, "the end")
        number = 0
        while (message := await theirs.receive()) != "the end":
            assert message == numbered(number)
            number += 1
        assert number == sent


async def receive_all(websocket: WebSocket, received: list[str | bytes]) -> None:
    """Receive until that raises."""
    while True:
        received.append(await websocket.receive())


@links(of=lambda library: library.cancellable)
async def test_their_sender_cancelled_in_mid_send_tears_nothing_here(link: Link) -> None:
    """Of what a peer has sent that is then gone in the midst, we get whole messages in order."""
    async with link.open() as (ours, theirs), trio.open_nursery() as nursery:

        async def send(task_status: trio.TaskStatus[trio.CancelScope]) -> None:
            with trio.CancelScope() as scope:
                task_status.started(scope)
                try:
                    for number in itertools.count():
                        await theirs.send(numbered(number))
                except Exception:
                    if not scope.cancel_called:
                        raise  # or else it has heard of the end of its stream first

        scope = await nursery.start(send)
        received = [await ours.receive(), await ours.receive()]
        # It is well ahead of us, and waits for us, amid a frame.
        scope.cancel()
        await theirs.abort()
        with pytest.raises(ConnectionBroken) as caught:
            await receive_all(ours, received)
        assert caught.value.code == 1006
        assert received == [numbered(number) for number in range(len(received))]
