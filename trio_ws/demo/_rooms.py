"""Rooms of the chat: what was said in them, and to whom it goes."""

import json
from collections import deque
from collections.abc import Iterable
from datetime import UTC, datetime

import trio

from trio_ws import WebSocket, broadcast
from trio_ws.demo._presence import Presence
from trio_ws.pubsub import Broker, BrokerUnavailable, MessagesMissed, Subscription

MOST_EVENTS = 50  # that somebody sees who comes in


class Room:
    """One room, as one server knows it."""

    def __init__(self, broker: Broker, name: str) -> None:
        self._broker, self._topic = broker, f"chat:{name}"
        self._members: dict[WebSocket, str] = {}
        self._events = deque[dict[str, str]](maxlen=MOST_EVENTS)
        self._presence = Presence(broker, f"people:{name}", self._show_people)
        self._shown: list[str] = []
        self._scope = trio.CancelScope()
        self.visitors = 0
        """How many are in, or about to come in."""

    async def run(self, task_status: trio.TaskStatus["Room"]) -> None:
        """Hand on what happens, until the room is closed."""
        # Who says more than this in a moment is not read anyway, and must not end the room.
        subscribe = self._broker.subscribe(self._topic, max_queued=1000, when_full="drop_oldest")
        with self._scope:
            async with subscribe as events, trio.open_nursery() as nursery:
                nursery.start_soon(self._presence.listen)
                nursery.start_soon(self._presence.repeat)
                task_status.started(self)
                await self._hand_on(events)

    async def _hand_on(self, events: Subscription) -> None:
        while True:
            try:
                event = json.loads(await events.receive())
            except MessagesMissed:
                event = {"what": "gap"}
            self._events.append(event)
            self._tell(self._members, event)

    def close(self) -> None:
        """Forget what was said; nobody may be in."""
        self._scope.cancel()

    async def enter(self, ws: WebSocket, name: str) -> None:
        """Let somebody in, who sees what was said before."""
        # Between these two there is no await: nothing comes twice or never.
        self._tell([ws], {"what": "history", "events": [*self._events]})
        self._members[ws] = name
        await self._presence.add(name)
        await self.publish(ws, what="join", name=name)

    async def leave(self, ws: WebSocket) -> None:
        """Let somebody go who was in."""
        name = self._members.pop(ws)
        await self._presence.remove(name)
        await self.publish(ws, what="leave", name=name)

    async def publish(self, ws: WebSocket, **event: str) -> None:
        """Have everybody in the room hear something, or tell its author why not."""
        try:
            event["at"] = datetime.now(UTC).isoformat()
            await self._broker.publish(self._topic, json.dumps(event))
        except BrokerUnavailable:
            self._tell([ws], {"what": "unavailable"})

    def _show_people(self) -> None:
        people = self._presence.people()
        if people != self._shown:
            self._shown = people
            self._tell(self._members, {"what": "people", "people": people})

    def _tell(self, members: Iterable[WebSocket], event: object) -> None:
        # Whoever does not keep up is closed, comes back, and sees what it has missed.
        broadcast(members, json.dumps(event), when_full="close")
