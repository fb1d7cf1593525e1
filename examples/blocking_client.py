"""A client without async: for scripts, the interactive prompt, and threads without Trio.

    python blocking_client.py [URL]

Run hello_server.py first.
"""

import sys

from trio_ws.blocking import open_websocket_url


def main() -> None:
    """Open a connection, exchange two messages; leaving the block closes the connection."""
    url = sys.argv[1] if len(sys.argv) > 1 else "ws://localhost:8765/"
    with open_websocket_url(url) as ws:
        ws.send("Ada")
        print(ws.receive(timeout=10))


if __name__ == "__main__":
    main()
