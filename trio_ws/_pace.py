"""Amortised checkpoints: how often a task that never has to wait lets the others run.

A real checkpoint costs more than a small message does, so it is made once for many messages.
Cancellation is checked every time all the same.
"""

from __future__ import annotations

import trio

# No neighbour waits longer than about this for a task that has always something to do.
MAX_MESSAGES = 256
MAX_SECONDS = 0.002
_LOOKS_AT_CLOCK_EVERY = 8  # messages


class Pace:
    """Counts messages since the last checkpoint at which other tasks could run."""

    __slots__ = ("_left", "_since", "_unlooked", "turn")

    def __init__(self) -> None:
        self._left = MAX_MESSAGES  # messages that may still come, as of the latest look
        self._unlooked = _LOOKS_AT_CLOCK_EVERY  # messages until the next look
        self._since = 0.0
        self.turn: int = 0
        """Changes whenever the others had their chance: the same number, the same uninterrupted
        run of one task (as far as is known here: an application has awaits of its own)."""

    def due(self) -> bool:
        """Count one message; tell whether it is time to let the others run.

        When it is, it stays so until `restart`.
        """
        self._unlooked -= 1
        return self._unlooked <= 0 and self._look()

    def _look(self) -> bool:
        if self._left <= _LOOKS_AT_CLOCK_EVERY or trio.current_time() - self._since > MAX_SECONDS:
            return True
        self._left -= _LOOKS_AT_CLOCK_EVERY
        self._unlooked = _LOOKS_AT_CLOCK_EVERY
        return False

    def restart(self) -> float:
        """Note that the others have just had their chance; return the time."""
        self._left = MAX_MESSAGES
        self._unlooked = _LOOKS_AT_CLOCK_EVERY
        self._since = now = trio.current_time()
        self.turn += 1
        return now


# One for all: between two checkpoints only one task runs, whichever connections it serves.
PACE = Pace()


async def checkpoint() -> None:
    """Check for cancellation, and once for many messages let the others run."""
    if PACE.due():
        await trio.lowlevel.checkpoint()
        PACE.restart()
    else:
        await trio.lowlevel.checkpoint_if_cancelled()
