"""How much Python has allocated, for tests of what is held."""

import gc
import tracemalloc
from collections.abc import Generator
from contextlib import contextmanager


class Held:
    """The most that was allocated since this was made, in bytes."""

    def __init__(self) -> None:
        self._before, _ = tracemalloc.get_traced_memory()

    @property
    def most(self) -> int:
        """As of now."""
        return tracemalloc.get_traced_memory()[1] - self._before


@contextmanager
def measured() -> Generator[Held, None]:
    """Measure what is allocated in the block."""
    gc.collect()
    tracemalloc.start()
    try:
        yield Held()
    finally:
        tracemalloc.stop()
