"""Fixtures for pytest: both ends of a WebSocket, servers in memory and on loopback, TLS.

Opt-in: ``pytest_plugins = ["trio_ws.testing.pytest_plugin"]`` in the top-level ``conftest.py``, or
``-p trio_ws.testing.pytest_plugin``.  The async ones need what runs async tests on Trio:
pytest-trio, with or without ``trio_mode``, or the plugin of anyio on its Trio backend.

A handler that raises fails the test, with its exception, as it was raised.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING, Protocol, TypeVar, Unpack

import pytest
import trio

from trio_ws import ServerOptions, WebSocket
from trio_ws.testing import (
    LoopbackServer,
    MemoryServer,
    TLSContexts,
    memory_websocket_pair,
    serve_in_memory,
    serve_on_loopback,
    tls_contexts,
)
from trio_ws.testing._servers import raise_failures, watched
from trio_ws.testing._tls import new_authority

if TYPE_CHECKING:
    import trustme

    from trio_ws._serving import Handler

__all__ = ["StartLoopbackServer", "StartMemoryServer"]

T = TypeVar("T")

_FAILURES = pytest.StashKey[list[BaseException]]()


class StartMemoryServer(Protocol):
    """What the fixture ``memory_server`` is: call it as `trio_ws.testing.serve_in_memory`."""

    def __call__(
        self,
        handler: Handler,
        *,
        isolate_handlers: bool = False,
        max_connections: int | None = None,
        **options: Unpack[ServerOptions],
    ) -> Awaitable[MemoryServer]:
        """Start a server; it ends with the test."""
        ...


class StartLoopbackServer(Protocol):
    """What the fixture ``loopback_server`` is: call it as `trio_ws.testing.serve_on_loopback`."""

    def __call__(
        self,
        handler: Handler,
        *,
        tls: TLSContexts | None = None,
        isolate_handlers: bool = False,
        max_connections: int | None = None,
        **options: Unpack[ServerOptions],
    ) -> Awaitable[LoopbackServer]:
        """Start a server; it ends with the test."""
        ...


@pytest.fixture
async def websocket_pair() -> AsyncGenerator[tuple[WebSocket, WebSocket], None]:
    """Both ends of one connection in memory, the client's and the server's, with no options.

    For options, `trio_ws.testing.memory_websocket_pair` in the test is as short.
    """
    async with memory_websocket_pair() as both:
        yield both


@pytest.fixture
async def memory_server(
    request: pytest.FixtureRequest,
) -> AsyncGenerator[StartMemoryServer, None]:
    """Start servers in memory, which end with the test.

    ``server = await memory_server(handler)``; arguments are those of
    `trio_ws.testing.serve_in_memory`.
    """
    async with _starting(request, serve_in_memory) as start:
        yield start


@pytest.fixture
async def loopback_server(
    request: pytest.FixtureRequest,
) -> AsyncGenerator[StartLoopbackServer, None]:
    """Start servers on loopback, which end with the test.

    ``server = await loopback_server(handler, tls=tls)``; arguments are those of
    `trio_ws.testing.serve_on_loopback`.
    """
    async with _starting(request, serve_on_loopback) as start:
        yield start


@pytest.fixture(scope="session")
def certificate_authority() -> trustme.CA:
    """A certificate authority for all tests; ``issue_cert(...)`` makes certificates of it."""
    return new_authority()


@pytest.fixture(scope="session")
def tls(certificate_authority: trustme.CA) -> TLSContexts:
    """SSL contexts for a server on this machine and for clients that trust it."""
    return tls_contexts(authority=certificate_authority)


@asynccontextmanager
async def _starting(
    request: pytest.FixtureRequest, serving: Callable[..., AbstractAsyncContextManager[T]]
) -> AsyncGenerator[Callable[..., Awaitable[T]], None]:
    """Yield what starts servers in a task of the fixture, for it is the one that ends them."""
    failures = request.node.stash.setdefault(_FAILURES, [])

    async def run(opening: AbstractAsyncContextManager[T], task_status: trio.TaskStatus[T]) -> None:
        async with opening as server:
            task_status.started(server)
            await trio.sleep_forever()

    async with trio.open_nursery() as nursery:
        # pytest-trio then cancels the test.  The runner of anyio would not survive it: there the
        # test goes on until it notices that its connection is closed.
        scope = None if "anyio_backend" in request.fixturenames else nursery.cancel_scope

        async def start(
            handler: Handler, *, isolate_handlers: bool = False, **options: object
        ) -> T:
            if not isolate_handlers:
                handler = watched(handler, failures, scope)
            opening = serving(handler, isolate_handlers=True, **options)
            server: T = await nursery.start(run, opening)
            return server

        yield start
        nursery.cancel_scope.cancel()
    if failures:  # of pytest-trio's the hook below makes something better
        raise BaseExceptionGroup("handlers failed", failures)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Raise what handlers have raised as it was, whatever group the runner makes of it."""
    __tracebackhide__ = True
    failures = item.stash.setdefault(_FAILURES, [])
    error: BaseException | None = None
    result: object = None
    try:
        result = yield
    except BaseException as exc:  # noqa: BLE001 - raised again, with the failures
        error = exc
    try:
        raise_failures(failures, error)
    finally:
        failures.clear()
        del error
    return result
