"""Both ends of a WebSocket in memory.

Everything between the two ends is the real thing, opening handshake included; only the network is
not there.  With `trio.testing.MockClock` hours pass in no time.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import trio

from trio_ws._block import websocket_block
from trio_ws._client import ClientOptions, client_opening
from trio_ws._exceptions import HandshakeError
from trio_ws._serve import ServerOptions, server_opening
from trio_ws.testing._streams import bounded_stream_pair

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from trio_ws._connection import WebSocket
    from trio_ws._transport import Spawn


@asynccontextmanager
async def memory_websocket_pair(
    url: str = "ws://localhost/",
    *,
    client: ClientOptions | None = None,
    server: ServerOptions | None = None,
    streams: tuple[trio.abc.Stream, trio.abc.Stream] | None = None,
) -> AsyncGenerator[tuple[WebSocket, WebSocket], None]:
    """Open both ends of one connection, ``as (client, server)``.

    Leaving the block closes both, as leaving the block of `trio_ws.open_websocket_url` does.

    Args:
        url: what the client asks for.
        client: options of the client, see `trio_ws.ClientOptions`.
        server: options of the server, see `trio_ws.ServerOptions`.
        streams: the client's and the server's stream; by default a `bounded_stream_pair`.

    Raises:
        trio_ws.ConnectionRejected: the server, by its options, did not accept the client.
        trio_ws.HandshakeTimeout: it took longer than the client's ``timeouts.open``.
        trio_ws.HandshakeError: it took longer than the server's, which hung up.
        trio_ws.InvalidURL, TypeError, ValueError: the options of one of the two are wrong.
    """
    client_stream, server_stream = streams or bounded_stream_pair()
    pair = _Pair()

    async def open_both(spawn: Spawn) -> WebSocket:
        pair.spawn = spawn
        spawn(pair.open_server, server_stream, server or {})
        try:
            websocket = await client_opening(client_stream, url, client or {})(spawn)
        except HandshakeError:
            await pair.give_server_up()
            raise
        await pair.server_done.wait()
        return websocket

    async with websocket_block(open_both) as websocket:
        try:
            yield websocket, pair.server
        except BaseException as exc:
            pair.close_server(exc)
            raise
        pair.close_server(None)


class _Pair:
    """The server's end of a pair, which has to be opened and closed beside the client's."""

    spawn: Spawn
    server: WebSocket

    def __init__(self) -> None:
        self.server_done = trio.Event()  # opened, or failed to
        self._opening = trio.CancelScope()
        self._error: Exception | None = None

    async def open_server(self, stream: trio.abc.Stream, options: ServerOptions) -> None:
        try:
            with self._opening:
                self.server = await server_opening(stream, options)(self.spawn)
        except HandshakeError:
            pass  # a server that refuses has told the client; it is there that this is raised
        except Exception as exc:  # noqa: BLE001 - raised where the pair is opened, in no group
            self._error = exc
        self.server_done.set()

    async def give_server_up(self) -> None:
        """End a server whose client has failed; raise what it failed with itself, if anything."""
        self._opening.cancel()
        await self.server_done.wait()
        error, self._error = self._error, None
        if error is not None:
            try:
                raise error from None
            finally:
                del error  # an exception that refers to its own frame would be a cycle

    def close_server(self, error: BaseException | None) -> None:
        """Close it while the block closes the client's end: the two shake hands."""
        self.spawn(self.server._leave, error)
