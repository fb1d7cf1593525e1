"""Which tests there are, for tables that say which one shows what."""

import ast
import re
from functools import cache
from pathlib import Path

TESTS = Path(__file__).parent

# As the documentation writes them.
_TEST = re.compile(r"``(test_\w+\.py)::(test_\w+)``")


@cache
def _defined_in(file: str) -> frozenset[str]:
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    tree = ast.parse((TESTS / file).read_text())
    return frozenset(node.name for node in tree.body if isinstance(node, functions))


def named_in(text: str) -> list[tuple[str, str]]:
    """Return file and name of the tests that a text of the documentation names."""
    return _TEST.findall(text)


def missing(tests: list[tuple[str, str]]) -> list[str]:
    """Return those that do not exist."""
    return [f"{file}::{name}" for file, name in tests if name not in _defined_in(file)]
