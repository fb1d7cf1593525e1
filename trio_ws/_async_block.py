"""Functions for ``async with``, and an explanation for whoever does something else with them.

As `contextlib.asynccontextmanager`, whose objects say of themselves that they are an
``_AsyncGeneratorContextManager``, and no more, when they are awaited, entered by a plain ``with``,
entered twice, iterated over, or taken for what ``async with`` gives.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import wraps
from typing import TYPE_CHECKING, Any, NoReturn, ParamSpec, TypeVar

if TYPE_CHECKING:
    from types import TracebackType

_P = ParamSpec("_P")
_T = TypeVar("_T")


class AsyncBlock(AbstractAsyncContextManager[_T]):
    """What is to be entered by ``async with``, and only that."""

    __slots__ = ("_entered", "_hint", "_manager", "_name")

    def __init__(self, manager: AbstractAsyncContextManager[_T], name: str, target: str) -> None:
        self._manager = manager
        self._entered = False
        self._name = name
        self._hint = f"write `async with {name}(...) as {target}:`"

    # No coroutines of its own: they would be a frame more in every traceback.

    def __aenter__(  # pyright: ignore[reportIncompatibleMethodOverride] - an async def there
        self,
    ) -> Coroutine[Any, Any, _T]:
        if self._entered:
            raise RuntimeError(f"one {self._name}() is entered once: call it again for another")
        self._entered = True
        return self._manager.__aenter__()

    def __aexit__(  # pyright: ignore[reportIncompatibleMethodOverride] - an async def there
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> Coroutine[Any, Any, bool | None]:
        return self._manager.__aexit__(exc_type, exc_value, traceback)

    if not TYPE_CHECKING:  # there it is an error that these are missing

        def __await__(self) -> NoReturn:
            raise TypeError(f"{self._name}() is not awaited but entered: {self._hint}")

        def __enter__(self) -> NoReturn:
            raise TypeError(f"{self._name}() is entered by async with: {self._hint}")

        __exit__ = None  # with looks for it before it enters

        def __aiter__(self) -> NoReturn:
            raise TypeError(f"{self._name}() is entered before it is iterated over: {self._hint}")

        def __iter__(self) -> NoReturn:
            self.__aiter__()

        def __getattr__(self, name: str) -> NoReturn:
            if name.startswith("_"):  # asked for by machinery, maybe before there is a hint
                raise AttributeError(name)
            problem = f"{self._name}() was not entered, so there is no {name!r} yet"
            if self._entered:
                problem = f"{name!r} is not of {self._name}() but of what that gave its block"
            raise AttributeError(f"{problem}: {self._hint}")


def async_block(
    target: str,
) -> Callable[[Callable[_P, AsyncGenerator[_T, None]]], Callable[_P, AsyncBlock[_T]]]:
    """Make of an async generator function one that returns an `AsyncBlock`.

    Args:
        target: a name for what ``async with`` gives, for the explanations.
    """

    def decorate(
        generator_function: Callable[_P, AsyncGenerator[_T, None]],
    ) -> Callable[_P, AsyncBlock[_T]]:
        make = asynccontextmanager(generator_function)
        name = generator_function.__name__

        @wraps(generator_function)
        def function(*args: _P.args, **kwargs: _P.kwargs) -> AsyncBlock[_T]:
            return AsyncBlock(make(*args, **kwargs), name, target)

        return function

    return decorate
