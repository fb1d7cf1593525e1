"""``trio-ws demo``: the chat of ``trio_ws.demo``."""

from __future__ import annotations

import argparse

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
    """Serve the chat until Ctrl-C or SIGTERM."""
    from trio_ws.demo import serve_chat  # noqa: PLC0415 - no other command needs it

    await serve_chat(arguments.port, _announce)


def _announce(address: str) -> None:
    print(address)
    print("Open it in two windows and talk; a path, /kitchen say, is another room.")
    print("Ctrl-C ends it.", flush=True)
