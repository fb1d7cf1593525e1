"""Origin policies: which pages may connect, to the letter."""

import re
from typing import Any

import pytest

from trio_ws.protocol.http import Headers, Request
from trio_ws.protocol.origins import (
    ANY_ORIGIN,
    SAME_ORIGIN,
    OriginPolicy,
    Origins,
    checked_origins,
    origin_allowed,
)


def request(origin: str | None, host: str = "a.example") -> Request:
    """Return a request of a page of this origin."""
    fields = [("Host", host)]
    if origin is not None:
        fields.append(("Origin", origin))
    return Request("GET", "/", Headers(fields))


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("a.example", None),
        ("a.example", "https://a.example"),
        ("a.example", "http://a.example"),
        ("a.example", "http://a.example:80"),
        ("a.example:443", "https://a.example"),
        ("a.example:80", "http://a.example"),
        ("a.example:8080", "http://a.example:8080"),
        ("a.example:8080", "https://a.example:8080"),
        ("A.Example", "HTTPS://a.exAMPLE"),
        ("a.example:", "http://a.example"),
        ("127.0.0.1:1", "http://127.0.0.1:1"),
        ("[::1]:1", "http://[0:0:0:0:0:0:0:1]:1"),
        ("xn--bcher-kva.example", "https://XN--bcher-kva.example"),
    ],
)
def test_same_origin_allows(host: str, origin: str | None) -> None:
    """The page's host and port are the Host header's, or no browser is involved."""
    assert origin_allowed(request(origin, host), SAME_ORIGIN)


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("a.example", "null"),
        ("a.example", ""),
        ("a.example", "a.example"),
        ("a.example", "https://b.example"),
        ("a.example", "https://a.example.b.example"),
        ("a.example", "https://evil-a.example"),
        ("a.example", "https://b.a.example"),
        ("a.example", "https://example"),
        ("a.example", "https://a.example:8443"),
        ("a.example", "https://a.example:80"),
        ("a.example:443", "http://a.example"),
        ("a.example:80", "https://a.example"),
        ("a.example:8080", "http://a.example"),
        ("a.example", "https://a.example/"),
        ("a.example", "https://user@a.example"),
        ("a.example", "https://a.example, https://a.example"),
        ("a.example", "https://a.example https://b.example"),
        ("a.example", "chrome-extension://a.example"),
        ("a.example", "//a.example"),
        ("a.example", "https://a.example:x"),
        ("a.example", "https://\xe4.example"),
        ("b\xfccher.example", "https://xn--bcher-kva.example"),
        ("", "https://"),
    ],
)
def test_same_origin_refuses(host: str, origin: str) -> None:
    """All that is not plainly the same is another origin."""
    assert not origin_allowed(request(origin, host), SAME_ORIGIN)


@pytest.mark.parametrize("origin", [None, "null", "https://b.example", "\xff"])
def test_any_origin_allows_everything(origin: str | None) -> None:
    """Nobody is asked."""
    assert origin_allowed(request(origin), ANY_ORIGIN)


LIST: Origins = [
    "https://A.example",
    "http://b.example:8080",
    "https://c.example:443",
    "moz-extension://0-1",
    "null",
    re.compile(r"https://[a-z]+\.d\.example"),
]


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        ("https://a.example", True),
        ("HTTPS://a.EXAMPLE", True),
        ("https://a.example:443", True),
        ("http://b.example:8080", True),
        ("https://c.example", True),
        ("moz-extension://0-1", True),
        ("null", True),
        ("https://x.d.example", True),
        ("http://a.example", False),
        ("https://a.example:80", False),
        ("http://b.example", False),
        ("moz-extension://0-2", False),
        ("moz-extension://0-1:443", False),
        ("NULL", False),
        ("", False),
        ("https://x.d.example.evil.example", False),
        ("https://X.d.example", False),
        ("https://x.d.example\xff", False),
        ("https://x.y.d.example", False),
        (None, False),
    ],
)
def test_listed_origins(origin: str | None, *, allowed: bool) -> None:
    """Strings compare without case, a default port is none, and patterns match all of it."""
    assert origin_allowed(request(origin), LIST) is allowed
    assert origin_allowed(request(origin), checked_origins(LIST)) is allowed


def test_listed_none_is_a_request_without_origin() -> None:
    """Programs other than browsers are listed as ``None``."""
    assert origin_allowed(request(None), [None])
    assert not origin_allowed(request("https://a.example"), [None])
    assert not origin_allowed(request(None), [])
    assert checked_origins([None]) == (None,)


def test_listed_string_that_is_no_origin_matches_nothing() -> None:
    """Not even what a peer makes of the same characters."""
    assert not origin_allowed(request("https://a.example/"), ["https://a.example/"])


@pytest.mark.parametrize("policy", list(OriginPolicy))
def test_policies_are_checked_origins(policy: OriginPolicy) -> None:
    """A policy is what it is."""
    assert checked_origins(policy) is policy


@pytest.mark.parametrize(
    "origin",
    [
        "a.example",
        "https://a.example/",
        "https://a.example/path",
        "https://*.example",
        "https://b\xfccher.example",
        "*",
        "",
        "https://",
    ],
)
def test_origin_that_no_browser_sends_is_refused(origin: str) -> None:
    """What could never match is a mistake, told where it is made."""
    with pytest.raises(ValueError, match="none that a browser sends"):
        checked_origins([origin])


@pytest.mark.parametrize("origins", ["https://a.example", [b"https://a"], [1], [re.compile(b"a")]])
def test_origins_of_other_types_are_refused(origins: Any) -> None:
    """Above all one string, which is a sequence of characters."""
    with pytest.raises(TypeError):
        checked_origins(origins)
