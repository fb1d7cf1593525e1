"""`WebSocketRequest`: the handler decides whether to accept, where trio_ws has asked before.

Lives here: an opening handshake that stops half-way.  `read_request` reads what the client wants
and turns away whom nobody may accept; the rest waits for the application.
Invariant: each request is answered, once, and its stream belongs to the connection, or is closed.
"""

from __future__ import annotations

import ssl
from contextlib import suppress
from http import HTTPStatus

import trio

from trio_ws import _exceptions as native
from trio_ws._accepting import Acceptance, AcceptOptions, secured
from trio_ws._caretaker import Caretaker
from trio_ws._connection import WebSocket
from trio_ws._groups import part
from trio_ws._transport import Spawn, close_forcefully
from trio_ws.compat.trio_websocket._connection import WebSocketConnection
from trio_ws.compat.trio_websocket._endpoint import Endpoint, endpoint_of
from trio_ws.compat.trio_websocket._errors import DisconnectionTimeout
from trio_ws.compat.trio_websocket._headers import Pairs, from_pairs, of_rejection, request_pairs
from trio_ws.compat.trio_websocket._options import CONN_TIMEOUT
from trio_ws.protocol.handshake import Accept
from trio_ws.protocol.http import Request, Response


class Proposal(Acceptance):
    """An opening handshake whose request was read, and whose answer comes from outside."""

    __slots__ = ()

    async def read(self) -> None:
        """Read the request; answer it here if that is not the application's business.

        Raises:
            ConnectionRejected: it was answered.
            HandshakeError: the stream ended before there was a request.
        """
        await self._read_request()
        await self._decide()  # there is no process_request: the RFC alone has a say

    def open(self, accept: Accept, spawn: Spawn) -> WebSocket:
        """Accept; the WebSocket owns the stream then.

        Raises:
            ValueError: the client did not offer this subprotocol.
            RuntimeError: the request was answered.
        """
        head = self._handshake.accept(accept)
        return self._open(head, accept.context, spawn, Caretaker(spawn))

    @property
    def stream(self) -> trio.abc.Stream:
        """The stream below."""
        return self._stream


async def read_request(
    stream: trio.abc.Stream, ssl_context: ssl.SSLContext | None, options: AcceptOptions
) -> Proposal:
    """Begin an opening handshake, within ``timeouts.open``; unless it succeeds, close the stream.

    Raises:
        HandshakeError: there is no request that could be accepted.
    """
    try:
        return await _read_in_time(stream, ssl_context, options)
    except BaseException:
        await close_forcefully(stream)
        raise


async def _read_in_time(
    stream: trio.abc.Stream, ssl_context: ssl.SSLContext | None, options: AcceptOptions
) -> Proposal:
    timeout = options.connection.timeouts.open
    proposal: Proposal | None = None
    with trio.move_on_after(timeout):
        proposal = Proposal(await secured(stream, ssl_context), options)
        await proposal.read()
        return proposal
    if proposal is not None:
        await proposal.refuse_late(None)
    raise native.HandshakeTimeout("tls" if proposal is None else "handshake", timeout)


class WebSocketRequest:
    """A client's request for a connection: `accept` it, or `reject` it.

    Made by `serve_websocket` and `wrap_server_stream`.  What a handler leaves unanswered is
    answered with 500, on cancellation with 503; when it raises, with nothing.
    """

    def __init__(
        self, proposal: Proposal, spawn: Spawn, disconnect_timeout: float = CONN_TIMEOUT
    ) -> None:
        assert proposal.request is not None
        self._proposal: Proposal | None = proposal  # until it is answered
        self._request: Request = proposal.request
        self._stream = proposal.stream
        self._spawn = spawn
        self._disconnect_timeout = disconnect_timeout
        self._answered = trio.Event()
        self._connection: WebSocketConnection | None = None

    @property
    def headers(self) -> Pairs:
        """The headers of the request, names in lower case.

        But for Host, and for those that offer subprotocols and extensions.
        """
        return request_pairs(self._request.headers)

    @property
    def path(self) -> str:
        """The path asked for, and the query, percent-encoded."""
        return self._request.target

    @property
    def proposed_subprotocols(self) -> tuple[str, ...]:
        """The subprotocols offered, in the client's order of preference."""
        return self._request.subprotocols

    @property
    def local(self) -> Endpoint | str:
        """Our end, or the repr of the stream where that is no TCP connection."""
        return endpoint_of(self._request.local_address, self._stream, secure=self._request.secure)

    @property
    def remote(self) -> Endpoint | str:
        """The client's end, or the repr of the stream where that is no TCP connection."""
        return endpoint_of(self._request.peer_address, self._stream, secure=self._request.secure)

    @trio.lowlevel.enable_ki_protection
    async def accept(
        self,
        *,
        subprotocol: str | None = None,
        extra_headers: list[tuple[bytes, bytes]] | None = None,
    ) -> WebSocketConnection:
        """Open the connection and return it.

        Cancelled, it has done nothing.

        Args:
            subprotocol: one of those that the client offered.
            extra_headers: added to the response.

        Raises:
            ValueError: the client did not offer this subprotocol, or the headers cannot be sent.
            RuntimeError: the request was answered already.
            ConnectionClosed: the client is gone.
        """
        accept = Accept(subprotocol, from_pairs(extra_headers))
        await trio.lowlevel.checkpoint()
        websocket = self._unanswered().open(accept, self._spawn)
        self._connection = WebSocketConnection(websocket, self._disconnect_timeout)
        self._note_answered()
        self._connection._check_open()
        return self._connection

    async def reject(
        self,
        status_code: int,
        *,
        extra_headers: list[tuple[bytes, bytes]] | None = None,
        body: bytes | None = None,
    ) -> None:
        """Answer with another response, and close the stream.

        Args:
            status_code: from 200 to 599.
            extra_headers: of the response; Connection, Content-Length and Transfer-Encoding are
                set by the library.
            body: of the response; by default it is empty.

        Raises:
            ValueError: this response cannot be sent.
            RuntimeError: the request was answered already.
        """
        response = Response(status_code, of_rejection(extra_headers), body or b"")
        with suppress(native.ConnectionRejected):
            await self._unanswered().refuse(response)
        await close_forcefully(self._stream)
        self._note_answered()

    def _unanswered(self) -> Proposal:
        if self._proposal is None:
            raise RuntimeError("the request was answered already")
        return self._proposal

    def _note_answered(self) -> None:
        self._proposal = None  # not for as long as the handler runs
        self._answered.set()

    async def _leave(self, error: BaseException | None) -> None:
        """Close as the end of a handler demands, which this exception has ended; raise no other."""
        with suppress(DisconnectionTimeout, trio.Cancelled):
            if self._connection is not None:
                await self._connection._leave(error)
            elif not isinstance(error, Exception):  # that ends the server, and nothing holds it up
                await self._answer_late(cancelled=error is not None)

    async def _answer_late(self, *, cancelled: bool) -> None:
        if self._proposal is not None:
            failed = Response(HTTPStatus.INTERNAL_SERVER_ERROR)
            await self._proposal.refuse_late(None if cancelled else failed)
            await close_forcefully(self._stream)
            self._note_answered()

    def _without_own_closing(self, error: BaseException) -> BaseException | None:
        """Split off what says that this request's connection is closed: that is a normal end."""
        connection = self._connection
        return error if connection is None else part(error, connection._is_own_closing)[1]

    @trio.lowlevel.enable_ki_protection
    async def _guard(self) -> None:
        """Stay until the connection is closed; close it when the nursery is cancelled."""
        try:
            await self._answered.wait()
            if self._connection is not None:
                await self._connection.websocket._wait_stream_closed()
        except BaseException as exc:
            await self._leave(exc)
            raise
