"""Who is told of what happens: instruments, after the model of `trio.abc.Instrument`.

Lives here: what an instrument may hear, and the telling.  When there is something to tell of an
open connection ``_instrumented`` knows.  Invariant: telling never raises.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from trio_ws._connection import WebSocket
    from trio_ws._exceptions import ConnectionClosed
    from trio_ws.protocol.http import Request, Response

logger = logging.getLogger("trio_ws.instrument")


class Instrument:
    """Hears of what connections do: derive from it, and override what you want to hear of.

    Passed as ``instruments=[...]`` to whatever opens or serves connections; nothing is slower
    where there are none.

    One connection is told of in this order: `accepted`, `opened`, its messages and pings,
    `closed`.  After `opened`, `closed` comes exactly once, however the connection ended.  (The
    `error` of a handler may come after it: a handler can outlive its connection.)  A handshake
    from which no connection came is told of by `rejected` alone.

    The methods are called where things happen, in whichever task, in the thread of Trio: they
    must be quick, cannot wait, and are to look at the `WebSocket` but not to use it.  One that
    raises harms nobody: that is logged with its traceback, and this instrument is told nothing
    more, by this server or client.
    """

    def accepted(self, request: Request, response: Response) -> None:
        """An opening handshake has succeeded; `opened` comes next.

        Args:
            request: of the client: the peer's, or our own.
            response: of the server, with its 101.
        """

    def rejected(self, request: Request | None, error: Exception) -> None:
        """No connection came of an opening handshake.

        Of one that is cancelled by the application nothing is told.

        Args:
            request: as far as it was read, on a server; ``None`` if it was not.  On a client the
                last one that was to be sent.
            error: `ConnectionRejected` where there is a response: ``error.response.status`` is
                408 or 503 for what a server had no time for, and 200 for a page that
                ``process_request`` answered with.  Otherwise another `HandshakeError`, or the
                `OSError` of a failed connection.
        """

    def opened(self, websocket: WebSocket) -> None:
        """A connection is open."""

    def message_sent(self, websocket: WebSocket, size: int, *, text: bool) -> None:
        """A message was committed: `WebSocket.send` returns, the peer may not have it yet.

        Args:
            websocket: where.
            size: of the message, in bytes, before compression; of text, its UTF-8.
            text: whether it is a text message, or a binary one.
        """

    def message_received(self, websocket: WebSocket, size: int, *, text: bool) -> None:
        """A message has arrived in full, whether or not the application ever takes it.

        Of one whose `WebSocket.receive_stream` block was left before its end had come, nothing is
        told.

        Args:
            websocket: where.
            size: of the message, in bytes, after decompression; of text, its UTF-8.
            text: whether it is a text message, or a binary one.
        """

    def ping_answered(self, websocket: WebSocket, round_trip: float) -> None:
        """A ping of ours was answered, one of keepalive or of `WebSocket.ping`.

        Args:
            websocket: where.
            round_trip: the time that took, in seconds.
        """

    def closed(self, websocket: WebSocket, end: ConnectionClosed, duration: float) -> None:
        """A connection is closed, and so is its stream.

        Args:
            websocket: where; its `WebSocket.statistics` are final.
            end: how it ended, without blame: ``end.received`` and ``end.sent`` are the Close
                frames, ``end.code`` the code received, ``end.__cause__`` the transport's error.
            duration: how long it was open, in seconds.
        """

    def error(self, websocket: WebSocket | None, error: BaseException) -> None:
        """Something of the application has failed, or of the system.

        That is what leaves a handler or the block of a connection as an exception (but for the
        end of that connection), and all that is logged as an error: a ``process_request`` that
        raises, a listener that cannot accept.

        Args:
            websocket: whose handler or block it is; ``None`` where there is none.
            error: the exception, or a group of them.
        """


class Instruments:
    """Those that one server, or one client, tells."""

    __slots__ = ("_instruments",)

    def __init__(self, instruments: Sequence[Instrument] = ()) -> None:
        self._instruments = _checked(instruments)

    def __bool__(self) -> bool:
        return bool(self._instruments)

    @trio.lowlevel.enable_ki_protection  # or else a Ctrl-C would count as a failure, and be lost
    def tell(self, event: Callable[[Instrument], object]) -> None:
        """Call this function, which calls one method, with each of them."""
        for instrument in self._instruments:
            try:
                event(instrument)
            except BaseException:  # as trio does: nothing of it may come between us and our work
                self._instruments = tuple(
                    each for each in self._instruments if each is not instrument
                )
                # Not its repr, which may fail as well.
                logger.exception(
                    "an instrument has failed, and is told nothing more: %s",
                    type(instrument).__qualname__,
                )


def _checked(instruments: Sequence[Instrument]) -> tuple[Instrument, ...]:
    """Return the instruments.

    Raises:
        TypeError: one alone instead of a sequence, or something that is none, a class perhaps.
    """
    if isinstance(instruments, Instrument):
        raise TypeError("instruments must be a sequence: write instruments=[instrument]")
    if not isinstance(instruments, Iterable):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(f"instruments must be a sequence of them, not {instruments!r:.100}")
    checked = tuple(instruments)
    for each in checked:
        if not isinstance(each, Instrument):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"an instrument must be an object of Instrument, not {each!r:.100}")
    return checked
