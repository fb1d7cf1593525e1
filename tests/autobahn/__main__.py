"""Run Autobahn's test suite against the library: ``python -m tests.autobahn``.

Both roles run at the same time.  The exit status is 0 when every case came out as expected, else 1.
``TRIO_WS_PURE=1`` tests the lane in plain Python.
"""

import argparse
import signal
import sys
from collections import Counter
from pathlib import Path
from typing import NoReturn

import trio

from tests.autobahn.cases import COMPRESSED_SHARE, UNCOMPRESSED, complaints, select
from tests.autobahn.environment import NoPython27, make_environment
from tests.autobahn.suite import Role, Run, RunFailed
from trio_ws import run_siblings
from trio_ws.protocol import LANE

_ROLES: tuple[Role, ...] = ("client", "server")
_REPORTS = Path(__file__).parents[2] / "build" / "autobahn"


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.autobahn", description=__doc__)
    parser.add_argument("--role", choices=_ROLES, help="test only this one")
    parser.add_argument("--deflate", action="store_true", help="allow compression")
    parser.add_argument(
        "--cases",
        type=_patterns,
        help="such as '7.*,9.1.1'; by default all but those of compression, and with --deflate a"
        " share of these too",
    )
    parser.add_argument("--exclude", type=_patterns, default=[], help="likewise")
    parser.add_argument("--reports", type=Path, default=_REPORTS, help="default: %(default)s")
    parser.add_argument(
        "--timeout", type=float, default=7200, help="seconds for all of it (%(default)s)"
    )
    return parser.parse_args()


def _patterns(argument: str) -> list[str]:
    return argument.split(",")


async def judge(run: Run) -> list[str]:
    """Make one run, print its tally, and return what is wrong with it."""
    began = trio.current_time()
    try:
        verdicts = await run.verdicts()
    except RunFailed as error:
        return [f"{run.role}: {error}"]
    wrong = complaints(run.cases, verdicts)
    tally = ", ".join(
        f"{count} {behavior}"
        for behavior, count in Counter(each.behavior for each in verdicts.values()).most_common()
    )
    closing = sum(verdict.closing == "OK" for verdict in verdicts.values())
    sys.stdout.write(
        f"{run.role}, {LANE} lane: {len(verdicts)} of {len(run.cases)} cases: {tally}; closing:"
        f" {closing} OK; {len(wrong)} not as expected ({trio.current_time() - began:.0f} s)\n"
    )
    return [f"{run.role} {each}" for each in wrong]


async def run_suite(runs: list[Run]) -> list[str]:
    """Make all runs at the same time, and return what is wrong with them."""
    wrong: list[str] = []

    async def judge_one(run: Run) -> None:
        wrong.extend(await judge(run))

    async def judge_all() -> None:
        async with trio.open_nursery() as nursery:
            for run in runs:
                nursery.start_soon(judge_one, run)

    await run_siblings(judge_all, interrupt_when_terminated)
    return wrong


async def run_within(seconds: float, runs: list[Run]) -> list[str]:
    """Do that, or give up after so many seconds."""
    with trio.fail_after(seconds):
        return await run_suite(runs)


async def interrupt_when_terminated() -> NoReturn:
    """End as after Ctrl-C, that is with the processes that were started."""
    with trio.open_signal_receiver(signal.SIGTERM) as signals:
        await anext(aiter(signals))
    raise KeyboardInterrupt


def main() -> int:
    """Run what the command line asks for."""
    chosen = parse()
    patterns = [*UNCOMPRESSED, *(COMPRESSED_SHARE if chosen.deflate else ())]
    cases = select(chosen.cases or patterns, chosen.exclude)
    try:
        wstest = make_environment()
    except NoPython27 as error:
        sys.stderr.write(f"{error}\n")
        return 1
    runs = [
        Run(
            role=role,
            wstest=wstest,
            cases=cases,
            deflate=chosen.deflate,
            folder=chosen.reports.absolute() / f"{role}-{LANE}",
        )
        for role in _ROLES
        if chosen.role in {None, role}
    ]
    wrong = trio.run(run_within, chosen.timeout, runs)
    sys.stdout.write("".join(f"{each}\n" for each in wrong))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
