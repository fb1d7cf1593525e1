"""Several server processes joined by Redis, one of which is killed: who hears what."""

import pytest

from tests.rooms import AWAY, House, Member, Plan, judge, play


async def test_rooms_span_processes_of_which_one_is_killed() -> None:
    """Every member hears every message once and in order, but while it knows that it was away."""
    plan = Plan(rooms=3, members=18, messages=10)
    judge(plan, await play(plan))


@pytest.mark.parametrize(
    ("number", "heard", "missed"),
    [
        (0, ["0", "1", "2", "last"], 0),
        (0, ["0", "2", "last"], None),
        (0, ["0", "1", "1", "2", "last"], None),
        (0, ["0", "2", "1", "last"], None),
        (0, ["0", "1", AWAY, "2", "last"], None),
        (2, ["0", "1", AWAY, "2", "last"], 0),
        (2, ["0", AWAY, "last"], 2),
        (2, ["0", "1", "2", AWAY, "2", "last"], None),
        (2, ["0", "2", AWAY, "last"], None),
        (2, ["0", AWAY, "1", "last"], None),
    ],
)
def test_judge_is_strict(number: int, heard: list[str], missed: int | None) -> None:
    """What is lost, doubled or swapped does not pass for having been away."""
    plan = Plan(rooms=1, members=3, messages=3)
    members = [Member(House([]), plan, each) for each in range(plan.members)]
    for member in members:
        lines = heard if member.name == f"m{number}" else ["0", "1", "2", "last"]
        if lines is not heard and member.name == "m2":
            lines = ["0", AWAY, "1", "2", "last"]
        member.heard = [line if line == AWAY else f"m0 {line}" for line in lines]
        position = member.heard.index(AWAY) + 1 if AWAY in member.heard else 0
        member.heard[position:position] = [f"m1 {said}" for said in plan.said]
    if missed is None:
        with pytest.raises(AssertionError):
            judge(plan, members)
    else:
        assert judge(plan, members) == missed
