"""F2, F6, F7, F9, H3, S3: peers that send as much as they can, beside somebody innocent.

python -m tests.stress.floods [--short]
"""

from contextlib import suppress
from functools import partial

import trio

from tests.stress.measure import (
    LOOPBACK,
    MIB,
    Figures,
    Target,
    innocent,
    main,
    opened,
    target,
)
from trio_ws.testing import Opcode, build_frame

TEXT, BINARY, CONTINUATION, PING = Opcode.TEXT, Opcode.BINARY, Opcode.CONTINUATION, Opcode.PING


def frame(opcode: int, payload: bytes = b"", *, fin: bool = True) -> bytes:
    """Return a frame of a client."""
    return build_frame(opcode, payload, fin=fin, mask_key=b"abcd")


async def flood(port: int, path: str, first: bytes, more: bytes, *, reads: bool) -> None:
    """Connect, send without an end, come again when thrown out."""
    while True:
        with suppress(OSError, trio.BrokenResourceError, AssertionError):
            await flood_once(port, path, first, more, reads=reads)


async def flood_once(port: int, path: str, first: bytes, more: bytes, *, reads: bool) -> None:
    """Send until the server has had enough."""
    stream = await opened(port, path) if path else await trio.open_tcp_stream(LOOPBACK, port)
    try:
        async with trio.open_nursery() as nursery:
            if reads:
                nursery.start_soon(read, stream)
            await stream.send_all(first)
            while True:
                await stream.send_all(more)
    except BaseExceptionGroup as group:
        if group.split((trio.BrokenResourceError, trio.ClosedResourceError))[1] is not None:
            raise
    finally:
        await trio.aclose_forcefully(stream)


async def read(stream: trio.SocketStream) -> None:
    """Take what comes."""
    while await stream.receive_some():
        pass


FLOODS: list[tuple[str, str, bytes, bytes, bool]] = [
    # what it is, which handler, how it begins, what is repeated, whether the attacker reads
    ("nothing", "", b"", b"", False),
    ("endless headers", "", b"GET / HTTP/1.1\r\n", b"X: y\r\n" * 2000, True),
    ("pings, reading", "/", b"", frame(PING, bytes(125)) * 500, True),
    ("pings, not reading", "/", b"", frame(PING, bytes(125)) * 500, False),
    ("empty messages", "/receive", b"", frame(TEXT) * 10_000, True),
    ("tiny messages", "/receive", b"", frame(BINARY, b"xy") * 10_000, True),
    ("fragmented messages", "/receive", b"",
     (frame(TEXT, fin=False) + frame(CONTINUATION)) * 5000, True),
    ("empty fragments", "/receive", frame(TEXT, fin=False),
     frame(CONTINUATION, fin=False) * 10_000, True),
    ("large messages, echoed", "/", b"", frame(BINARY, bytes(MIB)), True),
    ("large messages, to a slow handler", "/slow", b"", frame(BINARY, bytes(MIB)), True),
    ("zeros after a violation", "/receive", frame(0xB), bytes(MIB), True),
    ("nothing read of what is sent", "/send", b"", frame(PING), False),
]  # fmt: skip


async def measure(
    figures: Figures, server: Target, row: tuple[str, str, bytes, bytes, bool], seconds: float
) -> None:
    """Have ten attackers at it for so long."""
    name, path, first, more, reads = row
    print(f"-- {name}")  # noqa: T201
    async with innocent(server) as other:
        server.reset()
        with trio.move_on_after(seconds):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(trio.sleep_forever)
                for _ in range(10 if more else 0):
                    nursery.start_soon(partial(flood, server.port, path, first, more, reads=reads))
        peak = server.peak_growth
    released = await server.wait_released()
    figures.add("memory of 10 attackers", peak / MIB, "MiB", most=10 * 13)
    figures.add("all released in", released, "s", most=60)  # what came is read to its end
    other.report(figures, most=2.0)  # ten attackers, and all of us on the same processors


async def floods(figures: Figures, short: bool) -> None:
    """Flood."""
    async with target(stall=1 if short else 20) as server:
        for row in FLOODS:
            await measure(figures, server, row, 0.5 if short else 10)


if __name__ == "__main__":
    main(floods)
