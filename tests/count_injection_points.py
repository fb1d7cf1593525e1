"""Count the points of the cancellation matrix: ``python -m tests.count_injection_points``.

Runs all of it, and prints how many faults each operation has stood on each network, one column
for each fault, and the sum.
"""

# ruff: noqa: T201 - a script prints

import sys

from tests.faulty_networks import NETWORKS
from tests.injection import Fault
from tests.operations import OPERATIONS, count_points

_WIDTH = 6


def main() -> int:
    """Print the table; return 1 when there is an operation on which some fault never struck."""
    faults = list(Fault)
    for number, fault in enumerate(faults, start=1):
        print(f"{number:>2} {fault.name}")
    print(" " * 36, *(f"{number:>{_WIDTH}}" for number in range(1, len(faults) + 1)), " total")
    total, empty = 0, 0
    for network in NETWORKS:
        for operation in OPERATIONS:
            counts = [count_points(operation, network, fault) for fault in faults]
            total += sum(counts)
            empty += counts.count(0)
            row = " ".join(f"{count:>{_WIDTH}}" for count in counts)
            print(f"{network:<17} {operation:<18} {row} {sum(counts):>6}", flush=True)
    print(f"{total} points, {len(OPERATIONS)} operations, {len(NETWORKS)} networks")
    return 1 if empty else 0


if __name__ == "__main__":
    sys.exit(main())
