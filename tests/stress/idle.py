"""S8, R18: very many open connections that do nothing but answer pings.

python -m tests.stress.idle [--short]
"""

from contextlib import suppress
from functools import partial

import trio

from tests.stress.measure import (
    KIB,
    Figures,
    allow_many_descriptors,
    close_all,
    innocent,
    main,
    open_many,
    opened,
    target,
)
from trio_ws.testing import Opcode, build_frame

PONG = build_frame(Opcode.PONG, b"", mask_key=b"abcd")


async def answer(stream: trio.SocketStream) -> None:
    """Show a sign of life whenever one is asked for."""
    with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
        while await stream.receive_some():
            await stream.send_all(PONG)


async def idle(figures: Figures, short: bool) -> None:
    """Open, wait, close."""
    count = 300 if short else min(10_000, allow_many_descriptors() // 2)
    interval = 0.5 if short else 20.0
    async with target(interval=interval) as server, innocent(server) as other:
        server.reset()
        began, cpu = trio.current_time(), server.cpu
        streams = await open_many(count, partial(opened, server.port))
        figures.add("opened", count / (trio.current_time() - began), "connections a second")
        figures.add("processor time for that", (server.cpu - cpu) / count * 1000, "ms each")
        figures.add(
            "memory each",
            (server.rss - server.rss_before) / count / KIB,
            "KiB",
            most=64 if short else 20,
        )
        async with trio.open_nursery() as nursery:
            for stream in streams:
                nursery.start_soon(answer, stream)
            await trio.sleep(2 * interval)  # the first pings make objects of their own
            cpu, before = server.cpu, server.rss
            await trio.sleep(3 * interval)
            used, growth = server.cpu - cpu, (server.rss - before) / KIB
            figures.add("processor, innocent one included", used / (3 * interval) * 100, "%")
            figures.add(
                "growth meanwhile", growth / (3 * interval), "KiB/s", most=500 if short else 50
            )
            nursery.cancel_scope.cancel()
        began = trio.current_time()
        await close_all(streams)
        await server.wait_released()
        figures.add("all released in", trio.current_time() - began, "s", most=30)
    other.report(figures)


if __name__ == "__main__":
    main(idle)
