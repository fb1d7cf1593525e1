"""What an application may hand to `Protocol`: checked, and made `str` or `bytes`.

Lives here: the only door through which an application's data comes.  Everything wrong raises
`TypeError` or `ValueError` here, before any state has changed and before a byte is made.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import Buffer

# "All control frames MUST have a payload length of 125 bytes or less" (RFC 6455 section 5.5).
MAX_CONTROL_PAYLOAD = 125


def checked_message(message: str | Buffer, *, text: bool | None) -> str | bytes:
    """Return what is to be sent: `str` as a text message, `bytes` as a binary one.

    Args:
        message: `str`, or bytes-like of any kind that is made of contiguous single bytes.
        text: ``True`` makes text of UTF-8 bytes too; ``False`` refuses `str`; ``None`` goes by
            the type.

    Raises:
        TypeError: the message is of another type.
        ValueError: text that is not UTF-8 (`UnicodeDecodeError`), or has no UTF-8 because of a
            lone surrogate (`UnicodeEncodeError`).
    """
    if isinstance(message, str):
        if text is False:
            raise TypeError("a binary message is made of bytes, not of str: write text.encode()")
        if type(message) is not str:
            message = str.__str__(message)  # a subclass may have ideas of its own
        if not message.isascii():
            _encoded(message)
        return message
    data = _checked_bytes(message, "a message must be str or bytes-like", message_hint)
    return _decoded(data) if text else data


def checked_payload(message: str | Buffer, *, text: bool | None) -> tuple[bytes, bool]:
    """Return the payload of a message that is to be sent, and whether it is text.

    Args, Raises: as `checked_message`.
    """
    if type(message) is str and text is not False:
        try:
            return message.encode(), True  # not by a function: this is every message
        except UnicodeEncodeError as exc:
            raise _without_utf8(exc) from None
    data = checked_message(message, text=text)
    return (data.encode(), True) if isinstance(data, str) else (data, False)


def _encoded(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as exc:
        raise _without_utf8(exc) from None


def _decoded(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as exc:
        reason = f"{exc.reason}; bytes that are no UTF-8 are sent as they are without text=True"
        raise UnicodeDecodeError(exc.encoding, exc.object, exc.start, exc.end, reason) from None


def _without_utf8(error: UnicodeEncodeError) -> UnicodeEncodeError:
    reason = f"{error.reason}; if this was a file name, os.fsencode() gives its bytes"
    return UnicodeEncodeError(error.encoding, error.object, error.start, error.end, reason)


def checked_control_payload(payload: Buffer) -> bytes:
    """Return the payload of a ping or pong as bytes.

    Raises:
        TypeError: it is not bytes-like.
        ValueError: it is longer than 125 bytes.
    """
    expectation = "the payload of a ping or pong must be bytes-like"
    data = _checked_bytes(payload, expectation, _payload_hint)
    if len(data) > MAX_CONTROL_PAYLOAD:
        raise ValueError(
            f"the payload of a ping or pong may have {MAX_CONTROL_PAYLOAD} bytes, not {len(data)}"
        )
    return data


def _checked_bytes(value: Buffer, expectation: str, hint: Callable[[object], str]) -> bytes:
    if type(value) is bytes:  # a subclass may have ideas of its own: below its memory counts
        return value
    try:
        view = memoryview(value)
    except TypeError:
        raise TypeError(f"{expectation}, not {type(value).__name__}{hint(value)}") from None
    # What lies in memory is not what such an object stands for: numbers of several bytes, in this
    # machine's order, or every second element of something.
    if view.itemsize != 1 or not view.c_contiguous:
        raise TypeError(f"{expectation}: contiguous single bytes, not items of {view.format!r}")
    return view.tobytes()


def message_hint(value: object) -> str:
    """Return what to write instead of a value that is no message, where that is clear."""
    if isinstance(value, Awaitable):
        return ": await it first"
    if value is None or isinstance(value, dict | list | tuple | int | float):
        return ": as JSON, write json.dumps(...)"
    return ""


def _payload_hint(value: object) -> str:
    return ": write text.encode()" if isinstance(value, str) else ""
