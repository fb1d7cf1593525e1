"""Programs of Debian that some tests run: Redis, proxies.

``.ci/run`` installs them, and takes a skipped test for a failure.  Elsewhere, where one is not
installed, the tests that need it are skipped, so that ``make test`` needs nothing but Python.
"""

import shutil

import pytest


def installed(program: str) -> str:
    """Return the path of a program, or skip the test."""
    path = shutil.which(program)
    if path is None:
        pytest.skip(f"{program} is not installed")
    return path
