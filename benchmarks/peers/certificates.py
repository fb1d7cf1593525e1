"""TLS for the rows that want it: one authority, made anew in each process."""

from __future__ import annotations

import ssl
from functools import cache

import trustme

from benchmarks.peers.base import HOST, Service


@cache
def _contexts() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    authority = trustme.CA()
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    certificate = authority.issue_cert(HOST)
    # Its annotation names pyOpenSSL's context too, and that is seldom installed.
    certificate.configure_cert(server)  # pyright: ignore[reportUnknownMemberType]
    client = ssl.create_default_context(cadata=authority.cert_pem.bytes().decode())
    return server, client


def server_context(service: Service) -> ssl.SSLContext | None:
    """Return what the server of this service needs, ``None`` without TLS."""
    return _contexts()[0] if service.tls else None


def client_context(service: Service) -> ssl.SSLContext | None:
    """Return what trusts `server_context` of this very process."""
    return _contexts()[1] if service.tls else None
