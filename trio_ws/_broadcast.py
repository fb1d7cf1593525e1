"""One message to many connections, without waiting for any of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NoReturn

import trio

from trio_ws._close import Close, CloseCode
from trio_ws._connection import WebSocket
from trio_ws.protocol.prepared import PreparedMessage

if TYPE_CHECKING:
    from collections.abc import Iterable

    from typing_extensions import Buffer


@dataclass(frozen=True, slots=True)
class BroadcastResult:
    """What became of a broadcast.  Connections that were not open are in none of these."""

    sent: tuple[WebSocket, ...]
    """To these the message is committed, as after `WebSocket.send`."""

    dropped: tuple[WebSocket, ...]
    """These were full: they go without this message, and get the next one if they have room."""

    closed: tuple[WebSocket, ...]
    """These were full and are closed with 1013, by ``when_full="close"``; or they failed, and are
    closed for that."""

    if not TYPE_CHECKING:  # there it is an error that this is missing

        def __await__(self) -> NoReturn:
            raise TypeError("broadcast() never waits, and has sent the message: leave await out")


@trio.lowlevel.enable_ki_protection
def broadcast(
    websockets: Iterable[WebSocket],
    message: str | Buffer,
    *,
    text: bool | None = None,
    when_full: Literal["drop", "close"],
) -> BroadcastResult:
    """Send a message to every one of these connections that is open; never wait.

    Not a checkpoint.  The frame is made once for all that can share it: servers' connections that
    do not compress the message, or compress without context takeover.  An idle connection gets it
    at once.  Whoever does not read costs its own outgoing buffer and nobody else anything.

    A connection is *full* when `WebSocket.send` would have to wait: its outgoing buffer is full
    (``limits.max_buffered_bytes``), other senders wait, or a `WebSocket.send_stream` is open,
    whose fragments no other message may part.

    Args:
        websockets: gone through once, before anything is sent; of either role.
        message, text: as for `WebSocket.send`.
        when_full: ``"drop"`` sends nothing to a full connection, ``"close"`` closes it with 1013
            behind what it has in its buffer, also without waiting.

    Raises:
        TypeError, ValueError: an argument is of the wrong kind; nothing was sent to anybody.
    """
    if when_full not in {"drop", "close"}:
        raise ValueError(f'when_full is "drop" or "close", not {when_full!r}')
    checked = _checked(websockets)
    prepared = PreparedMessage(message, text=text)
    sent: list[WebSocket] = []
    full: list[WebSocket] = []
    failed: list[WebSocket] = []
    for websocket in checked:
        if websocket._open:
            try:
                (sent if websocket._send_prepared(prepared) else full).append(websocket)
            except Exception as exc:  # noqa: BLE001 - whatever it is ends this connection alone
                websocket._break(exc)
                failed.append(websocket)
    if when_full == "drop":
        return BroadcastResult((*sent,), (*full,), (*failed,))
    for websocket in full:
        websocket._close_without_waiting(Close(CloseCode.TRY_AGAIN_LATER, "too slow"))
    return BroadcastResult((*sent,), (), (*full, *failed))


def _checked(websockets: Iterable[object]) -> list[WebSocket]:
    if isinstance(websockets, WebSocket):
        raise TypeError("broadcast() goes through an iterable: write broadcast([websocket], ...)")
    checked: list[WebSocket] = []
    for websocket in websockets:
        if not isinstance(websocket, WebSocket):
            raise TypeError(f"broadcast() sends to WebSockets, not to {websocket!r:.100}")
        checked.append(websocket)
    return checked
