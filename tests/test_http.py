"""HTTP's values, and one bounded exchange: what is taken, what is refused, and where exactly."""

import copy
import pickle
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, cast

import h11
import pytest
from hypothesis import example, given, strategies as st

from trio_ws._options import Limits
from trio_ws.protocol._exchange import (
    BadMessage,
    HeadReader,
    ResponseReader,
    encode_final_response,
    encode_head,
    parse_request,
)
from trio_ws.protocol._headers import list_members
from trio_ws.protocol.http import (
    Headers,
    HeadersLike,
    Request,
    Response,
    TLSInfo,
    parse_authority,
)
from trio_ws.testing._upgrade import parse_head

HEAD = b"GET / HTTP/1.1\r\nHost: a.example\r\nX-One: 1\r\n\r\n"

GET = Request("GET", "/", Headers({"Host": "a.example"}))


# Headers


@pytest.mark.parametrize(
    "source",
    [
        {"Host": "a", "Accept": "b"},
        [("Host", "a"), ("Accept", "b")],
        (pair for pair in (("Host", "a"), ("Accept", "b"))),
        Headers({"Host": "a", "Accept": "b"}),
    ],
    ids=["mapping", "pairs", "iterator", "headers"],
)
def test_headers_are_made_of(source: HeadersLike) -> None:
    """A mapping, pairs or other headers give the fields in their order."""
    assert Headers(source).pairs == (("Host", "a"), ("Accept", "b"))


def test_headers_default_to_none() -> None:
    """Without an argument there is no field."""
    assert Headers().pairs == ()
    assert len(Headers()) == 0


def test_headers_names_have_no_case() -> None:
    """A name is found in any case; each is listed once, as first written."""
    headers = Headers([("Accept", "a"), ("X-Y", "b"), ("ACCEPT", "c")])
    assert headers["accept"] == headers["Accept"] == "a, c"
    assert "x-y" in headers
    assert list(headers) == ["Accept", "X-Y"]
    assert len(headers) == 2
    assert dict(headers) == {"Accept": "a, c", "X-Y": "b"}


def test_headers_values_of_one_name_stay_apart() -> None:
    """``get_all`` gives each value by itself: Set-Cookie must not be joined."""
    headers = Headers([("Set-Cookie", "a=1"), ("Server", "x"), ("set-cookie", "b=2")])
    assert headers.get_all("Set-Cookie") == ["a=1", "b=2"]
    assert headers.get_all("Cookie") == []


def test_headers_without_a_name() -> None:
    """What is not there raises ``KeyError``, or gives the default."""
    headers = Headers({"a": "b"})
    with pytest.raises(KeyError, match="Host"):
        headers["Host"]
    assert headers.get("Host") is None
    assert headers.get("Host", "x") == "x"
    assert "Host" not in headers
    assert cast("object", 1) not in headers


def test_headers_equality_knows_no_case_of_names() -> None:
    """Headers are equal, and hash equally, when their fields are, in order."""
    assert Headers({"A": "b"}) == Headers({"a": "b"})
    assert hash(Headers({"A": "b"})) == hash(Headers({"a": "b"}))
    assert Headers({"a": "b"}) != Headers({"a": "B"})
    assert Headers({"a": "b"}) != {"a": "b"}
    assert Headers([("a", "1"), ("b", "2")]) != Headers([("b", "2"), ("a", "1")])


def test_headers_repr_hides_credentials() -> None:
    """What is in Authorization and cookies does not come into a log by accident."""
    headers = Headers({"Host": "a", "authorization": "Basic x", "Cookie": "k=v"})
    assert repr(headers) == "Headers([('Host', 'a'), ('authorization', '...'), ('Cookie', '...')])"


def pickled(value: object) -> object:
    """Return what comes out of a pickle."""
    return pickle.loads(pickle.dumps(value))


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, pickled])
def test_values_are_copied_and_pickled(duplicate: Callable[[object], object]) -> None:
    """Headers, requests and responses survive ``copy`` and ``pickle``."""
    request = Request("GET", "/", Headers([("a", "b"), ("A", "c")]), tls=TLSInfo("TLSv1.3"))
    response = Response(200, {"a": "b"}, "body")
    assert duplicate(request) == request
    assert duplicate(response) == response


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("", "v"),
        ("a b", "v"),
        ("a:", "v"),
        ("a\r\nb", "v"),
        ("ä", "v"),
        ("a\0", "v"),
        ("(a)", "v"),
        ("a", "\r\n"),
        ("a", "b\r\nc: d"),
        ("a", "b\nc"),
        ("a", "b\rc"),
        ("a", "b\0c"),
        ("a", "b\x7fc"),
        ("a", "\x1b[31m"),
        ("a", " b"),
        ("a", "b "),
        ("a", "b\t"),
        ("a", "Ā"),
        ("a", "\udcff"),
    ],
)
def test_headers_refuse_what_cannot_be_sent(name: str, value: str) -> None:
    """A name that is no token, and a value that would not come out as it went in."""
    with pytest.raises(ValueError, match="header"):
        Headers({name: value})


@pytest.mark.parametrize("pair", [(b"a", "b"), ("a", b"b"), ("a", 1), (None, "b")])
def test_headers_refuse_what_is_not_text(pair: tuple[Any, Any]) -> None:
    """Bytes and numbers are for the caller to turn into text."""
    with pytest.raises(TypeError, match="must be made of str"):
        Headers([pair])


@pytest.mark.parametrize("value", ["", "a", "a b", "a\tb", "\xff", "é ü", "\x80", "\xa0"])
def test_headers_take_what_comes_out_as_it_went_in(value: str) -> None:
    """All that RFC 9110 section 5.5 has in a value, as Latin-1."""
    head, _ = parse_head(encode_head("GET / HTTP/1.1", Headers({"a": value}))) or (None, 0)
    assert head is not None
    assert head.headers == (("a", value),)


@pytest.mark.parametrize(
    ("values", "members"),
    [
        ([], []),
        ([""], []),
        (["a"], ["a"]),
        (["a,b"], ["a", "b"]),
        (["a , b", "c"], ["a", "b", "c"]),
        ([" ,a,,\tb\t,"], ["a", "b"]),
    ],
)
def test_list_members_of_all_lines(values: list[str], members: list[str]) -> None:
    """A list goes over all lines; empty members do not count."""
    assert list_members(values) == members


# Authorities


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a", ("a", None)),
        ("A.Example", ("a.example", None)),
        ("a.example.", ("a.example.", None)),
        ("a.example:80", ("a.example", 80)),
        ("a.example:65535", ("a.example", 65535)),
        ("a.example:", ("a.example", None)),
        ("xn--bcher-kva.example", ("xn--bcher-kva.example", None)),
        ("my_container:8080", ("my_container", 8080)),
        ("127.0.0.1:1", ("127.0.0.1", 1)),
        ("[::1]", ("::1", None)),
        ("[0:0:0:0:0:0:0:1]:8080", ("::1", 8080)),
        ("[2001:DB8::1]", ("2001:db8::1", None)),
        ("a" * 63, ("a" * 63, None)),
        *[(bad, None) for bad in ("", ":80", ".", "a..b", ".a", "-a", "a-", "xn--", "xn--.b")],
        *[(bad, None) for bad in ("a" * 64, "a b", "a/b", "a@b", "a,b", "a#b", "ä", "a\xff")],
        *[
            (bad, None)
            for bad in ("a:0", "a:65536", "a:123456", "a:x", "a:-1", "a:1:2", "a:\u0661")
        ],
        *[(bad, None) for bad in ("::1", "[::1", "[]", "[::g]", "[:::1]", "[::1%eth0]", "[v1.a]")],
    ],
)
def test_authority(text: str, expected: tuple[str, int | None] | None) -> None:
    """Host and port of what is well-formed; the host in the form in which hosts compare."""
    assert parse_authority(text) == expected


# Requests


def test_request_facts() -> None:
    """A request shows what a handler wants to know."""
    headers = Headers(
        [
            ("Host", "a.example:8080"),
            ("Origin", "https://b.example"),
            ("Sec-WebSocket-Protocol", "chat, superchat"),
            ("Sec-WebSocket-Protocol", "other"),
        ]
    )
    request = Request("GET", "/caf%C3%A9/%ff?q=%20&r", headers, tls=TLSInfo())
    assert request.path == "/café/\N{REPLACEMENT CHARACTER}"
    assert request.query == "q=%20&r"
    assert request.host == "a.example:8080"
    assert request.origin == "https://b.example"
    assert request.subprotocols == ("chat", "superchat", "other")
    assert request.secure


def test_request_without_facts() -> None:
    """What was not sent is empty or ``None``."""
    request = Request("GET", "/", Headers())
    assert (request.query, request.host, request.origin) == ("", "", None)
    assert request.subprotocols == ()
    assert not request.secure
    assert request.peer_address is request.local_address is None


@pytest.mark.parametrize(
    ("method", "headers", "expected"),
    [
        ("GET", [("Upgrade", "websocket"), ("Connection", "Upgrade")], True),
        ("GET", [("upgrade", "WebSocket"), ("connection", "keep-alive, UPGRADE")], True),
        ("GET", [("Upgrade", "h2c, websocket"), ("Connection", "upgrade")], True),
        (
            "GET",
            [("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Connection", "x")],
            True,
        ),
        ("HEAD", [("Upgrade", "websocket"), ("Connection", "Upgrade")], False),
        ("GET", [("Upgrade", "websocket")], False),
        ("GET", [("Connection", "Upgrade")], False),
        ("GET", [("Upgrade", "websockets"), ("Connection", "Upgrade")], False),
        ("GET", [("Upgrade", "websocket"), ("Connection", "close")], False),
        ("GET", [], False),
    ],
)
def test_request_is_upgrade(method: str, headers: list[tuple[str, str]], *, expected: bool) -> None:
    """A GET that names websocket in Upgrade and upgrade in Connection, in lists over all lines."""
    assert Request(method, "/", Headers(headers)).is_upgrade is expected


def test_request_with_connection() -> None:
    """The facts of a connection are added to a copy."""
    tls = TLSInfo("TLSv1.3", peer_certificate={"subject": ()})
    request = GET.with_connection("here", "there", tls)
    assert (request.local_address, request.peer_address, request.tls) == ("here", "there", tls)
    assert request.headers is GET.headers
    assert GET.tls is None
    assert isinstance(hash(request), int)  # a certificate has no hash, and needs none


@pytest.mark.parametrize("value", [GET, Response(200), TLSInfo(), Headers()])
def test_values_have_no_dictionary(value: object) -> None:
    """A connection keeps these for life: they are small."""
    assert not hasattr(value, "__dict__")


# Responses


def test_response_of_text() -> None:
    """Text goes as UTF-8 and says so; the phrase is the registered one."""
    response = Response(404, {"X-A": "b"}, "nö")
    assert response.status == 404
    assert response.reason == "Not Found"
    assert response.body == "nö".encode()
    assert response.headers == Headers({"X-A": "b", "Content-Type": "text/plain; charset=utf-8"})


def test_response_keeps_what_is_given() -> None:
    """Bytes, a type and a phrase are taken as they are."""
    response = Response(200, {"content-type": "text/html"}, "<p>hi", "Fine")
    assert (response.body, response.reason) == (b"<p>hi", "Fine")
    assert response.headers.pairs == (("content-type", "text/html"),)
    assert Response(200, body=b"x").headers == Headers()


def test_response_with_an_unregistered_status() -> None:
    """There is no phrase for it then."""
    assert Response(299).reason == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((199,), "status"),
        ((600,), "status"),
        ((True,), "status"),
        ((101,), "status"),
        ((200, {"a b": "c"}), "no token"),
        ((200, {"a": "b\n"}), "control character"),
        ((200, {"Connection": "close"}), "Connection is set"),
        ((200, {"content-length": "0"}), "content-length is set"),
        ((200, {"Transfer-Encoding": "chunked"}), "Transfer-Encoding is set"),
        ((200, (), b"", "a\r\nb"), "phrase"),
        ((204, (), b"x"), "no body"),
        ((304, (), "x"), "no body"),
    ],
)
def test_response_refuses_what_cannot_be_sent(arguments: tuple[Any, ...], message: str) -> None:
    """Where it is made, not where it is sent."""
    with pytest.raises(ValueError, match=message):
        Response(*arguments)


@pytest.mark.parametrize("arguments", [("200",), (None,), (200, (), 5), (200, (), None)])
def test_response_refuses_other_types(arguments: tuple[Any, ...]) -> None:
    """A status is a number, a body text or bytes."""
    with pytest.raises(TypeError, match="must be"):
        Response(*arguments)


@pytest.mark.parametrize(
    ("response", "with_body", "wire"),
    [
        (
            Response(200, {"A": "b"}, b"xyz"),
            True,
            b"HTTP/1.1 200 OK\r\nA: b\r\nConnection: close\r\nContent-Length: 3\r\n\r\nxyz",
        ),
        (
            Response(200, {"A": "b"}, b"xyz"),
            False,
            b"HTTP/1.1 200 OK\r\nA: b\r\nConnection: close\r\nContent-Length: 3\r\n\r\n",
        ),
        (Response(204), True, b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n"),
        (
            Response(426, {"Upgrade": "x"}),
            True,
            encode_head(
                "HTTP/1.1 426 Upgrade Required",
                Headers(
                    {"Upgrade": "x", "Connection": "Upgrade, close", "Content-Length": "0"},
                ),
            ),
        ),
        (
            Response(299),
            True,
            b"HTTP/1.1 299 \r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
        ),
        (  # received by a client of ours from somebody else, who had another framing
            Response._of(
                200, Headers([("Transfer-Encoding", "chunked"), ("connection", "x")]), b"x", "OK"
            ),
            True,
            b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx",
        ),
    ],
    ids=["body", "head", "no-content", "upgrade", "no-phrase", "foreign-framing"],
)
def test_final_response_on_the_wire(response: Response, *, with_body: bool, wire: bytes) -> None:
    """A response is framed by us, once, and says that the connection ends."""
    assert encode_final_response(response, with_body=with_body) == wire


def test_final_response_is_not_interim() -> None:
    """What promises another response is not the last."""
    with pytest.raises(ValueError, match="101"):
        encode_final_response(Response._of(101, Headers()), with_body=True)


# Reading heads


# Heads, and what follows the last, or the status of the refusal.
Heads = tuple[list[bytes], bytes | int]


def read_heads(chunks: Sequence[bytes], limits: Limits | None = None, prefix: bytes = b"") -> Heads:
    """Return the heads in a stream and what follows them, or the status of its refusal."""
    reader, heads = HeadReader(limits or Limits(), prefix=prefix), list[bytes]()
    try:
        for chunk in chunks:
            reader.feed(chunk)
            while (head := reader.take_head()) is not None:
                heads.append(head)
    except BadMessage as exc:
        return heads, exc.status
    return heads, reader.take_rest()


def one_by_one(data: bytes) -> list[bytes]:
    """Cut a stream into single bytes."""
    return [data[i : i + 1] for i in range(len(data))]


def in_one(data: bytes) -> list[bytes]:
    """Leave a stream in one piece."""
    return [data]


BOTH_CUTS = pytest.mark.parametrize("cut", [in_one, one_by_one])
Cut = Callable[[bytes], list[bytes]]


@BOTH_CUTS
@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"GET / HTTP/1.1\nHost: a\n\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\n\n", 400),
        (b"GET / HTTP/1.1\r\n folded: a\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\n\tfolded\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\rb\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\0b\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\x1bb\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\x7fb\r\n", 400),
        (b"GET / HTTP/1.1\r\n\xffost: a\r\n", 400),
        (b"\r\nGET / HTTP/1.1\r\n", 400),
        (b" GET / HTTP/1.1\r\n", 400),
        (b"\x16\x03\x01", 400),
        (b"\x80", 400),
    ],
)
def test_head_with_a_malformed_line(data: bytes, status: int, cut: Cut) -> None:
    """What RFC 9112 forbids is refused as soon as the line is there, however the stream is cut."""
    assert read_heads(cut(data)) == ([], status)


@BOTH_CUTS
def test_head_ends_where_it_ends(cut: Cut) -> None:
    """The empty line is the head's last; what follows is not looked at."""
    assert read_heads(cut(HEAD + b"A: 1\r\n")) == ([HEAD], b"A: 1\r\n")


@pytest.mark.parametrize("data", [b"", HEAD[:-1], HEAD[:20]])
def test_head_that_is_not_there_yet(data: bytes) -> None:
    """Half a head is none."""
    assert read_heads([data]) == ([], data)


@BOTH_CUTS
@pytest.mark.parametrize(
    ("data", "prefix_ok"),
    [(b"HTTP/1.1 200\r\n", True), (b"SSH-2.0-x\r\n", False), (b"HTTQ", False), (b"HTT", True)],
)
def test_head_with_a_prefix(data: bytes, cut: Cut, *, prefix_ok: bool) -> None:
    """What cannot become a response is told by its first bytes."""
    expected: bytes | int = data if prefix_ok else 400
    assert read_heads(cut(data), prefix=b"HTTP/") == ([], expected)


@BOTH_CUTS
@pytest.mark.parametrize("spare", [0, -1, 1])
def test_head_limit_in_bytes_is_exact(spare: int, cut: Cut) -> None:
    """A head of just so many bytes is taken, in one piece or many; one more is refused."""
    limits = Limits(max_header_bytes=len(HEAD) + spare)
    taken: Heads = ([], 431) if spare < 0 else ([HEAD], b"")
    assert read_heads(cut(HEAD), limits) == taken


@BOTH_CUTS
@pytest.mark.parametrize("spare", [0, -1])
def test_head_limit_in_lines_is_exact(spare: int, cut: Cut) -> None:
    """So many headers are taken, in one piece or many; one more is refused."""
    taken: Heads = ([], 431) if spare < 0 else ([HEAD], b"")
    assert read_heads(cut(HEAD), Limits(max_headers=2 + spare)) == taken


@BOTH_CUTS
def test_head_with_too_long_a_first_line(cut: Cut) -> None:
    """The request line has a status of its own."""
    assert read_heads(cut(b"GET /" + b"x" * 100), Limits(max_header_bytes=50)) == ([], 414)


@BOTH_CUTS
def test_head_limits_hold_for_all_heads_together(cut: Cut) -> None:
    """However many heads there are, the limits are not multiplied."""
    assert read_heads(cut(HEAD * 3), Limits(max_header_bytes=2 * len(HEAD))) == ([HEAD] * 2, 414)
    assert read_heads(cut(HEAD * 3), Limits(max_headers=4)) == ([HEAD] * 2, 431)


LINES = st.sampled_from(
    [b"GET / HTTP/1.1", b"A: b", b"C: \xff", b" x", b"", b"\n", b"\r", b"\0", b"A" * 30, b"\r\n"]
)


@given(
    data=st.lists(st.one_of(LINES, st.binary(max_size=3))).map(b"\r\n".join),
    cuts=st.lists(st.integers(0, 200)),
    max_bytes=st.integers(1, 100),
    max_headers=st.integers(1, 5),
    prefix=st.sampled_from([b"", b"GET"]),
)
@example(data=HEAD * 2, cuts=[5, 6], max_bytes=200, max_headers=5, prefix=b"GET")
def test_heads_do_not_depend_on_how_the_stream_is_cut(
    data: bytes, cuts: list[int], max_bytes: int, max_headers: int, prefix: bytes
) -> None:
    """Any split of the stream gives the same heads and the same refusal."""
    limits = Limits(max_header_bytes=max_bytes, max_headers=max_headers)
    points = sorted({0, *(c for c in cuts if c < len(data)), len(data)})
    chunks = [data[a:b] for a, b in pairwise(points)]
    heads, rest = read_heads(chunks, limits, prefix)
    assert (heads, rest) == read_heads([data], limits, prefix)
    assert all(
        head.endswith(b"\r\n\r\n") and b"\n" not in head.replace(b"\r\n", b"") for head in heads
    )
    assert sum(map(len, heads)) <= max_bytes


def test_request_is_parsed() -> None:
    """A whole head gives a request."""
    request = parse_request(HEAD)
    assert (request.method, request.target) == (b"GET", b"/")


@pytest.mark.parametrize(
    "head",
    [
        b"GET /\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost : a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 2\r\n\r\n",
    ],
)
def test_request_that_is_none(head: bytes) -> None:
    """Bytes that are no request are refused, in words that quote none of them."""
    with pytest.raises(BadMessage) as caught:
        parse_request(head)
    assert (caught.value.status, str(caught.value)) == (400, "this is not valid HTTP/1.1")
    assert caught.value.detail
    assert caught.value.__cause__ is None


# Reading responses


def response_to_get(
    chunks: Sequence[bytes | None], limits: Limits | None = None
) -> Response | None:
    """Return the response in what a server sent."""
    reader = ResponseReader(GET, limits or Limits())
    for chunk in chunks:
        if (response := reader.receive(chunk)) is not None:
            return response
    return None


def test_response_reader_makes_the_request() -> None:
    """The request is written as it is."""
    reader = ResponseReader(GET, Limits())
    assert reader.request_bytes == b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n"


OK = b"HTTP/1.1 200 Fine\r\nX: y\r\n"
SWITCH = b"HTTP/1.1 101 Go\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"
FRAMINGS: list[tuple[str, bytes, bytes | None]] = [
    ("content-length", OK + b"Content-Length: 5\r\n\r\nhello", b"hello"),
    ("content-length-0", OK + b"Content-Length: 0\r\n\r\n", b""),
    ("content-length-more", OK + b"Content-Length: 5\r\n\r\nhello, world", b"hello"),
    ("content-length-less", OK + b"Content-Length: 9\r\n\r\nhello", None),
    (
        "chunked",
        OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3;a=b\r\nllo\r\n0\r\n\r\n",
        b"hello",
    ),
    ("chunked-less", OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhel", None),
    ("chunked-broken", OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhelloXX", b"hello"),
    ("chunked-no-size", OK + b"Transfer-Encoding: chunked\r\n\r\nhello\r\n", b""),
    ("close", OK + b"\r\nhello", None),
    ("no-content", b"HTTP/1.1 204 None\r\nX: y\r\n\r\nhello", b""),
    ("http/1.0", b"HTTP/1.0 200 Fine\r\nX: y\r\n\r\nhello", None),
]


@BOTH_CUTS
@pytest.mark.parametrize(
    ("data", "body"), [row[1:] for row in FRAMINGS], ids=[row[0] for row in FRAMINGS]
)
def test_response_body_by_framing(data: bytes, body: bytes | None, cut: Cut) -> None:
    """Each framing ends where it says; what has no end is what came until the stream's."""
    response = response_to_get(cut(data))
    if body is None:
        assert response is None
        response = response_to_get([*cut(data), None])
        body = data.rpartition(b"\n")[2]
    assert response is not None
    assert response.headers["x"] == "y"
    assert response.body == body


@BOTH_CUTS
@pytest.mark.parametrize(
    "framing", [b"Content-Length: 1000\r\n", b"Transfer-Encoding: chunked\r\n", b""]
)
def test_response_body_is_bounded(framing: bytes, cut: Cut) -> None:
    """A body is cut off at the limit, without waiting for its end."""
    body = b"3e8\r\n" + b"x" * 1000 if b"chunked" in framing else b"x" * 1000
    limits = Limits(max_error_body=100)
    response = response_to_get(cut(OK + framing + b"\r\n" + body), limits)
    assert response is not None
    assert response.body == b"x" * (95 if b"chunked" in framing else 100)


@BOTH_CUTS
@pytest.mark.parametrize("size", [99, 100])
def test_response_body_up_to_the_limit(size: int, cut: Cut) -> None:
    """A body that fits is whole."""
    data = OK + b"Content-Length: %d\r\n\r\n" % size + b"x" * size
    response = response_to_get(cut(data), Limits(max_error_body=100))
    assert response is not None
    assert response.body == b"x" * size


@BOTH_CUTS
def test_response_after_interim_ones(cut: Cut) -> None:
    """Interim responses are skipped: the final one is the answer."""
    interim = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n"
    response = response_to_get(cut(interim + OK + b"Content-Length: 0\r\n\r\n"))
    assert response is not None
    assert (response.status, response.reason) == (200, "Fine")


@BOTH_CUTS
def test_response_that_switches_protocols(cut: Cut) -> None:
    """A response 101 is the last in HTTP: what follows it is not looked at."""
    asking = Request("GET", "/", Headers({"Host": "a", "Connection": "upgrade", "Upgrade": "x"}))
    reader, chunks = ResponseReader(asking, Limits()), cut(SWITCH + b"HTTP/1.1 200")
    found = [r for r in map(reader.receive, chunks[: len(SWITCH)]) if r is not None]
    assert [(response.status, response.headers["upgrade"]) for response in found] == [(101, "x")]
    assert b"HTTP/1.1 200".startswith(reader.take_rest())


def test_response_with_bytes_beyond_ascii() -> None:
    """Reason and values are Latin-1, which no byte is beyond."""
    response = response_to_get([b"HTTP/1.1 404 \xe9\r\nX: \xff\r\nContent-Length: 0\r\n\r\n"])
    assert response is not None
    assert (response.reason, response.headers["x"]) == ("é", "\xff")


@BOTH_CUTS
@pytest.mark.parametrize(
    "data",
    [
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/1.1 099 x\r\n\r\n",
        b"HTTP/1.1 1234 x\r\n\r\n",
        b"HTTP/11 200 OK\r\n\r\n",
        b"HTTP/1.0 100 Continue\r\n\r\n",
        b"HTTP/1.0 101 Switching Protocols\r\n\r\n",
        b"HTTP/2.0 101 Switching Protocols\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",  # nobody asked for it
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
        OK,
        b"",
    ],
)
def test_response_that_is_none(data: bytes, cut: Cut) -> None:
    """What is no response to our request is told at once, at the latest at the stream's end."""
    with pytest.raises(BadMessage):
        response_to_get([*cut(data), None])


def test_response_reader_survives_what_its_parser_does_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Should h11 leak another exception one day, a peer's bytes still do not raise it."""

    def broken(_: h11.Connection) -> None:
        raise UnicodeDecodeError("idna", b"\xff", 0, 1, "a bug")

    reader = ResponseReader(GET, Limits())
    monkeypatch.setattr(h11.Connection, "next_event", broken)
    with pytest.raises(BadMessage, match="not valid"):
        reader.receive(OK + b"\r\n")
