"""Close codes and reasons: what they are called, and which may be sent."""

import copy
import dataclasses
import pickle

import pytest
from hypothesis import given, settings, strategies as st

from trio_ws._close import MAX_REASON_BYTES, Close, CloseCode, checked_close

# RFC 6455 section 7.4 and the IANA registry that section 11.7 set up.
SENDABLE_CODES = {*range(1000, 1004), *range(1007, 1015), *range(3000, 5000)}


# CloseCode


@pytest.mark.parametrize(
    ("number", "name"),
    [
        (1000, "NORMAL_CLOSURE"),
        (1001, "GOING_AWAY"),
        (1002, "PROTOCOL_ERROR"),
        (1003, "UNSUPPORTED_DATA"),
        (1005, "NO_STATUS_RECEIVED"),
        (1006, "ABNORMAL_CLOSURE"),
        (1007, "INVALID_DATA"),
        (1008, "POLICY_VIOLATION"),
        (1009, "MESSAGE_TOO_BIG"),
        (1010, "MANDATORY_EXTENSION"),
        (1011, "INTERNAL_ERROR"),
        (1012, "SERVICE_RESTART"),
        (1013, "TRY_AGAIN_LATER"),
        (1014, "BAD_GATEWAY"),
        (1015, "TLS_HANDSHAKE"),
    ],
)
def test_close_code_has_its_registered_number(number: int, name: str) -> None:
    """Each registered code is known by number and by name."""
    assert CloseCode(number) is CloseCode[name]


def test_close_code_knows_no_others() -> None:
    """1004 is reserved and has no meaning; nothing is beyond 1015."""
    assert set(CloseCode) == {*range(1000, 1016)} - {1004}


# Close


def test_close_says_by_default_that_all_is_done() -> None:
    """A Close of nothing in particular is 1000 without a reason."""
    assert Close() == Close(1000, "") == Close(CloseCode.NORMAL_CLOSURE)
    assert repr(Close()) == "Close(code=1000, reason='')"


@pytest.mark.parametrize("code", [0, 999, *range(1000, 1016), 2999, 3000, 4999, 5000, 65535])
def test_close_is_clean_when_the_sender_was_simply_done(code: int) -> None:
    """Only 1000, 1001 and a Close without a code are clean ends."""
    assert Close(code).clean is (code in {1000, 1001, 1005})


@pytest.mark.parametrize(
    ("close", "expected"),
    [
        (Close(1000), "1000 (normal closure)"),
        (Close(1001), "1001 (going away)"),
        (Close(CloseCode.GOING_AWAY), "1001 (going away)"),
        (Close(1001, "bye"), "1001 (going away) 'bye'"),
        (Close(1004), "1004 (unknown)"),
        (Close(1005), "1005 (no status received)"),
        (Close(1009), "1009 (message too big)"),
        (Close(1015), "1015 (tls handshake)"),
        (Close(0), "0 (unknown)"),
        (Close(2999), "2999 (unknown)"),
        (Close(3000), "3000 (registered)"),
        (Close(3999), "3999 (registered)"),
        (Close(4000, "it's over"), '4000 (application) "it\'s over"'),
        (Close(4999), "4999 (application)"),
        (Close(5000), "5000 (unknown)"),
        # F15: nothing of a peer's begins a line, moves a cursor or turns the text around.
        (Close(4000, "a\r\nb"), r"4000 (application) 'a\r\nb'"),
        (Close(4000, "\x1b[2J\x07"), r"4000 (application) '\x1b[2J\x07'"),
        (Close(4000, "\x9b31m\x00"), r"4000 (application) '\x9b31m\x00'"),
        (Close(4000, "a\u2028b\u202e"), r"4000 (application) 'a\u2028b\u202e'"),
        (Close(4000, "\ud800"), r"4000 (application) '\ud800'"),
        (Close(4000, "größer"), "4000 (application) 'größer'"),
    ],
)
def test_close_as_text_is_one_line(close: Close, expected: str) -> None:
    """The text has the code, its meaning, and the reason with nothing in it that does things."""
    assert str(close) == expected


@settings(deadline=None)
@given(code=st.integers(0, 65535), reason=st.text())
def test_close_as_text_is_printable_whatever_the_reason(code: int, reason: str) -> None:
    """No code and no reason make a text that a terminal or a log could trip over."""
    assert str(Close(code, reason)).isprintable()


def test_close_is_a_value() -> None:
    """It is immutable, hashable, and survives copying and pickling."""
    close = Close(4000, "bye")
    assert {close: 1}[Close(4000, "bye")] == 1
    assert copy.copy(close) == copy.deepcopy(close) == pickle.loads(pickle.dumps(close)) == close
    with pytest.raises(dataclasses.FrozenInstanceError):
        close.code = 1000  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]


# checked_close


def test_checked_close_allows_exactly_the_codes_that_may_be_sent() -> None:
    """F14: of all numbers that a Close frame could carry, those of the table pass."""
    allowed: set[int] = set()
    for code in range(65536):
        try:
            close = checked_close(code, "")
        except ValueError as exc:
            assert str(code) in str(exc)  # noqa: PT017 - a table of 65536 rows in one test
        else:
            assert close == Close(code)
            allowed.add(code)
    assert allowed == SENDABLE_CODES


@pytest.mark.parametrize("code", [-1000, -1, 65536, 70000, 10**30])
def test_checked_close_refuses_what_no_frame_can_carry(code: int) -> None:
    """F17: a number that does not fit into two bytes is an error of ours, not of struct."""
    with pytest.raises(ValueError, match=rf"close code {code} must not be sent"):
        checked_close(code, "")


def test_checked_close_makes_a_plain_number_of_a_close_code() -> None:
    """What was sent looks the same, by number or by name."""
    close = checked_close(CloseCode.TRY_AGAIN_LATER, "later")
    assert close == Close(1013, "later")
    assert type(close.code) is int


@pytest.mark.parametrize("code", [None, "1000", 1000.0, True, b"\x03\xe8", [1000]])
def test_checked_close_refuses_a_code_of_another_type(code: object) -> None:
    """F17: a code that is no int is a TypeError that names the type."""
    with pytest.raises(TypeError, match=f"must be an int, not {type(code).__name__}"):
        checked_close(code, "")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("reason", [None, b"bye", 7, ["bye"]])
def test_checked_close_refuses_a_reason_of_another_type(reason: object) -> None:
    """F17: a reason that is no str is a TypeError that names the type."""
    with pytest.raises(TypeError, match=f"must be a str, not {type(reason).__name__}"):
        checked_close(1000, reason)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    "reason",
    ["", "x" * MAX_REASON_BYTES, "é" * 61 + "x", "\U0001f600" * 30 + "xyz", "\r\n\x00\x1b"],
)
def test_checked_close_takes_a_reason_that_fits(reason: str) -> None:
    """123 bytes of UTF-8 fit, whatever characters they are."""
    assert checked_close(1000, reason) == Close(1000, reason)


@pytest.mark.parametrize("reason", ["x" * 124, "é" * 62, "\U0001f600" * 31, "x" * 200])
def test_checked_close_refuses_a_reason_that_is_too_long(reason: str) -> None:
    """D7: it is not cut: what was to be said would not be what was sent."""
    with pytest.raises(ValueError, match=f"123 bytes of UTF-8, this has {len(reason.encode())}"):
        checked_close(1000, reason)


@pytest.mark.parametrize("reason", ["\ud800", "a\udfffb"])
def test_checked_close_refuses_a_lone_surrogate(reason: str) -> None:
    """Half a character has no UTF-8."""
    with pytest.raises(UnicodeEncodeError):
        checked_close(1000, reason)


@settings(deadline=None)
@given(code=st.integers() | st.sampled_from(sorted(SENDABLE_CODES)), reason=st.text(max_size=140))
def test_checked_close_returns_what_fits_a_frame_or_raises(code: int, reason: str) -> None:
    """Whatever passes is a Close that a frame can carry, unchanged."""
    try:
        close = checked_close(code, reason)
    except ValueError:
        return
    assert close == Close(code, reason)
    assert code in SENDABLE_CODES
    assert len(reason.encode()) <= MAX_REASON_BYTES
