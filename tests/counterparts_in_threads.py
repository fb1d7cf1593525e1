"""Other libraries that are no Trio's: websockets.asyncio, aiohttp and websockets.sync, in threads.

Two run on an asyncio loop in a thread, one blocks in threads of its own; what they return is
brought back to the test's task.
"""

import asyncio
import functools
import ssl
import threading
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    ExitStack,
    asynccontextmanager,
)
from typing import Any, TypeVar

import aiohttp
import aiohttp.web
import trio
import websockets.asyncio.client
import websockets.asyncio.connection
import websockets.asyncio.server
import websockets.sync.client
import websockets.sync.connection
import websockets.sync.server

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

T = TypeVar("T")


# What runs on asyncio: websockets


class LoopThread:
    """An asyncio event loop in a thread, and how to have coroutines run there."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._trio = trio.lowlevel.current_trio_token()

    @classmethod
    @asynccontextmanager
    async def running(cls) -> AsyncGenerator["LoopThread", None]:
        """Run one in this block."""
        self = cls()
        self._thread.start()
        try:
            yield self
        finally:
            with trio.CancelScope(shield=True):
                await self.run(self._cancel_all())
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    @staticmethod
    async def _cancel_all() -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        # A TLS transport that is aborted needs two turns of the loop.
        for _ in range(3):
            await asyncio.sleep(0)

    async def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine to its end; it is cancelled when this is."""
        future = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        done = trio.Event()
        future.add_done_callback(lambda _: self.tell(done.set))
        try:
            await done.wait()
        except trio.Cancelled:
            future.cancel()
            with trio.CancelScope(shield=True):
                await done.wait()
            raise
        return future.result()

    async def call(self, function: Callable[[], object]) -> None:
        """Call a function in the loop."""

        async def call() -> None:
            function()

        await self.run(call())

    def tell(self, function: Callable[[], object]) -> None:
        """Call a function on Trio's side; to be called from this side."""
        self._trio.run_sync_soon(function)

    @asynccontextmanager
    async def within(self, manager: AbstractAsyncContextManager[T]) -> AsyncGenerator[T, None]:
        """Have this block run inside a context manager of that side."""
        entered = await self.run(manager.__aenter__())
        try:
            yield entered
        finally:
            with trio.CancelScope(shield=True):
                await self.run(self._leave(manager))

    @staticmethod
    async def _leave(manager: AbstractAsyncContextManager[Any]) -> None:
        await manager.__aexit__(None, None, None)


class _WebsocketsAsyncioEnd(Counterpart):
    def __init__(
        self, loop: LoopThread, connection: websockets.asyncio.connection.Connection
    ) -> None:
        self._loop = loop
        self._connection = connection

    @property
    def subprotocol(self) -> str | None:
        return self._connection.subprotocol

    async def send(self, message: Message) -> None:
        await self._loop.run(self._connection.send(message))

    async def send_fragments(self, parts: Sequence[Message]) -> None:
        await self._loop.run(self._connection.send(iter(parts)))

    async def receive(self) -> Message:
        return await self._loop.run(self._connection.recv())

    async def ping(self) -> None:
        async def ping() -> None:
            answered = await self._connection.ping()
            await answered

        await self._loop.run(ping())

    async def close(self, code: int, reason: str) -> None:
        await self._loop.run(self._connection.close(code, reason))

    async def abort(self) -> None:
        await self._loop.call(self._connection.transport.abort)

    async def wait_closed(self) -> tuple[int | None, str | None]:
        await self._loop.run(self._connection.wait_closed())
        return self._connection.close_code, self._connection.close_reason


class WebsocketsAsyncio(Library):
    """websockets.asyncio, in a thread."""

    name = "websockets on asyncio"

    @asynccontextmanager
    async def connect(
        self, url: str, tls: ssl.SSLContext | None, subprotocols: Sequence[str] = ()
    ) -> AsyncGenerator[Counterpart, None]:
        """Connect."""

        async def connecting() -> websockets.asyncio.client.connect:
            return websockets.asyncio.client.connect(
                url, ssl=tls, subprotocols=offered_subprotocols(subprotocols), proxy=None
            )

        async with LoopThread.running() as loop:
            connection = loop.within(await loop.run(connecting()))
            async with rejections_of_websockets(connection) as entered:
                yield _WebsocketsAsyncioEnd(loop, entered)

    @asynccontextmanager
    async def serve(
        self, tls: ssl.SSLContext | None, subprotocols: Sequence[str] = (), *, rejects: bool = False
    ) -> AsyncGenerator[CounterpartServer, None]:
        """Serve."""
        give, accepted = trio.open_memory_channel[Counterpart](1)

        async def handler(connection: websockets.asyncio.server.ServerConnection) -> None:
            end = _WebsocketsAsyncioEnd(loop, connection)
            loop.tell(functools.partial(give.send_nowait, end))
            await connection.wait_closed()

        async def serve() -> websockets.asyncio.server.Server:
            return await websockets.asyncio.server.serve(
                handler,
                HOST,
                0,
                ssl=tls,
                subprotocols=offered_subprotocols(subprotocols),
                process_request=reject_with_websockets if rejects else None,
            )

        async def drain() -> None:
            server.close()
            await server.wait_closed()

        async with LoopThread.running() as loop:
            server = await loop.run(serve())
            port: int = server.sockets[0].getsockname()[1]
            yield CounterpartServer(port, accepted, lambda: loop.run(drain()))
            await loop.run(drain())


# aiohttp


class _AiohttpEnd(Counterpart):
    """It reads, and so answers pings and the Close, only while it is asked for messages."""

    def __init__(
        self,
        loop: LoopThread,
        connection: aiohttp.ClientWebSocketResponse | aiohttp.web.WebSocketResponse,
        transport: asyncio.Transport | None,
        subprotocol: str | None,
    ) -> None:
        assert transport is not None
        self._loop = loop
        self._connection = connection
        self._transport = transport
        self._subprotocol = subprotocol
        self._end: tuple[int | None, str | None] | None = None
        self.done = asyncio.Event()

    @property
    def subprotocol(self) -> str | None:
        return self._subprotocol

    async def send(self, message: Message) -> None:
        await self._loop.run(
            self._connection.send_str(message)
            if isinstance(message, str)
            else self._connection.send_bytes(message)
        )

    async def send_fragments(self, parts: Sequence[Message]) -> None:
        await self.send(
            "".join(map(str, parts)) if isinstance(parts[0], str) else b"".join(map(_bytes, parts))
        )

    async def receive(self) -> Message:
        return await self._loop.run(self._receive())

    async def _receive(self) -> Message:
        while True:
            item = await self._connection.receive()
            match item.type:
                case aiohttp.WSMsgType.TEXT | aiohttp.WSMsgType.BINARY:
                    message: Message = item.data
                    return message
                case aiohttp.WSMsgType.PING:
                    await self._connection.pong(item.data)
                case aiohttp.WSMsgType.CLOSE:
                    self._end = item.data, item.extra
                    raise ConnectionError("closed")
                case _:
                    raise ConnectionError(item.type.name)

    async def ping(self) -> None:
        async def ping() -> None:
            await self._connection.ping(b"are you there?")
            item = await self._connection.receive()
            assert item.type is aiohttp.WSMsgType.PONG
            assert item.data == b"are you there?"

        await self._loop.run(ping())

    async def close(self, code: int, reason: str) -> None:
        await self._loop.run(self._connection.close(code=code, message=reason.encode()))
        self._end = self._connection.close_code, None

    async def abort(self) -> None:
        await self._loop.call(self._transport.abort)

    async def wait_closed(self) -> tuple[int | None, str | None]:
        async def wait_closed() -> None:
            try:
                while self._end is None:
                    await self._receive()
            except ConnectionError:
                pass
            self.done.set()

        await self._loop.run(wait_closed())
        return self._end or (self._connection.close_code, None)


def _bytes(part: Message) -> bytes:
    assert isinstance(part, bytes)
    return part


class Aiohttp(Library):
    """aiohttp, in a thread."""

    name = "aiohttp"

    @asynccontextmanager
    async def connect(
        self, url: str, tls: ssl.SSLContext | None, subprotocols: Sequence[str] = ()
    ) -> AsyncGenerator[Counterpart, None]:
        """Connect."""

        async def session() -> aiohttp.ClientSession:
            return aiohttp.ClientSession()

        async def connect() -> aiohttp.ClientWebSocketResponse:
            return await client.ws_connect(
                url, ssl=tls or True, protocols=subprotocols, autoping=False, compress=15
            )

        async with LoopThread.running() as loop, loop.within(await loop.run(session())) as client:
            try:
                connection = await loop.run(connect())
            except aiohttp.WSServerHandshakeError as exc:
                raise Rejected(exc.status) from exc
            assert connection._conn is not None
            transport = connection._conn.transport
            yield _AiohttpEnd(loop, connection, transport, connection.protocol)
            await loop.run(connection.close())

    @asynccontextmanager
    async def serve(
        self, tls: ssl.SSLContext | None, subprotocols: Sequence[str] = (), *, rejects: bool = False
    ) -> AsyncGenerator[CounterpartServer, None]:
        """Serve."""
        give, accepted = trio.open_memory_channel[Counterpart](1)

        async def handler(request: aiohttp.web.Request) -> aiohttp.web.StreamResponse:
            if rejects:
                raise aiohttp.web.HTTPForbidden(text="not you")
            connection = aiohttp.web.WebSocketResponse(protocols=subprotocols, autoping=False)
            await connection.prepare(request)
            end = _AiohttpEnd(loop, connection, request.transport, connection.ws_protocol)
            loop.tell(functools.partial(give.send_nowait, end))
            await end.done.wait()
            return connection

        async def serve() -> aiohttp.web.AppRunner:
            application = aiohttp.web.Application()
            application.router.add_get("/", handler)
            runner = aiohttp.web.AppRunner(application, shutdown_timeout=1)
            await runner.setup()
            await aiohttp.web.TCPSite(runner, HOST, 0, ssl_context=tls).start()
            return runner

        async with LoopThread.running() as loop:
            runner = await loop.run(serve())
            try:
                yield CounterpartServer(runner.addresses[0][1], accepted, None)
            finally:
                with trio.CancelScope(shield=True):
                    await loop.run(runner.cleanup())


# What blocks


class _WebsocketsSyncEnd(Counterpart):
    def __init__(self, connection: websockets.sync.connection.Connection) -> None:
        self._connection = connection

    @property
    def subprotocol(self) -> str | None:
        return self._connection.subprotocol

    async def send(self, message: Message) -> None:
        await _in_thread(self._connection.send, message)

    async def send_fragments(self, parts: Sequence[Message]) -> None:
        await _in_thread(self._connection.send, iter(parts))

    async def receive(self) -> Message:
        return await _in_thread(self._connection.recv)

    async def ping(self) -> None:
        answered = await _in_thread(self._connection.ping)
        await _in_thread(answered.wait)

    async def close(self, code: int, reason: str) -> None:
        await _in_thread(self._connection.close, code, reason)

    async def abort(self) -> None:
        await _in_thread(self._connection.close_socket)

    async def wait_closed(self) -> tuple[int | None, str | None]:
        await _in_thread(self._connection.wait_closed)
        return self._connection.close_code, self._connection.close_reason


async def _in_thread(function: Callable[..., T], *args: object) -> T:
    # Who is cancelled leaves the thread to itself: it ends when the connection does.
    return await trio.to_thread.run_sync(function, *args, abandon_on_cancel=True)


class _InThreads(AbstractAsyncContextManager[T]):
    """A context manager that blocks, and so does the making of it."""

    def __init__(self, make: Callable[[], AbstractContextManager[T]]) -> None:
        self._make = make
        self._stack = ExitStack()

    async def __aenter__(self) -> T:
        return await _in_thread(lambda: self._stack.enter_context(self._make()))

    async def __aexit__(self, *_: object) -> None:
        with trio.CancelScope(shield=True):
            await _in_thread(self._stack.close)


class WebsocketsSync(Library):
    """websockets.sync, in threads."""

    name = "websockets in threads"
    cancellable = False

    @asynccontextmanager
    async def connect(
        self, url: str, tls: ssl.SSLContext | None, subprotocols: Sequence[str] = ()
    ) -> AsyncGenerator[Counterpart, None]:
        """Connect."""
        connect = functools.partial(
            websockets.sync.client.connect,
            url,
            ssl=tls,
            subprotocols=offered_subprotocols(subprotocols),
            proxy=None,
        )
        async with rejections_of_websockets(_InThreads(connect)) as connection:
            yield _WebsocketsSyncEnd(connection)

    @asynccontextmanager
    async def serve(
        self, tls: ssl.SSLContext | None, subprotocols: Sequence[str] = (), *, rejects: bool = False
    ) -> AsyncGenerator[CounterpartServer, None]:
        """Serve."""
        give, accepted = trio.open_memory_channel[Counterpart](1)
        token = trio.lowlevel.current_trio_token()

        def handler(connection: websockets.sync.server.ServerConnection) -> None:
            token.run_sync_soon(give.send_nowait, _WebsocketsSyncEnd(connection))
            connection.wait_closed()

        server = websockets.sync.server.serve(
            handler,
            HOST,
            0,
            ssl=tls,
            subprotocols=offered_subprotocols(subprotocols),
            process_request=reject_with_websockets if rejects else None,
        )
        port: int = server.socket.getsockname()[1]
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_in_thread, server.serve_forever)
            try:
                yield CounterpartServer(port, accepted, lambda: _in_thread(server.shutdown))
            finally:
                with trio.CancelScope(shield=True):
                    await _in_thread(server.shutdown)
