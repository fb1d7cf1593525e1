"""S2, S3: peers that vanish without a word, and peers that stop reading: when they are let go.

python -m tests.stress.vanished [--short]

The network is cut for real where this may have a network of its own (``unshare``, Linux).
"""

import sys
from functools import partial

import trio

from tests.stress.measure import MIB, Figures, innocent, main, open_many, opened, target


async def stopped_reading(figures: Figures, count: int, stall: float) -> None:
    """Have peers that are sent to and never read."""
    print(f"-- {count} peers stop reading, stall={stall:g}")  # noqa: T201
    async with target(stall=stall) as server, innocent(server) as other:
        server.reset()
        streams = await open_many(count, partial(opened, server.port, "/send"))
        seconds = await server.wait_released(within=2 * stall + 20)
        figures.add("all released after", seconds, "s", most=stall + 10)
        figures.add("memory", server.peak_growth / MIB, "MiB", most=8 + count * 0.25)
        for stream in streams:
            await trio.aclose_forcefully(stream)
    other.report(figures)


async def set_link(state: str) -> None:
    """Switch the network on or off."""
    await trio.run_process(["ip", "link", "set", "lo", state])


async def cut_off(figures: Figures, count: int, keepalive: float) -> None:
    """Cut the network, and see when the peers are missed."""
    print(f"-- {count} peers are cut off, keepalive {keepalive:g} + {keepalive:g}")  # noqa: T201
    for path in ("/", "/slow", "/send"):
        await set_link("up")
        async with target(interval=keepalive, timeout=keepalive, stall=keepalive) as server:
            streams = await open_many(count, partial(opened, server.port, path))
            server.descriptors_before = server.descriptors - count
            await set_link("down")
            seconds = await server.wait_released(within=4 * keepalive + 20)
            figures.add(f"all released after ({path})", seconds, "s", most=2 * keepalive + 5)
            for stream in streams:
                await trio.aclose_forcefully(stream)


async def succeeds(command: list[str]) -> bool:
    """Tell whether a command exists and succeeds."""
    try:
        done = await trio.run_process(
            command, check=False, capture_stdout=True, capture_stderr=True
        )
    except OSError:
        return False
    return done.returncode == 0


async def vanished(figures: Figures, short: bool) -> None:
    """Vanish."""
    await stopped_reading(figures, 50 if short else 500, 1.0 if short else 20.0)
    alone = ["unshare", "-rn"]
    if not await succeeds([*alone, "ip", "link"]):
        print("-- no network of our own here: not cut")  # noqa: T201
        return
    command = [*alone, sys.executable, "-m", "tests.stress.vanished", "--cut"]
    done = await trio.run_process(command + ["--short"] * short, check=False)
    if done.returncode:
        figures.bad.append("cut off")


async def in_a_network_of_its_own(figures: Figures, short: bool) -> None:
    """Be cut off."""
    await cut_off(figures, 50 if short else 500, 1.0 if short else 20.0)


if __name__ == "__main__":
    if "--cut" in sys.argv:
        sys.argv.remove("--cut")
        main(in_a_network_of_its_own)
    main(vanished)
