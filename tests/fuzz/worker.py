"""One target under atheris, in this process: what `tests.fuzz` starts, with libFuzzer's arguments.

python -m tests.fuzz.worker TARGET [LIBFUZZER'S ARGUMENTS]
"""

from __future__ import annotations

import sys
from importlib import import_module

# What is to be covered; imported below for the first time.
INSTRUMENTED = ["trio_ws.protocol", "trio_ws._url", "trio_ws._close", "wsproto", "h11"]


def main() -> None:
    """Fuzz until libFuzzer has had enough, which ends the process."""
    atheris = import_module("atheris")
    with atheris.instrument_imports(include=INSTRUMENTED):
        from tests.fuzz.targets import TARGETS  # noqa: PLC0415 - instrumented on its way in
    target = TARGETS[sys.argv.pop(1)]
    atheris.Setup(sys.argv, target)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
