"""Cancellation is exact: R1, R2 and R3 of the reliability promises.

R1 is a matrix, in ``operations``: every operation, on every kind of network, with every fault at
every point that there is.  ``python -m tests.count_injection_points`` prints how many those are.
"""

import math
import random
import socket
from collections.abc import Awaitable, Callable
from itertools import pairwise
from typing import Any

import pytest
import trio
import trio.testing

from tests.connections import HANGS
from tests.faulty_networks import NETWORKS, Network
from tests.injection import Fault, Injector, inject
from tests.operations import OPERATIONS, count_points
from tests.stage import Peer, Sent, message_of, set_stage
from tests.transports import contexts
from trio_ws import WebSocket, open_websocket_url, serve_websocket
from trio_ws.protocol.state import Role
from trio_ws.testing import Opcode

# R1: a cancelled operation either did nothing or is complete; the connection stays usable


@pytest.mark.parametrize("fault", list(Fault), ids=lambda fault: fault.name)
@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("operation", OPERATIONS)
def test_operation_is_exact_whatever_strikes(operation: str, network: str, fault: Fault) -> None:
    """Every fault has points to strike at, and at each of them nothing is torn, lost or left."""
    assert count_points(operation, network, fault) > 0


@pytest.mark.parametrize(("method", "operation"), [("send", "send_text"), ("receive", "receive")])
@pytest.mark.parametrize("network", NETWORKS)
def test_matrix_finds_a_checkpoint_after_the_commit(
    network: str, method: str, operation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Were a call cancelled after it has sent or taken a message, that would be found out."""
    genuine = getattr(WebSocket, method)

    async def too_late(*args: object, **options: object) -> object:
        result: object = await genuine(*args, **options)
        await trio.lowlevel.checkpoint()
        return result

    monkeypatch.setattr(WebSocket, method, too_late)
    with pytest.raises((AssertionError, ExceptionGroup)) as caught:
        count_points(operation, network, Fault.CANCEL_AFTER_STEP)
    assert caught.value.__notes__[-1].startswith("CANCEL_AFTER_STEP at point ")


class LookupsOnTheSpot(trio.abc.HostnameResolver):
    """Looks names up without a thread.

    Trio leaves the thread of a cancelled lookup to itself; for a moment more it has files open,
    which would be taken for descriptors that the run has left.
    """

    async def getaddrinfo(self, *args: Any, **options: Any) -> Any:
        """Look up, after a checkpoint."""
        await trio.lowlevel.checkpoint()
        return socket.getaddrinfo(*args, **options)

    async def getnameinfo(self, *args: Any, **options: Any) -> Any:
        """Look up, after a checkpoint."""
        await trio.lowlevel.checkpoint()
        return socket.getnameinfo(*args, **options)


CANCEL_AT_STEPS = [
    Fault.CANCEL_BEFORE_STEP,
    Fault.CANCEL_AFTER_STEP,
    Fault.CANCEL_AT_CHECKPOINT,
]


@pytest.mark.parametrize("fault", CANCEL_AT_STEPS, ids=lambda fault: fault.name)
@pytest.mark.parametrize("secure", [False, True], ids=["tcp", "tls"])
async def test_client_is_exact_over_tcp(secure: bool, fault: Fault) -> None:
    """Connecting for real, cancelled anywhere, leaves nothing behind at either end."""
    server_tls, client_tls = contexts() if secure else (None, None)
    trio.socket.set_custom_hostname_resolver(LookupsOnTheSpot())
    heard: list[str | bytes] = []

    async def note(websocket: WebSocket) -> None:
        async for message in websocket:
            heard.append(message)
            await websocket.send("heard")

    async def scenario(injector: Injector) -> None:
        heard.clear()
        sent = False
        async with trio.open_nursery() as nursery:
            server = await nursery.start(serve_websocket, note, "localhost", 0, server_tls)
            url = f"{'wss' if secure else 'ws'}://localhost:{server.port}/"
            with injector.armed():
                async with open_websocket_url(url, client_tls) as websocket:
                    await websocket.send("hear me")
                    sent = True
                    await websocket.receive()
            await server.aclose()
        assert heard == (["hear me"] if sent else [])

    with trio.fail_after(HANGS):
        assert await inject(scenario, fault) > 0


# R2: cancellation before the first byte costs nothing

every_network = pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS)


async def enter_send_stream(websocket: WebSocket) -> None:
    """Open a message in fragments, and send none."""
    async with websocket.send_stream(text=True):
        pass


async def enter_receive_stream(websocket: WebSocket) -> None:
    """Wait for a message in pieces."""
    async with websocket.receive_stream():
        pass


CALLS: dict[str, Callable[[WebSocket], Awaitable[object]]] = {
    "send": lambda websocket: websocket.send("never"),
    "send_stream": enter_send_stream,
    "receive": lambda websocket: websocket.receive(),
    "receive_stream": enter_receive_stream,
    "ping": lambda websocket: websocket.ping(),
    "pong": lambda websocket: websocket.pong(),
}


@pytest.mark.parametrize("call", CALLS)
@every_network
async def test_expired_deadline_costs_nothing(
    network: Network, call: str, autojump_clock: trio.testing.MockClock
) -> None:
    """A call in a scope that is cancelled already does nothing; the next message is whole."""
    async with set_stage(network) as stage:
        async with stage.open(Role.CLIENT, say_hello) as (websocket, peer):
            for _ in range(100):  # so many, for the checkpoints are not all alike
                with trio.CancelScope(deadline=-math.inf) as scope:
                    await CALLS[call](websocket)
                assert scope.cancelled_caught
            await stage.send(websocket, 1)
            assert await websocket.receive() == "hello"
        assert [frame for frame in peer.frames if frame.opcode > Opcode.CLOSE] == []
        stage.check(peer, 1000)


async def say_hello(peer: Peer) -> None:
    """Send one message, a moment later."""
    await trio.sleep(0.01)
    await peer.send(Opcode.TEXT, b"hello")


@every_network
async def test_cancelled_while_waiting_for_the_turn_costs_nothing(
    network: Network, autojump_clock: trio.testing.MockClock
) -> None:
    """Of the senders in the queue those that are cancelled leave no gap and no trace."""
    async with set_stage(network) as stage:
        peer_reads = trio.Event()
        async with (
            stage.open(Role.CLIENT, reads=peer_reads) as (websocket, peer),
            trio.open_nursery() as nursery,
        ):
            scopes = [trio.CancelScope() for _ in range(9)]

            async def send(number: int) -> None:
                with scopes[number]:
                    await stage.send(websocket, number)

            for number in range(9):
                nursery.start_soon(send, number)
                await trio.testing.wait_all_tasks_blocked()
            sent_at_once = len(stage.sent)
            assert 0 < sent_at_once < 5
            for number in (5, 6, 8):
                scopes[number].cancel()
            await trio.testing.wait_all_tasks_blocked()
            assert len(stage.sent) == sent_at_once
            peer_reads.set()
        stage.check(peer, 1000)
    assert [message[:3] for message in map(str, peer.messages)] == [
        f"{number:03}" for number in (0, 1, 2, 3, 4, 7)
    ]


@every_network
async def test_cancelled_while_another_sends_fragments_costs_nothing(
    network: Network, autojump_clock: trio.testing.MockClock
) -> None:
    """Who waits for the end of another's message in fragments may be cancelled meanwhile."""
    async with set_stage(network) as stage, stage.open(Role.SERVER) as (websocket, peer):
        async with websocket.send_stream(text=True) as sender, trio.open_nursery() as nursery:
            await stage.send_part(sender, 0)
            nursery.start_soon(stage.send, websocket, 1)
            await trio.testing.wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
        stage.sent.append(Sent(Opcode.CONTINUATION, b"", fin=True))
        await stage.send(websocket, 2)
    stage.check(peer, 1000)


# R3: a cancelled receive never loses or reorders data


@every_network
async def test_receive_cancelled_at_random_loses_nothing(
    network: Network, autojump_clock: trio.testing.MockClock
) -> None:
    """Numbered messages in fragments all arrive in order, however often receive is cancelled."""
    rng = random.Random(network.name)
    speech = [message_of(number, rng.randrange(6, 300)) for number in range(1800)]

    async def speak(peer: Peer) -> None:
        for message in speech:
            payload = message.encode()
            cuts = sorted({rng.randrange(1, len(payload)) for _ in range(rng.randrange(3))})
            for start, end in pairwise([0, *cuts, len(payload)]):
                opcode = Opcode.CONTINUATION if start else Opcode.TEXT
                await peer.send(opcode, payload[start:end], fin=end == len(payload))
                # Not always: then several frames come together.
                if rng.random() < 0.7:
                    await trio.sleep(rng.random() * 0.4)

    received: list[str | bytes] = []
    cancelled = 0
    async with set_stage(network) as stage, stage.open(Role.CLIENT, speak) as (websocket, _):
        while len(received) < len(speech):
            with trio.move_on_after(rng.random() * rng.choice((0.02, 0.3))) as scope:
                received.append(await websocket.receive())
            cancelled += scope.cancelled_caught
            if rng.random() < 0.3:  # away so long that an understudy comes, or nearly so
                await trio.sleep(rng.random() * 0.4)
    assert received == speech
    assert cancelled > 2500
