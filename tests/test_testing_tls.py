"""TLS contexts of a moment: whom the client believes, and what happens without trustme."""

import ssl
import sys

import pytest
import trio

from trio_ws.testing import TLSContexts, bounded_stream_pair, tls_contexts


async def handshake(server: ssl.SSLContext, client: ssl.SSLContext, name: str) -> bytes:
    """Do a TLS handshake in memory; return what the client then sent to the server."""
    near, far = bounded_stream_pair()
    above = trio.SSLStream(near, client, server_hostname=name)
    below = trio.SSLStream(far, server, server_side=True)
    received = b""

    async def serve() -> None:
        nonlocal received
        try:
            received = bytes(await below.receive_some())
        except trio.BrokenResourceError:
            pass  # the client has refused the certificate
        finally:
            await trio.aclose_forcefully(below)

    refusals: list[trio.BrokenResourceError] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve)
        try:
            await above.send_all(b"trusted")
        except trio.BrokenResourceError as exc:
            refusals.append(exc)
        finally:
            await trio.aclose_forcefully(near)
    # Out here, where the nursery does not put it into a group.
    for refusal in refusals:
        raise refusal
    return received


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "::1"])
async def test_contexts_are_for_the_loopback_by_default(name: str) -> None:
    """All names of this machine are verified."""
    contexts = tls_contexts()
    assert await handshake(contexts.server, contexts.client, name) == b"trusted"


async def test_contexts_are_for_the_hosts_named() -> None:
    """The names given replace the defaults."""
    server, client = tls_contexts("chat.example", "192.0.2.1")
    assert await handshake(server, client, "chat.example") == b"trusted"
    assert await handshake(server, client, "192.0.2.1") == b"trusted"
    with pytest.raises(trio.BrokenResourceError) as refused:
        await handshake(server, client, "localhost")
    assert isinstance(refused.value.__cause__, ssl.SSLCertVerificationError)


async def test_contexts_of_two_calls_do_not_trust_each_other() -> None:
    """Each call has an authority of its own, and the client trusts no other."""
    with pytest.raises(trio.BrokenResourceError) as refused:
        await handshake(tls_contexts().server, tls_contexts().client, "localhost")
    assert isinstance(refused.value.__cause__, ssl.SSLCertVerificationError)


def test_client_context_trusts_nothing_but_the_authority() -> None:
    """What this machine happens to trust does not count."""
    contexts = tls_contexts()
    assert isinstance(contexts, TLSContexts)
    assert len(contexts.client.get_ca_certs()) == 1
    assert contexts.client.verify_mode is ssl.CERT_REQUIRED
    assert contexts.client.check_hostname


def test_contexts_refuse_what_is_no_host() -> None:
    """A name that no certificate could carry is refused."""
    with pytest.raises(ValueError, match="Codepoint"):
        tls_contexts("not a host")


def test_contexts_without_trustme_name_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever lacks trustme learns what to install."""
    monkeypatch.setitem(sys.modules, "trustme", None)
    with pytest.raises(ImportError, match=r"extra `testing`: pip install 'trio_ws\[testing\]'"):
        tls_contexts()
