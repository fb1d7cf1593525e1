"""Who is in a room, over all servers that share a broker.

A server tells whom it has at every change and every few seconds; of the others it knows what they
tell, until they fall silent.
"""

import json
import secrets
from collections.abc import Callable
from contextlib import suppress

import trio

from trio_ws.pubsub import Broker, BrokerUnavailable

TELL_EVERY, GONE_AFTER = 5.0, 12.0  # in seconds


class Presence:
    """The names of a room's people; what is to be done at a change is given."""

    def __init__(self, broker: Broker, topic: str, on_change: Callable[[], object]) -> None:
        self._broker, self._topic, self._on_change = broker, topic, on_change
        self._server = secrets.token_hex(8)
        self._here: list[str] = []
        self._elsewhere: dict[str, tuple[float, list[str]]] = {}
        self._newcomer = trio.Event()

    def people(self) -> list[str]:
        """Return all names; who is there twice has two."""
        return sorted(sum((names for _, names in self._elsewhere.values()), self._here))

    async def add(self, name: str) -> None:
        """Tell that somebody came to this server."""
        self._here.append(name)
        await self._tell()

    async def remove(self, name: str) -> None:
        """Tell that somebody left this server."""
        self._here.remove(name)
        await self._tell()

    async def listen(self) -> None:
        """Hear what other servers tell, for ever."""
        # What is missed is told again soon.
        async with self._broker.subscribe(
            self._topic, when_full="drop_oldest", when_missed="ignore"
        ) as told:
            async for message in told:
                server, names = json.loads(message)
                if server not in self._elsewhere and server != self._server:
                    self._newcomer.set()  # it has heard nothing of us
                if server != self._server:
                    self._elsewhere[server] = trio.current_time() + GONE_AFTER, names
                    self._on_change()

    async def repeat(self) -> None:
        """Tell the others who is here, and forget those who tell no more, for ever."""
        while True:
            self._newcomer = trio.Event()
            await self._tell()
            with trio.move_on_after(TELL_EVERY):
                await self._newcomer.wait()
            for server, (until, _) in tuple(self._elsewhere.items()):
                if until < trio.current_time():
                    del self._elsewhere[server]

    async def _tell(self) -> None:
        self._on_change()
        with suppress(BrokerUnavailable):
            await self._broker.publish(self._topic, json.dumps([self._server, self._here]))
