"""What every test is held to, besides its own assertions.

A test fails, in its teardown, when it leaves a file descriptor open or when something of its making
ends in a warning or an exception that nobody could raise: an unclosed socket, a coroutine never
awaited, an error in a finaliser. pytest turns those into errors (``filterwarnings = error``); what
is done here is to collect the garbage at the end of each test, so that the right test is blamed.

Tasks need no watching: ``trio.run`` does not return before its last task has ended.
"""

import gc
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# `pytest --hypothesis-profile=campaign` looks for longer. In CI Hypothesis takes its own profile,
# "ci", by itself: the same examples each time.
settings.register_profile(
    "campaign", max_examples=5000, deadline=None, suppress_health_check=list(HealthCheck)
)

# A directory with one entry per open descriptor, where the system has one (Linux).
_DESCRIPTORS = Path("/proc/self/fd")


def _collect_garbage() -> None:
    """Collect what is garbage; exempt what is not from later collections, which then are cheap."""
    gc.collect()
    gc.freeze()


def pytest_collection_finish() -> None:
    """Begin with nothing to collect: all that was imported stays."""
    _collect_garbage()


def _open_descriptors() -> dict[str, str]:
    """Return what is open in this process: number to target, e.g. "7" to "socket:[4711]"."""
    if not _DESCRIPTORS.is_dir():
        return {}
    found: dict[str, str] = {}
    for entry in _DESCRIPTORS.iterdir():
        try:
            found[entry.name] = str(entry.readlink())
        except FileNotFoundError:  # the descriptor that the listing itself used
            continue
    return found


@pytest.fixture(autouse=True)
def nothing_left_behind() -> Iterator[None]:
    """Fail the test when it leaves file descriptors open, or garbage that complains."""
    before = _open_descriptors()
    yield
    _collect_garbage()
    leaked = {
        number: target
        for number, target in _open_descriptors().items()
        if before.get(number) != target
    }
    assert not leaked, f"file descriptors left open: {leaked}"
