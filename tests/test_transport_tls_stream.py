"""TLS as a stream over a socket: handshake, plain reading and writing, and what it tells."""

import socket
import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing

from tests.transports import (
    TOO_MUCH,
    as_stream,
    contexts,
    receive_exactly,
    secured,
    socket_pair,
)
from trio_ws._transport import TLSStream, close_forcefully, start_tls
from trio_ws.testing import TLSContexts, tls_contexts


@asynccontextmanager
async def open_stream(
    *, tls: TLSContexts | None = None
) -> AsyncGenerator[tuple[TLSStream, trio.SSLStream[trio.abc.Stream]], None]:
    """Open our stream, the server, and Trio's, the client, over sockets with small buffers."""
    near, far = socket_pair()
    async with as_stream(near) as below, as_stream(far) as peer_below:
        stream, peer = await secured(below, peer_below, tls=tls)
        assert isinstance(stream, TLSStream)
        yield stream, peer


async def test_it_tells_what_was_negotiated() -> None:
    """What can be asked of a `trio.SSLStream` is answered in the same way."""
    tls = tls_contexts()
    for context in (tls.client, tls.server):
        context.set_alpn_protocols(["http/1.1"])
        context.maximum_version = ssl.TLSVersion.TLSv1_2
    tls.server.verify_mode = ssl.CERT_OPTIONAL
    async with open_stream(tls=tls) as (stream, peer):
        assert stream.version() == peer.version() == "TLSv1.2"
        assert stream.cipher() == peer.cipher()
        assert stream.selected_alpn_protocol() == "http/1.1"
        assert stream.getpeercert() is None
        assert stream.getpeercert(binary_form=True) is None
        binding = stream.get_channel_binding()
        assert binding is not None
        assert binding == peer.get_channel_binding()
        assert stream.transport_stream.socket.fileno() >= 0


async def test_receive_some_returns_all_there_is_or_what_is_asked_for() -> None:
    """What is decrypted beyond that is returned the next time; at the end nothing."""
    async with open_stream() as (stream, peer):
        await peer.send_all(b"0123456789")
        assert await stream.receive_some(4) == b"0123"
        assert await stream.receive_some() == b"456789"
        await peer.transport_stream.aclose()
        assert await stream.receive_some() == b""


async def test_send_all_waits_for_the_peer() -> None:
    """It is an ordinary stream: nobody else limits what it writes."""
    async with open_stream() as (stream, peer):
        sent = trio.Event()

        async def send_much() -> None:
            await stream.send_all(bytearray(TOO_MUCH))
            sent.set()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(send_much)
            await trio.testing.wait_all_tasks_blocked()
            assert not sent.is_set()
            assert await receive_exactly(peer, TOO_MUCH) == bytes(TOO_MUCH)
        assert sent.is_set()
        await stream.wait_send_all_might_not_block()
        await stream.send_all(b"")
        await stream.aclose()
        assert stream.transport_stream.socket.fileno() == -1


async def test_send_all_cut_short_ends_the_sending() -> None:
    """Nobody knows how much of the record went out; reading goes on."""
    async with open_stream() as (stream, peer):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stream.send_all, bytes(TOO_MUCH))
            await trio.testing.wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
        with pytest.raises(trio.BrokenResourceError, match="cut short"):
            await stream.send_all(b"more")
        await peer.send_all(b"hello")
        assert await stream.receive_some() == b"hello"


async def test_garbage_breaks_it_and_the_peer_is_told_why() -> None:
    """The cause is the `ssl.SSLError`; the peer gets an alert."""
    async with open_stream() as (stream, peer):
        await peer.transport_stream.send_all(b"no TLS record at all")
        with pytest.raises(trio.BrokenResourceError) as broken:
            await stream.receive_some()
        assert isinstance(broken.value.__cause__, ssl.SSLError)
        with pytest.raises(trio.BrokenResourceError) as told:
            await peer.receive_some()
        assert "alert" in str(told.value.__cause__).lower()


async def test_garbage_breaks_the_sending_too() -> None:
    """Also when what came before the garbage was read and nobody has seen the garbage yet."""
    async with open_stream() as (stream, peer):
        await peer.send_all(b"request")
        await peer.transport_stream.send_all(b"no TLS record at all")
        assert await stream.receive_some() == b"request"
        with pytest.raises(trio.BrokenResourceError) as broken:
            await stream.send_all(b"response")
        assert isinstance(broken.value.__cause__, ssl.SSLError)


async def test_garbage_in_the_midst_of_our_record_is_answered_by_nothing() -> None:
    """An alert would not be understood there."""
    async with open_stream() as (stream, peer):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stream.send_all, bytes(TOO_MUCH))
            await trio.testing.wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
        assert await peer.transport_stream.receive_some(TOO_MUCH)  # all that got out
        await peer.transport_stream.send_all(b"no TLS record at all")
        with pytest.raises(trio.BrokenResourceError):
            await stream.receive_some()
        await stream.aclose()
        assert await peer.transport_stream.receive_some() == b""


async def test_first_data_that_comes_with_the_end_of_the_handshake_is_returned() -> None:
    """Without another look at the socket, which has nothing more."""
    near, far = socket_pair()
    async with as_stream(near) as below, as_stream(far) as above, trio.open_nursery() as nursery:
        server = TLSStream(above, contexts().server, server_side=True, server_hostname=None)
        client = TLSStream(
            below, contexts().client, server_side=False, server_hostname="localhost"
        )._records
        nursery.start_soon(server.do_handshake)
        assert not client.shake_hands()
        await below.send_all(client.take())
        client.feed(await below.receive_some())
        assert client.shake_hands()
        await below.send_all(client.take() + client.seal(b"request"))
        await trio.testing.wait_all_tasks_blocked()
        assert await server.receive_some() == b"request"


async def test_reading_answers_what_the_peer_asks() -> None:
    """A server may ask for the certificate before it answers anything else."""
    tls = tls_contexts()
    tls.server.verify_mode = ssl.CERT_OPTIONAL
    tls.server.post_handshake_auth = tls.client.post_handshake_auth = True
    near, far = socket_pair()
    async with as_stream(near) as below, as_stream(far) as above, trio.open_nursery() as nursery:
        server = TLSStream(above, tls.server, server_side=True, server_hostname=None)
        client = TLSStream(below, tls.client, server_side=False, server_hostname="localhost")
        nursery.start_soon(server.do_handshake)
        await client.do_handshake()
        await trio.testing.wait_all_tasks_blocked()
        received: list[bytes] = []

        async def receive() -> None:
            received.append(await client.receive_some())

        nursery.start_soon(receive)
        server._records.object.verify_client_post_handshake()
        server._records.object.do_handshake()
        await above.send_all(server._records.take())
        server._records.feed(await above.receive_some())
        assert server._records.open(100) is None
        await server.send_all(b"welcome")
    assert received == [b"welcome"]


@pytest.mark.parametrize("fault", ["certificate", "protocol", "end"])
async def test_handshake_that_fails(fault: str) -> None:
    """The cause says what is wrong; the peer is told, where there is something to tell."""
    near, far = socket_pair()
    async with as_stream(near) as below, as_stream(far) as above:
        if fault == "protocol":
            await above.send_all(b"GET / HTTP/1.1\r\n\r\n")
        elif fault == "end":
            above.socket.shutdown(socket.SHUT_WR)
        client = TLSStream(
            below, contexts().client, server_side=False, server_hostname="example.com"
        )
        server = TLSStream(above, contexts().server, server_side=True, server_hostname=None)
        errors: list[BaseException | None] = []

        async def shake_hands(stream: TLSStream) -> None:
            with pytest.raises(trio.BrokenResourceError) as broken:
                await stream.do_handshake()
            errors.append(broken.value.__cause__)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(shake_hands, client)
            if fault == "certificate":
                nursery.start_soon(shake_hands, server)
        if fault == "certificate":
            assert isinstance(errors[0], ssl.SSLCertVerificationError)
            assert "alert" in str(errors[1]).lower()
        else:
            assert isinstance(errors[0], ssl.SSLEOFError if fault == "end" else ssl.SSLError)


async def test_it_carries_another_tls() -> None:
    """As below a proxy: Trio's stream reads and writes it in two tasks at once."""
    near, far = socket_pair()
    async with as_stream(near) as below, as_stream(far) as peer_below:
        stream, peer = await secured(below, peer_below)
        inner, inner_peer = await secured(stream, peer)
        assert isinstance(inner, trio.SSLStream)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(inner.send_all, bytes(TOO_MUCH))
            nursery.start_soon(inner_peer.send_all, bytes(TOO_MUCH))
            nursery.start_soon(receive_exactly, inner, TOO_MUCH)
            assert await receive_exactly(inner_peer, TOO_MUCH) == bytes(TOO_MUCH)
        await close_forcefully(inner)


async def test_start_tls_with_an_address_for_a_name() -> None:
    """A certificate for an IP address is checked against that."""
    tls = tls_contexts("127.0.0.1")
    near, far = socket_pair()
    async with as_stream(near) as below, as_stream(far) as above, trio.open_nursery() as nursery:
        server = TLSStream(above, tls.server, server_side=True, server_hostname=None)
        nursery.start_soon(server.do_handshake)
        client = await start_tls(below, tls.client, server_side=False, server_hostname="127.0.0.1")
        assert client.getpeercert() is not None
