"""TLS for ``trio-ws serve``: from files, or with a certificate of the moment."""

from __future__ import annotations

import argparse
import ssl
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from trio_ws.cli._failures import UNUSABLE, Failure, file_failure


class ServerTLS(NamedTuple):
    """What a server shows, and what a client is to trust."""

    context: ssl.SSLContext | None
    """For the server; ``None`` for plain ``ws``."""
    authority: Path | None
    """The file with the authority of the moment, for ``--ca``."""


@contextmanager
def server_tls(arguments: argparse.Namespace) -> Generator[ServerTLS]:
    """Make TLS as the arguments say; what lies in files for it is gone after the block.

    Raises:
        Failure: that cannot be done.
    """
    if arguments.tls_self_signed:
        with tempfile.TemporaryDirectory(prefix="trio-ws-") as directory:
            yield _self_signed(arguments.host, Path(directory) / "ca.pem")
    elif arguments.cert is not None:
        yield ServerTLS(_from_files(arguments.cert, arguments.key), None)
    else:
        yield ServerTLS(None, None)


def _self_signed(host: str, authority: Path) -> ServerTLS:
    from trio_ws.testing import tls_contexts  # noqa: PLC0415 - nothing else here needs it

    names = ("localhost", "127.0.0.1", "::1", host)
    try:
        contexts = tls_contexts(*dict.fromkeys(names))
    except ValueError as error:
        problem = f"there is no certificate for {host!r}, for it is no host: {error}"
        raise Failure(problem, UNUSABLE) from error
    except ImportError as error:
        raise Failure(str(error), UNUSABLE) from error
    (certificate,) = contexts.client.get_ca_certs(binary_form=True)
    authority.write_text(ssl.DER_cert_to_PEM_cert(certificate), encoding="ascii")
    return ServerTLS(contexts.server, authority)


def _from_files(certificate: str, key: str | None) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(certificate, key)
    except OSError as error:
        files = certificate if key is None else f"{certificate} and {key}"
        raise file_failure(error, files, "certificate with its key") from error
    return context
