"""Rooms over several server processes and one Redis, and what their members hear meanwhile.

The servers are processes that run ``examples/publish_subscribe.py``.  In each room some members
speak, one numbered message after the other, and all listen.  Amid that one server is killed, and
another one takes its place; who was connected to it comes back.  Speakers are on the other
servers, so that it is known that each message was sent.
"""

import signal
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial

import trio

from tests.redis_server import running_redis
from tests.running import running
from trio_ws import ConnectionClosed, WebSocket, open_websocket_url, run_siblings

AWAY = "(was away)"
SERVERS = 3  # of which the last one is killed
SPEAKERS = SERVERS - 1  # in each room, one on each of the others


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How large it is: rooms, members in all of them together, messages of each speaker."""

    rooms: int
    members: int
    messages: int

    @property
    def said(self) -> list[str]:
        """What each speaker says; the last of it when everybody is back."""
        return [*map(str, range(self.messages)), "last"]


class House:
    """Where the servers are as of now, and a place to wait for what members do."""

    def __init__(self, addresses: list[str]) -> None:
        self.addresses = addresses
        self.replaced = trio.Event()  # the server that was killed has a successor
        self.all_here = trio.Event()
        self.all_back = trio.Event()
        self._changed = trio.lowlevel.ParkingLot()

    def changed(self) -> None:
        """Tell whoever waits that something has happened."""
        self._changed.unpark_all()

    async def wait(self, happened: Callable[[], bool]) -> None:
        """Wait until this is so."""
        while not happened():
            await self._changed.park()


class Member:
    """One client: where it is, and what it has heard, by speaker, and with its absences."""

    def __init__(self, house: House, plan: Plan, number: int) -> None:
        self.name = f"m{number}"
        self.room = f"room{number % plan.rooms}"
        turn = number // plan.rooms
        self.server = turn % SERVERS
        self.speaks = turn < SPEAKERS
        self.heard: list[str] = []
        self.times_entered = 0
        self.said = 0
        self.gone = False
        self._house = house
        self._plan = plan

    async def stay(self) -> None:
        """Listen until all speakers are done; come back when the connection breaks."""
        while self._missing_lasts:
            url = self._house.addresses[self.server] + self.room
            try:
                async with open_websocket_url(url) as ws:
                    await self._take_part(ws)
            except ConnectionClosed:
                self.heard.append(AWAY)
                await self._house.replaced.wait()
        self.gone = True
        self._house.changed()

    @property
    def _missing_lasts(self) -> int:
        return SPEAKERS - sum(message.endswith("last") for message in self.heard)

    async def _take_part(self, ws: WebSocket) -> None:
        assert await ws.receive() == f"(you are in /{self.room})"
        self.times_entered += 1
        self._house.changed()
        if self.speaks:
            await run_siblings(partial(self._listen, ws), partial(self._speak, ws))
        else:
            await self._listen(ws)

    async def _listen(self, ws: WebSocket) -> None:
        while self._missing_lasts:
            self.heard.append(str(await ws.receive()))
            self._house.changed()

    async def _speak(self, ws: WebSocket) -> None:
        await self._house.all_here.wait()
        for what in self._plan.said:
            if what == "last":
                await self._house.all_back.wait()
            message = f"{self.name} {what}"
            await ws.send(message)
            await self._house.wait(partial(self.heard.__contains__, message))
            self.said += 1
            self._house.changed()
        await trio.sleep_forever()  # the sibling listens until all have said their last

    def heard_of(self, speaker: "Member") -> list[list[str]]:
        """Return what it has heard of a speaker: a list for each of its stays."""
        stays: list[list[str]] = [[]]
        for message in self.heard:
            name, _, what = message.partition(" ")
            if message == AWAY:
                stays.append([])
            elif name == speaker.name:
                stays[-1].append(what)
        return stays


async def play(plan: Plan) -> list[Member]:
    """Play it, and return the members when all is said."""
    async with running_redis() as redis, AsyncExitStack() as servers:
        serve = partial(running, "publish_subscribe.py", 0, redis.url)
        processes = [await servers.enter_async_context(serve()) for _ in range(SERVERS)]
        house = House([await process.address() for process in processes])
        members = [Member(house, plan, number) for number in range(plan.members)]
        speakers = [member for member in members if member.speaks]
        async with trio.open_nursery() as nursery:
            for member in members:
                nursery.start_soon(member.stay)
            await house.wait(lambda: all(member.times_entered for member in members))
            house.all_here.set()
            await house.wait(lambda: all(each.said >= plan.messages // 2 for each in speakers))
            processes[-1].send_signal(signal.SIGKILL)
            await processes[-1].finish(-signal.SIGKILL)
            async with serve() as successor:
                house.addresses[-1] = await successor.address()
                house.replaced.set()
                victims = [member for member in members if member.server == SERVERS - 1]
                await house.wait(lambda: all(member.times_entered == 2 for member in victims))
                house.all_back.set()
                await house.wait(lambda: all(member.gone for member in members))
    return members


def judge(plan: Plan, members: list[Member]) -> int:
    """See that nobody has missed anything but while it was away; return how much that was.

    Nothing is heard twice or out of order: what a member hears of a speaker is all that was said,
    or the beginning of it and, after one absence, the end of it.
    """
    missed = 0
    for member in members:
        for speaker in members:
            if not speaker.speaks or speaker.room != member.room:
                continue
            stays = member.heard_of(speaker)
            if member.server < SERVERS - 1:
                assert stays == [plan.said]
            else:
                before, after = stays
                assert before == plan.said[: len(before)]
                assert after == plan.said[len(plan.said) - len(after) :]
                missed += len(plan.said) - len(before) - len(after)
                assert len(before) + len(after) <= len(plan.said)
    return missed
