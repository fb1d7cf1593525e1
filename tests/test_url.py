"""URLs: what a client makes of them, and which it refuses."""

import base64
import copy
import dataclasses
import pickle
import re
import traceback

import pytest
from hypothesis import example, given, settings, strategies as st

from trio_ws._exceptions import InvalidURL
from trio_ws._url import WebSocketURL, parse_proxy_url, parse_url
from trio_ws.protocol.http import parse_authority


def basic(credentials: str | bytes) -> str:
    """Return the Authorization header for user and password (RFC 7617)."""
    data = credentials.encode() if isinstance(credentials, str) else credentials
    return f"Basic {base64.b64encode(data).decode()}"


# What is taken


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("ws://example.com", WebSocketURL(False, "example.com", 80, "/")),
        ("ws://example.com/", WebSocketURL(False, "example.com", 80, "/")),
        ("wss://example.com/chat", WebSocketURL(True, "example.com", 443, "/chat")),
        ("WsS://EXAMPLE.com/Chat", WebSocketURL(True, "example.com", 443, "/Chat")),
        ("ws://example.com:8080/", WebSocketURL(False, "example.com", 8080, "/")),
        ("ws://example.com:/", WebSocketURL(False, "example.com", 80, "/")),
        ("wss://example.com:00080/", WebSocketURL(True, "example.com", 80, "/")),
        ("ws://example.com:65535", WebSocketURL(False, "example.com", 65535, "/")),
        ("ws://localhost", WebSocketURL(False, "localhost", 80, "/")),
        ("ws://my_service:1", WebSocketURL(False, "my_service", 1, "/")),
        ("ws://a--b.example", WebSocketURL(False, "a--b.example", 80, "/")),
        ("ws://example.com./", WebSocketURL(False, "example.com.", 80, "/")),
        ("ws://127.0.0.1", WebSocketURL(False, "127.0.0.1", 80, "/")),
        ("ws://4chan.example", WebSocketURL(False, "4chan.example", 80, "/")),
        ("ws://0xcafe.example", WebSocketURL(False, "0xcafe.example", 80, "/")),
        ("ws://[::1]", WebSocketURL(False, "::1", 80, "/")),
        ("wss://[2001:DB8:0:0::0001]:8443/x", WebSocketURL(True, "2001:db8::1", 8443, "/x")),
    ],
)
def test_url_gives_scheme_host_port_and_target(url: str, expected: WebSocketURL) -> None:
    """What to connect to, and what to ask for there."""
    assert parse_url(url) == expected


@pytest.mark.parametrize(
    ("rest", "target"),
    [
        ("", "/"),
        ("?", "/"),
        ("/?", "/"),
        ("?a", "/?a"),
        ("/?a=1&b=2", "/?a=1&b=2"),
        ("?next=/a?b", "/?next=/a?b"),
        ("/a//b/../c;d=e", "/a//b/../c;d=e"),
        ("//evil.example/", "//evil.example/"),
        ("/user@example.com:80/", "/user@example.com:80/"),
        ("/%2F", "/%2F"),
        ("/%c3%a9", "/%c3%a9"),
        ("/é?é=€", "/%C3%A9?%C3%A9=%E2%82%AC"),
        ("/\U0001f600", "/%F0%9F%98%80"),
        ('?q={"a":[1]}', "/?q=%7B%22a%22:%5B1%5D%7D"),
        ("/<a>^`|", "/%3Ca%3E%5E%60%7C"),
        ("/-._~!$&'()*+,;=:@", "/-._~!$&'()*+,;=:@"),
    ],
)
def test_url_target_is_path_and_query_in_ascii(rest: str, target: str) -> None:
    """What goes into the request line is what was written, encoded where it must be."""
    assert parse_url(f"ws://host{rest}").target == target


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("ws://example.com/", "example.com"),
        ("ws://example.com:80/", "example.com"),
        ("ws://example.com:443/", "example.com:443"),
        ("wss://example.com/", "example.com"),
        ("wss://example.com:443/", "example.com"),
        ("wss://example.com:80/", "example.com:80"),
        ("ws://[::1]/", "[::1]"),
        ("ws://[::1]:8080/", "[::1]:8080"),
        ("ws://user:secret@example.com:8080/", "example.com:8080"),
    ],
)
def test_url_host_header_has_the_port_when_it_is_not_the_default(url: str, expected: str) -> None:
    """The default is the scheme's own; an IPv6 address is in brackets."""
    assert parse_url(url).host_header == expected


@pytest.mark.parametrize(
    ("host", "encoded"),
    [
        ("bücher.example", "xn--bcher-kva.example"),
        ("BÜCHER.Example", "xn--bcher-kva.example"),
        ("bu\u0308cher.example", "xn--bcher-kva.example"),
        ("例え。テスト", "xn--r8jz45g.xn--zckzah"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("Xn--Bcher-KVA.bücher", "xn--bcher-kva.xn--bcher-kva"),
        ("bücher.example.", "xn--bcher-kva.example."),
        # Full-width forms of "e", "." and "1".
        ("\uff45xample\uff0ecom", "example.com"),
        ("\uff1127\uff0e0.0.1", "127.0.0.1"),
    ],
)
def test_url_host_beyond_ascii_is_encoded_by_idna(host: str, encoded: str) -> None:
    """Name lookup, TLS and the Host header all get the name that is registered."""
    assert parse_url(f"wss://{host}/").host == encoded


@pytest.mark.parametrize(
    ("userinfo", "credentials"),
    [
        ("user:secret", "user:secret"),
        ("user", "user:"),
        (":secret", ":secret"),
        (":", ":"),
        ("user:a:b", "user:a:b"),
        ("user%40example.com:%3A%2F%20", "user@example.com::/ "),
        ("j%C3%BCrgen:gr%C3%B6%C3%9Fe", "jürgen:größe"),
        ("jürgen:größe", "jürgen:größe"),
        ("user:[1]", "user:[1]"),
    ],
)
def test_url_user_and_password_make_basic_authorization(userinfo: str, credentials: str) -> None:
    """They are decoded, joined by a colon and sent as UTF-8 (RFC 7617)."""
    assert parse_url(f"ws://{userinfo}@host/").authorization == basic(credentials)


@pytest.mark.parametrize("url", ["ws://host/", "ws://@host/", "ws://host/?user:secret@host"])
def test_url_without_user_makes_no_authorization(url: str) -> None:
    """Where nothing is before the host, nothing is sent."""
    assert parse_url(url).authorization is None


# What is refused


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        # The scheme.
        ("", "begins with ws:// or wss://"),
        ("example.com", "begins with ws:// or wss://"),
        ("//example.com/", "begins with ws:// or wss://"),
        ("://example.com/", "begins with ws:// or wss://"),
        ("ws:example.com", "begins with ws:// or wss://"),
        ("ws:/example.com", "begins with ws:// or wss://"),
        ("wsss://example.com/", "begins with ws:// or wss://"),
        ("ftp://example.com/", "begins with ws:// or wss://"),
        ("/path?u=ws://example.com/", "begins with ws:// or wss://"),
        ("http://example.com/", "write ws:// instead"),
        ("HTTPS://example.com/", "write wss:// instead"),
        # The fragment (RFC 6455 section 3).
        ("ws://example.com/#", "no fragment"),
        ("ws://example.com/a?b#c", "no fragment"),
        ("ws://example.com#a", "no fragment"),
        # What no URL has in it (H10).
        (" ws://example.com/", "whitespace"),
        ("ws://example.com/ ", "whitespace"),
        ("ws://example.com/a b", "a space in it"),
        ("ws://example.com/\r\nX-Evil: 1", "whitespace"),
        ("ws://exam\tple.com/", "whitespace"),
        ("ws://example.com/\x00", "whitespace"),
        ("ws://example.com/\x7f", "whitespace"),
        ("ws://example.com/\x85", "whitespace"),
        ("ws://example.com/\u2028", "whitespace"),
        ("ws://example.com/\u3000", "whitespace"),
        ("ws://example.com/\ud800", "surrogate"),
        ("ws://example.com\\@evil.example/", "backslash"),
        ("ws://example.com/%", "percent sign"),
        ("ws://example.com/%2", "percent sign"),
        ("ws://example.com/%zz", "percent sign"),
        ("ws://example.com/%٣٣", "percent sign"),
        # The port.
        ("ws://example.com:0/", "number from 1 to 65535"),
        ("ws://example.com:65536/", "number from 1 to 65535"),
        ("ws://example.com:000080/", "number from 1 to 65535"),
        ("ws://example.com:http/", "number from 1 to 65535"),
        ("ws://example.com:-80/", "number from 1 to 65535"),
        ("ws://example.com:+80/", "number from 1 to 65535"),
        ("ws://example.com:٨٠/", "number from 1 to 65535"),
        # The host.
        ("ws://", "no host"),
        ("ws:///path", "no host"),
        ("ws://?query", "no host"),
        ("ws://:80/", "no host"),
        ("ws://user:secret@/", "no host"),
        ("ws://.", "not a name"),
        ("ws://a..b/", "not a name"),
        ("ws://.example.com/", "not a name"),
        ("ws://example.com../", "not a name"),
        ("ws://-a.example/", "not a name"),
        ("ws://a-.example/", "not a name"),
        ("ws://xn--/", "not a name"),
        ("ws://exa$mple.com/", "not a name"),
        ("ws://exa,mple.com/", "not a name"),
        ("ws://*.example.com/", "not a name"),
        ("ws://ex%61mple.com/", "not a name"),
        (f"ws://{'a' * 64}.example/", "not a name"),
        (f"ws://{'a.' * 126}aa/", "not a name"),
        # IPv4 in notations that hide the address.
        ("ws://127.1/", "four decimal numbers"),
        ("ws://2130706433/", "four decimal numbers"),
        ("ws://0x7f000001/", "four decimal numbers"),
        ("ws://127.0.0.0x1/", "four decimal numbers"),
        ("ws://0177.0.0.1/", "four decimal numbers"),
        ("ws://127.0.0.256/", "four decimal numbers"),
        ("ws://127.0.0.1./", "four decimal numbers"),
        ("ws://1.2.3.4.5/", "four decimal numbers"),
        ("ws://example.0x/", "four decimal numbers"),
        ("ws://\uff1127\uff0e1/", "four decimal numbers"),
        # IPv6.
        ("ws://::1/", "colon too many"),
        ("ws://2001:db8::1:80/", "colon too many"),
        ("ws://[::1]:80:80/", "colon too many"),
        ("ws://[::1/", "brackets around"),
        ("ws://::1]/", "colon too many"),
        ("ws://[::1]80/", "brackets around"),
        ("ws://a[::1]/", "brackets around"),
        ("ws://[[::1]]/", "brackets around"),
        ("ws://[]/", "no IPv6 address"),
        ("ws://[:::1]/", "no IPv6 address"),
        ("ws://[127.0.0.1]/", "no IPv6 address"),
        ("ws://[v1.future]/", "no IPv6 address"),
        ("ws://[fe80::1%25eth0]/", "zone identifier"),
        # IDNA.
        ("ws://faß.de/", "xn-- form"),
        ("ws://βόλος.com/", "xn-- form"),
        ("ws://a\u200db.example/", "xn-- form"),
        ("ws://xn--bücher.example/", "encoded by IDNA"),
        ("ws://bücher..example/", "encoded by IDNA"),
        (f"ws://{'ü' * 64}.example/", "encoded by IDNA"),
        (f"ws://{'ü.' * 100_000}example/", "encoded by IDNA"),
        ("ws://א1a.example/", "encoded by IDNA"),
        # Characters that NFKC makes others of: "a/c", "::=", "?", "@".
        ("ws://evil.example\u2100.example.com/", "not a name"),
        ("ws://evil.example\u2a7480/", "not a name"),
        ("ws://evil.example\uff1f.example.com/", "not a name"),
        ("ws://evil\uff20example.com/", "not a name"),
        # User and password.
        ("ws://a@b@host/", "written %40"),
        ("ws://user:secret@evil.example@host/", "written %40"),
        ("ws://us%3Aer:secret@host/", "user with a colon"),
        ("ws://user:secr%0D%0Aet@host/", "without control characters"),
        ("ws://user:secr%7Fet@host/", "without control characters"),
        ("ws://user:secr%FFet@host/", "must be UTF-8"),
        ("ws://user%FF@host/", "must be UTF-8"),
    ],
)
def test_url_that_is_not_plainly_one_is_refused(url: str, problem: str) -> None:
    """The exception says what is wrong."""
    with pytest.raises(InvalidURL, match=re.escape(problem)) as caught:
        parse_url(url)
    assert problem in caught.value.problem


@pytest.mark.parametrize("url", [None, b"ws://host/", 7, ["ws://host/"]])
def test_url_of_another_type_is_refused(url: object) -> None:
    """F17: what is no str is a TypeError that names the type."""
    with pytest.raises(TypeError, match=f"must be a str, not {type(url).__name__}"):
        parse_url(url)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


# The password


@pytest.mark.parametrize(
    "url",
    [
        "http://user:secret@host/",
        "user:secret@host/",
        "ws://user:secret@host:0/",
        "ws://user:secret@host:port/",
        "ws://user:secret@/",
        "ws://user:secret@[::1/",
        "ws://user:secret@[bad]/",
        "ws://user:secret@host/#",
        "ws://user:secret@ho st/",
        "ws://user:secret@xn--ü/",
        "ws://user:secret@faß.de/",
        "ws://user:secret@127.1/",
        "ws://us:er:secret\\@host/",
        "ws://user:secret%@host/",
        "ws://user:secret%FF@host/",
        "ws://us%3Aer:secret@host/",
        "ws://user:secret@other@host/",
        "ws://user:secret/@host/",
        "ws://user:secret?@host/",
        "ws://user:secret#@host/",
        "ws://user:secret%40host/",
    ],
)
def test_invalid_url_never_shows_the_password(url: str) -> None:
    """Neither text, attributes, causes nor a traceback with contexts have it."""
    with pytest.raises(InvalidURL) as caught:
        parse_url(url)
    exc = caught.value
    assert exc.__cause__ is None
    assert exc.__context__ is None
    shown = "".join(traceback.format_exception_only(exc))
    assert "secret" not in f"{shown}{exc!r}{exc.args}{vars(exc)}"


def test_url_shows_no_password_in_its_text_forms() -> None:
    """A URL may be logged."""
    url = parse_url("wss://user:secret@host:8443/a?b")
    assert str(url) == "wss://host:8443/a?b"
    assert repr(url) == ("WebSocketURL(secure=True, host='host', port=8443, target='/a?b')")


# All of them


def test_url_is_a_value() -> None:
    """It is immutable, hashable, and survives copying and pickling."""
    url = parse_url("ws://user:secret@host/")
    assert {url: 1}[parse_url("ws://user:secret@host/")] == 1
    assert copy.deepcopy(url) == pickle.loads(pickle.dumps(url)) == url
    assert url != parse_url("ws://user:other@host/")
    with pytest.raises(dataclasses.FrozenInstanceError):
        url.port = 1  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]


# Strings that are nearly URLs, so that not all of them fail at the first letter.
PIECES = [
    *("ws://", "wss://", "http://", "host", "example.com", "[::1]", "127.0.0.1", "xn--", ":80"),
    *(":", "/", "?", "#", "@", "%", "%41", "%0d%0a", "\\", "[", "]", ".", "-", "_", " ", "\r\n"),
    *("user:secret@", "1", "0x1", "é", "bücher", "ß", "\u3002", "\uff0e", "\u2100", "\u202e"),
    *("\ud800", "\x00"),
]
NEARLY_URLS = st.tuples(
    st.sampled_from(["ws://", "wss://", ""]),
    st.lists(st.sampled_from(PIECES) | st.text(max_size=3), max_size=8).map("".join),
).map("".join)


@settings(deadline=None)
@given(text=st.text() | NEARLY_URLS)
@example("ws://user:secret@[::ffff:1.2.3.4]:80/%41?é")
def test_any_text_is_refused_or_parses_to_the_same_again(text: str) -> None:
    """H10: no text makes another exception, or fields that would be read differently elsewhere."""
    try:
        url = parse_url(text)
    except InvalidURL as exc:
        assert str(exc).isprintable()  # noqa: PT017 - either way is right
        return
    assert parse_url(str(url)) == dataclasses.replace(url, authorization=None)
    # The request line and the headers that it makes are lines of printable ASCII without a space.
    assert re.fullmatch(r"/[!-~]*", url.target)
    assert re.fullmatch(r"[!-~]+", url.host_header)
    assert 1 <= url.port <= 65535
    # A server of ours understands the Host header as the client meant it.
    default = 443 if url.secure else 80
    port = None if url.port == default else url.port
    assert parse_authority(url.host_header) == (url.host, port)


@settings(deadline=None)
@given(user=st.text(), password=st.text())
def test_any_user_and_password_are_sent_or_refused(user: str, password: str) -> None:
    """H10: percent-encoded as they should be, they arrive as they were or are refused."""
    try:
        userinfo = "".join(f"%{byte:02X}" for byte in user.encode())
        userinfo += ":" + "".join(f"%{byte:02X}" for byte in password.encode())
    except UnicodeEncodeError:
        return
    try:
        url = parse_url(f"ws://{userinfo}@host/")
    except InvalidURL:
        assert ":" in user or re.search(r"[\x00-\x1f\x7f]", user + password)
    else:
        assert url.authorization == basic(f"{user}:{password}")


# Proxies


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://proxy.example", "http://proxy.example:80"),
        ("HTTP://Proxy.Example:3128/", "http://proxy.example:3128"),
        ("https://proxy.example", "https://proxy.example:443"),
        ("socks5://proxy.example", "socks5://proxy.example:1080"),
        ("socks5h://[0::1]:9050", "socks5h://[::1]:9050"),
        ("socks4://127.0.0.1", "socks4://127.0.0.1:1080"),
        ("socks4a://localhost:", "socks4a://localhost:1080"),
        ("http://user:secret@proxy.example:3128", "http://proxy.example:3128"),
    ],
)
def test_proxy_as_text_is_its_url_without_credentials(url: str, expected: str) -> None:
    """Its port is always there, for the defaults differ from program to program."""
    proxy = parse_proxy_url(url)
    assert str(proxy) == expected
    assert "secret" not in repr(proxy)


@pytest.mark.parametrize(
    ("url", "user", "password"),
    [
        ("http://proxy.example", None, None),
        ("http://@proxy.example", None, None),
        ("http://user@proxy.example", "user", ""),
        ("http://user:@proxy.example", "user", ""),
        ("http://:secret@proxy.example", "", "secret"),
        ("http://us%40er:se%3Acr%2Fet@proxy.example", "us@er", "se:cr/et"),
        ("http://%C3%A9:%C3%A8@proxy.example", "é", "è"),
        ("socks5://user:secret@proxy.example", "user", "secret"),
        (f"socks5://{'u' * 255}:{'p' * 255}@proxy.example", "u" * 255, "p" * 255),
        ("socks4://user@proxy.example", "user", ""),
    ],
)
def test_proxy_has_credentials(url: str, user: str | None, password: str | None) -> None:
    """Decoded, for SOCKS sends them as they are."""
    proxy = parse_proxy_url(url)
    assert (proxy.user, proxy.password) == (user, password)


@pytest.mark.parametrize(
    ("url", "authorization"),
    [
        ("http://proxy.example", None),
        ("http://user@proxy.example", "Basic dXNlcjo="),
        ("https://Aladdin:open%20sesame@proxy.example", "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="),
    ],
)
def test_proxy_has_an_authorization(url: str, authorization: str | None) -> None:
    """The example is that of RFC 7617 section 2."""
    assert parse_proxy_url(url).authorization == authorization


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("", "begins with one of"),
        ("proxy.example:3128", "begins with one of"),
        ("ws://proxy.example", "begins with one of"),
        ("socks://proxy.example", "begins with one of"),
        ("http:proxy.example", "begins with one of"),
        ("http://", "no host"),
        ("http://:3128", "no host"),
        ("http://proxy.example/path", "ends with its port"),
        ("http://proxy.example?query", "ends with its port"),
        ("http://proxy.example/?query", "ends with its port"),
        ("http://proxy.example:0", "from 1 to 65535"),
        ("http://proxy.example:x", "from 1 to 65535"),
        ("http://proxy example", "a space in it"),
        ("http://user:sec#ret@proxy.example", "#"),
        ("http://user:sec/ret@proxy.example", "ends with its port"),
        ("http://user:sec@ret@proxy.example", "written %40"),
        ("http://user:%00secret@proxy.example", "without control characters"),
        ("http://user:secret%FF@proxy.example", "must be UTF-8"),
        ("socks5://user@proxy.example", "1 to 255 bytes"),
        ("socks5h://:secret@proxy.example", "1 to 255 bytes"),
        (f"socks5://user:{'secret' * 50}@proxy.example", "1 to 255 bytes"),
        ("socks4://user:secret@proxy.example", "no password"),
        ("socks4a://us%C3%A9r@proxy.example", "in ASCII"),
    ],
)
def test_proxy_that_is_none_is_refused(url: str, problem: str) -> None:
    """Before anything is connected to, and without its password."""
    with pytest.raises(InvalidURL, match=problem) as caught:
        parse_proxy_url(url)
    assert "secret" not in f"{caught.value!r}{caught.value.url}"


def test_proxy_that_is_no_text_is_refused() -> None:
    """It is a mistake of another kind."""
    with pytest.raises(TypeError, match="must be a str"):
        parse_proxy_url(None)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
