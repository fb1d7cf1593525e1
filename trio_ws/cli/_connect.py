"""``trio-ws connect``: talk to a server, at a terminal or in a pipe."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Awaitable, Callable

from trio_ws import WebSocket
from trio_ws.cli._client import Target, add_client_arguments
from trio_ws.cli._failures import UNUSABLE, Failure
from trio_ws.cli._numbers import positive_integer, seconds
from trio_ws.cli._parsing import Subparsers, add_command
from trio_ws.cli._pipe import Pipe, PipeOptions
from trio_ws.cli._signals import until_signal

_EXAMPLES = """\
At a terminal you type messages, and see what comes above the line you type;
/help shows the commands. In a pipe each line of the input is a message, and
each message a line of the output. Ctrl-C ends both.

examples:
  trio-ws connect ws://localhost:8765/
  trio-ws connect wss://example.com/feed -H 'Authorization: Bearer ...'
  echo hi | trio-ws connect ws://localhost:8765/
  trio-ws connect -n 10 wss://example.com/feed | jq .
"""


def add_to(commands: Subparsers) -> None:
    """Enter the command."""
    parser = add_command(commands, "connect", "talk to a server", run, _EXAMPLES)
    add_client_arguments(parser)
    pipe = parser.add_argument_group("in a pipe")
    pipe.add_argument(
        "--wait",
        metavar="SECONDS",
        type=seconds,
        help="when the input has ended, close after so long a silence; 1 by default, or 'inf',"
        " which is for ever, if --messages says when it is enough",
    )
    pipe.add_argument(
        "-n",
        "--messages",
        metavar="NUMBER",
        type=positive_integer,
        help="close when so many messages were received",
    )
    pipe.add_argument(
        "--hex",
        action="store_true",
        help="lines of the input are hexadecimal, and binary messages made of them",
    )
    pipe.add_argument(
        "--raw",
        action="store_true",
        help="write messages as they are, without line ends, binary ones as bytes",
    )


async def run(arguments: argparse.Namespace) -> None:
    """Connect, and talk until the end."""
    target, talk = Target(arguments), _talk(arguments)

    async def connect() -> None:
        async with target.open() as websocket:
            await talk(websocket)

    await until_signal(connect)


def _talk(arguments: argparse.Namespace) -> Callable[[WebSocket], Awaitable[None]]:
    """Return what is done with the connection: at a terminal one thing, in a pipe another."""
    if sys.stdin.isatty() and sys.stdout.isatty():
        return _conversation()
    options = PipeOptions(
        stdin=sys.stdin.fileno(),
        stdout=sys.stdout.fileno(),
        for_people=sys.stdout.isatty(),
        hexadecimal=arguments.hex,
        raw=arguments.raw,
        wait=_wait(arguments.wait, arguments.messages),
        most=arguments.messages,
    )
    return lambda websocket: Pipe(websocket, options).run()


def _wait(given: float | None, most: int | None) -> float:
    """Return for how long to wait for further messages once the input has ended."""
    if given is not None:
        return given
    return 1 if most is None else math.inf


def _conversation() -> Callable[[WebSocket], Awaitable[None]]:
    try:
        from trio_ws.cli._interactive import converse  # noqa: PLC0415 - an extra, and slow to load
    except ImportError as error:
        raise Failure(
            "to type at a terminal, connect needs prompt-toolkit: pip install 'trio_ws[cli]'"
            " (in a pipe it works without)",
            UNUSABLE,
        ) from error
    return converse
