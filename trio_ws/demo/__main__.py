"""``python -m trio_ws.demo [PORT]``."""

import sys

import trio

from trio_ws.demo import serve_chat

if __name__ == "__main__":
    trio.run(serve_chat, int(sys.argv[1]) if len(sys.argv) > 1 else 8765)
