"""The documentation as its readers see it: its code, its commands, and what it points to.

Pages are read as text, by the few forms in which we write them; `tests/test_documentation.py` sees
to it that what they say is so.
"""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import dropwhile, groupby
from pathlib import Path
from textwrap import dedent

from tests.running import ROOT

DOCS = ROOT / "docs"

PAGES = sorted(
    path.relative_to(ROOT).as_posix()
    for path in (
        *DOCS.glob("*.rst"),
        *(ROOT / name for name in ("README.rst", "CONTRIBUTING.rst", "examples/README.rst")),
    )
)

_DIRECTIVE = re.compile(r"^( *)\.\. (code-block|literalinclude|image|include):: *(\S*)$")
_OPTION = re.compile(r"^ +:[a-z-]+:")
_LITERAL = re.compile(r"^( *)(?!\.\. )\S.*::$")
_LINK = re.compile(r"`[^`<]*<([^>`]+)>`_")
_PATH = re.compile(r"``((?:\.ci|benchmarks|docs|examples|tests|trio_ws)/[\w./-]*)``")
_COMMAND = re.compile(r"``((?:python3?|make|pip|trio-ws) [^`]+)``")
_PROMPT = "$ "
_BETWEEN = ";&|"  # two commands of a line


@dataclass(frozen=True)
class Block:
    """A directive, or an indented text behind ``::``, which has the name "literal"."""

    line: int
    name: str
    argument: str
    text: str


def read(page: str) -> str:
    """Return the text of a page."""
    return (ROOT / page).read_text(encoding="utf-8")


def blocks(text: str) -> Iterator[Block]:
    """Find the blocks of a page."""
    lines = text.splitlines()
    for number, line in enumerate(lines):
        if directive := _DIRECTIVE.match(line):
            indent, name, argument = directive.groups()
        elif literal := _LITERAL.match(line):
            indent, name, argument = literal[1], "literal", ""
        else:
            continue
        yield Block(number + 1, name, argument, _indented(lines[number + 1 :], len(indent)))


def _indented(lines: list[str], indent: int) -> str:
    """Return the lines that are further to the right, but for the options at their beginning."""
    body: list[str] = []
    for line in lines:
        if line.strip() and len(line) - len(line.lstrip()) <= indent:
            break
        if body or (line.strip() and not _OPTION.match(line)):
            body.append(line)
    return dedent("\n".join(body)).rstrip()


def sessions(text: str) -> Iterator[tuple[str, list[str]]]:
    """Find what a page has its reader type at a prompt, and what it says will come."""
    for block in blocks(text):
        if block.name not in {"code-block", "literal"}:
            continue
        typed: tuple[str, list[str]] | None = None
        for line in block.text.splitlines():
            if line.startswith(_PROMPT):
                if typed is not None:
                    yield typed
                typed = line.removeprefix(_PROMPT), []
            elif typed is not None:
                typed[1].append(line)
        if typed is not None:
            yield typed


def output_of(page: str, command: str) -> list[str]:
    """Return what a page says a command will print, where it says so for the first time."""
    return next(output for typed, output in sessions(read(page)) if typed == command)


def commands(text: str) -> Iterator[list[str]]:
    """Find the commands of a page, at a prompt, in a block without prompts, or in a sentence."""
    found = [command for command, _ in sessions(text)]
    found += _COMMAND.findall(text)
    for block in blocks(text):
        if block.name == "literal" and _PROMPT not in block.text:
            found += block.text.splitlines()
    for command in found:
        yield from _parts(command)


def _parts(command: str) -> Iterator[list[str]]:
    """Take a line for the shell apart into its commands, without their environment."""
    lexer = shlex.shlex(command, posix=True, punctuation_chars=_BETWEEN)
    lexer.whitespace_split = True
    for between, words in groupby(lexer, lambda word: word.strip(_BETWEEN) == ""):
        wanted = [*dropwhile(re.compile(r"[A-Z_]+=").match, words)]
        if wanted and not between:
            yield wanted


def paths(page: str) -> Iterator[Path]:
    """Find the files that a page points to: by links, by directives, or by name."""
    text = read(page)
    here = (ROOT / page).parent
    for target in _LINK.findall(text):
        # One that ends so is the name of another link.
        if "://" not in target and not target.endswith("_"):
            yield here / target
    for block in blocks(text):
        if block.name in {"literalinclude", "image", "include"}:
            yield here / block.argument
    for path in _PATH.findall(text):
        yield ROOT / path
