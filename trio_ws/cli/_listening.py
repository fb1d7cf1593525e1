"""Where ``trio-ws serve`` listens: how it does so, and how a client gets there."""

from __future__ import annotations

import errno
import ipaddress
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import trio

from trio_ws import Server, ServerOptions, serve_websocket, serve_websocket_listeners
from trio_ws.cli._failures import reason
from trio_ws.cli._handler import Handler
from trio_ws.cli._server_tls import ServerTLS


class Place(Protocol):
    """Where to listen."""

    async def serve(
        self, handler: Handler, options: ServerOptions, *, task_status: trio.TaskStatus[Server]
    ) -> None:
        """Serve there, see `trio_ws.serve_websocket`.

        Raises:
            OSError: that cannot be done; it says where, why and what to do.
        """
        ...

    def directions(self, server: Server) -> tuple[str, str]:
        """Return where it is, and the arguments with which ``trio-ws connect`` gets there."""
        ...


class Port:
    """A TCP port."""

    def __init__(self, host: str, port: int, tls: ServerTLS) -> None:
        self._host = host
        self._port = port
        self._tls = tls

    async def serve(
        self, handler: Handler, options: ServerOptions, *, task_status: trio.TaskStatus[Server]
    ) -> None:
        """Serve there."""
        await serve_websocket(
            handler,
            self._host,
            self._port,
            self._tls.context,
            task_status=task_status,
            **options,
        )

    def directions(self, server: Server) -> tuple[str, str]:
        """Return the URL, and how to trust the certificate."""
        scheme = "ws" if self._tls.context is None else "wss"
        url = f"{scheme}://{connectable(self._host)}:{server.port}/"
        return url, url if self._tls.authority is None else f"--ca {self._tls.authority} {url}"


class UnixSocket:
    """The path of a Unix socket, which is there as long as it is served."""

    def __init__(self, path: str) -> None:
        self._path = path

    async def serve(
        self, handler: Handler, options: ServerOptions, *, task_status: trio.TaskStatus[Server]
    ) -> None:
        """Serve there."""
        listener = await _unix_listener(self._path)
        with _removed(Path(self._path)):
            await serve_websocket_listeners(handler, [listener], task_status=task_status, **options)

    def directions(self, server: Server) -> tuple[str, str]:  # noqa: ARG002 - as `Place` has it
        """Return the path."""
        return self._path, f"--unix {self._path}"


@contextmanager
def _removed(path: Path) -> Generator[None]:
    """Remove a file after the block; a socket's would be in the way of the next server."""
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


async def _unix_listener(path: str) -> trio.SocketListener:
    listening = trio.socket.socket(trio.socket.AF_UNIX, trio.socket.SOCK_STREAM)
    try:
        await listening.bind(path)
        listening.listen()
    except OSError as error:
        listening.close()
        hint = "; remove it, if no server uses it" if error.errno == errno.EADDRINUSE else ""
        problem = f"cannot listen on {path}: {reason(error)}{hint}"
        raise OSError(error.errno, problem) from error
    return trio.SocketListener(listening)


def connectable(host: str) -> str:
    """Return a host for a URL: of all addresses, which nobody can connect to, the local one."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if address.is_unspecified:
        return "localhost"
    return f"[{address}]" if address.version == 6 else str(address)
