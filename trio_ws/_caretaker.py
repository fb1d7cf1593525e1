"""One task that watches the clock for all connections of a server, or for one client connection.

Lives here: when to look after which connection.  What is then done (a keepalive ping, an
understudy, giving up) the connection decides: `Watched` is all that is known of it here.
Invariant: the task exists only while there are connections, and ticks only while there is
something to watch; so an idle connection has no task and no timer of its own.
"""

from __future__ import annotations

import math
import select
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from trio_ws._transport import Spawn

# In seconds.  An application that stays away from `receive()` for one to two ticks has an
# understudy called in; nobody notices a pong that comes a tick later.
TICK = 0.1

# POLLRDHUP: "Stream socket peer closed connection, or shut down writing half of connection"
# (poll(2)); only Linux has it, elsewhere a peer that hung up is found by writing to it.
_HANGUP = getattr(select, "POLLRDHUP", 0)


class Watched(ABC):
    """What the caretaker needs of a connection, and keeps in it."""

    __slots__ = ("_alarm", "_left_at", "_watched")

    _alarm: int  # the tick-wide slot of the clock in which it wants to be rung, -1 for none
    _left_at: int  # the tick in which the application left receive()
    _watched: bool  # whether it is in the caretaker's set of those just left

    @abstractmethod
    def _look_after(self, ticks_away: int) -> bool:
        """Act when the application has been away too long; tell whether to go on watching."""

    @abstractmethod
    def _paused_fd(self) -> int | None:
        """Return the descriptor to watch for a hang-up, ``None`` when reading is not paused."""

    @abstractmethod
    def _hang_up(self) -> None:
        """Take note that the peer hung up while reading was paused."""

    @abstractmethod
    def _ring(self, now: float) -> float:
        """Do what is due; return when to be rung next (`math.inf`: not again)."""


class Caretaker:
    """Looks after connections, in one background task."""

    __slots__ = (
        "_alarms",
        "_connections",
        "_dozing",
        "_just_left",
        "_nap",
        "_paused",
        "_running",
        "_spawn",
        "ticks",
    )

    def __init__(self, spawn: Spawn) -> None:
        self._spawn = spawn
        self._connections: set[Watched] = set()
        self._just_left: set[Watched] = set()
        self._paused: set[Watched] = set()
        self._alarms: dict[int, set[Watched]] = {}
        self._running = False
        self._dozing = False
        self._nap: trio.CancelScope | None = None
        self.ticks: int = 0

    def add(self, connection: Watched) -> None:
        """Begin to look after a connection."""
        connection._alarm = -1
        connection._watched = False
        self._connections.add(connection)
        if not self._running:
            self._running = True
            self._spawn(self._run)
        self.watch(connection)

    def remove(self, connection: Watched) -> None:
        """Forget a connection; the task ends with the last one."""
        self._connections.discard(connection)
        self._just_left.discard(connection)
        self._paused.discard(connection)
        self._cancel_alarm(connection)
        if not self._connections:
            self._wake()

    def watch(self, connection: Watched) -> None:
        """Note that the application has just left `receive()`; nothing for one that was removed."""
        if connection not in self._connections:
            return  # a receive() after the close: nobody would ever take it out again
        connection._left_at = self.ticks
        connection._watched = True
        self._just_left.add(connection)
        self._paused.discard(connection)
        if self._dozing:
            self._wake()

    def pause(self, connection: Watched) -> None:
        """Note that nobody reads until the application comes: only a hang-up is looked for."""
        if connection not in self._connections:
            return
        self._paused.add(connection)
        if self._dozing:
            self._wake()

    def set_alarm(self, connection: Watched, when: float) -> None:
        """Ring this connection at this time, instead of at any other."""
        self._cancel_alarm(connection)
        if connection in self._connections and when < math.inf:
            slot = math.ceil(when / TICK)
            # The quotient was rounded; an alarm that is early would be set anew for ever.
            connection._alarm = slot if slot * TICK >= when else slot + 1
            self._alarms.setdefault(connection._alarm, set()).add(connection)
            if self._dozing:
                self._wake()

    def _cancel_alarm(self, connection: Watched) -> None:
        waiting = self._alarms.get(connection._alarm)
        if waiting is not None:
            waiting.discard(connection)
            if not waiting:
                del self._alarms[connection._alarm]
        connection._alarm = -1

    def _wake(self) -> None:
        if self._nap is not None:
            self._nap.cancel()

    @trio.lowlevel.enable_ki_protection
    async def _run(self) -> None:
        with trio.CancelScope(shield=True):
            while self._connections:
                if await self._sleep():
                    self.ticks += 1
                    self._look_after_absent()
                    self._look_for_hangups()
                    self._ring_alarms()
        self._running = False

    async def _sleep(self) -> bool:
        """Sleep until something is due; tell whether it is, or only what is due has changed.

        Being woken is no tick: a connection that comes out of `receive()` wakes whoever dozes,
        and if it was looked after at once, the next message would do so again.
        """
        if self._just_left or self._paused:
            deadline = trio.current_time() + TICK
        else:
            self._dozing = True
            deadline = min(self._alarms) * TICK if self._alarms else math.inf
        with trio.CancelScope(deadline=deadline) as self._nap:
            await trio.sleep_forever()
        self._dozing = False
        self._nap = None
        return trio.current_time() >= deadline

    def _look_after_absent(self) -> None:
        for connection in tuple(self._just_left):
            if not connection._look_after(self.ticks - connection._left_at):
                connection._watched = False
                self._just_left.discard(connection)

    def _look_for_hangups(self) -> None:
        watched: dict[int, Watched] = {}
        for connection in tuple(self._paused):
            fd = connection._paused_fd()
            if fd is None:
                self._paused.discard(connection)
            else:
                watched[fd] = connection
        if watched:
            poll = select.poll()
            for fd in watched:
                poll.register(fd, _HANGUP)
            # Errors and POLLHUP are reported without being asked for.
            for fd, _ in poll.poll(0):
                self._paused.discard(watched[fd])
                watched[fd]._hang_up()

    def _ring_alarms(self) -> None:
        now = trio.current_time()
        for slot in [slot for slot in self._alarms if slot * TICK <= now]:
            for connection in self._alarms.pop(slot):
                if connection._alarm == slot:  # or else another one's ring has changed it
                    self.set_alarm(connection, connection._ring(now))
