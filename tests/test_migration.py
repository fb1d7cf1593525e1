"""The migration guides: what they move from exists there, what they move to exists here.

They are ``docs/migrating-from-*.rst``.  What is to be replaced by what stands in tables like this::

    .. list-table::
        :header-rows: 1
        :widths: 34 33 33

        * - ``websockets.trio.client``, ``websockets.exceptions``
          - ``trio_ws``
          - What is different
        * - ``connect(ping_interval=)``
          - ``open_websocket_url(keepalive=)``, ``Keepalive.interval``
          - ``None`` becomes ``math.inf``
        * - ``connect(user_agent_header=)``
          - nothing
          - put it into ``headers``

The first two header cells name, in double backticks, the modules to look in: the first that has a
name counts.  Below them, everything in double backticks is a name: ``function``, ``Class.member``
or ``submodule.name``, as it is, as a call ``name()``, or with arguments ``name(one=, two=)``.  A
cell without backticks says in plain words that there is nothing.  Further columns are prose.
Tables whose first header cell has no backticks are not looked at.
"""

import functools
import importlib
import inspect
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.running import fetch, finished, running

DOCS = Path(__file__).parent.parent / "docs"
PAGES = sorted(path.name for path in DOCS.glob("migrating-from-*.rst"))

CODE = re.compile(r"``(.+?)``")
NAME = re.compile(r"(?P<path>[\w.]+)(\((?P<arguments>.*)\))?")
OPTIONS = re.compile(r"Unpack\[(?:.*\.)?(\w+)\]")

# Whose classes are looked into for what they assign to their instances.
LIBRARIES = {"trio_ws", "trio_websocket", "websockets"}

Row = list[str]  # the texts of its cells


class Mention(NamedTuple):
    """One name in one cell of a table."""

    modules: tuple[str, ...]
    text: str


def tables(text: str) -> Iterator[list[Row]]:
    """Find the list-tables of a page, each as its rows."""
    for block in re.split(r"^\.\. list-table::.*\n", text, flags=re.MULTILINE)[1:]:
        body = re.split(r"^(?=\S)", block, maxsplit=1, flags=re.MULTILINE)[0]
        rows = re.split(r"^ +\* -(?=\s)", body, flags=re.MULTILINE)[1:]
        yield [[" ".join(cell.split()) for cell in re.split(r"\n +-(?=\s)", row)] for row in rows]


def mentions(page: str) -> list[Mention]:
    """Return the names that the tables of a page have in their first two columns."""
    found: list[Mention] = []
    for header, *rows in tables((DOCS / page).read_text(encoding="utf-8")):
        if not CODE.findall(header[0]):
            continue
        for column in range(2):
            modules = (*CODE.findall(header[column]),)
            for row in rows:
                found += [Mention(modules, text) for text in CODE.findall(row[column])]
    return found


def looked_up(module: str, path: str) -> object | None:
    """Return what a name stands for in a module, ``None`` if it is not there."""
    value: object = importlib.import_module(module)
    for part in path.split("."):
        if inspect.ismodule(value) and not hasattr(value, part):
            with suppress(ModuleNotFoundError):
                importlib.import_module(f"{value.__name__}.{part}")  # and so an attribute of it
        if hasattr(value, part):
            value = getattr(value, part)
        elif inspect.isclass(value) and is_assigned(value, part):
            value = part  # of an instance, so there is no more to say of it
        else:
            return None
    return value


def is_assigned(kind: type, name: str) -> bool:
    """Tell whether instances of a class have an attribute, by what the class's source says."""
    assigned = re.compile(rf"\bself\.{name}(: | = )")
    return any(
        name in inspect.get_annotations(base) or assigned.search(inspect.getsource(base))
        for base in kind.__mro__
        if base.__module__.partition(".")[0] in LIBRARIES
    )


def parameters(function: object) -> set[str]:
    """Return the names of what a function takes, those of unpacked options included."""
    assert callable(function)
    names: set[str] = set()
    for name, parameter in inspect.signature(function).parameters.items():
        names.add(name)
        if found := OPTIONS.search(str(parameter.annotation)):
            home = importlib.import_module(inspect.unwrap(function).__module__)
            names |= set(getattr(home, found[1]).__annotations__)
    return names


@functools.cache
def problem(modules: tuple[str, ...], text: str) -> str | None:
    """Say what is wrong with a name, if anything."""
    match = NAME.fullmatch(text)
    if match is None:
        return "is no name"
    values = (looked_up(module, match["path"]) for module in modules)
    value = next((value for value in values if value is not None), None)
    if value is None:
        return f"is not in {' or '.join(modules)}"
    named = {*re.findall(r"(\w+)=", match["arguments"] or "")}
    unknown = named - parameters(value) if named else named
    return f"takes no {', '.join(sorted(unknown))}" if unknown else None


@pytest.mark.parametrize("page", PAGES)
def test_names_of_a_migration_guide_exist(page: str) -> None:
    """On the left in the library that is left, on the right in this one."""
    found = mentions(page)
    wrong = [f"``{each.text}`` {said}" for each in found if (said := problem(*each))]
    assert wrong == []
    assert len(found) >= 40


# The programs of the guide from websockets

VISIT = ["heard: hello", "the server is there", "closed: 4000 see you"]


async def test_room_before_the_move_serves_both_clients() -> None:
    """The client can move first."""
    async with running("migration/server_before.py", 0) as server:
        address = await server.address()
        assert await finished("migration/client_before.py", address) == VISIT
        assert await finished("migration/client_after.py", address) == VISIT
        status, _, body = await fetch(address, "GET", "/health")
        assert (status, body) == (200, "fine\n")


async def test_room_after_the_move_serves_both_clients() -> None:
    """The server can."""
    async with running("migration/server_after.py", 0) as server:
        address = await server.address()
        assert await finished("migration/client_before.py", address) == VISIT
        assert await finished("migration/client_after.py", address) == VISIT
        status, _, body = await fetch(address, "GET", "/health")
        assert (status, body) == (200, "fine\n")
