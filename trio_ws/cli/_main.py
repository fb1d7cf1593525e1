"""``trio-ws``: which command is meant, and what becomes of what goes wrong."""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress

import trio

from trio_ws.cli import _connect, _demo, _ping, _serve
from trio_ws.cli._failures import ABNORMAL, UNUSABLE, Failure, Interrupted

_COMMANDS = {"connect": _connect, "serve": _serve, "ping": _ping, "demo": _demo}

# Lines of at most 79 characters: argparse leaves them as they are.
_EPILOG = """\
examples:
  trio-ws ws://localhost:8765/             talk to a server, as with connect
  echo hi | trio-ws ws://localhost:8765/   the same in a pipe
  trio-ws serve                            echo on ws://localhost:8765/
  trio-ws serve chat:handler               serve handler() of chat.py
  trio-ws ping -c 5 wss://example.com/     measure round trips
  trio-ws demo                             run a chat for the browser

'trio-ws COMMAND --help' tells more. The exit status is 0 when all went well,
1 when the connection could not be opened or ended abnormally, 2 when the
arguments or the input cannot be used, and 130 after Ctrl-C.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status.

    Args:
        arguments: those of the process by default.

    Raises:
        SystemExit: as argparse does it: help was asked for, or the arguments are wrong.
    """
    _replace_closed_streams()
    try:
        try:
            parsed = parse(sys.argv[1:] if arguments is None else arguments)
        finally:
            sys.stdout.flush()  # help, or the version: what fails shall fail here
        return trio.run(execute, parsed)
    except KeyboardInterrupt:  # before or after signals are received
        return Interrupted(signal.SIGINT).status
    except OSError as error:
        return _failed_output(error)


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Read the arguments; ``run`` in what is returned is the command.

    Raises:
        SystemExit: help was asked for, or the arguments are wrong.
    """
    parser = _parser()
    parsed = parser.parse_args(_with_command(list(arguments)))
    if parsed.run is None:
        parser.print_help()
        raise SystemExit(UNUSABLE)
    return parsed


async def execute(parsed: argparse.Namespace) -> int:
    """Run what `parse` returned; say what went wrong, and return the exit status."""
    try:
        await parsed.run(parsed)
    except Failure as failure:
        _complain(str(failure))
        return failure.status
    except Interrupted as interrupted:
        return interrupted.status
    except OSError as error:
        return _failed_output(error)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="trio-ws",
        description="WebSockets on the command line.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="show the version and exit")
    parser.set_defaults(run=None)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    for command in _COMMANDS.values():
        command.add_to(commands)
    return parser


class _Version(argparse.Action):
    """Looks the version up only when it is asked for."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        print(f"trio_ws {importlib.metadata.version('trio_ws')}")
        parser.exit()


def _with_command(arguments: list[str]) -> list[str]:
    """Return the arguments, with "connect" before them where they are a URL and its options."""
    first = arguments[0] if arguments else ""
    if first.startswith("-"):
        meant = any("://" in argument for argument in arguments)
    else:
        meant = ":" in first
    return ["connect", *arguments] if meant else arguments


def _complain(message: str) -> None:
    with suppress(OSError):
        print(f"trio-ws: {message}", file=sys.stderr)


def _failed_output(error: OSError) -> int:
    """Say what happened to our output, and return the exit status."""
    _forget_stdout()
    if isinstance(error, BrokenPipeError):  # whoever reads it has had enough
        return 0
    _complain(str(error))  # the disk is full, the terminal is gone
    return ABNORMAL


def _replace_closed_streams() -> None:
    """Put the null device where a standard stream is closed, as by ``<&-``.

    Otherwise the next file or socket would get its descriptor.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            nowhere = os.open(os.devnull, os.O_RDWR)
            # As the interpreter's own, it stays open to the end.
            setattr(sys, name, os.fdopen(nowhere, mode, encoding="utf-8", closefd=False))


def _forget_stdout() -> None:
    """Keep the interpreter from failing to write, at its end, what is left to be written."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
