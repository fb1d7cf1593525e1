"""The command line: ``trio-ws``, which is also ``python -m trio_ws``.

Each command is a module (``_connect``, ``_serve``, ``_ping``, ``_demo``) with a function that
enters it into the parser and one that runs it and returns the exit status.  What several of them
need lies beside them.  Invariant: what the network or the user's arguments do wrong ends in one
line on stderr and an exit status (``_failures``), never in a traceback.

The exit statuses: 0 all went well; 1 the connection could not be opened, or ended abnormally; 2 the
arguments or the input cannot be used; 128 and its number for a signal, so 130 for Ctrl-C.
"""

from trio_ws.cli._main import main

__all__ = ["main"]
