"""The handler that ``trio-ws serve`` is to call: echo, or a function by its name."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Awaitable, Callable
from operator import attrgetter
from pathlib import Path

from trio_ws import WebSocket
from trio_ws.cli._failures import UNUSABLE, Failure

Handler = Callable[[WebSocket], Awaitable[object]]


async def echo(websocket: WebSocket) -> None:
    """Send back what comes."""
    async for message in websocket:
        await websocket.send(message)


def load_handler(name: str) -> Handler:
    """Import a handler: ``module:function``, modules of the current directory first.

    What the module itself raises comes out as it is, for its author to see.

    Raises:
        Failure: there is no such thing.
    """
    module_name, _, attribute = name.partition(":")
    parts = [*module_name.split("."), *attribute.split(".")]
    if not all(part.isidentifier() for part in parts):
        raise Failure(f"{name!r} is no handler; write module:function, chat:handler say", UNUSABLE)
    sys.path.insert(0, str(Path.cwd()))
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if not f"{module_name}.".startswith(f"{error.name}."):
            raise
        raise Failure(f"there is no module {module_name!r}, here or installed", UNUSABLE) from None
    try:
        handler: Handler = attrgetter(attribute)(module)
    except AttributeError as error:
        raise Failure(str(error), UNUSABLE) from None
    if not callable(handler):
        raise Failure(f"{name} is no function to call with a WebSocket: {handler!r}", UNUSABLE)
    return handler
