"""What a hostile peer may send instead of an opening handshake, and what becomes of it.

Sans-I/O: what is answered, what is kept, and that nothing is ever raised.  Each row is one line.
"""

import gc
import random
import tracemalloc
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Any, TypeVar
from unittest.mock import patch

import pytest
from hypothesis import given, strategies as st

from trio_ws._exceptions import ConnectionRejected, HandshakeError
from trio_ws._options import Limits
from trio_ws._url import WebSocketURL
from trio_ws.protocol.handshake import Accept, ClientHandshake, ServerHandshake
from trio_ws.protocol.http import Headers, Response
from trio_ws.protocol.state import State
from trio_ws.testing import build_frame, parse_frames, upgrade_request, upgrade_response
from trio_ws.testing._upgrade import SAMPLE_KEY, build_head, parse_head

KIB = 1024
URL = WebSocketURL(secure=False, host="localhost", port=80, target="/", authorization=None)

Pairs = list[tuple[str, str]]

REQUEST = upgrade_request()
RIGHT: Pairs = [
    ("Host", "localhost"),
    ("Upgrade", "websocket"),
    ("Connection", "Upgrade"),
    ("Sec-WebSocket-Key", SAMPLE_KEY),
    ("Sec-WebSocket-Version", "13"),
]
ANSWER = upgrade_response()


def changed(pairs: Pairs, name: str, *values: str) -> Pairs:
    """Return the headers with these values for a name, in its place; none to leave it out."""
    found: Pairs = []
    for key, value in pairs:
        found += [(name, each) for each in values] if key == name else [(key, value)]
    return found if name in dict(pairs) else found + [(name, each) for each in values]


def request(*changes: tuple[str, ...], start: str = "GET / HTTP/1.1") -> bytes:
    """Return a right request but for these headers, or for its first line."""
    pairs = RIGHT
    for name, *values in changes:
        pairs = changed(pairs, name, *values)
    return build_head(start, pairs)


def response(*changes: tuple[str, ...], start: str = "HTTP/1.1 101 Switching Protocols") -> bytes:
    """Return a right answer but for these headers, or for its first line."""
    found = parse_head(ANSWER)
    assert found is not None
    pairs = list(found[0].headers)
    for name, *values in changes:
        pairs = changed(pairs, name, *values)
    return build_head(start, pairs)


def asked(data: bytes, **options: Any) -> ServerHandshake:
    """Return a server's handshake that has received this."""
    handshake = ServerHandshake(**options)
    handshake.receive_data(data)
    return handshake


def status_of(handshake: ServerHandshake) -> int:
    """Return the status of a server's answer: 101, or that of the refusal as it is on the wire."""
    refusal = handshake.refusal
    wire = handshake.accept() if refusal is None else handshake.reject(refusal)
    found = parse_head(wire)
    assert found is not None
    assert found[0].status is not None
    return found[0].status


def asking(**options: Any) -> ClientHandshake:
    """Return a client's handshake whose key is that of RFC 6455 section 1.3."""
    with patch("trio_ws.protocol._client_handshake.new_key", return_value=SAMPLE_KEY):
        return ClientHandshake(URL, **options)


@contextmanager
def held_at_most(size: int) -> Generator[None]:
    """Fail when the block holds more than so many bytes at any time."""
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        yield
        assert tracemalloc.get_traced_memory()[1] - before <= size
    finally:
        tracemalloc.stop()


def test_right_request_and_answer_are_right() -> None:
    """What the tables below change works unchanged."""
    assert status_of(asked(request())) == 101
    handshake = asking()
    handshake.receive_data(response())
    assert handshake.state is State.OPEN


# H3: huge or endless heads (CVE-2023-43669, CVE-2024-37890)

START = b"GET / HTTP/1.1\r\n"
ENDLESS: list[tuple[str, bytes, bytes, int, int]] = [
    # what it is, the beginning, what is repeated, the size of one read, the status
    ("lines", START, b"X: y\r\n", 4096, 431),
    ("url", b"GET /", b"x", 4096, 414),
    ("value", START + b"X: ", b"y", 4096, 431),
    ("name", START, b"x", 4096, 431),
    ("100k-headers", START, b"X: y\r\n", 600 * KIB, 431),
    ("1-mb-value", START + b"X: ", b"y", 1024 * KIB, 431),
    ("1-mb-url", b"GET /", b"x", 1024 * KIB, 414),
    ("one-byte-lines", START, b"X: y\r\n", 1, 431),
    ("one-byte-value", START + b"X: ", b"y", 1, 431),
]


@pytest.mark.parametrize(
    ("start", "repeated", "size", "status"), [r[1:] for r in ENDLESS], ids=[r[0] for r in ENDLESS]
)
def test_h3_endless_head(start: bytes, repeated: bytes, size: int, status: int) -> None:
    """It is refused when the limit is passed: at once where it comes at once, within 20 KiB."""
    handshake, fed = ServerHandshake(), 0
    stream = start + repeated * (1024 * KIB // len(repeated))
    while handshake.refusal is None:
        handshake.receive_data(stream[fed : fed + size])
        fed += size
    assert fed <= max(20 * KIB, size)
    assert handshake.request is None
    assert status_of(handshake) == status


@pytest.mark.parametrize("whole", [b"X: " + b"y" * 20 * KIB + b"\r\n", b"X: y\r\n" * 101])
def test_h3_complete_head_over_the_limits(whole: bytes) -> None:
    """A head in one piece gets no more than one in many: h11 would take it."""
    assert status_of(asked(REQUEST[:-2] + whole + b"\r\n" + b"frames")) == 431


def test_h3_head_of_one_line_over_and_over() -> None:
    """As many bytes as allowed, in reads of one byte, are looked at about once each."""
    handshake = ServerHandshake()
    head = REQUEST[:-2] + b"X: " + b"y" * (16 * KIB - len(REQUEST) - 5) + b"\r\n\r\n"
    for index in range(len(head)):
        handshake.receive_data(head[index : index + 1])
    assert len(head) == 16 * KIB
    assert status_of(handshake) == 101


# H4: data pushed while the application decides


def test_h4_flood_while_the_application_decides() -> None:
    """A caller that reads on nevertheless keeps no more than the limit."""
    handshake = asked(REQUEST)
    chunk = bytes(4096)
    with held_at_most(300 * KIB):
        for _ in range(1000):
            handshake.receive_data(chunk)
    assert status_of(handshake) == 400


# H5: frames behind the request

FRAME = build_frame(1, b"hello", mask_key=b"abcd")


@pytest.mark.parametrize("cut", range(len(FRAME) + 1))
def test_h5_frame_behind_the_request(cut: int) -> None:
    """Not a byte is lost, wherever the segment ends."""
    handshake = asked(REQUEST + FRAME[:cut])
    kept = handshake.trailing_data + FRAME[cut:]
    frames, rest = parse_frames(kept, masked=True)
    assert status_of(handshake) == 101
    assert [frame.payload for frame in frames] == [b"hello"]
    assert rest == b""


# H6: bytes beyond ASCII

INTERPRETED = [
    *("Host", "Upgrade", "Connection", "Sec-WebSocket-Key", "Sec-WebSocket-Version"),
    *("Sec-WebSocket-Protocol", "Sec-WebSocket-Extensions", "Sec-WebSocket-Foo"),
]


@pytest.mark.parametrize("byte", ["\x80", "\xa0", "\xc0", "\xff"])
@pytest.mark.parametrize("name", INTERPRETED)
def test_h6_bytes_beyond_ascii_in_what_is_interpreted(name: str, byte: str) -> None:
    """In any place of any header that the handshake goes by: 400."""
    right = dict(RIGHT).get(name, "chat")
    for value in (byte, byte + right, right + byte, f"{right}, {byte}"):
        assert status_of(asked(request((name, value)))) == 400, value


@pytest.mark.parametrize("host", ["xn--", "xn--.example", "a..b", ".", ".a", "a" * 64, "\xff.b"])
def test_h6_malformed_host(host: str) -> None:
    """Labels that no name has: 400, where a decoder of names would raise."""
    assert status_of(asked(request(("Host", host)))) == 400


def test_h6_bytes_beyond_ascii_elsewhere() -> None:
    """What nobody here interprets is passed on, one character a byte."""
    handshake = asked(request(("Cookie", "a=\xc3\xa9\xff")))
    assert handshake.request is not None
    assert handshake.request.headers["cookie"].encode("latin-1") == b"a=\xc3\xa9\xff"
    assert status_of(handshake) == 101


def test_h6_random_headers_never_raise() -> None:
    """10,000 requests with garbage in their headers are all answered."""
    rng = random.Random(6)
    for _ in range(10_000):
        name = rng.choice([*INTERPRETED, "Origin", "Content-Length", "Transfer-Encoding", "X"])
        value = rng.randbytes(rng.randrange(8)).decode("latin-1")
        assert status_of(asked(request((name, value)))) in {101, 400, 403, 426}


# H7: a table of requests

REQUESTS: list[tuple[str, bytes, int]] = [
    # The request line.
    ("post", request(start="POST / HTTP/1.1"), 405),
    ("put", request(start="PUT / HTTP/1.1"), 405),
    ("options", request(start="OPTIONS * HTTP/1.1"), 405),
    ("connect", request(start="CONNECT a:80 HTTP/1.1"), 405),
    ("lower-case-get", request(start="get / HTTP/1.1"), 405),
    ("head", request(start="HEAD / HTTP/1.1"), 426),
    ("http/1.0", request(start="GET / HTTP/1.0"), 505),
    ("http/1.2", request(start="GET / HTTP/1.2"), 505),
    ("http/2.0", request(start="GET / HTTP/2.0"), 505),
    ("http/2-preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    ("http/0.9", b"GET /\r\n\r\n", 400),
    ("no-version", request(start="GET / "), 400),
    ("two-spaces", request(start="GET  / HTTP/1.1"), 400),
    ("lower-case-http", request(start="GET / http/1.1"), 400),
    ("target-asterisk", request(start="GET * HTTP/1.1"), 400),
    ("target-relative", request(start="GET foo HTTP/1.1"), 400),
    ("target-absolute", request(start="GET http://evil/ HTTP/1.1"), 400),
    ("target-fragment", request(start="GET /a#b HTTP/1.1"), 400),
    ("target-with-space", request(start="GET /a b HTTP/1.1"), 400),
    ("target-beyond-ascii", request(start="GET /\xff HTTP/1.1"), 400),
    # Host.
    ("no-host", request(("Host",)), 400),
    ("two-hosts", request(("Host", "localhost", "localhost")), 400),
    ("empty-host", request(("Host", "")), 400),
    ("host-with-path", request(("Host", "localhost/")), 400),
    ("host-with-user", request(("Host", "a@localhost")), 400),
    ("host-list", request(("Host", "a, b")), 400),
    ("host-bad-port", request(("Host", "localhost:99999")), 400),
    # Upgrade and Connection: without them it is an ordinary GET.
    ("no-upgrade", request(("Upgrade",)), 426),
    ("upgrade-h2c", request(("Upgrade", "h2c")), 426),
    ("upgrade-list", request(("Upgrade", "h2c, websocket")), 101),
    ("upgrade-lines", request(("Upgrade", "h2c", "WebSocket")), 101),
    ("no-connection", request(("Connection",)), 426),
    ("connection-close", request(("Connection", "close")), 426),
    ("connection-list", request(("Connection", "keep-alive, Upgrade")), 101),
    ("connection-lines-first", request(("Connection", "Upgrade", "keep-alive")), 101),
    ("connection-lines-last", request(("Connection", "keep-alive", "uPGRADE")), 101),
    ("connection-substring", request(("Connection", "upgraded")), 426),
    # Key.
    ("no-key", request(("Sec-WebSocket-Key",)), 400),
    ("empty-key", request(("Sec-WebSocket-Key", "")), 400),
    ("two-keys", request(("Sec-WebSocket-Key", SAMPLE_KEY, SAMPLE_KEY)), 400),
    ("key-list", request(("Sec-WebSocket-Key", f"{SAMPLE_KEY}, {SAMPLE_KEY}")), 400),
    ("key-15-bytes", request(("Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAA")), 400),
    ("key-17-bytes", request(("Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAAA=")), 400),
    ("key-no-base64", request(("Sec-WebSocket-Key", "!" * 22 + "==")), 400),
    ("key-no-padding", request(("Sec-WebSocket-Key", SAMPLE_KEY[:-2])), 400),
    ("key-5000-bytes", request(("Sec-WebSocket-Key", "A" * 5000)), 400),
    # Version: whoever speaks another is told ours, whatever else is wrong.
    ("no-version-header", request(("Sec-WebSocket-Version",)), 426),
    ("version-8", request(("Sec-WebSocket-Version", "8")), 426),
    ("version-8-and-no-key", request(("Sec-WebSocket-Version", "8"), ("Sec-WebSocket-Key",)), 426),
    ("version-14", request(("Sec-WebSocket-Version", "14")), 426),
    ("version-013", request(("Sec-WebSocket-Version", "013")), 426),
    ("version-list", request(("Sec-WebSocket-Version", "13, 8")), 426),
    ("version-8-then-13", request(("Sec-WebSocket-Version", "8", "13")), 426),
    ("version-13-twice", request(("Sec-WebSocket-Version", "13", "13")), 426),
    # Subprotocols.
    ("protocols", request(("Sec-WebSocket-Protocol", "a, b", "c")), 101),
    ("protocols-empty", request(("Sec-WebSocket-Protocol", "")), 400),
    ("protocols-only-commas", request(("Sec-WebSocket-Protocol", ", ,")), 400),
    ("protocols-empty-member", request(("Sec-WebSocket-Protocol", "a,,b")), 101),
    ("protocols-twice", request(("Sec-WebSocket-Protocol", "a, b", "a")), 400),
    ("protocols-no-token", request(("Sec-WebSocket-Protocol", "a b")), 400),
    ("protocols-quoted", request(("Sec-WebSocket-Protocol", '"a"')), 400),
    # Extensions: ours to ignore.
    ("extensions-unknown", request(("Sec-WebSocket-Extensions", "foo; a=b")), 101),
    ("extensions-malformed", request(("Sec-WebSocket-Extensions", ';;=,"')), 101),
    # Bodies.
    ("content-length-0", request(("Content-Length", "0")), 101),
    ("content-length-0-twice", request(("Content-Length", "0", "0")), 101),
    ("content-length-10", request(("Content-Length", "10")) + b"0123456789", 400),
    ("content-length-00", request(("Content-Length", "00")), 400),
    ("content-length-bad", request(("Content-Length", "-1")), 400),
    ("content-length-two", request(("Content-Length", "0", "5")), 400),
    ("chunked", request(("Transfer-Encoding", "chunked")) + b"0\r\n\r\n", 400),
    ("plain-with-body", request(("Upgrade",), ("Content-Length", "3")) + b"abc", 400),
    # Origin.
    ("two-origins", request(("Origin", "http://localhost", "http://localhost")), 400),
]


@pytest.mark.parametrize(
    ("data", "status"), [row[1:] for row in REQUESTS], ids=[row[0] for row in REQUESTS]
)
def test_h7_request(data: bytes, status: int) -> None:
    """Each request has its status; nothing but an accepted one leaves bytes for frames."""
    handshake = asked(data)
    assert status_of(handshake) == status
    assert handshake.state is (State.OPEN if status == 101 else State.CLOSED)
    assert handshake.trailing_data == b""


@pytest.mark.parametrize(
    ("data", "name", "value"),
    [
        (request(("Sec-WebSocket-Version", "8")), "Sec-WebSocket-Version", "13"),
        (request(("Sec-WebSocket-Version", "8")), "Upgrade", "websocket"),
        (request(("Upgrade",)), "Upgrade", "websocket"),
        (request(start="POST / HTTP/1.1"), "Allow", "GET, HEAD"),
    ],
)
def test_h7_refusal_says_what_would_do(data: bytes, name: str, value: str) -> None:
    """426 and 405 carry what RFC 9110 and RFC 6455 want with them."""
    refusal = asked(data).refusal
    assert refusal is not None
    assert refusal.headers[name] == value


@pytest.mark.parametrize("data", [row[1] for row in REQUESTS], ids=[row[0] for row in REQUESTS])
def test_h7_one_byte_at_a_time(data: bytes) -> None:
    """The statuses are the same for a client that dribbles."""
    handshake = ServerHandshake()
    for index in range(len(data)):
        handshake.receive_data(data[index : index + 1])
    assert status_of(handshake) == status_of(asked(data))


def test_h7_refusal_quotes_nothing() -> None:
    """No byte of the peer's comes back: there is nothing to inject into."""
    for _, data, _ in REQUESTS:
        refusal = asked(data.replace(b"localhost", b"<script>")).refusal
        assert refusal is None or b"<" not in refusal.body


# H8: request smuggling (CVE-2025-43859)

BODY = b"GET /secret HTTP/1.1\r\nHost: a\r\n\r\n"
SMUGGLED: list[tuple[str, bytes]] = [
    ("te", request(("Transfer-Encoding", "chunked"))),
    ("te-twice", request(("Transfer-Encoding", "chunked", "identity"))),
    ("te-upper", request(("Transfer-Encoding", "CHUNKED"))),
    ("te-unknown", request(("Transfer-Encoding", "gzip"))),
    ("te-x", request(("Transfer-Encoding", "\x0bchunked"))),
    ("te-space-before-colon", request(("Transfer-Encoding ", "chunked"))),
    ("te-and-cl", request(("Transfer-Encoding", "chunked"), ("Content-Length", "0"))),
    ("cl", request(("Content-Length", str(len(BODY))))),
    ("cl-list", request(("Content-Length", "0, 5"))),
    ("cl-plus", request(("Content-Length", "+5"))),
    ("cl-hex", request(("Content-Length", "0x5"))),
    ("cl-no-digits", request(("Content-Length", ""))),
    ("bare-lf", REQUEST.replace(b"\r\n", b"\n")),
    ("bare-lf-one-line", REQUEST.replace(b"localhost\r\n", b"localhost\n")),
    ("bare-lf-end", REQUEST[:-2] + b"\n"),
    ("bare-cr", REQUEST.replace(b"localhost\r\n", b"localhost\rX: y\r\n")),
    ("obs-fold", REQUEST.replace(b"localhost\r\n", b"localhost\r\n X: y\r\n")),
    ("obs-fold-tab", REQUEST.replace(b"localhost\r\n", b"localhost\r\n\tX: y\r\n")),
    ("obs-fold-first", REQUEST.replace(b"Host", b" Host")),
    ("nul", REQUEST.replace(b"localhost", b"local\0host")),
    ("leading-line", b"\r\n" + REQUEST),
    ("no-colon", REQUEST.replace(b"Host:", b"Host")),
    ("space-before-colon", REQUEST.replace(b"Host:", b"Host :")),
    ("empty-name", REQUEST.replace(b"Host:", b":")),
]


@pytest.mark.parametrize("data", [r[1] for r in SMUGGLED], ids=[r[0] for r in SMUGGLED])
def test_h8_request_that_others_read_differently(data: bytes) -> None:
    """400, and what might be a body to somebody else is not even kept."""
    handshake = asked(data + BODY)
    assert handshake.refusal is not None
    assert (handshake.refusal.status, handshake.request, handshake.trailing_data) == (
        400,
        None,
        b"",
    )
    wire = handshake.reject(handshake.refusal)
    assert b"\r\nConnection: close\r\n" in wire
    handshake.receive_data(BODY)
    assert handshake.trailing_data == b""


# H10: injection through what an application hands in

TEXT = st.text(
    st.characters(codec="utf-8") | st.sampled_from('\r\n\0 \t,:;"\x80\xff\udcff'), max_size=8
)
NAMES = TEXT | st.sampled_from(["Host", "Origin", "X", "Upgrade", "Content-Length", "Expect"])
PAIRS = st.lists(st.tuples(NAMES, TEXT), max_size=3)

T = TypeVar("T")


def made(make: Callable[[], T]) -> T | None:
    """Return what is made, ``None`` where that is refused by a ``ValueError`` of ours."""
    try:
        return make()
    except UnicodeError:  # not ours: it came from further down
        raise
    except ValueError:
        return None


@given(
    url=st.builds(
        WebSocketURL,
        secure=st.booleans(),
        host=TEXT | st.just("localhost"),
        port=st.integers(1, 65535),
        target=TEXT.map("/".__add__),
        authorization=TEXT | st.none(),
    )
    | st.just(URL),
    subprotocols=st.lists(TEXT, max_size=3),
    headers=PAIRS,
    origin=TEXT | st.none(),
)
def test_h10_client_sends_what_it_was_given_or_nothing(
    url: WebSocketURL, subprotocols: list[str], headers: Pairs, origin: str | None
) -> None:
    """Either a ``ValueError`` of ours, or bytes that read back as exactly the same fields."""
    handshake = made(
        lambda: ClientHandshake(url, subprotocols=subprotocols, headers=headers, origin=origin)
    )
    if handshake is None:
        return
    wire = handshake.data_to_send()
    found = parse_head(wire)
    assert found is not None
    head, size = found
    assert size == len(wire)
    assert head.headers == handshake.request.headers.pairs
    assert head.target == url.target
    assert set(headers) <= set(head.headers)
    assert subprotocols == (head.items("Sec-WebSocket-Protocol") if subprotocols else [])
    assert origin is None or head.values("Origin") == [origin]


@given(
    status=st.integers(0, 1000),
    headers=PAIRS,
    body=st.text(st.characters(codec="utf-8"), max_size=8) | st.binary(max_size=8),
    reason=TEXT,
)
def test_h10_server_answers_what_it_was_given_or_nothing(
    status: int, headers: Pairs, body: str | bytes, reason: str
) -> None:
    """The same for a response."""
    answer = made(lambda: Response(status, headers, body, reason))
    if answer is None:
        return
    wire = asked(REQUEST).reject(answer)
    found = parse_head(wire)
    assert found is not None
    head, size = found
    assert head.start == f"HTTP/1.1 {status} {answer.reason}"
    assert set(headers) <= set(head.headers)
    assert wire[size:] == (body.encode() if isinstance(body, str) else body)


@given(subprotocol=TEXT | st.just("chat"), headers=PAIRS)
def test_h10_server_accepts_with_what_it_was_given_or_not(subprotocol: str, headers: Pairs) -> None:
    """The same for an accepting answer."""
    handshake = asked(request(("Sec-WebSocket-Protocol", "chat")))
    wire = made(lambda: handshake.accept(Accept(subprotocol, headers)))
    if wire is None:
        return
    found = parse_head(wire)
    assert found is not None
    assert found[1] == len(wire)
    assert found[0].headers[3:] == (("Sec-WebSocket-Protocol", "chat"), *headers)


# H11: cross-site WebSocket hijacking

ORIGINS: list[tuple[str, str | None, int]] = [
    ("absent", None, 101),
    ("same", "http://shop.example", 101),
    ("same-https", "https://shop.example", 101),
    ("upper-case", "HTTPS://SHOP.example", 101),
    ("null", "null", 403),
    ("other-host", "https://evil.example", 403),
    ("other-port", "https://shop.example:8443", 403),
    ("prefix-trick", "https://evil-shop.example", 403),
    ("suffix-trick", "https://shop.example.evil.example", 403),
    ("subdomain", "https://user.shop.example", 403),
    ("user-info-trick", "https://shop.example@evil.example", 403),
    ("path-trick", "https://evil.example/shop.example", 403),
    ("idn", "https://xn--shp-1na.example", 403),
    ("beyond-ascii", "https://sh\xf6p.example", 403),
    ("empty", "", 403),
]


@pytest.mark.parametrize(
    ("origin", "status"), [row[1:] for row in ORIGINS], ids=[row[0] for row in ORIGINS]
)
def test_h11_origin(origin: str | None, status: int) -> None:
    """Pages of other origins may not connect; programs without an Origin may."""
    changes = [("Host", "shop.example")] + ([("Origin", origin)] if origin is not None else [])
    handshake = asked(request(*changes))
    assert handshake.request is not None
    assert handshake.request.is_upgrade
    assert status_of(handshake) == status


# H12: answers that are none

BAD_ANSWERS: list[tuple[str, bytes, str]] = [
    ("no-accept", response(("Sec-WebSocket-Accept",)), "Accept"),
    ("wrong-accept", response(("Sec-WebSocket-Accept", "x")), "Accept"),
    ("accept-of-another-key", upgrade_response("A" * 22 + "=="), "Accept"),
    ("accept-lower", ANSWER.replace(b"s3pPLMBiTxaQ9k", b"s3pplmbitxaq9k"), "Accept"),
    (
        "two-accepts",
        response(("Sec-WebSocket-Accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", "x")),
        "Accept",
    ),
    (
        "right-accept-twice",
        response(("Sec-WebSocket-Accept", *["s3pPLMBiTxaQ9kYGzzhZRbK+xOo="] * 2)),
        "Accept",
    ),
    ("accept-beyond-ascii", response(("Sec-WebSocket-Accept", "\xff")), "Accept"),
    ("no-upgrade", response(("Upgrade",)), "Upgrade header"),
    ("upgrade-h2c", response(("Upgrade", "h2c")), "Upgrade header"),
    ("upgrade-list", response(("Upgrade", "h2c, websocket")), "Upgrade header"),
    ("upgrade-beyond-ascii", response(("Upgrade", "websocket\xff")), "Upgrade header"),
    ("no-connection", response(("Connection",)), "Connection header"),
    ("connection-close", response(("Connection", "close")), "Connection header"),
    ("protocol-unoffered", response(("Sec-WebSocket-Protocol", "c")), "subprotocol 'c'"),
    ("protocol-case", response(("Sec-WebSocket-Protocol", "A")), "subprotocol 'A'"),
    ("protocol-empty", response(("Sec-WebSocket-Protocol", "")), "subprotocol ''"),
    ("protocol-list", response(("Sec-WebSocket-Protocol", "a, b")), "subprotocol 'a, b'"),
    ("protocol-twice", response(("Sec-WebSocket-Protocol", "a", "b")), "subprotocol"),
    ("protocol-beyond-ascii", response(("Sec-WebSocket-Protocol", "\xff")), "subprotocol"),
    ("extension", response(("Sec-WebSocket-Extensions", "permessage-deflate")), "extension"),
    ("extension-later", response(("Sec-WebSocket-Extensions", "", "x")), "extension 'x'"),
    ("chunked", response(("Transfer-Encoding", "chunked")), "body"),
    ("content-length", response(("Content-Length", "5")), "body"),
    ("http/1.0", response(start="HTTP/1.0 101 Switching Protocols"), "version of HTTP"),
    ("http/2.0", response(start="HTTP/2.0 101 Switching Protocols"), "version of HTTP"),
    ("bare-lf", ANSWER.replace(b"\r\n", b"\n"), "malformed"),
    ("obs-fold", ANSWER.replace(b"Upgrade: ", b"Upgrade:\r\n "), "malformed"),
    ("nul", ANSWER.replace(b"websocket", b"web\0socket"), "malformed"),
    ("no-status", response(start="HTTP/1.1"), "not valid"),
    ("status-of-2-digits", response(start="HTTP/1.1 10 x"), "not valid"),
    ("request", REQUEST, "not HTTP"),
    ("tls-alert", b"\x15\x03\x01\x00\x02\x02\x46", "not HTTP"),
    ("leading-line", b"\r\n" + ANSWER, "not HTTP"),
]


@pytest.mark.parametrize("cut", [4096, 1], ids=["whole", "bytes"])
@pytest.mark.parametrize(
    ("data", "message"), [row[1:] for row in BAD_ANSWERS], ids=[row[0] for row in BAD_ANSWERS]
)
def test_h12_answer_that_is_none(data: bytes, message: str, cut: int) -> None:
    """A ``HandshakeError`` that says what is wrong; nothing is sent, nothing behind it kept."""
    handshake = asking(subprotocols=["a", "b"])
    handshake.data_to_send()
    for start in range(0, len(data), cut):
        handshake.receive_data(data[start : start + cut])
    handshake.receive_data(b"frames")
    assert handshake.state is State.CLOSED
    assert type(handshake.error) is HandshakeError
    assert message in str(handshake.error)
    assert str(handshake.error).isprintable()
    assert handshake.response is handshake.subprotocol is None
    assert (handshake.trailing_data, handshake.data_to_send()) == (b"", b"")


# H13: endless answers


def endless(*parts: bytes) -> Iterator[bytes]:
    """Return reads of a stream that repeats its last part for ever."""
    yield from parts
    while True:
        yield parts[-1]


HINTS = b"HTTP/1.1 103 Early Hints\r\n" + b"Link: x\r\n" * 9 + b"\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
ENDLESS_ANSWERS: list[tuple[str, tuple[bytes, ...], type[HandshakeError]]] = [
    ("interim", (CONTINUE,), HandshakeError),
    ("interim-in-one-read", (CONTINUE * 40_000,), HandshakeError),
    (
        "early-hints",
        (b"HTTP/1.1 103 Hints\r\n" + b"Link: x\r\n" * 9 + b"\r\n",),
        HandshakeError,
    ),
    ("head", (b"HTTP/1.1 101 Go\r\n", b"X: y\r\n"), HandshakeError),
    ("status-line", (b"HTTP/1.1 101 ", b"x" * 100), HandshakeError),
    ("banner", (b"SSH-2.0-OpenSSH_9.6\r\n", b"x"), HandshakeError),
    ("error-body", (b"HTTP/1.1 500 x\r\n\r\n", b"x" * 4096), ConnectionRejected),
    (
        "error-body-with-length",
        (b"HTTP/1.1 500 x\r\nContent-Length: 99999999999999999999\r\n\r\n", b"x" * 4096),
        ConnectionRejected,
    ),
    (
        "error-body-chunked",
        (b"HTTP/1.1 500 x\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n" * 700),
        ConnectionRejected,
    ),
    (
        "error-body-of-chunk-extensions",
        (b"HTTP/1.1 500 x\r\nTransfer-Encoding: chunked\r\n\r\n1;", b"x" * 4096),
        ConnectionRejected,
    ),
    (
        "error-body-of-trailers",
        (b"HTTP/1.1 500 x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", b"X: y\r\n" * 700),
        ConnectionRejected,
    ),
]


@pytest.mark.parametrize(
    ("parts", "error"),
    [row[1:] for row in ENDLESS_ANSWERS],
    ids=[row[0] for row in ENDLESS_ANSWERS],
)
def test_h13_endless_answer(parts: tuple[bytes, ...], error: type[HandshakeError]) -> None:
    """It ends within the limits, however it is endless."""
    handshake, reads, fed = asking(), endless(*parts), list[int]()
    while handshake.state is State.CONNECTING:
        data = next(reads)
        handshake.receive_data(data)
        fed.append(len(data))
    assert type(handshake.error) is error
    assert len(fed) == 1 or sum(fed) <= 100 * KIB
    if isinstance(handshake.error, ConnectionRejected):
        assert len(handshake.error.response.body) <= 64 * KIB


def test_h13_endless_answer_holds_little() -> None:
    """What is held meanwhile is of the size of the limits."""
    limits = Limits(max_error_body=1024)
    handshake = asking(limits=limits)
    with held_at_most(64 * KIB):
        for data in islice(endless(b"HTTP/1.1 500 x\r\n\r\n", b"x" * 4096), 1000):
            handshake.receive_data(data)
    assert isinstance(handshake.error, ConnectionRejected)
    assert handshake.error.response.headers == Headers()


# What is left of a handshake that failed


def asked_and_gone(data: bytes) -> None:
    """Make a server's handshake of this, and let go of it."""
    asked(data)


def answered_and_gone(data: bytes) -> None:
    """Make a client's handshake with this answer, and let go of it."""
    ClientHandshake(URL).receive_data(data)


MALFORMED = [
    *[(f"H7-{row[0]}", asked_and_gone, row[1]) for row in REQUESTS],
    *[(f"H8-{row[0]}", asked_and_gone, row[1]) for row in SMUGGLED],
    *[(f"H12-{row[0]}", answered_and_gone, row[1]) for row in BAD_ANSWERS],
]


@pytest.mark.parametrize(
    ("receive", "data"), [row[1:] for row in MALFORMED], ids=[row[0] for row in MALFORMED]
)
def test_handshake_leaves_no_cycle(receive: Callable[[bytes], None], data: bytes) -> None:
    """S7: a malformed head is not kept until the garbage collector comes."""
    gc.collect()
    gc.disable()
    try:
        receive(data)
        assert gc.collect() == 0
    finally:
        gc.enable()
