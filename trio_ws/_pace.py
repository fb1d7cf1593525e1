"""Amortised checkpoints: how often a task that never has to wait lets the others run.

A real checkpoint costs more than a small message does, so it is made once for many messages.
Cancellation is checked every time all the same.
"""

from __future__ import annotations

import trio

# No neighbour waits longer than about this for a task that has always something to do.
MAX_MESSAGES = 64
MAX_SECONDS = 0.002
_LOOKS_AT_CLOCK_EVERY = 8  # messages


class Pace:
    """Counts messages since the last checkpoint at which other tasks could run."""

    __slots__ = ("_count", "_since", "turn")

    def __init__(self) -> None:
        self._count = 0
        self._since = 0.0
        self.turn: int = 0
        """Changes whenever the others had their chance: the same number, the same uninterrupted
        run of one task (as far as is known here: an application has awaits of its own)."""

    def due(self) -> bool:
        """Count one message; tell whether it is time to let the others run."""
        self._count += 1
        if self._count % _LOOKS_AT_CLOCK_EVERY:
            return False
        return self._count >= MAX_MESSAGES or trio.current_time() - self._since > MAX_SECONDS

    def restart(self) -> None:
        """Note that the others have just had their chance."""
        self._count = 0
        self._since = trio.current_time()
        self.turn += 1


# One for all: between two checkpoints only one task runs, whichever connections it serves.
PACE = Pace()


async def checkpoint() -> None:
    """Check for cancellation, and once for many messages let the others run."""
    if PACE.due():
        await trio.lowlevel.checkpoint()
        PACE.restart()
    else:
        await trio.lowlevel.checkpoint_if_cancelled()
