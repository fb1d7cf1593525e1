"""`trio_ws.blocking`: a WebSocket for threads without Trio."""

import queue
import signal
import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent import futures
from concurrent.futures import Future
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import Self

import pytest
import trio

from trio_ws import (
    ClosedLocally,
    ConnectionBroken,
    ConnectionEnded,
    ConnectionRejected,
    Request,
    Response,
    Server,
    WebSocket,
    blocking,
    serve_websocket,
)
from trio_ws.protocol.handshake import ServerHandshake

HOST = "127.0.0.1"


@pytest.fixture(autouse=True)
def no_thread_left() -> Iterator[None]:
    """Hold every test to it that no thread of ours outlives its connection."""
    yield
    assert [each for each in threading.enumerate() if each.name == "trio_ws.blocking"] == []


def interrupt() -> None:
    """Send the main thread what Ctrl-C sends."""
    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)


class Served:
    """A server of ours in a thread; its handler does what the messages say, or echoes them."""

    def __init__(self) -> None:
        self.codes = queue.Queue[int]()
        """How connections were closed by clients."""
        self._started = queue.Queue[tuple[Server, trio.lowlevel.TrioToken]]()
        self._thread = threading.Thread(target=trio.run, args=(self._serve,))
        self._thread.start()
        self._server, self._token = self._started.get()
        self.url = f"ws://{HOST}:{self._server.port}/"

    async def _serve(self) -> None:
        serve = partial(serve_websocket, process_request=self._answer)
        async with trio.open_nursery() as nursery:
            server: Server = await nursery.start(serve, self._handle, HOST, 0)
            self._started.put((server, trio.lowlevel.current_trio_token()))

    def _answer(self, request: Request) -> Response | None:
        return Response(403) if request.path == "/forbidden" else None

    async def _handle(self, ws: WebSocket) -> None:
        with suppress(ConnectionBroken):
            async for message in ws:
                await self._obey(ws, message)
        if ws.close_received is not None:
            self.codes.put(ws.close_received.code)

    async def _obey(self, ws: WebSocket, message: str | bytes) -> None:
        match message:
            case "close 1000" | "close 4000":
                await ws.aclose(int(message[-4:]))
            case "two":
                await ws.send("first")
                await ws.send("second")
            case "interrupt":
                interrupt()
                await ws.send("late")
            case "silence":
                pass
            case _:
                await ws.send(message)

    def stop(self) -> None:
        """End it, once its handlers have ended."""
        trio.from_thread.run(partial(self._server.aclose, grace=60), trio_token=self._token)
        self._thread.join()


@pytest.fixture
def served() -> Iterator[Served]:
    """Run a server for a test."""
    served = Served()
    yield served
    served.stop()


class Deaf:
    """A server that answers nothing, or the opening handshake alone; it tells what has come."""

    def __init__(self, *, shakes_hands: bool) -> None:
        self._shakes_hands = shakes_hands
        self._listener = socket.create_server((HOST, 0))
        self.url = f"ws://{HOST}:{self._listener.getsockname()[1]}/"
        self.on_data: Callable[[], object] = interrupt
        """Called at the first bytes that are not answered."""
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        with self._listener, self._listener.accept()[0] as connection:
            handshake = ServerHandshake()
            while self._shakes_hands and handshake.request is None:
                handshake.receive_data(connection.recv(4096))
            if self._shakes_hands:
                connection.sendall(handshake.accept())
            connection.recv(4096)
            self.on_data()
            while connection.recv(4096):
                pass

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.join()


def test_messages_go_both_ways(served: Served) -> None:
    """A text comes back as `str`, bytes as `bytes`, a ping as a time."""
    with blocking.open_websocket_url(served.url) as ws:
        ws.send("hello")
        assert ws.receive() == "hello"
        ws.send(b"\0\1")
        assert ws.receive(timeout=60) == b"\0\1"
        ws.send(b"text", text=True, timeout=60)
        assert ws.receive() == "text"
        assert ws.ping() > 0
        assert ws.ping(b"payload", timeout=60) > 0
        assert ws.websocket.statistics().messages_sent == 3
    assert served.codes.get() == 1000


def test_unix_socket(tmp_path: Path) -> None:
    """The same over a Unix socket: here what matters is who is asked."""
    with pytest.raises(FileNotFoundError):
        blocking.open_websocket_unix(tmp_path / "nobody")


def test_receive_in_no_time_takes_what_is_there(served: Served) -> None:
    """A timeout of 0 is a look; what comes later is there for the next call."""
    with blocking.open_websocket_url(served.url) as ws:
        with pytest.raises(TimeoutError, match="not done in 0 seconds"):
            ws.receive(timeout=0)
        ws.send("two")
        assert ws.receive() == "first"
        ws.ping()  # behind the second message
        assert ws.receive(timeout=0) == "second"
    assert served.codes.get() == 1000


@pytest.mark.parametrize("timeout", [-1, float("nan")])
def test_timeout_that_is_none_is_refused(served: Served, timeout: float) -> None:
    """A timeout below 0 is an error of the program; the connection does not suffer."""
    with blocking.open_websocket_url(served.url) as ws:
        with pytest.raises(ValueError, match="timeout must be at least 0 seconds"):
            ws.receive(timeout=timeout)
        ws.send("still there")
        assert ws.receive() == "still there"
    assert served.codes.get() == 1000


def test_iterating_ends_with_a_clean_close(served: Served) -> None:
    """Messages come until the server closes; after that `receive` raises."""
    with blocking.open_websocket_url(served.url) as ws:
        ws.send("two")
        ws.send("close 1000")
        assert list(ws) == ["first", "second"]
        with pytest.raises(ConnectionEnded):
            ws.receive()


def test_iterating_raises_after_another_close(served: Served) -> None:
    """A close that means trouble is not taken for the end."""
    with blocking.open_websocket_url(served.url) as ws:
        ws.send("close 4000")
        with pytest.raises(ConnectionBroken):
            list(ws)


def test_refused_connection_raises_and_leaves_no_thread(served: Served) -> None:
    """What opening raises comes out of it, as it is."""
    with pytest.raises(ConnectionRejected) as caught:
        blocking.open_websocket_url(served.url + "forbidden")
    assert caught.value.response.status == 403


def test_close_is_once_and_for_all(served: Served) -> None:
    """Closing tells the server, ends the thread, and may be repeated; using it then raises."""
    ws = blocking.open_websocket_url(served.url)
    with pytest.raises(ValueError, match="close code 1005 must not be sent"):
        ws.close(1005)
    ws.send("still there")
    assert ws.receive() == "still there"
    ws.close(4999, "enough")
    assert served.codes.get() == 4999
    ws.close()
    for call in (partial(ws.send, "late"), ws.receive, ws.ping):
        with pytest.raises(ClosedLocally):
            call()


@pytest.mark.parametrize(
    ("exception", "code"), [(ZeroDivisionError, 1011), (KeyboardInterrupt, 1001)]
)
def test_exception_closes_with_its_code(
    served: Served, exception: type[BaseException], code: int
) -> None:
    """Leaving the block by an exception tells the server so, and lets the exception pass."""
    with pytest.raises(exception), blocking.open_websocket_url(served.url):
        raise exception
    assert served.codes.get() == code


def test_interrupted_receive_loses_nothing(served: Served) -> None:
    """Ctrl-C ends a call that waits; the message that comes then is there for the next one."""
    with blocking.open_websocket_url(served.url) as ws:
        with pytest.raises(KeyboardInterrupt):
            interrupted(ws)
        assert ws.receive() == "late"
    assert served.codes.get() == 1000


def interrupted(ws: blocking.BlockingWebSocket) -> None:
    """Have the server interrupt us while we wait."""
    ws.send("interrupt")
    while True:  # the interrupt may come at any time
        ws.receive(timeout=60)
        raise AssertionError("there was no interrupt")


@pytest.mark.parametrize("done", [False, True], ids=["before", "after"])
def test_interrupt_at_the_moment_of_success_loses_nothing(
    served: Served, monkeypatch: pytest.MonkeyPatch, *, done: bool
) -> None:
    """Just before a message comes or just after: the next call gets it."""
    genuine, interrupts = futures.wait, iter([KeyboardInterrupt()])

    def struck(waiting: Iterable[Future[object]]) -> object:
        result = genuine(waiting) if done else None
        for exception in interrupts:
            raise exception
        return result or genuine(waiting)

    with blocking.open_websocket_url(served.url) as ws:
        if done:
            ws.send("two")
        monkeypatch.setattr(futures, "wait", struck)
        with pytest.raises(KeyboardInterrupt):
            ws.receive()
        if not done:
            ws.send("two")
        assert [ws.receive(), ws.receive()] == ["first", "second"]
    assert served.codes.get() == 1000


def test_threads_share_a_connection(served: Served) -> None:
    """While one thread waits for a message, others send, and closing ends the wait."""
    outcome = queue.Queue[object]()

    def receive() -> None:
        try:
            outcome.put(ws.receive())
            ws.receive()
        except ClosedLocally as exc:
            outcome.put(exc)

    ws = blocking.open_websocket_url(served.url)
    thread = threading.Thread(target=receive)
    thread.start()
    ws.send("from another thread")
    assert outcome.get() == "from another thread"
    ws.close()
    assert isinstance(outcome.get(), ClosedLocally)
    thread.join()
    assert served.codes.get() == 1000


def test_sending_while_another_thread_closes_raises() -> None:
    """Once closing has begun nothing more is sent, though the server has not answered yet."""
    with Deaf(shakes_hands=True) as server, ExitStack() as stack:
        closing = threading.Event()
        server.on_data = closing.set
        ws = blocking.open_websocket_url(server.url)
        thread = threading.Thread(target=ws.close)
        thread.start()
        stack.callback(thread.join)
        stack.callback(ws._run.abandon)
        closing.wait()
        with pytest.raises(ClosedLocally):
            ws.send("late")


def test_giving_up_ends_the_calls_of_other_threads() -> None:
    """When closing is interrupted, whoever waits in another thread hears of the end."""
    outcome = queue.Queue[object]()

    def ping() -> None:
        try:
            outcome.put(ws.ping())
        except ClosedLocally as exc:
            outcome.put(exc)

    with Deaf(shakes_hands=True) as server:
        pinged = threading.Event()
        server.on_data = pinged.set
        ws = blocking.open_websocket_url(server.url)
        thread = threading.Thread(target=ping, daemon=True)
        thread.start()
        pinged.wait()
        ws._run.abandon()
        assert isinstance(outcome.get(timeout=60), ClosedLocally)
        thread.join()
        ws.close()


class Interrupting:
    """A Trio token for which Ctrl-C comes before the first call has got through."""

    def __init__(self, token: trio.lowlevel.TrioToken) -> None:
        self._token = token
        self._interrupts = iter([KeyboardInterrupt()])

    def run_sync_soon(self, sync_fn: Callable[..., object], *args: object) -> None:
        """Raise, or call it soon."""
        for exception in self._interrupts:
            raise exception
        self._token.run_sync_soon(sync_fn, *args)


@pytest.mark.parametrize("closed", [False, True])
def test_interrupt_before_a_call_has_begun(
    served: Served, monkeypatch: pytest.MonkeyPatch, *, closed: bool
) -> None:
    """The interrupt is what is raised, and nothing was done."""
    with blocking.open_websocket_url(served.url) as ws:
        token: Future[Interrupting] = Future()
        token.set_result(Interrupting(ws._run._token.result()))
        if closed:
            ws.close()
        with monkeypatch.context() as patch:
            patch.setattr(ws._run, "_token", token)
            with pytest.raises(KeyboardInterrupt):
                ws.send("never")
        assert ws.websocket.statistics().messages_sent == 0
    assert served.codes.get() == 1000


@pytest.mark.parametrize("shakes_hands", [False, True], ids=["opening", "closing"])
def test_interrupt_ends_opening_and_closing(*, shakes_hands: bool) -> None:
    """Ctrl-C does not wait for a server that says nothing."""
    with Deaf(shakes_hands=shakes_hands) as server, pytest.raises(KeyboardInterrupt):
        blocking.open_websocket_url(server.url).close()


@pytest.mark.parametrize("early", [False, True], ids=["running", "not yet"])
def test_interrupt_while_the_thread_starts(
    served: Served, monkeypatch: pytest.MonkeyPatch, *, early: bool
) -> None:
    """Nobody will ever have the connection, so the thread ends by itself."""
    threads: list[threading.Thread] = []
    start = threading.Thread.start

    def struck(thread: threading.Thread) -> None:
        threads.append(thread)
        if not early:
            start(thread)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", struck)
        with pytest.raises(KeyboardInterrupt):
            blocking.open_websocket_url(served.url)
    if early:
        start(threads[0])
    threads[0].join()


def test_forgotten_connection_is_closed_with_a_warning(served: Served) -> None:
    """Who forgets to close is told so, and leaves no thread."""
    threads: list[threading.Thread] = []

    def forget() -> None:
        threads.append(blocking.open_websocket_url(served.url)._run._thread)

    with pytest.warns(ResourceWarning, match="unclosed BlockingWebSocket"):
        forget()
    threads[0].join()
    assert served.codes.get() == 1001
