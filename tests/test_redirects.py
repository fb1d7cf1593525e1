"""Redirects: not followed unless asked for, and then nowhere that the user has not been going."""

from typing import Unpack

import pytest
import trio
import trio.testing

from tests.clients import Everywhere, resolve_everywhere
from tests.servers import LOOPBACK, ServeOptions, contexts, echo, serve_on_loopback
from trio_ws import (
    ConnectionRejected,
    ConnectOptions,
    HandshakeTimeout,
    Headers,
    Request,
    Response,
    Server,
    Timeouts,
    TLSFailed,
    WebSocket,
    connect_websocket_url,
    open_websocket_url,
)
from trio_ws._opening import Enter, Opening, OpeningOptions
from trio_ws._redirects import redirected
from trio_ws._url import WebSocketURL, parse_url
from trio_ws.testing import serve_in_memory

OURS = "ws://user:secret@server.example:8080/chat?room=1"
OURS_SECURE = "wss://user:secret@server.example/chat"

HEADERS = Headers(
    [
        ("Authorization", "Bearer secret"),
        ("cookie", "secret=1"),
        ("Host", "virtual.example"),
        ("Proxy-Authorization", "Basic secret"),
        ("X-Room", "1"),
        ("X-Room", "2"),
    ]
)


def redirect(location: str, status: int = 302) -> Response:
    """Return a response that sends whoever gets it elsewhere."""
    return Response(status, {"Location": location})


def followed(url: str, location: str, status: int = 302) -> tuple[WebSocketURL, Headers] | None:
    """Return what becomes of a request when this is the answer."""
    return redirected(parse_url(url), HEADERS, redirect(location, status))


# What a Location means


@pytest.mark.parametrize(
    ("location", "target"),
    [
        ("/other", "/other"),
        ("other", "/other"),
        ("?room=2", "/chat?room=2"),
        ("", "/chat?room=1"),
        ("#top", "/chat?room=1"),
        ("/other#top", "/other"),
        ("../../other", "/other"),
        ("//server.example:8080/other", "/other"),
        ("ws://server.example:8080/other", "/other"),
        ("http://server.example:8080/other", "/other"),
        ("HTTP://SERVER.example:8080/other", "/other"),
        ("http://server.example:8080", "/"),
        ("http://@server.example:8080/", "/"),
    ],
)
def test_same_origin_is_followed_with_everything(location: str, target: str) -> None:
    """Relative or not, in the words of WebSocket or of HTTP."""
    redirect = followed(OURS, location)
    assert redirect is not None
    url, headers = redirect
    assert str(url) == f"ws://server.example:8080{target}"
    assert url.authorization == parse_url(OURS).authorization
    assert headers == HEADERS


@pytest.mark.parametrize(
    ("location", "expected"),
    [
        ("wss://server.example/", "wss://server.example/"),
        ("https://server.example/a?b", "wss://server.example/a?b"),
        ("https://server.example:8443/", "wss://server.example:8443/"),
        ("HTTPS://Server.Example:8080/", "wss://server.example:8080/"),
    ],
)
def test_to_tls_is_followed_without_credentials(location: str, expected: str) -> None:
    """It is the same host, but another origin."""
    redirect = followed(OURS, location)
    assert redirect is not None
    url, headers = redirect
    assert str(url) == expected
    assert url.authorization is None
    assert headers.pairs == (("X-Room", "1"), ("X-Room", "2"))


@pytest.mark.parametrize("url", [OURS, OURS_SECURE])
@pytest.mark.parametrize(
    "location",
    [
        "ws://evil.example/",
        "wss://evil.example/",
        "https://evil.example/",
        "//evil.example/",
        "http://server.example.evil.example:8080/",
        "http://server.example@evil.example:8080/",
        "http://evil.example:8080#@server.example:8080/",
        "http://evil.example:8080\\@server.example:8080/",
        "http://user:password@server.example:8080/",
        "https://user:password@server.example/",
        "ws://server.example:8081/",
        "http://server.example/",
        "ftp://server.example/",
        "javascript:alert(1)",
        "http:",
        "http://",
        "http://[::1",
        "http://[::1]:8080/",
        "http://server.example:808O/",
        "http://server.example:8080/ other",
        "http://ser\tver.example:8080/",
        "http://server.example:8080/%zz",
        "http://s\xe9rver.example:8080/",
        "/o\tther",
        "/s\xe9cond",
    ],
)
def test_elsewhere_is_not_followed(url: str, location: str) -> None:
    """No other host or port, no other scheme, nothing that can be read in two ways."""
    assert followed(url, location) is None


@pytest.mark.parametrize(
    "location",
    ["ws://server.example/", "http://server.example:443/", "wss://server.example:8443/"],
)
def test_secure_origin_is_not_left(location: str) -> None:
    """Neither by a downgrade nor for another port."""
    assert followed(OURS_SECURE, location) is None


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_status_that_redirects(status: int) -> None:
    """For a GET they all mean the same."""
    assert followed(OURS, "/other", status) is not None


@pytest.mark.parametrize("status", [200, 201, 300, 304, 305, 306, 401, 503])
def test_status_that_does_not(status: int) -> None:
    """A Location may be there with others as well."""
    assert followed(OURS, "/other", status) is None


@pytest.mark.parametrize("locations", [[], ["/a", "/b"], ["/a", "/a"]])
def test_redirect_to_no_one_place(locations: list[str]) -> None:
    """It is an answer like any other refusal."""
    response = Response(302, [("Location", each) for each in locations])
    assert redirected(parse_url(OURS), HEADERS, response) is None


# What a client does with it


def served(*responses: Response) -> tuple[list[Request], ServeOptions]:
    """Return options of a server that answers so, then opens; and what it was asked."""
    requests: list[Request] = []

    def process(request: Request) -> Response | None:
        requests.append(request)
        return responses[len(requests) - 1] if len(requests) <= len(responses) else None

    return requests, {"process_request": process}


async def check_echo_at(server: Server, **options: Unpack[ConnectOptions]) -> WebSocket:
    """Open a connection, exchange a message, close it."""
    async with open_websocket_url(f"ws://{LOOPBACK}:{server.port}/first", **options) as ws:
        await ws.send("hello")
        assert await ws.receive() == "hello"
    return ws


async def test_redirect_is_not_followed_by_default() -> None:
    """The response is in the error, and the error says where it leads, without any password."""
    requests, options = served(redirect("http://user:secret@other.example/"))
    async with serve_on_loopback(echo, **options) as server:
        with pytest.raises(ConnectionRejected) as caught:
            await check_echo_at(server)
    assert caught.value.response.status == 302
    assert str(caught.value) == (
        "the request was answered with 302 (Found), a redirect to 'http://***@other.example/'"
    )
    assert len(requests) == 1


async def test_redirect_is_followed() -> None:
    """As often as is allowed; each request is a handshake of its own."""
    requests, options = served(redirect("/second"), redirect("third", 307))
    async with serve_on_loopback(echo, **options) as server:
        ws = await check_echo_at(server, max_redirects=2, headers=iter([("X-Room", "1")]))
    assert [each.target for each in requests] == ["/first", "/second", "/third"]
    assert [each.headers.get("X-Room") for each in requests] == ["1", "1", "1"]
    assert len({each.headers["Sec-WebSocket-Key"] for each in requests}) == 3
    assert ws.request.target == "/third"


async def test_redirect_into_a_nursery() -> None:
    """All functions that connect by a URL follow."""
    _, options = served(redirect("/second"))
    async with serve_on_loopback(echo, **options) as server, trio.open_nursery() as nursery:
        url = f"ws://{LOOPBACK}:{server.port}/first"
        ws = await connect_websocket_url(nursery, url, max_redirects=1)
        assert ws.request.target == "/second"
        await ws.aclose()


async def test_redirects_without_end_are_cut_short() -> None:
    """The last of them is the error, and no other is its context."""
    requests, options = served(*[redirect("/again")] * 10)
    async with serve_on_loopback(echo, **options) as server:
        with pytest.raises(ConnectionRejected) as caught:
            await check_echo_at(server, max_redirects=3)
    assert caught.value.__context__ is None
    assert len(requests) == 4


async def test_redirect_to_tls() -> None:
    """The context is there for it, and the credentials stay behind."""
    tls = contexts(LOOPBACK)
    secure_requests, secure_options = served()
    async with serve_on_loopback(echo, tls=tls, **secure_options) as secure:
        requests, options = served(redirect(f"https://{LOOPBACK}:{secure.port}/second"))
        async with (
            serve_on_loopback(echo, **options) as server,
            open_websocket_url(
                f"ws://user:secret@{LOOPBACK}:{server.port}/first",
                tls.client,
                max_redirects=1,
                headers={"Cookie": "secret=1", "X-Room": "1"},
            ) as ws,
        ):
            assert ws.request.secure
            assert ws.request.headers["X-Room"] == "1"
    assert "Authorization" in requests[0].headers
    [request] = secure_requests
    assert "Authorization" not in request.headers
    assert "Cookie" not in request.headers
    assert request.host == f"{LOOPBACK}:{secure.port}"


async def test_redirect_to_tls_has_a_context_by_default() -> None:
    """The system's authorities do not know our server: that is where it ends."""
    async with serve_on_loopback(echo, tls=contexts(LOOPBACK)) as secure:
        _, options = served(redirect(f"https://{LOOPBACK}:{secure.port}/second"))
        async with serve_on_loopback(echo, **options) as server:
            with pytest.raises(TLSFailed, match=r"certificate of 127\.0\.0\.1 was not accepted"):
                await check_echo_at(server, max_redirects=1)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_h14_nobody_else_is_connected_to(status: int) -> None:
    """H14: with Authorization set, and other hosts that would listen."""
    others: list[WebSocket] = []

    async def other(ws: WebSocket) -> None:
        others.append(ws)

    async with serve_on_loopback(other) as evil:
        resolver: Everywhere = resolve_everywhere()
        for location in (f"ws://evil.example:{evil.port}/", f"//evil.example:{evil.port}/"):
            _, options = served(redirect(location, status))
            async with serve_on_loopback(echo, **options) as server:
                with pytest.raises(ConnectionRejected):
                    await check_echo_at(
                        server, max_redirects=5, headers={"Authorization": "Bearer secret"}
                    )
    assert others == []
    assert "evil.example" not in resolver.asked


async def test_time_is_for_all_of_it(autojump_clock: trio.testing.MockClock) -> None:
    """``timeouts.open`` does not begin anew with each redirect."""

    async def slowly(request: Request) -> Response:
        await trio.sleep(3)
        return redirect("/again")

    async with serve_in_memory(echo, process_request=slowly) as server:

        async def connect(url: WebSocketURL, enter: Enter) -> trio.abc.Stream:
            return await server.connect()

        opening = Opening(
            parse_url("ws://localhost/"),
            connect,
            OpeningOptions(timeouts=Timeouts(open=10)),
            max_redirects=100,
        )
        began = trio.current_time()
        async with trio.open_nursery() as nursery:
            with pytest.raises(HandshakeTimeout) as caught:
                await opening.open(nursery.start_soon)
    assert trio.current_time() - began == 10
    assert caught.value.phase == "handshake"


async def test_number_of_redirects_is_none() -> None:
    """It is checked before anything is connected to."""
    with pytest.raises(ValueError, match="max_redirects must be 0 or more, not -1"):
        async with open_websocket_url("ws://localhost:1/", max_redirects=-1):
            pytest.fail("connected")
