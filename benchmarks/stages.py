"""One peer in one row: the processes it takes, and a round of it.

Invariant: whatever a stage started has ended when its block is left.
"""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from typing import Self, cast

from benchmarks.children import Child, Cores
from benchmarks.clocks import Timed
from benchmarks.load import Plan
from benchmarks.peers import PeerInfo, Service
from benchmarks.results import Sample
from benchmarks.rows import Row, Stage
from benchmarks.workers import Question, generate_load, run_client, serve

# Before memory is measured, in seconds: whatever a library does for idle connections, trio_ws's
# understudies among it, has been done by then.
SETTLE_SECONDS = 0.5


class Performance(ABC):
    """A peer on stage."""

    def __init__(self, row: Row, peer: PeerInfo, cores: Cores) -> None:
        self.row = row
        self.peer = peer
        self.cores = cores
        self.service = Service(
            handler=row.handler,
            size=row.size,
            text=row.text,
            tls=row.tls,
            deflate=row.deflate,
            keepalive=row.stage is Stage.MEMORY,
        )
        self.count = 1  # how much a round is to do
        self._children: list[Child] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def end(self) -> None:
        """End all processes."""
        for child in self._children:  # servers first: they need not hear of the load's end
            child.end()

    @abstractmethod
    def prepare(self) -> None:
        """Wait until everybody is connected.

        Raises:
            ChildFailed: something did not start.
        """

    @abstractmethod
    def round(self, count: int) -> Timed:
        """Do about this much.

        Raises:
            ChildFailed: it did not work out.
        """

    @abstractmethod
    def sample(self) -> Sample:
        """Do a round, and return what one of what it did cost.

        Raises:
            ChildFailed: it did not work out.
        """

    def calibrate(self, seconds: float) -> None:
        """Have rounds take about this long; that warms up too.

        Raises:
            ChildFailed: it did not work out.
        """
        while True:
            # Twice, for one may meet a hiccup, and rounds much too short would come of it.
            timed = min((self.round(self.count) for _ in range(2)), key=lambda one: one.seconds)
            if timed.seconds >= seconds / 4:
                break
            self.count = max(timed.count, self.count) * 4
        self.count = max(1, math.ceil(timed.count * seconds / timed.seconds))


class Loaded(Performance):
    """A server, and the bare load generator or the peer's own client on the other core."""

    def __init__(self, row: Row, peer: PeerInfo, cores: Cores) -> None:
        super().__init__(row, peer, cores)
        self._server = Child(serve, cores.server, peer.name, self.service)
        if row.stage is Stage.TWO_PROCESSES:
            self._load = Child(run_client, cores.load, peer.name, self.service)
        else:
            self._load = Child(generate_load, cores.load)
        self._children += [self._server, self._load]

    def prepare(self) -> None:
        """Wait for the server, then for the connections to it."""
        port = cast("int", self._server.answer())
        own_client = self.row.stage is Stage.TWO_PROCESSES
        self._load.ask(port if own_client else plan_of(self.row, self.peer, port))

    def round(self, count: int) -> Timed:
        """Have the load do so much."""
        return cast("Timed", self._load.ask(count))

    def sample(self) -> Sample:
        """Do a round, and look at the server's clock before and after."""
        before = self._ask_number("cpu")
        timed = self.round(self.count)
        cpu = self._ask_number("cpu") - before
        count = timed.count
        # A peer's own client is as busy as its server; that says nothing.
        own_client = self.row.stage is Stage.TWO_PROCESSES
        load_cpu = None if own_client else timed.cpu / count
        return Sample(timed.seconds / count, cpu / count, load_cpu)

    def _ask_number(self, question: Question) -> float:
        return cast("float", self._server.ask(question))


class Memory(Loaded):
    """A server, and connections to it that do nothing."""

    def sample(self) -> Sample:
        """Open connections, and look at the server's memory before and after."""
        before = self._settled_memory()
        timed = self.round(self.count)
        return Sample((self._settled_memory() - before) / timed.count, None)

    def _settled_memory(self) -> float:
        time.sleep(SETTLE_SECONDS)
        return self._ask_number("memory")


class OneProcess(Performance):
    """The peer's own client and server, sharing an event loop."""

    def __init__(self, row: Row, peer: PeerInfo, cores: Cores) -> None:
        super().__init__(row, peer, cores)
        self._both = Child(run_client, cores.server, peer.name, self.service)
        self._children.append(self._both)

    def prepare(self) -> None:
        """Wait until the two are connected."""
        self._both.ask(None)

    def round(self, count: int) -> Timed:
        """Have the client make so many round trips."""
        return cast("Timed", self._both.ask(count))

    def sample(self) -> Sample:
        """Do a round; the client looks at the clocks itself."""
        timed = self.round(self.count)
        return Sample(timed.seconds / timed.count, timed.cpu / timed.count)


def put_on_stage(row: Row, peer: PeerInfo, cores: Cores) -> Performance:
    """Start the processes of a peer in a row; `Performance.prepare` waits for them."""
    kinds: dict[Stage, type[Performance]] = {Stage.ONE_PROCESS: OneProcess, Stage.MEMORY: Memory}
    return kinds.get(row.stage, Loaded)(row, peer, cores)


def plan_of(row: Row, peer: PeerInfo, port: int) -> Plan:
    """Return what the load generator has to do in a row."""
    return Plan(
        load=row.load,
        port=port,
        size=row.size,
        text=row.text,
        connections=0 if row.load in {"churn", "hold"} else row.connections,
        echoes_frames=peer.echoes_frames,
    )
