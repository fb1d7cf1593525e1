"""A connection at a terminal: lines go out, those with a slash are commands, messages come in."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial

import trio

from trio_ws import Close, ConnectionClosed, ConnectionEnded, WebSocket, run_siblings
from trio_ws._close import checked_close
from trio_ws.cli._failures import closing_failure
from trio_ws.cli._terminal import Terminal, run_with_terminal
from trio_ws.cli._text import duration, end_in_words, shown

HELP = """\
a line is a message, unless it begins with a slash:
  /ping                    measure a round trip
  /hex 00 ff               send a binary message
  /close [CODE [REASON]]   close the connection, with 1000 if nothing is said
  /help                    show this
  //text                   send /text
  Ctrl-C and Ctrl-D close with 1000; the arrow keys bring back what you typed"""

_PING_SECONDS = 10  # then a pong is no more news


class Conversation:
    """What is said over one connection, by the peer and by the user."""

    def __init__(self, websocket: WebSocket, terminal: Terminal) -> None:
        self._websocket = websocket
        self._terminal = terminal
        self._farewell: Close | None = None
        # One ping at a time, and at most one to come.
        self._ask_ping, self._pings_asked = trio.open_memory_channel[None](1)
        self._commands: dict[str, Callable[[str], Awaitable[None]]] = {
            "ping": self._ping,
            "hex": self._hex,
            "close": self._close,
            "help": self._help,
        }

    async def run(self) -> Close:
        """Go on until the user has had enough; return with what to close.

        Raises:
            ConnectionClosed: the peer or the network ended it before.
        """
        await self._tell(_greeting(self._websocket))
        await run_siblings(
            self._listen, partial(_while_open, self._obey), partial(_while_open, self._measure)
        )
        assert self._farewell is not None
        return self._farewell

    async def _listen(self) -> None:
        while True:
            await self._terminal.show("<", shown(await self._websocket.receive()))

    async def _measure(self) -> None:
        async for _ in self._pings_asked:  # pragma: no branch - it has no end
            with trio.move_on_after(_PING_SECONDS) as patience:
                round_trip = duration(await self._websocket.ping())
                await self._tell(f"pong after {round_trip}")
            if patience.cancelled_caught:
                await self._tell(f"no pong for {_PING_SECONDS} seconds")

    async def _obey(self) -> None:
        while self._farewell is None:
            line = await self._terminal.ask()
            if line is None:
                self._farewell = Close()
            else:
                await self._take(line)

    async def _take(self, line: str) -> None:
        if not line.startswith("/") or line.startswith("//"):
            await self._say(line.removeprefix("/"))
            return
        name, _, rest = line[1:].partition(" ")
        if name in self._commands:
            await self._commands[name](rest.strip())
        else:
            await self._tell(f"there is no /{name}; /help shows what there is, //... sends /...")

    async def _say(self, text: str) -> None:
        try:
            await self._websocket.send(text)
        except ValueError:  # bytes that the terminal sent and that are no character
            await self._tell("not sent: that is not UTF-8")

    async def _ping(self, _: str) -> None:
        with suppress(trio.WouldBlock):
            self._ask_ping.send_nowait(None)

    async def _hex(self, digits: str) -> None:
        try:
            message = bytes.fromhex(digits)
        except ValueError:
            await self._tell("those are no hexadecimal digits, two for each byte: /hex 00 ff")
        else:
            await self._websocket.send(message)

    async def _close(self, arguments: str) -> None:
        code, _, reason = arguments.partition(" ")
        if code and not code.isdecimal():
            await self._tell("write /close, /close CODE or /close CODE REASON")
            return
        try:
            self._farewell = checked_close(int(code or 1000), reason.strip())
        except ValueError as error:
            await self._tell(str(error))

    async def _help(self, _: str) -> None:
        await self._tell(HELP)

    async def _tell(self, text: str) -> None:
        await self._terminal.show("*", text)


async def converse(websocket: WebSocket) -> None:
    """Have the user talk to the peer, until the connection is closed.

    Raises:
        Failure: it was closed abnormally.
    """
    farewell = Close()

    async def talk(terminal: Terminal) -> None:
        nonlocal farewell
        farewell = await Conversation(websocket, terminal).run()

    try:
        await run_with_terminal(talk)
    except ConnectionEnded:
        pass
    except ConnectionClosed as error:
        raise closing_failure(error) from error
    # Here Ctrl-C is a signal again: a peer that does not answer need not be waited for.
    await websocket.aclose(farewell.code, farewell.reason)
    print(f"* closed: {end_in_words(websocket.close_received, websocket.close_sent)}")


async def _while_open(async_fn: Callable[[], Awaitable[None]]) -> None:
    """Run what sends; when it cannot any more, the listener knows why, and has more to show."""
    with suppress(ConnectionClosed):
        await async_fn()
        return
    await trio.sleep_forever()


def _greeting(websocket: WebSocket) -> str:
    facts = [
        websocket.request.tls.version if websocket.request.tls is not None else None,
        websocket.subprotocol and f"subprotocol {websocket.subprotocol}",
        "compressed" if websocket.compression is not None else None,
    ]
    known = ", ".join(fact for fact in facts if fact)
    return f"connected{f' ({known})' if known else ''}; /help shows what you can do"
