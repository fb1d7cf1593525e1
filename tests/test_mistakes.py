"""Likely mistakes, and what is said about them: the whole of ``docs/mistakes.rst``, and more.

Each mistake of the page is made here, under the same title, and what it raises must be what the
page says.  ``...`` in the page stands for any text: the words of OpenSSL, or a number.
"""

import asyncio
import errno
import functools
import gc
import inspect
import re
import socket
import ssl
import sys
import types
import warnings
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, cast

import pytest
import trio
import trio.testing

import trio_ws
import trio_ws.blocking
from tests.clients import Nowhere
from tests.servers import LOOPBACK, contexts, echo, serve_on_loopback
from trio_ws import ConnectionClosed, HandshakeError, Limits, Response, Router, WebSocket
from trio_ws._callables import check_async_callable, checked_awaitable
from trio_ws.pubsub import MemoryBroker
from trio_ws.testing import MemoryListener, memory_websocket_pair, tls_contexts

PAGE = Path(__file__).parent.parent / "docs" / "mistakes.rst"

# Untyped, for a type checker tells of most of these mistakes before they are made.
lib: Any = trio_ws

Mistake = Callable[[], Awaitable[object]]
MISTAKES: dict[str, Mistake] = {}


def mistake(title: str) -> Callable[[Mistake], Mistake]:
    """Enter a mistake by its title in the page."""

    def enter(function: Mistake) -> Mistake:
        assert title not in MISTAKES
        MISTAKES[title] = function
        return function

    return enter


def explained_mistakes() -> dict[str, str]:
    """Return what the page says that each mistake raises, by its title."""
    entries = re.finditer(
        r"^(?P<title>\S.*)\n    .*\n(?:    .*\n)*?\n    \.\. code-block:: text\n\n"
        r"(?P<message>(?: {8}.*\n)+)",
        PAGE.read_text(encoding="utf-8"),
        re.MULTILINE,
    )
    return {entry["title"]: " ".join(entry["message"].split()) for entry in entries}


async def raised_by(function: Mistake) -> BaseException:
    """Make a mistake and return what it raises, out of the groups of nurseries."""
    try:
        with trio.fail_after(60):
            await function()
    except BaseException as exc:  # noqa: BLE001 - whatever it is
        return innermost(exc)
    return pytest.fail("nothing was raised")


def innermost(error: BaseException) -> BaseException:
    """Return the first exception that is no group."""
    if isinstance(error, BaseExceptionGroup):
        return innermost(cast("BaseExceptionGroup[BaseException]", error).exceptions[0])
    return error


def in_words(error: BaseException) -> str:
    """Return what a traceback ends with, without what depends on the system and the day."""
    text = re.sub(r"\[Errno -?\d+\] ", "", f"{type(error).__name__}: {error}")
    return re.sub(r"(?<=localhost[ :])\d{2,5}\b|(?<=port )\d{4,5}\b", "8000", text)


@pytest.mark.parametrize("title", list(explained_mistakes()))
async def test_mistake_raises_what_the_page_says(title: str) -> None:
    """The page is true, word for word."""
    expected = re.escape(explained_mistakes()[title]).replace(r"\.\.\.", ".*")
    assert re.fullmatch(expected, in_words(await raised_by(MISTAKES[title])))


def test_page_has_every_mistake() -> None:
    """Whoever adds a mistake explains it."""
    assert sorted(explained_mistakes()) == sorted(MISTAKES)
    assert len(MISTAKES) >= 40


# Connecting


@mistake("A URL without a scheme")
async def _() -> None:
    async with lib.open_websocket_url("localhost:8000"):
        pass


@mistake("A URL of HTTP")
async def _() -> None:
    async with lib.open_websocket_url("http://localhost:8000/"):
        pass


@mistake("A space in the URL")
async def _() -> None:
    async with lib.open_websocket_url("ws://localhost:8000/my room"):
        pass


@mistake("No server there")
async def _() -> None:
    async with serve_on_loopback(echo) as server:
        port = server.port
    async with lib.open_websocket_url(f"ws://localhost:{port}/"):
        pass


@mistake("A page where a WebSocket was expected")
async def _() -> None:
    def answer(request: object) -> Response:
        return Response(404, body="nothing here")

    async with (
        serve_on_loopback(echo, process_request=answer) as server,
        lib.open_websocket_url(f"ws://localhost:{server.port}/"),
    ):
        pass


@mistake("``ws://`` where TLS is spoken")
async def _() -> None:
    async with (
        serve_on_loopback(echo, tls=contexts()) as server,
        lib.open_websocket_url(f"ws://localhost:{server.port}/"),
    ):
        pass


@mistake("``wss://`` where no TLS is spoken")
async def _() -> None:
    async with (
        serve_on_loopback(echo) as server,
        lib.open_websocket_url(f"wss://localhost:{server.port}/"),
    ):
        pass


@mistake("A certificate that nobody trusts")
async def _() -> None:
    async with (
        serve_on_loopback(echo, tls=contexts()) as server,
        lib.open_websocket_url(f"wss://localhost:{server.port}/"),
    ):
        pass


@mistake("A certificate for another name")
async def _() -> None:
    tls = tls_contexts("example.com")
    async with (
        serve_on_loopback(echo, tls=tls) as server,
        lib.open_websocket_url(f"wss://localhost:{server.port}/", tls.client),
    ):
        pass


@mistake("An ssl_context for ``ws://``")
async def _() -> None:
    context = ssl.create_default_context()
    async with lib.open_websocket_url("ws://localhost:8000/", ssl_context=context):
        pass


@mistake("Awaited, not entered")
async def _() -> None:
    await lib.open_websocket_url("ws://localhost:8000/")


@mistake("``with`` for ``async with``")
async def _() -> None:
    with lib.open_websocket_url("ws://localhost:8000/"):
        pass


@mistake("``async with`` forgotten")
async def _() -> None:
    ws = lib.open_websocket_url("ws://localhost:8000/")
    await ws.send("hello")


@mistake("The nursery in the wrong place")
async def _() -> None:
    async with trio.open_nursery() as nursery:
        await lib.connect_websocket_url("ws://localhost:8000/", nursery)


@mistake("An option as other libraries call it")
async def _() -> None:
    async with lib.open_websocket_url("ws://localhost:8000/", ping_interval=20):
        pass


@mistake("An option with a typing error")
async def _() -> None:
    async with lib.open_websocket_url("ws://localhost:8000/", subprotocol="chat"):
        pass


@mistake("A number for a set of options")
async def _() -> None:
    async with lib.open_websocket_url("ws://localhost:8000/", timeouts=5):
        pass


@mistake("A time that is none")
async def _() -> None:
    lib.Timeouts(open=-1)


@mistake("One str for several subprotocols")
async def _() -> None:
    async with lib.open_websocket_url("ws://localhost:8000/", subprotocols="chat"):
        pass


@mistake("A header of the handshake itself")
async def _() -> None:
    headers = {"Sec-WebSocket-Protocol": "chat"}
    async with lib.open_websocket_url("ws://localhost:8000/", headers=headers):
        pass


@mistake("Headers in one str")
async def _() -> None:
    async with lib.open_websocket_url("ws://localhost:8000/", headers="Cookie: id=7"):
        pass


@mistake("asyncio")
async def _() -> None:
    async def main() -> None:
        async with lib.open_websocket_url("ws://localhost:8000/"):
            pass

    await trio.to_thread.run_sync(asyncio.run, main())


@mistake("The blocking client inside Trio")
async def _() -> None:
    trio_ws.blocking.open_websocket_url("ws://localhost:8000/")


# Serving


@mistake("A handler without an argument")
async def _() -> None:
    async def handler() -> None: ...

    await lib.serve_websocket(handler, "localhost", 8000)


@mistake("A handler of two arguments")
async def _() -> None:
    async def handler(ws: WebSocket, path: str) -> None: ...

    await lib.serve_websocket(handler, "localhost", 8000)


@mistake("A handler that has been called")
async def _() -> None:
    async def handler(ws: WebSocket) -> None: ...

    await lib.serve_websocket(handler(lib), "localhost", 8000)


@mistake("A handler that is not async")
async def _() -> None:
    def handler(ws: WebSocket) -> None: ...

    async with (
        serve_on_loopback(handler, isolate_handlers=False) as server,  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        lib.open_websocket_url(f"ws://localhost:{server.port}/") as ws,
    ):
        await ws.wait_closed()
        await trio.sleep_forever()


@mistake("A handler with ``yield``")
async def _() -> None:
    async def handler(ws: WebSocket) -> AsyncGenerator[str, None]:
        yield "hello"

    await lib.serve_websocket(handler, "localhost", 8000)


@mistake("The host before the handler")
async def _() -> None:
    await lib.serve_websocket("localhost", 8000, echo)


@mistake("A nursery by position")
async def _() -> None:
    async with trio.open_nursery() as nursery:
        await lib.serve_websocket(echo, "localhost", 8000, nursery)


@mistake("A port that is taken")
async def _() -> None:
    async with serve_on_loopback(echo) as server:
        await lib.serve_websocket(echo, LOOPBACK, server.port)


@mistake("A port below 1024")
async def _() -> None:
    async def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trio, "open_tcp_listeners", refuse)
        await lib.serve_websocket(echo, "localhost", 80)


@mistake("An address of another machine")
async def _() -> None:
    await lib.serve_websocket(echo, "192.0.2.1", 8000)


@mistake("A URL for the host")
async def _() -> None:
    await lib.serve_websocket(echo, "ws://localhost", 8000)


@mistake("A client's ssl_context for a server")
async def _() -> None:
    await lib.serve_websocket(echo, "localhost", 8000, ssl.create_default_context())


@mistake("A server's ssl_context without a certificate")
async def _() -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    async with (
        serve_on_loopback(echo, tls=contexts()._replace(server=context)) as server,
        lib.open_websocket_url(f"wss://localhost:{server.port}/"),
    ):
        pass


@mistake("A page of another origin")
async def _() -> None:
    async with (
        serve_on_loopback(echo) as server,
        lib.open_websocket_url(f"ws://localhost:{server.port}/", origin="http://localhost:3000"),
    ):
        pass


@mistake("A star for all origins")
async def _() -> None:
    await lib.serve_websocket_listeners(echo, [MemoryListener()], origins="*")


@mistake("A decorator of Router without its path")
async def _() -> None:
    router: Any = Router()

    async def room(ws: WebSocket) -> None: ...

    router.websocket(room)


# Using a WebSocket


@mistake("``await`` forgotten")
async def _() -> None:
    async with open_pair() as ws:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            ws.send("hello")
            gc.collect()
        warning = caught[0].message
        assert isinstance(warning, Warning)
        raise warning


@mistake("``for`` for ``async for``")
async def _() -> None:
    async with open_pair() as ws:
        for _ in ws:
            pass


@mistake("A dict as a message")
async def _() -> None:
    async with open_pair() as ws:
        await ws.send({"text": "hello"})


@mistake("Bytes that are no text, as text")
async def _() -> None:
    async with open_pair() as ws:
        await ws.send(b"\xff\xd8", text=True)


@mistake("A method as other libraries call it")
async def _() -> None:
    async with open_pair() as ws:
        await ws.recv()


@mistake("Two tasks that receive")
async def _() -> None:
    async with open_pair() as ws, trio.open_nursery() as nursery:
        nursery.start_soon(ws.receive)
        nursery.start_soon(ws.receive)


@mistake("``send()`` inside ``send_stream()``")
async def _() -> None:
    async with open_pair() as ws, ws.send_stream(text=True) as stream:
        await stream.send("one ")
        await ws.send("two")


@mistake("Used after its block")
async def _() -> None:
    async with open_pair() as ws:
        pass
    await ws.send("hello")


@mistake("A handler that returned")
async def _() -> None:
    async def handler(ws: WebSocket) -> None:
        """Leave the work to others."""

    async with (
        serve_on_loopback(handler) as server,
        lib.open_websocket_url(f"ws://localhost:{server.port}/") as ws,
    ):
        await ws.receive()


@mistake("A message over the limits")
async def _() -> None:
    async with open_pair() as ws:
        await ws.send("x" * (Limits().max_message_size + 1))
        await ws.receive()


@mistake("A close code that may not be sent")
async def _() -> None:
    async with open_pair() as ws:
        await ws.aclose(1005)


@mistake("A close reason that is too long")
async def _() -> None:
    async with open_pair() as ws:
        await ws.aclose(1000, "x" * 200)


@mistake("Siblings that have been called")
async def _() -> None:
    async def consume(ws: WebSocket) -> None: ...

    async with open_pair() as ws:
        await lib.run_siblings(consume(ws))


@mistake("Siblings that need arguments")
async def _() -> None:
    async def consume(ws: WebSocket) -> None: ...

    async with open_pair() as ws:
        await lib.run_siblings(consume, ws)


@mistake("``broadcast()`` to one")
async def _() -> None:
    async with open_pair() as ws:
        lib.broadcast(ws, "hello", when_full="drop")


@mistake("``broadcast()`` awaited")
async def _() -> None:
    async with open_pair() as ws:
        await lib.broadcast([ws], "hello", when_full="drop")


@mistake("``async for`` over ``subscribe()``")
async def _() -> None:
    broker: Any = MemoryBroker()
    async for _ in broker.subscribe("news"):
        pass


@mistake("An extra that is not installed")
async def _() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "trio_ws._rules", None)
        lib.Router()


@asynccontextmanager
async def open_pair() -> AsyncGenerator[Any, None]:
    """Open two connected WebSockets, of which the other one echoes."""
    async with memory_websocket_pair() as (ours, theirs), trio.open_nursery() as nursery:
        nursery.start_soon(ignoring_the_end, theirs)
        async with ours:
            yield ours
        nursery.cancel_scope.cancel()


async def ignoring_the_end(ws: WebSocket) -> None:
    """Echo until the connection ends in whatever way."""
    with suppress(ConnectionClosed):
        await echo(ws)


# More of the same kinds, which the page leaves out


WRONG_CALLS: list[tuple[Callable[[], Any], type[Exception], str]] = [
    # Options.
    (lambda: lib.Timeouts(5), TypeError, r"write Timeouts\(open=...\)"),
    (lambda: lib.Limits(1024), TypeError, r"write Limits\(max_message_size=...\)"),
    (
        lambda: lib.Timeouts(connect=5),
        TypeError,
        "no option 'connect'; there are open, close, stall",
    ),
    (lambda: lib.Limits(max_mesage_size=5), TypeError, "did you mean max_message_size=...?"),
    (lambda: connecting(message_queue_size=1), TypeError, r"limits=Limits\(max_queued_messages="),
    (lambda: connecting(max_redirect=1), TypeError, "did you mean max_redirects=...?"),
    (lambda: connecting(max_redirects="3"), TypeError, "max_redirects must be an int"),
    (lambda: connecting(max_redirects=-1), ValueError, "max_redirects must be 0 or more"),
    (lambda: connecting(keepalive=None), TypeError, r"keepalive=Keepalive\(interval=math.inf\)"),
    (lambda: connecting(limits=None), TypeError, r"write limits=Limits\(max_message_size=...\)"),
    (lambda: connecting(timeouts={"open": 1}), TypeError, r"write timeouts=Timeouts\(open=...\)"),
    (lambda: connecting(proxy=True), TypeError, "FROM_ENVIRONMENT or None, not True"),
    (lambda: connecting(subprotocols=None), TypeError, "a sequence of str, not None"),
    (lambda: connecting(subprotocols=["a b"]), ValueError, "no token, .* but no space"),
    (lambda: connecting(headers=["Cookie: id=7"]), TypeError, "each header must be a pair"),
    (lambda: connecting(headers=[("a", "b", "c")]), TypeError, "each header must be a pair"),
    (lambda: connecting(headers=None), TypeError, "must be a mapping .*, not NoneType"),
    (lambda: connecting(headers={"Sec-WebSocket-Extensions": ""}), ValueError, "compression="),
    (lambda: connecting(headers={"Upgrade": "websocket"}), ValueError, "itself: leave it out"),
    (
        lambda: connecting("wss://localhost/", ssl_context=True),
        TypeError,
        "ssl.SSLContext, not True",
    ),
    (
        lambda: connecting("wss://localhost/", ssl_context=contexts().server),
        ValueError,
        r"made for servers, .* write ssl.create_default_context\(\)",
    ),
    (
        lambda: connecting(proxy="https://localhost", proxy_ssl_context=contexts().server),
        ValueError,
        "proxy_ssl_context is made for servers",
    ),
    # URLs.
    (lambda: connecting(" ws://localhost"), ValueError, "whitespace around it"),
    (lambda: connecting("ws:localhost"), ValueError, "begins with ws:// or wss://$"),
    (lambda: connecting("ws//localhost"), ValueError, "begins with ws:// or wss://$"),
    (lambda: connecting(None), TypeError, "a URL must be a str, not NoneType"),
    # Servers.
    (lambda: serving(port="8000"), TypeError, "the port must be an int, not '8000'"),
    (lambda: serving(port=80000), ValueError, "from 1 to 65535, or 0 for a free one, not 80000"),
    (lambda: serving(ssl_context="cert.pem"), TypeError, r"with load_cert_chain\(\)"),
    (lambda: serving(handler_nursery=5), TypeError, "handler_nursery must be a trio.Nursery"),
    (lambda: serving(max_connections="3"), TypeError, "max_connections must be an int or None"),
    (lambda: serving(process_request=lambda: None), TypeError, "one argument, the Request"),
    (lambda: serving(process_request=Response(404)), TypeError, "one argument, the Request"),
    (lambda: serving(origins=None), TypeError, "SAME_ORIGIN, ANY_ORIGIN or a sequence, not None"),
    (lambda: serving(origins=["*"]), ValueError, "ANY_ORIGIN stands for all"),
    (lambda: serving(origin=["*"]), TypeError, "did you mean origins=...?"),
    (
        lambda: lib.serve_websocket_listeners(echo, MemoryListener()),
        TypeError,
        r"write \[listener\]",
    ),
    # Streams.
    (lambda: entered(lib.wrap_client_stream(5, "ws://localhost")), TypeError, "trio.abc.Stream"),
    (lambda: entered(lib.wrap_server_stream(5)), TypeError, r"trio.SocketStream\(socket\)"),
    # Reconnecting.
    (lambda: lib.reconnect_websocket_url(None, "ws://localhost"), TypeError, "the handler must be"),
    # Publishing and subscribing.
    (lambda: lib_broker().publish("news", ["a"]), TypeError, r"json.dumps\(...\)"),
    (lambda: entered(lib_broker().subscribe("news", max_queue=3)), TypeError, "mean max_queued="),
    # Broadcasting.
    (lambda: lib.broadcast("hello", [], when_full="drop"), TypeError, "to WebSockets, not to 'h'"),
]


@pytest.mark.parametrize(("call", "kind", "words"), WRONG_CALLS)
async def test_wrong_call_is_explained(
    call: Callable[[], Any], kind: type[Exception], words: str
) -> None:
    """Where it is called, by an exception of the right type."""
    with pytest.raises(kind, match=words):
        await call()


async def test_nursery_in_its_place_is_taken() -> None:
    """The checks let pass what is right."""
    async with trio.open_nursery() as nursery:
        serve = functools.partial(trio_ws.serve_websocket, handler_nursery=nursery)
        server = await nursery.start(serve, echo, LOOPBACK, 0)
        url = f"ws://localhost:{server.port}"
        async with await trio_ws.connect_websocket_url(nursery, url) as ws:
            await ws.send("hello")
            assert await ws.receive() == "hello"
        await server.aclose()


async def connecting(url: object = "ws://localhost:8000/", **options: object) -> None:
    """Connect, though something is wrong with that."""
    await entered(lib.open_websocket_url(url, **options))


async def serving(*, port: object = 0, **options: object) -> None:
    """Serve, though something is wrong with that."""
    await lib.serve_websocket(echo, "localhost", port, **options)


async def entered(block: Any) -> None:
    """Enter a block that cannot be."""
    async with block:
        pytest.fail("it was entered")


def lib_broker() -> Any:
    """Return a broker of which no type checker knows."""
    return MemoryBroker()


SAYINGS: list[tuple[Callable[[Any], Awaitable[object]], type[Exception], str]] = [
    (lambda ws: ws.ping("hello"), TypeError, r"bytes-like, not str: write text.encode\(\)"),
    (lambda ws: ws.ping({}), TypeError, "bytes-like, not dict$"),
    (lambda ws: ws.send("hello", text=False), TypeError, r"write text.encode\(\)"),
    (lambda ws: ws.send("\udcff"), UnicodeEncodeError, r"os.fsencode\(\)"),
    (lambda ws: ws.send("\udcff", text=True), UnicodeEncodeError, r"os.fsencode\(\)"),
    (lambda ws: ws.send(object()), TypeError, "bytes-like, not object$"),
    (lambda ws: ws.aclose("bye"), TypeError, "write reason=... for a reason"),
    (lambda ws: ws.get_message(), AttributeError, r"no 'get_message': write receive\(\)"),
    (lambda ws: ws.anything, AttributeError, "no attribute 'anything'"),
]


@pytest.mark.parametrize(("say", "kind", "words"), SAYINGS)
async def test_wrong_use_of_a_websocket_is_explained(
    say: Callable[[Any], Awaitable[object]], kind: type[Exception], words: str
) -> None:
    """The connection is as it was, and the exception says what to write."""
    async with open_pair() as ws:
        with pytest.raises(kind, match=words):
            await say(ws)
        await ws.send("still open")
        assert await ws.receive() == "still open"


async def test_awaitable_as_a_message_is_to_be_awaited() -> None:
    """``ws.send(ws.receive())`` lacks an await."""
    async with open_pair() as ws:
        coroutine = ws.receive()
        with pytest.raises(TypeError, match="not coroutine: await it first"):
            await ws.send(coroutine)
        coroutine.close()


async def test_names_of_other_libraries_are_no_names_of_ours() -> None:
    """They are not there, and nobody is offered them."""
    async with open_pair() as ws:
        assert "receive" in dir(ws)
        assert "recv" not in dir(ws)
        assert not hasattr(ws, "recv")
        assert not hasattr(trio_ws.WebSocket, "recv")
    assert repr(vars(trio_ws.WebSocket)["recv"]) == "<a WebSocket has no 'recv': write receive()>"


async def test_websocket_is_entered_by_async_with() -> None:
    """Plain ``with`` says so."""
    async with open_pair() as ws:
        with pytest.raises(TypeError, match="by `async with`, not by `with`"), ws:
            pass


async def test_fragments_of_another_kind_are_explained() -> None:
    """As those of whole messages are."""
    async with open_pair() as ws, ws.send_stream(text=True) as stream:
        with pytest.raises(UnicodeDecodeError, match="without text=True"):
            await stream.send(b"\xff")
    with pytest.raises(trio.ClosedResourceError, match="block of this message was left"):
        await stream.send("more")


async def test_receiving_beside_a_stream_is_explained() -> None:
    """The message that is received in pieces comes first."""
    async with open_pair() as ws:
        async with ws.send_stream(text=True) as parts:
            await parts.send("a")
            await parts.send("b")
        await ws.send("x" * 100_000)
        async with ws.receive_stream() as stream:
            await stream.receive()
        async with ws.receive_stream() as stream:
            with pytest.raises(
                trio.BusyResourceError, match="receive from that, or leave its block"
            ):
                await ws.receive()
        with pytest.raises(trio.ClosedResourceError, match="block of this message was left"):
            await stream.receive()


# Blocks


async def test_block_is_entered_once() -> None:
    """Whoever does it twice, or uses it for what it gave, is told."""
    async with open_pair() as ws:
        block: Any = ws.send_stream(text=True)
        async with block:
            with pytest.raises(
                AttributeError, match=r"'send' is not of send_stream\(\) but of what"
            ):
                await block.send("hello")
        with pytest.raises(
            RuntimeError, match=r"one send_stream\(\) is entered once: call it again"
        ):
            await entered(block)


async def test_block_that_is_iterated_over_says_that_it_is_a_block() -> None:
    """By ``for`` and by ``async for``."""
    block: Any = trio_ws.open_websocket_url("ws://localhost/")
    with pytest.raises(TypeError, match="entered before it is iterated over"):
        iter(block)
    with pytest.raises(TypeError, match="entered before it is iterated over"):
        aiter(block)


def test_block_is_no_trouble_for_machinery() -> None:
    """What asks objects for private names gets a plain answer."""
    block = trio_ws.open_websocket_url("ws://localhost/")
    assert not hasattr(block, "_repr_html_")
    assert not hasattr(type(block).__new__(type(block)), "_anything")


def test_functions_of_blocks_keep_their_names_and_signatures() -> None:
    """For help() and for the documentation."""
    assert trio_ws.open_websocket_url.__name__ == "open_websocket_url"
    assert next(iter(inspect.signature(trio_ws.open_websocket_url).parameters)) == "url"
    assert next(iter(inspect.signature(trio_ws.Limits).parameters)) == "max_message_size"


# Functions that are handed in


class Handlers:
    """All ways in which a class can have something to call."""

    async def method(self, ws: object) -> None:
        """Be a bound method."""

    @staticmethod
    async def static(ws: object) -> None:
        """Be a function."""

    @classmethod
    async def of_class(cls, ws: object) -> None:
        """Be bound to the class."""

    async def __call__(self, ws: object) -> None:
        """Be a callable object."""


class Awaited:
    """A class whose instances can be awaited."""

    def __init__(self, ws: object) -> None:
        pass

    def __await__(self) -> Iterator[None]:
        return iter(())


async def with_database(database: object, ws: object) -> None:
    """Want more than a server has."""


def injected(function: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
    """Hand in a database: the wrapped function's signature is not the wrapper's."""

    @functools.wraps(function)
    async def wrapper(ws: object) -> None:
        await function("database", ws)

    return wrapper


@types.coroutine
def by_generator(ws: object) -> Iterator[None]:
    """Be a coroutine, as they were before ``async def``."""
    yield from ()


async def claiming(*args: object) -> None:
    """Claim to need two arguments."""


claiming.__signature__ = inspect.signature(with_database)  # type: ignore[attr-defined]


def bound(ws: object) -> Awaitable[None]:
    """Be no coroutine function, but return what one gives."""
    return with_database("database", ws)


def five(ws: object) -> int:
    """Be a function that is not async."""
    return 5


GOOD_HANDLERS: list[Callable[..., Any]] = [
    Handlers().method,
    Handlers.static,
    Handlers().of_class,
    Handlers(),
    Awaited,
    injected(with_database),
    functools.partial(with_database, "database"),
    functools.partial(functools.partial(with_database), "database"),
    functools.partial(Handlers.method, Handlers()),
    bound,
    by_generator,
    claiming,
    functools.partial(claiming),
    functools.singledispatch(Handlers.static),
]


@pytest.mark.parametrize("handler", GOOD_HANDLERS)
async def test_what_can_be_a_handler_is_taken_for_one(handler: Callable[..., Any]) -> None:
    """No check is cleverer than Python."""
    check_async_callable("the handler", handler, "the WebSocket")
    await checked_awaitable("the handler", handler, handler(MemoryBroker()))


def generator(ws: object) -> Iterator[str]:
    """Have a yield."""
    yield "hello"


BAD_HANDLERS: list[tuple[object, str]] = [
    (with_database, r"with_database\(database, ws\) cannot be called so: missing"),
    (functools.partial(with_database, 1, 2), "with_database.* too many positional"),
    (functools.partial(cast("Any", five), 1, 2), r"five\(\) can never be called"),
    (functools.partial(cast("Any", five), request=1), r"five\(\) can never be called"),
    (types.MethodType(lambda: None, 1), r"can never be called: invalid method"),
    (Handlers.method, r"method\(self, ws\) cannot be called so"),
    (generator, r"generator\(\) has a yield"),
    (functools.partial(generator), r"generator\(\) has a yield"),
    ([echo], r"the WebSocket, not \[<function echo"),
]


@pytest.mark.parametrize(("handler", "words"), BAD_HANDLERS)
def test_what_can_be_no_handler_is_refused(handler: object, words: str) -> None:
    """What is sure to fail fails at once."""
    with pytest.raises(TypeError, match=words):
        check_async_callable("the handler", handler, "the WebSocket")


class Connected:
    """A class that a handler was taken for."""

    def __init__(self, ws: object) -> None:
        pass


@pytest.mark.parametrize("handler", [five, Connected, functools.partial(print, end="")])
def test_what_is_found_when_it_was_called_is_explained(handler: Callable[..., object]) -> None:
    """A class, or any function that is not async."""
    with pytest.raises(TypeError, match=r"must be an async function; calling .* cannot be awaited"):
        checked_awaitable("the handler", handler, handler(""))


async def test_sibling_that_is_not_async_is_explained() -> None:
    """It was called, and what it gave cannot be awaited."""
    with pytest.raises(TypeError, match=r"run_siblings\(\) must be an async function; calling"):
        await lib.run_siblings(lambda: 5)


# On the network


async def test_name_that_nobody_knows_is_named() -> None:
    """The system's words alone do not say which one it was."""
    trio.socket.set_custom_hostname_resolver(Nowhere())
    with pytest.raises(socket.gaierror, match=r"not known: 'nowhere\.example'"):
        await connecting("ws://nowhere.example/")


@pytest.mark.parametrize(
    ("failures", "kind", "words"),
    [
        ([errno.ECONNREFUSED], ConnectionRefusedError, "no: Connection refused"),
        ([errno.ECONNREFUSED] * 2, ConnectionRefusedError, "no: Connection refused$"),
        ([errno.ECONNREFUSED, errno.ENETUNREACH], OSError, "no: .*unreachable, .*refused"),
        ([], OSError, "no$"),
    ],
)
async def test_failure_to_connect_says_why(
    monkeypatch: pytest.MonkeyPatch, failures: list[int], kind: type[OSError], words: str
) -> None:
    """If all attempts have failed for one reason, the exception is of its type."""

    async def fail(*_: object) -> None:
        cause = ExceptionGroup("all", [OSError(number, "no") for number in failures] or [OSError()])
        raise OSError("no") from (cause if failures else None)

    monkeypatch.setattr(trio, "open_tcp_stream", fail)
    with pytest.raises(OSError, match=words) as caught:
        await connecting()
    assert type(caught.value) is kind


async def test_http_where_tls_is_served_is_told_to_the_server() -> None:
    """It is the server's side of ``ws://`` where TLS is spoken."""
    ours, theirs = trio.testing.memory_stream_pair()
    await theirs.send_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
    stream = trio.SSLStream(ours, contexts().server, server_side=True, https_compatible=True)
    with pytest.raises(HandshakeError, match="the client wrote ws:// where wss:// is served"):
        await entered(trio_ws.wrap_server_stream(stream))


async def test_answer_in_tls_is_recognised() -> None:
    """Most servers of TLS answer HTTP by an alert, or in HTTP; ours hangs up."""
    ours, theirs = trio.testing.memory_stream_pair()
    await theirs.send_all(b"\x15\x03\x01\x00\x02\x02\x46")
    with pytest.raises(HandshakeError, match=r"this is not HTTP: .*; if the server speaks TLS"):
        await entered(trio_ws.wrap_client_stream(ours, "ws://localhost/"))


async def test_option_of_other_functions_is_not_suggested_where_it_is_none() -> None:
    """A stream needs no proxy."""
    ours, _ = trio.testing.memory_stream_pair()
    with pytest.raises(TypeError, match="no option 'proxy'; there are subprotocols, headers, "):
        await entered(lib.wrap_client_stream(ours, "ws://localhost/", proxy=None))


async def test_silent_end_over_tls_is_not_blamed_on_its_lack() -> None:
    """With ``wss://`` there is TLS."""
    ours, theirs = trio.testing.memory_stream_pair()
    await theirs.aclose()
    with pytest.raises(HandshakeError, match=r"broke|ended") as caught:
        await entered(trio_ws.wrap_client_stream(ours, "wss://localhost/"))
    assert "speaks TLS" not in str(caught.value)
