"""What judges the runs of the Autobahn suite: a change for the worse must not go unseen.

The runs themselves are a stage of `.ci/run`: ``python -m tests.autobahn``.
"""

import re
from collections import Counter
from pathlib import Path

import pytest

from tests.autobahn.cases import (
    CASES,
    COMPRESSED_SHARE,
    INFORMATIONAL,
    NOT_OK,
    OK,
    UNCOMPRESSED,
    Verdict,
    complaints,
    select,
)

CONFORMANCE = Path(__file__).parents[1] / "docs" / "conformance.rst"

NON_STRICT = Verdict("NON-STRICT", "OK")
UNCLEAN = Verdict("OK", "UNCLEAN")
FAILED = Verdict("FAILED", "FAILED")


def test_cases_are_those_of_the_suite() -> None:
    """As many as it says it has, each once."""
    assert len(set(CASES)) == len(CASES) == 517


@pytest.mark.parametrize(
    ("patterns", "excluded", "count"),
    [
        (["*"], [], 517),
        (UNCOMPRESSED, [], 301),
        (COMPRESSED_SHARE, [], 84),
        (["7.1.*", "7.1.6"], ["7.1.6"], 5),
        (["1.*"], [], 16),
        (["7.1.6"], ["9.*"], 1),
    ],
)
def test_cases_are_selected_by_patterns(
    patterns: list[str], excluded: list[str], count: int
) -> None:
    """A section is not another one that begins alike, and a case is not run twice."""
    assert len(select(patterns, excluded)) == count


def test_pattern_without_a_case_is_refused() -> None:
    """Who mistypes a section does not get away with running nothing."""
    with pytest.raises(ValueError, match="no case 8"):
        select(["1.*", "8.*"])
    with pytest.raises(ValueError, match="no case 14"):
        select(["1.*"], ["14.*"])


def test_run_as_expected_is_not_complained_of() -> None:
    """OK, but for the cases on the list."""
    assert complaints(CASES, {case: NOT_OK.get(case, OK) for case in CASES}) == []


@pytest.mark.parametrize("verdict", [NON_STRICT, UNCLEAN, FAILED, INFORMATIONAL])
def test_case_that_is_worse_is_complained_of(verdict: Verdict) -> None:
    """Its answers and its closing count alike."""
    (complaint,) = complaints(["1.1.1"], {"1.1.1": verdict})
    assert complaint.startswith("1.1.1")
    assert str(verdict) in complaint


def test_case_on_the_list_has_to_be_what_the_list_says() -> None:
    """A case that has become better leaves the list, and the documentation with it."""
    assert len(complaints(["7.1.6"], {"7.1.6": OK})) == 1
    assert len(complaints(["7.1.6"], {"7.1.6": FAILED})) == 1


def test_case_without_a_result_is_complained_of() -> None:
    """A suite that stopped half-way has not succeeded; nor has one that did something else."""
    assert complaints(["1.1.1", "1.1.2"], {"1.1.1": OK}) == ["1.1.2: no result"]
    assert len(complaints(["1.1.1"], {"1.1.1": OK, "1.1.2": OK})) == 1


def test_documentation_lists_the_cases_that_are_not_ok() -> None:
    """It lists these and no others, with what the suite says of them."""
    listed = re.findall(r"\* - ``([\d.]+)``\n\s+- ([A-Z-]+)\n", CONFORMANCE.read_text())
    assert dict(listed) == {case: verdict.behavior for case, verdict in NOT_OK.items()}


def test_documentation_counts_right() -> None:
    """The table of sections adds up to the cases there are."""
    rows = re.findall(
        r"\* - (\d+)\. .*\n +- (\d+)\n +- (\d+)\n +- (\d+)\n +- 0\n", CONFORMANCE.read_text()
    )
    sections = Counter(case.split(".")[0] for case in CASES)
    informational = Counter(case.split(".")[0] for case in NOT_OK)
    assert {row[0]: tuple(map(int, row[1:])) for row in rows} == {
        section: (count, count - informational[section], informational[section])
        for section, count in sections.items()
    }
