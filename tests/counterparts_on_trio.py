"""Other libraries on Trio, in the test's own run: websockets.trio and trio-websocket."""

import functools
import ssl
import urllib.parse
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

import trio
import trio_websocket
import websockets.trio.client
import websockets.trio.connection
import websockets.trio.server
import wsproto.events

from tests.counterparts import (
    HOST,
    Counterpart,
    CounterpartServer,
    Library,
    Message,
    Rejected,
    offered_subprotocols,
    reject_with_websockets,
    rejections_of_websockets,
)

# websockets, on Trio


class _WebsocketsTrioEnd(Counterpart):
    def __init__(self, connection: websockets.trio.connection.Connection) -> None:
        self._connection = connection

    @property
    def subprotocol(self) -> str | None:
        return self._connection.subprotocol

    async def send(self, message: Message) -> None:
        await self._connection.send(message)

    async def send_fragments(self, parts: Sequence[Message]) -> None:
        await self._connection.send(iter(parts))

    async def receive(self) -> Message:
        return await self._connection.recv()

    async def ping(self) -> None:
        answered = await self._connection.ping()
        await answered.wait()

    async def close(self, code: int, reason: str) -> None:
        await self._connection.aclose(code, reason)

    async def abort(self) -> None:
        await trio.aclose_forcefully(self._connection.stream)

    async def wait_closed(self) -> tuple[int | None, str | None]:
        await self._connection.wait_closed()
        return self._connection.close_code, self._connection.close_reason


class WebsocketsTrio(Library):
    """websockets.trio."""

    name = "websockets on Trio"

    @asynccontextmanager
    async def connect(
        self, url: str, tls: ssl.SSLContext | None, subprotocols: Sequence[str] = ()
    ) -> AsyncGenerator[Counterpart, None]:
        """Connect."""
        connecting = websockets.trio.client.connect(
            url, ssl=tls, subprotocols=offered_subprotocols(subprotocols), proxy=None
        )
        async with rejections_of_websockets(connecting) as connection:
            yield _WebsocketsTrioEnd(connection)

    @asynccontextmanager
    async def serve(
        self, tls: ssl.SSLContext | None, subprotocols: Sequence[str] = (), *, rejects: bool = False
    ) -> AsyncGenerator[CounterpartServer, None]:
        """Serve."""
        give, accepted = trio.open_memory_channel[Counterpart](1)

        async def handler(connection: websockets.trio.server.ServerConnection) -> None:
            give.send_nowait(_WebsocketsTrioEnd(connection))
            await connection.wait_closed()

        serve = functools.partial(
            websockets.trio.server.serve,
            handler,
            0,
            host=HOST,
            ssl=tls,
            subprotocols=offered_subprotocols(subprotocols),
            process_request=reject_with_websockets if rejects else None,
        )
        async with trio.open_nursery() as nursery:
            server: websockets.trio.server.Server = await nursery.start(serve)
            port: int = server.listeners[0].socket.getsockname()[1]
            yield CounterpartServer(port, accepted, server.aclose)
            await server.aclose()


# trio-websocket


class _TrioWebsocketEnd(Counterpart):
    def __init__(self, connection: trio_websocket.WebSocketConnection) -> None:
        self._connection = connection
        self._closed = trio.Event()

    @property
    def subprotocol(self) -> str | None:
        return self._connection.subprotocol

    async def send(self, message: Message) -> None:
        await self._connection.send_message(message)

    async def send_fragments(self, parts: Sequence[Message]) -> None:
        # Its public interface has no fragments, but it has a way for them to go.
        for number, part in enumerate(parts, start=1):
            last = number == len(parts)
            await self._connection._send(
                wsproto.events.TextMessage(part, message_finished=last)
                if isinstance(part, str)
                else wsproto.events.BytesMessage(part, message_finished=last)
            )

    async def receive(self) -> Message:
        return await self._connection.get_message()

    async def ping(self) -> None:
        await self._connection.ping()

    async def close(self, code: int, reason: str) -> None:
        await self._connection.aclose(code, reason)

    async def abort(self) -> None:
        await trio.aclose_forcefully(self._connection._stream)

    async def wait_closed(self) -> tuple[int | None, str | None]:
        try:
            while True:
                await self._connection.get_message()
        except trio_websocket.ConnectionClosed as exc:
            self._closed.set()
            if exc.reason is None:
                return 1006, None
            return exc.reason.code, exc.reason.reason or ""

    async def wait_done(self) -> None:
        """Wait until somebody has seen the end."""
        await self._closed.wait()


class TrioWebsocket(Library):
    """trio-websocket."""

    name = "trio-websocket"

    @asynccontextmanager
    async def connect(
        self, url: str, tls: ssl.SSLContext | None, subprotocols: Sequence[str] = ()
    ) -> AsyncGenerator[Counterpart, None]:
        """Connect."""
        # Not its open_websocket_url: that leaves the socket open when the server rejects it, and
        # when the server is the first to close.
        parts = urllib.parse.urlsplit(url)
        assert parts.port is not None
        plain = await trio.open_tcp_stream(HOST, parts.port)
        stream = (
            trio.SSLStream(plain, tls, server_hostname=HOST, https_compatible=True)
            if tls is not None
            else plain
        )
        status: int | None = None
        try:
            async with stream, trio.open_nursery() as nursery:
                connection = await trio_websocket.wrap_client_stream(
                    nursery, stream, parts.netloc, parts.path, subprotocols=subprotocols
                )
                yield _TrioWebsocketEnd(connection)
                await connection.aclose()
        except* trio_websocket.ConnectionRejected as group:
            (rejection,) = group.exceptions
            assert isinstance(rejection, trio_websocket.ConnectionRejected)
            status = rejection.status_code
        if status is not None:
            raise Rejected(status)

    @asynccontextmanager
    async def serve(
        self, tls: ssl.SSLContext | None, subprotocols: Sequence[str] = (), *, rejects: bool = False
    ) -> AsyncGenerator[CounterpartServer, None]:
        """Serve."""
        give, accepted = trio.open_memory_channel[Counterpart](1)

        async def handler(request: trio_websocket.WebSocketRequest) -> None:
            if rejects:
                await request.reject(403, body=b"not you")
                return
            offered = request.proposed_subprotocols
            agreed = next((name for name in subprotocols if name in offered), None)
            end = _TrioWebsocketEnd(await request.accept(subprotocol=agreed))
            give.send_nowait(end)
            await end.wait_done()

        async with trio.open_nursery() as nursery:
            server = await nursery.start(trio_websocket.serve_websocket, handler, HOST, 0, tls)
            yield CounterpartServer(server.port, accepted, None)
            nursery.cancel_scope.cancel()
