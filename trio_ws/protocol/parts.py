"""Parts of something large, joined early."""

from __future__ import annotations

from typing import cast

# So many parts are kept of each level: small ones are joined into larger ones, these into still
# larger ones.  So a part is copied once for each level, and few objects are held.
_PARTS_PER_LEVEL = 16


class Parts:
    """Collects `str`, or `bytes`, one kind at a time."""

    __slots__ = ("_levels",)

    def __init__(self) -> None:
        self._levels: list[list[str | bytes]] = [[]]

    def add(self, part: str | bytes) -> None:
        """Take the next part."""
        for level in self._levels:
            level.append(part)
            if len(level) < _PARTS_PER_LEVEL:
                return
            part = _joined(level)
            level.clear()
        self._levels.append([part])

    def join(self) -> str | bytes:
        """Return everything in one piece; at least one part was taken."""
        return _joined([part for level in reversed(self._levels) for part in level])


def _joined(parts: list[str | bytes]) -> str | bytes:
    if isinstance(parts[0], str):
        return "".join(cast("list[str]", parts))
    return b"".join(cast("list[bytes]", parts))
