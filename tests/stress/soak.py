"""R18: very many connections for ten minutes, of which one in a hundred is replaced all the time.

python -m tests.stress.soak [--short]
"""

import statistics
from functools import partial

import trio

from tests.stress.idle import answer
from tests.stress.measure import (
    KIB,
    Figures,
    Target,
    allow_many_descriptors,
    close_all,
    innocent,
    main,
    open_many,
    opened,
    target,
)


async def replace(
    server: Target, streams: list[trio.SocketStream], nursery: trio.Nursery, turn: float, turns: int
) -> None:
    """Hang up on one in a hundred in every turn, the oldest first, and open as many anew."""
    few = max(1, len(streams) // 100)
    for _ in range(turns):
        await trio.sleep(turn)
        await close_all(streams[:few])
        del streams[:few]
        for stream in await open_many(few, partial(opened, server.port)):
            streams.append(stream)
            nursery.start_soon(answer, stream)


async def soak(figures: Figures, short: bool) -> None:
    """Replace, and look whether memory goes on growing once it has settled."""
    count = 300 if short else min(10_000, allow_many_descriptors() // 2)
    turn = 0.2 if short else 10.0  # in seconds: 60 of them, and memory has settled after 12
    times: list[float] = []
    sizes: list[float] = []
    async with target(interval=2 * turn) as server, innocent(server) as other:

        async def look() -> None:
            await trio.sleep(12 * turn)
            while True:
                times.append(trio.current_time())
                sizes.append(server.rss / KIB)
                await trio.sleep(turn)

        server.reset()
        streams = await open_many(count, partial(opened, server.port))
        async with trio.open_nursery() as nursery:
            for stream in streams:
                nursery.start_soon(answer, stream)
            nursery.start_soon(look)
            await replace(server, streams, nursery, turn, 60)
            nursery.cancel_scope.cancel()
        slope = statistics.linear_regression(times, sizes).slope
        figures.add("memory at the end", sizes[-1] / KIB, "MiB")
        figures.add("growth", slope, "KiB/s", most=1000 if short else 1)
        await close_all(streams)
        await server.wait_released()
        left = server.descriptors - server.descriptors_before
        figures.add("descriptors left", left, "", most=0)
    other.report(figures)


if __name__ == "__main__":
    main(soak)
