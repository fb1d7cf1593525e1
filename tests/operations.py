"""Operations under fire: the scenarios of the cancellation matrix, and what each must keep.

Each runs on a stage, arms the injector around the code under test, sends once more and lets the
block end; then it judges what has become of all that.
"""

import functools
from collections.abc import Awaitable, Callable
from contextlib import suppress

import trio
import trio.testing

from tests.connections import NO_KEEPALIVE
from tests.faulty_networks import NETWORKS, Network
from tests.helpers import other
from tests.injection import Fault, Injector, inject
from tests.stage import Peer, Script, Sent, Stage, message_of, set_stage
from tests.transports import contexts
from trio_ws import (
    ClosedLocally,
    ConnectionBroken,
    ConnectionClosed,
    HandshakeError,
    Request,
    Server,
    WebSocket,
    serve_websocket_listeners,
)
from trio_ws.protocol.state import Role
from trio_ws.testing import Opcode, bounded_stream_pair

# In seconds, by Trio's clock: a broken connection is given up after `Timeouts.close`, a cancelled
# block has a second of grace, and one thing may come after the other.
MAX_SECONDS = 25

Operation = Callable[[Stage], Awaitable[None]]


def count_points(operation: str, network: str, fault: Fault) -> int:
    """Run an operation with this fault at every point; return how many points there were."""

    async def scenario(injector: Injector) -> None:
        await _perform(OPERATIONS[operation], NETWORKS[network], injector)

    run = functools.partial(inject, scenario, fault, seconds=MAX_SECONDS)
    return trio.run(run, clock=trio.testing.MockClock(autojump_threshold=0))


async def _perform(operation: Operation, network: Network, injector: Injector) -> None:
    async with set_stage(network, injector) as stage:
        await operation(stage)


def _check_closed(websocket: WebSocket) -> None:
    """See that nobody can use a connection that we have closed."""
    try:
        websocket.send_nowait("too late")
    except ClosedLocally:
        pass
    else:
        raise AssertionError("a closed connection took a message")


# Opening


async def _open_and_leave(stage: Stage, role: Role) -> None:
    """Open, converse, leave: the whole of a connection's life is under fire."""
    peer = stage.start_peer(other(role), _speak_in_between)
    websocket: WebSocket | None = None
    began = trio.current_time()
    with stage.injector.armed():
        try:
            async with stage.websocket(role) as websocket:
                with stage.unless_broken():
                    await websocket.ping()
                    await stage.send(websocket, 0)
                    assert await websocket.receive() == _IN_BETWEEN
                    await stage.send(websocket, 1)
        except HandshakeError:
            assert stage.broken
            assert websocket is None
    # The grace that there is for a cancelled block is not used up: the peer answers at once.
    assert stage.broken or trio.current_time() - began < 1
    await peer.done.wait()
    if websocket is None:
        assert peer.frames == []
        assert peer.cut == b""
    else:
        _check_closed(websocket)
        stage.check(peer, 1000, 1001)


async def connect(stage: Stage) -> None:
    """Open a client's connection, converse and leave the block."""
    await _open_and_leave(stage, Role.CLIENT)


async def accept(stage: Stage) -> None:
    """Accept a client, converse and leave the block."""
    await _open_and_leave(stage, Role.SERVER)


# Sending


_IN_BETWEEN = b"x" * 200


async def _speak_in_between(peer: Peer) -> None:
    """Say something; where nobody receives it, an understudy answers the ping in it."""
    await _speak(peer, [_IN_BETWEEN])


async def _send(stage: Stage, role: Role, *, text: bool) -> None:
    async with stage.open(role, _speak_in_between) as (websocket, peer):
        with stage.unless_broken(), stage.injector.armed():
            for number in range(3):
                await stage.send(websocket, number, text=text)
            await trio.sleep(1)
            await stage.send(websocket, 3, text=text)
            await peer.wait_messages(4)
        await stage.send_once_more(websocket)
    stage.check(peer, 1000)


async def send_text(stage: Stage) -> None:
    """Send texts from a client."""
    await _send(stage, Role.CLIENT, text=True)


async def send_bytes(stage: Stage) -> None:
    """Send binary messages from a server."""
    await _send(stage, Role.SERVER, text=False)


async def send_among_others(stage: Stage) -> None:
    """Send from one task under fire and from two that are not, all waiting for each other."""
    sent: dict[int, list[int]] = {0: [], 1: [], 2: []}

    async def send(sender: int) -> None:
        with stage.unless_broken():
            for number in range(sender * 10, sender * 10 + 3):
                await websocket.send(message_of(number, stage.network.size))
                sent[sender].append(number)

    async with (
        stage.open(Role.CLIENT, _speak_in_between) as (websocket, peer),
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(send, 1)
        nursery.start_soon(send, 2)
        with stage.injector.armed():
            await send(0)
            await trio.sleep(1)
    came = {sender: list[int]() for sender in sent}
    for message in peer.messages:
        number = int(message[:3])
        assert message == message_of(number, stage.network.size)
        came[number // 10].append(number)
    for sender, numbers in sent.items():
        assert came[sender] == numbers[: len(came[sender])]
        assert stage.broken or len(came[sender]) == len(numbers)
    if not stage.broken:
        assert [len(sent[sender]) for sender in (1, 2)] == [3, 3]
        assert peer.close_code == 1000
        assert peer.cut == b""


async def send_fragments(stage: Stage) -> None:
    """Send a message, then one in fragments."""
    async with stage.open(Role.CLIENT, _speak_in_between) as (websocket, peer):
        with stage.unless_broken(), stage.injector.armed():
            await stage.send(websocket, 0)
            async with websocket.send_stream(text=True) as sender:
                await stage.send_part(sender, 1)
                await stage.send_part(sender, 2)
                await trio.sleep(1)
                await stage.send_part(sender, 3)
            stage.sent.append(Sent(Opcode.CONTINUATION, b"", fin=True))
            await peer.wait_messages(2)
        if stage.half_sent and not stage.broken:
            # The peer waits for the rest, which will never come: no other message may.
            assert websocket.close_sent is not None
            assert websocket.close_sent.code == 1011
            with suppress(ConnectionClosed):
                await websocket.send("too late")
                raise AssertionError("a message was taken amid the fragments of another")
        else:
            await stage.send_once_more(websocket)
    stage.check(peer, 1011 if stage.half_sent else 1000)


# Receiving


def _speech(network: Network) -> list[str | bytes]:
    """Return what the peer says in `_speak`."""
    sizes = [network.size, 150, network.size, 6, 6, 6]
    texts = [message_of(number, size) for number, size in enumerate(sizes)]
    return [text if number % 2 else text.encode() for number, text in enumerate(texts)]


async def _speak(peer: Peer, speech: list[str | bytes]) -> None:
    """Say large messages in fragments with pings among them, small ones in one breath."""
    small = b""
    for message in speech:
        opcode = Opcode.TEXT if isinstance(message, str) else Opcode.BINARY
        payload = message.encode() if isinstance(message, str) else message
        if len(payload) < 100:
            small += peer.frame(opcode, payload)
        else:
            await peer.send(opcode, payload[:100], fin=False)
            await peer.send(Opcode.PING, payload[:10])
            await peer.send(Opcode.CONTINUATION, payload[100:])
    await peer.send_bytes(small)


def _check_received(stage: Stage, received: list[str | bytes]) -> None:
    speech = _speech(stage.network)
    # What cannot be written any more does not end the reading; but a trio.SSLStream that could not
    # write does not read any more either, and there it is not ours that writes.
    reading_ended = (
        stage.injector.fault is Fault.BREAK_READ or stage.network.name == "TLS in memory"
    )
    if stage.broken and reading_ended:
        assert received == speech[: len(received)]
    else:
        assert received == speech


async def receive(stage: Stage) -> None:
    """Receive on a server: at once, and after having been away so long that an understudy came."""
    speech, received = _speech(stage.network), list[str | bytes]()

    async def script(peer: Peer) -> None:
        await _speak(peer, speech[:2])
        await trio.sleep(1)
        await _speak(peer, speech[2:])

    async with stage.open(Role.SERVER, script) as (websocket, peer):
        with stage.unless_broken(), stage.injector.armed():
            received.append(await websocket.receive())
            received.append(await websocket.receive())
            await trio.sleep(0.5)
            while len(received) < len(speech):
                received.append(await websocket.receive())
        with stage.unless_broken():
            while len(received) < len(speech):
                received.append(await websocket.receive())
        await stage.send_once_more(websocket)
    _check_received(stage, received)
    stage.check(peer, 1000)


async def iterate(stage: Stage) -> None:
    """Iterate on a client until the server closes."""
    speech, received = _speech(stage.network), list[str | bytes]()

    async def script(peer: Peer) -> None:
        await _speak(peer, speech)
        await peer.send(Opcode.CLOSE, b"\x03\xe8")

    async with stage.open(Role.CLIENT, script) as (websocket, peer):
        with stage.unless_broken(), stage.injector.armed():
            async for message in websocket:
                received.append(message)
        with stage.unless_broken():
            async for message in websocket:
                received.append(message)
        with suppress(ConnectionBroken):
            await websocket.send("too late")
            raise AssertionError("a message was taken after the peer's Close")
    _check_received(stage, received)
    stage.check(peer, 1000)


def _joined(pieces: list[str | bytes]) -> str | bytes:
    text = "".join(piece for piece in pieces if isinstance(piece, str))
    binary = b"".join(piece for piece in pieces if isinstance(piece, bytes))
    assert not (text and binary)
    return text or binary


async def receive_fragments(stage: Stage) -> None:
    """Receive messages in pieces, on a server; what was begun and left is skipped."""
    speech, received = _speech(stage.network), list[str | bytes | None]()

    async def script(peer: Peer) -> None:
        await _speak(peer, speech)

    async def receive_one() -> None:
        async with websocket.receive_stream() as receiver:
            received.append(None)
            pieces = [piece async for piece in receiver]
            received[-1] = _joined(pieces)

    async with stage.open(Role.SERVER, script) as (websocket, peer):
        with stage.unless_broken(), stage.injector.armed() as scope:
            while len(received) < len(speech):
                await receive_one()
        skipped = received.count(None)
        assert skipped <= (1 if scope.cancelled_caught or stage.broken else 0)
        with stage.unless_broken():
            while len(received) < len(speech):
                await receive_one()
        await stage.send_once_more(websocket)
    _check_received(
        stage,
        [
            spoken if message is None else message
            for message, spoken in zip(received, speech, strict=False)
        ],
    )
    stage.check(peer, 1000)


# Pinging


async def ping(stage: Stage) -> None:
    """Ping from a server while the peer sends messages that nobody receives."""
    speech = _speech(stage.network)

    async def script(peer: Peer) -> None:
        await _speak(peer, speech[:2])

    async with stage.open(Role.SERVER, script) as (websocket, peer):
        with stage.unless_broken(), stage.injector.armed():
            await websocket.ping()
            await stage.send(websocket, 0)
            await websocket.ping(b"again")
            await peer.wait_messages(1)
        with stage.unless_broken(), trio.move_on_after(1) as limit:
            await websocket.ping()
        assert not limit.cancelled_caught
        await stage.send_once_more(websocket)
    stage.check(peer, 1000)


# Closing


async def _aclose(stage: Stage, role: Role) -> None:
    """Send and close at once, so that the Close stands behind what is unsent."""
    closing = closed = False
    async with stage.open(role) as (websocket, peer):
        with stage.unless_broken(), stage.injector.armed():
            await stage.send(websocket, 0)
            await stage.send(websocket, 1)
            closing = True
            await websocket.aclose(3000, "done")
            closed = True
        if closing:
            _check_closed(websocket)
        else:
            await stage.send_once_more(websocket)
    if closing:
        # A cancelled aclose() never waits: what was not taken by then is lost.
        stage.check(peer, 3000, lost=not closed)
    else:
        stage.check(peer, 1000)


async def aclose_client(stage: Stage) -> None:
    """Close on the client."""
    await _aclose(stage, Role.CLIENT)


async def aclose_server(stage: Stage) -> None:
    """Close on the server, which is the one to hang up."""
    await _aclose(stage, Role.SERVER)


# Stopping a server


class _Listener(trio.abc.Listener[trio.abc.Stream]):
    """A listener that accepts the streams it is given."""

    def __init__(self) -> None:
        self._give, self._take = trio.open_memory_channel[trio.abc.Stream](2)

    def connect(self, stream: trio.abc.Stream) -> None:
        """Have this stream accepted next."""
        self._give.send_nowait(stream)

    async def accept(self) -> trio.abc.Stream:
        return await self._take.receive()

    async def aclose(self) -> None:
        await self._take.aclose()


async def _start_server(
    stage: Stage,
    nursery: trio.Nursery,
    handler: Callable[[WebSocket], Awaitable[None]],
    process_request: Callable[[Request], None],
    *scripts: Script,
) -> tuple[Server, Peer, Peer]:
    """Serve two clients: one over the network under fire, and another over memory.

    What a handler raises, but for the close of its connection, ends all of this.
    """
    near, far = bounded_stream_pair()
    secure = stage.network.secure
    under_fire = Peer(stage.theirs, "client", scripts[0], secure=secure, target="/under-fire")
    bystander = Peer(far, "client", scripts[1], secure=secure)
    listener = _Listener()
    serve = functools.partial(
        serve_websocket_listeners,
        handler,
        [listener],
        contexts().server if secure else None,
        isolate_handlers=False,
        process_request=process_request,
        limits=stage.network.limits,
        keepalive=NO_KEEPALIVE,
    )
    server: Server = await nursery.start(serve)
    listener.connect(near)
    stage.nursery.start_soon(bystander.run)
    await bystander.opened.wait()
    listener.connect(stage.ours)
    stage.nursery.start_soon(under_fire.run)
    return server, under_fire, bystander


async def _echo(
    stage: Stage, websocket: WebSocket, tell: Callable[[], object] = lambda: None
) -> None:
    async for message in websocket:
        await websocket.send(message)
        stage.note(message)
        tell()


async def _ask_for_echoes(peer: Peer, network: Network) -> None:
    for number in range(3):
        await peer.send(Opcode.TEXT, message_of(number, network.size).encode())


async def server_aclose(stage: Stage) -> None:
    """Stop a server from within a handler, while another is echoing."""
    answers: list[str | bytes] = []
    echoing = trio.Event()

    async def handler(websocket: WebSocket) -> None:
        if websocket.request.target == "/under-fire":
            await _echo(stage, websocket, echoing.set)
            return
        await websocket.receive()
        with stage.injector.armed():
            await websocket.send("stopping")
            answers.append("stopping")
            await server.aclose(grace=5)
        # Whoever stops the server is not stopped by it.
        with trio.fail_after(1):
            await websocket.send("stopped")

    async def ask_to_stop(peer: Peer) -> None:
        await echoing.wait()
        await peer.send(Opcode.TEXT, b"stop")

    async with trio.open_nursery() as nursery:
        server, under_fire, asking = await _start_server(
            stage,
            nursery,
            handler,
            lambda _: None,
            lambda peer: _ask_for_echoes(peer, stage.network),
            ask_to_stop,
        )
        await asking.done.wait()
        await server.aclose()
    await under_fire.done.wait()
    stage.check(under_fire, 1001)
    assert asking.messages == [*answers, "stopped"]
    assert asking.close_code == 1000


async def server_cancelled(stage: Stage) -> None:
    """Cancel a server at the steps of a handler that echoes, while another one waits."""

    def take_aim(request: Request) -> None:
        if request.target == "/under-fire":
            stage.injector.trigger.task = trio.lowlevel.current_task()

    async def handler(websocket: WebSocket) -> None:
        if websocket.request.target == "/under-fire":
            await _echo(stage, websocket)
        else:
            await websocket.receive()

    async def ask_and_close(peer: Peer) -> None:
        await _ask_for_echoes(peer, stage.network)
        await peer.wait_messages(3)
        await peer.send(Opcode.CLOSE, b"\x03\xe8")

    async def stay(peer: Peer) -> None:
        await trio.sleep_forever()

    began = trio.current_time()
    with stage.injector.armed():
        stage.injector.trigger.task = None
        async with trio.open_nursery() as nursery:
            server, under_fire, waiting = await _start_server(
                stage, nursery, handler, take_aim, ask_and_close, stay
            )
            await under_fire.done.wait()
            await server.aclose()
    assert stage.broken or trio.current_time() - began < 1
    for peer in under_fire, waiting:
        await peer.done.wait()
    if under_fire.opened.is_set():
        stage.check(under_fire, 1000, 1001)
    else:
        assert under_fire.frames == []
    assert waiting.frames[:-1] == []
    assert waiting.close_code == 1001


OPERATIONS: dict[str, Operation] = {
    operation.__name__: operation
    for operation in (
        connect,
        accept,
        send_text,
        send_bytes,
        send_among_others,
        send_fragments,
        receive,
        receive_fragments,
        iterate,
        ping,
        aclose_client,
        aclose_server,
        server_aclose,
        server_cancelled,
    )
}
