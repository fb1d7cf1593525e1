"""The stage on which operations are tested: our end, a network, and a strict peer.

The peer reads by the letter of RFC 6455.  What it has seen in the end is held against what was
committed: whole frames, with nothing in them that a call did not send that raised Cancelled, and
all of what calls sent that returned; cut short only where the connection was lost, and then with
nothing after the cut.
"""

import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from typing import Literal, Self
from unittest import mock

import trio

from tests.connections import NO_KEEPALIVE
from tests.faulty_networks import Network
from tests.helpers import MASK_KEY, other
from tests.injection import Fault, Injector
from tests.transports import contexts
from trio_ws import (
    ConnectionBroken,
    HandshakeError,
    MessageSender,
    Timeouts,
    WebSocket,
    open_websocket_url,
    wrap_server_stream,
)
from trio_ws._transport import close_forcefully, start_tls
from trio_ws.protocol.state import Role
from trio_ws.testing import (
    CutShort,
    Frame,
    Opcode,
    ScriptedPeer,
    build_frame,
    join_messages,
)

Script = Callable[["Peer"], Awaitable[object]]


def message_of(number: int, size: int) -> str:
    """Return a text that tells everywhere which it is, of about this size."""
    return f"{number:03d}\N{BULLET}" * (size // 6)


# The peer


class Peer:
    """The other end: reads strictly, answers pings and the Close, and does what its script says.

    Args:
        reads: when to begin reading; by default at once.

    Attributes:
        frames: what came, whole.
        cut: the bytes of a last frame that did not come whole.
        opened: set when the opening handshake is made; maybe never.
        done: set when our end has hung up, and so has this one.
    """

    def __init__(
        self,
        stream: trio.abc.Stream,
        role: Literal["client", "server"],
        script: Script | None = None,
        *,
        secure: bool,
        target: str = "/",
        reads: trio.Event | None = None,
    ) -> None:
        if secure:
            tls = contexts()
            stream = trio.SSLStream(
                stream,
                tls.server if role == "server" else tls.client,
                server_hostname="localhost",
                server_side=role == "server",
                https_compatible=True,
            )
        self._end = ScriptedPeer(stream, role)
        self._script = script
        self._target = target
        self._reads = reads
        self._sending = trio.Lock()
        self._close_sent = False
        self._changed = trio.lowlevel.ParkingLot()
        self.frames: list[Frame] = []
        self.cut = b""
        self.opened = trio.Event()
        self.done = trio.Event()

    async def run(self) -> None:
        """Shake hands, then read until the end of the stream."""
        try:
            with suppress(CutShort, trio.BrokenResourceError):
                await self._shake_hands()
            if self.opened.is_set():
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._speak)
                    await self._listen()
                    nursery.cancel_scope.cancel()
        finally:
            await close_forcefully(self._end.stream)
            self.done.set()
            self._changed.unpark_all()

    async def _shake_hands(self) -> None:
        if self._end.role == "server":
            await self._end.server_handshake()
        else:
            await self._end.client_handshake(self._target)
        self.opened.set()

    async def _speak(self) -> None:
        if self._script is not None:
            with suppress(trio.BrokenResourceError):
                await self._script(self)

    async def _listen(self) -> None:
        if self._reads is not None:
            await self._reads.wait()
        try:
            while frame := await self._end.receive_frame():
                self.frames.append(frame)
                self._changed.unpark_all()
                if frame.opcode == Opcode.PING:
                    await self.send(Opcode.PONG, frame.payload)
                elif frame.opcode == Opcode.CLOSE:
                    await self.send(Opcode.CLOSE, frame.payload)
        except CutShort as exc:
            self.cut = exc.data
        except trio.BrokenResourceError as exc:
            if isinstance(exc.__cause__, ssl.SSLError):
                raise  # records that do not fit together are as bad as frames that do not
            self.cut = bytes(self._end._buffer)

    async def send(self, opcode: Opcode, payload: bytes = b"", *, fin: bool = True) -> None:
        """Send a frame, as long as anybody wants it and no Close was sent."""
        await self.send_bytes(self.frame(opcode, payload, fin=fin))
        self._close_sent = self._close_sent or opcode == Opcode.CLOSE

    def frame(self, opcode: Opcode, payload: bytes, *, fin: bool = True) -> bytes:
        """Return a frame as this role sends it."""
        mask_key = MASK_KEY if self._end.role == "client" else None
        return build_frame(opcode, payload, fin=fin, mask_key=mask_key)

    async def send_bytes(self, data: bytes) -> None:
        """Send frames, as long as anybody wants them and no Close was sent."""
        async with self._sending:
            if not self._close_sent:
                with suppress(trio.BrokenResourceError):
                    await self._end.send_bytes(data)

    @property
    def messages(self) -> list[str | bytes]:
        """The messages that came whole."""
        return join_messages(self.frames)

    @property
    def close_code(self) -> int | None:
        """The code of the Close that came, ``None`` when none did."""
        last = self.frames[-1] if self.frames else None
        return last.close_code if last is not None and last.opcode == Opcode.CLOSE else None

    async def wait_messages(self, count: int) -> None:
        """Wait until so many messages have come, or will not."""
        while len(self.messages) < count and not self.done.is_set():
            await self._changed.park()


# The stage


@dataclass(frozen=True, slots=True)
class Sent:
    """A data frame that was committed."""

    opcode: int
    payload: bytes
    fin: bool

    @classmethod
    def of(cls, frame: Frame) -> Self:
        """Return what matters of a frame that came."""
        return cls(frame.opcode, frame.payload, frame.fin)

    def begins_with(self, cut: bytes) -> bool:
        """Tell whether these bytes are the beginning of this frame, under whatever mask."""
        masked = len(cut) > 1 and bool(cut[1] & 0x80)
        header = 2 + {126: 2, 127: 8}.get(cut[1] & 0x7F, 0) if len(cut) > 1 else 2
        key = cut[header : header + 4].ljust(4, b"\0") if masked else None
        whole = build_frame(self.opcode, self.payload, fin=self.fin, mask_key=key)
        return whole.startswith(cut)


class Stage:
    """Our end and the peer of one run, and what was committed so far."""

    def __init__(
        self,
        injector: Injector,
        network: Network,
        ours: trio.abc.Stream,
        theirs: trio.abc.Stream,
        nursery: trio.Nursery,
    ) -> None:
        self.injector = injector
        self.network = network
        self.nursery = nursery
        self.sent: list[Sent] = []
        self.ours = ours
        self.theirs = theirs

    @property
    def broken(self) -> bool:
        """Whether the network was broken: then nobody can tell how much arrives."""
        return self.injector.breaks and self.injector.fired

    # Opening

    def start_peer(
        self, role: Role, script: Script | None = None, *, reads: trio.Event | None = None
    ) -> Peer:
        """Start the peer, in this role."""
        secure = self.network.secure
        peer = Peer(self.theirs, role.value, script, secure=secure, reads=reads)
        self.nursery.start_soon(peer.run)
        return peer

    @asynccontextmanager
    async def open(
        self, role: Role, script: Script | None = None, *, reads: trio.Event | None = None
    ) -> AsyncGenerator[tuple[WebSocket, Peer], None]:
        """Open our end in this role, and the peer; wait for the end of both."""
        peer = self.start_peer(other(role), script, reads=reads)
        async with self.websocket(role) as websocket:
            await peer.opened.wait()
            yield websocket, peer
        await peer.done.wait()

    @asynccontextmanager
    async def websocket(self, role: Role) -> AsyncGenerator[WebSocket, None]:
        """Open our end in this role."""
        async with self._client() if role is Role.CLIENT else self._server() as websocket:
            yield websocket

    @asynccontextmanager
    async def _client(self) -> AsyncGenerator[WebSocket, None]:
        async def connect(host: str, port: int) -> trio.abc.Stream:
            try:
                await trio.lowlevel.checkpoint()
            except trio.Cancelled:
                await close_forcefully(self.ours)
                raise
            return self.ours

        secure = self.network.secure
        with mock.patch.object(trio, "open_tcp_stream", connect):
            async with open_websocket_url(
                f"{'wss' if secure else 'ws'}://localhost/",
                contexts().client if secure else None,
                limits=self.network.limits,
                keepalive=NO_KEEPALIVE,
            ) as websocket:
                yield websocket

    @asynccontextmanager
    async def _server(self) -> AsyncGenerator[WebSocket, None]:
        stream = await self._server_tls() if self.network.secure else self.ours
        async with wrap_server_stream(
            stream, limits=self.network.limits, keepalive=NO_KEEPALIVE
        ) as websocket:
            yield websocket

    async def _server_tls(self) -> trio.abc.Stream:
        """Shake hands for TLS, within bounds, as a server does."""
        timeouts = Timeouts()
        try:
            with trio.fail_after(timeouts.open):
                return await start_tls(
                    self.ours, contexts().server, server_side=True, server_hostname=None
                )
        except (trio.BrokenResourceError, trio.TooSlowError) as exc:
            await close_forcefully(self.ours)
            raise HandshakeError("the TLS handshake failed") from exc
        except BaseException:
            await close_forcefully(self.ours)
            raise

    # Acting

    async def send(self, websocket: WebSocket, number: int, *, text: bool = True) -> None:
        """Send a message that fills the buffers; note it, unless this raises."""
        message = message_of(number, self.network.size)
        await websocket.send(message if text else message.encode())
        self.note(message, text=text)

    def note(self, message: str | bytes, *, text: bool = True) -> None:
        """Note a message that was committed in one frame."""
        payload = message.encode() if isinstance(message, str) else message
        self.sent.append(Sent(Opcode.TEXT if text else Opcode.BINARY, payload, fin=True))

    async def send_part(self, sender: MessageSender, number: int) -> None:
        """Send a part of a message; note it, unless this raises."""
        part = message_of(number, self.network.size)
        await sender.send(part)
        opcode = Opcode.CONTINUATION if self.half_sent else Opcode.TEXT
        self.sent.append(Sent(opcode, part.encode(), fin=False))

    @property
    def half_sent(self) -> bool:
        """Whether a message was begun and not completed."""
        return bool(self.sent) and not self.sent[-1].fin

    async def send_once_more(self, websocket: WebSocket) -> None:
        """See that the connection can still be used, and that nobody has to wait for it."""
        with self.unless_broken(), trio.move_on_after(1) as limit:
            await self.send(websocket, 99)
        assert not limit.cancelled_caught

    @contextmanager
    def unless_broken(self) -> Generator[None]:
        """Let nothing out of this block but what is right; a broken network excuses one thing."""
        try:
            yield
        except ConnectionBroken as exc:
            if not self.broken or exc.code != 1006:
                raise

    # Judging

    def check(self, peer: Peer, *codes: int, lost: bool = False) -> None:
        """Hold what came against what was committed, and our Close against these codes.

        Args:
            lost: whether the connection was lost: then less may have come, and no Close.
        """
        came = [Sent.of(frame) for frame in peer.frames if frame.opcode < Opcode.CLOSE]
        assert came == self.sent[: len(came)]
        if lost or self.broken:
            assert peer.close_code in {*codes, None}
            if peer.cut and peer.cut[0] & 0xF < Opcode.CLOSE:
                assert self.sent[len(came)].begins_with(peer.cut)
        else:
            assert len(came) == len(self.sent)
            assert peer.close_code in codes
            assert peer.cut == b""


@asynccontextmanager
async def set_stage(
    network: Network, injector: Injector | None = None
) -> AsyncGenerator[Stage, None]:
    """Connect two streams; without an injector the network stays whole."""
    injector = injector or Injector(Fault.CANCEL_AT_CHECKPOINT, 0)
    with network.open(injector) as (ours, theirs):
        async with trio.open_nursery() as nursery:
            yield Stage(injector, network, ours, theirs, nursery)
