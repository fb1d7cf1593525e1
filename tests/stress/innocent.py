"""The innocent one, in a process of its own, so that the attacker's work is not in its figures.

python -m tests.stress.innocent PORT: echoes until its stdin ends, then prints its round-trip times.
"""

import json
import os
import sys
import time

import trio

from trio_ws import open_websocket_url

# In seconds: often enough to meet any pause, seldom enough to be no attack itself.
PAUSE = 0.005


async def main(port: int) -> None:
    """Echo."""
    times: list[float] = []
    url = f"ws://127.0.0.1:{port}/"
    async with open_websocket_url(url) as ws, trio.lowlevel.FdStream(os.dup(0)) as stdin:

        async def live() -> None:
            while True:
                began = time.perf_counter()
                await ws.send("hello")
                assert await ws.receive() == "hello"
                times.append(time.perf_counter() - began)
                await trio.sleep(PAUSE)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(live)
            sys.stdout.write("ready\n")
            sys.stdout.flush()
            await stdin.receive_some()
            nursery.cancel_scope.cancel()
    sys.stdout.write(json.dumps(times))
    sys.stdout.flush()


if __name__ == "__main__":
    trio.run(main, int(sys.argv[1]))
