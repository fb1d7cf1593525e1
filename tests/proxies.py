"""Proxies for the tests: real programs in processes of their own, and what stands before them.

The programs are those of Debian: tinyproxy speaks HTTP, microsocks SOCKS5.  Each gets a free port.
"""

import socket
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from subprocess import DEVNULL

import trio

from tests.clients import LOOPBACK
from tests.connections import HANGS
from tests.debian import installed
from trio_ws.testing import TLSContexts

# In seconds: how often to look whether a program listens yet, for they do not tell.
LOOK_EVERY = 0.01

TINYPROXY = """
Port {port}
Listen 127.0.0.1
Allow 127.0.0.1
LogLevel Critical
"""


@asynccontextmanager
async def tinyproxy(directory: Path, *more: str) -> AsyncGenerator[int, None]:
    """Run an HTTP proxy, with more lines of configuration; yield its port."""
    with reserved_port() as port:
        path = directory / "tinyproxy.conf"
        path.write_text("\n".join((TINYPROXY.format(port=port), *more, "")), encoding="utf-8")
        async with running(port, "tinyproxy", "-d", "-c", str(path)):
            yield port


@asynccontextmanager
async def microsocks(*options: str) -> AsyncGenerator[int, None]:
    """Run a SOCKS5 proxy; yield its port."""
    with reserved_port() as port:
        async with running(port, "microsocks", "-i", LOOPBACK, "-p", str(port), *options):
            yield port


@contextmanager
def reserved_port() -> Generator[int]:
    """Keep a port free for a program that will listen on it.

    It may bind to the port as well, for each does so with this option and only one listens.
    """
    with socket.socket() as reserving:
        reserving.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        reserving.bind((LOOPBACK, 0))
        yield reserving.getsockname()[1]


@asynccontextmanager
async def running(port: int, program: str, *arguments: str) -> AsyncGenerator[None, None]:
    """Run a program in this block, which begins when it listens."""
    process = await trio.lowlevel.open_process(
        [installed(program), *arguments], stdin=DEVNULL, stdout=DEVNULL, stderr=DEVNULL
    )
    try:
        with trio.fail_after(HANGS):
            while not await listens(port):
                assert process.poll() is None, f"{program} has ended"
                await trio.sleep(LOOK_EVERY)
        yield
    finally:
        process.kill()
        with trio.CancelScope(shield=True):
            await process.wait()


async def listens(port: int) -> bool:
    """Tell whether somebody listens on a port."""
    try:
        stream = await trio.open_tcp_stream(LOOPBACK, port)
    except OSError:
        return False
    await stream.aclose()
    return True


@asynccontextmanager
async def relay(
    port: int, tls: TLSContexts | None = None
) -> AsyncGenerator[tuple[int, bytearray], None]:
    """Stand before a server, with TLS if wanted; yield a port and what is sent to the server."""
    sent = bytearray()

    async def serve(client: trio.abc.Stream) -> None:
        if tls is not None:
            client = trio.SSLStream(client, tls.server, server_side=True, https_compatible=True)
        async with (
            client,
            await trio.open_tcp_stream(LOOPBACK, port) as server,
            trio.open_nursery() as nursery,
        ):
            nursery.start_soon(pump, server, client)
            await pump(client, server, sent)
            nursery.cancel_scope.cancel()

    async with trio.open_nursery() as nursery:
        listeners: list[trio.SocketListener] = await nursery.start(
            partial(trio.serve_tcp, serve, 0, host=LOOPBACK)
        )
        yield listeners[0].socket.getsockname()[1], sent
        nursery.cancel_scope.cancel()


async def pump(
    source: trio.abc.Stream, target: trio.abc.Stream, copy: bytearray | None = None
) -> None:
    """Carry bytes one way until that ends; keep a copy."""
    try:
        async for data in source:
            if copy is not None:
                copy += data
            await target.send_all(data)
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        pass  # either end may hang up as it likes
