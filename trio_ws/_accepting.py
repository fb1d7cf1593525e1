"""The server's side of an opening handshake over a stream: from bytes to a `WebSocket`.

Lives here: reading the request within bounds, asking ``process_request``, answering.  Which
answers a request deserves the sans-I/O layer knows; what becomes of the WebSocket, the server.
"""

from __future__ import annotations

import logging
import ssl
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, NoReturn, TypeAlias, cast

import trio

from trio_ws._awaiting import awaited
from trio_ws._connection import WebSocket
from trio_ws._exceptions import ConnectionRejected, HandshakeError
from trio_ws._groups import is_failure, part
from trio_ws._instrumented import websocket_class
from trio_ws._options import Deflate
from trio_ws._reading import ConnectionOptions
from trio_ws._transport import (
    HANDSHAKE_READ_SIZE,
    make_transport,
    socket_addresses,
    start_tls,
    tls_info,
)
from trio_ws.protocol.connection import Protocol
from trio_ws.protocol.handshake import Accept, ServerHandshake
from trio_ws.protocol.http import Request, Response
from trio_ws.protocol.state import Role

if TYPE_CHECKING:
    from trio_ws._caretaker import Caretaker
    from trio_ws._transport import Spawn
    from trio_ws.protocol.origins import Origins

Decision: TypeAlias = Accept | Response | None
ProcessRequest: TypeAlias = Callable[[Request], Decision | Awaitable[Decision]]

_TLS_HINTS: Final = {
    "HTTP_REQUEST": "; the client wrote ws:// where wss:// is served",
    "NO_SHARED_CIPHER": "; has the ssl_context a certificate, by load_cert_chain()?",
}

# After a refusal we read and drop no more than this, in bytes and in seconds, so that the answer
# arrives instead of a reset.
LINGER_BYTES = 64 * 1024
LINGER_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class AcceptOptions:
    """What a server goes by in its opening handshakes."""

    connection: ConnectionOptions
    subprotocols: Sequence[str]
    origins: Origins
    process_request: ProcessRequest | None
    compression: Deflate | None


class Acceptance:
    """One opening handshake over one stream."""

    __slots__ = ("_handshake", "_options", "_stream")

    def __init__(self, stream: trio.abc.Stream, options: AcceptOptions) -> None:
        self._stream = stream
        self._options = options
        local, peer = socket_addresses(stream)
        self._handshake = ServerHandshake(
            limits=options.connection.limits,
            subprotocols=options.subprotocols,
            origins=options.origins,
            compression=options.compression,
            local_address=local,
            peer_address=peer,
            tls=tls_info(stream),
        )

    async def accept(
        self, spawn: Spawn, caretaker: Caretaker, busy: Callable[[], Response | None]
    ) -> WebSocket:
        """Shake hands and return the WebSocket, which owns the stream then.

        On cancellation the handshake is left where it is: the caller closes the stream.

        Args:
            spawn: starts the background tasks of the connection.
            caretaker: looks after it.
            busy: asked last; its response, if any, is the answer instead.

        Raises:
            ConnectionRejected: the request was answered with another response.
            HandshakeError: the stream ended before there was a request.
        """
        await self._read_request()
        accept = await self._decide()
        refusal = busy()
        if refusal is not None:
            await self.refuse(refusal)
        try:
            head = self._handshake.accept(accept)
        except ValueError as exc:
            self._logger.exception("process_request accepted what cannot be accepted")
            self._tell_error(exc)
            await self.refuse(Response(HTTPStatus.INTERNAL_SERVER_ERROR))
        return self._open(head, accept.context, spawn, caretaker)

    @property
    def request(self) -> Request | None:
        """The client's request, if it has come."""
        return self._handshake.request

    def _open(self, head: bytes, context: object, spawn: Spawn, caretaker: Caretaker) -> WebSocket:
        handshake, options = self._handshake, self._options.connection
        assert handshake.request is not None
        assert handshake.response is not None
        transport = make_transport(
            self._stream, spawn, limits=options.limits, timeouts=options.timeouts
        )
        websocket = websocket_class(options.instruments)(
            Protocol(Role.SERVER, options.limits, handshake.compression),
            transport,
            request=handshake.request,
            response=handshake.response,
            subprotocol=handshake.subprotocol,
            context=context,
            options=options,
            caretaker=caretaker,
            spawn=spawn,
        )
        transport.write_head(head)
        websocket._begin(handshake.trailing_data)
        return websocket

    @property
    def _logger(self) -> logging.Logger:
        return self._options.connection.logger

    def _tell_error(self, error: BaseException) -> None:
        self._options.connection.instruments.tell(lambda each: each.error(None, error))

    async def _read_request(self) -> None:
        handshake = self._handshake
        try:
            while handshake.request is None and handshake.refusal is None:
                data = await self._stream.receive_some(HANDSHAKE_READ_SIZE)
                handshake.receive_data(bytes(data) or None)
                if not data and handshake.request is None:
                    raise HandshakeError("the stream ended before there was a request")
        except (trio.BrokenResourceError, trio.ClosedResourceError) as exc:
            raise HandshakeError("the connection broke before there was a request") from exc

    async def _decide(self) -> Accept:
        """Ask who has a say: the RFC and the origin policy first, then ``process_request``."""
        request, refusal = self._handshake.request, self._handshake.refusal
        if refusal is not None and (request is None or request.is_upgrade):
            if request is not None and refusal.status == HTTPStatus.FORBIDDEN:
                origin = request.origin
                self._logger.info("origin %.200r may not connect; see the option origins", origin)
            await self.refuse(refusal)
        assert request is not None
        decision = await self._ask(request)
        if isinstance(decision, Response):
            await self.refuse(decision)
        if refusal is not None:
            await self.refuse(refusal)
        return decision if isinstance(decision, Accept) else Accept()

    async def _ask(self, request: Request) -> Decision:
        process_request = self._options.process_request
        if process_request is None:
            return None
        try:
            return _checked_decision(await _called(process_request, request))
        except BaseException as exc:  # noqa: BLE001 - parted below, and nothing fatal is kept
            failure, fatal = part(exc, is_failure)
        try:
            if failure is not None:
                target = request.target
                self._logger.error("process_request failed for %.200r", target, exc_info=failure)
                self._tell_error(failure)
            if fatal is not None:
                raise fatal
            return Response(HTTPStatus.INTERNAL_SERVER_ERROR)
        finally:
            del failure, fatal  # their tracebacks refer to this frame: no cycle

    async def refuse(self, response: Response) -> NoReturn:
        """Answer with this response, see that it arrives, and raise `ConnectionRejected`."""
        # There is one answer.  When cancelled before it was given, `refuse_late` can still give it.
        await trio.lowlevel.checkpoint_if_cancelled()
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            await self._stream.send_all(self._handshake.reject(response))
            with trio.move_on_after(LINGER_SECONDS):
                await self._linger()
        raise ConnectionRejected(response)

    async def _linger(self) -> None:
        if isinstance(self._stream, trio.abc.HalfCloseableStream):
            await self._stream.send_eof()
        left = LINGER_BYTES
        while left > 0 and (data := await self._stream.receive_some(HANDSHAKE_READ_SIZE)):
            left -= len(data)

    async def refuse_late(self, busy: Response | None) -> ConnectionRejected:
        """Answer a handshake that took too long, or for which the server has no time any more.

        With ``busy`` if there is that; otherwise 408 when the client has not finished its
        request, 503 when it waits for us.  Returns what `refuse` would raise.
        """
        waiting = self.request is not None
        status = HTTPStatus.SERVICE_UNAVAILABLE if waiting else HTTPStatus.REQUEST_TIMEOUT
        with trio.move_on_after(LINGER_SECONDS, shield=True), suppress(ConnectionRejected):
            await self.refuse(busy or Response(status))
        response = self._handshake.response  # an earlier one, if that was on its way
        assert response is not None
        return ConnectionRejected(response)


def tell_rejected(options: AcceptOptions, acceptance: Acceptance | None, error: Exception) -> None:
    """Tell the instruments that no connection came of a handshake, which may not have begun."""
    request = acceptance.request if acceptance is not None else None
    options.connection.instruments.tell(lambda each: each.rejected(request, error))


async def secured(
    stream: trio.abc.Stream, ssl_context: ssl.SSLContext | None = None
) -> trio.abc.Stream:
    """Make the TLS handshake of an accepted stream, if it is to have TLS, and return what has it.

    Args:
        stream: accepted; it may be somebody's own `trio.SSLStream`.
        ssl_context: for TLS of ours over it.

    Raises:
        HandshakeError: it failed.
    """
    try:
        if ssl_context is not None:
            return await start_tls(stream, ssl_context, server_side=True, server_hostname=None)
        ready: object = stream  # or else its type would be unknown in part below
        if isinstance(ready, trio.SSLStream):
            await cast("trio.SSLStream[trio.abc.Stream]", ready).do_handshake()
    except (trio.BrokenResourceError, trio.ClosedResourceError) as exc:
        raise _tls_failed(exc) from exc
    return stream


def _tls_failed(error: Exception) -> HandshakeError:
    """Return what to raise when a client and we did not come to TLS."""
    cause = error.__cause__
    reason = cause.reason if isinstance(cause, ssl.SSLError) else None
    problem = f"the TLS handshake failed: {cause or error}"
    return HandshakeError(problem + _TLS_HINTS.get(reason or "", ""))


@trio.lowlevel.disable_ki_protection
async def _called(process_request: ProcessRequest, request: Request) -> object:
    return await awaited(process_request(request))


def _checked_decision(decision: object) -> Decision:
    if decision is None or isinstance(decision, (Accept, Response)):
        return decision
    raise TypeError(
        f"process_request must return None, an Accept or a Response, not {decision!r:.100}"
    )
