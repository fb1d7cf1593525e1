"""A WebSocket as a block: what its end tells the peer, and what comes out of it."""

import gc
import weakref
from collections.abc import Callable
from functools import partial
from typing import NoReturn

import pytest
import trio
import trio.testing

from tests.connections import HANGS, make_websocket, next_close, run_until_idle, scripted
from trio_ws import ConnectionBroken, WebSocket
from trio_ws._block import leave_because, websocket_block
from trio_ws._ending import CANCELLED_GRACE
from trio_ws._transport import Spawn
from trio_ws.protocol.state import Role
from trio_ws.testing import BoundedStream, Opcode, ScriptedPeer, bounded_stream_pair


class Noticed(Exception):
    """An exception of the body, as applications have them; it can be referred to weakly."""


async def test_block_closes_with_1000_when_it_ends(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """The end of the body is the normal end of a conversation."""
    ours, theirs = bounded_stream_pair()
    peer = ScriptedPeer(theirs, "server")
    with trio.fail_after(HANGS):
        async with websocket_block(partial(opened, ours)) as websocket:
            await peer.close_frame()
            assert isinstance(websocket, WebSocket)
        assert (await next_close(peer)).close_code == 1000
    assert ours.closed


async def opened(stream: trio.abc.Stream, spawn: Spawn) -> WebSocket:
    """Open a client's end."""
    await trio.lowlevel.checkpoint()
    return make_websocket(stream, Role.CLIENT, spawn)


async def peer_that_answers(stream: BoundedStream, codes: list[int]) -> None:
    """Answer the Close, note its code and hang up."""
    async with ScriptedPeer(stream, "server") as peer:
        frame = await next_close(peer)
        codes.append(frame.close_code)
        await peer.send_frame(Opcode.CLOSE, frame.payload)


@pytest.mark.parametrize(
    ("make", "code"),
    [
        (lambda: Noticed("a bug"), 1011),
        (lambda: ConnectionBroken(None, None), 1011),
        (lambda: ExceptionGroup("of my own", [Noticed("a"), Noticed("b")]), 1011),
        (KeyboardInterrupt, 1001),
        (lambda: BaseExceptionGroup("of my own", [Noticed("a"), SystemExit()]), 1001),
    ],
)
async def test_exception_of_the_body_comes_out_as_it_was(
    make: Callable[[], BaseException], code: int, autojump_clock: trio.testing.MockClock
) -> None:
    """D11: plain stays plain, a group stays that group, and nothing else is attached to it."""
    error = make()
    codes: list[int] = []
    ours, theirs = bounded_stream_pair()
    with trio.fail_after(HANGS):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(peer_that_answers, theirs, codes)
            with pytest.raises(type(error)) as caught:
                async with websocket_block(partial(opened, ours)):
                    raise error
    assert caught.value is error
    assert error.__context__ is None
    assert error.__cause__ is None
    assert codes == [code]
    assert ours.closed


async def test_context_that_the_body_gave_its_exception_is_kept(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Raised while another one was handled, it still says so."""
    first = KeyError("first")
    with pytest.raises(Noticed) as caught:  # noqa: PT012 - the block is what is tested
        async with scripted(Role.CLIENT) as (_, peer):
            await peer.close_frame()
            try:
                raise first
            except KeyError:
                raise Noticed from None
    assert caught.value.__context__ is first
    assert caught.value.__suppress_context__


async def test_exception_of_a_nursery_around_the_block_is_not_grouped_twice(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """The group that comes out is the one of the body's own nursery."""

    async def fail() -> NoReturn:
        raise Noticed

    with pytest.RaisesGroup(Noticed):
        async with scripted(Role.CLIENT) as (_, peer):
            await peer.close_frame()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(fail)


@pytest.mark.parametrize("error", [OSError("refused"), ExceptionGroup("several", [OSError("no")])])
async def test_failure_to_open_comes_out_as_it_was(error: Exception) -> None:
    """It is raised by entering the block, and the nursery is no more."""

    async def fail(spawn: Spawn) -> NoReturn:
        spawn(trio.sleep, 0)
        raise error

    with trio.fail_after(HANGS):
        with pytest.raises(type(error)) as caught:
            async with websocket_block(fail):
                pytest.fail("the block was entered")
    assert caught.value is error
    assert error.__context__ is None


async def test_cancelled_body_closes_with_1001(autojump_clock: trio.testing.MockClock) -> None:
    """The cancellation goes on to its scope, and the peer has been told."""
    codes: list[int] = []
    ours, theirs = bounded_stream_pair()
    with trio.fail_after(HANGS):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(peer_that_answers, theirs, codes)
            with trio.move_on_after(1) as scope:
                async with websocket_block(partial(opened, ours)):
                    await trio.sleep_forever()
    assert scope.cancelled_caught
    assert codes == [1001]
    assert ours.closed


async def test_cancelled_opening_enters_no_block(autojump_clock: trio.testing.MockClock) -> None:
    """The cancellation is the only thing that comes out."""

    async def for_ever(spawn: Spawn) -> NoReturn:
        await trio.sleep_forever()
        raise AssertionError

    with trio.move_on_after(1) as scope:
        async with websocket_block(for_ever):
            pytest.fail("the block was entered")
    assert scope.cancelled_caught


async def test_cancellation_while_the_block_closes_is_the_callers(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """A body that ended well waits for the peer's Close; that wait is cancelled as any."""
    began = trio.current_time()
    entered: list[WebSocket] = []
    with trio.move_on_after(1) as scope:
        async with scripted(Role.CLIENT) as (websocket, _):
            entered.append(websocket)
    assert scope.cancelled_caught
    (websocket,) = entered
    assert websocket.close_sent is not None
    assert websocket.close_sent.code == 1000
    assert trio.current_time() - began == pytest.approx(1 + CANCELLED_GRACE)


async def test_cancellation_while_it_closes_does_not_hide_the_bodys_exception(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """The first exception is the one to hear of; the scope meets its cancellation again."""
    ours, _theirs = bounded_stream_pair()
    with trio.move_on_after(1):
        with pytest.raises(Noticed) as caught:
            async with websocket_block(partial(opened, ours)):
                raise Noticed
        assert caught.value.__context__ is None
        assert ours.closed
        with pytest.raises(trio.Cancelled):
            await trio.lowlevel.checkpoint()


@pytest.mark.parametrize("cancelled", [True, False])
async def test_leaving_because_of_an_exception_raises_no_other(
    cancelled: bool, autojump_clock: trio.testing.MockClock
) -> None:
    """A handler's exception is not replaced by what happens while its connection is closed."""
    async with scripted(Role.SERVER) as (websocket, peer):
        with trio.CancelScope() as scope:
            if cancelled:
                scope.cancel()
            await leave_because(websocket, Noticed())
        assert not scope.cancelled_caught
        assert (await next_close(peer)).close_code == 1011
        assert repr(websocket).endswith("closed>")


async def test_block_of_a_connection_that_is_closed_already_just_ends(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Closing twice is harmless, and no time passes."""
    async with scripted(Role.CLIENT) as (websocket, peer):
        await peer.close_frame(4000)
        await websocket.aclose(4001)
        began = trio.current_time()
    assert trio.current_time() == began
    assert websocket.close_sent is not None
    assert websocket.close_sent.code == 4001


async def test_block_leaves_no_task_behind(autojump_clock: trio.testing.MockClock) -> None:
    """What the connection runs in the background ends with the block, however it is left."""
    tasks = trio.lowlevel.current_statistics().tasks_living
    with pytest.raises(Noticed):  # noqa: PT012 - the block is what is tested
        async with scripted(Role.CLIENT) as (websocket, peer):
            await websocket.send("a")
            await run_until_idle()
            await peer.close_frame()
            raise Noticed
    assert trio.lowlevel.current_statistics().tasks_living == tasks


async def test_exception_of_the_body_is_not_kept_in_a_cycle(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """S7: it is gone when its last user is, without the garbage collector."""
    noticed: weakref.ref[Noticed] | None = None
    gc.disable()
    try:
        try:
            async with scripted(Role.CLIENT) as (_, peer):
                await peer.close_frame()
                raise Noticed  # noqa: TRY301 - what a body does
        except Noticed as exc:
            noticed = weakref.ref(exc)
        assert noticed is not None
        assert noticed() is None
    finally:
        gc.enable()


async def test_return_out_of_the_block_closes_it(autojump_clock: trio.testing.MockClock) -> None:
    """D12: leaving by ``return`` is a normal end, and corrupts no cancel scope."""

    async def leave_early() -> WebSocket:
        async with scripted(Role.CLIENT) as (websocket, peer):
            await peer.close_frame()
            return websocket

    websocket = await leave_early()
    assert websocket.close_sent is not None
    assert websocket.close_sent.code == 1000
    await trio.lowlevel.checkpoint()
