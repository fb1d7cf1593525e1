"""picows: callbacks on asyncio, compiled."""

# Its functions are annotated in part.
# pyright: reportUnknownVariableType=false

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import ClassVar, cast

from picows import (
    WSFrame,
    WSListener,
    WSMsgType,
    WSTransport,
    WSUpgradeRequest,
    ws_connect,
    ws_create_server,
)

from benchmarks.peers.base import HOST, MAX_MESSAGE_SIZE, RoundTrips, Service
from benchmarks.peers.certificates import client_context, server_context
from benchmarks.peers.loops import AsyncioPeer


class Server(AsyncioPeer):
    """picows; no automatic pings unless asked for."""

    @asynccontextmanager
    async def serving(self, service: Service) -> AsyncGenerator[int, None]:
        """Serve with `ws_create_server`."""
        clients: set[WSTransport] = set()

        def listen(_: WSUpgradeRequest) -> WSListener:
            return LISTENERS[service.handler](service, clients)

        server = await ws_create_server(
            listen, HOST, 0, ssl=server_context(service), max_frame_size=2 * MAX_MESSAGE_SIZE
        )
        yield cast("int", server.sockets[0].getsockname()[1])

    @asynccontextmanager
    async def connected(self, service: Service, port: int) -> AsyncGenerator[RoundTrips, None]:
        """Connect with `ws_connect`."""
        transport, listener = await ws_connect(
            lambda: _Client(service),
            service.url(port),
            ssl_context=client_context(service),
            max_frame_size=2 * MAX_MESSAGE_SIZE,
        )
        assert isinstance(listener, _Client)

        async def round_trips(count: int) -> None:
            await listener.exchange(transport, count)

        yield round_trips


class _Listener(WSListener):
    """What all have in common: messages as an application has them, `str` or `bytes`."""

    def __init__(self, service: Service, clients: set[WSTransport]) -> None:
        self.message = service.message
        self.size = service.size
        self.clients = clients


class _Echo(_Listener):
    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        kind = frame.msg_type
        if kind == WSMsgType.TEXT:
            transport.send(kind, frame.get_payload_as_utf8_text())
        elif kind == WSMsgType.BINARY:
            transport.send(kind, frame.get_payload_as_bytes())
        else:
            _answer_close(transport, frame)


class _Sink(_Listener):
    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == WSMsgType.TEXT:
            message = frame.get_payload_as_utf8_text()
            if len(message) != self.size:
                transport.send(WSMsgType.TEXT, message)


class _Source(_Listener):
    """Sends in a task, so that it can wait while the transport is full."""

    def __init__(self, service: Service, clients: set[WSTransport]) -> None:
        super().__init__(service, clients)
        self._writable = asyncio.Event()
        self._writable.set()
        self._task: asyncio.Task[None] | None = None

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == WSMsgType.TEXT:
            count = int(frame.get_payload_as_utf8_text())
            self._task = asyncio.get_running_loop().create_task(self._send(transport, count))

    async def _send(self, transport: WSTransport, count: int) -> None:
        message, writable = self.message, self._writable
        for _ in range(count):
            transport.send(WSMsgType.TEXT, message)
            if not writable.is_set():
                await writable.wait()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()


class _FanOut(_Listener):
    def on_ws_connected(self, transport: WSTransport) -> None:
        self.clients.add(transport)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:  # noqa: ARG002
        message = self.message
        for client in self.clients:
            client.send(WSMsgType.TEXT, message)


class _Elsewhere(_Listener):
    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        pass


class _Client(WSListener):
    """Sends the next message in the callback that has the answer to the last one."""

    _done: asyncio.Future[None]
    _left: int
    _kinds: ClassVar = {str: WSMsgType.TEXT, bytes: WSMsgType.BINARY}

    def __init__(self, service: Service) -> None:
        self._message = service.message
        self._kind = self._kinds[type(self._message)]

    async def exchange(self, transport: WSTransport, count: int) -> None:
        self._left = count
        self._done = asyncio.get_running_loop().create_future()
        transport.send(self._kind, self._message)
        await self._done

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == WSMsgType.TEXT:
            frame.get_payload_as_utf8_text()
        else:
            frame.get_payload_as_bytes()
        self._left -= 1
        if self._left:
            transport.send(self._kind, self._message)
        else:
            self._done.set_result(None)


def _answer_close(transport: WSTransport, frame: WSFrame) -> None:
    if frame.msg_type == WSMsgType.CLOSE:
        transport.send_close(frame.get_close_code(), frame.get_close_message())
        transport.disconnect()


LISTENERS: dict[str, type[_Listener]] = {
    "echo": _Echo,
    "sink": _Sink,
    "source": _Source,
    "fan_out": _FanOut,
    "elsewhere": _Elsewhere,
}
