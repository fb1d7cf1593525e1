"""A server that may have few descriptors: it tells its port on stdout and serves until stdin ends.

python -m tests.programs.server_of_few_descriptors COUNT
"""

import logging
import os
import resource
import sys

import trio

from tests.servers import echo
from trio_ws import Server, serve_websocket


async def main() -> None:
    """Echo within the limit."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    async with trio.open_nursery() as nursery, trio.lowlevel.FdStream(os.dup(0)) as stdin:
        server: Server = await nursery.start(serve_websocket, echo, "127.0.0.1", 0)
        resource.setrlimit(resource.RLIMIT_NOFILE, (int(sys.argv[1]), hard))
        sys.stdout.write(f"{server.port}\n")
        sys.stdout.flush()
        await stdin.receive_some()
        await server.aclose()


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s")
    trio.run(main)
