"""Where ``trio_ws.compat.trio_websocket`` is not as trio-websocket is, and why.

Each experiment is made with both, and each has its own result: what is told here of the other
library is as true as what is told of ours.  The migration guide has the same list.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import pytest
import trio
import trio_websocket as theirs

from tests.compat_ends import (
    Either,
    Library,
    both_libraries,
    client_of_peer,
    connected,
    echo,
    linger,
    serving,
)
from trio_ws.compat import trio_websocket as ours
from trio_ws.testing import Opcode, ScriptedPeer, bounded_stream_pair, upgrade_request

# In seconds, of a clock that jumps: so long nothing has happened, so nothing will.
NEVER = 1000.0


async def outcome(call: Callable[[], Awaitable[object]]) -> str:
    """Return what comes of a call: the name of its exception, "returned", or "waits for ever"."""
    with trio.move_on_after(NEVER):
        try:
            await call()
        except* Exception as group:  # noqa: BLE001 - whatever it is
            error: BaseException = group
            while isinstance(error, BaseExceptionGroup):
                error = error.exceptions[0]
            name = type(error).__name__
        else:
            return "returned"
        return name
    return "waits for ever"


async def answer_to(library: Library, request: bytes) -> str:
    """Return the status line of what a server answers, "nothing" if it hangs up instead."""

    async def handler(request: Either) -> None:
        pass

    async with serving(library, handler) as running:
        peer = await running.peer()
        await peer.send_bytes(request)
        with trio.move_on_after(NEVER):
            answer = await peer.stream.receive_some()
            return bytes(answer).partition(b"\r\n")[0].decode() or "nothing"
    return "waits for ever"


async def connect_to_bytes(library: Library, *chunks: bytes) -> str:
    """Return what comes of connecting to a server that sends these bytes and hangs up."""
    near, far = bounded_stream_pair()
    async with trio.open_nursery() as nursery:

        async def serve() -> None:
            await far.receive_some()
            for chunk in chunks:
                await far.send_all(chunk)
            await far.aclose()

        async def connect() -> None:
            async with trio.open_nursery() as background:
                await library.wrap_client_stream(background, near, "localhost", "/")

        nursery.start_soon(serve)
        result = await outcome(connect)
        nursery.cancel_scope.cancel()
    return result


async def hang_up_before_answering(library: Library) -> str:
    """Connect to a server that hangs up instead of answering."""
    return await connect_to_bytes(library)


async def answer_with_nonsense(library: Library) -> str:
    """Connect to a server that speaks something else."""
    return await connect_to_bytes(library, b"SSH-2.0-OpenSSH_9.2\r\n\r\n")


async def answer_with_interim_first(library: Library) -> str:
    """Connect to a server that answers 100, and then nothing."""
    return await connect_to_bytes(library, b"HTTP/1.1 100 Continue\r\n\r\n")


async def catch_rejection_where_connecting(library: Library) -> str:
    """Tell where the rejection of a connection can be caught."""

    async def handler(request: Either) -> None:
        await request.reject(403)

    caught = "caught elsewhere"
    try:
        async with serving(library, handler) as running:
            try:
                await running.connect(library)
            except library.ConnectionRejected:
                caught = "caught there"
    except* library.ConnectionRejected:
        pass
    return caught


async def leave_unanswered(library: Library) -> str:
    """Ask a server whose handler neither accepts nor rejects."""
    return await answer_to(library, upgrade_request())


async def ask_for_a_page(library: Library) -> str:
    """Ask a server for a page."""
    return await answer_to(library, b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")


async def headers_of_the_client(library: Library) -> str:
    """Look on the server at the headers that the client has sent."""
    found: list[str] = []

    async def handler(connection: Either) -> None:
        found.append("there" if connection.handshake_headers else "none")
        await linger(connection)

    async with connected(library, library, handler) as connection:
        assert connection.closed is None
        await trio.testing.wait_all_tasks_blocked()
    return found[0]


async def accept_another_subprotocol(library: Library) -> str:
    """Accept with a subprotocol that was not offered."""
    found: list[str] = []

    async def handler(request: Either) -> None:
        found.append(await outcome(lambda: request.accept(subprotocol="other")))
        await linger(await request.accept())

    async with serving(library, handler) as running:
        await running.connect(library, subprotocols=["one"])
    return found[0]


async def ping_a_peer_that_closes(library: Library) -> str:
    """Send a ping to a peer that closes then."""
    async with client_of_peer(library) as (connection, peer, nursery):

        async def close_after_ping() -> None:
            while (frame := await peer.receive_frame()) is not None:
                if frame.opcode == Opcode.PING:
                    await peer.close_frame(1000)

        nursery.start_soon(close_after_ping)
        return await outcome(connection.ping)


async def cancel_the_nursery(library: Library) -> str:
    """Cancel the background tasks of a connection, and see what the peer hears of it."""
    async with client_of_peer(library) as (_, peer, nursery):
        nursery.cancel_scope.cancel()
        with trio.CancelScope(shield=True), trio.move_on_after(NEVER, shield=True):
            frame = await peer.receive_frame()
            return f"Close {frame.close_code}" if frame is not None else "hangs up"
    return "says nothing"


async def forget_to_catch_the_end(library: Library) -> str:
    """Have a handler that does not catch the ConnectionClosed of its connection."""

    async def handler(connection: Either) -> None:
        while True:
            await connection.get_message()

    async def use() -> None:
        async with connected(library, library, handler) as connection:
            await connection.aclose()
            await trio.testing.wait_all_tasks_blocked()

    return await outcome(use)


async def many_bytes_few_characters(library: Library) -> str:
    """Receive a text that has more bytes than the limit, but fewer characters."""
    async with connected(library, library, echo, max_message_size=10) as connection:
        await connection.send_message("\N{EURO SIGN}" * 10)
        return await outcome(connection.get_message)


async def close_behind_unread_message(library: Library) -> str:
    """Look whether a close is seen that came together with an unread message."""
    async with client_of_peer(library, message_queue_size=0) as (connection, peer, _):
        await peer.send_bytes(
            b"\x81\x01x" + b"\x88\x02\x03\xe8"  # a text, and a Close with 1000
        )
        await trio.sleep(1)
        return "seen" if connection.closed else "not seen"


async def send_without_room_below(library: Library) -> str:
    """Send a message of 1 MiB to a peer that reads nothing."""
    async with client_of_peer(library) as (connection, _, _):
        return await outcome(lambda: connection.send_message(bytes(2**20)))


async def close_with_a_code_not_to_be_sent(library: Library) -> str:
    """Close with 1005."""
    async with connected(library, library, linger) as connection:
        return await outcome(lambda: connection.aclose(1005))


async def reason_before_the_peer_answers(library: Library) -> str:
    """Look at the reason of an own close with 4000 that the peer does not answer."""
    async with client_of_peer(library) as (connection, _, _):
        with trio.move_on_after(1):
            await connection.aclose(4000)
        return str(connection.closed.code)


async def close_to_a_silent_peer(library: Library) -> str:
    """Close towards a peer that does not answer."""
    async with client_of_peer(library) as (connection, _, _):
        return await outcome(connection.aclose)


async def connect_to_a_silent_peer(library: Library) -> str:
    """Connect to a peer that does not answer."""
    near, far = bounded_stream_pair()

    async def connect() -> None:
        async with trio.open_nursery() as nursery:
            await library.wrap_client_stream(nursery, near, "localhost", "/")

    async with ScriptedPeer(far, "server"):
        return await outcome(connect)


async def a_url_with_a_fragment(library: Library) -> str:
    """Open a URL with a fragment."""
    try:
        library.open_websocket_url("ws://localhost/page#part")
    except ValueError:
        return "refused"
    return "dropped"


@dataclass(frozen=True)
class Difference:
    """What comes of an experiment with either library, and why ours is not as theirs."""

    experiment: Callable[[Library], Awaitable[str]]
    theirs: str
    ours: str
    why: str


DIFFERENCES = [
    Difference(
        hang_up_before_answering, "waits for ever", "HandshakeError", "there will be no answer"
    ),
    Difference(answer_with_nonsense, "LocalProtocolError", "HandshakeError", "it is one"),
    Difference(
        answer_with_interim_first,
        "ConnectionRejected",
        "HandshakeError",
        "1xx is no answer yet (RFC 9110 section 15.2): the next one counts, here there is none",
    ),
    Difference(
        catch_rejection_where_connecting,
        "caught elsewhere",
        "caught there",
        "the call that failed raises, not a background task; the nursery lives on",
    ),
    Difference(
        leave_unanswered,
        "nothing",
        "HTTP/1.1 500 Internal Server Error",
        "each request has an answer",
    ),
    Difference(
        ask_for_a_page,
        "HTTP/1.1 400 ",
        "HTTP/1.1 426 Upgrade Required",
        "it is no malformed request",
    ),
    Difference(headers_of_the_client, "none", "there", "as its documentation says"),
    Difference(
        accept_another_subprotocol, "LocalProtocolError", "ValueError", "no wsproto to be seen"
    ),
    Difference(
        ping_a_peer_that_closes, "waits for ever", "ConnectionClosed", "there will be no pong"
    ),
    Difference(
        cancel_the_nursery, "says nothing", "Close 1001", "the peer shall not have to guess"
    ),
    Difference(
        forget_to_catch_the_end,
        "ConnectionClosed",
        "returned",
        "a client that leaves must not end the server: its own end is a normal one of a handler",
    ),
    Difference(
        many_bytes_few_characters,
        "returned",
        "ConnectionClosed",
        "the limit counts bytes, for it is to bound memory",
    ),
    Difference(
        close_behind_unread_message,
        "not seen",
        "seen",
        "what came in one read is looked at as one",
    ),
    Difference(
        send_without_room_below,
        "waits for ever",
        "returned",
        "one message waits in a buffer; the next send waits",
    ),
    Difference(
        close_with_a_code_not_to_be_sent,
        "returned",
        "ValueError",
        "1005 means that there is no code; theirs sends 1000",
    ),
    Difference(
        reason_before_the_peer_answers, "1000", "4000", "it is what was said, and nothing else was"
    ),
    Difference(
        close_to_a_silent_peer, "waits for ever", "returned", "after 60 seconds: no wait is endless"
    ),
    Difference(connect_to_a_silent_peer, "waits for ever", "ConnectionTimeout", "the same"),
    Difference(
        a_url_with_a_fragment, "dropped", "refused", "it means nothing here (RFC 6455 section 3)"
    ),
]


@both_libraries
@pytest.mark.parametrize("difference", DIFFERENCES, ids=lambda each: each.experiment.__name__)
async def test_difference_is_as_told(
    difference: Difference, library: Library, autojump_clock: trio.testing.MockClock
) -> None:
    """An experiment has the result that is told of this library."""
    expected = {theirs: difference.theirs, ours: difference.ours}[library]
    assert await difference.experiment(library) == expected
    assert difference.theirs != difference.ours
