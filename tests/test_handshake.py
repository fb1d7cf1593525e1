"""The opening handshake, both roles: what goes right, and who may decide what."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import example, given, strategies as st

from trio_ws._exceptions import ConnectionRejected, HandshakeError
from trio_ws._options import Limits
from trio_ws._url import WebSocketURL, parse_url
from trio_ws.protocol.handshake import (
    Accept,
    ClientHandshake,
    ServerHandshake,
    checked_subprotocols,
)
from trio_ws.protocol.http import Headers, Request, Response, TLSInfo
from trio_ws.protocol.origins import ANY_ORIGIN
from trio_ws.protocol.state import TRANSITIONS, State
from trio_ws.testing import Head, upgrade_request, upgrade_response
from trio_ws.testing._upgrade import (
    SAMPLE_KEY,
    build_head,
    check_upgrade_request,
    check_upgrade_response,
    parse_head,
)

URL = parse_url("ws://a.example/chat?room=1")

REQUEST = upgrade_request()
ANSWER = upgrade_response()
PLAIN = build_head("GET /health HTTP/1.1", [("Host", "localhost")])


def whole_head(data: bytes) -> tuple[Head, bytes]:
    """Return the head at the beginning of these bytes, and what follows it."""
    found = parse_head(data)
    assert found is not None
    return found[0], data[found[1] :]


def asked(data: bytes = REQUEST, **options: Any) -> ServerHandshake:
    """Return a server's handshake that has received this."""
    handshake = ServerHandshake(**options)
    handshake.receive_data(data)
    return handshake


def asking(url: WebSocketURL = URL, **options: Any) -> ClientHandshake:
    """Return a client's handshake whose key is that of RFC 6455 section 1.3."""
    with patch("trio_ws.protocol._client_handshake.new_key", return_value=SAMPLE_KEY):
        return ClientHandshake(url, **options)


def answered(data: bytes, **options: Any) -> ClientHandshake:
    """Return a client's handshake that has received this."""
    handshake = asking(**options)
    handshake.receive_data(data)
    return handshake


# The states


def test_states_only_move_forward() -> None:
    """Every state is in the table, none leads back, and CLOSED is the end."""
    order = list(State)
    assert list(TRANSITIONS) == order
    assert all(
        order.index(after) > order.index(before)
        for before, successors in TRANSITIONS.items()
        for after in successors
    )
    assert TRANSITIONS[State.CLOSED] == frozenset()


# Both roles


@pytest.mark.parametrize(
    ("offered", "spoken", "chosen"),
    [
        ([], [], None),
        (["a", "b"], [], None),
        ([], ["a"], None),
        (["a", "b"], ["b", "a"], "b"),
        (["a", "b"], ["c", "a"], "a"),
        (["a"], ["A"], None),
    ],
)
def test_pair_agrees(offered: list[str], spoken: list[str], chosen: str | None) -> None:
    """Our client and our server agree, on the server's first subprotocol that was offered."""
    client = ClientHandshake(URL, subprotocols=offered)
    server = asked(client.data_to_send(), subprotocols=spoken)
    client.receive_data(server.accept())
    assert client.state is server.state is State.OPEN
    assert client.subprotocol == server.subprotocol == chosen
    assert client.request == server.request
    assert client.response == server.response
    assert client.error is None


def test_pair_keeps_what_comes_behind_each_head() -> None:
    """Frames that come in one piece with a head are kept, at both ends."""
    client = ClientHandshake(URL)
    server = asked(client.data_to_send() + b"from client")
    client.receive_data(server.accept() + b"from server")
    assert server.trailing_data == b"from client"
    assert client.trailing_data == b"from server"


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_pair_agrees_however_the_stream_is_cut(size: int) -> None:
    """Pieces of any size give the same."""
    client, server = ClientHandshake(URL), ServerHandshake()
    sent = client.data_to_send() + b"abc"
    for start in range(0, len(sent), size):
        server.receive_data(sent[start : start + size])
    sent = server.accept() + b"def"
    for start in range(0, len(sent), size):
        client.receive_data(sent[start : start + size])
    assert (server.trailing_data, client.trailing_data) == (b"abc", b"def")
    assert client.response == server.response


def test_values_that_are_kept_know_nothing_of_the_parser() -> None:
    """Requests and responses are of our own types throughout: no bytes of h11's stay behind."""
    client = ClientHandshake(URL, headers={"X": "y"})
    server = asked(client.data_to_send())
    client.receive_data(server.accept())
    for value in (server.request, server.response, client.response):
        assert isinstance(value, Request | Response)
        assert {type(text) for pair in value.headers.pairs for text in pair} == {str}
    assert client._reader is None


# The server


def test_server_accepts() -> None:
    """The answer is that of RFC 6455 section 4.2.2, and opens the WebSocket."""
    handshake = asked()
    assert handshake.state is State.CONNECTING
    assert handshake.request is not None
    assert handshake.refusal is None
    head, rest = whole_head(handshake.accept())
    check_upgrade_response(head, SAMPLE_KEY, whole_head(REQUEST)[0].headers)
    assert head.start == "HTTP/1.1 101 Switching Protocols"
    assert rest == b""
    assert handshake.state is State.OPEN
    assert handshake.response is not None
    assert handshake.response.headers.pairs == head.headers
    assert (handshake.response.status, handshake.response.body) == (101, b"")


def test_server_gives_the_request_its_facts() -> None:
    """What the caller knows of the connection is in the request."""
    tls = TLSInfo("TLSv1.3")
    handshake = asked(peer_address="there", local_address="here", tls=tls)
    request = handshake.request
    assert request is not None
    assert (request.peer_address, request.local_address, request.tls) == ("there", "here", tls)
    assert (request.method, request.target, request.host) == ("GET", "/", "localhost")
    assert request.headers.pairs == whole_head(REQUEST)[0].headers


def test_server_accepts_with_headers_and_subprotocol() -> None:
    """What the application adds is in the answer, after what the handshake says."""
    handshake = asked(
        upgrade_request(headers=[("Sec-WebSocket-Protocol", "a, b")]), subprotocols=["a"]
    )
    accept = Accept("b", [("Set-Cookie", "x=1"), ("Set-Cookie", "y=2")], context=object())
    head, _ = whole_head(handshake.accept(accept))
    assert head.headers[-3:] == (
        ("Sec-WebSocket-Protocol", "b"),
        ("Set-Cookie", "x=1"),
        ("Set-Cookie", "y=2"),
    )
    assert handshake.subprotocol == "b"


@pytest.mark.parametrize("wanted", ["c", "A", ""])
def test_server_does_not_accept_with_a_subprotocol_not_offered(wanted: str) -> None:
    """That is the application's mistake; the request can still be answered."""
    handshake = asked(upgrade_request(headers=[("Sec-WebSocket-Protocol", "a, b")]))
    with pytest.raises(ValueError, match="did not offer"):
        handshake.accept(Accept(wanted))
    assert handshake.state is State.CONNECTING
    assert handshake.subprotocol is None
    assert handshake.accept(Accept("a"))


def test_server_declines_extensions() -> None:
    """Whatever is offered: none is in use."""
    offer = ("Sec-WebSocket-Extensions", 'permessage-deflate; x="a, b", bbf-usp-protocol')
    head, _ = whole_head(asked(upgrade_request(headers=[offer])).accept())
    assert head.values("Sec-WebSocket-Extensions") == []


RESERVED = [
    *("Connection", "Upgrade", "Content-Length", "Transfer-Encoding"),
    *("Sec-WebSocket-Accept", "Sec-WebSocket-Extensions", "sec-websocket-protocol"),
    *("Sec-WebSocket-Key", "SEC-WEBSOCKET-VERSION"),
]


@pytest.mark.parametrize("name", RESERVED)
def test_accept_refuses_headers_of_the_handshake(name: str) -> None:
    """Told where the decision is made."""
    with pytest.raises(ValueError, match="handshake itself"):
        Accept(headers={name: "x"})


@pytest.mark.parametrize("data", [b"", None, REQUEST[:-1], PLAIN, b"\0"])
def test_server_accepts_only_what_it_can(data: bytes | None) -> None:
    """Accepting anything else is the caller's mistake."""
    handshake = ServerHandshake()
    handshake.receive_data(data)
    with pytest.raises(RuntimeError, match="could be accepted"):
        handshake.accept()
    assert handshake.state is not State.OPEN


def test_server_answers_once() -> None:
    """Neither after accepting nor after rejecting can a request be accepted."""
    accepted, rejected = asked(), asked()
    accepted.accept()
    rejected.reject(Response(403))
    for handshake in (accepted, rejected):
        with pytest.raises(RuntimeError, match="could be accepted"):
            handshake.accept()


def test_server_rejects() -> None:
    """The answer is another response, once."""
    handshake = asked()
    response = Response(401, {"WWW-Authenticate": "Basic"}, "who are you?")
    head, body = whole_head(handshake.reject(response))
    assert head.start == "HTTP/1.1 401 Unauthorized"
    assert head.values("Content-Length") == ["12"]
    assert head.values("Connection") == ["close"]
    assert body == b"who are you?"
    assert handshake.state is State.CLOSED
    assert handshake.response is response
    assert handshake.reject(Response(500)) == b""
    assert handshake.response is response


def test_server_rejects_before_there_is_a_request() -> None:
    """A client that takes too long gets an answer too."""
    assert asked(REQUEST[:20]).reject(Response(408)).startswith(b"HTTP/1.1 408 Request Timeout\r\n")


def test_server_does_not_reject_what_it_accepted() -> None:
    """Where the WebSocket is open, HTTP is over."""
    handshake = asked()
    handshake.accept()
    with pytest.raises(RuntimeError, match="accepted"):
        handshake.reject(Response(403))
    with pytest.raises(RuntimeError, match="over"):
        handshake.receive_data(b"frame")


def test_server_does_not_reject_with_an_interim_response() -> None:
    """The response a client of ours got from elsewhere is no answer if it opened a WebSocket."""
    handshake = asked()
    with pytest.raises(ValueError, match="101"):
        handshake.reject(Response._of(101, Headers()))
    assert handshake.state is State.CONNECTING


def test_server_answers_head_without_a_body() -> None:
    """The head of the answer is that of a GET."""
    handshake = asked(build_head("HEAD / HTTP/1.1", [("Host", "a")]))
    assert handshake.request is not None
    assert handshake.request.method == "HEAD"
    head, body = whole_head(handshake.reject(Response(200, body=b"page")))
    assert head.values("Content-Length") == ["4"]
    assert body == b""


def test_server_lets_the_application_answer_plain_requests() -> None:
    """A request that asks for no WebSocket is there with its refusal, not answered yet."""
    handshake = asked(PLAIN + b"GET / HTTP/1.1\r\n")
    assert handshake.request is not None
    assert not handshake.request.is_upgrade
    assert handshake.refusal is not None
    assert handshake.refusal.status == 426
    assert handshake.trailing_data == b""
    head, _ = whole_head(handshake.reject(handshake.refusal))
    assert head.items("Connection") == ["Upgrade", "close"]
    assert head.values("Upgrade") == ["websocket"]


def test_server_refuses_a_foreign_origin() -> None:
    """The request is there, and so is what must be answered."""
    request = upgrade_request(headers=[("Origin", "https://b.example")])
    handshake = asked(request)
    assert handshake.request is not None
    assert handshake.request.is_upgrade
    assert handshake.refusal is not None
    assert handshake.refusal.status == 403
    assert asked(request, origins=ANY_ORIGIN).refusal is None


@pytest.mark.parametrize("data", [b"", REQUEST[:1], REQUEST[:-1]])
def test_server_at_the_end_of_the_stream(data: bytes) -> None:
    """Without a request there is nothing to answer, and nobody to answer to."""
    handshake = asked(data)
    handshake.receive_data(None)
    handshake.receive_data(REQUEST)
    assert handshake.state is State.CLOSED
    assert handshake.request is handshake.refusal is None
    assert handshake.reject(Response(400)) == b""


def test_server_at_the_end_of_the_stream_with_a_request() -> None:
    """Who closes the sending side can still read the answer."""
    handshake = asked()
    handshake.receive_data(None)
    assert handshake.accept()


def test_server_keeps_what_comes_while_the_application_decides() -> None:
    """In order, up to the limit; a client that goes on sending is refused."""
    handshake = asked(REQUEST + b"ab", limits=Limits(max_queued_bytes=4))
    handshake.receive_data(b"cd")
    assert handshake.refusal is None
    assert handshake.trailing_data == b"abcd"
    handshake.receive_data(b"e")
    assert handshake.refusal is not None
    assert handshake.refusal.status == 400
    assert handshake.trailing_data == b""
    with pytest.raises(RuntimeError, match="could be accepted"):
        handshake.accept()


def test_server_keeps_the_first_refusal() -> None:
    """What is sent behind a request that is refused changes nothing."""
    handshake = asked(PLAIN + b"abcde", limits=Limits(max_queued_bytes=4))
    assert handshake.refusal is not None
    assert handshake.refusal.status == 426


def test_server_takes_nothing_after_a_malformed_request() -> None:
    """Bytes behind what is no HTTP are not looked at."""
    handshake = asked(b"\0")
    refusal = handshake.refusal
    handshake.receive_data(REQUEST)
    assert handshake.refusal is refusal
    assert handshake.request is None


# The client


def test_client_asks() -> None:
    """The request is that of RFC 6455 section 4.1, sent once."""
    handshake = ClientHandshake(URL, subprotocols=["a", "b"], origin="https://a.example")
    assert handshake.state is State.CONNECTING
    head, rest = whole_head(handshake.data_to_send())
    assert rest == handshake.data_to_send() == b""
    key = check_upgrade_request(head)
    assert head.start == "GET /chat?room=1 HTTP/1.1"
    assert head.headers == (
        ("Host", "a.example"),
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Key", key),
        ("Sec-WebSocket-Version", "13"),
        ("Origin", "https://a.example"),
        ("Sec-WebSocket-Protocol", "a, b"),
    )
    assert handshake.request.headers.pairs == head.headers


def test_client_key_is_new_each_time() -> None:
    """A nonce is used once."""
    keys = {ClientHandshake(URL).request.headers["Sec-WebSocket-Key"] for _ in range(20)}
    assert len(keys) == 20


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("ws://a.example:80/", "a.example"),
        ("wss://a.example:443/", "a.example"),
        ("wss://a.example:80/", "a.example:80"),
        ("ws://[::1]:8080/", "[::1]:8080"),
    ],
)
def test_client_host(url: str, host: str) -> None:
    """The port is there where it is not the scheme's default (section 4.1)."""
    assert ClientHandshake(parse_url(url)).request.host == host


def test_client_headers() -> None:
    """Further headers follow; Host goes first, and what is given takes precedence."""
    handshake = ClientHandshake(
        parse_url("ws://user:secret@a.example/"),
        headers=[("X-A", "1"), ("host", "b.example"), ("x-a", "2"), ("authorization", "Bearer t")],
    )
    pairs = handshake.request.headers.pairs
    assert pairs[0] == ("Host", "b.example")
    assert pairs[-3:] == (("X-A", "1"), ("x-a", "2"), ("authorization", "Bearer t"))
    assert handshake.request.headers.get_all("Authorization") == ["Bearer t"]


def test_client_authorization_from_the_url() -> None:
    """User and password go as Basic authorization, and are not shown."""
    handshake = ClientHandshake(parse_url("ws://user:secret@a.example/"))
    assert handshake.request.headers["Authorization"] == "Basic dXNlcjpzZWNyZXQ="
    assert "dXNlcjpzZWNyZXQ" not in repr(handshake.request)


@dataclass
class BadInput:
    """Arguments that cannot make a request, and what the exception says."""

    message: str
    options: dict[str, Any]
    url: WebSocketURL = URL


@pytest.mark.parametrize(
    "bad",
    [
        *[BadInput("handshake itself", {"headers": {name: "x"}}) for name in RESERVED],
        BadInput("no token", {"subprotocols": ["a,b"]}),
        BadInput("no token", {"subprotocols": [""]}),
        BadInput("no token", {"subprotocols": ["a b"]}),
        BadInput("no token", {"subprotocols": ["ä"]}),
        BadInput("twice", {"subprotocols": ["a", "b", "a"]}),
        BadInput("control character", {"origin": "a\r\nb: c"}),
        BadInput("control character", {"headers": {"a": "b\n"}}),
        BadInput("no token", {"headers": {"a b": "c"}}),
        BadInput("only one", {"headers": [("Host", "a"), ("host", "b")]}),
        BadInput("only one", {"headers": [("Origin", "a"), ("Origin", "a")]}),
        BadInput("only one", {"headers": [("Authorization", "a"), ("Authorization", "a")]}),
        BadInput("given twice", {"headers": {"Origin": "a"}, "origin": "a"}),
        BadInput("Host header", {"headers": {"Host": "a b"}}),
        BadInput("Host header", {}, WebSocketURL(False, "a b", 80, "/", None)),
        BadInput("Host header", {}, WebSocketURL(False, "", 80, "/", None)),
        *[
            BadInput("the target", {}, WebSocketURL(False, "a", 80, target, None))
            for target in ("", "*", "a", "/a b", "/a#b", "/\r\n", "/ä", "/\0", "http://a/")
        ],
        BadInput("control character", {}, WebSocketURL(False, "a", 80, "/", "Basic\n")),
    ],
    ids=str,
)
def test_client_refuses_what_makes_no_request(bad: BadInput) -> None:
    """Told at once, and in words."""
    with pytest.raises(ValueError, match=bad.message):
        ClientHandshake(bad.url, **bad.options)


@pytest.mark.parametrize("subprotocols", ["chat", [b"chat"], [None]])
def test_subprotocols_of_other_types_are_refused(subprotocols: Any) -> None:
    """Above all one string, which is a sequence of characters."""
    with pytest.raises(TypeError, match="subprotocol"):
        checked_subprotocols(subprotocols)


def test_client_opens() -> None:
    """The right answer opens; what follows it is kept."""
    handshake = answered(ANSWER + b"frames")
    assert handshake.state is State.OPEN
    assert handshake.error is None
    assert handshake.subprotocol is None
    assert handshake.response is not None
    assert handshake.response.status == 101
    assert handshake.trailing_data == b"frames"


def test_client_skips_interim_responses() -> None:
    """100 and 103 before the answer are no answers."""
    hints = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
    assert answered(hints + ANSWER).state is State.OPEN


def test_client_takes_an_answer_in_any_spelling() -> None:
    """Names and tokens have no case; Connection is a list over all lines."""
    answer = ANSWER.replace(b"Upgrade: websocket", b"UPGRADE:WebSocket ")
    answer = answer.replace(b"Connection: Upgrade", b"connection: x\r\nConnection: y , UPGRADE")
    assert answered(answer).state is State.OPEN


def test_client_takes_the_subprotocol_chosen() -> None:
    """One of those that it offered."""
    answer = ANSWER[:-2] + b"Sec-WebSocket-Protocol: b\r\n\r\n"
    assert answered(answer, subprotocols=["a", "b"]).subprotocol == "b"


@pytest.mark.parametrize(
    ("status", "reason"), [(200, "OK"), (301, "Moved"), (401, "No"), (404, ""), (503, "Busy")]
)
def test_client_is_rejected(status: int, reason: str) -> None:
    """Any other final response is in the error, with its body."""
    data = build_head(f"HTTP/1.1 {status} {reason}", [("Content-Length", "4"), ("Location", "/x")])
    handshake = answered(data + b"page")
    assert handshake.state is State.CLOSED
    assert handshake.response is None
    error = handshake.error
    assert isinstance(error, ConnectionRejected)
    assert (error.response.status, error.response.reason) == (status, reason)
    assert error.response.headers["Location"] == "/x"
    assert error.response.body == b"page"


def test_client_is_rejected_with_what_came_of_the_body() -> None:
    """The end of the stream ends a body that was announced longer."""
    handshake = answered(b"HTTP/1.1 500 Oops\r\nContent-Length: 100\r\n\r\nhal")
    assert handshake.state is State.CONNECTING
    handshake.receive_data(None)
    assert isinstance(handshake.error, ConnectionRejected)
    assert handshake.error.response.body == b"hal"


@pytest.mark.parametrize("data", [b"", ANSWER[:-1], b"HTTP/1.1 100 Continue\r\n\r\n"])
def test_client_at_the_end_of_the_stream(data: bytes) -> None:
    """Without a response there is an error that says so."""
    handshake = answered(data)
    handshake.receive_data(None)
    assert handshake.state is State.CLOSED
    assert str(handshake.error) == "the stream ended before there was a response"


def test_client_takes_nothing_after_an_error() -> None:
    """The first error stays."""
    handshake = answered(b"SSH-2.0-OpenSSH_9.6\r\n")
    error = handshake.error
    assert str(error) == "this is not HTTP: b'SSH-2.0-OpenSSH_9.6\\r\\n'"
    handshake.receive_data(ANSWER)
    handshake.receive_data(None)
    assert handshake.error is error
    assert handshake.trailing_data == b""


def test_client_bounds_what_it_keeps() -> None:
    """Who is not stopped from sending by our silence is cut off."""
    handshake = answered(ANSWER + b"ab", limits=Limits(max_queued_bytes=4))
    handshake.receive_data(b"cd")
    handshake.receive_data(None)
    assert (handshake.state, handshake.trailing_data) == (State.OPEN, b"abcd")
    handshake.receive_data(b"e")
    assert handshake.state is State.CLOSED
    assert "too much" in str(handshake.error)
    assert (handshake.response, handshake.trailing_data) == (None, b"")


# Any bytes, however cut

PIECES = st.one_of(
    st.sampled_from(
        [
            *REQUEST.splitlines(keepends=True),
            *ANSWER.splitlines(keepends=True),
            b"HTTP/1.1 200 OK\r\n",
            b"HTTP/1.1 100 Continue\r\n\r\n",
            b"Transfer-Encoding: chunked\r\n",
            b"Content-Length: 3\r\n",
            b"Connection: \xff\r\n",
            b"5\r\nhello\r\n",
            b"0\r\n",
            b"\r\n",
        ]
    ),
    st.binary(max_size=20),
)
REFUSALS = [
    b"HTTP/1.1 404 No\r\n" + framing + b"\r\n"
    for framing in (b"", b"Content-Length: 9\r\n", b"Transfer-Encoding: chunked\r\n")
]
STREAMS = st.lists(PIECES, max_size=15).map(b"".join)
AFTER_HEADS = st.tuples(st.sampled_from([REQUEST, ANSWER, *REFUSALS]), STREAMS).map(b"".join)
SMALL = Limits(max_header_bytes=220, max_headers=7, max_error_body=30, max_queued_bytes=50)


ANY_STREAM = given(
    stream=STREAMS | AFTER_HEADS,
    cuts=st.lists(st.integers(0, 300)),
    limits=st.sampled_from([Limits(), SMALL]),
)


def split(data: bytes, cuts: Sequence[int]) -> list[bytes]:
    """Cut a stream at these places, as far as it has them."""
    points = sorted({0, *(cut for cut in cuts if cut < len(data)), len(data)})
    return [data[start:end] for start, end in pairwise(points)]


@given(
    stream=STREAMS, cuts=st.lists(st.integers(0, 300)), limits=st.sampled_from([Limits(), SMALL])
)
@example(stream=REQUEST + b"x" * 51, cuts=[len(REQUEST) + 1], limits=SMALL)
@example(stream=b"GET /" + b"x" * 300, cuts=[220, 221], limits=SMALL)
def test_server_does_not_depend_on_how_the_stream_is_cut(
    stream: bytes, cuts: list[int], limits: Limits
) -> None:
    """Any bytes, in any pieces, never raise and give the same request, refusal and rest."""
    whole = asked(stream, limits=limits)
    cut = ServerHandshake(limits=limits)
    for chunk in split(stream, cuts):
        cut.receive_data(chunk)
    assert (cut.request, cut.refusal) == (whole.request, whole.refusal)
    assert cut.trailing_data == whole.trailing_data
    assert len(cut.trailing_data) <= limits.max_queued_bytes
    if cut.request is not None and cut.refusal is None:
        check_upgrade_request(whole_head(stream)[0])
        assert cut.accept() == whole.accept()
    elif cut.refusal is not None:
        assert whole_head(cut.reject(cut.refusal))[0].status == cut.refusal.status


@given(
    stream=STREAMS, cuts=st.lists(st.integers(0, 300)), limits=st.sampled_from([Limits(), SMALL])
)
@example(stream=ANSWER + b"x" * 51, cuts=[len(ANSWER) + 50], limits=SMALL)
@example(stream=b"HTTP/1.1 404 No\r\n\r\n" + b"x" * 50, cuts=[25, 48, 49], limits=SMALL)
def test_client_does_not_depend_on_how_the_stream_is_cut(
    stream: bytes, cuts: list[int], limits: Limits
) -> None:
    """Any bytes, in any pieces, never raise and give the same answer, error and rest."""
    whole, cut = answered(stream, limits=limits), asking(limits=limits)
    for chunk in split(stream, cuts):
        cut.receive_data(chunk)
    whole.receive_data(None)
    cut.receive_data(None)
    assert cut.state is whole.state
    assert cut.trailing_data == whole.trailing_data
    assert type(cut.error) is type(whole.error)
    if isinstance(cut.error, ConnectionRejected):
        assert isinstance(whole.error, ConnectionRejected)
        assert cut.error.response == whole.error.response
        assert len(cut.error.response.body) <= limits.max_error_body
    else:  # what was seen of it in the first look may be quoted
        assert str(cut.error).partition(":")[0] == str(whole.error).partition(":")[0]
    assert cut.state is State.OPEN or isinstance(cut.error, HandshakeError)
