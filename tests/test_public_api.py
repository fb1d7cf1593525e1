"""The public surface: what is exported exists, is documented and says what it does."""

import inspect
import re
from pathlib import Path

import pytest

import trio_ws
import trio_ws._exceptions
import trio_ws.blocking
import trio_ws.protocol
import trio_ws.pubsub
import trio_ws.testing

DOCS = Path(__file__).parent.parent / "docs"
PUBLIC_NAMES = sorted(trio_ws.__all__)
PUBLIC_CLASSES = [name for name in PUBLIC_NAMES if inspect.isclass(getattr(trio_ws, name))]
SUBPACKAGE_NAMES = [
    *(("reference-protocol.rst", name) for name in sorted(trio_ws.protocol.__all__)),
    *(("reference-pubsub.rst", name) for name in sorted(trio_ws.pubsub.__all__)),
    *(("reference-blocking.rst", name) for name in sorted(trio_ws.blocking.__all__)),
    *(("reference-testing.rst", name) for name in sorted(trio_ws.testing.__all__)),
]


def documented_names(page: str = "reference.rst") -> list[str]:
    """Return the names that a page of the reference documents."""
    directive = r"^\.\. (?:auto(?:class|exception|function|data)|data):: (\w+)(?:\(.*\))?$"
    return re.findall(directive, (DOCS / page).read_text(encoding="utf-8"), re.MULTILINE)


def test_all_has_no_duplicates() -> None:
    """A name is exported once."""
    assert len(PUBLIC_NAMES) == len(set(PUBLIC_NAMES))


def test_all_is_what_the_package_shows() -> None:
    """No public name is visible but unexported, or the reverse; submodules apart."""
    visible = {
        name
        for name, value in vars(trio_ws).items()
        if not name.startswith("_") and not inspect.ismodule(value)
    }
    assert visible == {name for name in PUBLIC_NAMES if not name.startswith("_")}


@pytest.mark.parametrize("name", PUBLIC_NAMES)
def test_public_name_is_documented(name: str) -> None:
    """Each public name has its entry in the reference."""
    assert name in documented_names()


@pytest.mark.parametrize(("page", "name"), SUBPACKAGE_NAMES)
def test_public_name_of_a_subpackage_is_documented(page: str, name: str) -> None:
    """So has each of the subpackages, on its own page or, when it is shared, on the main one."""
    assert name in documented_names(page) or name in documented_names()


def test_reference_documents_each_public_name_once() -> None:
    """The reference has no entry twice, and none for what is not exported."""
    documented = documented_names()
    assert len(documented) == len(set(documented))
    assert set(documented) <= set(PUBLIC_NAMES)


@pytest.mark.parametrize("name", PUBLIC_NAMES)
def test_public_name_has_a_docstring(name: str) -> None:
    """Each public name says what it is, in its own words and not its base's."""
    value: object = getattr(trio_ws, name)
    own = value if inspect.isclass(value) or inspect.isroutine(value) else type(value)
    assert (own.__doc__ or "").strip(), f"{name} has no docstring"


@pytest.mark.parametrize("name", PUBLIC_CLASSES)
def test_public_members_have_docstrings(name: str) -> None:
    """Each public method and property of a public class says what it does."""
    public_class: object = getattr(trio_ws, name)
    silent = [
        member
        for member, value in vars(public_class).items()
        if not member.startswith("_")
        and (inspect.isfunction(value) or isinstance(value, property | classmethod | staticmethod))
        and not (value.__doc__ or "").strip()
    ]
    assert silent == []


@pytest.mark.parametrize("name", PUBLIC_NAMES)
def test_public_name_claims_the_package_as_its_home(name: str) -> None:
    """What is exported knows itself by a name under ``trio_ws``."""
    value: object = getattr(trio_ws, name)
    home = getattr(value, "__module__", None) or type(value).__module__
    assert home.partition(".")[0] == "trio_ws"


def test_every_exception_is_public() -> None:
    """Nobody meets an exception of ours that cannot be named in an ``except``."""
    defined = {
        name
        for name, value in vars(trio_ws._exceptions).items()
        if inspect.isclass(value)
        and value.__module__ == trio_ws._exceptions.__name__
        and issubclass(value, BaseException)
    }
    assert defined <= set(PUBLIC_NAMES)
