"""TLS as a client sees it: whom it trusts, what it says when it does not, and what it never sends.

Names are looked up by the test: all of them are at 127.0.0.1.
"""

import datetime as dt
import re
import socket
import ssl
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing
import trustme

from tests.servers import LOOPBACK, echo, serve_on_loopback
from trio_ws import (
    HandshakeError,
    Request,
    Timeouts,
    TLSFailed,
    connect_websocket_url,
    open_websocket_url,
    wrap_client_stream,
)
from trio_ws.testing import TLSContexts, bounded_stream_pair, tls_contexts


class Resolver(trio.abc.HostnameResolver):
    """Finds every name on this machine."""

    async def getaddrinfo(  # noqa: PLR0917 - as the interface wants it
        self,
        host: bytes | None,
        port: bytes | str | int | None,
        family: int = 0,
        type: int = 0,  # noqa: A002 - its name in the interface
        proto: int = 0,
        flags: int = 0,
    ) -> Any:
        """Return the loopback address."""
        await trio.lowlevel.checkpoint()
        return [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (LOOPBACK, port))]

    async def getnameinfo(
        self, sockaddr: tuple[str, int] | tuple[str, int, int, int], flags: int
    ) -> tuple[str, str]:
        """Never asked."""
        raise NotImplementedError


@pytest.fixture(autouse=True)
def every_name_is_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look up names by the `Resolver`, in every run of Trio that follows."""
    genuine = trio.open_tcp_stream

    async def open_tcp_stream(host: str | bytes, port: int) -> trio.SocketStream:
        trio.socket.set_custom_hostname_resolver(Resolver())
        return await genuine(host, port)

    monkeypatch.setattr(trio, "open_tcp_stream", open_tcp_stream)


class Victim:
    """A TLS server that keeps what it is told, in TLS and below.

    Attributes:
        names: the server names that were asked for (RFC 6066 section 3).
        received: the bytes that came through TLS.
    """

    def __init__(self, context: ssl.SSLContext) -> None:
        self.port = 0
        self.names: list[str | None] = []
        self.received = b""
        self._context = context
        context.sni_callback = self._note_name

    def _note_name(self, _: object, name: str | None, __: object) -> None:
        self.names.append(name)

    async def serve(self, stream: trio.SocketStream) -> None:
        """Take all that comes, until the end."""
        tls = trio.SSLStream(stream, self._context, server_side=True, https_compatible=True)
        try:
            while data := await tls.receive_some():
                self.received += data
        except trio.BrokenResourceError:
            pass
        finally:
            await trio.aclose_forcefully(stream)


@asynccontextmanager
async def victim(context: ssl.SSLContext) -> AsyncGenerator[Victim, None]:
    """Run such a server on a free port; in the end see that it was told nothing."""
    server = Victim(context)
    async with trio.open_nursery() as nursery:
        listeners: list[trio.SocketListener] = await nursery.start(
            partial(trio.serve_tcp, server.serve, 0, host=LOOPBACK)
        )
        server.port = listeners[0].socket.getsockname()[1]
        yield server
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert server.received == b"", "the client has sent something to a server it does not trust"


async def failure(url: str, context: ssl.SSLContext | None) -> TLSFailed:
    """Return what a client raises that opens this URL."""
    with pytest.raises(TLSFailed) as caught:
        async with open_websocket_url(url, context):
            pass
    return caught.value


# Whom it trusts (H15)


IDN, IDN_ASCII = "b\u00fccher.example", "xn--bcher-kva.example"


@pytest.mark.parametrize(
    ("certified", "host", "name"),
    [
        ("chat.example", "chat.example", "chat.example"),
        ("chat.example", "CHAT.example", "chat.example"),
        ("chat.example", "chat.example.", "chat.example"),
        ("*.chat.example", "eu.chat.example", "eu.chat.example"),
        (IDN, IDN, IDN_ASCII),
        (IDN, IDN_ASCII, IDN_ASCII),
        (LOOPBACK, LOOPBACK, None),
    ],
)
async def test_server_with_the_right_name_is_trusted(
    certified: str, host: str, name: str | None
) -> None:
    """H15: it is told by SNI which one is meant; an address is not sent so."""
    tls = tls_contexts(certified)
    names: list[str | None] = []
    tls.server.sni_callback = lambda _, sent, __: names.append(sent)
    async with (
        serve_on_loopback(echo, tls=tls) as server,
        open_websocket_url(f"wss://{host}:{server.port}/", tls.client) as ws,
    ):
        await ws.send("hello")
        assert await ws.receive() == "hello"
        assert ws.request.secure
        assert ws.request.tls is not None
        assert ws.request.tls.version == "TLSv1.3"
        assert ws.request.tls.peer_certificate is not None
        assert "subjectAltName" in ws.request.tls.peer_certificate
    assert names == [name]


@pytest.mark.parametrize(
    ("certified", "host"),
    [
        ("chat.example", "other.example"),
        ("chat.example", "eu.chat.example"),
        ("eu.chat.example", "chat.example"),
        ("*.chat.example", "a.b.chat.example"),
        ("*.chat.example", "chat.example"),
        (IDN, "bucher.example"),
        ("b\u00f6cher.example", IDN),
        ("192.0.2.1", LOOPBACK),
        ("localhost", LOOPBACK),
        (LOOPBACK, "localhost"),
    ],
)
async def test_server_with_another_name_is_told_nothing(certified: str, host: str) -> None:
    """H15: not a byte of HTTP; the message says what is wrong."""
    tls = tls_contexts(certified)
    async with victim(tls.server) as server:
        error = await failure(f"wss://user:secret@{host}:{server.port}/", tls.client)
    assert isinstance(error.__cause__, ssl.SSLCertVerificationError)
    assert "certificate" in str(error)
    assert "mismatch" in str(error)
    assert "secret" not in str(error)


def contexts_of(authority: trustme.CA, certificate: trustme.LeafCert) -> TLSContexts:
    """Return the contexts of a server with this certificate, and of a client of this authority."""
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    certificate.configure_cert(server)  # pyright: ignore[reportUnknownMemberType]
    client = ssl.create_default_context(cadata=authority.cert_pem.bytes().decode("ascii"))
    return TLSContexts(server, client)


NOW = dt.datetime.now(dt.UTC)
YEAR = dt.timedelta(days=365)


def expired(tmp_path: Path) -> TLSContexts:
    """Return contexts with a certificate whose time is over."""
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost", not_before=NOW - 2 * YEAR, not_after=NOW - YEAR)
    return contexts_of(authority, certificate)


def not_yet_valid(tmp_path: Path) -> TLSContexts:
    """Return contexts with a certificate whose time is to come."""
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost", not_before=NOW + YEAR, not_after=NOW + 2 * YEAR)
    return contexts_of(authority, certificate)


def self_signed(tmp_path: Path) -> TLSContexts:
    """Return contexts with a server whose certificate is its own authority, unknown to others."""
    authority = trustme.CA()
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    combined = tmp_path / "server.pem"
    combined.write_bytes(authority.private_key_pem.bytes() + authority.cert_pem.bytes())
    server.load_cert_chain(combined)
    return TLSContexts(server, ssl.create_default_context())


def of_another_authority(tmp_path: Path) -> TLSContexts:
    """Return contexts of an authority that the client does not know."""
    return TLSContexts(tls_contexts().server, tls_contexts().client)


@pytest.mark.parametrize(
    ("make_contexts", "words"),
    [
        (expired, "expired"),
        (not_yet_valid, "not yet valid"),
        (self_signed, "self-signed"),
        (of_another_authority, "unable to get local issuer"),
    ],
)
async def test_server_with_a_bad_certificate_is_told_nothing(
    make_contexts: Callable[[Path], TLSContexts], words: str, tmp_path: Path
) -> None:
    """H15: the message says in words what is wrong with it, and with whose."""
    tls = make_contexts(tmp_path)
    async with victim(tls.server) as server:
        error = await failure(f"wss://localhost:{server.port}/", tls.client)
    assert isinstance(error.__cause__, ssl.SSLCertVerificationError)
    assert str(error).startswith("the certificate of localhost was not accepted: ")
    assert words in str(error).replace("self signed", "self-signed")


async def test_client_without_a_context_verifies_as_by_default() -> None:
    """H15: nobody has to ask for it."""
    async with victim(tls_contexts().server) as server:
        error = await failure(f"wss://localhost:{server.port}/", None)
    assert isinstance(error.__cause__, ssl.SSLCertVerificationError)


async def test_wrong_certificate_is_an_error_at_once() -> None:
    """D13: not a timeout; and it is the same for `connect_websocket_url`."""
    tls = tls_contexts("other.example")
    async with victim(tls.server) as server, trio.open_nursery() as nursery:
        with pytest.raises(TLSFailed, match="mismatch"):
            await connect_websocket_url(
                nursery,
                f"wss://localhost:{server.port}/",
                tls.client,
                timeouts=Timeouts(open=60),
            )
        assert not nursery.child_tasks


# Other failures


async def served_by(handler: Callable[[trio.SocketStream], Any]) -> TLSFailed:
    """Return what a client raises whose server does this instead of TLS."""
    async with trio.open_nursery() as nursery:
        listeners: list[trio.SocketListener] = await nursery.start(
            partial(trio.serve_tcp, handler, 0, host=LOOPBACK)
        )
        port = listeners[0].socket.getsockname()[1]
        error = await failure(f"wss://localhost:{port}/", tls_contexts().client)
        nursery.cancel_scope.cancel()
    return error


async def speak_http(stream: trio.SocketStream) -> None:
    """Be a server without TLS."""
    await stream.receive_some()
    await stream.send_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    await stream.send_eof()
    while await stream.receive_some():
        pass


async def hang_up(stream: trio.SocketStream) -> None:
    """Be a server that does not like the ClientHello."""
    await stream.receive_some()


async def send_alert(stream: trio.SocketStream) -> None:
    """Be a server that says so: a fatal alert, handshake_failure."""
    await stream.receive_some()
    await stream.send_all(b"\x15\x03\x03\x00\x02\x02\x28")


async def crash(stream: trio.SocketStream) -> None:
    """Be a server that resets the connection."""
    await stream.receive_some()
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")


@pytest.mark.parametrize(
    ("handler", "words", "cause"),
    [
        (speak_http, "TLS with localhost failed: (WRONG|NOT|HTTP|RECORD|PACKET)", ssl.SSLError),
        (hang_up, "localhost ended the connection during the TLS handshake", ssl.SSLEOFError),
        (send_alert, "TLS with localhost failed: .*HANDSHAKE_FAILURE", ssl.SSLError),
        (crash, "TLS with localhost failed: .*reset", ConnectionResetError),
    ],
)
async def test_server_that_makes_no_tls_is_an_error_in_words(
    handler: Callable[[trio.SocketStream], Any], words: str, cause: type[Exception]
) -> None:
    """With what the system or ``ssl`` says as its cause."""
    error = await served_by(handler)
    assert isinstance(error.__cause__, cause)
    with pytest.raises(TLSFailed, match=words):
        raise error


def refuse_by_alert(listening: socket.socket, context: ssl.SSLContext) -> None:
    """Be a server that says why it makes no TLS, as `trio.SSLStream` does not; in a thread."""
    accepted, _ = listening.accept()
    tls = context.wrap_socket(accepted, server_side=True, do_handshake_on_connect=False)
    with pytest.raises(ssl.SSLError):
        tls.do_handshake()
    # Closed with data unread it would be reset, and the alert lost.
    with socket.socket(fileno=tls.detach()) as plain:
        plain.shutdown(socket.SHUT_WR)
        while plain.recv(65536):
            pass


async def failure_by_alert(tls: TLSContexts) -> HandshakeError:
    """Return what a client raises to whom a server says what it does not like."""
    with socket.create_server((LOOPBACK, 0)) as listening:
        port = listening.getsockname()[1]

        async def refuse() -> None:
            await trio.to_thread.run_sync(refuse_by_alert, listening, tls.server)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(refuse)
            with pytest.raises(HandshakeError) as caught:
                async with open_websocket_url(f"wss://localhost:{port}/", tls.client):
                    pass
    return caught.value


async def test_versions_that_do_not_meet_are_an_error_in_words() -> None:
    """TLS has no version in common."""
    tls = tls_contexts()
    tls.server.maximum_version = ssl.TLSVersion.TLSv1_2
    tls.client.minimum_version = ssl.TLSVersion.TLSv1_3
    error = await failure_by_alert(tls)
    assert isinstance(error, TLSFailed)
    assert isinstance(error.__cause__, ssl.SSLError)
    assert "VERSION" in str(error)


async def test_stream_that_breaks_without_a_reason_is_an_error_in_words() -> None:
    """As a tunnel's may."""
    near, far = bounded_stream_pair()
    far.reset()
    stream = trio.SSLStream(near, tls_contexts().client, server_hostname="localhost")
    with pytest.raises(TLSFailed, match="localhost ended the connection"):
        async with wrap_client_stream(stream, "wss://localhost/"):
            pass


# What the contexts say


async def test_tls_of_an_older_version_is_told() -> None:
    """To both ends."""
    tls = tls_contexts()
    tls.server.maximum_version = ssl.TLSVersion.TLSv1_2
    seen: list[Request] = []
    async with (
        serve_on_loopback(echo, tls=tls, process_request=seen.append) as server,
        open_websocket_url(f"wss://localhost:{server.port}/", tls.client) as ws,
    ):
        for request in (ws.request, *seen):
            assert request.tls is not None
            assert request.tls.version == "TLSv1.2"


async def test_protocol_agreed_on_by_alpn_is_told() -> None:
    """To both ends (RFC 7301)."""
    tls = tls_contexts()
    tls.server.set_alpn_protocols(["http/1.1"])
    tls.client.set_alpn_protocols(["h2", "http/1.1"])
    seen: list[Request] = []
    async with (
        serve_on_loopback(echo, tls=tls, process_request=seen.append) as server,
        open_websocket_url(f"wss://localhost:{server.port}/", tls.client) as ws,
    ):
        for request in (ws.request, *seen):
            assert request.tls is not None
            assert request.tls.alpn == "http/1.1"


async def test_certificate_of_the_client_reaches_the_application() -> None:
    """Where the server asks for one."""
    authority = trustme.CA()
    tls = contexts_of(authority, authority.issue_cert("localhost"))
    authority.configure_trust(tls.server)  # pyright: ignore[reportUnknownMemberType]
    tls.server.verify_mode = ssl.CERT_REQUIRED
    mine = authority.issue_cert("client@example.com")
    mine.configure_cert(tls.client)  # pyright: ignore[reportUnknownMemberType]
    seen: list[Request] = []
    async with (
        serve_on_loopback(echo, tls=tls, process_request=seen.append) as server,
        open_websocket_url(f"wss://localhost:{server.port}/", tls.client),
    ):
        (request,) = seen
        assert request.tls is not None
        assert request.tls.peer_certificate is not None
        assert request.tls.peer_certificate["subjectAltName"] == (("email", "client@example.com"),)


@pytest.mark.parametrize(
    ("version", "error"),
    [(ssl.TLSVersion.TLSv1_2, TLSFailed), (ssl.TLSVersion.TLSv1_3, HandshakeError)],
)
async def test_client_without_the_certificate_that_is_asked_for_hears_of_it(
    version: ssl.TLSVersion, error: type[HandshakeError]
) -> None:
    """TLS 1.3 tells only after its handshake, when the request is on its way."""
    authority = trustme.CA()
    tls = contexts_of(authority, authority.issue_cert("localhost"))
    authority.configure_trust(tls.server)  # pyright: ignore[reportUnknownMemberType]
    tls.server.verify_mode = ssl.CERT_REQUIRED
    tls.server.maximum_version = version
    caught = await failure_by_alert(tls)
    assert type(caught) is error
    assert re.search("certificate.required|handshake.failure", str(caught), re.IGNORECASE)
