"""What ours and ``websockets`` make of the same bytes differs only where a list says so, and why.

TRIO_WS_DIFFERENTIAL_CASES says in how many cases that is tried.
"""

import os
import sys

import pytest

from tests import differential_connections, differential_handshakes
from tests.differential_connections import Difference
from tests.differential_websockets import Tally, entries, main, run
from trio_ws.protocol.connection import Event, Protocol
from trio_ws.protocol.handshake import ServerHandshake
from trio_ws.protocol.http import Request, Response

CASES = int(os.environ.get("TRIO_WS_DIFFERENTIAL_CASES", "2000"))

# Too seldom for a run of 2,000.
RARE = {
    "handshake: control character in the request line",
    "handshake: long body of a refusal",
}


@pytest.fixture(scope="module")
def tally() -> Tally:
    """What comes of all cases."""
    return run(CASES)


def test_ours_and_websockets_agree(tally: Tally) -> None:
    """Nine in ten times in every respect, and otherwise for a reason that is given."""
    assert tally.cases == CASES
    assert tally.same >= 0.85 * CASES


def test_each_difference_that_may_be_is_there(tally: Tally) -> None:
    """An entry that nothing needs any more is to be taken out."""
    assert set(entries()) - set(tally.allowed) <= RARE


def test_each_difference_has_its_reason() -> None:
    """In a sentence at least."""
    for each in (differential_connections.ALLOWED, differential_handshakes.ALLOWED):
        for allowed in each.values():
            assert allowed.reason.endswith(".")
            assert len(allowed.reason) > 50


RECEIVE_DATA = Protocol.receive_data


def _loses_the_last(protocol: Protocol, data: bytes | None) -> list[Event]:
    return RECEIVE_DATA(protocol, data)[:1]


def _takes_everybody(server: ServerHandshake, request: Request, fields: object) -> Response | None:
    return None


@pytest.mark.parametrize(
    ("owner", "name", "mistake"),
    [
        (Protocol, "receive_data", _loses_the_last),
        (ServerHandshake, "_refusal_of", _takes_everybody),
    ],
)
def test_differential_finds_mistakes(
    monkeypatch: pytest.MonkeyPatch, owner: type, name: str, mistake: object
) -> None:
    """An end with any of these would not get through."""
    monkeypatch.setattr(owner, name, mistake)
    with pytest.raises((Difference, KeyError)):
        run(500)


def test_differential_runs_from_the_command_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It says how many were the same, and which differences were how frequent."""
    monkeypatch.setattr(sys, "argv", ["differential_websockets", "20", "17"])
    main()
    assert capsys.readouterr().out.startswith("trio_ws and websockets: 20 cases, ")
