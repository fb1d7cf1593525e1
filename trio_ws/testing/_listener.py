"""A listener in memory: servers without sockets, ports and addresses.

Here lives only how a connection comes about; the streams are made by whatever function the caller
gives.  Invariant: every connection made is either accepted, still in the backlog, or reset by the
close of the listener; none is forgotten with a client waiting on it.
"""

from __future__ import annotations

import errno
from collections import deque
from collections.abc import Callable

import trio

from trio_ws.testing._streams import BoundedStream, OneTask, at_least_one, bounded_stream_pair


class MemoryListener(trio.abc.Listener[BoundedStream]):
    """A `trio.abc.Listener` to which the other side connects by `connect`.

    Args:
        make_pair: makes the two ends of each connection, the client's first; by default
            `bounded_stream_pair` with its defaults.  For other bounds:
            ``partial(bounded_stream_pair, 4096, max_write=100)``.
        backlog: how many connections may wait for `accept` before `connect` blocks.

    Raises:
        ValueError: ``backlog`` is less than 1.
        TypeError: ``backlog`` is no integer.
    """

    __slots__ = ("_accepting", "_backlog", "_closed", "_made", "_make_pair", "_pending", "_room")

    def __init__(
        self,
        make_pair: Callable[[], tuple[BoundedStream, BoundedStream]] = bounded_stream_pair,
        *,
        backlog: int = 128,
    ) -> None:
        self._make_pair = make_pair
        self._backlog = at_least_one("backlog", backlog)
        self._pending = deque[BoundedStream]()  # the servers' ends
        self._closed = False
        self._accepting = OneTask("accepting connections on this listener")
        self._made = trio.lowlevel.ParkingLot()
        self._room = trio.lowlevel.ParkingLot()

    async def connect(self) -> BoundedStream:
        """Connect to this listener and return the client's end of the connection.

        As with TCP the connection is there once it is in the backlog, accepted or not; this waits
        while the backlog is full.  When cancelled it has made no connection.

        Raises:
            ConnectionRefusedError: the listener is closed, before or meanwhile.
        """
        await trio.lowlevel.checkpoint()
        while not self._closed and len(self._pending) >= self._backlog:
            await self._room.park()
        if self._closed:
            # What the client of a real listener would see: it was not the client that closed it.
            raise ConnectionRefusedError(errno.ECONNREFUSED, "the listener is closed")
        client, server = self._make_pair()
        self._pending.append(server)
        self._made.unpark()
        return client

    async def accept(self) -> BoundedStream:
        """Wait for the next connection and return the server's end of it.

        Connections come in the order in which they were made.  When cancelled it has taken none.

        Raises:
            trio.BusyResourceError: another task is accepting.
            trio.ClosedResourceError: the listener was closed, before or meanwhile.
        """
        with self._accepting:
            await trio.lowlevel.checkpoint()
            while not self._pending:
                if self._closed:
                    raise trio.ClosedResourceError("this listener was closed")
                await self._made.park()
            self._room.unpark()
            return self._pending.popleft()

    async def aclose(self) -> None:
        """Stop listening, and reset the connections that nobody has accepted.

        Connections that were accepted live on.  A waiting `accept` gets
        `trio.ClosedResourceError`, a waiting `connect` gets ConnectionRefusedError.  Idempotent.
        Never blocks; when cancelled it raises `trio.Cancelled` with everything closed.
        """
        self._closed = True
        while self._pending:
            self._pending.popleft().reset()
        self._made.unpark_all()
        self._room.unpark_all()
        await trio.lowlevel.checkpoint()
