"""The compiled lane under AddressSanitizer and UndefinedBehaviorSanitizer, fed with anything.

``_speedups.pyx`` is compiled anew, with the sanitizers, in a temporary directory, and is given
random frames, damaged frames and garbage; what it makes of them is compared with ``frames.py``.
To see that the sanitizers are awake, a copy with a check left out has to be caught first.

    python -m tests.fuzz.asan_lane [SECONDS [SEED]]

Linux and gcc only.  Cython is fetched with pip where it is not installed.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import random
import subprocess
import sys
import sysconfig
import tempfile
import time
import tomllib
from collections.abc import Callable
from pathlib import Path

from tests.helpers import MASK_KEY
from tests.lanes import Lane
from trio_ws.protocol import frames
from trio_ws.protocol.events import Event
from trio_ws.testing import build_frame

CHECKOUT = Path(__file__).parent.parent.parent
SOURCE = CHECKOUT / "trio_ws" / "protocol" / "_speedups.pyx"

# The check that keeps a payload within what was read.
CHECK = " or size[0] > <uint64_t> (left - header)"

FLAGS = [
    *("-shared", "-fPIC", "-g", "-O1", "-fwrapv", "-fno-omit-frame-pointer"),
    *("-fsanitize=address,undefined", "-fno-sanitize-recover=all"),
]

# Building


def cython_path(directory: Path) -> str:
    """Return where Cython can be imported from, in addition; fetch it if need be."""
    if importlib.util.find_spec("Cython") is not None:
        return ""
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))
    wanted = [each for each in project["build-system"]["requires"] if each.startswith("cython")]
    target = directory / "cython"
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(target), *wanted],
        check=True,
    )
    return str(target)


def build(directory: Path, source: str, environment: dict[str, str]) -> Path:
    """Compile the source with the sanitizers; return the extension module."""
    package = directory / "trio_ws" / "protocol"
    package.mkdir(parents=True)
    for each in (package, package.parent):
        (each / "__init__.py").touch()
    pyx = package / "_speedups.pyx"
    pyx.write_text(source, encoding="utf-8")
    subprocess.run(
        [sys.executable, "-m", "cython", str(pyx)], env=environment, cwd=directory, check=True
    )
    module = package / "_speedups.so"
    include = f"-I{sysconfig.get_path('include')}"
    subprocess.run(
        ["gcc", *FLAGS, include, str(pyx.with_suffix(".c")), "-o", str(module)], check=True
    )
    return module


def run_sanitized(module: Path, seconds: float, seed: int) -> subprocess.CompletedProcess[str]:
    """Fuzz this module in a process of its own, whose memory the sanitizers watch."""
    runtime = subprocess.run(
        ["gcc", "-print-file-name=libasan.so"], capture_output=True, text=True, check=True
    )
    environment = {
        **os.environ,
        "LD_PRELOAD": runtime.stdout.strip(),
        # Each object in a block of its own, from the allocator that is watched.
        "PYTHONMALLOC": "malloc",
        # The interpreter never frees all it has.
        "ASAN_OPTIONS": "detect_leaks=0:quarantine_size_mb=64",
        "UBSAN_OPTIONS": "print_stacktrace=1",
    }
    command = [sys.executable, "-m", "tests.fuzz.asan_lane", str(seconds), str(seed)]
    return subprocess.run(
        [*command, "--module", str(module)],
        cwd=CHECKOUT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


# Fuzzing

HEADER_BYTES = b"\x81\x82\x01\x02\x00\x80\x88\x89\x7d\x7e\x7f\xfd\xfe\xff\xc1"
SIZES = [*range(20), 63, 64, 65, 124, 125, 126, 127, 128, 200]
LARGE_SIZES = [8191, 8192, 65535, 65536, 65537]
MAX_SIZES = [-1, 0, 1, 64, 125, 126, 1 << 20, (1 << 63) - 1, 1 << 63, 1 << 64, -(1 << 64)]
LIES_ABOUT_SIZE = [
    *(0, 1, 125, 126, 127, 0xFFFF, 0x10000, 1 << 31, 1 << 32, (1 << 63) - 1, 1 << 63),
    *((1 << 64) - 14, (1 << 64) - 4, (1 << 64) - 1),
]
TEXTS = ["a", "\0", "é", "\N{EURO SIGN}", "\N{GRINNING FACE}"]
NONSENSE: list[tuple[object, ...]] = [
    (),
    (None,),
    ("text",),
    (bytearray(b"\x81\x00"),),
    (1, 2, 3),
    (b"ab", b"key"),
]


def make_payload(chance: random.Random) -> bytes:
    """Return text or anything, of any size."""
    sizes = LARGE_SIZES if chance.random() < 0.002 else SIZES
    size: int = chance.choice(sizes)
    if chance.random() < 0.2:
        return chance.randbytes(size)
    # Seldom is its last character cut.
    text = chance.choice(TEXTS).encode()
    return b"x" * (size % 9) + (text * size)[: size - size % len(text) + (size == 65)]


def make_frame(chance: random.Random) -> bytes:
    """Return a frame, or one that lies about its size."""
    lie = chance.random() < 0.1
    return build_frame(
        chance.choice([1, 1, 1, 2, 2, 2, 0, 9]),
        make_payload(chance),
        rsv=chance.choice([0, 0, 4, 4, 2]),
        mask_key=chance.choice([None, MASK_KEY, bytes(4)]),
        size=chance.choice(LIES_ABOUT_SIZE) if lie else None,
        size_bytes=8 if lie else None,
    )


def make_data(chance: random.Random) -> bytes:
    """Return frames, damaged or not, or garbage."""
    if chance.random() < 0.2:
        return bytes(chance.choices(HEADER_BYTES, k=chance.randrange(16)))
    data = bytearray(b"".join(make_frame(chance) for _ in range(chance.randrange(1, 4))))
    for _ in range(chance.choice([0, 0, 0, 0, 1, 3])):
        where = chance.randrange(min(len(data), 20) or 1)
        data[where : where + chance.randrange(2)] = chance.choices(HEADER_BYTES, k=1)
    return bytes(data[: chance.randrange(len(data) + 1)] if chance.random() < 0.3 else data)


class Fuzzer:
    """Compares one lane with the one in Python."""

    def __init__(self, lane: Lane, seed: int) -> None:
        self._lane = lane
        self._chance = random.Random(seed)
        self.inputs = 0
        self.messages = 0

    def decode(self) -> None:
        """Have some data decoded as what it may be."""
        chance = self._chance
        data = make_data(chance)
        # In memory of its own, whose end is the end of the data.
        for start, stop in ((0, len(data)), (chance.randrange(4), chance.randrange(14))):
            piece = data[start:stop]
            position, max_size = 0, 1 << 20
            if chance.random() < 0.3:
                position = chance.choice([0, 1, len(piece), len(piece) + 5, sys.maxsize])
                max_size = chance.choice(MAX_SIZES)
            for masked in (True, False):
                seen = self._lane.decode(piece, position, masked=masked, max_size=max_size)
                messages: list[Event] = []
                stopped = frames.decode_frames(piece, position, masked, max_size, messages)
                if seen != (messages, stopped):
                    raise SystemExit(
                        f"{piece!r} from {position}, {masked=}, {max_size=}:"
                        f" {seen} instead of {(messages, stopped)}"
                    )
                found = self._lane.compressed_payload(piece, position, masked)
                if found != frames.compressed_payload(piece, position, masked):
                    raise SystemExit(f"{piece!r} from {position}, {masked=}: {found}")
                self.messages += len(messages) + (found is not None)
                self.inputs += 2

    def encode(self) -> None:
        """Have a payload encoded and masked."""
        chance = self._chance
        payload = make_payload(chance)
        text, masked = chance.random() < 0.5, chance.random() < 0.7
        compressed = chance.random() < 0.3
        frame = self._lane.encode_frame(payload, text, masked, compressed)
        # Their keys differ, as they should.
        header = len(frame) - len(payload)
        key = frame[header - 4 : header] if masked else bytes(4)
        expected = frames.encode_frame(payload, text, masked, compressed)[: header - 4 * masked]
        expected += (key if masked else b"") + frames.mask(payload, key)
        if frame != expected or self._lane.mask(payload, key) != expected[header:]:
            raise SystemExit(f"{payload!r}, {text=}, {masked=}: {frame!r}")
        self.inputs += 2

    def gather(self) -> None:
        """Have a payload gathered that comes in parts, and perhaps never as a whole."""
        chance = self._chance
        payload = make_payload(chance)
        gathered = self._lane.gathered(len(payload) + chance.choice([0, 0, 1, 1000, 1 << 20]))
        expected = bytearray()
        position = 0
        while position < len(payload):
            part = payload[position : position + chance.randrange(1, 2 + len(payload) // 2)]
            position += len(part)
            key = chance.choice([b"", MASK_KEY])
            gathered.add(part, key)
            expected += frames.mask(part, key) if key else part
            if chance.random() < 0.1:
                break
        seen = gathered.take()
        if seen != bytes(expected):
            raise SystemExit(f"{seen!r} instead of {bytes(expected)!r}")
        if gathered.take():
            raise SystemExit("what was taken is there still")
        self.inputs += 1

    def misuse(self) -> None:
        """Call with what nobody should; what is raised is not compared."""
        arguments = self._chance.choice(NONSENSE)
        calls: dict[str, Callable[..., object]] = {
            name: getattr(self._lane, name)
            for name in ("compressed_payload", "decode_frames", "encode_frame", "mask")
        }
        calls["Gathered.add"] = self._lane.gathered(2).add
        for name, call in calls.items():
            try:
                call(*arguments)
            except (TypeError, ValueError, OverflowError):
                self.inputs += 1
            else:
                raise SystemExit(f"{name} took {arguments}")


def fuzz(module: Path, seconds: float, seed: int) -> None:
    """Compare what the module does with ``frames.py``, for so long."""
    spec = importlib.util.spec_from_file_location("trio_ws.protocol._speedups", module)
    assert spec is not None
    assert spec.loader is not None
    speedups = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(speedups)
    lane = Lane(
        "sanitized",
        speedups.decode_frames,
        speedups.encode_frame,
        speedups.mask,
        speedups._forget_keys,
        speedups.compressed_payload,
        speedups.Gathered,
    )
    fuzzer = Fuzzer(lane, seed)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for _ in range(100):
            fuzzer.decode()
            fuzzer.encode()
            fuzzer.gather()
        fuzzer.misuse()
    sys.stdout.write(f"{fuzzer.inputs} inputs, {fuzzer.messages} messages decoded, all as Python\n")


def main() -> None:
    """Build and fuzz as the command line says."""
    parser = argparse.ArgumentParser(description="Fuzz the compiled lane under ASan and UBSan.")
    parser.add_argument("seconds", type=float, nargs="?", default=20, help="(%(default)s)")
    parser.add_argument("seed", type=int, nargs="?", default=1, help="(%(default)s)")
    parser.add_argument("--module", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.module:
        fuzz(arguments.module, arguments.seconds, arguments.seed)
        return
    source = SOURCE.read_text(encoding="utf-8")
    assert source.count(CHECK) == 1
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        environment = {**os.environ, "PYTHONPATH": cython_path(directory)}
        broken = build(directory / "broken", source.replace(CHECK, ""), environment)
        caught = run_sanitized(broken, 10, arguments.seed)
        if "ERROR: AddressSanitizer" not in caught.stdout:
            raise SystemExit(f"the sanitizer sleeps:\n{caught.stdout}")
        report = next(line for line in caught.stdout.splitlines() if "AddressSanitizer" in line)
        sys.stdout.write(f"without a check, as it should be: {report}\n")
        module = build(directory / "whole", source, environment)
        done = run_sanitized(module, arguments.seconds, arguments.seed)
        sys.stdout.write(done.stdout)
        if done.returncode:
            raise SystemExit(done.returncode)
    sys.stdout.write("nothing from AddressSanitizer, nothing from UndefinedBehaviorSanitizer\n")


if __name__ == "__main__":
    main()
