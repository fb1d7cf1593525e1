"""A chat with rooms for the browser: what ``make demo`` and ``trio-ws demo`` run.

An application to read and to try, made of the public parts of ``trio_ws`` alone: ``_server`` takes
the connections, ``_rooms`` hands on what is said, ``_presence`` knows who is there.
"""

from trio_ws.demo._server import serve_chat

__all__ = ["serve_chat"]
