"""The yardstick: a bare `trio.SocketStream`, or `trio.SSLStream`, with no WebSocket at all.

The server answers the load generator's handshake with a constant and then passes bytes on; what
it sends of its own is frames made beforehand.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import trio

from benchmarks.frames import RESPONSE, payload, server_frame
from benchmarks.peers.base import HOST, RoundTrips, Service
from benchmarks.peers.certificates import client_context, server_context
from benchmarks.peers.loops import TrioPeer

_REQUEST_HEAD = 6  # in bytes: the header of a short masked frame


class Server(TrioPeer):
    """Streams of Trio."""

    @asynccontextmanager
    async def serving(self, service: Service) -> AsyncGenerator[int, None]:
        """Serve with Trio's own listeners."""
        handle = getattr(_Handlers(service), service.handler)
        context = server_context(service)

        async def accept(stream: trio.abc.Stream) -> None:
            async with stream:
                if not service.tls:
                    await stream.receive_some()
                    await stream.send_all(RESPONSE)
                await handle(stream)

        [listener] = await trio.open_tcp_listeners(0, host=HOST)
        port: int = listener.socket.getsockname()[1]
        async with trio.open_nursery() as nursery:
            if context is None:
                nursery.start_soon(trio.serve_listeners, accept, [listener])
            else:
                secure = trio.SSLListener(listener, context, https_compatible=True)
                nursery.start_soon(trio.serve_listeners, accept, [secure])
            yield port

    @asynccontextmanager
    async def connected(self, service: Service, port: int) -> AsyncGenerator[RoundTrips, None]:
        """Connect with Trio's own functions."""
        context = client_context(service)
        stream: trio.abc.Stream
        if context is None:
            stream = await trio.open_tcp_stream(HOST, port)
            await stream.send_all(b"GET / HTTP/1.1\r\n\r\n")
            await stream.receive_some()
        else:
            stream = await trio.open_ssl_over_tcp_stream(
                HOST, port, https_compatible=True, ssl_context=context
            )
        data = payload(service.size)
        async with stream:

            async def round_trips(count: int) -> None:
                for _ in range(count):
                    await stream.send_all(data)
                    left = len(data)
                    while left:
                        left -= len(await stream.receive_some())

            yield round_trips


class _Handlers:
    def __init__(self, service: Service) -> None:
        self._frame = server_frame(payload(service.size), text=service.text)
        self._clients: set[trio.abc.Stream] = set()

    async def echo(self, stream: trio.abc.Stream) -> None:
        while data := await stream.receive_some():
            await stream.send_all(data)

    async def source(self, stream: trio.abc.Stream) -> None:
        frame = self._frame
        while request := await stream.receive_some():
            for _ in range(int(request[_REQUEST_HEAD:])):
                await stream.send_all(frame)

    async def fan_out(self, stream: trio.abc.Stream) -> None:
        self._clients.add(stream)
        while await stream.receive_some():
            for client in self._clients:
                await client.send_all(self._frame)

    async def elsewhere(self, _: trio.abc.Stream) -> None:
        await trio.sleep_forever()
