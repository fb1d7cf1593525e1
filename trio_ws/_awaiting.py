"""What a function of the user's gives back, whether it is async or not."""

from __future__ import annotations

import inspect


async def awaited(value: object) -> object:
    """Return a value, or what comes of it if it is to be awaited."""
    return await value if inspect.isawaitable(value) else value
