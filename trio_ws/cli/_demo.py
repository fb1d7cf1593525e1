"""``trio-ws demo``: the chat of ``trio_ws.demo``."""

from __future__ import annotations

import argparse

from trio_ws.cli._failures import UNUSABLE, Failure
from trio_ws.cli._numbers import port
from trio_ws.cli._parsing import Subparsers, add_command

_EXAMPLES = """\
A path is a room: http://localhost:8765/kitchen is another one. With REDIS_URL
in the environment, several servers share their rooms. Where the port is taken,
a free one is found.

examples:
  trio-ws demo
  REDIS_URL=redis://localhost trio-ws demo 8766
"""


def add_to(commands: Subparsers) -> None:
    """Enter the command."""
    parser = add_command(commands, "demo", "run a chat for the browser", run, _EXAMPLES)
    parser.add_argument(
        "port", metavar="PORT", nargs="?", type=port, default=8765, help="%(default)s by default"
    )


async def run(arguments: argparse.Namespace) -> None:
    """Serve the chat until Ctrl-C or SIGTERM.

    Raises:
        Failure: REDIS_URL is none, or what it takes is not installed.
        OSError: there is no Redis, or nobody who reads where the chat is.
    """
    failure: Exception | None = None
    try:
        await _serve(arguments.port)
    except* OSError as group:  # also in the group of the chat's nursery
        failure = group.exceptions[0]
    if failure is not None:
        raise failure


async def _serve(port: int) -> None:
    from trio_ws.demo import serve_chat  # noqa: PLC0415 - no other command needs it

    try:
        await serve_chat(port, _announce)
    except (ValueError, ImportError) as error:
        raise Failure(f"REDIS_URL: {error}", UNUSABLE) from error


def _announce(address: str) -> None:
    print(address)
    print("Open it in two windows and talk; a path, /kitchen say, is another room.")
    print("Ctrl-C ends it.", flush=True)
