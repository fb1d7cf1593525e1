"""Whom our server and Chromium refuse: pages of other origins, authorities that nobody trusts."""

from tests.browser.chromium import Chromium, Window
from tests.browser.probe import REFUSED, address_of, answer, both_ends, open_probe
from tests.servers import check_echo, contexts, echo, serve_on_loopback
from trio_ws import Close


async def test_page_of_another_origin_is_refused(window: Window) -> None:
    """The server answers 403, of which the page learns nothing but that it failed."""
    async with (
        serve_on_loopback(echo, process_request=answer) as elsewhere,
        serve_on_loopback(echo, process_request=answer) as server,
    ):
        probe = await open_probe(window, address_of(elsewhere))
        await probe.connect(address_of(server, "ws"))
        assert [await probe.next(), await probe.next()] == REFUSED
        assert server.connections == frozenset()
        await probe.connect(address_of(elsewhere, "ws"))
        assert (await probe.next())["type"] == "open"
    assert any("Unexpected response code: 403" in line for line in window.console)


async def test_page_of_a_named_origin_is_let_in(window: Window) -> None:
    """An origin that the server names may connect from anywhere."""
    async with serve_on_loopback(echo, process_request=answer) as elsewhere:
        origin = address_of(elsewhere).rstrip("/")
        probe = await open_probe(window, address_of(elsewhere))
        async with serve_on_loopback(echo, origins=[origin]) as server:
            await probe.connect(address_of(server, "ws"))
            assert (await probe.next())["type"] == "open"
            (ws,) = server.connections
            assert ws.request.origin == origin


async def test_page_over_tls(chromium: Chromium, window: Window) -> None:
    """With a certificate that the browser trusts, a page and its WebSocket use TLS."""
    async with both_ends(window, tls=chromium.tls) as (probe, ws, _):
        assert await probe.run("[isSecureContext, socket.url.slice(0, 6)]") == [True, "wss://"]
        await probe.run("socket.send('hello')")
        assert await ws.receive() == "hello"
        await ws.send(b"\1\2\3")
        assert (await probe.next())["data"] == [1, 2, 3]
        await ws.aclose(1000, "bye")
        assert ws.close_received == Close(1000, "bye")
        await probe.closed(1000, "bye")


async def test_authority_that_is_not_trusted(chromium: Chromium, window: Window) -> None:
    """Without that trust the browser does not connect, and the server is none the worse."""
    unknown = contexts()
    async with (
        serve_on_loopback(echo, tls=chromium.tls, process_request=answer) as known,
        serve_on_loopback(echo, tls=unknown) as server,
    ):
        probe = await open_probe(window, address_of(known, "https"))
        await probe.connect(address_of(server, "wss"))
        assert [await probe.next(), await probe.next()] == REFUSED
        await check_echo(server, unknown)
    assert any("ERR_CERT_AUTHORITY_INVALID" in line for line in window.console)
