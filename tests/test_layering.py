"""The layers: who may import whom, and what of the dependencies may be touched.

Read from the source with ast, so that imports inside functions count and nothing need be run.
"""

import ast
import graphlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "trio_ws"

# From low to high. A module imports from its own layer or a lower one, never upward. Names are the
# first component below trio_ws: a package belongs to one layer with all it contains. The empty
# name is trio_ws/__init__.py itself. A new module needs its place here.
LAYERS: list[set[str]] = [
    # Values.
    {
        "_arguments",
        "_async_block",
        "_backoff",
        "_callables",
        "_close",
        "_exceptions",
        "_options",
        "_other_names",
        "_url",
    },
    # Sans-I/O.
    {"protocol"},
    # Bytes in and out of a stream.
    {"_pace", "_transport"},
    # WebSocket, the channel.
    {
        "_block",
        "_caretaker",
        "_connection",
        "_ending",
        "_groups",
        "_instrument",
        "_instrumented",
        "_message_streams",
        "_pings",
        "_reading",
        "_receiving",
        "_sending",
        "_statistics",
        "_inbox",
    },
    # Roles.
    {
        "_accepting",
        "_authentication",
        "_awaiting",
        "_client",
        "_connecting",
        "_opening",
        "_broadcast",
        "_proxy",
        "_reconnect",
        "_redirects",
        "_routing",
        "_rules",
        "_serve",
        "_server",
        "_serving",
        "_siblings",
        "_socks",
        "_transient",
    },
    # Edges.
    {"", "__main__", "blocking", "cli", "compat", "demo", "pubsub", "testing"},
]
HEIGHT = {name: height for height, layer in enumerate(LAYERS) for name in layer}

# Upward, but for an annotation only: never imported when the program runs.
TYPES_ONLY = {("trio_ws._exceptions", "trio_ws.protocol.http")}  # ConnectionRejected.response

# Ours is what lies on their public side.
DEPENDENCIES = {"trio", "wsproto", "h11"}

# Public by documentation, in spite of the underscore.
PUBLIC_UNDERSCORES = {"_asdict", "_fields", "_make", "_replace"}


@dataclass(frozen=True)
class Import:
    """One imported module: its full name, who imports it, and whether the program ever does so."""

    importer: str
    imported: str
    line: int
    types_only: bool

    def __str__(self) -> str:
        return f"{self.importer}:{self.line} imports {self.imported}"


def modules() -> dict[str, Path]:
    """Return every module of the package by its full name."""
    found: dict[str, Path] = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        found[".".join(part for part in parts if part != "__init__")] = path
    return found


MODULES = modules()


@cache
def tree(module: str) -> ast.Module:
    """Return the syntax tree of a module of ours."""
    return ast.parse(MODULES[module].read_text(encoding="utf-8"))


def component(module: str) -> str:
    """Return the name by which ``LAYERS`` knows a module of ours."""
    return module.split(".")[1] if "." in module else ""


def types_only_lines(module: str) -> set[int]:
    """Return the lines below an ``if TYPE_CHECKING``."""
    return {
        line
        for node in ast.walk(tree(module))
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")
        for statement in node.body
        for line in range(statement.lineno, (statement.end_lineno or statement.lineno) + 1)
    }


def imported_names(module: str, node: ast.Import | ast.ImportFrom) -> list[str]:
    """Return the full names that one statement imports, relative ones resolved."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    source = node.module or ""
    if node.level:
        is_package = MODULES[module].name == "__init__.py"
        parts = module.split(".")
        base = parts[: len(parts) - node.level + is_package]
        source = ".".join([*base, source] if source else base)
    return [f"{source}.{alias.name}" for alias in node.names]


def imports(module: str) -> Iterator[Import]:
    """Return what a module imports: modules of ours as modules, all else by its full name."""
    types_only = types_only_lines(module)
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            for name in imported_names(module, node):
                # `from ._close import Close` imports the module trio_ws._close.
                ours = name.partition(".")[0] == "trio_ws" and name not in MODULES
                target = name.rpartition(".")[0] if ours else name
                yield Import(module, target, node.lineno, node.lineno in types_only)


def own_imports(module: str) -> Iterator[Import]:
    """Return the imports of modules of ours."""
    return (each for each in imports(module) if each.imported in MODULES)


@pytest.mark.parametrize("module", MODULES)
def test_module_has_a_layer(module: str) -> None:
    """Each module has its place in the table."""
    assert component(module) in HEIGHT, f"put {module} into LAYERS in {Path(__file__).name}"


@pytest.mark.parametrize("module", MODULES)
def test_module_imports_from_no_higher_layer(module: str) -> None:
    """A module imports from its own layer or a lower one."""
    height = HEIGHT.get(component(module), -1)
    upward = [
        str(each)
        for each in own_imports(module)
        if HEIGHT.get(component(each.imported), len(LAYERS)) > height
        and not (each.types_only and (module, each.imported) in TYPES_ONLY)
    ]
    assert upward == []


def test_modules_import_each_other_in_one_direction() -> None:
    """No module imports itself, however indirectly, when the program runs."""
    graph = {
        module: {each.imported for each in own_imports(module) if not each.types_only}
        for module in MODULES
    }
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        pytest.fail(" <- ".join(error.args[1]))


@pytest.mark.parametrize("module", [name for name in MODULES if component(name) == "protocol"])
def test_protocol_does_no_input_or_output(module: str) -> None:
    """The sans-I/O layer imports no I/O library and never awaits."""
    forbidden = {"trio", "asyncio", "anyio", "socket", "ssl", "select", "selectors", "time"}
    assert [str(e) for e in imports(module) if e.imported.partition(".")[0] in forbidden] == []
    waiting = (ast.AsyncFunctionDef, ast.AsyncFor, ast.AsyncWith, ast.Await)
    assert [n.lineno for n in ast.walk(tree(module)) if isinstance(n, waiting)] == []


@pytest.mark.parametrize("module", MODULES)
def test_no_private_module_or_name_of_a_dependency_is_imported(module: str) -> None:
    """Nothing with an underscore is imported from trio, wsproto or h11."""
    private = [
        str(each)
        for each in imports(module)
        if each.imported.partition(".")[0] in DEPENDENCIES
        and any(is_private(part) for part in each.imported.split("."))
    ]
    assert private == []


@pytest.mark.parametrize("module", MODULES)
def test_no_private_attribute_of_a_dependency_is_touched(module: str) -> None:
    """Each ``x._name`` in the package is a name that the package itself defines."""
    foreign = [
        f"{module}:{node.lineno} {ast.unparse(node)}"
        for node in ast.walk(tree(module))
        if isinstance(node, ast.Attribute)
        and is_private(node.attr)
        and node.attr not in own_private_names()
    ]
    assert foreign == []


def is_private(name: str) -> bool:
    """Return whether a name is somebody's private one; ``__magic__`` is nobody's."""
    magic = name.startswith("__") and name.endswith("__")
    return name.startswith("_") and not magic and name not in PUBLIC_UNDERSCORES


@cache
def own_private_names() -> frozenset[str]:
    """Return the names that the package defines: functions, classes, attributes, modules."""
    names = {part for module in MODULES for part in module.split(".")}
    for module in MODULES:
        for node in ast.walk(tree(module)):
            match node:
                case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                    names.add(node.name)
                case ast.Attribute(value=ast.Name(id="self" | "cls"), ctx=ast.Store()):
                    names.add(node.attr)
                case ast.Name(ctx=ast.Store()):
                    names.add(node.id)
                case _:
                    pass
    return frozenset(names)
