"""A frame's payload that comes in parts: unmasked and decoded, however it is cut."""

from itertools import pairwise

import pytest
from hypothesis import given, strategies as st

from tests.helpers import MASK_KEY
from tests.lanes import Lane, each_lane, use_lane
from trio_ws.protocol.payload import Payload

NOT_MASKED = b""


def masked(payload: bytes, key: bytes) -> bytes:
    """Mask as RFC 6455 section 5.3 has it, octet by octet."""
    return bytes(octet ^ key[i % 4] for i, octet in enumerate(payload)) if key else payload


def cut(data: bytes, cuts: list[int]) -> list[bytes]:
    """Return the data in parts that begin at these places, some of which may be empty."""
    places = [0, *sorted(min(place, len(data)) for place in cuts), len(data)]
    return [data[a:b] for a, b in pairwise(places)]


cuts = st.lists(st.integers(0, 60), max_size=8)
keys = st.sampled_from([NOT_MASKED, MASK_KEY, b"\xff\x00\x80\x7f"])


@each_lane
@given(message=st.text(max_size=30), key=keys, cuts=cuts)
def test_payload_of_text_comes_as_whole_characters(
    lane: Lane, message: str, key: bytes, cuts: list[int]
) -> None:
    """Wherever the bytes are cut, the parts make up the text; what was cut comes later."""
    data = message.encode()
    payload = Payload(len(data), key, text=True)
    received = ""
    with use_lane(lane):
        for part in cut(masked(data, key), cuts):
            text = payload.take(part)
            assert isinstance(text, str)
            received += text
            assert message.startswith(received)
    assert received == message
    assert payload.left == 0


@each_lane
@given(message=st.binary(max_size=60), key=keys, cuts=cuts)
def test_payload_of_a_binary_message_comes_as_it_arrives(
    lane: Lane, message: bytes, key: bytes, cuts: list[int]
) -> None:
    """Each part is as long as what was taken, and unmasked with the right octets of the key."""
    payload = Payload(len(message), key, text=False)
    received = b""
    with use_lane(lane):
        for part in cut(masked(message, key), cuts):
            taken = payload.take(part)
            assert isinstance(taken, bytes)
            assert len(taken) == len(part)
            received += taken
            assert payload.left == len(message) - len(received)
    assert received == message


@pytest.mark.parametrize("key", [NOT_MASKED, MASK_KEY], ids=["plain", "masked"])
@pytest.mark.parametrize(
    ("valid", "wrong"),
    [
        (b"abc", b"\xff"),
        (b"abc", b"\xc0"),
        (b"\xe2\x82", b"a"),
        (b"\xed\xa0", b"\x80"),  # a surrogate, at whose third byte Python notices
        (b"\xf4", b"\x90"),  # above U+10FFFF
        ("é".encode(), b"\x80"),
    ],
)
def test_payload_fails_at_the_first_wrong_byte(key: bytes, valid: bytes, wrong: bytes) -> None:
    """What is to come behind it is not waited for: UTF-8 it will never be."""
    data = masked(valid + wrong, key)
    payload = Payload(100, key, text=True)
    payload.take(data[: len(valid)])
    with pytest.raises(UnicodeDecodeError):
        payload.take(data[len(valid) :])


@pytest.mark.parametrize("cut_short", [b"\xc3", b"\xe2\x82", b"\xf0\x9f\x98"])
def test_payload_fails_when_its_last_character_is_cut(cut_short: bytes) -> None:
    """What is the beginning of a character anywhere else is wrong at the end."""
    payload = Payload(1 + len(cut_short), NOT_MASKED, text=True)
    assert payload.take(b"a" + cut_short[:-1]) == "a"
    with pytest.raises(UnicodeDecodeError):
        payload.take(cut_short[-1:])


@pytest.mark.parametrize(("text", "empty"), [(True, ""), (False, b"")], ids=["text", "binary"])
def test_payload_may_be_empty(text: bool, empty: str | bytes) -> None:
    """A frame without a payload says an empty part of its kind."""
    assert Payload(0, MASK_KEY, text=text).take(b"") == empty


@each_lane
@given(message=st.binary(max_size=60), key=keys, cuts=cuts)
def test_payload_that_is_wanted_whole_comes_with_its_last_part(
    lane: Lane, message: bytes, key: bytes, cuts: list[int]
) -> None:
    """Until then nothing comes; then it is as if it had never been cut."""
    with use_lane(lane):
        payload = Payload(len(message), key, text=False, whole=True)
        taken = [payload.take(part) for part in cut(masked(message, key), cuts) if part]
    assert taken == [*[b""] * (len(taken) - 1), message][: len(taken)]


@each_lane
@given(message=st.binary(min_size=1, max_size=60), key=keys, cuts=cuts, when=st.integers(0, 8))
def test_payload_can_be_divided_at_any_time(
    lane: Lane, message: bytes, key: bytes, cuts: list[int], when: int
) -> None:
    """What has come is there at once, what comes later by itself."""
    with use_lane(lane):
        payload = Payload(len(message), key, text=False, whole=True)
        received = b""
        for turn, part in enumerate(cut(masked(message, key), cuts)):
            if turn == when:
                received += payload.divide()
                assert len(received) == len(message) - payload.left
            taken = payload.take(part)
            assert isinstance(taken, bytes)
            received += taken
        received += payload.divide()
    assert received == message


def test_payload_of_text_keeps_nothing_back() -> None:
    """It is decoded as it comes, to fail as soon as it is wrong, also when it is wanted whole."""
    payload = Payload(4, NOT_MASKED, text=True, whole=True)
    assert payload.take(b"ab") == "ab"
    assert payload.divide() == b""
    assert payload.take(b"cd") == "cd"


@each_lane
def test_gathered_takes_no_more_than_was_announced(lane: Lane) -> None:
    """Whoever adds more has miscounted: what is there stays as it is."""
    gathered = lane.gathered(4)
    gathered.add(b"abc", NOT_MASKED)
    with pytest.raises(ValueError, match="announced"):
        gathered.add(b"de", NOT_MASKED)
    assert gathered.take() == b"abc"
    with pytest.raises(ValueError, match="announced"):
        gathered.add(b"d", NOT_MASKED)
    assert gathered.take() == b""
    with pytest.raises(ValueError, match="negative"):
        lane.gathered(-1)


@each_lane
def test_gathered_reserves_by_what_has_come(lane: Lane) -> None:
    """Who announces a gigabyte and sends ten bytes does not make us hold a gigabyte."""
    gathered = lane.gathered(1 << 40)  # more than there is
    for _ in range(10):
        gathered.add(b"a", NOT_MASKED)
    assert gathered.take() == b"a" * 10
