"""Connections for `tests.lane_differential`: what a peer sends, right or wrong, and what we do.

A case is made of its number and nothing else, so that one that fails can be run again.
"""

from __future__ import annotations

import random
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from tests.helpers import MASK_KEY
from trio_ws._options import Deflate, Limits
from trio_ws.protocol.state import Role
from trio_ws.testing import Opcode, build_frame, close_payload


@dataclass(frozen=True)
class Read:
    """Take the next bytes of the peer's, up to there; behind the last of them is the end."""

    stop: int | None


@dataclass(frozen=True)
class Send:
    """Send a whole message."""

    message: str | bytes


@dataclass(frozen=True)
class SendFragment:
    """Send a part of one."""

    part: str | bytes
    final: bool


@dataclass(frozen=True)
class SendPing:
    """Send a ping."""

    payload: bytes


@dataclass(frozen=True)
class SendClose:
    """Begin the closing handshake."""

    code: int
    reason: str


Step = Read | Send | SendFragment | SendPing | SendClose


@dataclass(frozen=True)
class Case:
    """One connection."""

    role: Role
    limits: Limits
    stream: bytes
    steps: tuple[Step, ...]
    compression: Deflate | None = None


_CHARACTERS = ["a", "Z", " ", "\0", "\x7f", "é", "\N{EURO SIGN}", "\uffff", "\N{GRINNING FACE}"]
_NOT_UTF8 = [b"\xff", b"\x80", b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xe2\x82"]
_SIZES: list[int] = [*range(10), 30, 124, 125, 126, 127, 128, 300]
_LARGE_SIZES: list[int] = [8200, 0xFFFF, 0xFFFF, 0x10000]
_MESSAGE_LIMITS = [1, 9, 125, 126, 300, 1000, 0xFFFF, 1 << 20, 1 << 64]
_CODES = [None, 0, 999, 1000, 1001, 1004, 1005, 1006, 1011, 1014, 1016, 2999, 3000, 4999, 5000]


class Peer:
    """What a peer might send, chance deciding."""

    def __init__(self, chance: random.Random, role: Role) -> None:
        self._chance = chance
        self._masks = role is Role.SERVER

    def frame(self, opcode: int, payload: bytes, *, fin: bool = True, rsv: int = 0) -> bytes:
        """Return a frame with nothing wrong about it but perhaps its place and payload."""
        key = self._chance.choice([MASK_KEY, bytes(4), self._chance.randbytes(4)])
        key_used = key if self._masks else None
        return build_frame(opcode, payload, fin=fin, rsv=rsv, mask_key=key_used)

    def size(self) -> int:
        """Return the size of a payload: mostly small, often at an edge."""
        if self._chance.random() < 0.005:
            return self._chance.choice(_LARGE_SIZES)
        return self._chance.choice(_SIZES)

    def text(self, size: int) -> str:
        """Return text of about so many bytes."""
        if self._chance.random() < 0.5:
            return "x" * size
        character = self._chance.choice(_CHARACTERS)
        head = "".join(self._chance.choices(_CHARACTERS, k=min(size, 3)))
        return head + character * (max(size - len(head.encode()), 0) // len(character.encode()))

    def payload(self, opcode: int) -> bytes:
        """Return what a message of this kind may say."""
        size = self.size()
        return self.text(size).encode() if opcode == Opcode.TEXT else self._chance.randbytes(size)

    def message(self) -> bytes:
        """Return a message in one frame."""
        opcode = self._chance.choice([Opcode.TEXT, Opcode.BINARY])
        return self.frame(opcode, self.payload(opcode))

    def fragments(self) -> bytes:
        """Return a message in fragments, with control frames between them."""
        opcode = self._chance.choice([Opcode.TEXT, Opcode.BINARY])
        return self.in_fragments(opcode, self.payload(opcode))

    def in_fragments(self, opcode: int, payload: bytes, rsv: int = 0) -> bytes:
        """Return this message in fragments, with control frames between them."""
        places = sorted(self._chance.choices(range(len(payload) + 1), k=self._chance.randrange(4)))
        data = b""
        for start, stop in zip([0, *places], [*places, None], strict=True):
            data += self.frame(opcode, payload[start:stop], fin=stop is None, rsv=rsv)
            opcode, rsv = Opcode.CONTINUATION, 0
            if self._chance.random() < 0.3:
                data += self.control()
        return data

    def control(self) -> bytes:
        """Return a ping or a pong."""
        opcode = self._chance.choice([Opcode.PING, Opcode.PONG])
        return self.frame(opcode, self._chance.randbytes(min(self.size(), 125)))

    def close(self) -> bytes:
        """Return a Close, which need not be allowed."""
        reason = self._chance.choice(["", "", "bye", "\N{EURO SIGN}" * 41])
        code = self._chance.choice(_CODES) if self._chance.random() < 0.5 else 1000
        payload = close_payload(code, reason)
        if self._chance.random() < 0.2:
            payload = self._chance.choice([payload[:1], payload[:-1], payload[:20] + b"\xff"])
        return self.frame(Opcode.CLOSE, payload[:125])

    def not_utf8(self) -> bytes:
        """Return text that is none."""
        payload = self.text(self.size()).encode() + self._chance.choice(_NOT_UTF8)
        payload += b"x" * self._chance.randrange(3)
        return self.frame(Opcode.TEXT, payload, fin=self._chance.random() < 0.8)

    def any_frame(self) -> bytes:
        """Return a frame whose header may be wrong in any way, or lie."""
        widths: list[Literal[2, 8] | None] = [None, None, 2, 8]
        size_bytes = self._chance.choice(widths)
        sizes = [0, 1, 125, 126, 1000, 0xFFFF]
        sizes += [0x10000, 1 << 32, (1 << 63) - 1, 1 << 63, (1 << 64) - 1] * (size_bytes == 8)
        fits = [size for size in sizes if size_bytes or size <= 125]
        return build_frame(
            self._chance.randrange(16),
            self._chance.randbytes(self._chance.choice(_SIZES[:10])),
            fin=self._chance.random() < 0.7,
            rsv=self._chance.choice([0, 0, 0, 4, 2, 1]),
            mask_key=MASK_KEY if self._masks is (self._chance.random() < 0.8) else None,
            size=self._chance.choice(fits) if size_bytes or self._chance.random() < 0.3 else None,
            size_bytes=size_bytes,
        )

    def odd_frame(self) -> bytes:
        """Return a whole frame with one thing wrong about it, and nothing else."""
        payload = self.text(self.size()).encode()
        wrong = self._chance.randrange(4)
        widths: list[Literal[2, 8] | None] = [8 if len(payload) > 125 else 2, 8]
        masked = self._masks is not (wrong == 0)
        return build_frame(
            self._chance.choice([3, 7, 11, 15]) if wrong == 1 else self._chance.choice([1, 2]),
            payload,
            rsv=self._chance.choice([1, 2, 4]) if wrong == 2 else 0,
            mask_key=MASK_KEY if masked else None,
            size_bytes=self._chance.choice(widths)
            if wrong == 3 and len(payload) < 1 << 16
            else None,
        )

    def damaged(self) -> bytes:
        """Return a message, or a few, with something changed, lost or added somewhere."""
        data = bytearray(self.message() + self.fragments())
        where = self._chance.randrange(min(len(data), self._chance.choice([2, 14, 1000])))
        kind = self._chance.randrange(3)
        if kind == 0:
            data[where] ^= 1 << self._chance.randrange(8)
        elif kind == 1:
            del data[where]
        else:
            data.insert(where, self._chance.randrange(256))
        return bytes(data)

    def garbage(self) -> bytes:
        """Return bytes that look as if they meant something."""
        common = b"\x81\x82\x01\x02\x00\x80\x88\x89\x8a\x7e\x7f\xfe\xff\xc1"
        return bytes(self._chance.choices(common, k=self._chance.randrange(12)))

    def stream(self) -> bytes:
        """Return all that the peer sends: mostly right, then perhaps something wrong."""
        good = [self.message, self.message, self.message, self.fragments, self.control]
        bad = [
            self.not_utf8,
            self.odd_frame,
            self.any_frame,
            self.damaged,
            self.garbage,
            self.close,
        ]
        parts = [self._chance.choice(good)() for _ in range(self._chance.randrange(8))]
        if self._chance.random() < 0.7:
            parts.append(self._chance.choice(bad)())
            parts += [self._chance.choice(good)() for _ in range(self._chance.randrange(3))]
        data = b"".join(parts)
        if self._chance.random() < 0.2:
            data = data[: self._chance.randrange(len(data) + 1)]
        return data


class CompressingPeer(Peer):
    """A peer that compresses some of its messages, in every way that it may, or damages them.

    Args:
        chance, role: as of `Peer`.
        compression: what was agreed on, as we see it.
    """

    def __init__(self, chance: random.Random, role: Role, compression: Deflate) -> None:
        super().__init__(chance, role)
        self._bits = compression.peer_window_bits or 15
        self._takes_over = compression.peer_context_takeover
        self._compressor = self._new_compressor()

    def _new_compressor(self) -> Any:
        level = self._chance.choice([0, 1, 6, 9])
        strategy = self._chance.choice([zlib.Z_DEFAULT_STRATEGY, zlib.Z_FIXED, zlib.Z_HUFFMAN_ONLY])
        return zlib.compressobj(level, zlib.DEFLATED, -self._bits, 5, strategy)

    def compressed(self, payload: bytes) -> bytes:
        """Return the payload compressed: one block or several, of this kind or that."""
        if not self._takes_over or self._chance.random() < 0.1:
            self._compressor = self._new_compressor()
        compressor = self._compressor
        cut = self._chance.randrange(len(payload) + 1)
        data: bytes = compressor.compress(payload[:cut])
        if self._chance.random() < 0.2:
            data += compressor.flush(self._chance.choice([zlib.Z_SYNC_FLUSH, zlib.Z_FULL_FLUSH]))
        data += compressor.compress(payload[cut:])
        if self._chance.random() < 0.2:
            # "Using a DEFLATE Block with "BFINAL" Set to 1" (RFC 7692 section 7.2.3.4)
            self._compressor = self._new_compressor()
            return data + bytes(compressor.flush()) + b"\0"
        return (data + bytes(compressor.flush(zlib.Z_SYNC_FLUSH)))[:-4]

    def message(self) -> bytes:
        """Return a message in one frame, compressed or not."""
        if self._chance.random() < 0.3:
            return super().message()
        opcode = self._chance.choice([Opcode.TEXT, Opcode.BINARY])
        return self.frame(opcode, self.compressed(self.payload(opcode)), rsv=4)

    def fragments(self) -> bytes:
        """Return a message in fragments, compressed or not."""
        if self._chance.random() < 0.3:
            return super().fragments()
        opcode = self._chance.choice([Opcode.TEXT, Opcode.BINARY])
        return self.in_fragments(opcode, self.compressed(self.payload(opcode)), rsv=4)

    def odd_frame(self) -> bytes:
        """Return a compressed message with something wrong in it."""
        if self._chance.random() < 0.3:
            return super().odd_frame()
        payload = bytearray(self.compressed(self.payload(Opcode.TEXT)))
        kind = self._chance.randrange(5)
        if kind == 0:
            payload[self._chance.randrange(len(payload))] ^= 1 << self._chance.randrange(8)
        elif kind == 1:
            del payload[self._chance.randrange(len(payload)) :]
        elif kind == 2:
            payload = bytearray(self._chance.randbytes(self._chance.randrange(12)))
        elif kind == 3:
            text = self.text(self.size()).encode() + self._chance.choice(_NOT_UTF8)
            payload = bytearray(self.compressed(text))
        else:
            return self.frame(self._chance.choice([0, 1, 8, 9, 10]), bytes(payload[:125]), rsv=4)
        return self.in_fragments(Opcode.TEXT, bytes(payload), rsv=4)


def _cuts(chance: random.Random, size: int) -> list[int]:
    """Return where reads end."""
    if 0 < size <= 400 and chance.random() < 0.15:
        return [*range(1, size + 1)]
    return [*sorted(chance.choices(range(size + 1), k=chance.choice([0, 0, 1, 2, 5, 12]))), size]


def _own_steps(chance: random.Random) -> Iterator[Step]:
    """Yield what we do, now and then, for as long as there is somebody to do it to."""
    peer = Peer(chance, Role.CLIENT)
    text: bool | None = None  # of the message that is being sent in fragments
    while True:
        kind = chance.randrange(8)
        if kind == 0:
            yield SendClose(chance.choice([1000, 1001, 1011, 4999]), chance.choice(["", "bye"]))
        elif kind <= 2:
            yield SendPing(chance.randbytes(chance.choice([0, 4, 125])))
        elif text is None and kind <= 5:
            size = peer.size()
            yield Send(peer.text(size) if chance.random() < 0.5 else chance.randbytes(size))
        else:
            text = chance.random() < 0.5 if text is None else text
            final = chance.random() < 0.4
            size = chance.randrange(200)
            yield SendFragment(peer.text(size) if text else chance.randbytes(size), final)
            text = None if final else text


def make_case(number: int) -> Case:
    """Return the case of that number, always the same."""
    return _make_case(random.Random(number), compression=None)


def make_compressed_case(number: int) -> Case:
    """Return another case of that number, of a connection on which messages are compressed."""
    chance = random.Random(number)
    compression = Deflate(
        threshold=0,
        context_takeover=chance.random() < 0.5,
        peer_context_takeover=chance.random() < 0.5,
        peer_window_bits=chance.choice([9, 12, 15]),
    )
    return _make_case(chance, compression)


def _make_case(chance: random.Random, compression: Deflate | None) -> Case:
    role = chance.choice([Role.CLIENT, Role.SERVER])
    limits = Limits()
    if chance.random() < 0.5:
        limits = Limits(
            max_message_size=chance.choice(_MESSAGE_LIMITS),
            max_fragments=chance.choice([1, 2, 3, 1024]),
        )
    peer = CompressingPeer(chance, role, compression) if compression else Peer(chance, role)
    stream = peer.stream()
    own_steps = _own_steps(chance)
    often = chance.choice([0, 0, 0.1, 0.5])
    steps: list[Step] = []
    for stop in _cuts(chance, len(stream)):
        while chance.random() < often:
            steps.append(next(own_steps))
        steps.append(Read(stop))
    if chance.random() < 0.2:
        steps.append(Read(None))
    return Case(role, limits, stream, tuple(steps), compression)
