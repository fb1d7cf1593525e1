"""Rules for paths, by werkzeug: apart from ``_routing`` because importing it takes a while.

Lives here: all that we know of werkzeug (extra ``routing``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Generic, TypeVar, cast

from werkzeug.exceptions import NotFound
from werkzeug.routing import BaseConverter, Map, Rule, WebsocketMismatch

Route = TypeVar("Route")


class Rules(Generic[Route]):
    """Rules for paths, and the route that each leads to."""

    __slots__ = ("_map",)

    def __init__(self, converters: Mapping[str, type[BaseConverter]] | None) -> None:
        # No rule answers with a redirect, for few WebSocket clients follow any.
        self._map = Map(
            strict_slashes=False,
            merge_slashes=False,
            redirect_defaults=False,
            converters=converters,
        )

    def add(self, rule: str, route: Route, *, websocket: bool) -> None:
        """Have a rule lead to a route."""
        self._map.add(Rule(rule, endpoint=route, websocket=websocket))

    def match(self, path: str, *, websocket: bool) -> tuple[Route, dict[str, Any]] | None:
        """Return the route of a path, and what its rule takes from the path, if there is any."""
        try:
            found = self._map.bind("").match(path, websocket=websocket)
        except (NotFound, WebsocketMismatch):
            return None
        return cast("tuple[Route, dict[str, Any]]", found)
