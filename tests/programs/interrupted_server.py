"""A server that is interrupted at random times under load, again and again.

    python -m tests.programs.interrupted_server SEED ROUNDS

Peers are plain sockets in threads: they send without end, and keep every byte that they receive.
Ends with an AssertionError when an interrupt has done more than to end the server: one
KeyboardInterrupt comes out, and every peer has seen whole frames and then 1001, or nothing of a
WebSocket at all.  What else is lost (sockets, tasks, coroutines) Python says on stderr, if asked to
by ``-X dev``.
"""

import contextlib
import gc
import os
import random
import signal
import socket
import sys
import threading
import time
from typing import cast

import trio

from tests.servers import echo
from trio_ws import Server, serve_websocket
from trio_ws.testing import Opcode, build_frame, parse_frames, upgrade_request

PEERS = 4

# In seconds: all of the opening handshakes fall into it, and a good many messages.
LATEST_INTERRUPT = 0.05

MESSAGES = b"".join(
    build_frame(Opcode.BINARY, bytes(size), mask_key=b"abcd") for size in (1, 100, 5_000, 70_000)
)

GOING_AWAY = build_frame(Opcode.CLOSE, (1001).to_bytes(2))


class Peer:
    """A client that sends for ever and takes what comes."""

    def __init__(self, port: int) -> None:
        self.received = bytearray()
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=each) for each in (self._send, self._receive)]
        for thread in self._threads:
            thread.start()

    def _send(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.sendall(upgrade_request())
            while not self._stop.is_set():
                self._socket.sendall(MESSAGES)

    def _receive(self) -> None:
        with contextlib.suppress(OSError):
            while data := self._socket.recv(65536):
                self.received += data
                if self.received.endswith(GOING_AWAY):
                    self._hang_up()
        self._hang_up()

    def _hang_up(self) -> None:
        self._stop.set()
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)

    def check(self) -> None:
        """See what was received, once the server has gone."""
        for thread in self._threads:
            thread.join()
        self._socket.close()
        head, _, data = bytes(self.received).partition(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 101 "):
            assert not data
            return
        frames, rest = parse_frames(data, masked=False)
        assert rest == b"", f"a frame was torn after {len(rest)} bytes"
        assert frames, "no Close frame came"
        assert frames[-1].opcode == Opcode.CLOSE
        assert frames[-1].close_code == 1001


def run(delay: float) -> None:
    """Serve until the interrupt, and see what it has done."""
    peers: list[Peer] = []

    def interrupt() -> None:
        time.sleep(delay)
        os.kill(os.getpid(), signal.SIGINT)

    interrupting = threading.Thread(target=interrupt)

    @trio.lowlevel.enable_ki_protection  # the test is not what is tested
    async def main() -> None:
        async with trio.open_nursery() as nursery:
            server: Server = await nursery.start(serve_websocket, echo, "127.0.0.1", 0)
            peers.extend(Peer(server.port) for _ in range(PEERS))
            interrupting.start()

    kinds: list[type[BaseException]] = []
    try:
        trio.run(main)
    except BaseException as exc:  # noqa: BLE001 - all of it is looked at
        kinds = leaves(exc)
    interrupting.join()
    gc.collect()
    for peer in peers:
        peer.check()
    assert kinds == [KeyboardInterrupt], kinds


def leaves(error: BaseException) -> list[type[BaseException]]:
    """Return the types of what is in a group, however deep, or of the exception itself."""
    if isinstance(error, BaseExceptionGroup):
        group = cast("BaseExceptionGroup[BaseException]", error)
        return [kind for each in group.exceptions for kind in leaves(each)]
    return [type(error)]


if __name__ == "__main__":
    random.seed(int(sys.argv[1]))
    for _ in range(int(sys.argv[2])):
        run(random.uniform(0, LATEST_INTERRUPT))
