"""TLS without I/O: plaintext to records and back, by `ssl.SSLObject` between two buffers.

Lives here: what OpenSSL has to be fed and asked.  Not here: any stream, any waiting.

Invariants: what comes out of `take` and `seal` must go to the peer in that order, nothing left
out; what the peer sent is returned by `open` before an error that came behind it is raised.  Both
buffers are fed in small portions, for what they have once grown to they never give back.
"""

from __future__ import annotations

import ssl

# In bytes of plaintext: the most that one record carries (RFC 8446 section 5.1).
RECORD_SIZE = 16 * 1024

# So much ciphertext is given to OpenSSL at once: two records with what belongs to them.
_PORTION = 2 * (RECORD_SIZE + 256)


class Records:
    """One end of a TLS connection, as far as bytes are concerned."""

    __slots__ = (
        "_error",
        "_incoming",
        "_outgoing",
        "_rest",
        "more",
        "object",
        "owes",
        "renegotiating",
    )

    def __init__(
        self, ssl_context: ssl.SSLContext, *, server_side: bool, server_hostname: str | None
    ) -> None:
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self.object: ssl.SSLObject = ssl_context.wrap_bio(
            self._incoming,
            self._outgoing,
            server_side=server_side,
            # As bytes, or Python's codec would have its say; names in URLs are encoded already.
            server_hostname=None if server_hostname is None else server_hostname.encode("ascii"),
        )
        self._rest: memoryview | None = None  # ciphertext that waits to be given to OpenSSL
        self._error: ssl.SSLError | None = None  # to be raised when all before it was returned
        self.more: bool = False
        """Whether `open` has something to say without being fed first."""
        self.renegotiating: bool = False
        """Whether `seal` has to wait for something to be opened."""
        self.owes: bool = False
        """Whether what the peer sent last demands an answer, which `take` gives."""

    def shake_hands(self) -> bool:
        """Go on with the handshake as far as the bytes reach; tell whether it is complete.

        There may be something to `take` each time, also when this raises.

        Raises:
            ssl.SSLError: it failed.
        """
        try:
            self.object.do_handshake()
        except ssl.SSLWantReadError:
            return False
        self.more = self._incoming.pending > 0  # the peer's first data may have come with its last
        # A TLS 1.3 server ends with session tickets.  Its client may hang up without reading
        # them, and would lose what we say before that; so they go out with our first data.
        self.owes = not (self.object.server_side and self.object.version() == "TLSv1.3")
        return True

    def feed(self, ciphertext: bytes | bytearray) -> None:
        """Take what came from the peer, ``b""`` being the end; all before it was opened."""
        if len(ciphertext) > _PORTION:
            self._rest = memoryview(ciphertext)
        elif ciphertext:
            self._incoming.write(ciphertext)
        else:
            self._incoming.write_eof()

    def open(self, max_bytes: int) -> bytes | None:
        """Return what can be decrypted now, ``None`` when that is nothing.

        At the end of the stream it is ``b""``, whether the peer said good-bye (close_notify) or
        not: the Close frames of WebSocket tell a whole connection from one that was cut.

        Raises:
            ssl.SSLError: the peer sent what is no TLS, or an alert.
        """
        error, self._error = self._error, None
        if error is not None:
            try:
                raise error
            finally:
                del error  # its traceback refers to this frame: no cycle
        before = self._outgoing.pending
        try:
            data = self._open_one(max_bytes)
            if data and (self._rest or self._incoming.pending or self.object.pending()):
                data = self._open_more(data, max_bytes)
            else:
                self.more = False  # one small message: the usual case
        finally:
            if self._outgoing.pending > before:
                self.owes = True
        return data

    def _open_more(self, part: bytes, max_bytes: int) -> bytes:
        parts = [part]
        left = max_bytes - len(part)
        end: bytes | None = b""
        try:
            while left and (end := self._open_one(left)):
                parts.append(end)
                left -= len(end)
        except ssl.SSLError as exc:
            # Without its traceback, which refers to us: no cycle.
            self._error = exc.with_traceback(None)
        # The end, or an error, waits until what came before it was returned.
        self.more = end is not None
        return b"".join(parts)

    def _open_one(self, max_bytes: int) -> bytes | None:
        """Return what one record holds, ``None`` when there is none, ``b""`` at the end."""
        while True:
            try:
                return self.object.read(min(max_bytes, RECORD_SIZE))
            except ssl.SSLWantReadError:
                if self._rest is None:
                    return None
                self._incoming.write(self._rest[:_PORTION])
                self._rest = self._rest[_PORTION:] or None
            except ssl.SSLEOFError:
                return b""

    def seal(self, data: bytes | memoryview) -> bytes:
        """Encrypt data; return the records, and before them what is owed besides.

        Raises:
            ssl.SSLWantReadError: the peer negotiates anew (TLS 1.2 only).  Nothing was encrypted;
                it can be when what is owed has left and more was fed and opened.
            ssl.SSLError: TLS broke before.
        """
        try:
            written = self.object.write(data[:RECORD_SIZE])
        except ssl.SSLWantReadError:
            self.renegotiating = True
            self.owes = self._outgoing.pending > 0
            raise
        self.owes = False
        sealed = self._outgoing.read()
        if written == len(data):
            return sealed
        parts, view = [sealed], memoryview(data)
        while written < len(view):
            written += self.object.write(view[written : written + RECORD_SIZE])
            parts.append(self._outgoing.read())
        return b"".join(parts)

    def take(self) -> bytes:
        """Return what TLS itself has to say: of the handshake, answers, alerts."""
        self.owes = False
        return self._outgoing.read()
