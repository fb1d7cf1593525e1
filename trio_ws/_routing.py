"""Paths to handlers: one server, several kinds of connections, and plain pages beside them.

Lives here: which function serves a path.  How paths are matched is werkzeug's business
(extra ``routing``); what a handshake must be, that of ``protocol``.

Invariant: a router keeps no state of requests; matching the same request twice gives the same.
It serves nobody on a guarded path unless it was asked about requests.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NamedTuple, TypeVar, cast

from trio_ws._awaiting import awaited
from trio_ws._callables import checked_awaitable, name_of
from trio_ws.protocol.handshake import Accept
from trio_ws.protocol.http import Request, Response

if TYPE_CHECKING:
    from werkzeug.routing import BaseConverter

    from trio_ws._accepting import Decision, ProcessRequest
    from trio_ws._connection import WebSocket

_AnyHandler = TypeVar("_AnyHandler", bound=Callable[..., object])


class _Route(NamedTuple):
    """Who serves a path."""

    handler: Callable[..., object]
    process_request: ProcessRequest | None
    is_websocket: bool


class Router:
    """Serve several paths, each by its own handler.

    Give the router to a server as its handler; it then answers the requests too::

        router = Router()

        @router.websocket("/rooms/<name>")
        async def room(ws: WebSocket, name: str) -> None: ...

        @router.page("/health")
        def health(request: Request) -> Response: ...

        await serve_websocket(router, "localhost", 8000)

    Where the handler is a function of yours that calls the router, the server has to be told:
    ``process_request=router.process_request``.

    Rules are those of `werkzeug.routing`: ``<name>`` is a segment of the path, ``<int:number>`` or
    ``<path:rest>`` go through a converter, and what they take becomes keyword arguments: text of
    the client's, percent-decoded and as it is, ``..`` included.  A slash at the end makes no
    difference.  A path that no rule matches is answered 404,
    a page's path asked for as a WebSocket too; a WebSocket's path asked for as a page 426.

    Args:
        process_request: asked about each request for which there is a route, before it is served;
            as the server's own ``process_request``: ``None`` goes on, a `Response` is answered
            instead.  A route may name another one.
        converters: more converters for rules, by name.

    Raises:
        ImportError: werkzeug is not installed.
    """

    __slots__ = ("_asked", "_process_request", "_rules")

    def __init__(
        self,
        *,
        process_request: ProcessRequest | None = None,
        converters: Mapping[str, type[BaseConverter]] | None = None,
    ) -> None:
        try:
            # Here, because it takes a while and few servers have several paths.
            from trio_ws._rules import Rules  # noqa: PLC0415
        except ImportError as exc:
            raise ImportError("Router needs werkzeug: pip install 'trio_ws[routing]'") from exc
        self._process_request = process_request
        self._asked = False  # about any request
        self._rules: Rules[_Route] = Rules(converters)

    def websocket(
        self, rule: str, *, process_request: ProcessRequest | None = None
    ) -> Callable[[_AnyHandler], _AnyHandler]:
        """Serve the WebSockets of a path by the function below: ``await handler(ws, **taken)``.

        Args:
            rule: the path, as `werkzeug.routing.Rule` reads it.
            process_request: asked about requests of this route in place of the router's.

        Raises:
            ValueError, LookupError: the rule is malformed, or names an unknown converter.
        """
        return self._adder(rule, process_request, websocket=True)

    def page(
        self, rule: str, *, process_request: ProcessRequest | None = None
    ) -> Callable[[_AnyHandler], _AnyHandler]:
        """Answer plain GET requests for a path by the function below.

        It is called as ``handler(request, **taken)``, may be async, and returns a `Response`.  A
        HEAD request gets the same without the body.

        Args:
            rule: the path, as `werkzeug.routing.Rule` reads it.
            process_request: asked about requests of this route in place of the router's.

        Raises:
            ValueError, LookupError: the rule is malformed, or names an unknown converter.
        """
        return self._adder(rule, process_request, websocket=False)

    async def process_request(self, request: Request) -> Decision:
        """Answer a request, or let the handshake go on: for the server's ``process_request``.

        A server whose handler is the router asks it by itself.

        Raises:
            TypeError: the function of a page returned no `Response`.
        """
        self._asked = True
        found = self._rules.match(request.path, websocket=request.is_upgrade)
        if found is None:
            if not request.is_upgrade and self._rules.match(request.path, websocket=True):
                return None  # a page asked for where there is a WebSocket: the server knows better
            return Response(404, body="there is nothing at this path")
        route, taken = found
        guard = self._guard(route)
        decision = None if guard is None else await awaited(guard(request))
        if route.is_websocket or not (decision is None or isinstance(decision, Accept)):
            return cast("Decision", decision)  # the server checks that it is one
        answer = await awaited(route.handler(request, **taken))
        if not isinstance(answer, Response):
            raise TypeError(f"a page must return a Response, not {answer!r:.100}")
        return answer

    async def __call__(self, ws: WebSocket) -> None:
        """Serve a WebSocket by the handler of its path: the handler for the server.

        Raises:
            RuntimeError: there is none, or nobody has asked the router who may come in.
        """
        found = self._rules.match(ws.request.path, websocket=True)
        if found is None or not (self._asked or self._guard(found[0]) is None):
            raise RuntimeError(
                f"the router was not asked about the request for {ws.request.path!r:.200}: a server"
                " whose handler calls a router needs process_request=router.process_request"
            )
        route, taken = found
        await checked_awaitable("the handler", route.handler, route.handler(ws, **taken))

    def _guard(self, route: _Route) -> ProcessRequest | None:
        return route.process_request or self._process_request

    def _adder(
        self, rule: str, process_request: ProcessRequest | None, *, websocket: bool
    ) -> Callable[[_AnyHandler], _AnyHandler]:
        if not isinstance(rule, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(
                f"a rule must be a str, not a {type(rule).__name__}: write the path above"
                f' {name_of(rule)}, as in @router.websocket("/path")'
            )

        def add(handler: _AnyHandler) -> _AnyHandler:
            route = _Route(handler, process_request, websocket)
            self._rules.add(rule, route, websocket=websocket)
            return handler

        return add
