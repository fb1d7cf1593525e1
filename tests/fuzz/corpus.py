"""Seeds: inputs that are right or nearly so, from which a fuzzer finds its way.

Made by code, so that they follow the targets; and a dictionary of what it could not guess.
"""

from __future__ import annotations

import random
import zlib
from collections.abc import Callable, Iterator
from itertools import product

from tests.lane_cases import make_case
from trio_ws.protocol.state import Role
from trio_ws.testing import build_frame, close_payload, upgrade_request, upgrade_response
from trio_ws.testing._upgrade import build_head

# A frame of each side's behind the opening handshake.
FRAME = {Role.CLIENT: build_frame(1, b"hi"), Role.SERVER: build_frame(1, b"hi", mask_key=b"keys")}

REQUEST_HEADERS = [
    [],
    [("Origin", "http://localhost"), ("Cookie", "a=b; c=d")],
    [("Sec-WebSocket-Protocol", "chat, superchat")],
    [("Sec-WebSocket-Extensions", "permessage-deflate; client_max_window_bits")],
    [("Content-Length", "0"), ("Connection", "keep-alive"), ("X", "\xe9")],
]

ANSWERS = [
    upgrade_response(),
    upgrade_response(headers=[("Sec-WebSocket-Protocol", "chat"), ("Set-Cookie", "a=b")]),
    upgrade_response(headers=[("Sec-WebSocket-Extensions", "permessage-deflate")]),
    b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + upgrade_response(),
    b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno",
    b"HTTP/1.1 401 No\r\nTransfer-Encoding: chunked\r\n\r\n3;a=b\r\nabc\r\n0\r\nX: y\r\n\r\n",
    b"HTTP/1.0 500 Oh\r\n\r\nall up to the end",
    b"HTTP/1.1 302 Found\r\nLocation: /b\r\nContent-Length: 0\r\n\r\n",
]

URLS = [
    "ws://localhost/",
    "wss://user:p%40ss@example.com:8443/a/b?c=d&e",
    "ws://[2001:db8::1]:80/?",
    "WS://127.0.0.1:65535",
    "ws://b\u00fccher.example/stra\u00dfe?\u00fc=\u20ac",
    "ws://a_b.xn--bcher-kva./%2F;p=1//..",
    "http://localhost/#fragment",
]

HEADERS = [
    "Cookie=a=b\n\nX-Token=caf\u00e9",
    "Host=example.com:8080\n\nOrigin=null\n\nAuthorization=Basic eA==",
    "OK=x\n\nSet-Cookie=a=b; Path=/\n\nSet-Cookie=c",
    "Sec-WebSocket-Key=x",
    "a b=c\r\nd",
    "X= padded ",
]


def _server_handshakes() -> Iterator[bytes]:
    for more, behind in product(REQUEST_HEADERS, (b"", FRAME[Role.SERVER])):
        yield upgrade_request("/a?b=c", headers=more) + behind
    for start in ("HEAD / HTTP/1.1", "GET / HTTP/1.0", "POST /x HTTP/1.1", "GET * HTTP/1.1"):
        yield build_head(start, [("Host", "[::1]:80"), ("Content-Length", "0")])
    yield b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"
    yield upgrade_request().replace(b"\r\n", b"\n")


def _client_handshakes() -> Iterator[bytes]:
    for answer, behind in product(ANSWERS, (b"", FRAME[Role.CLIENT])):
        yield answer + behind


def _streams() -> Iterator[bytes]:
    """Yield inputs with their two bytes of options, for the role they are meant for."""
    for number in range(120):
        case = make_case(number)
        if len(case.stream) < 1000:
            kind = (case.role is Role.SERVER) + 2 * (number % 3 == 0) + 4 * (number % 7 == 0)
            yield bytes([number % 256, kind]) + case.stream
    for code in (None, 1000, 1005, 1014, 4000):
        yield b"\1\0" + build_frame(8, close_payload(code))


def _compressed() -> Iterator[bytes]:
    """Yield messages compressed as RFC 7692 has it, whole and in fragments, for both roles."""
    texts = [b"Hello", b"Hello Hello Hello " * 20, "\u20ac".encode() * 9, b"", bytes(range(256))]
    for kind, level, final in product(range(8), (0, 1, 9), (zlib.Z_SYNC_FLUSH, zlib.Z_FINISH)):
        key = b"keys" if kind & 1 else None
        compressor = zlib.compressobj(level, wbits=-15)
        stream = b""
        for text in texts[kind % 3 :]:
            if not kind & 4 or final == zlib.Z_FINISH:
                compressor = zlib.compressobj(level, wbits=-15)
            data = compressor.compress(text) + compressor.flush(final)
            payload = data.removesuffix(b"\x00\x00\xff\xff")
            cut = len(payload) * (kind // 2) // 4
            stream += build_frame(2, payload[:cut], fin=False, rsv=4, mask_key=key)
            stream += build_frame(0, payload[cut:], mask_key=key)
            stream += build_frame(1 if text.isascii() else 2, payload, rsv=4, mask_key=key)
        yield bytes([kind + 9, kind]) + stream[:500]


def _with_options(seeds: Iterator[bytes], seed: int) -> Iterator[bytes]:
    chance = random.Random(seed)
    for each in seeds:
        yield bytes([chance.randrange(256), chance.choice([0, 0, 1])]) + each


SEEDS: dict[str, Callable[[], Iterator[bytes]]] = {
    "server-handshake": lambda: _with_options(_server_handshakes(), 1),
    "client-handshake": lambda: _with_options(_client_handshakes(), 2),
    "frames": _streams,
    "deflate": _compressed,
    "url": lambda: (text.encode() for text in URLS),
    "headers": lambda: (bytes([200, 0]) + text.encode() for text in HEADERS),
}
"""What makes the seeds of each target."""

WORDS: dict[str, list[bytes]] = {
    "server-handshake": [
        *(b"GET ", b"HEAD ", b" HTTP/1.1\r\n", b"\r\n\r\n", b"Host: ", b"Origin: ", b"http://"),
        *(b"Upgrade: websocket\r\n", b"Connection: ", b"Sec-WebSocket-Version: 13\r\n"),
        *(b"Sec-WebSocket-Key: ", b"Sec-WebSocket-Protocol: ", b"Sec-WebSocket-Extensions: "),
        *(b"Transfer-Encoding: chunked\r\n", b"Content-Length: 0\r\n", b"chat", b"==", b"[::1]"),
    ],
    "client-handshake": [
        *(b"HTTP/1.1 101 ", b"HTTP/1.1 100 ", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.0 ", b"\r\n\r\n"),
        *(b"Upgrade: websocket\r\n", b"Connection: Upgrade\r\n", b"Sec-WebSocket-Accept: "),
        *(b"Sec-WebSocket-Protocol: ", b"Sec-WebSocket-Extensions: ", b"Content-Length: "),
        *(b"Transfer-Encoding: chunked\r\n", b"0\r\n\r\n", b"ffffffff\r\n", b"chat"),
    ],
    "frames": [
        *(b"\x81\x00", b"\x82\x80keys", b"\x01\x01a", b"\x80\x00", b"\x89\x00", b"\x8a\x80keys"),
        *(b"\x88\x02\x03\xe8", b"\x81\x7e\x00\x7e", b"\x82\x7f" + bytes(5) + b"\x01\x00\x00"),
        *("\u20ac".encode(), "\U0001f600".encode(), b"\xed\xa0\x80", b"\xc0\x80", b"\xf4\x90"),
    ],
    "deflate": [
        *(
            b"\xc1\x00",
            b"\xc2\x01\x00",
            b"\x41\x01\x00",
            b"\x80\x01\x00",
            b"\x82\x02ab",
            b"\xc0\x00",
        ),
        *(
            b"\xf2\x48\xcd\xc9\xc9\x07\x00",
            b"\x00\x00\xff\xff",
            b"\x03\x00",
            b"\x02\x00",
            b"\x4b\x4c",
        ),
    ],
    "url": [
        *(b"ws://", b"wss://", b"http://", b"user:pass@", b"[::ffff:1.2.3.4]", b":65535", b"%00"),
        *(b"xn--", b"0x7f", b"\xc3\x9f", b"\xe2\x80\x8d", b"\xe3\x80\x82", b"?", b"#", b"\\"),
    ],
    "headers": [
        *(b"\n\n", b"=", b"\r\n", b"Host", b"Origin", b"Connection", b"Upgrade", b"\xc3\xa9"),
        *(b"Content-Length", b"Transfer-Encoding", b"Sec-WebSocket-", b"Content-Type", b"\xff"),
    ],
}
"""What a fuzzer may put into the inputs of each target."""


def seeds(target: str) -> list[bytes]:
    """Return the seeds of a target, always the same."""
    return list(SEEDS[target]())


def dictionary(target: str) -> str:
    """Return the words of a target as libFuzzer reads them from a file."""
    quoted = ("".join(f"\\x{byte:02x}" for byte in word) for word in WORDS[target])
    return "".join(f'"{word}"\n' for word in quoted)
