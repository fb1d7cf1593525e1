"""Tests over real sockets, for what only they can tell."""

import pytest

from chat_server import Chat
from trio_ws import TLSFailed, open_websocket_url
from trio_ws.testing import TLSContexts, tls_contexts
from trio_ws.testing.pytest_plugin import StartLoopbackServer


@pytest.mark.parametrize("scheme", ["ws", "wss"])
async def test_hello(loopback_server: StartLoopbackServer, tls: TLSContexts, scheme: str) -> None:
    """Over TCP and over TLS, with a certificate of a moment."""
    server = await loopback_server(Chat().serve, tls=tls if scheme == "wss" else None)
    async with server.open_websocket("/kitchen?Ada") as ada:
        assert await ada.receive() == "Ada is here"
        assert server.url.startswith(f"{scheme}:")


async def test_stranger_is_not_trusted(
    loopback_server: StartLoopbackServer, tls: TLSContexts
) -> None:
    """A client that knows only another authority does not even begin to talk."""
    server = await loopback_server(Chat().serve, tls=tls)
    with pytest.raises(TLSFailed):
        async with open_websocket_url(server.url, tls_contexts().client):
            pytest.fail("it was trusted")
