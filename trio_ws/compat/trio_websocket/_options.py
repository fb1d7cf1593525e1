"""trio-websocket's parameters, with their defaults, in terms of `Limits`, `Timeouts`, `Keepalive`.

What trio-websocket does not bound is bounded here too, generously.
"""

from __future__ import annotations

import math
import sys
from typing import Final

from trio_ws._inbox import MESSAGE_OVERHEAD
from trio_ws._options import Keepalive, Limits, Timeouts

CONN_TIMEOUT: Final = 60
"""In seconds: the default of ``connect_timeout`` and ``disconnect_timeout``, and what holds where
there is no such parameter."""

MESSAGE_QUEUE_SIZE: Final = 1
MAX_MESSAGE_SIZE: Final = 2**20
RECEIVE_BYTES: Final = 4 * 2**10

_HARDLY_ANY: Final = 1e-9  # `Timeouts` are above 0

# trio-websocket has none, and its peers may be of its kind: they answer no pings while their queue
# is full, and would be taken for dead.
NO_KEEPALIVE: Final = Keepalive(interval=math.inf)


def limits(message_queue_size: int, max_message_size: int) -> Limits:
    """Return the limits that these parameters stand for; `math.inf` is allowed, and is none."""
    # An application that is away has its pings answered, and the peer's Close seen, as long as no
    # more than half of the queue waits for it; with trio-websocket as long as no more than
    # message_queue_size do.
    messages = 2 * min(message_queue_size, sys.maxsize) + 1
    size = min(max_message_size, sys.maxsize)
    return Limits(
        max_message_size=size,
        max_queued_messages=messages,
        max_queued_bytes=messages * (size + MESSAGE_OVERHEAD),  # so that only the number counts
    )


def timeouts(connect: float = CONN_TIMEOUT, disconnect: float = CONN_TIMEOUT) -> Timeouts:
    """Return the timeouts that these parameters stand for, in seconds; 0 is allowed."""
    return Timeouts(
        open=connect or _HARDLY_ANY, close=disconnect or _HARDLY_ANY, stall=CONN_TIMEOUT
    )
