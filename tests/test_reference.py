"""The reference: everything public is in it, and everything in it is there.

Sphinx reads the pages of the reference, as it does for ``make docs``, and what it has found is held
against the modules.
"""

import importlib
import inspect
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import is_typeddict

import pytest

pytest.importorskip("sphinx")
from sphinx.application import Sphinx

import trio_ws
import trio_ws.blocking
import trio_ws.protocol
import trio_ws.pubsub
import trio_ws.testing

ROOT = Path(__file__).parent.parent
MODULES = [trio_ws, trio_ws.protocol, trio_ws.pubsub, trio_ws.testing, trio_ws.blocking]


@pytest.fixture(scope="module")
def documented(tmp_path_factory: pytest.TempPathFactory) -> frozenset[str]:
    """Return the full names of all that the reference describes."""
    docs, build = ROOT / "docs", tmp_path_factory.mktemp("reference")
    # The other pages would take a while; links to them are broken here, and not looked at.
    others = ["[!r]*.rst", "r[!e]*.rst", "re[!f]*.rst"]
    settings = {"exclude_patterns": others, "root_doc": "reference"}
    with warnings.catch_warnings(), pytest.MonkeyPatch.context() as patch:
        warnings.simplefilter("ignore")  # Sphinx's extensions use what Sphinx is about to drop
        patch.setattr(sys, "path", [*sys.path])
        app = Sphinx(docs, docs, build, build, "dummy", settings, status=None, warning=None)
        app.build()
    return frozenset(app.env.domains.python_domain.objects)


def public_names() -> Iterator[tuple[str, object]]:
    """Return what the modules export, by the names under which it is imported."""
    for module in MODULES:
        for name in module.__all__:
            yield f"{module.__name__}.{name}", getattr(module, name)


def own_members(kind: type) -> Iterator[str]:
    """Return the public members that a class has, but for those whose meaning is Trio's.

    What is there only to raise AttributeError, with a hint, is no member.
    """
    trios = [base for base in kind.__mro__ if base.__module__.partition(".")[0] == "trio"]
    for base in kind.__mro__:
        if base.__module__.partition(".")[0] == "trio_ws":
            defined = {name for name in vars(base) if hasattr(kind, name)}
            for name in defined | inspect.get_annotations(base).keys():
                if not name.startswith("_") and not any(hasattr(each, name) for each in trios):
                    yield name


def homes(value: object) -> list[str]:
    """Return the names under which something is exported."""
    return [name for name, each in public_names() if each is value]


def described_with(kind: type) -> Iterator[object]:
    """Return the classes with which members of a class may be described: its bases.

    A TypedDict forgets its bases, so those count whose keys it has.
    """
    yield from kind.__mro__
    if is_typeddict(kind):
        for _, each in public_names():
            if is_typeddict(each) and each.__annotations__.items() <= kind.__annotations__.items():
                yield each


def test_every_public_name_is_in_the_reference(documented: frozenset[str]) -> None:
    """Once at least: what several modules export is described with one of them."""
    missing = [
        name
        for name, value in public_names()
        if name not in documented and not any(home in documented for home in homes(value))
    ]
    assert missing == []


def test_every_public_member_is_in_the_reference(documented: frozenset[str]) -> None:
    """With its class, or with the base class that it comes from."""
    missing = {
        f"{name}.{member}"
        for name, kind in public_names()
        if inspect.isclass(kind)
        for member in own_members(kind)
        if not any(
            f"{home}.{member}" in documented
            for base in described_with(kind)
            for home in homes(base)
        )
    }
    assert sorted(missing) == []


def test_everything_in_the_reference_is_there(documented: frozenset[str]) -> None:
    """Nothing is described that cannot be had."""
    assert [name for name in sorted(documented) if not exists(name)] == []


def exists(name: str) -> bool:
    """Tell whether a full name stands for something; an instance's attribute is annotated."""
    parts = name.split(".")
    for count in range(len(parts), 0, -1):
        try:
            value: object = importlib.import_module(".".join(parts[:count]))
        except ModuleNotFoundError:
            continue
        for part in parts[count:]:
            if inspect.isclass(value) and part in {*own_members(value)} - {*dir(value)}:
                return True
            value = getattr(value, part, None)
        return value is not None
    return False
