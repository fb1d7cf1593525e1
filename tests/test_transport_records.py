"""TLS without I/O: bytes in any cut come out as they went in, and then the end or the error."""

import gc
import random
import ssl
import weakref
from contextlib import suppress
from types import SimpleNamespace

import pytest

from tests.transports import Renegotiation, contexts, handshaken
from trio_ws._transport.records import RECORD_SIZE, Records
from trio_ws.testing import tls_contexts

VERSIONS = (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)

every_version = pytest.mark.parametrize("version", VERSIONS)


def opened(records: Records, max_bytes: int = 2**20) -> bytes:
    """Return all that can be opened now."""
    data = b""
    while part := records.open(max_bytes):
        assert len(part) <= max_bytes
        data += part
    return data


@every_version
def test_small_messages_are_opened_one_by_one(version: ssl.TLSVersion) -> None:
    """Both ways; when all is said there is no more."""
    client, server = handshaken(version)
    for near, far in ((client, server), (server, client)):
        for data in (b"hello", b"world"):
            far.feed(near.seal(data))
            assert far.open(100) == data
            assert not far.more
            assert far.open(100) is None


@every_version
@pytest.mark.parametrize("seed", range(5))
def test_any_cut_of_the_records_gives_the_same_bytes(version: ssl.TLSVersion, seed: int) -> None:
    """However much is sealed, fed and asked for at once."""
    rng = random.Random(seed)
    client, server = handshaken(version)
    for size in (1, 100, RECORD_SIZE - 1, RECORD_SIZE, RECORD_SIZE + 1, 300_000):
        data = rng.randbytes(size)
        sealed, received = client.seal(data), b""
        while sealed:
            at = rng.choice([1, 5, 1000, 33_000, 100_000])
            server.feed(sealed[:at])
            sealed = sealed[at:]
            received += opened(server, rng.choice([100, 10_000, 262_144]))
        assert received == data


def test_what_is_beyond_the_bound_is_kept() -> None:
    """No more is returned than is asked for; there is more then, until there is not."""
    client, server = handshaken()
    server.feed(client.seal(b"0123456789"))
    assert server.open(4) == b"0123"
    assert server.more
    assert server.open(4) == b"4567"
    assert server.open(4) == b"89"
    assert not server.more


def test_half_a_record_is_nothing_yet() -> None:
    """The rest makes it whole."""
    client, server = handshaken()
    sealed = client.seal(b"hello")
    server.feed(sealed[:10])
    assert server.open(100) is None
    assert not server.more
    server.feed(sealed[10:])
    assert server.open(100) == b"hello"


def test_end_without_a_goodbye_is_an_end() -> None:
    """At a record's end or in the midst of it; what came before is returned first."""
    client, server = handshaken()
    sealed = client.seal(b"hello")
    server.feed(sealed + sealed[:10])
    assert server.open(100) == b"hello"
    server.feed(b"")
    assert [server.open(100) for _ in range(2)] == [b"", b""]


@every_version
def test_goodbye_is_an_end(version: ssl.TLSVersion) -> None:
    """It ends the stream though the socket is open; what came before is returned first."""
    client, server = handshaken(version)
    sealed = client.seal(b"hello") + client.seal(b"world")
    with pytest.raises(ssl.SSLWantReadError):
        client.object.unwrap()
    server.feed(sealed + client.take())
    assert server.open(100) == b"helloworld"
    assert server.more
    assert server.open(100) == b""


def test_garbage_is_an_error_behind_what_was_whole() -> None:
    """The error is raised once all before it was returned, and the peer is told of it."""
    client, server = handshaken()
    sealed = client.seal(b"hello") + client.seal(b"world")
    server.feed(sealed + b"no TLS record at all")
    assert server.open(100) == b"helloworld"
    assert server.more
    with pytest.raises(ssl.SSLError, match=r"(?i)version"):
        server.open(100)
    assert server.owes
    client.feed(server.take())
    with pytest.raises(ssl.SSLError, match=r"(?i)alert"):
        client.open(100)
    with pytest.raises(ssl.SSLError):
        server.seal(b"never")


def test_error_that_was_kept_keeps_nothing() -> None:
    """Raised and dealt with, it is gone, and with it whatever its frames refer to."""
    client, server = handshaken()
    server.feed(client.seal(b"hello") + b"no TLS record at all")
    gc.disable()
    try:
        assert server.open(100) == b"hello"
        with suppress(ssl.SSLError):
            server.open(100)
        gone = weakref.ref(server.object)
        del server
        assert gone() is None
    finally:
        gc.enable()


@every_version
def test_first_data_may_come_with_the_end_of_the_handshake(version: ssl.TLSVersion) -> None:
    """A client need not wait between the two; nor is there another read to wait for."""
    tls = tls_contexts()
    tls.client.maximum_version = version
    client = Records(tls.client, server_side=False, server_hostname="localhost")
    server = Records(tls.server, server_side=True, server_hostname=None)
    first, second = (client, server) if version is ssl.TLSVersion.TLSv1_3 else (server, client)
    assert not client.shake_hands()
    server.feed(client.take())
    assert not server.shake_hands()
    client.feed(server.take())
    client.shake_hands()
    if first is server:
        server.feed(client.take())
        assert server.shake_hands()
    second.feed(first.take() + first.seal(b"hello"))
    assert second.shake_hands()
    assert second.more
    assert second.open(100) == b"hello"
    assert not second.more


def test_session_tickets_go_out_with_the_first_data() -> None:
    """A TLS 1.3 server says nothing unasked; reading the tickets, its client owes nothing."""
    client, server = handshaken()
    assert not server.owes
    server.feed(client.seal(b"request"))
    assert server.open(100) == b"request"
    assert not server.owes
    first, second = server.seal(b"response"), server.seal(b"response")
    assert len(first) > len(second) + 200
    client.feed(first + second)
    assert client.open(100) == b"responseresponse"
    assert not client.owes


@pytest.mark.parametrize("taken", [True, False])
def test_answer_that_is_owed_goes_before_the_next_data(taken: bool) -> None:
    """Taken or not: either way it has its place."""
    tls = tls_contexts()
    tls.server.verify_mode = ssl.CERT_OPTIONAL
    tls.server.post_handshake_auth = tls.client.post_handshake_auth = True
    client, server = handshaken(tls=tls)
    server.object.verify_client_post_handshake()
    client.feed(server.seal(b"show your certificate"))
    assert client.open(100) == b"show your certificate"
    assert client.owes
    answer = client.take() if taken else b""
    server.feed(answer + client.seal(b"data"))
    assert not client.owes
    assert server.open(100) == b"data"


def test_partial_writes_are_completed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Should OpenSSL ever take less than it is given."""
    client, server = handshaken()
    genuine = client.object

    def write(data: bytes | memoryview) -> int:
        return genuine.write(data[:1000])

    monkeypatch.setattr(client, "object", SimpleNamespace(write=write))
    for size in (999, 1001, 40_500):
        data = random.Random(size).randbytes(size)
        server.feed(client.seal(data))
        assert opened(server) == data


@pytest.mark.parametrize("owed", [b"", b"its hello, "])
def test_nothing_is_sealed_while_the_peer_negotiates_anew(
    owed: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What TLS has to say goes first; the same can be sealed later, and nothing comes twice."""
    client, server = handshaken(ssl.TLSVersion.TLSv1_2)
    renegotiation = Renegotiation(client, owed)
    with monkeypatch.context() as patch:
        patch.setattr(client, "object", renegotiation)
        with pytest.raises(ssl.SSLWantReadError):
            client.seal(b"data")
        assert client.renegotiating
        assert client.owes == bool(owed)
        sealed = client.take()
        renegotiation.over = True
        sealed += client.seal(b"data")
    server.feed(sealed)
    assert opened(server) == owed + b"data"


def test_handshake_that_fails_leaves_an_alert_to_take() -> None:
    """The one who finds the fault raises, the other is told why."""
    tls = contexts()
    client = Records(tls.client, server_side=False, server_hostname="example.com")
    server = Records(tls.server, server_side=True, server_hostname=None)
    assert not client.shake_hands()
    server.feed(client.take())
    assert not server.shake_hands()
    client.feed(server.take())
    with pytest.raises(ssl.SSLCertVerificationError):
        client.shake_hands()
    server.feed(client.take())
    with pytest.raises(ssl.SSLError, match=r"(?i)alert"):
        server.shake_hands()


def test_names_are_passed_on_as_they_are() -> None:
    """A name that is encoded already, underscores and long labels included; none for a server."""
    for name in ("xn--fa-hia.de", "a_b.example", "127.0.0.1", "::1"):
        records = Records(contexts().client, server_side=False, server_hostname=name)
        assert records.object.server_hostname == name
