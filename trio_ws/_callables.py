"""Functions that users hand in: refused where they cannot be what they must be, in plain words.

A call that must fail later is refused at once, where the mistake was made, and only if it is sure
to fail: by a function's own code, never by a signature that a decorator claims.  What a callable
returns is known when it has returned it; then a result that cannot be awaited is explained.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Coroutine
from functools import partial
from types import FunctionType
from typing import cast


def check_async_callable(role: str, value: object, *arguments: str) -> None:
    """Refuse what can never be called as an async function of these arguments.

    Args:
        role: what it is here, for the message: "the handler".
        value: what was handed in.
        arguments: what it is called with, in words: "the WebSocket".

    Raises:
        TypeError: it is no callable, is a generator function, or takes other arguments.
    """
    expected = f"{role} must be an async function {_called_with(arguments)}"
    check_callable(expected, value, *arguments)
    if _yields(value):
        raise TypeError(
            f"{expected}; {name_of(value)}() has a yield in it, so nothing can await it"
        )


def check_callable(expected: str, value: object, *arguments: str) -> None:
    """Refuse what can never be called with these arguments.

    Args:
        expected: what is expected, the beginning of the message.
        value, arguments: as for `check_async_callable`.

    Raises:
        TypeError: it is no callable, or takes other arguments.
    """
    if isinstance(value, Coroutine):
        coroutine = cast("Coroutine[object, object, object]", value)
        coroutine.close()  # or else there would be a warning, too, that it was never awaited
        name = getattr(coroutine, "__name__", "function")
        raise TypeError(
            f"{expected}: write {name}, or functools.partial({name}, ...), and not {name}(...),"
            " which calls it here and now"
        )
    if not callable(value):
        raise TypeError(f"{expected}, not {value!r:.100}")
    try:
        signature = _sure_signature(value)
    except ValueError as exc:  # a method without self, or a partial of what the function lacks
        raise TypeError(f"{expected}; {name_of(value)}() can never be called: {exc}") from None
    if signature is not None:
        try:
            signature.bind(*arguments)
        except TypeError as exc:
            problem = f"{name_of(value)}{_plain(signature)} cannot be called so: {exc}"
            hint = ", which functools.partial can bind" if "missing" in problem else ""
            raise TypeError(f"{expected}; {problem}{hint}") from None


def checked_awaitable(role: str, function: object, result: object) -> Awaitable[object]:
    """Return what calling this function gave, if it can be awaited.

    Raises:
        TypeError: it cannot.
    """
    if inspect.isawaitable(result):
        return result
    name = name_of(function)
    raise TypeError(
        f"{role} must be an async function; calling {name}() gave {result!r:.100}, which cannot be"
        f" awaited: write async def {name}"
    )


def name_of(function: object) -> str:
    """Return the name that a function was written with, or what stands for it."""
    while isinstance(function, partial):
        function = cast("partial[object]", function).func
    return getattr(function, "__name__", None) or type(function).__name__


def _called_with(arguments: tuple[str, ...]) -> str:
    return f"of one argument, {arguments[0]}" if arguments else "that needs no arguments"


def _function_below(value: object) -> object:
    """Return the function that is called in the end, below `functools.partial` and methods."""
    while isinstance(value, partial):
        value = cast("partial[object]", value).func
    return value.__func__ if inspect.ismethod(value) else value


def _sure_signature(value: object) -> inspect.Signature | None:
    """Return what a callable takes, if its own code tells; ``None`` where it might be otherwise.

    Raises:
        ValueError: there are no arguments that it takes.
    """
    function = _function_below(value)
    claimed = hasattr(value, "__signature__") or hasattr(function, "__signature__")
    if claimed or not isinstance(function, FunctionType):
        return None
    assert callable(value)
    return inspect.signature(value, follow_wrapped=False)


def _plain(signature: inspect.Signature) -> inspect.Signature:
    """Return it without annotations, which are long and of no account here."""
    empty = inspect.Signature.empty
    parameters = [each.replace(annotation=empty) for each in signature.parameters.values()]
    return signature.replace(parameters=parameters, return_annotation=empty)


def _yields(value: object) -> bool:
    function = _function_below(value)
    if not isinstance(function, FunctionType):
        return False
    awaitable = function.__code__.co_flags & inspect.CO_ITERABLE_COROUTINE  # by types.coroutine
    return inspect.isasyncgenfunction(function) or (
        inspect.isgeneratorfunction(function) and not awaitable
    )
