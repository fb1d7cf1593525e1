"""What a peer is: a server that handles connections in five ways, and a client.

Imports no event loop and no library, for every process imports this.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from itertools import cycle, islice, repeat
from typing import Any, TypeAlias, TypeVar

from benchmarks.frames import documents, message
from benchmarks.rows import Handler

T = TypeVar("T")

HOST = "127.0.0.1"

MAX_MESSAGE_SIZE = 16 * 1024 * 1024
"""Every peer is told to take messages of this size, in bytes."""

RoundTrips: TypeAlias = Callable[[int], Awaitable[None]]
"""Sends the service's message and receives the answer, so many times."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """What a server is to do with its connections."""

    handler: Handler
    size: int
    """Of the row's messages, in bytes."""
    text: bool
    tls: bool = False
    deflate: bool = False
    """Whether messages are compressed."""
    keepalive: bool = False
    """Whether pings are sent as often as they are by default."""

    @property
    def message(self) -> str | bytes:
        """The message that the handler, or the peer's own client, sends."""
        return message(self.size, text=self.text)

    def messages(self, count: int) -> Iterator[str | bytes]:
        """Return so many messages for the peer's own client to send, one by one.

        Compressed ones are alike and not the same, as those of an application are.
        """
        if self.deflate:
            return islice(cycle(documents(self.size)), count)
        return repeat(self.message, count)

    def url(self, port: int) -> str:
        """Return where the server is."""
        return f"{'wss' if self.tls else 'ws'}://{HOST}:{port}/"


class Peer(ABC):
    """One library: its event loop, its server, its client."""

    @abstractmethod
    def run(self, main: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run an async function in a fresh event loop."""

    @abstractmethod
    async def in_thread(self, function: Callable[[], T]) -> T:
        """Call a function that blocks, without blocking the event loop."""

    @abstractmethod
    async def sleep_forever(self) -> None:
        """Wait until the process is ended."""

    @abstractmethod
    def serving(self, service: Service) -> AbstractAsyncContextManager[int]:
        """Run a server inside the block; the port it listens on is what is yielded."""

    @abstractmethod
    def connected(self, service: Service, port: int) -> AbstractAsyncContextManager[RoundTrips]:
        """Connect the library's own client."""
