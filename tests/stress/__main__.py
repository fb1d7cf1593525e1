"""All stress scripts, one after the other: python -m tests.stress [--short]."""

from tests.stress.churn import churn
from tests.stress.fanout import fanout
from tests.stress.floods import floods
from tests.stress.idle import idle
from tests.stress.measure import Figures, main
from tests.stress.slowloris import slowloris
from tests.stress.soak import soak
from tests.stress.vanished import vanished


async def everything(figures: Figures, short: bool) -> None:
    """Run them all."""
    for script in (slowloris, churn, idle, soak, floods, vanished, fanout):
        print(f"== {script.__name__}")  # noqa: T201
        await script(figures, short)


if __name__ == "__main__":
    main(everything)
