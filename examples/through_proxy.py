"""A client behind a proxy: it reaches the server by a tunnel through it.

    python through_proxy.py URL [PROXY]

PROXY is a URL as well, http://user:password@proxy.example:3128 for one.  Without it the variables
of the environment decide, HTTPS_PROXY and its kin, and without those the way is direct.
"""

import sys

import trio

from trio_ws import FROM_ENVIRONMENT, open_websocket_url


async def main() -> None:
    """Connect through the proxy, say a name and print the greeting."""
    url = sys.argv[1]
    proxy = sys.argv[2] if len(sys.argv) > 2 else FROM_ENVIRONMENT
    async with open_websocket_url(url, proxy=proxy) as ws:
        await ws.send("Ada")
        print(await ws.receive())


if __name__ == "__main__":
    trio.run(main)
