"""H19: connections that come and go, politely, with a reset, or in mid-handshake.

python -m tests.stress.churn [--short]
"""

import socket
import struct

import trio

from tests.stress.measure import (
    LOOPBACK,
    MIB,
    Figures,
    Target,
    innocent,
    main,
    open_many,
    opened,
    target,
)
from trio_ws.testing import Opcode, build_frame, close_payload

CLOSE = build_frame(Opcode.CLOSE, close_payload(1000), mask_key=b"abcd")


def reset(stream: trio.SocketStream) -> None:
    """Hang up by a reset."""
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    stream.socket.close()


class Visitor:
    """Comes and goes, each time in another way."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._visits = 0

    async def visit(self) -> trio.SocketStream:
        """Make one visit."""
        self._visits += 1
        match self._visits % 3:
            case 0:
                stream = await opened(self._port)
                await stream.send_all(CLOSE)
                while await stream.receive_some():
                    pass
                await stream.aclose()
            case 1:
                stream = await opened(self._port)
                reset(stream)
            case _:
                stream = await trio.open_tcp_stream(LOOPBACK, self._port)
                await stream.send_all(b"GET / HT")
                await stream.aclose()
        return stream


async def churn(figures: Figures, short: bool) -> None:
    """Come and go."""
    rounds, per_round = (2, 300) if short else (25, 2000)
    async with target() as server, innocent(server) as other:
        visitor = Visitor(server.port)
        await open_many(per_round, visitor.visit)
        await server.wait_released(left=1)
        server.reset()
        began = trio.current_time()
        for _ in range(rounds):
            await open_many(per_round, visitor.visit)
        await released(server, figures)
        count = rounds * per_round
        figures.add("connections", count, "")
        figures.add("rate", count / (trio.current_time() - began), "a second")
    other.report(figures)


async def released(server: Target, figures: Figures) -> None:
    """See that nothing is left."""
    await server.wait_released()
    figures.add("descriptors left", server.descriptors - server.descriptors_before, "", most=0)
    figures.add("memory left", (server.rss - server.rss_before) / MIB, "MiB", most=4)


if __name__ == "__main__":
    main(churn)
