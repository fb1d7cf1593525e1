"""What the load generator says, made beforehand: messages, masked frames, a request.

Nothing here is on the clock, and nothing comes from a WebSocket library.
"""

from __future__ import annotations

import os
import random

REQUEST = (
    b"GET / HTTP/1.1\r\n"
    b"Host: 127.0.0.1\r\n"
    b"Upgrade: websocket\r\n"
    b"Connection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    b"Sec-WebSocket-Version: 13\r\n"
    b"\r\n"
)
"""An opening handshake; the key is that of RFC 6455 section 1.3, whose answer is known."""

RESPONSE = (
    b"HTTP/1.1 101 Switching Protocols\r\n"
    b"Upgrade: websocket\r\n"
    b"Connection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
    b"\r\n"
)
"""The answer to it, for the yardsticks, which speak no HTTP."""

END = b"end"
"""A message that is no part of the work: it asks for an answer."""

_PATTERN = b'{"side":"buy","price":101.25,"id":"a1b2c3"} '
_LENGTH_SIZE = {126: 2, 127: 8}  # of the field with the length, by what announces it


def payload(size: int) -> bytes:
    """Return ASCII of this many bytes."""
    return (_PATTERN * (size // len(_PATTERN) + 1))[:size]


def message(size: int, *, text: bool) -> str | bytes:
    """Return a message of this many bytes as an application has it."""
    data = payload(size)
    return data.decode() if text else data


def documents(size: int, count: int = 100) -> list[str]:
    """Return so many JSON documents of this many bytes: orders, with nothing in them twice."""
    chance = random.Random(1)  # noqa: S311 - the same orders for everybody
    return [_document(chance, size) for _ in range(count)]


def _document(chance: random.Random, size: int) -> str:
    text, end = '{"orders":[', "]}"
    while True:
        side, price, shares = (
            chance.choice(["buy", "sell"]),
            chance.random() * 1000,
            chance.random(),
        )
        order = f'{{"side":"{side}","price":{price:.2f},"shares":{shares * 500:.0f},'
        order += f'"id":"{chance.getrandbits(32):08x}"}},'
        if len(text) + len(order) + len(end) > size:
            return text.removesuffix(",") + end.rjust(size - len(text.removesuffix(",")))
        text += order


def client_frame(data: bytes, *, text: bool, masked: bool = True) -> bytes:
    """Return a message in one frame as a client sends it (RFC 6455 section 5.2).

    Args:
        data: what the message says.
        text: whether it is a text message.
        masked: ``False`` takes a key of zeros, so that the yardsticks can read it.
    """
    key = os.urandom(4) if masked else bytes(4)
    return _header(0x81 if text else 0x82, len(data), mask_bit=0x80) + key + _masked(data, key)


def server_frame(data: bytes, *, text: bool) -> bytes:
    """Return a message in one frame as a server sends it."""
    return _header(0x81 if text else 0x82, len(data), mask_bit=0) + data


def client_close() -> bytes:
    """Return a Close frame with 1000 as a client sends it."""
    key = os.urandom(4)
    return b"\x88\x82" + key + _masked((1000).to_bytes(2, "big"), key)


def _header(first: int, size: int, *, mask_bit: int) -> bytes:
    if size <= 125:
        return bytes((first, mask_bit | size))
    announced = 126 if size <= 0xFFFF else 127
    return bytes((first, mask_bit | announced)) + size.to_bytes(_LENGTH_SIZE[announced], "big")


def _masked(data: bytes, key: bytes) -> bytes:
    keys = (key * (len(data) // 4 + 1))[: len(data)]
    masked = int.from_bytes(data, "big") ^ int.from_bytes(keys, "big")
    return masked.to_bytes(len(data), "big")
