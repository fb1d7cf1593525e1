"""One run of the suite against one of our roles: two processes, and a report in JSON."""

import json
import socket
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import trio

from tests.autobahn.cases import Verdict
from trio_ws.protocol import LANE

Role = Literal["client", "server"]

_ROOT = Path(__file__).parents[2]

AGENT = f"trio_ws-{LANE}"
_HOST = "127.0.0.1"
_READY = 60.0  # seconds that a process may take to listen; it takes one


class RunFailed(Exception):
    """The suite has come to no end, or said that something is wrong with itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What is to be run, and where.

    Attributes:
        wstest: the suite's command.
        cases: which of its cases.
        deflate: whether we allow compression.
        folder: where reports and logs go.
    """

    role: Role
    wstest: Path
    cases: list[str]
    deflate: bool
    folder: Path

    async def verdicts(self) -> dict[str, Verdict]:
        """Run the cases, and return what the suite says of each.

        Raises:
            RunFailed: it says nothing.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        index = self.folder / "index.json"
        index.unlink(missing_ok=True)
        try:
            if self.role == "client":
                await self._test_client()
            else:
                await self._test_server()
        except* (subprocess.CalledProcessError, trio.TooSlowError) as group:
            errors = ", ".join(map(repr, group.exceptions))
            raise RunFailed(f"{errors}\n{self._said()}") from None
        self._check_logs()
        if not index.exists():
            raise RunFailed(f"there is no report\n{self._said()}")
        results = json.loads(index.read_text()).get(AGENT, {})
        return {
            case: Verdict(result["behavior"], result["behaviorClose"])
            for case, result in results.items()
        }

    async def _test_client(self) -> None:
        port = _free_port()
        url = f"ws://{_HOST}:{port}"
        async with self._running(self._wstest("fuzzingserver", {"url": url}), "wstest"):
            with trio.fail_after(_READY):
                await _wait_listening(port)
            await self._run(self._driver("client", url, AGENT), "driver")

    async def _test_server(self) -> None:
        async with self._running(self._driver("server"), "driver", piped=True) as driver:
            assert driver.stdout is not None
            with trio.fail_after(_READY):
                port = int(await driver.stdout.receive_some())
            servers = [{"agent": AGENT, "url": f"ws://{_HOST}:{port}"}]
            await self._run(self._wstest("fuzzingclient", {"servers": servers}), "wstest")

    def _wstest(self, mode: str, spec: dict[str, object]) -> list[str]:
        path = self.folder / "spec.json"
        spec |= {"outdir": str(self.folder), "cases": self.cases, "exclude-agent-cases": {}}
        path.write_text(json.dumps(spec, indent=1))
        return [str(self.wstest), "--mode", mode, "--spec", str(path), "--webport", "0"]

    def _driver(self, *arguments: str) -> list[str]:
        flags = ["--deflate"] if self.deflate else []
        return [sys.executable, "-W", "error", "-m", "tests.autobahn.driver", *flags, *arguments]

    async def _run(self, command: list[str], name: str) -> None:
        with self._log(name).open("wb") as log:
            await trio.run_process(command, cwd=_ROOT, stdout=log, stderr=log)

    @asynccontextmanager
    async def _running(
        self, command: list[str], name: str, *, piped: bool = False
    ) -> AsyncGenerator[trio.Process, None]:
        """Keep a process running for the block, and end both when one fails."""
        with self._log(name).open("wb") as log:
            stdout = subprocess.PIPE if piped else log
            run = partial(trio.run_process, command, cwd=_ROOT, stdout=stdout, stderr=log)
            async with trio.open_nursery() as nursery:
                yield await nursery.start(run)
                nursery.cancel_scope.cancel()

    def _check_logs(self) -> None:
        # An exception within a case is said in the suite's log alone; the driver, that is the
        # library, has nothing to say at all.
        if "Traceback" in self._log("wstest").read_text() or self._log("driver").read_text():
            raise RunFailed(self._said())

    def _log(self, name: str) -> Path:
        return self.folder / f"{name}.log"

    def _said(self) -> str:
        """Return the end of both logs, the suite's long lines cut."""
        tails: list[str] = []
        for log in map(self._log, ("wstest", "driver")):
            lines = log.read_text(errors="replace").splitlines() if log.exists() else []
            tails += [f"{log}:", *(line[:200] for line in lines[-20:])]
        return "\n".join(tails)


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind((_HOST, 0))
        port: int = sock.getsockname()[1]
        return port


async def _wait_listening(port: int) -> None:
    while True:
        try:
            await (await trio.open_tcp_stream(_HOST, port)).aclose()
        except OSError:
            await trio.sleep(0.05)
        else:
            return
