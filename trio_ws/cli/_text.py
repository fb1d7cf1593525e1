"""What a peer sent, as a terminal can bear it.

Invariant: nothing here returns a character that moves the cursor, changes colours or the direction
of writing, except the line feeds between lines; and a line of a message cannot be taken for the
beginning of another one.
"""

from __future__ import annotations

import unicodedata

from trio_ws import Close, ConnectionClosed

MOST_CHARACTERS = 20_000
"""Of a text message: more scrolls away what one wants to see, and keeps the terminal busy."""

MOST_BYTES = 512
"""Of a binary message, which nobody reads at length."""

# Controls, formatting, halves of characters, separators of lines and paragraphs.
_HARMFUL = {"Cc", "Cf", "Cs", "Zl", "Zp"}
# Formatting too, but many a script and emoji is written with them: the zero-width (non-)joiners.
_HARMLESS = {"\u200c", "\u200d"}


def shown(message: str | bytes) -> str:
    """Return a message for people: lines after the first one are indented."""
    if isinstance(message, bytes):
        return _hexadecimal(message)
    text = "\n  ".join(_escaped(line) for line in message[:MOST_CHARACTERS].split("\n"))
    if len(message) <= MOST_CHARACTERS:
        return text
    return f"{text}... ({len(message)} characters in all)"


def end_in_words(received: Close | None, sent: Close | None) -> str:
    """Say with what a connection was closed, by whom if the two ends differ."""
    if received is not None and sent is not None and received.code == sent.code:
        return str(received if received.reason else sent)
    return str(ConnectionClosed(received, sent))


def _hexadecimal(message: bytes) -> str:
    rest = " ..." if len(message) > MOST_BYTES else ""
    size = "1 byte" if len(message) == 1 else f"{len(message)} bytes"
    return f"({size}) {message[:MOST_BYTES].hex(' ')}{rest}".rstrip()


def _escaped(line: str) -> str:
    if line.isprintable():
        return line
    return "".join(
        repr(character)[1:-1]
        if unicodedata.category(character) in _HARMFUL and character not in _HARMLESS
        else character
        for character in line
    )


def duration(seconds: float) -> str:
    """Return a time in milliseconds, as ping(8) does."""
    return f"{seconds * 1000:.3g} ms"
