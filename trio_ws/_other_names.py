"""What is looked for under another name: typing errors, and names that other libraries use.

Nothing here is called before something has gone wrong.
"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Final, NoReturn, TypeVar, cast

_Kind = TypeVar("_Kind", bound=type[object])

# Of trio-websocket, websockets and their kin, to what is written here.
_OPTIONS: Final = {
    "additional_headers": "headers=...",
    "close_timeout": "timeouts=Timeouts(close=...)",
    "connect_timeout": "timeouts=Timeouts(open=...)",
    "disconnect_timeout": "timeouts=Timeouts(close=...)",
    "extra_headers": "headers=...",
    "max_message_size": "limits=Limits(max_message_size=...)",
    "max_queue": "limits=Limits(max_queued_messages=...)",
    "max_size": "limits=Limits(max_message_size=...)",
    "message_queue_size": "limits=Limits(max_queued_messages=...)",
    "open_timeout": "timeouts=Timeouts(open=...)",
    "ping_interval": "keepalive=Keepalive(interval=...)",
    "ping_timeout": "keepalive=Keepalive(timeout=...)",
    "ssl": "ssl_context=...",
    "timeout": "timeouts=Timeouts(open=...)",
}

_ATTRIBUTES: Final = {
    "close": "aclose()",
    "close_code": "close_received.code",
    "close_reason": "close_received.reason",
    "closed": "close_received (the peer's) or close_sent (ours)",
    "get_message": "receive()",
    "headers": "request.headers",
    "iter_text": "async for message in websocket",
    "path": "request.path",
    "receive_json": "json.loads(await websocket.receive())",
    "receive_text": "receive()",
    "recv": "receive()",
    "remote": "peer_address",
    "remote_address": "peer_address",
    "send_bytes": "send()",
    "send_json": "send(json.dumps(...))",
    "send_message": "send()",
    "send_str": "send()",
    "send_text": "send()",
    "wait_close": "wait_closed()",
}


class _Elsewhere:
    """An attribute that is none: it says under which name to find it."""

    def __init__(self, name: str, instead: str) -> None:
        self._name = name
        self._problem = f"a WebSocket has no {name!r}: write {instead}"

    def __repr__(self) -> str:
        return f"<{self._problem}>"  # as help() shows it

    def __get__(self, instance: object, owner: object) -> NoReturn:
        raise AttributeError(self._problem, name=self._name, obj=instance)


def names_elsewhere(kind: _Kind) -> _Kind:
    """Have a class of WebSockets explain what other libraries call its attributes.

    By descriptors, for a class with a ``__getattr__`` takes longer over each attribute it has.
    """
    for name, instead in _ATTRIBUTES.items():
        setattr(kind, name, _Elsewhere(name, instead))

    def directory(self: object) -> list[str]:
        return [name for name in object.__dir__(self) if name not in _ATTRIBUTES]

    type.__setattr__(kind, "__dir__", directory)
    return kind


def named_options(*, of: str = "", besides: Sequence[str] = ()) -> Callable[[_Kind], _Kind]:
    """Have a dataclass of options say what it knows when it is asked for what it does not.

    Args:
        of: what the options are of, for the message, where the user calls this class.
        besides: further names that the user may have meant, for most functions have them too.
    """

    def decorate(kind: _Kind) -> _Kind:
        make = cast("Callable[..., None]", kind.__init__)
        assert dataclasses.is_dataclass(kind)
        names = [field.name for field in dataclasses.fields(kind)]

        @wraps(make)
        def init(self: object, *args: object, **options: object) -> None:
            if args:
                raise TypeError(f"{of} takes no positional argument: write {of}({names[0]}=...)")
            for name in options:
                if name not in names:
                    problem = f"{of or 'this function'} has no option {name!r}"
                    raise TypeError(problem + _hint(name, names, besides))
            make(self, **options)

        type.__setattr__(kind, "__init__", init)
        return kind

    return cast("Callable[[_Kind], _Kind]", decorate)


def _hint(name: str, names: Sequence[str], besides: Sequence[str]) -> str:
    """Say what may have been meant."""
    others = [each for each in (*names, *besides) if each != name]
    elsewhere = _OPTIONS.get(name, "")
    if elsewhere.partition("=")[0] in others:
        return f": write {elsewhere}"
    alike = difflib.get_close_matches(name, others, 1)
    return f": did you mean {alike[0]}=...?" if alike else f"; there are {', '.join(names)}"
