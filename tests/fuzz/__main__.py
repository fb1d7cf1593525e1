"""Fuzz with atheris, which ``pip install -e '.[fuzz]'`` brings.

    python -m tests.fuzz                          all targets, 20 seconds each
    python -m tests.fuzz url frames --seconds 300 these, so long
    python -m tests.fuzz frames --reproduce FILE  what failed, without atheris, in a debugger

Seeds are made anew each time.  What was found worth keeping is kept in .fuzz/TARGET/corpus and the
starting point of the next run; inputs that fail are in .fuzz/TARGET beside it.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from tests.fuzz.corpus import dictionary, seeds
from tests.fuzz.targets import TARGETS

CHECKOUT = Path(__file__).parent.parent.parent
KEPT = CHECKOUT / ".fuzz"

LIMITS = [
    "-max_len=512",  # longer ones say nothing new, more slowly
    "-timeout=10",  # in seconds: an input that takes longer hangs
    "-rss_limit_mb=2048",
]

EXECUTED = re.compile(r"^stat::number_of_executed_units: (\d+)$", re.MULTILINE)
COVERED = re.compile(r"cov: (\d+) ft: (\d+) corp: (\d+)")


@dataclass(frozen=True)
class Ran:
    """What one target came to."""

    target: str
    executed: int
    covered: str
    failures: list[Path]
    log: str

    @property
    def ok(self) -> bool:
        """Whether it ran, and nothing failed."""
        return self.executed > 0 and not self.failures

    def __str__(self) -> str:
        lines = [f"{self.target}: {self.executed} executions, {self.covered}"]
        if not self.ok:
            lines += ["FAILED; the end of what libFuzzer says:", *self.log.splitlines()[-40:]]
        for path in self.failures:
            lines += [
                f"the input that failed: {path}",
                f"  again:  python -m tests.fuzz {self.target} --reproduce {path}",
                "  then make a test of it, beside what it failed in",
            ]
        return "\n".join(lines)


def write_seeds(target: str, directory: Path) -> None:
    """Write the seeds of a target, by their content, so that none is there twice."""
    directory.mkdir(parents=True, exist_ok=True)
    for seed in seeds(target):
        (directory / hashlib.sha256(seed).hexdigest()[:16]).write_bytes(seed)


def fuzz(target: str, seconds: int, seed: int) -> Ran:
    """Fuzz one target for so long, in a process of its own."""
    kept = KEPT / target
    write_seeds(target, kept / "corpus")
    words = kept / "dictionary"
    words.write_text(dictionary(target), encoding="ascii")
    before = set(kept.iterdir())
    done = subprocess.run(
        [
            *(sys.executable, "-m", "tests.fuzz.worker", target),
            *(f"-max_total_time={seconds}", f"-seed={seed}", *LIMITS, "-print_final_stats=1"),
            *(f"-dict={words}", f"-artifact_prefix={kept}/", str(kept / "corpus")),
        ],
        cwd=CHECKOUT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        check=False,
    )
    executed = EXECUTED.search(done.stdout)
    covered = COVERED.findall(done.stdout)
    return Ran(
        target,
        int(executed[1]) if executed else 0,
        "{} edges, {} features, {} inputs kept".format(*covered[-1]) if covered else "no coverage",
        sorted(set(kept.iterdir()) - before),
        done.stdout,
    )


def fuzz_all(targets: Sequence[str], seconds: int, seed: int, jobs: int) -> bool:
    """Fuzz these targets, some at once; tell whether nothing failed."""
    with ThreadPoolExecutor(jobs) as pool:
        results = list(pool.map(partial(fuzz, seconds=seconds, seed=seed), targets))
    for ran in results:
        sys.stdout.write(f"{ran}\n")
    return all(ran.ok for ran in results)


def main() -> None:
    """Fuzz, or run an input again, as the command line says."""
    parser = argparse.ArgumentParser(description="Fuzz trio_ws with atheris.")
    parser.add_argument("targets", nargs="*", metavar="target", help=", ".join(TARGETS))
    parser.add_argument("--seconds", type=int, default=20, help="for each target (%(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of libFuzzer (%(default)s)")
    parser.add_argument("--jobs", type=int, default=2, help="targets at once (%(default)s)")
    parser.add_argument("--reproduce", type=Path, metavar="FILE", help="run this input again")
    arguments = parser.parse_args()
    targets: list[str] = arguments.targets or list(TARGETS)
    if unknown := set(targets) - set(TARGETS):
        parser.error(f"there is no target {', '.join(unknown)}; there are {', '.join(TARGETS)}")
    if arguments.reproduce is not None:
        if len(targets) != 1:
            parser.error("an input is one target's: name it")
        TARGETS[targets[0]](arguments.reproduce.read_bytes())
        return
    if find_spec("atheris") is None:
        parser.error("atheris is not here: pip install -e '.[fuzz]'")
    if not fuzz_all(targets, arguments.seconds, arguments.seed, arguments.jobs):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
