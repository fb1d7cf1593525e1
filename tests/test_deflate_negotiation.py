"""How permessage-deflate is agreed on: the header's grammar, offers and answers, handshakes."""

import math
from dataclasses import replace

import pytest

from trio_ws._options import Deflate, checked_compression
from trio_ws._url import parse_url
from trio_ws.protocol._extensions import Extension, parse_extensions
from trio_ws.protocol.handshake import ClientHandshake, ServerHandshake
from trio_ws.protocol.negotiation import answer, conclude, offer
from trio_ws.protocol.state import State

PMD = "permessage-deflate"
C, S = "client_max_window_bits", "server_max_window_bits"
C_ALONE, S_ALONE = "client_no_context_takeover", "server_no_context_takeover"

PLAIN = Deflate()

# The grammar (RFC 6455 section 9.1)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], []),
        ([""], []),
        ([" , ,", "\t"], []),
        (["foo"], [("foo",)]),
        (["foo, bar", "baz"], [("foo",), ("bar",), ("baz",)]),
        (["foo;a;b=1"], [("foo", ("a", None), ("b", "1"))]),
        (["foo ; a ; b = 1 ,bar"], [("foo", ("a", None), ("b", "1")), ("bar",)]),
        (['foo; a="1"'], [("foo", ("a", "1"))]),
        (['foo; a="1\\2"; b'], [("foo", ("a", "12"), ("b", None))]),
        (["foo;a;a"], [("foo", ("a", None), ("a", None))]),
        (["\tfoo\t;\ta\t=\t1\t,"], [("foo", ("a", "1"))]),
    ],
)
def test_extensions_are_parsed(
    values: list[str], expected: list[tuple[str | tuple[str, str | None], ...]]
) -> None:
    """Lists over several lines, empty members, spaces anywhere, quoted values."""
    assert [(each.name, *each.parameters) for each in parse_extensions(values)] == expected


@pytest.mark.parametrize(
    "value",
    [
        *("foo bar", "foo;", "foo;;a", "foo; =1", "foo; a=", "foo; a=;b", "foo; a b", "=", ";a"),
        *('"foo"', 'foo; a="1', 'foo; a="1,2"', 'foo; a=""', 'foo; a="1"2', 'foo; a="\\'),
        *("foo; a=1=2", "foo, (bar)", "foo; a=\xe9", "foo/bar"),
    ],
)
def test_malformed_extensions_are_refused(value: str) -> None:
    """Also where something good stands beside it."""
    for values in ([value], ["good", value], [value, "good"]):
        with pytest.raises(ValueError, match=r"malformed|no token"):
            parse_extensions(values)


@pytest.mark.parametrize("text", [f"{PMD},", "a;b,", "a" * 99 + ",", 'a;b="\\c" \t,', "a;"])
def test_long_headers_are_parsed(text: str) -> None:
    """As long as a header may be: 16 KiB of what takes the most parsing."""
    header = (text * (16384 // len(text))).rstrip(";")
    assert len(parse_extensions([header])) == max(header.count(","), 1)


# What a client offers


@pytest.mark.parametrize(
    ("wish", "expected"),
    [
        (PLAIN, f"{PMD}; {C}"),
        (Deflate(peer_window_bits=15), f"{PMD}; {C}"),
        (Deflate(peer_window_bits=10), f"{PMD}; {C}; {S}=10"),
        (Deflate(context_takeover=False), f"{PMD}; {C}; {C_ALONE}"),
        (Deflate(peer_context_takeover=False), f"{PMD}; {C}; {S_ALONE}"),
    ],
)
def test_offer_is_that_of_browsers_unless_more_is_wished_for(wish: Deflate, expected: str) -> None:
    """For some servers refuse whatever browsers do not say."""
    assert offer(wish) == expected
    agreed = answer(PLAIN, [expected])
    assert agreed is not None  # our own server takes it
    conclude(wish, [agreed[1]])


# What a server answers


@pytest.mark.parametrize(
    ("wish", "offered", "expected", "agreed"),
    [
        (PLAIN, PMD, PMD, {"peer_window_bits": 15}),
        (PLAIN, f"{PMD}; {C}", f"{PMD}; {C}=12", {"peer_window_bits": 12}),
        (PLAIN, f"{PMD}; {C}=15", f"{PMD}; {C}=12", {"peer_window_bits": 12}),
        (PLAIN, f"{PMD}; {C}=10", f"{PMD}; {C}=10", {"peer_window_bits": 10}),
        (PLAIN, f'{PMD}; {C}="10"', f"{PMD}; {C}=10", {"peer_window_bits": 10}),
        (PLAIN, f"{PMD}; {C}=8", f"{PMD}; {C}=8", {"peer_window_bits": 9}),
        (Deflate(peer_window_bits=15), f"{PMD}; {C}", PMD, {"peer_window_bits": 15}),
        (Deflate(window_bits=15), f"{PMD}; {C}", PMD, {"peer_window_bits": 15}),
        (Deflate(peer_window_bits=9), f"{PMD}; {C}", f"{PMD}; {C}=9", {"peer_window_bits": 9}),
        (Deflate(peer_window_bits=9), PMD, PMD, {"peer_window_bits": 15}),
        (PLAIN, f"{PMD}; {S}=15", f"{PMD}; {S}=12", {"window_bits": 12, "peer_window_bits": 15}),
        (PLAIN, f"{PMD}; {S}=9", f"{PMD}; {S}=9", {"window_bits": 9, "peer_window_bits": 15}),
        (
            PLAIN,
            f"{PMD}; {S_ALONE}",
            f"{PMD}; {S_ALONE}",
            {"context_takeover": False, "peer_window_bits": 15},
        ),
        (
            PLAIN,
            f"{PMD}; {C_ALONE}",
            f"{PMD}; {C_ALONE}",
            {"peer_context_takeover": False, "peer_window_bits": 15},
        ),
        (
            Deflate(context_takeover=False, peer_context_takeover=False),
            f"{PMD}; {C}=9; {S}=9",
            f"{PMD}; {S}=9; {C}=9; {S_ALONE}; {C_ALONE}",
            {"window_bits": 9, "peer_window_bits": 9},
        ),
        # The first one that can be accepted.
        (PLAIN, f"{PMD}; {S}=8, {PMD}; {S}=10", f"{PMD}; {S}=10", {"window_bits": 10}),
        (PLAIN, f"{PMD}; x, {PMD}; {C}; {C}, foo, {PMD}", PMD, {}),
        (PLAIN, f"{PMD}; {S_ALONE}; {S}=7, {PMD}; {C}", f"{PMD}; {C}=12", {}),
    ],
)
def test_server_answers_what_it_can(
    wish: Deflate, offered: str, expected: str, agreed: dict[str, int | bool]
) -> None:
    """With no more than was offered, and with what we wish for within that."""
    outcome = answer(wish, [offered])
    assert outcome is not None
    assert outcome[1] == expected
    for name, value in agreed.items():
        assert getattr(outcome[0], name) == value
    assert replace(outcome[0], level=9).level == 9  # it is valid
    # What the server says a client must be able to take.
    conclude(PLAIN, [expected])


BAD_PARAMETERS = [
    *("x", f"{C_ALONE}x", C_ALONE.upper(), f"{C}; {C}", f"{C_ALONE}; {C_ALONE}", f"{S}=9; {S}=9"),
    *(f"{C_ALONE}=1", f"{S_ALONE}=true", f'{S_ALONE}="1"', S),
    *(f"{each}={value}" for each in (C, S) for value in ("7", "16", "0", "08", "abc", "-9", "1e1")),
    *(f"{each}={value}" for each in (C, S) for value in ("+9", "9.0", "0x9", "99999999999999999")),
]


@pytest.mark.parametrize("parameters", [*BAD_PARAMETERS, f"{S}=8", f"{S_ALONE}; {S}=8"])
def test_server_declines_what_is_wrong(parameters: str) -> None:
    """The offer, not the connection: unknown, there twice, with a wrong value, or not for zlib."""
    assert answer(PLAIN, [f"{PMD}; {parameters}"]) is None


@pytest.mark.parametrize("offered", [[], ["foo"], [f"x{PMD}", PMD.upper()]])
def test_server_answers_nothing_to_other_offers(offered: list[str]) -> None:
    """To none, and to those of other extensions."""
    assert answer(PLAIN, offered) is None


# What a client makes of it


@pytest.mark.parametrize(
    ("wish", "given", "agreed"),
    [
        (PLAIN, PMD, {"window_bits": 12, "peer_window_bits": 15}),
        (PLAIN, f"{PMD}; {C}=10", {"window_bits": 10}),
        (PLAIN, f'{PMD}; {C}="9"', {"window_bits": 9}),
        (PLAIN, f"{PMD}; {C}=15", {"window_bits": 12}),
        (PLAIN, f"{PMD}; {S}=8", {"peer_window_bits": 9}),
        (PLAIN, f"{PMD}; {S}=11", {"peer_window_bits": 11}),
        (PLAIN, f"{PMD}; {C_ALONE}", {"context_takeover": False, "peer_context_takeover": True}),
        (PLAIN, f"{PMD}; {S_ALONE}", {"context_takeover": True, "peer_context_takeover": False}),
        (Deflate(context_takeover=False), PMD, {"context_takeover": False}),
        (Deflate(peer_window_bits=10), f"{PMD}; {S}=10", {"peer_window_bits": 10}),
        (Deflate(peer_window_bits=10), f"{PMD}; {S}=9", {"peer_window_bits": 9}),
        # In so small a window zlib does not compress; the server still may.
        (PLAIN, f"{PMD}; {C}=8", {"threshold": math.inf, "window_bits": 9}),
    ],
)
def test_client_agrees_on_what_it_is_given(
    wish: Deflate, given: str, agreed: dict[str, float | bool]
) -> None:
    """It takes every answer that could be given to its offer."""
    outcome = conclude(wish, [given])
    assert outcome is not None
    assert {name: getattr(outcome, name) for name in agreed} == agreed


@pytest.mark.parametrize(
    ("wish", "given", "problem"),
    [
        *((PLAIN, f"{PMD}; {each}", "parameter") for each in BAD_PARAMETERS),
        (PLAIN, f"{PMD}; {C}", "client_max_window_bits has the value None"),
        (PLAIN, f"{PMD}, {PMD}", "twice"),
        (PLAIN, "foo", "'foo', which was not offered"),
        (PLAIN, f"{PMD}, foo", "'foo', which was not offered"),
        (PLAIN, "foo bar", "malformed"),
        (None, PMD, "'permessage-deflate', which was not offered"),
        (Deflate(peer_window_bits=10), PMD, "15, 10 was asked for"),
        (Deflate(peer_window_bits=10), f"{PMD}; {S}=11", "11, 10 was asked for"),
        (Deflate(peer_context_takeover=False), PMD, f"{S_ALONE} is missing"),
    ],
)
def test_client_takes_no_answer_that_does_not_fit(
    wish: Deflate | None, given: str, problem: str
) -> None:
    """It says what is wrong with it."""
    with pytest.raises(ValueError, match=problem):
        conclude(wish, [given])


@pytest.mark.parametrize("wish", [None, PLAIN, Deflate(peer_window_bits=9)])
def test_client_does_without_when_the_server_does_not_want(wish: Deflate | None) -> None:
    """A server need not answer an offer."""
    assert conclude(wish, []) is None


# In handshakes


def client_handshake(compression: Deflate | None = PLAIN) -> ClientHandshake:
    """Return a client's handshake."""
    return ClientHandshake(parse_url("ws://localhost/"), compression=compression)


def shake_hands(client: ClientHandshake, server: ServerHandshake) -> None:
    """Let the two talk."""
    server.receive_data(client.data_to_send())
    client.receive_data(server.accept())
    assert server.state is State.OPEN


@pytest.mark.parametrize("wish", [None, PLAIN, Deflate(context_takeover=False)])
@pytest.mark.parametrize("asked", [None, PLAIN, Deflate(peer_window_bits=9)])
def test_handshakes_agree(wish: Deflate | None, asked: Deflate | None) -> None:
    """Both know the same, each from its side; nothing when one of them wants nothing."""
    client, server = client_handshake(asked), ServerHandshake(compression=wish)
    shake_hands(client, server)
    assert client.state is State.OPEN
    assert client.response is not None
    if wish is None or asked is None:
        assert client.compression is server.compression is None
        assert "Sec-WebSocket-Extensions" not in client.response.headers
        return
    ours, theirs = client.compression, server.compression
    assert ours is not None
    assert theirs is not None
    assert (ours.context_takeover, ours.peer_context_takeover) == (
        theirs.peer_context_takeover,
        theirs.context_takeover,
    )
    assert ours.window_bits <= (theirs.peer_window_bits or 0)
    assert theirs.window_bits <= (ours.peer_window_bits or 0)


def test_server_refuses_a_malformed_header() -> None:
    """Where it is asked for compression: "MUST immediately _Fail the WebSocket Connection_"."""
    request = client_handshake(None).data_to_send()
    bad = request.replace(b"\r\n\r\n", b"\r\nSec-WebSocket-Extensions: a b\r\n\r\n")
    asked, unasked = ServerHandshake(compression=PLAIN), ServerHandshake()
    for server in (asked, unasked):
        server.receive_data(bad)
    assert asked.refusal is not None
    assert asked.refusal.status == 400
    assert unasked.refusal is None  # what it does not use it need not read


@pytest.mark.parametrize("given", [f"{PMD}; x", f"{PMD}; {C}=16", f"{PMD}, {PMD}", "foo", "a b"])
def test_client_fails_the_handshake_for_a_wrong_answer(given: str) -> None:
    """With an error that quotes it; the WebSocket is not open."""
    client, server = client_handshake(), ServerHandshake()
    server.receive_data(client.data_to_send())
    accepted = server.accept()
    extension = b"\r\nSec-WebSocket-Extensions: " + given.encode() + b"\r\n\r\n"
    client.receive_data(accepted.replace(b"\r\n\r\n", extension))
    assert client.state is State.CLOSED
    assert "Sec-WebSocket-Extensions" in str(client.error)


# The options


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"level": 0}, ValueError),
        ({"level": 10}, ValueError),
        ({"level": -1}, ValueError),
        ({"level": "6"}, TypeError),
        ({"level": True}, TypeError),
        ({"window_bits": 8}, ValueError),
        ({"window_bits": 16}, ValueError),
        ({"window_bits": None}, TypeError),
        ({"mem_level": 0}, ValueError),
        ({"mem_level": 10}, ValueError),
        ({"threshold": -1}, ValueError),
        ({"threshold": math.nan}, ValueError),
        ({"threshold": "1"}, TypeError),
        ({"threshold": True}, TypeError),
        ({"context_takeover": 1}, TypeError),
        ({"peer_window_bits": 8}, ValueError),
        ({"peer_window_bits": 12.0}, TypeError),
        ({"peer_context_takeover": None}, TypeError),
    ],
)
def test_options_are_checked(arguments: dict[str, object], error: type[Exception]) -> None:
    """The error names the option."""
    [name] = arguments
    with pytest.raises(error, match=f"Deflate.{name} "):
        Deflate(**arguments)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def test_edges_of_options_are_valid() -> None:
    """The least and the most of each."""
    Deflate(level=1, window_bits=9, mem_level=1, threshold=0, peer_window_bits=9)
    Deflate(level=9, window_bits=15, mem_level=9, threshold=math.inf, peer_window_bits=15)


def test_compression_is_a_deflate_or_its_name() -> None:
    """Or nothing; anything else says what it may be."""
    options = Deflate(level=9)
    assert checked_compression(options) is options
    assert checked_compression("deflate") == Deflate()
    assert checked_compression(None) is None
    with pytest.raises(ValueError, match="must be \"deflate\", not 'gzip'"):
        checked_compression("gzip")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    wrongs: list[object] = [True, 1, Deflate, {}]
    for wrong in wrongs:
        with pytest.raises(TypeError, match="must be a Deflate"):
            checked_compression(wrong)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def test_extension_is_a_value() -> None:
    """Two that say the same are the same."""
    assert Extension("a", (("b", None),)) == parse_extensions(["a;b"])[0]
