"""trio-websocket's own tests, run over ``trio_ws.compat``: ``python -m tests.compat_suite``.

    python -m tests.compat_suite                of the source distribution, which pip fetches
    python -m tests.compat_suite --sdist FILE   of one that was fetched before
    python -m tests.compat_suite --theirs       the same tests over trio-websocket itself

Nothing of them is kept here.  Those that fail over ours are listed, each with its reason; a test
that fails and is not listed, or is listed and succeeds, is an error.
"""

# ruff: noqa: T201 - a program prints

import argparse
import importlib
import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import pytest

from trio_ws.compat import trio_websocket as compat
from trio_ws.compat.trio_websocket import _client

PRIVATE = "looks inside of trio-websocket"

EXPECTED = {
    "test_open_websocket_internal_ki": PRIVATE,
    "test_open_websocket_internal_exc": PRIVATE,
    "test_open_websocket_cancellations": PRIVATE,
    "test_client_connect_networking_error": PRIVATE,
    "test_remote_close_local_message_race": PRIVATE,
    "test_message_after_local_close_race": PRIVATE,
    "test_server_tcp_closed_on_close_connection_event": PRIVATE,
    "test_remote_close_rude": PRIVATE,
    "test_handshake_exception_before_accept": "expects a client to wait on when it is hung up on",
    "test_reject_handshake_invalid_info_status": "expects 100 to be the answer, not one before it",
    "test_client_close_timeout": "expects a Close not to be seen that came with an unread message",
}

# It waits for ever for an event that its own client would have to set.
HANGS = "test_remote_close_local_message_race"


class Outcomes:
    """A plugin that notes which tests have succeeded, and which have not."""

    def __init__(self) -> None:
        self.passed: set[str] = set()
        self.failed: set[str] = set()

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Leave out what would not end."""
        if sys.modules["trio_websocket"] is compat:
            left_out = [item for item in items if item.name == HANGS]
            self.failed.update(item.name for item in left_out)
            items[:] = [item for item in items if item not in left_out]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note the outcome of a test, or of a part of it."""
        name = report.nodeid.rpartition("::")[2]
        if report.failed:
            self.failed.add(name)
        elif report.when == "call" and report.passed:
            self.passed.add(name)


def fetch(directory: Path) -> Path:
    """Fetch the source distribution of the version whose interface ours is."""
    wanted = f"trio-websocket=={compat.__version__}"
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run(
        [*pip, "download", "--no-deps", "--no-binary", ":all:", "--dest", directory, wanted],
        check=True,
    )
    (found,) = directory.glob("*.tar.gz")
    return found


def unpack(sdist: Path, directory: Path) -> Path:
    """Unpack the tests and return where they are."""
    with tarfile.open(sdist) as archive:
        (member,) = [each for each in archive if each.name.endswith("/tests/test_connection.py")]
        archive.extract(member, directory, filter="data")
    return directory / member.name


def put_ours_in_its_place() -> None:
    """Have ``import trio_websocket`` get ours; its tests import a module of its own as well."""
    setattr(_client, "_TRIO_EXC_GROUP_TYPE", BaseExceptionGroup)  # noqa: B010 - it is not there
    setattr(compat, "_impl", _client)  # noqa: B010 - nor is this
    sys.modules["trio_websocket"] = compat
    sys.modules["trio_websocket._impl"] = _client


def run(tests: Path) -> Outcomes:
    """Run the tests with whatever ``trio_websocket`` now is."""
    outcomes = Outcomes()
    alone = ["-c", os.devnull, "--rootdir", str(tests.parent), "-p", "no:cacheprovider"]
    quiet = ["-q", "-rN", "--tb=no", "--disable-warnings"]
    pytest.main([*alone, *quiet, "-o", "trio_mode=true", str(tests)], plugins=[outcomes])
    return outcomes


def judge(outcomes: Outcomes, expected: dict[str, str]) -> int:
    """Say what is as expected and what is not; return the exit status."""
    for name in sorted(outcomes.failed & expected.keys()):
        print(f"does not hold: {name}: {expected[name]}")
    for name in sorted(outcomes.failed - expected.keys()):
        print(f"FAILED: {name}")
    for name in sorted(expected.keys() - outcomes.failed):
        print(f"HOLDS, THOUGH LISTED: {name}")
    print(f"{len(outcomes.passed)} hold, {len(outcomes.failed)} do not")
    return 0 if outcomes.passed and outcomes.failed == expected.keys() else 1


def main() -> int:
    """Run the tests over one of the two."""
    parser = argparse.ArgumentParser(prog="python -m tests.compat_suite")
    parser.add_argument("--sdist", type=Path, help="fetched before")
    parser.add_argument("--theirs", action="store_true", help="run over trio-websocket itself")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        tests = unpack(arguments.sdist or fetch(Path(directory)), Path(directory))
        if arguments.theirs:
            importlib.import_module("trio_websocket")
        else:
            put_ours_in_its_place()
        return judge(run(tests), {} if arguments.theirs else EXPECTED)


if __name__ == "__main__":
    sys.exit(main())
