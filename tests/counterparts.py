"""Other WebSocket libraries behind one interface, in either role: whom we have to get on with.

Here live the interface, which is the least that a conversation takes, and what the websockets
package, being three libraries, has in common.  Limits, compression and keepalive of the others
stay at their defaults.
"""

import ssl
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import trio
import websockets
from websockets.typing import Subprotocol

HOST = "127.0.0.1"

T = TypeVar("T")
Message = str | bytes


class Rejected(Exception):
    """The server has answered the opening handshake with this status."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class Counterpart(ABC):
    """One end of a connection, made by another library.

    Whatever it is in the middle of when it is closed raises something.
    """

    @property
    @abstractmethod
    def subprotocol(self) -> str | None:
        """What was agreed on."""

    @abstractmethod
    async def send(self, message: Message) -> None:
        """Send a message in one frame."""

    @abstractmethod
    async def send_fragments(self, parts: Sequence[Message]) -> None:
        """Send a message in a frame for each part; where the library cannot, in one frame."""

    @abstractmethod
    async def receive(self) -> Message:
        """Return the next message."""

    @abstractmethod
    async def ping(self) -> None:
        """Send a ping and wait for its pong; no message comes before that."""

    @abstractmethod
    async def close(self, code: int, reason: str) -> None:
        """Shake hands to close."""

    @abstractmethod
    async def abort(self) -> None:
        """Close the stream below at once."""

    @abstractmethod
    async def wait_closed(self) -> tuple[int | None, str | None]:
        """Wait until the connection is closed; return the code and the reason received."""


@dataclass(frozen=True, slots=True)
class CounterpartServer:
    """A server of another library.

    Attributes:
        port: where it listens.
        accepted: its ends of the connections, as they come.
        drain: close all connections with 1001 and stop; ``None`` where the library cannot.
    """

    port: int
    accepted: trio.MemoryReceiveChannel[Counterpart]
    drain: Callable[[], Awaitable[object]] | None


class Library(ABC):
    """How to connect with a library, and how to serve with it."""

    name: str
    cancellable = True
    """Whether a task that sends can be cancelled."""

    @abstractmethod
    def connect(
        self, url: str, tls: ssl.SSLContext | None, subprotocols: Sequence[str] = ()
    ) -> AbstractAsyncContextManager[Counterpart]:
        """Connect; raise `Rejected` when the server does not want it."""

    @abstractmethod
    def serve(
        self, tls: ssl.SSLContext | None, subprotocols: Sequence[str] = (), *, rejects: bool = False
    ) -> AbstractAsyncContextManager[CounterpartServer]:
        """Serve, or answer every request with 403."""


def offered_subprotocols(names: Sequence[str]) -> list[Subprotocol] | None:
    """Return subprotocols as the websockets package wants them."""
    return [Subprotocol(name) for name in names] or None


# The websockets package


@asynccontextmanager
async def rejections_of_websockets(
    connecting: AbstractAsyncContextManager[T],
) -> AsyncGenerator[T, None]:
    """Connect with the websockets package; raise `Rejected` when the server does not want it."""
    async with AsyncExitStack() as stack:
        try:
            connection = await stack.enter_async_context(connecting)
        except websockets.InvalidStatus as exc:
            raise Rejected(exc.response.status_code) from exc
        yield connection


def reject_with_websockets(connection: Any, _: object) -> Any:
    """Be a server's process_request that rejects everybody, and says why."""
    return connection.respond(403, "not you")
