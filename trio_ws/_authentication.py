"""Who may connect: answers for ``process_request`` by HTTP's Basic and Bearer authentication.

Lives here: reading the Authorization header and comparing secrets.  What a user or the holder of a
token may do is the application's business; it finds who it is in ``ws.context``.

Invariant: how long a comparison takes does not tell how much of a secret was right.
"""

from __future__ import annotations

import base64
import hmac
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeAlias, TypeVar

from trio_ws._awaiting import awaited
from trio_ws.protocol.handshake import Accept
from trio_ws.protocol.http import Request, Response

Decide: TypeAlias = Callable[[Request], Awaitable[Accept | Response]]
PasswordCheck: TypeAlias = Callable[[str, str], object]
TokenCheck: TypeAlias = Callable[[str], object]

_T = TypeVar("_T")


def basic_auth(users: Mapping[str, str] | PasswordCheck, *, realm: str = "WebSocket") -> Decide:
    """Return a ``process_request`` that lets in who knows a password (RFC 7617).

    Everybody else is answered 401.  Passwords go over the network as they are: use TLS.

    Args:
        users: passwords by user, and ``ws.context`` is the user then; or a function of user and
            password, sync or async, that returns what ``ws.context`` shall be, ``None`` or
            ``False`` to refuse.
        realm: what a browser shows when it asks for the password.

    Raises:
        TypeError: ``users`` is neither.
        ValueError: the realm cannot be sent.
    """
    check = users if callable(users) else _password_check(_checked_mapping("users", users))

    async def identify(request: Request) -> object:
        user, colon, password = _decoded(_credentials(request, "basic")).partition(":")
        return await awaited(check(user, password)) if colon else None

    return _decider(identify, f'Basic realm="{_checked_realm(realm)}", charset="UTF-8"')


def bearer_auth(tokens: Mapping[str, object] | TokenCheck, *, realm: str = "WebSocket") -> Decide:
    """Return a ``process_request`` that lets in who brings a token (RFC 6750 section 2.1).

    Everybody else is answered 401.  A page in a browser cannot set the Authorization header of a
    WebSocket: it needs a cookie, or a first message that says who it is.

    Args:
        tokens: what ``ws.context`` shall be, by token; or a function of the token, sync or async,
            that returns it, ``None`` or ``False`` to refuse.
        realm: names what is protected.

    Raises:
        TypeError: ``tokens`` is neither.
        ValueError: the realm cannot be sent.
    """
    check = tokens if callable(tokens) else _token_check(_checked_mapping("tokens", tokens))

    async def identify(request: Request) -> object:
        token = _credentials(request, "bearer")
        return await awaited(check(token)) if token else None

    return _decider(identify, f'Bearer realm="{_checked_realm(realm)}"')


def _decider(identify: Callable[[Request], Awaitable[object]], challenge: str) -> Decide:
    refusal = Response(401, {"WWW-Authenticate": challenge}, "who are you?")

    async def decide(request: Request) -> Accept | Response:
        context = await identify(request)
        return refusal if context is None or context is False else Accept(context=context)

    return decide


def _checked_mapping(name: str, value: Mapping[str, _T]) -> Mapping[str, _T]:
    if not isinstance(value, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance]
        # Not what it is: it may be a secret.
        raise TypeError(f"{name} must be a mapping or a function, not a {type(value).__name__}")
    return value


def _password_check(users: Mapping[str, str]) -> PasswordCheck:
    def check(user: str, password: str) -> str | None:
        # Compared for unknown users as well, or the time would tell which there are.
        same = hmac.compare_digest(users.get(user, "").encode(), password.encode())
        return user if same and user in users else None

    return check


def _token_check(tokens: Mapping[str, object]) -> TokenCheck:
    def check(given: str) -> object:
        found: object = None
        for token, context in tokens.items():  # to the end, whichever it is
            if hmac.compare_digest(token.encode(), given.encode()):
                found = context
        return found

    return check


def _credentials(request: Request, scheme: str) -> str:
    """Return what follows the scheme in the Authorization header, "" when there is not one such."""
    values = request.headers.get_all("Authorization")
    if len(values) != 1:
        return ""
    # "case-insensitive token [...] 1*SP" (RFC 9110 section 11.4)
    name, _, credentials = values[0].partition(" ")
    return credentials.lstrip(" ") if name.lower() == scheme else ""


def _decoded(credentials: str) -> str:
    try:
        return base64.b64decode(credentials, validate=True).decode()
    except ValueError:  # no base64, or no UTF-8
        return ""


def _checked_realm(realm: str) -> str:
    # RFC 9110 section 5.6.4: quoted-string, of what needs no escape.
    if not realm.isascii() or not realm.isprintable() or '"' in realm or "\\" in realm:
        raise ValueError(f"the realm must be printable ASCII without quotes, not {realm!r:.100}")
    return realm
