"""What trio-websocket does, the module in its place does: the same tests run over both.

Most of them with each of the two as the client and as the server, so that either gets on with the
other.
"""

import copy
import inspect
import pickle
import socket
from types import FunctionType
from typing import cast

import pytest
import trio
import trio_websocket as theirs
import wsproto.frame_protocol

from tests.compat_ends import (
    Either,
    Library,
    all_pairs,
    both_libraries,
    client_of_peer,
    connected,
    echo,
    linger,
    serving,
    serving_tcp,
)
from tests.connections import next_close, socket_pair
from tests.servers import LOOPBACK, contexts, over_tcp_and_tls
from trio_ws.compat import trio_websocket as ours
from trio_ws.testing import MemoryListener, ScriptedPeer, upgrade_request

PUBLIC = sorted(
    name
    for name, value in vars(theirs).items()
    if not name.startswith("_") and not inspect.ismodule(value)
)

# These two are made by functions, not by programs, and of other things than there.
MADE_BY_THE_LIBRARY = {"WebSocketConnection", "WebSocketRequest"}

CALLABLE = [
    name
    for name in PUBLIC
    if inspect.isfunction(getattr(theirs, name)) or "__init__" in vars(getattr(theirs, name))
]


def parameters(function: object) -> list[tuple[str, object, object]]:
    """Return what a caller can pass: name, kind and default of each parameter."""
    assert callable(function)
    signature = inspect.signature(function)
    return [(each.name, each.kind, each.default) for each in signature.parameters.values()]


def members(kind: type) -> dict[str, object]:
    """Return the public attributes that a class defines, its annotations included."""
    names = {*vars(kind), *inspect.get_annotations(kind)}
    return {name: vars(kind).get(name) for name in names if not name.startswith("_")}


def reason_of(closed: pytest.ExceptionInfo[Exception]) -> tuple[int, str | None]:
    """Return code and reason of a ConnectionClosed of either library."""
    reason = cast("Either", closed.value).reason
    return reason.code, reason.reason


# The interface


def test_all_public_names_are_there() -> None:
    """What trio-websocket exports can be imported, and nothing else."""
    assert sorted(ours.__all__) == PUBLIC
    assert ours.__version__ == theirs.__version__


@pytest.mark.parametrize("name", sorted({*CALLABLE} - MADE_BY_THE_LIBRARY))
def test_parameters_are_the_same(name: str) -> None:
    """Functions, and the classes that programs call, take the same parameters."""
    assert parameters(getattr(ours, name)) == parameters(getattr(theirs, name))


@pytest.mark.parametrize(
    "name", [name for name in PUBLIC if inspect.isclass(getattr(theirs, name))]
)
def test_members_of_classes_are_the_same(name: str) -> None:
    """Methods take the same parameters, properties are properties, bases have the same names."""
    mine, model = getattr(ours, name), getattr(theirs, name)
    wanted, found = members(model), members(mine)
    for member, value in wanted.items():
        assert type(found[member]) is type(value), member
        if isinstance(value, FunctionType):
            assert parameters(found[member]) == parameters(value)
            assert inspect.iscoroutinefunction(found[member]) is inspect.iscoroutinefunction(value)
    assert [each.__name__ for each in mine.__mro__] == [each.__name__ for each in model.__mro__]


@both_libraries
def test_attributes_of_values_are_there(library: Library) -> None:
    """What constructors are given can be asked for."""
    endpoint = library.Endpoint("::1", 443, is_ssl=True)
    assert (str(endpoint.address), endpoint.port, endpoint.is_ssl) == ("::1", 443, True)
    rejected = library.ConnectionRejected(404, ((b"a", b"b"),), b"c")
    assert (rejected.status_code, rejected.headers, rejected.body) == (404, ((b"a", b"b"),), b"c")
    assert repr(rejected) == "ConnectionRejected<status_code=404>"
    reason = library.CloseReason(4000, "why")
    assert (reason.code, reason.name, reason.reason) == (4000, "PRIVATE_RESERVED", "why")
    assert repr(reason) == "CloseReason<code=4000, name=PRIVATE_RESERVED, reason=why>"
    assert library.ConnectionClosed(reason).reason is reason


def test_close_codes_have_the_same_names() -> None:
    """Every number has the name that trio-websocket gives it."""
    for code in range(-1, 6000):
        assert ours.CloseReason(code, None).name == theirs.CloseReason(code, None).name
    assert {ours.CloseReason(code, None).name for code in wsproto.frame_protocol.CloseReason}


@pytest.mark.parametrize("address", ["127.0.0.1", "2001:db8::1", 2130706433])
@pytest.mark.parametrize("port", [80, 443, 8000])
@pytest.mark.parametrize("is_ssl", [False, True])
def test_endpoints_have_the_same_urls(address: str | int, port: int, is_ssl: bool) -> None:
    """An endpoint says the same as URL and as text."""
    mine, model = ours.Endpoint(address, port, is_ssl), theirs.Endpoint(address, port, is_ssl)
    assert (mine.url, repr(mine)) == (model.url, repr(model))


@both_libraries
def test_exceptions_can_be_copied_pickled_and_derived_from(library: Library) -> None:
    """A program may carry them about, and have its own ConnectionClosed."""

    class Ended(library.ConnectionClosed):  # type: ignore[misc, name-defined, unused-ignore]
        """A program's own."""

    ended: Either = Ended(library.CloseReason(1001, None))
    assert isinstance(ended, library.ConnectionClosed)
    assert repr(ended) == "Ended<CloseReason<code=1001, name=GOING_AWAY, reason=None>>"
    assert copy.copy(ended).reason.code == 1001
    for name in ("HandshakeError", "ConnectionTimeout", "DisconnectionTimeout"):
        kind = getattr(library, name)
        assert type(pickle.loads(pickle.dumps(kind()))) is kind
    rejected = pickle.loads(pickle.dumps(library.ConnectionRejected(404, (), b"c")))
    assert rejected.body == b"c"
    closed = pickle.loads(pickle.dumps(library.ConnectionClosed(library.CloseReason(1000, "x"))))
    assert closed.reason.reason == "x"


# Opening


@all_pairs
async def test_server_accepts_with_what_it_says(
    client: Library, server: Library, autojump_clock: trio.testing.MockClock
) -> None:
    """The handler sees the request; the client sees the subprotocol and the headers accepted."""
    seen: list[object] = []

    async def handler(request: Either) -> None:
        headers = dict(request.headers)
        seen.extend((request.path, headers[b"x-asks"], b"host" in headers))
        seen.append(request.proposed_subprotocols)
        connection = await request.accept(subprotocol="b", extra_headers=[(b"X-Says", b"yes")])
        seen.extend((connection.path, connection.subprotocol, connection.is_server))
        await linger(connection)

    async with serving(server, handler) as running:
        connection = await running.connect(
            client, subprotocols=iter(["a", "b"]), extra_headers=[(b"X-Asks", b"nicely")]
        )
        assert seen == ["/room?x=1", b"nicely", False, ("a", "b"), "/room?x=1", "b", True]
        assert (connection.path, connection.subprotocol) == ("/room?x=1", "b")
        assert connection.handshake_headers == ((b"x-says", b"yes"),)
        assert (connection.is_client, connection.is_server) == (True, False)
        assert str(connection).startswith("client-")
        assert connection.closed is None


@all_pairs
async def test_origins_are_the_business_of_handlers(client: Library, server: Library) -> None:
    """A page of anywhere may connect, if the handler accepts it."""

    async def handler(request: Either) -> None:
        connection = await request.accept()
        await connection.send_message(dict(request.headers)[b"origin"])

    async with serving(server, handler) as running:
        origin = (b"Origin", b"https://elsewhere.example")
        connection = await running.connect(client, extra_headers=[origin])
        assert await connection.get_message() == origin[1]


@all_pairs
async def test_server_rejects(client: Library, server: Library) -> None:
    """The client hears status, headers and body; out of the nursery comes ConnectionRejected."""

    async def handler(request: Either) -> None:
        await request.reject(403, extra_headers=[(b"X-Why", b"not you")], body=b"no")

    def is_it(error: Either) -> bool:
        status, headers, body = error.status_code, error.headers, error.body
        return status == 403 and (b"x-why", b"not you") in headers and body == b"no"

    with pytest.RaisesGroup(
        pytest.RaisesExc(client.ConnectionRejected, check=is_it), flatten_subgroups=True
    ):
        async with serving(server, handler) as running:
            await running.connect(client)
            await trio.sleep_forever()  # theirs says it in the background


@both_libraries
@over_tcp_and_tls
async def test_endpoints_of_a_tcp_connection(library: Library, secure: bool) -> None:
    """Both ends know both addresses, the server where it listens, and whether it is TLS."""
    tls = contexts() if secure else None
    ends: list[Either] = []

    async def handler(request: Either) -> None:
        ends.extend((request.local, request.remote))
        connection = await request.accept()
        ends.extend((connection.local, connection.remote))
        await echo(connection)

    async with serving_tcp(library, handler, tls and tls.server) as server:
        (listening,) = server.listeners
        assert (listening.port, listening.is_ssl) == (server.port, secure)
        async with library.open_websocket(
            LOOPBACK, server.port, "/", use_ssl=tls.client if tls else False
        ) as connection:
            await connection.send_message("hello")
            assert await connection.get_message() == "hello"
            near, far = connection.local, connection.remote
            assert [repr(each) for each in ends] == [repr(far), repr(near)] * 2
            assert (str(far.address), far.port, far.is_ssl) == (LOOPBACK, server.port, secure)


@all_pairs
@over_tcp_and_tls
async def test_ends_meet_over_tcp_and_tls(client: Library, server: Library, secure: bool) -> None:
    """Each library's client talks to each library's server, by URL, until it has had enough."""
    tls = contexts() if secure else None
    reasons: list[Either] = []

    async def handler(request: Either) -> None:
        connection = await request.accept()
        await echo(connection)
        reasons.append(connection.closed)

    async with serving_tcp(server, handler, tls and tls.server) as running:
        url = f"{'wss' if secure else 'ws'}://{LOOPBACK}:{running.port}/room?x=1"
        async with client.open_websocket_url(url, tls and tls.client) as connection:
            for message in (
                "h\N{LATIN SMALL LETTER E WITH ACUTE}llo",
                b"\0\xff",
                "",
                70_000 * b"x",
            ):
                await connection.send_message(message)
                assert await connection.get_message() == message
            assert connection.path == "/room?x=1"
        assert (connection.closed.code, connection.closed.reason) == (1000, None)
        await trio.testing.wait_all_tasks_blocked()
    assert [(each.code, each.name, each.reason) for each in reasons] == [
        (1000, "NORMAL_CLOSURE", None)
    ]


@both_libraries
async def test_arguments_that_cannot_be_meant(library: Library) -> None:
    """Wrong arguments raise TypeError or ValueError."""
    context = contexts().client
    with pytest.raises(TypeError, match="use_ssl"):
        async with library.open_websocket(LOOPBACK, 80, "/", use_ssl=1):
            pass
    for url in ("http://localhost/", "localhost", "ws://"):
        with pytest.raises(ValueError):
            library.open_websocket_url(url)
    async with trio.open_nursery() as nursery:
        with pytest.raises(ValueError, match="SSL context must be None"):
            await library.connect_websocket_url(nursery, "ws://localhost/", context)
    with pytest.raises(ValueError, match=r"[Ll]isteners"):
        library.WebSocketServer(echo, [])


@both_libraries
async def test_host_that_nobody_listens_on(library: Library) -> None:
    """Refused, the block raises HandshakeError, and connect_websocket the OSError itself."""
    with socket.create_server((LOOPBACK, 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(library.HandshakeError) as refused:
        async with library.open_websocket(LOOPBACK, port, "/", use_ssl=False):
            pass
    assert isinstance(refused.value.__cause__, OSError)
    async with trio.open_nursery() as nursery:
        with pytest.raises(OSError, match=LOOPBACK):
            await library.connect_websocket(nursery, LOOPBACK, port, "/", use_ssl=False)


# Messages


@all_pairs
async def test_messages_of_the_peer_come_before_its_close(client: Library, server: Library) -> None:
    """What was sent before the close is received; then every call raises, with the same reason."""

    async def handler(connection: Either) -> None:
        await connection.send_message("one")
        await connection.send_message(b"two")
        await connection.aclose(4001, "bye")

    async with connected(client, server, handler, message_queue_size=2) as connection:
        assert [await connection.get_message(), await connection.get_message()] == ["one", b"two"]
        for call in (
            connection.get_message,
            lambda: connection.send_message("too late"),
            connection.ping,
            connection.pong,
        ):
            with pytest.raises(client.ConnectionClosed) as closed:
                await call()
            assert reason_of(closed) == (4001, "bye")
        assert (connection.closed.code, connection.closed.reason) == (4001, "bye")


@all_pairs
async def test_own_close_ends_all_at_once(client: Library, server: Library) -> None:
    """After our own close nothing is received; the peer hears why; closing again is harmless."""
    heard: list[tuple[int, str | None]] = []

    async def handler(connection: Either) -> None:
        await connection.send_message("unread")
        with pytest.raises(server.ConnectionClosed) as closed:
            await connection.get_message()
        heard.append(reason_of(closed))

    async with connected(client, server, handler) as connection:
        async with connection:
            await connection.aclose(4002, "enough")
        await connection.aclose()
        assert connection.closed.code == 4002
        if client is ours or server is theirs:  # ours does not send the peer's words back to it
            assert connection.closed.reason == "enough"
        with pytest.raises(client.ConnectionClosed):
            await connection.get_message()
        await trio.testing.wait_all_tasks_blocked()
    assert heard == [(4002, "enough")]


@all_pairs
async def test_a_long_reason_is_cut(client: Library, server: Library) -> None:
    """A close reason that no frame can hold is cut, at a character."""

    async def handler(connection: Either) -> None:
        await connection.aclose(1000, "\N{LATIN SMALL LETTER E WITH ACUTE}" * 100)

    async with connected(client, server, handler) as connection:
        with pytest.raises(client.ConnectionClosed) as closed:
            await connection.get_message()
        assert reason_of(closed) == (1000, "\N{LATIN SMALL LETTER E WITH ACUTE}" * 61)


@both_libraries
async def test_what_is_no_message_is_refused(library: Library) -> None:
    """Anything but str and bytes is a ValueError, and the connection lives on."""
    async with connected(library, library, echo) as connection:
        for message in (object(), bytearray(b"x"), None):
            with pytest.raises(ValueError, match="str or bytes"):
                await connection.send_message(message)
        await connection.send_message("x")
        assert await connection.get_message() == "x"


@all_pairs
async def test_tasks_share_what_comes(client: Library, server: Library) -> None:
    """Any number of tasks may wait in get_message: each message goes to one of them."""
    received: list[str | bytes] = []
    ended: list[int] = []

    async def handler(connection: Either) -> None:
        for number in range(3):
            await connection.send_message(str(number))

    async def receive(connection: Either) -> None:
        try:
            while True:
                received.append(await connection.get_message())
        except client.ConnectionClosed as exc:
            ended.append(exc.reason.code)

    async with connected(client, server, handler) as connection, trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(receive, connection)
    assert sorted(received) == ["0", "1", "2"]
    assert ended == [1000] * 3


@all_pairs
async def test_cancelled_get_message_loses_nothing(
    client: Library, server: Library, autojump_clock: trio.testing.MockClock
) -> None:
    """Whoever is cancelled while another waits leaves the message to that one."""
    received: list[str | bytes] = []

    async def receive(connection: Either, scope: trio.CancelScope) -> None:
        with scope:
            received.append(await connection.get_message())

    async with connected(client, server, echo) as connection:
        scopes = [trio.CancelScope() for _ in range(3)]
        async with trio.open_nursery() as nursery:
            for scope in scopes:
                nursery.start_soon(receive, connection, scope)
                await trio.testing.wait_all_tasks_blocked()
            scopes[0].cancel()
            scopes[1].cancel()
            await connection.send_message("still there")
        assert received == ["still there"]


@all_pairs
async def test_a_message_over_the_limit_fails_the_connection(
    client: Library, server: Library
) -> None:
    """Both ends hear 1009."""
    codes: list[int] = []

    async def handler(request: Either) -> None:
        connection = await request.accept()
        assert await connection.get_message() == bytes(100)
        with pytest.raises(server.ConnectionClosed) as closed:
            await connection.get_message()
        codes.append(reason_of(closed)[0])

    async with serving(server, handler, max_message_size=100) as running:
        connection = await running.connect(client)
        await connection.send_message(bytes(100))
        await connection.send_message(bytes(101))
        with pytest.raises(client.ConnectionClosed) as closed:
            await connection.get_message()
        codes.append(reason_of(closed)[0])
        await trio.testing.wait_all_tasks_blocked()
    assert codes == [1009, 1009]


# Pings


@all_pairs
async def test_pings_are_answered(
    client: Library, server: Library, autojump_clock: trio.testing.MockClock
) -> None:
    """ping() returns when the pong is there; of two with one payload the second is a ValueError."""
    async with connected(client, server, echo) as connection:
        assert await connection.ping() is None
        await connection.ping(b"payload")
        await connection.pong()
        await connection.pong(b"unasked")
        refused: list[ValueError] = []

        async def ping() -> None:
            try:
                await connection.ping(b"same")
            except ValueError as exc:
                refused.append(exc)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ping)
            nursery.start_soon(ping)
        assert len(refused) == 1


# Endings


@both_libraries
async def test_a_vanished_peer_is_1006(library: Library) -> None:
    """An end of the stream without a Close has the code 1006 and no reason."""
    async with client_of_peer(library) as (connection, peer, _):
        await peer.aclose()
        with pytest.raises(library.ConnectionClosed) as closed:
            await connection.get_message()
        assert reason_of(closed) == (1006, None)
        assert repr(closed.value) == (
            "ConnectionClosed<CloseReason<code=1006, name=ABNORMAL_CLOSURE, reason=None>>"
        )


@both_libraries
async def test_a_violation_of_the_protocol_is_1002(
    library: Library, autojump_clock: trio.testing.MockClock
) -> None:
    """A frame that must not be ends the connection with 1002."""
    async with client_of_peer(library) as (connection, peer, _):
        await peer.send_bytes(b"\xf1\x00")  # with all reserved bits
        with pytest.raises(library.ConnectionClosed) as closed:
            await connection.get_message()
        assert reason_of(closed)[0] == 1002


@both_libraries
async def test_sending_over_a_stream_that_is_closed(library: Library) -> None:
    """The first message that the network refuses raises, not the one after it."""
    near, far = socket_pair()
    async with far, trio.open_nursery() as nursery:
        nursery.start_soon(ScriptedPeer(far, "server").server_handshake)
        connection = await library.wrap_client_stream(nursery, near, "localhost", "/")
        await near.aclose()
        with pytest.raises(library.ConnectionClosed) as closed:
            await connection.send_message("anybody there?")
        assert reason_of(closed) == (1006, None)


@all_pairs
async def test_the_end_of_a_handler_closes_normally(client: Library, server: Library) -> None:
    """A handler that returns closes with 1000."""

    async def handler(connection: Either) -> None:
        pass

    async with connected(client, server, handler) as connection:
        with pytest.raises(client.ConnectionClosed) as closed:
            await connection.get_message()
        assert reason_of(closed) == (1000, None)


@both_libraries
@pytest.mark.parametrize("accepts", [False, True])
async def test_a_failing_handler_ends_the_server(library: Library, accepts: bool) -> None:
    """What a handler raises comes out of the server."""

    async def handler(request: Either) -> None:
        if accepts:
            await request.accept()
        raise KeyError("a mistake")

    with pytest.RaisesGroup(KeyError, flatten_subgroups=True):
        async with serving(library, handler) as running:
            if accepts:
                await running.connect(library)
            else:  # a client of ours would say that nobody answered
                peer = await running.peer()
                await peer.send_bytes(upgrade_request())
            await trio.sleep_forever()


@all_pairs
async def test_out_of_the_block_comes_what_was_raised_in_it(
    client: Library, server: Library
) -> None:
    """An exception leaves open_websocket as it is, in no group; the peer hears 1000."""
    codes: list[int] = []

    async def handler(request: Either) -> None:
        connection = await request.accept()
        with pytest.raises(server.ConnectionClosed) as closed:
            await connection.get_message()
        codes.append(reason_of(closed)[0])

    error = KeyError("a mistake")
    async with serving_tcp(server, handler) as running:
        with pytest.raises(KeyError) as raised:
            async with client.open_websocket(LOOPBACK, running.port, "/", use_ssl=False):
                raise error
        assert raised.value is error
        await trio.testing.wait_all_tasks_blocked()
    assert codes == [1000]


@both_libraries
async def test_closing_masks_no_exception(library: Library) -> None:
    """aclose() in a finally, cancelled, lets the exception go on that is on its way."""
    async with connected(library, library, linger) as connection:
        with pytest.raises(KeyError), trio.CancelScope() as scope:  # noqa: PT012 - all of it
            try:
                scope.cancel()
                raise KeyError("a mistake")
            finally:
                await connection.aclose()
        assert connection.closed is not None


@both_libraries
async def test_a_block_masks_no_exception(library: Library) -> None:
    """What a cancelled body raises comes out of open_websocket, not Cancelled."""

    async def handler(request: Either) -> None:
        await echo(await request.accept())

    async with serving_tcp(library, handler) as server:
        with pytest.raises(KeyError), trio.CancelScope() as scope:  # noqa: PT012 - all of it
            async with library.open_websocket(LOOPBACK, server.port, "/", use_ssl=False):
                try:
                    scope.cancel()
                    await trio.sleep_forever()
                finally:
                    raise KeyError("a mistake")


@both_libraries
async def test_closing_can_be_cancelled(
    library: Library, autojump_clock: trio.testing.MockClock
) -> None:
    """A peer that does not answer keeps nobody who is cancelled; the stream is closed."""
    async with client_of_peer(library) as (connection, peer, _):
        with trio.move_on_after(1) as scope:
            await connection.aclose()
        assert scope.cancelled_caught
        await next_close(peer)
        assert await peer.receive_frame() is None


@both_libraries
async def test_names_of_streams_that_are_no_sockets(library: Library) -> None:
    """Where there is no address there is the stream's repr."""
    ends: list[object] = []

    async def handler(request: Either) -> None:
        ends.extend((request.local, request.remote))
        connection = await request.accept()
        ends.extend((connection.local, connection.remote))
        await linger(connection)

    async with serving(library, handler) as running:
        connection = await running.connect(library)
        ends.extend((connection.local, connection.remote))
    assert len(ends) == 6
    assert all(isinstance(end, str) and "BoundedStream" in end for end in ends)


@all_pairs
async def test_a_server_over_one_stream(client: Library, server: Library) -> None:
    """wrap_server_stream returns the request; its parameters may be given by position."""
    listener = MemoryListener()
    async with trio.open_nursery() as nursery:

        async def serve() -> None:
            stream = await listener.accept()
            request = await server.wrap_server_stream(nursery, stream, 1, 1000, 100)
            connection = await request.accept()
            await connection.send_message(await connection.get_message())
            await connection.aclose(1001)

        nursery.start_soon(serve)
        stream = await listener.connect()
        connection = await client.wrap_client_stream(nursery, stream, "localhost", "/")
        await connection.send_message("hello")
        assert await connection.get_message() == "hello"
        with pytest.raises(client.ConnectionClosed) as closed:
            await connection.get_message()
        assert reason_of(closed) == (1001, None)


@both_libraries
async def test_connecting_into_a_nursery(library: Library) -> None:
    """connect_websocket_url leaves its background tasks in the nursery, until it is closed."""

    async def handler(request: Either) -> None:
        await echo(await request.accept())

    async with serving_tcp(library, handler) as server, trio.open_nursery() as nursery:
        url = f"ws://{LOOPBACK}:{server.port}"
        connection = await library.connect_websocket_url(nursery, url)
        await connection.send_message("hello")
        assert await connection.get_message() == "hello"
        await connection.aclose()


@both_libraries
async def test_handlers_in_a_nursery_of_ours(library: Library) -> None:
    """With handler_nursery the connections live there."""
    async with trio.open_nursery() as handlers:

        async def handler(connection: Either) -> None:
            assert len(handlers.child_tasks) == 1
            await connection.send_message("hello")

        async def accept(request: Either) -> None:
            await handler(await request.accept())

        async with serving(library, accept, handler_nursery=handlers) as running:
            connection = await running.connect(library)
            assert await connection.get_message() == "hello"
        handlers.cancel_scope.cancel()
