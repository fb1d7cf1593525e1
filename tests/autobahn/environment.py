"""Where the suite runs: a virtual environment with Python 2.7, the last that it runs on.

It is made beside the checkout's other environments, once, and again when ``requirements.txt``
changes.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

_ROOT = Path(__file__).parents[2]
_REQUIREMENTS = Path(__file__).with_name("requirements.txt")

ENVIRONMENT = _ROOT / ".venv-autobahn"

# The last one that makes environments for Python 2.7: with a pip of its own, for there may be none.
_VIRTUALENV = "virtualenv==20.21.1"


class NoPython27(Exception):
    """There is no Python 2.7 on this machine."""


def make_environment() -> Path:
    """Return the command that runs the suite, having installed it if need be.

    Raises:
        NoPython27: there is nothing to run it with.
        subprocess.CalledProcessError: it cannot be installed.
    """
    stamp = ENVIRONMENT / "requirements.txt"
    wanted = _REQUIREMENTS.read_text()
    if not stamp.exists() or stamp.read_text() != wanted:
        shutil.rmtree(ENVIRONMENT, ignore_errors=True)
        _create(_python27())
        _install()
        stamp.write_text(wanted)
    return ENVIRONMENT / "bin" / "wstest"


def _python27() -> str:
    for candidate in _candidates():
        # A shim may be on PATH and yet fail: ask it for something.
        script = "import sys; sys.exit(sys.version_info[:2] != (2, 7))"
        if subprocess.run([candidate, "-c", script], capture_output=True, check=False).returncode:
            continue
        return candidate
    raise NoPython27("the suite needs Python 2.7, on PATH, from pyenv, or named by PYTHON27")


def _candidates() -> Iterator[str]:
    for name in (os.environ.get("PYTHON27"), "python2.7"):
        if name and (found := shutil.which(name)):
            yield found
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    yield from map(str, pyenv.glob("versions/2.7*/bin/python"))


def _create(python27: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        _pip(sys.executable, "install", "--target", folder, _VIRTUALENV)
        command = [sys.executable, "-m", "virtualenv", "--quiet", "--no-download"]
        command += ["--no-periodic-update", "--python", python27, str(ENVIRONMENT)]
        subprocess.run(command, env={**os.environ, "PYTHONPATH": folder}, check=True)


def _install() -> None:
    python = str(ENVIRONMENT / "bin" / "python")
    _pip(python, "install", "--no-deps", "--requirement", str(_REQUIREMENTS))
    subprocess.run([python, "-c", "import wsaccel.utf8validator, wsaccel.xormask"], check=True)


def _pip(python: str, *arguments: str) -> None:
    """Run pip, and show what it says only when it fails: it has much to say about Python 2.7."""
    result = subprocess.run(
        [python, "-m", "pip", "--disable-pip-version-check", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if result.returncode:
        sys.stderr.write(result.stdout)
        result.check_returncode()
