"""A peer that does what the test says, byte by byte, and takes nothing amiss that is right.

Here lives the I/O around `trio_ws.testing._frames` and `trio_ws.testing._upgrade`: an endpoint of
either role that has no behaviour of its own.  It answers no ping, echoes no Close and never fails a
connection; the test does, or does not.  It shares nothing with the endpoint under test.

Invariant: what was received stays in the buffer until a method returns it, so a method that is
cancelled or fails loses nothing; `ScriptedPeer.receive_frames`, which collects, is the exception.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import trio

from trio_ws.testing._frames import (
    Buffer,
    CutShort,
    Frame,
    FrameSequence,
    Opcode,
    build_frame,
    close_payload,
    parse_frame,
)
from trio_ws.testing._upgrade import (
    SAMPLE_KEY,
    Head,
    check_upgrade_request,
    check_upgrade_response,
    parse_head,
    upgrade_request,
    upgrade_response,
)

# That of the example in RFC 6455, section 5.7: tests want the same bytes in every run.
SAMPLE_MASK_KEY = b"\x37\xfa\x21\x3d"

# What one read may bring, in bytes.
_READ_SIZE = 65536


class ScriptedPeer(trio.abc.AsyncResource):
    """One end of a WebSocket connection in the hands of the test, over any Trio stream.

    Sending takes everything, right or wrong.  Receiving is strict: whatever RFC 6455 forbids the
    endpoint at the other end raises `Violation`.  As on the stream, one task may send and one may
    receive at a time.

    Args:
        stream: the connection; closed by `aclose`, and free to be used directly meanwhile.
        role: the role of this peer; the endpoint under test has the other one.
        rsv: the reserved bits that the other end may set, as a number; RSV1 is 4.
    """

    __slots__ = ("_buffer", "_received", "_rsv", "role", "stream")

    stream: trio.abc.Stream
    """The stream below."""
    role: Literal["client", "server"]
    """The role of this peer."""

    def __init__(
        self, stream: trio.abc.Stream, role: Literal["client", "server"], *, rsv: int = 0
    ) -> None:
        self.stream = stream
        self.role = role
        self._rsv = rsv
        self._buffer = bytearray()
        self._received = FrameSequence()

    # Sending

    async def send_bytes(self, data: Buffer) -> None:
        """Send these bytes as they are.

        When cancelled it may have sent a part of them, like ``send_all``, whose errors it raises.
        """
        await self.stream.send_all(data)

    async def send_frame(
        self,
        opcode: int,
        payload: Buffer = b"",
        *,
        fin: bool = True,
        mask: bool | bytes | None = None,
        rsv: int = 0,
    ) -> None:
        """Send one frame; for one that lies about its size, send what `build_frame` returns.

        When cancelled it may have sent a part of it, like ``send_all``, whose errors it raises.

        Args:
            opcode: from 0 to 15, reserved ones too.
            payload: not masked yet.
            fin: the FIN bit.
            mask: whether to mask, or the four bytes to mask with; ``None``: as is right for the
                role.  The bytes are always the same unless given.
            rsv: the reserved bits, from 0 to 7; RSV1 is 4.

        Raises:
            ValueError: an argument does not fit in its field; nothing was sent.
        """
        if mask is None:
            mask = self.role == "client"
        if isinstance(mask, bool):
            mask = SAMPLE_MASK_KEY if mask else None
        await self.send_bytes(build_frame(opcode, payload, fin=fin, rsv=rsv, mask_key=mask))

    async def close_frame(self, code: int | None = 1000, reason: str = "") -> None:
        """Send a Close frame; ``None`` as its code sends an empty one.

        The stream stays open.  When cancelled it may have sent a part of the frame.

        Raises:
            OverflowError: the code is not from 0 to 65535; nothing was sent.
        """
        await self.send_frame(Opcode.CLOSE, close_payload(code, reason))

    # Receiving

    async def receive_frame(self) -> Frame | None:
        """Wait for the next frame; ``None`` when the stream has ended, between two frames.

        Cancellation loses nothing.  What the stream raises goes through.

        Raises:
            Violation: the other end must not send this frame, or not here.  It stays where it is:
                the next call raises the same.
            CutShort: the stream has ended in the middle of a frame.
        """
        masked = self.role == "server"
        while not (found := parse_frame(self._buffer, 0, masked=masked, rsv=self._rsv)):
            if not await self._read():
                if self._buffer:
                    raise CutShort("the stream ended inside a frame", self._buffer)
                return None
        frame, end = found
        self._received.add(frame)
        del self._buffer[:end]
        return frame

    async def receive_frames(self) -> tuple[list[Frame], bytes]:
        """Wait for the end of the stream; return all frames and what there is of one cut short.

        A broken stream counts as ended here; `receive_frame` tells the two apart.  When cancelled,
        the frames that were complete by then are lost, and only they.

        Raises:
            Violation: the other end must not send this frame, or not here.
        """
        frames = list[Frame]()
        try:
            while frame := await self.receive_frame():
                frames.append(frame)
        except CutShort as exc:
            return frames, exc.data
        except trio.BrokenResourceError:
            return frames, bytes(self._buffer)
        return frames, b""

    async def receive_bytes(self, count: int) -> bytes:
        """Wait for so many bytes and return them: the body of an answer, say.

        Cancellation loses nothing.  What the stream raises goes through.

        Raises:
            CutShort: the stream has ended before.
        """
        while len(self._buffer) < count:
            if not await self._read():
                raise CutShort(f"the stream ended before {count} bytes", self._buffer)
        data = bytes(self._buffer[:count])
        del self._buffer[:count]
        return data

    async def receive_head(self) -> Head:
        """Wait for the head of a request or a response; what follows it is still to be received.

        Cancellation loses nothing.  What the stream raises goes through.

        Raises:
            Violation: this is no head of HTTP/1.1.
            CutShort: the stream has ended before the end of the head, or without one.
        """
        while not (found := parse_head(self._buffer)):
            if not await self._read():
                raise CutShort("the stream ended inside a head", self._buffer)
        head, end = found
        del self._buffer[:end]
        return head

    async def _read(self) -> bool:
        data = await self.stream.receive_some(_READ_SIZE)
        self._buffer += data
        return bool(data)

    # The opening handshake

    async def client_handshake(
        self,
        target: str = "/",
        *,
        host: str = "localhost",
        headers: Iterable[tuple[str, str]] = (),
    ) -> Head:
        """Ask a server for a WebSocket, and return its answer once it has accepted rightly.

        To be refused, send an `upgrade_request` of your own and call `receive_head`.  When
        cancelled, the connection is good for nothing more.

        Args:
            host: the value of the Host header.
            headers: more headers: subprotocols, an Origin.

        Raises:
            Violation: the server has not accepted, or not as RFC 6455, section 4.2.2 wants it.
        """
        headers = tuple(headers)
        await self.send_bytes(upgrade_request(target, host=host, key=SAMPLE_KEY, headers=headers))
        answer = await self.receive_head()
        check_upgrade_response(answer, SAMPLE_KEY, headers)
        return answer

    async def server_handshake(self, *, headers: Iterable[tuple[str, str]] = ()) -> Head:
        """Accept a client's WebSocket, and return its request.

        To refuse, call `receive_head` and send an answer of your own.  When cancelled, the
        connection is good for nothing more.

        Args:
            headers: more headers of the answer: a subprotocol, say.

        Raises:
            Violation: the client has not asked as RFC 6455, section 4.1 wants it; nothing was sent.
        """
        request = await self.receive_head()
        await self.send_bytes(upgrade_response(check_upgrade_request(request), headers=headers))
        return request

    # Ending

    async def aclose(self) -> None:
        """Close the stream, with no Close frame; `close_frame` sends one.

        Idempotent, and when cancelled still closed, as far as the stream is.
        """
        await self.stream.aclose()
