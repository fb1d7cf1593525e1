"""What ``docs/comparison.rst`` says of others is so in the versions that are installed."""

import inspect
from functools import partial
from pathlib import Path

import aiohttp
import aiohttp.web
import pytest
import trio_websocket
import websockets.trio.client
import websockets.trio.server

from tests.test_migration import looked_up, parameters, tables
from trio_ws import Keepalive, Limits

TEXT = (Path(__file__).parent.parent / "docs" / "comparison.rst").read_text(encoding="utf-8")
FEATURES, DEFAULTS = tables(TEXT)
COLUMNS = FEATURES[0][1:]

# Where a feature is: what the library has for it, by the table's rows.  picows is not asked: it is
# installed for benchmarks only.
HAS = {
    "trio_ws": {
        "runs on Trio": "trio_ws.serve_websocket",
        "client without async": "trio_ws.blocking.open_websocket_url",
        "protocol without I/O": "trio_ws.protocol.Protocol",
        "compression": "trio_ws.Deflate",
        "messages in pieces": "trio_ws.WebSocket.receive_stream",
        "keepalive": "trio_ws.Keepalive",
        "check of origins": "trio_ws.SAME_ORIGIN",
        "proxies": "trio_ws.open_websocket_url(proxy=)",
        "a client that reconnects": "trio_ws.reconnect_websocket_url",
        "broadcast": "trio_ws.broadcast",
        "publish and subscribe": "trio_ws.pubsub.Broker",
        "paths to handlers": "trio_ws.Router",
        "command line": "trio_ws.cli.main",
        "tools for tests": "trio_ws.testing.memory_websocket_pair",
    },
    "websockets": {
        "runs on Trio": "websockets.trio.server.serve",
        "runs on asyncio": "websockets.asyncio.server.serve",
        "client without async": "websockets.sync.client.connect",
        "server without async": "websockets.sync.server.serve",
        "protocol without I/O": "websockets.protocol.Protocol",
        "compression": "websockets.trio.server.serve(compression=)",
        "messages in pieces": "websockets.trio.connection.Connection.recv_streaming",
        "keepalive": "websockets.trio.server.serve(ping_interval=)",
        "check of origins": "websockets.trio.server.serve(origins=)",
        "proxies": "websockets.trio.client.connect(proxy=)",
        "a client that reconnects": "websockets.trio.client.connect(reconnect_delays=)",
        "broadcast": "websockets.trio.server.broadcast",
        "paths to handlers": "websockets.trio.router.route",
        "command line": "websockets.cli.main",
    },
    "trio-websocket": {"runs on Trio": "trio_websocket.serve_websocket"},
    "aiohttp": {
        "runs on asyncio": "aiohttp.ClientSession.ws_connect",
        "compression": "aiohttp.web.WebSocketResponse(compress=)",
        "keepalive": "aiohttp.web.WebSocketResponse(heartbeat=)",
        "proxies": "aiohttp.ClientSession.ws_connect(proxy=)",
        "paths to handlers": "aiohttp.web.RouteTableDef",
        "HTTP requests, cookies, sessions": "aiohttp.ClientSession",
        "tools for tests": "aiohttp.test_utils.TestServer",
    },
}


def default(function: object, parameter: str) -> object:
    """Return the default of a parameter."""
    assert callable(function)
    return inspect.signature(function).parameters[parameter].default


@pytest.mark.parametrize("library", HAS)
def test_features_are_those_that_have_a_name(library: str) -> None:
    """A library has what it has a name for, and the table says so of nothing else."""
    column = COLUMNS.index(library) + 1
    assert {row[0] for row in FEATURES[1:] if row[column] == "yes"} == set(HAS[library])
    for name in HAS[library].values():
        path, _, argument = name.rstrip("=)").partition("(")
        module = path.partition(".")[0]
        found = looked_up(module, path.removeprefix(f"{module}."))
        assert found is not None, name
        assert not argument or argument in parameters(found), name


def test_table_says_yes_or_no() -> None:
    """There is no third answer."""
    assert {cell for row in FEATURES[1:] for cell in row[1:]} == {"yes", "no"}


def test_defaults_are_those_of_the_signatures() -> None:
    """The table of defaults is what the functions have."""
    connect, serve = websockets.trio.client.connect, websockets.trio.server.serve
    upgrade = aiohttp.web.WebSocketResponse
    of_websockets, of_aiohttp = partial(default, serve), partial(default, upgrade)
    of_trio_websocket = partial(default, trio_websocket.serve_websocket)
    mib = 1024 * 1024
    assert Limits().max_message_size == of_websockets("max_size") == mib
    assert default(connect, "max_size") == of_trio_websocket("max_message_size") == mib
    assert of_aiohttp("max_msg_size") == 4 * mib
    assert Keepalive().interval == of_websockets("ping_interval") == 20
    assert of_aiohttp("heartbeat") is None
    assert of_websockets("compression") == "deflate"
    assert of_aiohttp("compress") is True
    assert of_websockets("origins") is None
    shown = {row[0]: row[1:5] for row in DEFAULTS[1:]}
    assert shown == {
        "largest message received": ["1 MiB", "1 MiB", "1 MiB", "4 MiB"],
        "pings are sent": ["after 20 s of silence", "every 20 s", "no", "no"],
        "a server compresses": ["no", "yes", "no", "yes"],
        "pages of other origins": ["refused", "let in", "let in", "let in"],
    }
