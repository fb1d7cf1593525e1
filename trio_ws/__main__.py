"""``python -m trio_ws``: the same as ``trio-ws``."""

import sys

from trio_ws.cli import main

if __name__ == "__main__":
    sys.exit(main())
