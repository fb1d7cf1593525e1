"""The fast lanes there are: one in Python, and one compiled where it was built.

What a lane promises is tested on each of them; `use_lane` has `trio_ws.protocol.Protocol` run on
one, whichever it would run on by itself.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module

import pytest

from trio_ws.protocol import frames, inflating, payload, receiving, sending
from trio_ws.protocol.events import Event

MODULES = {"pure": "trio_ws.protocol.frames", "compiled": "trio_ws.protocol._speedups"}


@dataclass(frozen=True)
class Lane:
    """The functions of one lane."""

    name: str
    decode_frames: Callable[[bytes, int, bool, int, list[Event]], int]
    encode_frame: Callable[..., bytes]
    mask: Callable[[bytes, bytes], bytes]
    forget_keys: Callable[[], None]
    compressed_payload: Callable[[bytes, int, bool], tuple[bytes, int] | None]
    gathered: type[frames.Gathered]

    def decode(
        self, data: bytes, position: int = 0, *, masked: bool = False, max_size: int = 1 << 20
    ) -> tuple[list[Event], int]:
        """Return the messages that `decode_frames` appends, and what it returns."""
        messages: list[Event] = []
        stopped = self.decode_frames(data, position, masked, max_size, messages)
        return messages, stopped


def _compiled() -> list[Lane]:
    try:
        speedups = import_module(MODULES["compiled"])
    except ImportError:
        return []
    return [
        Lane(
            "compiled",
            speedups.decode_frames,
            speedups.encode_frame,
            speedups.mask,
            speedups._forget_keys,
            speedups.compressed_payload,
            speedups.Gathered,
        )
    ]


PURE = Lane(
    "pure",
    frames.decode_frames,
    frames.encode_frame,
    frames.mask,
    frames._unused_keys.clear,
    frames.compressed_payload,
    frames.Gathered,
)
LANES = [PURE, *_compiled()]

each_lane = pytest.mark.parametrize("lane", LANES, ids=lambda lane: lane.name)


@contextmanager
def use_lane(lane: Lane) -> Generator[None]:
    """Have all connections run on this lane."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(receiving, "decode_frames", lane.decode_frames)
        patch.setattr(inflating, "compressed_payload", lane.compressed_payload)
        patch.setattr(inflating, "decode_frames", lane.decode_frames)
        patch.setattr(payload, "Gathered", lane.gathered)
        patch.setattr(payload, "mask", lane.mask)
        patch.setattr(sending, "encode_frame", lane.encode_frame)
        yield


@contextmanager
def draw_from(source: Callable[[int], object]) -> Generator[None]:
    """Have masking keys made of what ``source`` returns instead of `os.urandom`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "urandom", source)
        for lane in LANES:
            lane.forget_keys()
        try:
            yield
        finally:
            for lane in LANES:
                lane.forget_keys()
