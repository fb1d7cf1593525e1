"""Real TLS for tests: two SSL contexts around a certificate authority made for the occasion.

Nothing is read from the machine and nothing is written to it: the client trusts this one authority
and no other, so a test cannot pass because of what happens to be installed.  trustme is imported
only when asked for; the rest of `trio_ws.testing` works without it.
"""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import trustme

_LOOPBACK = ("localhost", "127.0.0.1", "::1")


class TLSContexts(NamedTuple):
    """What the two ends of a TLS connection need: unpack it, or take what you want by name."""

    server: ssl.SSLContext
    """Shows the certificate; asks the client for none."""

    client: ssl.SSLContext
    """Trusts the authority behind that certificate and verifies the name, as by default."""


def tls_contexts(*hosts: str, authority: trustme.CA | None = None) -> TLSContexts:
    """Make an SSL context for a server named so, and one for the clients that trust it.

    Without an authority every call makes one of its own: contexts of two calls do not trust each
    other, which is how to test a refusal.

    Args:
        hosts: the names and IP addresses the certificate is for; without any, localhost,
            127.0.0.1 and ::1.
        authority: who issues the certificate.

    Raises:
        ImportError: trustme is missing.
        ValueError: a host is no name that a certificate could carry.
    """
    authority = authority or new_authority()
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    certificate = authority.issue_cert(*(hosts or _LOOPBACK))
    # Its annotation names pyOpenSSL's context too, and that is seldom installed.
    certificate.configure_cert(server)  # pyright: ignore[reportUnknownMemberType]
    client = ssl.create_default_context(cadata=authority.cert_pem.bytes().decode("ascii"))
    return TLSContexts(server, client)


def new_authority() -> trustme.CA:
    """Make a certificate authority that nobody trusts yet."""
    try:
        import trustme  # noqa: PLC0415 - an extra: whoever wants no TLS need not have it
    except ImportError as exc:
        raise ImportError(
            "certificates need trustme, which comes with the extra `testing`:"
            " pip install 'trio_ws[testing]'",
            name="trustme",
        ) from exc
    return trustme.CA()
