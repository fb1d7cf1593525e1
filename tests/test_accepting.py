"""The opening handshake as a server makes it: who decides, what is answered, and what it costs.

Which answers a request deserves is tested with the sans-I/O layer; here they have to arrive.
"""

import logging
import re
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Unpack

import pytest
import trio
import trio.testing

from tests.servers import (
    LOOPBACK,
    Through,
    answered,
    check_echo,
    check_echo_in_memory,
    connect,
    contexts,
    echo,
    linger,
    open_peer,
    peer_of,
    serve_memory,
    serve_on_loopback,
)
from trio_ws import (
    ANY_ORIGIN,
    SAME_ORIGIN,
    Accept,
    ConnectionRejected,
    HandshakeError,
    Limits,
    Request,
    Response,
    ServerOptions,
    Timeouts,
    WebSocket,
    open_websocket_url,
    wrap_server_stream,
)
from trio_ws._accepting import LINGER_BYTES, LINGER_SECONDS
from trio_ws._transport import HANDSHAKE_READ_SIZE
from trio_ws.protocol.origins import Origins
from trio_ws.testing import (
    Head,
    MemoryListener,
    Opcode,
    ScriptedPeer,
    bounded_stream_pair,
    build_frame,
    serve_in_memory,
    upgrade_request,
)

Decision = Accept | Response | None
ProcessRequest = Callable[[Request], Decision | Awaitable[Decision]]

TEAPOT = Response(418, {"X-Reason": "short and stout"}, "no coffee here")

PAGE = b"GET /page HTTP/1.1\r\nHost: localhost\r\n\r\n"


def deciding(decision: Decision, *, asynchronous: bool) -> ProcessRequest:
    """Return a ``process_request`` of either kind that decides so."""

    def decide(request: Request) -> Decision:
        return decision

    async def decide_later(request: Request) -> Decision:
        await trio.lowlevel.checkpoint()
        return decision

    return decide_later if asynchronous else decide


async def answer_to(request: bytes, **options: Unpack[ServerOptions]) -> tuple[Head, bytes]:
    """Return what a server answers to these bytes: head and body."""
    async with serve_in_memory(echo, **options) as server, await peer_of(server) as peer:
        await peer.send_bytes(request)
        return await answered(peer)


# Who decides


kinds = pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])


@kinds
async def test_process_request_may_leave_it_as_it_is(asynchronous: bool) -> None:
    """None goes on, as without it."""
    async with serve_in_memory(
        echo, process_request=deciding(None, asynchronous=asynchronous)
    ) as server:
        await check_echo_in_memory(server)


@kinds
async def test_process_request_may_accept_with_what_it_says(asynchronous: bool) -> None:
    """Subprotocol and headers reach the client, the context reaches the handler."""
    seen: list[tuple[object, str | None]] = []

    async def handler(ws: WebSocket) -> None:
        seen.append((ws.context, ws.subprotocol))

    decision = Accept(subprotocol="b", headers={"Set-Cookie": "id=1"}, context="somebody")
    async with (
        serve_in_memory(
            handler,
            process_request=deciding(decision, asynchronous=asynchronous),
            subprotocols=["a", "b"],
        ) as server,
        server.open_websocket(subprotocols=["a", "b"]) as ws,
    ):
        assert ws.subprotocol == "b"
        assert ws.response.headers["Set-Cookie"] == "id=1"
        await ws.wait_closed()
    assert seen == [("somebody", "b")]


async def test_accept_of_process_request_leaves_the_subprotocol_to_the_servers_preference() -> None:
    """When it does not name one."""
    async with (
        serve_in_memory(
            echo, process_request=deciding(Accept(), asynchronous=False), subprotocols=["a"]
        ) as server,
        server.open_websocket(subprotocols=["b", "a"]) as ws,
    ):
        assert ws.subprotocol == "a"


async def test_context_is_none_unless_somebody_gave_one() -> None:
    """At either end."""
    contexts_seen: list[object] = []

    async def handler(ws: WebSocket) -> None:
        contexts_seen.append(ws.context)

    async with serve_in_memory(handler) as server, server.open_websocket() as ws:
        contexts_seen.append(ws.context)
        await ws.wait_closed()
    assert contexts_seen == [None, None]


@kinds
async def test_process_request_may_answer_instead(asynchronous: bool) -> None:
    """The client gets status, headers and body; no handler is called."""
    async with serve_in_memory(
        linger, process_request=deciding(TEAPOT, asynchronous=asynchronous)
    ) as server:
        with pytest.raises(ConnectionRejected) as caught:
            async with server.open_websocket():
                pass
        assert not server.server.connections
    response = caught.value.response
    assert response.status == 418
    assert response.headers["X-Reason"] == "short and stout"
    assert response.body == b"no coffee here"


async def test_process_request_sees_the_request_and_its_addresses() -> None:
    """Over a socket: who asks for what, from where."""
    seen: list[Request] = []
    async with serve_on_loopback(echo, process_request=seen.append) as server:
        url = f"ws://{LOOPBACK}:{server.port}/caf%C3%A9?q=1"
        async with open_websocket_url(url, headers={"X-Me": "yes"}) as ws:
            (request,) = seen
            assert request.peer_address == ws.local_address
            assert request.local_address == ws.peer_address
    assert (request.path, request.query, request.headers["X-Me"]) == ("/café", "q=1", "yes")
    assert request.host == f"{LOOPBACK}:{server.port}"
    assert request.tls is None
    assert not request.secure


async def test_process_request_sees_the_facts_of_tls() -> None:
    """Version, cipher and protocol, as far as the stream tells."""
    seen: list[Request] = []
    tls = contexts()
    async with serve_on_loopback(echo, tls=tls, process_request=seen.append) as server:
        await check_echo(server, tls)
    (request,) = seen
    assert request.secure
    assert request.tls is not None
    assert request.tls.version == "TLSv1.3"
    assert request.tls.cipher is not None
    assert request.tls.alpn is None
    assert request.tls.peer_certificate is None
    assert request.peer_address is not None


async def test_process_request_sees_no_addresses_where_there_are_none() -> None:
    """In memory; nor does the WebSocket."""
    seen: list[Request] = []
    async with (
        serve_in_memory(echo, process_request=seen.append) as server,
        server.open_websocket() as ws,
    ):
        assert ws.peer_address is ws.local_address is None
    assert seen[0].peer_address is seen[0].local_address is None


async def fail(request: Request) -> Decision:
    """Be a ``process_request`` with a bug."""
    await trio.lowlevel.checkpoint()
    raise RuntimeError("a bug")


def fail_at_once(request: Request) -> Decision:
    """Be a synchronous ``process_request`` with a bug."""
    raise RuntimeError("a bug")


async def fail_in_a_nursery(request: Request) -> Decision:
    """Be one whose failure is a group."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(fail, request)
    return None


def confuse_types(request: Request) -> Decision:
    """Be one that returns what is no decision."""
    return True  # type: ignore[return-value]  # pyright: ignore[reportReturnType]


async def confuse_types_later(request: Request) -> Decision:
    """Be an asynchronous one that returns what is no decision."""
    await trio.lowlevel.checkpoint()
    return 200  # type: ignore[return-value]  # pyright: ignore[reportReturnType]


def accept_another_subprotocol(request: Request) -> Decision:
    """Be one that accepts what was not offered."""
    return Accept(subprotocol="unheard-of")


@pytest.mark.parametrize(
    "process_request",
    [
        fail,
        fail_at_once,
        fail_in_a_nursery,
        confuse_types,
        confuse_types_later,
        accept_another_subprotocol,
    ],
)
async def test_process_request_that_fails_is_answered_500(
    process_request: ProcessRequest, caplog: pytest.LogCaptureFixture
) -> None:
    """It is logged, the client learns no more than that, and the server lives on."""
    healthy = True

    def once(request: Request) -> Decision | Awaitable[Decision]:
        return None if healthy else process_request(request)

    async with serve_in_memory(echo, process_request=once) as server:
        async with server.open_websocket() as innocent:
            healthy = False
            with pytest.raises(ConnectionRejected) as caught:
                async with server.open_websocket(subprotocols=["chat"]):
                    pass
            assert caught.value.response.status == 500
            assert caught.value.response.body == b""
            await innocent.send("still here")
            assert await innocent.receive() == "still here"
        healthy = True
        await check_echo_in_memory(server)
    assert [each.levelno for each in caplog.records if each.levelno > logging.INFO] == [
        logging.ERROR
    ]


async def test_process_request_that_takes_too_long_is_answered_503(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """When ``timeouts.open`` is over; it is cancelled."""
    cancelled = False

    async def dawdle(request: Request) -> Decision:
        nonlocal cancelled
        try:
            await trio.sleep_forever()
        finally:
            cancelled = True

    head, _ = await answer_to(upgrade_request(), process_request=dawdle, timeouts=Timeouts(open=5))
    assert head.status == 503
    assert cancelled
    assert trio.current_time() == 5


async def test_process_request_that_fails_when_it_is_cancelled_ends_no_server(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    """A group of Cancelled and a failure: the failure is logged, the client answered."""

    async def fail_in_the_end() -> None:
        try:
            await trio.sleep_forever()
        finally:
            raise RuntimeError("a bug in the cleanup")

    async def dawdle(request: Request) -> Decision:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(fail_in_the_end)
            await trio.sleep_forever()

    def process_request(request: Request) -> Decision | Awaitable[Decision]:
        return dawdle(request) if request.path == "/slow" else None

    async with (
        serve_in_memory(echo, process_request=process_request, timeouts=Timeouts(open=5)) as server,
        server.open_websocket() as innocent,
    ):
        peer = await peer_of(server)
        await peer.send_bytes(upgrade_request("/slow"))
        head, _ = await answered(peer)
        assert head.status == 503
        await innocent.send("still here")
        assert await innocent.receive() == "still here"
    assert [each.levelno for each in caplog.records if each.levelno > logging.INFO] == [
        logging.ERROR
    ]


async def test_cancelled_process_request_of_a_wrapped_stream_is_a_timeout(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Its failure on the way out does not take the place of `HandshakeTimeout`."""

    async def fail_in_the_end(request: Request) -> Decision:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep_forever)
            try:
                await trio.sleep_forever()
            finally:
                raise RuntimeError("a bug in the cleanup")

    near, far = bounded_stream_pair()
    await near.send_all(upgrade_request())
    with pytest.raises(TimeoutError):
        async with wrap_server_stream(far, process_request=fail_in_the_end):
            pass


# Requests that ask for no WebSocket


async def serve_page(request: Request) -> Decision:
    """Answer with a page beside the WebSocket."""
    await trio.lowlevel.checkpoint()
    if request.is_upgrade:
        return None
    return Response(200, {"Content-Type": "text/html"}, "<p>hi")


async def test_page_is_served_beside_the_websocket() -> None:
    """GET has head and body, HEAD the same head alone, and an upgrade opens as ever."""
    head, body = await answer_to(PAGE, process_request=serve_page)
    assert (head.status, body) == (200, b"<p>hi")
    assert head.values("Content-Type") == ["text/html"]
    assert head.values("Connection") == ["close"]
    async with (
        serve_in_memory(echo, process_request=serve_page) as server,
        await peer_of(server) as peer,
    ):
        await peer.send_bytes(PAGE.replace(b"GET", b"HEAD"))
        assert await peer.receive_head() == head
        assert await peer.stream.receive_some() == b""
        await check_echo_in_memory(server)


@pytest.mark.parametrize("process_request", [None, deciding(Accept(), asynchronous=False)])
@pytest.mark.parametrize("method", [b"GET", b"HEAD"])
async def test_request_for_no_websocket_is_told_what_is_served(
    method: bytes, process_request: ProcessRequest | None
) -> None:
    """426 (RFC 9110 section 15.5.22), unless ``process_request`` knows better; accept it cannot."""
    async with (
        serve_in_memory(echo, process_request=process_request) as server,
        await peer_of(server) as peer,
    ):
        await peer.send_bytes(PAGE.replace(b"GET", method))
        head = await peer.receive_head()
    assert head.status == 426
    assert head.values("Upgrade") == ["websocket"]


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n", 405),
        (b"GET / HTTP/1.0\r\nHost: localhost\r\n\r\n", 505),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
        (upgrade_request(key="short"), 400),
        (upgrade_request().replace(b"Version: 13", b"Version: 8"), 426),
        (upgrade_request(headers=[("Origin", "https://evil.example")]), 403),
        (upgrade_request("/" + "a" * 20_000), 414),
        (upgrade_request(headers=[("X", "a" * 20_000)]), 431),
        (upgrade_request(headers=[("X", "a")] * 200), 431),
    ],
)
async def test_request_that_is_out_of_the_question_is_refused_without_asking(
    request_bytes: bytes, status: int
) -> None:
    """``process_request`` sees only what could be accepted, and pages."""
    asked: list[Request] = []
    head, _ = await answer_to(request_bytes, process_request=asked.append)
    assert head.status == status
    assert not asked


@pytest.mark.parametrize(
    "old",
    [
        b"Host: local",
        b"Connection: Up",
        b"Upgrade: web",
        b"Sec-WebSocket-Protocol: ch",
        b"Sec-WebSocket-Key: dG",
    ],
)
async def test_byte_ff_in_a_header_is_answered_400(old: bytes) -> None:
    """D8, H6: no decoding error gets anywhere, and the server lives."""
    request = upgrade_request(headers=[("Sec-WebSocket-Protocol", "chat")])
    assert old in request
    async with serve_in_memory(echo) as server, server.open_websocket() as innocent:
        peer = await peer_of(server)
        await peer.send_bytes(request.replace(old, old + b"\xff"))
        head, _ = await answered(peer)
        assert head.status == 400
        await innocent.send("still here")
        assert await innocent.receive() == "still here"


# Origins (H11)


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        (None, 101),
        ("https://shop.example", 101),
        ("http://shop.example", 101),
        ("HTTPS://SHOP.EXAMPLE", 101),
        ("https://shop.example:443", 101),
        ("null", 403),
        ("https://other.example", 403),
        ("https://shop.example:8443", 403),
        ("https://evil-shop.example", 403),
        ("https://shop.example.evil.example", 403),
        ("https://shöp.example", 403),
        ("https://xn--shp-fna.example", 403),
        ("chrome-extension://shop.example", 403),
    ],
)
async def test_cross_site_websocket_hijacking_is_refused(origin: str | None, status: int) -> None:
    """H11: by default a page may connect to its own host alone; programs send no Origin."""
    headers = [] if origin is None else [("Origin", origin)]
    async with serve_in_memory(echo) as server, await peer_of(server) as peer:
        await peer.send_bytes(upgrade_request(host="shop.example", headers=headers))
        assert (await peer.receive_head()).status == status


@pytest.mark.parametrize(
    ("origins", "origin", "status"),
    [
        (SAME_ORIGIN, "https://localhost", 101),
        (ANY_ORIGIN, "https://evil.example", 101),
        (["https://shop.example"], "https://shop.example", 101),
        (["https://shop.example"], "https://localhost", 403),
        (["https://shop.example"], None, 403),
        (["https://shop.example", None], None, 101),
        ([re.compile(r"https://[a-z]+\.shop\.example")], "https://a.shop.example", 101),
        ([re.compile(r"https://[a-z]+\.shop\.example")], "https://a.shop.example.evil", 403),
    ],
)
async def test_origins_decide_who_may_connect(
    origins: Origins, origin: str | None, status: int
) -> None:
    """A policy, or a sequence of strings, patterns and None."""
    headers = [] if origin is None else [("Origin", origin)]
    async with serve_in_memory(echo, origins=origins) as server, await peer_of(server) as peer:
        await peer.send_bytes(upgrade_request(headers=headers))
        assert (await peer.receive_head()).status == status


# Subprotocols


@pytest.mark.parametrize(
    ("ours", "offered", "agreed"),
    [
        (["a", "b"], ["b", "a"], "a"),
        (["a", "b"], ["c", "b"], "b"),
        (["a"], ["b"], None),
        ([], ["a"], None),
        (["a"], [], None),
    ],
)
async def test_subprotocol_agreed_on_is_the_first_of_ours_that_is_offered(
    ours: list[str], offered: list[str], agreed: str | None
) -> None:
    """The server's order counts; without one in common it goes on without."""
    seen: list[str | None] = []

    async def handler(ws: WebSocket) -> None:
        seen.append(ws.subprotocol)

    async with (
        serve_in_memory(handler, subprotocols=ours) as server,
        server.open_websocket(subprotocols=offered) as ws,
    ):
        assert ws.subprotocol == agreed
        await ws.wait_closed()
    assert seen == [agreed]


# What comes with the request (H4, H5)


FIRST_FRAMES = build_frame(Opcode.TEXT, b"hello", mask_key=b"abcd") + build_frame(
    Opcode.BINARY, b"\x00\xff", mask_key=b"efgh"
)


@pytest.mark.parametrize("cut", range(len(FIRST_FRAMES) + 1))
async def test_frames_behind_the_request_are_delivered(cut: int) -> None:
    """H5: in the same segment or in the next, cut anywhere: no desync."""
    async with serve_in_memory(echo) as server, await peer_of(server) as peer:
        await peer.send_bytes(upgrade_request() + FIRST_FRAMES[:cut])
        assert (await peer.receive_head()).status == 101
        await peer.send_bytes(FIRST_FRAMES[cut:])
        first, second = await peer.receive_frame(), await peer.receive_frame()
        assert first is not None
        assert second is not None
        assert (first.payload, second.payload) == (b"hello", b"\x00\xff")


async def test_frames_that_come_while_the_application_decides_wait() -> None:
    """H4: nothing is read meanwhile: a flood stays with the peer, then all of it is delivered."""
    size, count = 1000, 1000
    pushed = 0
    decide = trio.Event()

    async def process_request(request: Request) -> Decision:
        await decide.wait()
        return None

    async def push(peer: ScriptedPeer) -> None:
        nonlocal pushed
        await peer.send_bytes(upgrade_request())
        for _ in range(count):
            await peer.send_frame(Opcode.BINARY, bytes(size))
            pushed += size

    capacity = 10_000
    listener = MemoryListener(lambda: bounded_stream_pair(capacity))
    async with (
        serve_memory(echo, listener, process_request=process_request) as server,
        await peer_of(server) as peer,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(push, peer)
        await trio.testing.wait_all_tasks_blocked()
        assert pushed <= capacity + HANDSHAKE_READ_SIZE
        decide.set()
        assert (await peer.receive_head()).status == 101
        for _ in range(count):
            frame = await peer.receive_frame()
            assert frame is not None
            assert frame.payload == bytes(size)


async def test_more_behind_the_request_than_is_queued_is_refused() -> None:
    """What is read with the request is held against ``max_queued_bytes``."""
    head, _ = await answer_to(
        upgrade_request() + build_frame(Opcode.BINARY, bytes(1000), mask_key=b"abcd"),
        limits=Limits(max_queued_bytes=100),
    )
    assert head.status == 400


# Streams that end


@pytest.mark.parametrize("sent", [b"", b"GET / HT", upgrade_request()[:-1]])
async def test_stream_that_ends_before_the_request_is_a_handshake_error(sent: bytes) -> None:
    """Nobody is left to answer; the stream is closed."""
    near, far = bounded_stream_pair()
    await near.send_all(sent)
    await near.send_eof()
    with pytest.raises(HandshakeError, match="ended before there was a request"):
        async with wrap_server_stream(far):
            pass
    assert await near.receive_some() == b""


async def test_stream_that_breaks_before_the_request_is_a_handshake_error() -> None:
    """The transport's error is its cause."""
    near, far = bounded_stream_pair()
    near.reset()
    with pytest.raises(HandshakeError, match="broke before there was a request") as caught:
        async with wrap_server_stream(far):
            pass
    assert isinstance(caught.value.__cause__, trio.BrokenResourceError)


async def test_stream_of_ours_that_was_closed_before_is_a_handshake_error() -> None:
    """No `trio.ClosedResourceError` comes out."""
    _, far = bounded_stream_pair()
    await far.aclose()
    with pytest.raises(HandshakeError, match="broke before there was a request"):
        async with wrap_server_stream(far):
            pass


async def test_socket_whose_peer_is_gone_already_has_no_addresses() -> None:
    """A connection reset while it waited to be accepted ends like any other."""
    with trio.socket.socket() as listener:
        await listener.bind((LOOPBACK, 0))
        listener.listen()
        near = await trio.open_tcp_stream(*listener.getsockname())
        far, _ = await listener.accept()
        await near.aclose()
        far.shutdown(trio.socket.SHUT_RDWR)
        with pytest.raises(HandshakeError):
            async with wrap_server_stream(trio.SocketStream(far)):
                pass


async def test_request_is_refused_though_the_peer_does_not_listen() -> None:
    """The stream breaks under the answer: what was decided is raised all the same."""
    near, far = bounded_stream_pair()
    await near.send_all(PAGE)

    def hang_up(request: Request) -> Decision:
        near.reset()
        return TEAPOT

    with pytest.raises(ConnectionRejected) as caught:
        async with wrap_server_stream(far, process_request=hang_up):
            pass
    assert caught.value.response is TEAPOT


# The answer has to arrive


async def test_refusal_arrives_in_spite_of_unread_data() -> None:
    """Closing a socket with unread data sends a reset, which eats the answer: so it is read."""
    async with serve_on_loopback(echo) as server:
        for _ in range(10):
            peer = await connect(server)
            await peer.send_bytes(
                b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 50000\r\n\r\n"
                + bytes(50_000)
            )
            head, _ = await answered(peer)
            assert head.status == 405


class Counted(Through):
    """Counts what is read."""

    received = 0

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """Receive from below."""
        data = await super().receive_some(max_bytes)
        self.received += len(data)
        return data


async def test_peer_that_floods_after_a_refusal_is_read_within_bounds(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """It cannot keep us: we read a little, then hang up."""
    near, far = bounded_stream_pair()
    stream = Counted(far)

    async def flood() -> None:
        with suppress(trio.BrokenResourceError):
            while True:
                await near.send_all(PAGE)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(flood)
        with pytest.raises(ConnectionRejected):
            async with wrap_server_stream(stream):
                pass
    assert LINGER_BYTES <= stream.received <= LINGER_BYTES + 2 * HANDSHAKE_READ_SIZE
    assert trio.current_time() == 0


async def test_peer_that_stays_after_a_refusal_is_waited_for_a_moment(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Half a second for the end of its stream, then ours ends."""
    near, far = bounded_stream_pair()
    await near.send_all(PAGE)
    with pytest.raises(ConnectionRejected):
        async with wrap_server_stream(far):
            pass
    assert trio.current_time() == LINGER_SECONDS


async def test_refusal_goes_over_a_stream_that_cannot_be_half_closed() -> None:
    """As TLS: it is answered, and read on until the peer closes."""
    tls = contexts()
    async with serve_on_loopback(echo, tls=tls) as server:
        peer = await connect(server, tls)
        await peer.send_bytes(PAGE)
        head = await peer.receive_head()
        assert head.status == 426
        await peer.aclose()


async def test_refusal_to_a_peer_that_takes_nothing_ends_in_time(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """A page larger than all buffers, and nobody reads it: ``timeouts.open`` ends that too."""
    page = Response(200, body=bytes(1_000_000))
    async with serve_in_memory(
        echo, process_request=deciding(page, asynchronous=False), timeouts=Timeouts(open=5)
    ) as server:
        stream = await server.connect()
        await stream.send_all(PAGE)
        await trio.sleep(5 + 2 * LINGER_SECONDS)
        taken = 0
        with pytest.raises(trio.BrokenResourceError):
            await stream.send_all(b"more")
        while data := await stream.receive_some():
            taken += len(data)
        assert taken < len(page.body)


# Handshakes that are given up


@pytest.mark.parametrize("sent", [b"", b"GET / HT"])
async def test_request_that_does_not_come_is_answered_408(
    sent: bytes, autojump_clock: trio.testing.MockClock
) -> None:
    """When ``timeouts.open`` is over (RFC 9110 section 15.5.9)."""
    head, _ = await answer_to(sent, timeouts=Timeouts(open=5))
    assert head.status == 408
    assert trio.current_time() == 5


@pytest.mark.parametrize("sent", [b"", b"GET / HT", upgrade_request()])
async def test_handshake_in_flight_is_answered_503_when_the_server_closes(
    sent: bytes, autojump_clock: trio.testing.MockClock
) -> None:
    """However far it had come."""

    async def dawdle(request: Request) -> Decision:
        await trio.sleep_forever()
        return None

    async with (
        serve_in_memory(echo, process_request=dawdle) as server,
        await peer_of(server) as peer,
    ):
        await peer.send_bytes(sent)
        await trio.testing.wait_all_tasks_blocked()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(server.server.aclose)
            head, _ = await answered(peer)
    assert head.status == 503
    assert head.values("Retry-After") == ["1"]


async def test_request_that_arrives_as_the_server_closes_is_answered_503(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """In the same pass of the scheduler: the cancellation comes between request and answer."""
    for _ in range(20):  # trio's order of tasks is random
        async with serve_in_memory(echo) as server, await peer_of(server) as peer:
            await trio.testing.wait_all_tasks_blocked()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(peer.send_bytes, upgrade_request())
                nursery.start_soon(server.server.aclose)
                head = await peer.receive_head()
            if head.status == 101:
                frame = await peer.receive_frame()
                assert frame is not None
                assert frame.close_code == 1001
            else:
                assert head.status == 503


async def test_handshake_is_not_answered_when_all_is_cancelled(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Whoever cancels the server does not want to wait for strangers."""
    async with serve_in_memory(echo) as server:
        stream = await server.connect()
        await stream.send_all(b"GET / HT")
        await trio.testing.wait_all_tasks_blocked()
    assert await stream.receive_some() == b""
    assert trio.current_time() == 0


async def test_opening_handshake_over_a_stream_of_single_bytes() -> None:
    """However the stream is cut, the answer is the same."""
    listener = MemoryListener(lambda: bounded_stream_pair(16, max_write=1, max_read=1))
    async with serve_memory(echo, listener) as server, await open_peer(server) as peer:
        await peer.send_frame(Opcode.TEXT, b"hello")
        frame = await peer.receive_frame()
        assert frame is not None
        assert frame.payload == b"hello"
