"""The oracle of the opening handshake: what it reads, what it refuses, what it writes."""

import pytest

from trio_ws.testing import Head, Violation, upgrade_request, upgrade_response
from trio_ws.testing._upgrade import (
    MAX_HEAD,
    SAMPLE_KEY,
    accept_value,
    build_head,
    check_upgrade_request,
    check_upgrade_response,
    parse_head,
)

RIGHT_REQUEST = [
    ("Host", "localhost"),
    ("Upgrade", "websocket"),
    ("Connection", "Upgrade"),
    ("Sec-WebSocket-Key", SAMPLE_KEY),
    ("Sec-WebSocket-Version", "13"),
]
RIGHT_RESPONSE = [
    ("Upgrade", "websocket"),
    ("Connection", "Upgrade"),
    ("Sec-WebSocket-Accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
]

Pairs = list[tuple[str, str]]


def changed(pairs: Pairs, **changes: list[str]) -> Pairs:
    """Return the headers with other values for some names, written with underscores."""
    names = {name.replace("_", "-"): values for name, values in changes.items()}
    kept = [(name, value) for name, value in pairs if name not in names]
    return kept + [(name, value) for name, values in names.items() for value in values]


def read(wire: bytes) -> Head:
    """Return the one head that these bytes are."""
    found = parse_head(wire)
    assert found is not None
    head, size = found
    assert size == len(wire)
    return head


# Heads


def test_head_is_read_as_it_was_written() -> None:
    """The start line, and headers in their order with their names as they are."""
    head = read(b"GET /chat?a=b HTTP/1.1\r\nHost: x\r\nB:  two words \t\r\na:1\r\nb:\r\n\r\n")
    assert head.start == "GET /chat?a=b HTTP/1.1"
    assert head.headers == (("Host", "x"), ("B", "two words"), ("a", "1"), ("b", ""))
    assert head.values("b") == ["two words", ""]
    assert head.values("missing") == []
    assert (head.target, head.status) == ("/chat?a=b", None)


def test_head_of_a_response_has_a_status() -> None:
    """And no target; what follows the head is left alone."""
    found = parse_head(b"HTTP/1.1 404 \r\nA: 1, 2\r\na: 3\r\n\r\nbody")
    assert found is not None
    head, size = found
    assert size == len(b"HTTP/1.1 404 \r\nA: 1, 2\r\na: 3\r\n\r\n")
    assert (head.target, head.status) == (None, 404)
    assert head.items("a") == ["1", "2", "3"]


def test_head_is_awaited_until_its_last_byte() -> None:
    """Every beginning of it is unfinished."""
    wire = upgrade_request()
    assert [parse_head(wire[:end]) for end in range(len(wire))] == [None] * len(wire)


def test_head_is_not_awaited_for_ever() -> None:
    """More bytes than any head needs are a violation."""
    assert parse_head(bytes(MAX_HEAD)) is None
    with pytest.raises(Violation, match="head of more than 65536 bytes"):
        parse_head(bytes(MAX_HEAD + 1))


@pytest.mark.parametrize(
    "start",
    [
        b"",
        b"GET / HTTP/1.0",
        b"GET / HTTP/2",
        b"GET  / HTTP/1.1",
        b"GET /a b HTTP/1.1",
        b"get / HTTP/1.1",
        b"GET /\xc3\xa9 HTTP/1.1",
        b"GET / HTTP/1.1 ",
        b"HTTP/1.0 101 Switching Protocols",
        b"HTTP/1.1 101",
        b"HTTP/1.1 1010 x",
        b"HTTP/1.1 600 x",
        b"HTTP/1.1 200 O\nK",
        b"\x16\x03\x01",
    ],
)
def test_start_line_is_that_of_a_request_or_a_response(start: bytes) -> None:
    """RFC 9112, sections 3 and 4, in HTTP/1.1."""
    with pytest.raises(Violation, match="neither a request line nor a status line"):
        parse_head(start + b"\r\nHost: x\r\n\r\n")


@pytest.mark.parametrize(
    "line",
    [
        b"no colon",
        b" Folded: x",
        b"Blank : x",
        b": x",
        b"A: x\ny",
        b"A: x\ry",
        b"A: \x00",
        b"\xe9: x",
    ],
)
def test_header_is_a_token_and_a_value(line: bytes) -> None:
    """RFC 9110, section 5."""
    with pytest.raises(Violation, match="malformed header"):
        parse_head(b"GET / HTTP/1.1\r\n" + line + b"\r\n\r\n")


# The request


def test_request_is_right_as_it_is_written() -> None:
    """RFC 6455, section 4.1; more headers come after those it must have."""
    head = read(
        upgrade_request("/chat", host="a.example", headers=[("Origin", "http://b.example")])
    )
    assert check_upgrade_request(head) == SAMPLE_KEY
    assert head.target == "/chat"
    assert head.headers[0] == ("Host", "a.example")
    assert head.headers[-1] == ("Origin", "http://b.example")


@pytest.mark.parametrize(
    "changes",
    [
        {"Upgrade": ["WebSocket"]},
        {"Upgrade": ["h2c, websocket"]},
        {"Connection": ["keep-alive, upgrade"]},
        {"Connection": ["keep-alive", "Upgrade"]},
        {"Sec_WebSocket_Protocol": ["chat, superchat", "other"]},
    ],
)
def test_request_may_vary(changes: dict[str, list[str]]) -> None:
    """Lists may be long or in pieces, tokens in any case."""
    head = read(build_head("GET / HTTP/1.1", changed(RIGHT_REQUEST, **changes)))
    assert check_upgrade_request(head) == SAMPLE_KEY


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"Host": []}, "not exactly one Host header"),
        ({"Host": ["a", "b"]}, "not exactly one Host header"),
        ({"Upgrade": []}, "no websocket in Upgrade"),
        ({"Upgrade": ["websockets"]}, "no websocket in Upgrade"),
        ({"Connection": ["keep-alive"]}, "no upgrade in Connection"),
        ({"Sec_WebSocket_Version": ["8"]}, "Sec-WebSocket-Version is not 13"),
        ({"Sec_WebSocket_Version": ["13", "13"]}, "Sec-WebSocket-Version is not 13"),
        ({"Sec_WebSocket_Key": []}, "not one Sec-WebSocket-Key of 16 bytes"),
        ({"Sec_WebSocket_Key": [SAMPLE_KEY] * 2}, "not one Sec-WebSocket-Key of 16 bytes"),
        ({"Sec_WebSocket_Key": ["AAAA"]}, "not one Sec-WebSocket-Key of 16 bytes"),
        ({"Sec_WebSocket_Key": ["no base64!"]}, "not one Sec-WebSocket-Key of 16 bytes"),
        ({"Sec_WebSocket_Key": ["\xe9" * 24]}, "not one Sec-WebSocket-Key of 16 bytes"),
        ({"Sec_WebSocket_Protocol": ["chat, chat"]}, "empty or repeated subprotocols"),
        ({"Sec_WebSocket_Protocol": ["chat,"]}, "empty or repeated subprotocols"),
    ],
)
def test_request_is_refused(changes: dict[str, list[str]], problem: str) -> None:
    """What RFC 6455, section 4.1 wants is wanted."""
    head = read(build_head("GET / HTTP/1.1", changed(RIGHT_REQUEST, **changes)))
    with pytest.raises(Violation, match=problem) as caught:
        check_upgrade_request(head)
    assert caught.value.data == build_head(head.start, head.headers)


def test_request_is_a_get() -> None:
    """No other method opens a WebSocket."""
    with pytest.raises(Violation, match="the method is not GET"):
        check_upgrade_request(read(build_head("POST / HTTP/1.1", RIGHT_REQUEST)))


# The answer


def test_accept_value_is_that_of_the_rfc() -> None:
    """RFC 6455, section 1.3."""
    assert accept_value(SAMPLE_KEY) == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


def test_response_is_right_as_it_is_written() -> None:
    """RFC 6455, section 4.2.2; more headers come after those it must have."""
    head = read(upgrade_response(headers=[("Server", "test")]))
    check_upgrade_response(head, SAMPLE_KEY, [])
    assert head.headers[-1] == ("Server", "test")


OFFERED = [
    ("Sec-WebSocket-Protocol", "chat, superchat"),
    ("Sec-WebSocket-Extensions", "permessage-deflate; client_max_window_bits"),
]


@pytest.mark.parametrize(
    "changes",
    [
        {"Upgrade": ["WebSocket"], "Connection": ["upgrade"]},
        {"Sec_WebSocket_Protocol": ["superchat"]},
        {"Sec_WebSocket_Extensions": ["permessage-deflate;server_max_window_bits=10"]},
    ],
)
def test_response_may_choose_of_what_was_offered(changes: dict[str, list[str]]) -> None:
    """A subprotocol, an extension, both or none."""
    head = read(build_head("HTTP/1.1 101 ", changed(RIGHT_RESPONSE, **changes)))
    check_upgrade_response(head, SAMPLE_KEY, OFFERED)


@pytest.mark.parametrize(
    ("status", "changes", "problem"),
    [
        (200, {}, "the status is not 101"),
        (101, {"Upgrade": []}, "no websocket in Upgrade"),
        (101, {"Connection": ["close"]}, "no upgrade in Connection"),
        (101, {"Sec_WebSocket_Accept": []}, "wrong Sec-WebSocket-Accept"),
        (101, {"Sec_WebSocket_Accept": ["s3pPLMBiTxaQ9kYGzzhZRbK+xOO="]}, "wrong Sec-WebSocket-Ac"),
        (101, {"Sec_WebSocket_Accept": [accept_value(SAMPLE_KEY)] * 2}, "wrong Sec-WebSocket-Acce"),
        (101, {"Sec_WebSocket_Protocol": ["other"]}, "a subprotocol that was not offered"),
        (101, {"Sec_WebSocket_Protocol": ["chat"] * 2}, "a subprotocol that was not offered"),
        (101, {"Sec_WebSocket_Protocol": ["chat, superchat"]}, "a subprotocol that was not offe"),
        (101, {"Sec_WebSocket_Extensions": ["x-other"]}, "an extension that was not offered"),
    ],
)
def test_response_is_refused(status: int, changes: dict[str, list[str]], problem: str) -> None:
    """What RFC 6455, sections 4.1 and 4.2.2 want is wanted."""
    head = read(build_head(f"HTTP/1.1 {status} x", changed(RIGHT_RESPONSE, **changes)))
    with pytest.raises(Violation, match=problem):
        check_upgrade_response(head, SAMPLE_KEY, OFFERED)
