"""H1: very many connections that never finish their opening handshake.

python -m tests.stress.slowloris [--short]
"""

from contextlib import suppress
from functools import partial

import trio

from tests.stress.measure import (
    KIB,
    LOOPBACK,
    Figures,
    Target,
    allow_many_descriptors,
    close_all,
    innocent,
    main,
    open_many,
    target,
)
from trio_ws.testing import upgrade_request

OPEN = 5.0
VARIANTS = {"nothing": b"", "half a request": upgrade_request()[:40], "dribble": upgrade_request()}


async def dribble(stream: trio.SocketStream, data: bytes) -> None:
    """Send a byte a second."""
    with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
        for byte in data:
            await stream.send_all(bytes([byte]))
            await trio.sleep(1)


async def attack(server: Target, variant: str, count: int) -> list[trio.SocketStream]:
    """Connect, and send as little as that."""
    streams = await open_many(count, partial(trio.open_tcp_stream, LOOPBACK, server.port))
    if variant == "half a request":
        for stream in streams:
            await stream.send_all(VARIANTS[variant])
    return streams


async def slowloris(figures: Figures, short: bool) -> None:
    """Be slow, very often."""
    count = 300 if short else min(10_000, allow_many_descriptors() // 2)
    opening = 0.5 if short else OPEN
    for variant, sent in VARIANTS.items():
        async with target(open=opening) as server, innocent(server) as other:
            server.reset()
            began = trio.current_time()
            streams = await attack(server, variant, count)
            async with trio.open_nursery() as nursery:
                if variant == "dribble":
                    for stream in streams:
                        nursery.start_soon(dribble, stream, sent)
                await server.wait_released()
                nursery.cancel_scope.cancel()
            print(f"-- {count} connections, {variant}")  # noqa: T201
            figures.add(
                "all released after (from the first connection)",
                trio.current_time() - began,
                "s",
                most=opening + (10 if short else 30),
            )
            figures.add(
                "memory each", server.peak_growth / count / KIB, "KiB", most=64 if short else 24
            )
            await close_all(streams)
        other.report(figures)


if __name__ == "__main__":
    main(slowloris)
