"""Router: which function serves a path, and what is answered where there is none."""

import sys
from datetime import date

import pytest
import trio
from werkzeug.routing import BaseConverter

from tests.servers import answered, peer_of, serve_memory
from trio_ws import (
    Accept,
    ConnectionRejected,
    Request,
    Response,
    Router,
    WebSocket,
    serve_websocket,
    wrap_client_stream,
)
from trio_ws._serving import Handler
from trio_ws.testing import MemoryServer


class DateConverter(BaseConverter):
    """A date in a path."""

    def to_python(self, value: str) -> date:
        """Read it."""
        return date.fromisoformat(value)


def make_router() -> Router:
    """Return a router with a few routes; each handler sends what it was called with."""
    router = Router(converters={"date": DateConverter})

    @router.websocket("/")
    async def front(ws: WebSocket) -> None:
        await ws.send("front")

    @router.websocket("/rooms/<room>/<int:seat>")
    async def room(ws: WebSocket, room: str, seat: int) -> None:
        await ws.send(f"{room} {seat!r}")

    @router.websocket("/on/<date:day>/")
    async def on(ws: WebSocket, day: date) -> None:
        await ws.send(day.strftime("%d.%m.%Y"))

    @router.websocket("/kinds/<function>/<self>")
    async def kind(ws: WebSocket, **taken: str) -> None:
        await ws.send(str(taken))

    @router.page("/")
    def index(request: Request) -> Response:
        return Response(200, body=f"index for {request.method}")

    @router.page("/files/<path:name>")
    async def file(request: Request, name: str) -> Response:
        await trio.lowlevel.checkpoint()
        return Response(200, body=f"{name} {request.query}")

    return router


async def first_message(server: MemoryServer, target: str) -> str | bytes:
    """Return what the WebSocket at this target says first."""
    async with wrap_client_stream(await server.connect(), f"ws://localhost{target}") as ws:
        return await ws.receive()


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("/", "front"),
        ("/?q=1", "front"),
        ("/rooms/blue/17", "blue 17"),
        ("/rooms/caf%C3%A9%20noir/0", "café noir 0"),
        ("/on/2026-11-21/", "21.11.2026"),
        ("/on/2026-11-21", "21.11.2026"),
        ("/rooms/blue/17/", "blue 17"),
        ("/kinds/a/b", "{'function': 'a', 'self': 'b'}"),
    ],
)
async def test_websocket_goes_to_the_handler_of_its_path(target: str, message: str) -> None:
    """The path chooses the handler, and what the rule's converters take are its arguments."""
    router = make_router()
    async with serve_memory(router) as server:
        assert await first_message(server, target) == message


@pytest.mark.parametrize(
    "target", ["/nothing", "/rooms/blue", "/rooms/blue/first", "/files/a", "/rooms//1"]
)
async def test_websocket_without_a_route_is_answered_404(target: str) -> None:
    """Where there is no WebSocket, though maybe a page, the handshake is refused."""
    router = make_router()
    async with serve_memory(router) as server:
        with pytest.raises(ConnectionRejected, match="404"):
            await first_message(server, target)


@pytest.mark.parametrize(
    ("request_line", "status", "body"),
    [
        ("GET / HTTP/1.1", 200, b"index for GET"),
        ("GET /files/a/b.txt?v=2 HTTP/1.1", 200, b"a/b.txt v=2"),
        ("GET /nothing HTTP/1.1", 404, b"there is nothing at this path"),
        ("GET /rooms/blue/1 HTTP/1.1", 426, b"this is a WebSocket server: ask for an upgrade"),
        ("POST / HTTP/1.1", 405, b"only GET and HEAD are served here"),
    ],
)
async def test_plain_request_is_answered(request_line: str, status: int, body: bytes) -> None:
    """Pages are answered by their function; 404, 405 and 426 need none."""
    router = make_router()
    async with serve_memory(router) as server:
        peer = await peer_of(server)
        await peer.send_bytes(f"{request_line}\r\nHost: localhost\r\n\r\n".encode())
        head, received = await answered(peer)
        assert (head.status, received) == (status, body)


async def test_process_request_is_asked_where_there_is_a_route() -> None:
    """The router's ``process_request`` guards all routes, but for those that name their own."""
    asked: list[str] = []

    async def members_only(request: Request) -> Accept | Response:
        asked.append(request.target)
        name = request.headers.get("X-Name")
        return Accept(context=name) if name else Response(401)

    def anybody(request: Request) -> None:
        asked.append("anybody")

    router = Router(process_request=members_only)

    async def tell(ws: WebSocket) -> None:
        await ws.send(str(ws.context))

    def page(request: Request) -> Response:
        return Response(200, body="private")

    router.websocket("/private")(tell)
    router.websocket("/public", process_request=anybody)(tell)
    router.page("/page")(page)

    async with serve_memory(router) as server:
        with pytest.raises(ConnectionRejected, match="401"):
            await first_message(server, "/private")
        with pytest.raises(ConnectionRejected, match="404"):
            await first_message(server, "/elsewhere")
        assert await first_message(server, "/public") == "None"
        headers = {"X-Name": "Eve"}
        url = "ws://localhost/private"
        async with wrap_client_stream(await server.connect(), url, headers=headers) as ws:
            assert await ws.receive() == "Eve"
        for fields, status in ("", 401), ("X-Name: Eve\r\n", 200):
            peer = await peer_of(server)
            await peer.send_bytes(f"GET /page HTTP/1.1\r\nHost: h\r\n{fields}\r\n".encode())
            assert (await answered(peer))[0].status == status
    assert asked == ["/private", "anybody", "/private", "/page", "/page"]


async def test_router_serves_over_tcp() -> None:
    """What the class's docstring shows works as it stands there."""
    router = make_router()
    async with trio.open_nursery() as nursery:
        server = await nursery.start(serve_websocket, router, "127.0.0.1", 0)
        stream = await trio.open_tcp_stream("127.0.0.1", server.port)
        async with wrap_client_stream(stream, "ws://localhost/rooms/a/1") as ws:
            assert await ws.receive() == "a 1"
        nursery.cancel_scope.cancel()


async def close_code(handler: Handler, path: str) -> int | None:
    """Return what a server that was given no ``process_request`` closes such a connection with."""
    async with (
        serve_memory(handler) as server,
        wrap_client_stream(await server.connect(), f"ws://localhost{path}") as ws,
    ):
        await ws.wait_closed()
        return None if ws.close_received is None else ws.close_received.code


@pytest.mark.parametrize("path", ["/nothing", "/private"])
async def test_router_that_was_not_asked_says_so(
    path: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody gets by a guard because the server knows nothing of the router; the log says why."""
    router = Router()

    @router.websocket("/private", process_request=lambda _: Response(401))
    async def private(ws: WebSocket) -> None:
        pytest.fail("let in")

    async def handler(ws: WebSocket) -> None:
        await router(ws)

    assert await close_code(handler, path) == 1011
    assert "needs process_request=router.process_request" in caplog.text


async def test_router_without_guards_serves_unasked() -> None:
    """There is nobody whom it would have kept out."""
    router = Router()

    @router.websocket("/public")
    async def public(ws: WebSocket) -> None:
        await ws.send("come in")

    async def handler(ws: WebSocket) -> None:
        await router(ws)

    assert await close_code(handler, "/public") == 1000


async def test_router_that_is_the_handler_is_asked() -> None:
    """Without being told, the server has its guards decide, its pages answered and its 404."""
    router = Router(process_request=lambda _: Response(401))

    @router.websocket("/private")
    async def private(ws: WebSocket) -> None:
        pytest.fail("let in")

    async with serve_memory(router) as server:
        for path, status in ("/private", 401), ("/nothing", 404):
            with pytest.raises(ConnectionRejected) as rejected:
                async with server.open_websocket(path):
                    pytest.fail("let in")
            assert rejected.value.response.status == status


async def test_router_is_not_asked_where_somebody_else_is() -> None:
    """Who names a ``process_request`` knows better, and may ask the router, or not."""
    router = Router()

    @router.websocket("/")
    async def hello(ws: WebSocket) -> None:
        await ws.send(str(ws.context))

    async with (
        serve_memory(router, process_request=lambda _: Accept(context="mine")) as server,
        server.open_websocket() as ws,
    ):
        assert await ws.receive() == "mine"


async def test_guard_that_decides_nothing_opens_no_page(caplog: pytest.LogCaptureFixture) -> None:
    """What is no decision is answered 500, for a page as for a WebSocket."""

    def guard(request: Request) -> None:
        return False  # type: ignore[return-value]  # pyright: ignore[reportReturnType]

    router = Router(process_request=guard)

    @router.page("/")
    def page(request: Request) -> Response:
        return Response(200, body="private")

    async with serve_memory(router) as server:
        peer = await peer_of(server)
        await peer.send_bytes(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert (await answered(peer))[0].status == 500
    assert "must return None, an Accept or a Response, not False" in caplog.text


@pytest.mark.parametrize("answer", [None, Accept(), "text"])
async def test_page_that_returns_no_response_is_an_error(
    caplog: pytest.LogCaptureFixture, answer: object
) -> None:
    """The client is answered 500, and the log says what was returned."""
    router = Router()

    @router.page("/")
    def page(request: Request) -> object:
        return answer

    async with serve_memory(router) as server:
        peer = await peer_of(server)
        await peer.send_bytes(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert (await answered(peer))[0].status == 500
    assert f"a page must return a Response, not {answer!r}" in caplog.text


@pytest.mark.parametrize(
    ("rule", "error"),
    [("rooms", ValueError), ("/<unknown:x>", LookupError), ("/<x", ValueError)],
)
def test_malformed_rule_is_refused(rule: str, error: type[Exception]) -> None:
    """A rule that werkzeug cannot read is an error where it is written."""
    with pytest.raises(error):
        Router().websocket(rule)(make_router())
    with pytest.raises(error):
        Router().page(rule)(make_router())


def test_router_without_werkzeug_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the extra the error names it."""
    monkeypatch.setitem(sys.modules, "trio_ws._rules", None)
    with pytest.raises(ImportError, match=r"pip install 'trio_ws\[routing\]'"):
        Router()
