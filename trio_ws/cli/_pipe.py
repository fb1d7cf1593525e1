"""A connection in a pipe: lines of the input go out as messages, messages come out as lines.

When the input ends, the connection stays open until the server has been silent for a while: a Close
at once, though WebSocket has no other way to say that nothing more will come, would keep most
servers from answering, and us from hearing it.
"""

from __future__ import annotations

import math
from contextlib import suppress
from dataclasses import dataclass

import trio

from trio_ws import ConnectionClosed, ConnectionEnded, WebSocket, run_siblings
from trio_ws.cli._failures import UNUSABLE, Failure, closing_failure
from trio_ws.cli._stdio import Lines, write_all
from trio_ws.cli._text import shown


@dataclass(frozen=True, slots=True, kw_only=True)
class PipeOptions:
    """What is read and written, and when it is enough."""

    stdin: int
    """The descriptor that lines are read from."""
    stdout: int
    """The descriptor that messages are written to."""
    for_people: bool = False
    """Whether a terminal shows the output: then it gets nothing that is not text."""
    hexadecimal: bool = False
    """Whether lines are hexadecimal, and binary messages made of them."""
    raw: bool = False
    """Whether messages are written as they are: no line ends, binary as bytes."""
    wait: float
    """For how many seconds to wait for a message once the input has ended."""
    most: int | None = None
    """After how many messages received it is enough."""


class Pipe:
    """One connection between standard input and standard output."""

    def __init__(self, websocket: WebSocket, options: PipeOptions) -> None:
        self._websocket = websocket
        self._options = options
        self._lines = Lines(options.stdin)
        self._wait = math.inf  # for a message, until the input has ended
        self._waiting = trio.CancelScope()

    async def run(self) -> None:
        """Carry messages to and fro until it is enough, or the connection is closed.

        Raises:
            Failure: it was closed abnormally, or the input cannot be sent.
        """
        try:
            await run_siblings(self._receive, self._send)
        except ConnectionEnded:
            pass
        except ConnectionClosed as error:
            raise closing_failure(error) from error
        except BrokenPipeError:
            pass  # whoever read our output has had enough: `head -1` for one

    async def _send(self) -> None:
        # Closed: what is to be said about it the receiver knows, behind the last messages.
        with suppress(ConnectionClosed):
            while (line := await self._lines.receive()) is not None:
                await self._websocket.send(self._message(line))
        self._wait = self._options.wait
        self._waiting.deadline = trio.current_time() + self._wait
        await trio.sleep_forever()

    def _message(self, line: bytes) -> str | bytes:
        try:
            text = line.decode()
            return bytes.fromhex(text) if self._options.hexadecimal else text
        except ValueError:
            wanted = "hexadecimal" if self._options.hexadecimal else "UTF-8"
            problem = f"line {self._lines.number} of the input is not {wanted}"
            raise Failure(problem, UNUSABLE) from None

    async def _receive(self) -> None:
        received = 0
        while received != self._options.most:
            deadline = trio.current_time() + self._wait
            message: str | bytes | None = None
            with trio.CancelScope(deadline=deadline) as self._waiting:
                message = await self._websocket.receive()
            if message is None:
                return
            await write_all(self._options.stdout, self._bytes(message))
            received += 1

    def _bytes(self, message: str | bytes) -> bytes:
        if self._options.for_people:
            return f"{shown(message)}\n".encode()
        if isinstance(message, bytes):
            return message if self._options.raw else f"{message.hex()}\n".encode()
        return message.encode() if self._options.raw else f"{message}\n".encode()
