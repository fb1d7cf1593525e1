"""Which fast lane runs: the compiled one where it was built, or else the one in plain Python.

``TRIO_WS_PURE=1`` in the environment selects plain Python, for comparison and for the tests that
hold one against the other.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import Literal

__all__ = ["LANE", "Gathered", "compressed_payload", "decode_frames", "encode_frame", "mask"]


def _compiled() -> bool:
    if os.environ.get("TRIO_WS_PURE", "0") not in {"", "0"}:
        return False
    try:
        import_module("trio_ws.protocol._speedups")
    except ImportError:
        return False  # there was no compiler, or it failed
    return True


LANE: Literal["compiled", "pure"] = "compiled" if _compiled() else "pure"
"""The lane in use: ``"compiled"`` or ``"pure"``."""

if LANE == "compiled":
    from trio_ws.protocol._speedups import (
        Gathered,
        compressed_payload,
        decode_frames,
        encode_frame,
        mask,
    )
else:
    from trio_ws.protocol.frames import (
        Gathered,
        compressed_payload,
        decode_frames,
        encode_frame,
        mask,
    )
