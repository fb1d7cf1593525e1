"""The programs of the guide from trio-websocket: before, with one import changed, and after."""

import ast

import pytest

from tests.running import EXAMPLES, Program, finished, running
from trio_ws import ConnectionRejected, open_websocket_url

TALK = ["hello, Ada", "Ada says: how nice"]


async def check_farewells(greeter: Program, address: str) -> None:
    """Look at what the server says of two visitors, and to one without a name."""
    assert [await greeter.line(), await greeter.line()] == ["Ada has left: 1000"] * 2
    with pytest.raises(ConnectionRejected, match=r"404.*who are you"):
        async with open_websocket_url(address):
            pass


async def test_greeter_before_the_move() -> None:
    """Visitors may move first."""
    async with running("migration/greeter_before.py", 0) as greeter:
        address = await greeter.address()
        assert await finished("migration/visitor_before.py", address) == TALK
        assert await finished("migration/visitor_after.py", address) == TALK
        await check_farewells(greeter, address)


async def test_greeter_with_one_import_changed() -> None:
    """The server may move by its import, and nobody notices."""
    async with running("migration/greeter_compat.py", 0) as greeter:
        address = await greeter.address()
        assert await finished("migration/visitor_before.py", address) == TALK
        assert await finished("migration/visitor_after.py", address) == TALK
        await check_farewells(greeter, address)


async def test_greeter_after_the_move() -> None:
    """The server may move first."""
    async with running("migration/greeter_after.py", 0) as greeter:
        address = await greeter.address()
        assert await finished("migration/visitor_before.py", address) == TALK
        assert await finished("migration/visitor_after.py", address) == TALK
        await check_farewells(greeter, address)


def without_import(name: str) -> str:
    """Return a program without its docstring and what it imports of the library."""
    module = ast.parse((EXAMPLES / "migration" / name).read_text(encoding="utf-8"))
    module.body = [
        each
        for each in module.body[1:]
        if not (isinstance(each, ast.ImportFrom) and "trio_websocket" in (each.module or ""))
    ]
    return ast.unparse(module)


def test_one_import_is_changed() -> None:
    """The program over ``trio_ws.compat`` has another import, and is otherwise what it was."""
    assert without_import("greeter_before.py") == without_import("greeter_compat.py")
