"""How commands are entered into the parser of arguments."""

from __future__ import annotations

import argparse
from collections.abc import Awaitable, Callable
from typing import TypeAlias

Subparsers: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"

# argparse has no public names for what add_subparsers() and add_argument_group() return.
Group: TypeAlias = "argparse._ArgumentGroup"

Run: TypeAlias = Callable[[argparse.Namespace], Awaitable[None]]
"""Runs a command."""


def add_command(
    commands: Subparsers, name: str, summary: str, run: Run, examples: str
) -> argparse.ArgumentParser:
    """Enter a command, and return the parser of its arguments."""
    parser = commands.add_parser(
        name,
        help=summary,
        description=f"{summary[0].upper()}{summary[1:]}.",
        epilog=examples,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        # Abbreviations would stop working with the next option that begins so.
        allow_abbrev=False,
    )
    parser.set_defaults(run=run)
    return parser
