"""Basic and Bearer authentication: who is let in, who is not, and what a handler knows of it."""

import base64
from collections.abc import Callable
from typing import Any
from unittest import mock

import pytest

from tests.servers import serve_memory
from trio_ws import (
    Accept,
    ConnectionRejected,
    Headers,
    Request,
    Response,
    WebSocket,
    basic_auth,
    bearer_auth,
    wrap_client_stream,
)
from trio_ws._authentication import Decide


def basic(text: str, *, encoding: str = "utf-8") -> str:
    """Return an Authorization header with these credentials."""
    return "Basic " + base64.b64encode(text.encode(encoding)).decode()


async def decision(decide: Decide, *authorization: str) -> Accept | Response:
    """Return what is decided about a request with these Authorization headers."""
    headers = [("Host", "localhost"), *(("Authorization", value) for value in authorization)]
    return await decide(Request("GET", "/", Headers(headers)))


USERS = {"Aladdin": "open sesame", "Jürgen": "pass:wört", "empty": ""}


@pytest.mark.parametrize(
    ("authorization", "user"),
    [
        # The example of RFC 7617 section 2.
        ("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==", "Aladdin"),
        ("basic   QWxhZGRpbjpvcGVuIHNlc2FtZQ==", "Aladdin"),
        (basic("Jürgen:pass:wört"), "Jürgen"),
        (basic("empty:"), "empty"),
        (basic("Aladdin:open sesam"), None),
        (basic("Aladdin:"), None),
        (basic("nobody:"), None),
        (basic("nobody:open sesame"), None),
        (basic("Aladdin"), None),
        (basic("Jürgen:pass:wört", encoding="latin-1"), None),
        ("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ", None),
        ("Basic !", None),
        ("Basic", None),
        ("Bearer QWxhZGRpbjpvcGVuIHNlc2FtZQ==", None),
    ],
)
async def test_basic_auth_goes_by_name_and_password(authorization: str, user: str | None) -> None:
    """Who names a user and the password is let in, as that user; nobody else is."""
    decided = await decision(basic_auth(USERS), authorization)
    if user is not None:
        assert isinstance(decided, Accept)
        assert decided.context == user
    else:
        assert isinstance(decided, Response)
        assert decided.status == 401
        assert decided.headers["WWW-Authenticate"] == 'Basic realm="WebSocket", charset="UTF-8"'


@pytest.mark.parametrize(
    ("authorization", "context"),
    [
        ("Bearer s3cret", {"id": 7}),
        ("bearer s3cret", {"id": 7}),
        ("Bearer other", "second"),
        ("Bearer s3cre", None),
        ("Bearer", None),
        ("Bearer b\xe9", None),
        ("Basic s3cret", None),
    ],
)
async def test_bearer_auth_goes_by_the_token(authorization: str, context: object) -> None:
    """Who brings a token is let in, with what belongs to it; nobody else is."""
    decide = bearer_auth({"s3cret": {"id": 7}, "other": "second"}, realm="the club")
    decided = await decision(decide, authorization)
    if context is not None:
        assert isinstance(decided, Accept)
        assert decided.context == context
    else:
        assert isinstance(decided, Response)
        assert decided.status == 401
        assert decided.headers["WWW-Authenticate"] == 'Bearer realm="the club"'


@pytest.mark.parametrize("decide", [basic_auth(USERS), bearer_auth({"s3cret": 1})])
async def test_no_credentials_or_two_are_refused(decide: Decide) -> None:
    """Without an Authorization header, or with several, nobody is let in."""
    assert isinstance(await decision(decide), Response)
    twice = ("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==", "Bearer s3cret")
    assert isinstance(await decision(decide, *twice), Response)


@pytest.mark.parametrize("answer", [None, False])
async def test_function_may_refuse(answer: object) -> None:
    """A function refuses with ``None`` or ``False``, whatever it takes for an answer else."""

    def check(*_: str) -> object:
        return answer

    assert isinstance(await decision(basic_auth(check), basic("a:b")), Response)
    assert isinstance(await decision(bearer_auth(check), "Bearer a"), Response)


async def test_function_may_be_async() -> None:
    """What looks users up elsewhere may wait, and says what the handler shall find."""

    async def find(user: str, password: str) -> object:
        return {"user": user, "length": len(password)}

    async def holder(token: str) -> object:
        return token.upper()

    decided = await decision(basic_auth(find), basic("me:1234"))
    assert isinstance(decided, Accept)
    assert decided.context == {"user": "me", "length": 4}
    decided = await decision(bearer_auth(holder), "Bearer abc")
    assert isinstance(decided, Accept)
    assert decided.context == "ABC"


@pytest.mark.parametrize("make", [basic_auth, bearer_auth])
@pytest.mark.parametrize("secret", ["s3cret", ["s3cret"], {"s3cret"}, None])
def test_what_is_no_mapping_is_refused(make: Callable[[Any], object], secret: object) -> None:
    """At once, and not by each request; and without telling the secret."""
    with pytest.raises(TypeError, match="must be a mapping or a function, not a ") as caught:
        make(secret)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("realm", ['a"b', "a\\b", "a\r\nb", "caf\xe9"])
def test_realm_that_cannot_be_quoted_is_refused(realm: str) -> None:
    """A realm that would end its quotes, or its header, is an error of the program."""
    with pytest.raises(ValueError, match="realm must be printable ASCII"):
        basic_auth({}, realm=realm)
    with pytest.raises(ValueError, match="realm must be printable ASCII"):
        bearer_auth({}, realm=realm)


@pytest.mark.parametrize(
    ("decide", "authorization"),
    [
        (basic_auth({"a": "secret"}), basic("a:secret")),
        (basic_auth({"a": "secret"}), basic("nobody:secret")),
        (bearer_auth({"secret": "a"}), "Bearer secret"),
    ],
)
async def test_secrets_are_compared_in_constant_time(decide: Decide, authorization: str) -> None:
    """`hmac.compare_digest` alone decides, and is asked also where no user is of that name."""
    with mock.patch("hmac.compare_digest", return_value=False) as compare:
        assert isinstance(await decision(decide, authorization), Response)
    assert compare.call_count == 1


async def test_handler_finds_the_user() -> None:
    """Over a connection: the right password opens it, the wrong one is answered 401."""

    async def tell(ws: WebSocket) -> None:
        await ws.send(str(ws.context))

    async with serve_memory(tell, process_request=basic_auth(USERS)) as server:
        stream, url = await server.connect(), "ws://localhost/"
        credentials = {"Authorization": basic("Aladdin:open sesame")}
        async with wrap_client_stream(stream, url, headers=credentials) as ws:
            assert await ws.receive() == "Aladdin"
        with pytest.raises(ConnectionRejected, match="401"):
            async with wrap_client_stream(await server.connect(), url):
                pass
