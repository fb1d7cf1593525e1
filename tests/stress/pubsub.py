"""The rooms of ``tests/rooms.py`` in full size: 300 members in 20 rooms over three servers.

    python -m tests.stress.pubsub [ROUNDS]

Too large for every run of the tests; what they run is the same, smaller.
"""

import sys

import trio

from tests.rooms import Plan, judge, play

PLAN = Plan(rooms=20, members=300, messages=20)


async def main(rounds: int) -> None:
    """Play it, and say what came of it."""
    for _ in range(rounds):
        began = trio.current_time()
        members = await play(PLAN)
        missed = judge(PLAN, members)
        seconds = trio.current_time() - began
        heard = sum(len(member.heard) for member in members)
        print(  # noqa: T201 - a script prints
            f"{len(members)} members of {PLAN.rooms} rooms heard {heard} messages in"
            f" {seconds:.1f} s, each once and in order; {missed} were missed by those away"
        )


if __name__ == "__main__":
    trio.run(main, int(sys.argv[1]) if len(sys.argv) > 1 else 1)
