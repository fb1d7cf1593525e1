"""Opening handshakes for `tests.differential_handshakes`: requests and answers, right or wrong.

A case is made of its number and nothing else, so that one that fails can be run again.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from tests.lane_cases import Peer
from trio_ws.protocol.state import Role
from trio_ws.testing._upgrade import SAMPLE_KEY, accept_value, build_head

Pairs = list[tuple[str, str]]

REQUEST: Final = [
    ("Host", "localhost"),
    ("Upgrade", "websocket"),
    ("Connection", "Upgrade"),
    ("Sec-WebSocket-Key", SAMPLE_KEY),
    ("Sec-WebSocket-Version", "13"),
]
ANSWER: Final = [
    ("Upgrade", "websocket"),
    ("Connection", "Upgrade"),
    ("Sec-WebSocket-Accept", accept_value(SAMPLE_KEY)),
]
REQUEST_LINES: Final = [
    *("GET /a/b?c=d HTTP/1.1", "GET / HTTP/1.0", "HEAD / HTTP/1.1", "POST / HTTP/1.1"),
    *("get / HTTP/1.1", "GET  / HTTP/1.1", "GET http://localhost/ HTTP/1.1", "GET * HTTP/1.1"),
    *("GET / HTTP/1.1 ", "GET /#a HTTP/1.1", "GET /\xe9 HTTP/1.1", "GET / http/1.1", "GET /", ""),
    *("GET / HTTP/2.0", "\x16\x03\x01"),
]
STATUS_LINES: Final = [
    *(
        "HTTP/1.1 200 OK",
        "HTTP/1.1 404 Not Found",
        "HTTP/1.1 101",
        "HTTP/1.1 101 ",
        "HTTP/1.1 204 X",
    ),
    *("HTTP/1.0 101 Switching Protocols", "HTTP/1.0 500 No", "HTTP/2 101 No", "HTTP/1.1 302 Found"),
    *("HTTP/1.1 99 No", "HTTP/1.1 600 No", "HTTP/1.1 1010 No", "http/1.1 101 No", "SSH-2.0-x", ""),
    *("HTTP/1.1 102 Processing", "HTTP/1.1 304 Not Modified", "HTTP/1.1 503 \xe9"),
]
# Of the headers that matter, what else they might say.
VALUES: Final[dict[str, list[str]]] = {
    "Host": ["example.com:8080", "[::1]", "a b", "", "a:b", "user@host", "localhost, localhost"],
    "Upgrade": [
        "WebSocket",
        "websocket, h2c",
        "h2c",
        "",
        "web socket",
        "websocket/13",
        ",websocket",
    ],
    "Connection": [
        "keep-alive, Upgrade",
        "upgrade,",
        "close",
        "",
        "Up grade",
        "Upgrade;a=b",
        ", Upgrade",
    ],
    "Sec-WebSocket-Key": [
        "",
        "x",
        SAMPLE_KEY + "x",
        "dGhlIHNhbXBsZSBub25jZR==",
        "AAAA",
        "\xe9" * 24,
    ],
    "Sec-WebSocket-Version": ["12", "13, 8", "", "013", "x"],
    "Sec-WebSocket-Accept": [
        "",
        "x",
        accept_value("x" * 22 + "=="),
        accept_value(SAMPLE_KEY).lower(),
    ],
    "Sec-WebSocket-Protocol": [
        *("chat", "superchat", "superchat, chat", "other", "chat, chat", "", ",", "a b", "Chat"),
        *("other,, chat", '"chat"'),
    ],
    "Sec-WebSocket-Extensions": ["permessage-deflate", "x; a=b, y", "", ";", ", ,", "a b"],
    "Origin": ["http://localhost", "null", "https://evil.example", ""],
    "Content-Length": ["0", "5", "-1", "x", "00", "0, 0", "99999999"],
    "Transfer-Encoding": ["chunked", "identity", "gzip, chunked", ""],
    "X-Any": ["a", "a\tb", "\xe9\xff", "a\x00b", "a\rb", "x" * 3000, " padded "],
}
# How a line might be written.
LINES: Final = [
    *(": value", "Name : value", " folded", "\tfolded", "No colon", "N\xe9: value", "N(): value"),
    *("Name:no space", "Name:", "Name:\x01"),
]
SUBPROTOCOLS: Final = ("chat", "superchat")
INTERIM: Final = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
"""What may come before a server's answer."""


@dataclass(frozen=True)
class HandshakeCase:
    """One opening handshake, and what comes behind it."""

    role: Role
    """Ours: a server gets requests, a client answers."""
    stream: bytes
    reads: tuple[bytes, ...]
    """The stream, cut."""


def _changed(chance: random.Random, pairs: Pairs) -> Pairs:
    """Return the headers with one of them left out, repeated, changed or added."""
    pairs = list(pairs)
    place = chance.randrange(len(pairs) + 1)
    match chance.randrange(8):
        case 0 if place < len(pairs):
            del pairs[place]
        case 1 if place < len(pairs):
            pairs.insert(chance.randrange(len(pairs)), pairs[place])
        case 2 if place < len(pairs):
            name, value = pairs[place]
            pairs[place] = (chance.choice([name.lower(), name.upper()]), value)
        case 3 | 4 | 5 if place < len(pairs):
            name, _ = pairs[place]
            pairs[place] = (name, chance.choice(VALUES.get(name, ["x"])))
        case _:
            name = chance.choice(list(VALUES))
            pairs.insert(place, (name, chance.choice(VALUES[name])))
    return pairs


def _damaged(chance: random.Random, data: bytes) -> bytes:
    """Return a head with something changed in how it is written."""
    where = chance.randrange(len(data))
    match chance.randrange(6):
        case 0:
            return data[:where] + bytes([chance.randrange(256)]) + data[where + 1 :]
        case 1:
            return data[:where] + data[where + 1 :]
        case 2:
            return data[:where] + bytes([chance.choice(b"\r\n \t\0:,;x\xff")]) + data[where:]
        case 3:
            return data.replace(b"\r\n", b"\n", chance.choice([1, -1]))
        case 4:
            line = chance.choice(LINES).encode("latin-1")
            return data.replace(b"\r\n", b"\r\n" + line + b"\r\n", 1)
        case _:
            return data[:where]


def _behind(chance: random.Random, role: Role) -> bytes:
    """Return the first messages of the peer's."""
    peer = Peer(chance, role)
    return b"".join(peer.message() for _ in range(chance.choice([0, 0, 1, 2])))


def _answer(chance: random.Random, head: bytes) -> bytes:
    """Return an answer with what comes before it, and with a body where it is one that refuses."""
    if chance.random() < 0.1:
        head = INTERIM * chance.choice([1, 2]) + head
    if b" 101 " not in head and chance.random() < 0.8:
        head += chance.choice(
            [b"body", b"5\r\nhello\r\n0\r\n\r\n", b"", b"x" * 5, b"5;a=b\r\nhello"]
        )
    return head


def make_handshake_case(number: int) -> HandshakeCase:
    """Return the case of that number, always the same."""
    chance = random.Random(number)
    role = chance.choice([Role.CLIENT, Role.SERVER])
    pairs: Pairs = list(REQUEST if role is Role.SERVER else ANSWER)
    right = "GET / HTTP/1.1" if role is Role.SERVER else "HTTP/1.1 101 Switching Protocols"
    wrong = REQUEST_LINES if role is Role.SERVER else STATUS_LINES
    start = right if chance.random() < 0.8 else chance.choice(wrong)
    for _ in range(chance.choice([0, 1, 1, 1, 2, 3])):
        pairs = _changed(chance, pairs)
    data = build_head(start, pairs)
    if chance.random() < 0.15:
        data = _damaged(chance, data)
    if role is Role.CLIENT:
        data = _answer(chance, data)
    data += _behind(chance, role)
    places = chance.choices(range(len(data) + 1), k=chance.choice([0, 0, 1, 3, 10]))
    cuts = sorted({0, *places, len(data)})
    return HandshakeCase(role, data, tuple(data[a:b] for a, b in pairwise(cuts)))
