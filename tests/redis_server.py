"""A real Redis for a test: started, killed, stopped and started again.

It listens at a Unix socket in a directory of its own, so there is no port to be taken; `in_front`
puts TCP, and TLS, before it.
"""

import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from signal import SIGCONT, SIGSTOP
from subprocess import PIPE, STDOUT
from tempfile import TemporaryDirectory

import trio

from tests.debian import installed

LOOPBACK = "127.0.0.1"


class RedisServer:
    """One redis-server at one path; between `kill` and `start` there is none."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "redis.sock"
        self._directory = directory
        self._process: trio.Process | None = None

    @property
    def url(self) -> str:
        """Where it is."""
        return f"unix://{self.path}"

    async def start(self, *options: str) -> None:
        """Start it and wait until it is ready; nothing of before is left in it."""
        command = [
            installed("redis-server"),
            "--port",
            "0",
            "--unixsocket",
            str(self.path),
            *options,
        ]
        keep_nothing = ["--save", "", "--appendonly", "no", "--dir", str(self._directory)]
        self._process = await trio.lowlevel.open_process(
            [*command, *options, *keep_nothing], stdout=PIPE, stderr=STDOUT
        )
        said = b""
        assert self._process.stdout is not None
        while b"ready to accept connections" not in said:
            more = await self._process.stdout.receive_some()
            assert more, f"redis-server ended: {said.decode()}"
            said += more

    async def kill(self) -> None:
        """Kill it, as power cuts and the kernel do."""
        with trio.CancelScope(shield=True):
            if self._process is not None:
                self._process.kill()
                await self._process.wait()
                assert self._process.stdout is not None
                await self._process.stdout.aclose()
                self._process = None
        self.path.unlink(missing_ok=True)

    def stop(self) -> None:
        """Let it hang: connections stay, nothing is answered."""
        assert self._process is not None
        self._process.send_signal(SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        assert self._process is not None
        self._process.send_signal(SIGCONT)

    async def command(self, *words: str) -> str:
        """Say something to it, and return what it answers: a line, or the lines of a list."""
        async with await trio.open_unix_socket(str(self.path)) as stream:
            # Redis ends the connection after QUIT, so its answer has an end.
            for each in (words, ("QUIT",)):
                bulks = (f"${len(word.encode())}\r\n{word}\r\n" for word in each)
                await stream.send_all(f"*{len(each)}\r\n{''.join(bulks)}".encode())
            answer = b"".join([part async for part in stream])
        return answer.decode().removesuffix("+OK\r\n").strip()


@asynccontextmanager
async def running_redis(*options: str) -> AsyncGenerator[RedisServer, None]:
    """Run a redis-server for as long as the block lasts."""
    with TemporaryDirectory() as directory:
        server = RedisServer(Path(directory))
        try:
            await server.start(*options)
            yield server
        finally:
            await server.kill()


@asynccontextmanager
async def in_front(
    server: RedisServer, ssl_context: ssl.SSLContext | None = None
) -> AsyncGenerator[int, None]:
    """Put a TCP port, with TLS if asked to, in front of a Redis; yield the port."""
    (listener,) = await trio.open_tcp_listeners(0, host=LOOPBACK)

    async def carry(source: trio.abc.ReceiveStream, to: trio.abc.SendStream) -> None:
        async for data in source:
            await to.send_all(data)

    async def relay(stream: trio.abc.Stream) -> None:
        if ssl_context is not None:
            stream = trio.SSLStream(stream, ssl_context, server_side=True)
        async with stream, await trio.open_unix_socket(str(server.path)) as redis:
            try:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(carry, stream, redis)
                    await carry(redis, stream)
            except* trio.BrokenResourceError:
                pass  # whoever hung up had reason to

    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(trio.serve_listeners, relay, [listener]))
        yield listener.socket.getsockname()[1]
        nursery.cancel_scope.cancel()
