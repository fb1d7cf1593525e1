"""A server among peers that mean harm, and interrupts at bad moments: the innocent notice nothing.

Bytes in the wrong place are tested with the sans-I/O layer; here it is about time, descriptors and
tasks.
"""

import logging
import random
import ssl
import subprocess
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest
import trio
import trio.testing

from tests.servers import (
    LOOPBACK,
    check_echo,
    connect,
    contexts,
    echo,
    over_tcp_and_tls,
    peer_of,
    reset,
    serve_memory,
    serve_on_loopback,
)
from trio_ws import Timeouts, connect_websocket_url, open_websocket_url, wrap_client_stream
from trio_ws._accepting import LINGER_SECONDS
from trio_ws.testing import ScriptedPeer, upgrade_request

ROOT = Path(__file__).parent.parent


def client_hello() -> bytes:
    """Return the first bytes of a TLS client."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = contexts().client.wrap_bio(incoming, outgoing, server_hostname="localhost")
    with suppress(ssl.SSLWantReadError):
        tls.do_handshake()
    return outgoing.read()


# Slowloris (H1)


@pytest.mark.parametrize("secure", [False, True], ids=["tcp", "tls"])
@pytest.mark.parametrize("pace", ["silent", "half", "dribble"])
async def test_slowloris_is_closed_when_the_time_for_opening_is_over(
    secure: bool, pace: str, autojump_clock: trio.testing.MockClock
) -> None:
    """H1: nothing, half a ClientHello or request, or a byte a second: none of it buys time."""
    hello = client_hello() if secure else upgrade_request()
    ended: list[float] = []

    async def attack(stream: trio.abc.Stream) -> None:
        if pace == "half":
            await stream.send_all(hello[: len(hello) // 2])
        with suppress(trio.BrokenResourceError), trio.move_on_after(20):
            for byte in hello if pace == "dribble" else b"":
                await stream.send_all(bytes([byte]))
                await trio.sleep(1)
        with suppress(trio.BrokenResourceError):
            while await stream.receive_some():
                pass
        ended.append(trio.current_time())

    tls = contexts() if secure else None
    timeouts = Timeouts(open=5)
    async with serve_memory(echo, tls=tls, timeouts=timeouts) as server:
        innocent: trio.abc.Stream = await server.connect()
        if tls is not None:
            innocent = trio.SSLStream(innocent, tls.client, server_hostname="localhost")
        async with (
            wrap_client_stream(innocent, "ws://localhost/") as ws,
            trio.open_nursery() as nursery,
        ):
            for _ in range(50):
                nursery.start_soon(attack, await server.connect())
            await trio.sleep(5 + LINGER_SECONDS)
            await trio.testing.wait_all_tasks_blocked()
            assert len(server.server._serving) == 1
            await ws.send("still here")
            assert await ws.receive() == "still here"
    assert len(ended) == 50


async def test_slowloris_behind_tls_is_closed_too(autojump_clock: trio.testing.MockClock) -> None:
    """H1: one deadline for TLS and HTTP together."""
    tls = contexts()
    async with serve_memory(echo, tls=tls, timeouts=Timeouts(open=5)) as server:
        stream = trio.SSLStream(
            await server.connect(), tls.client, server_hostname="localhost", https_compatible=True
        )
        await trio.sleep(3)
        await stream.do_handshake()
        await stream.send_all(b"GET / HT")
        received = b""
        while data := await stream.receive_some():
            received += data
        assert received.startswith(b"HTTP/1.1 408 ")
        assert 5 <= trio.current_time() <= 5 + LINGER_SECONDS
        await trio.testing.wait_all_tasks_blocked()
        assert not server.server._serving


# What is no TLS (H2)


@pytest.mark.parametrize(
    "sent",
    [
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"\x00garbage that goes on for a while",
        b"\x15\x03\x03\x00\x02\x02\x28",  # an alert: fatal, handshake_failure
        b"",
    ],
    ids=["plain HTTP", "garbage", "client alert", "end of stream"],
)
async def test_tls_port_hangs_up_on_what_is_no_tls(
    sent: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """H2: at once, with one line in the log at most, and none of them above INFO."""
    tls = contexts()
    caplog.set_level(logging.INFO, logger="trio_ws")
    async with (
        serve_on_loopback(echo, tls=tls) as server,
        open_websocket_url(f"wss://localhost:{server.port}/", tls.client) as innocent,
    ):
        caplog.clear()
        stream = await trio.open_tcp_stream(LOOPBACK, server.port)
        async with stream:
            await stream.send_all(sent)
            await stream.send_eof()
            with suppress(trio.BrokenResourceError):
                while await stream.receive_some():
                    pass
        await innocent.send("still here")
        assert await innocent.receive() == "still here"
        assert len(caplog.records) <= 1
        assert all(each.levelno == logging.INFO for each in caplog.records)


async def test_tls_handshake_that_is_reset_is_nothing_to_be_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """H2: in the middle of it."""
    tls = contexts()
    async with serve_on_loopback(echo, tls=tls) as server:
        peer = await connect(server)
        await peer.send_bytes(client_hello())
        await peer.receive_bytes(1)
        reset(peer)
        await check_echo(server, tls)
        await server.aclose()
    assert [each for each in caplog.records if each.levelno > logging.INFO] == []


# Endless heads (H3)


@pytest.mark.parametrize(
    ("beginning", "more"),
    [
        (b"GET /", b"a" * 1000),
        (b"GET / HTTP/1.1\r\n", b"X: y\r\n" * 200),
        (b"GET / HTTP/1.1\r\nX: ", b"a" * 1000),
    ],
    ids=["URL", "headers", "header"],
)
async def test_endless_head_is_refused_early(beginning: bytes, more: bytes) -> None:
    """H3: the peer cannot push more than the limit and what is in flight."""
    pushed = 0

    async def push(peer: ScriptedPeer) -> None:
        nonlocal pushed
        with suppress(trio.BrokenResourceError):
            await peer.send_bytes(beginning)
            while True:
                await peer.send_bytes(more)
                pushed += len(more)

    async with serve_memory(echo) as server, await peer_of(server) as peer:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(push, peer)
            head = await peer.receive_head()
            assert head.status in (414, 431)
        # Head, what is read to let the answer arrive, and what the stream itself holds.
        assert pushed <= 16 * 1024 + 64 * 1024 + 64 * 1024 + 3 * 4096


# Comings and goings (H19)


async def leave_politely(peer: ScriptedPeer) -> None:
    """Make the opening handshake, and shake hands in the end."""
    await peer.client_handshake()
    await peer.close_frame()
    while await peer.receive_frame():
        pass
    await peer.aclose()


async def vanish(peer: ScriptedPeer) -> None:
    """End the stream without a word."""
    await peer.client_handshake()
    await trio.aclose_forcefully(peer)


async def crash(peer: ScriptedPeer) -> None:
    """Reset an open connection."""
    await peer.client_handshake()
    reset(peer)


async def crash_early(peer: ScriptedPeer) -> None:
    """Reset in the opening handshake."""
    with suppress(trio.BrokenResourceError):
        await peer.send_bytes(upgrade_request()[:20])
    reset(peer)


async def crash_at_once(peer: ScriptedPeer) -> None:
    """Reset before anything was sent."""
    reset(peer)


@over_tcp_and_tls
async def test_churn_leaves_nothing(secure: bool, caplog: pytest.LogCaptureFixture) -> None:
    """H19: no task, no descriptor, no entry in any list; and nothing in the log."""
    tls = contexts() if secure else None
    ways: list[Callable[[ScriptedPeer], Awaitable[None]]] = [leave_politely, vanish, crash]
    if not secure:
        ways += [crash_early, crash_at_once]
    async with serve_on_loopback(echo, tls=tls) as server:
        await check_echo(server, tls)
        await trio.testing.wait_all_tasks_blocked()
        before = trio.lowlevel.current_statistics().tasks_living
        for _ in range(20 if secure else 60):
            async with trio.open_nursery() as nursery:
                for way in ways:
                    nursery.start_soon(way, await connect(server, tls))
        await server.aclose()
        assert not server._serving
        await trio.testing.wait_all_tasks_blocked()
        # The task that accepted, and the one that it lived in.
        assert trio.lowlevel.current_statistics().tasks_living <= before
    assert [each for each in caplog.records if each.levelno > logging.INFO] == []


# Out of descriptors (H18)


@pytest.mark.skipif(sys.platform == "win32", reason="there is no such limit here")
async def test_server_survives_that_it_runs_out_of_descriptors() -> None:
    """H18: it serves again as soon as some are free, and says what is the matter once."""
    run = partial(
        trio.run_process,
        [sys.executable, "-m", "tests.programs.server_of_few_descriptors", "60"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    logged = b""
    async with trio.open_nursery() as nursery:
        process: trio.Process = await nursery.start(run)
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        async with process.stdin, process.stdout, process.stderr:
            port = int(await process.stdout.receive_some())
            url = f"ws://{LOOPBACK}:{port}/"
            innocent = await connect_websocket_url(nursery, url)
            streams = [await trio.open_tcp_stream(LOOPBACK, port) for _ in range(100)]
            for stream in streams:
                await stream.send_all(upgrade_request())
            logged += await process.stderr.receive_some()
            await innocent.send("still here")
            assert await innocent.receive() == "still here"
            for stream in streams:
                await trio.aclose_forcefully(stream)
            async with open_websocket_url(url) as ws:
                await ws.send("hello")
                assert await ws.receive() == "hello"
            await innocent.aclose()
            await process.stdin.aclose()
            while data := await process.stderr.receive_some():
                logged += data
    assert logged.split() == [b"ERROR"]


# Interrupts (R13)


@pytest.mark.skipif(sys.platform == "win32", reason="a process cannot interrupt itself alone here")
@pytest.mark.parametrize(
    ("program", "flags"),
    [("interrupted_server", ["-X", "dev"]), ("interrupted_client", [])],
)
def test_interrupt_at_any_time_ends_orderly(program: str, flags: list[str]) -> None:
    """R13: one KeyboardInterrupt, no torn frame, no warning, no lost task; the programs say how."""
    seed = random.randrange(1000)
    done = subprocess.run(
        [sys.executable, *flags, "-m", f"tests.programs.{program}", str(seed), "25"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", ""), f"with seed {seed}"
