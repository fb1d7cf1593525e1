"""Rooms of the chat: what was said in them, and to whom it goes."""

import json
from collections import deque
from datetime import UTC, datetime

import trio

from examples.chat.presence import Presence
from trio_ws import WebSocket, broadcast
from trio_ws.pubsub import Broker, BrokerUnavailable, MessagesMissed

MOST_LINES = 50  # that somebody sees who comes in


class Room:
    """One room, as one server knows it."""

    def __init__(self, broker: Broker, name: str) -> None:
        self._broker, self._topic = broker, f"chat:{name}"
        self._members: dict[WebSocket, str] = {}
        self._lines = deque[str](maxlen=MOST_LINES)
        self._presence = Presence(broker, f"people:{name}", self._show_people)
        self._shown: list[str] = []

    async def run(self, task_status: trio.TaskStatus["Room"]) -> None:
        """Hand on what happens, for ever."""
        async with self._broker.subscribe(self._topic) as events, trio.open_nursery() as nursery:
            nursery.start_soon(self._presence.listen)
            nursery.start_soon(self._presence.repeat)
            task_status.started(self)
            while True:
                try:
                    line = str(await events.receive())
                except MessagesMissed:
                    line = json.dumps({"what": "gap"})
                self._lines.append(line)
                broadcast(self._members, line, when_full="drop")

    async def enter(self, ws: WebSocket, name: str) -> None:
        """Let somebody in, who sees what was said before."""
        for line in tuple(self._lines):
            await ws.send(line)
        await ws.send(json.dumps({"what": "people", "people": self._presence.people()}))
        self._members[ws] = name
        await self._presence.add(name)
        await self.publish(ws, what="join", name=name)

    async def leave(self, ws: WebSocket) -> None:
        """Let somebody go, if it is in."""
        if (name := self._members.pop(ws, None)) is not None:
            await self._presence.remove(name)
            await self.publish(ws, what="leave", name=name)

    async def publish(self, ws: WebSocket, **event: str) -> None:
        """Have everybody in the room hear something, or tell its author why not."""
        try:
            event["at"] = datetime.now(UTC).isoformat()
            await self._broker.publish(self._topic, json.dumps(event))
        except BrokerUnavailable:
            broadcast([ws], json.dumps({"what": "unavailable"}), when_full="drop")

    def _show_people(self) -> None:
        people = self._presence.people()
        if people != self._shown:
            self._shown = people
            broadcast(
                self._members, json.dumps({"what": "people", "people": people}), when_full="drop"
            )
