"""What goes wrong, in one line that says what to do about it, and as an exit status."""

from __future__ import annotations

import os
import socket
import ssl

from trio_ws import (
    ConnectionClosed,
    ConnectionRejected,
    HandshakeTimeout,
    TLSFailed,
    WebSocketError,
)
from trio_ws.cli._text import end_in_words

ABNORMAL = 1
"""The exit status when a connection could not be opened, or ended abnormally."""

UNUSABLE = 2
"""The exit status when arguments or input cannot be used; argparse has the same."""

_HINTS_FOR_STATUS = {
    401: "say who you are with --header 'Authorization: ...', or with user:password@ in the URL",
    403: "it may want an --origin",
}


class Failure(Exception):
    """What a command cannot go on after, in words; ``status`` is its exit status."""

    def __init__(self, message: str, status: int = ABNORMAL) -> None:
        super().__init__(message)
        self.status = status


class Interrupted(Exception):
    """A signal ended the command; ``status`` is what a shell shows for that."""

    def __init__(self, number: int) -> None:
        super().__init__(f"ended by signal {number}")
        self.status = 128 + number


def opening_failure(error: Exception, where: str) -> Failure:
    """Return what to say when a connection could not be opened.

    Args:
        error: what was raised.
        where: the URL or the path, for errors that do not name it.
    """
    if isinstance(error, OSError) and not isinstance(error, WebSocketError):
        return Failure(f"cannot connect to {where}: {reason(error)}")
    if isinstance(error, ValueError | TypeError | ImportError):
        return Failure(str(error), UNUSABLE)
    cause = error.__cause__
    if isinstance(error, TLSFailed) and isinstance(cause, ssl.SSLCertVerificationError):
        # The error's own words say what a program would do about it.
        return Failure(
            f"the certificate of {where} was not accepted: {cause.verify_message};"
            " --ca FILE trusts who signed it, --insecure trusts anybody"
        )
    hint = _hint(error)
    return Failure(f"{error}; {hint}" if hint else str(error))


def closing_failure(error: ConnectionClosed) -> Failure:
    """Return what to say when a connection ended abnormally."""
    cause = f" ({error.__cause__})" if error.__cause__ is not None else ""
    return Failure(f"the connection ended: {end_in_words(error.received, error.sent)}{cause}")


def file_failure(error: OSError, path: str, wanted: str) -> Failure:
    """Return what to say when a file for TLS cannot be used."""
    if isinstance(error, ssl.SSLError):
        return Failure(f"there is no {wanted}, in PEM, in {path}", UNUSABLE)
    return Failure(f"cannot read {path}: {reason(error)}", UNUSABLE)


def reason(error: OSError) -> str:
    """Return the system's words for an error, without what was added to them."""
    if error.errno is None or isinstance(error, socket.gaierror):
        return error.strerror or str(error)
    return os.strerror(error.errno)


def _hint(error: Exception) -> str | None:
    if isinstance(error, HandshakeTimeout):
        return "--timeout allows more"
    if isinstance(error, ConnectionRejected):
        return _HINTS_FOR_STATUS.get(error.response.status)
    return None
