"""The options of the commands that connect, and the connection that they make."""

from __future__ import annotations

import argparse
import ssl
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager

from trio_ws import (
    FROM_ENVIRONMENT,
    ClientOptions,
    Limits,
    Timeouts,
    WebSocket,
    WebSocketError,
    open_websocket_unix,
    open_websocket_url,
)
from trio_ws.cli._failures import UNUSABLE, Failure, file_failure, opening_failure
from trio_ws.cli._numbers import positive_integer, positive_seconds
from trio_ws.cli._parsing import Group

ENVIRONMENT = "env"

# A hundred times what the library has by default: here nobody else is to be protected.
_MAX_SIZE = 100 * 1024 * 1024


def add_client_arguments(parser: argparse.ArgumentParser) -> None:
    """Enter the options that say to what to connect, and how."""
    parser.add_argument("url", metavar="URL", nargs="?", help="ws://... or wss://...")
    request = parser.add_argument_group("the request")
    request.add_argument(
        "-H",
        "--header",
        dest="headers",
        metavar="'NAME: VALUE'",
        type=_header,
        action="append",
        default=[],
        help="a further header field; may be given several times",
    )
    request.add_argument(
        "--subprotocol",
        dest="subprotocols",
        metavar="NAME",
        action="append",
        default=[],
        help="offer a subprotocol; may be given several times, the preferred one first",
    )
    request.add_argument("--origin", help="the page on whose behalf this is: https://example.com")
    request.add_argument(
        "--compress", action="store_true", help="offer to compress messages (permessage-deflate)"
    )
    _add_network_arguments(parser.add_argument_group("the network"))


def _add_network_arguments(network: Group) -> None:
    trust = network.add_mutually_exclusive_group()
    trust.add_argument("--ca", metavar="FILE", help="trust the authorities in this PEM file alone")
    trust.add_argument(
        "--insecure", action="store_true", help="accept any certificate, so that anybody may listen"
    )
    network.add_argument(
        "--proxy",
        metavar="URL",
        help=f"go through a proxy (http, https, socks5h, ...); {ENVIRONMENT!r} takes it from"
        " HTTPS_PROXY and its kin",
    )
    network.add_argument(
        "--unix", metavar="PATH", help="connect to this Unix socket; the URL is only asked for"
    )
    network.add_argument(
        "--timeout",
        metavar="SECONDS",
        type=positive_seconds,
        default=Timeouts().open,
        help="for opening the connection, %(default)g by default",
    )
    network.add_argument(
        "--max-size",
        metavar="BYTES",
        type=positive_integer,
        default=_MAX_SIZE,
        help="the largest message to receive, 100 MiB by default",
    )


class Target:
    """To what to connect, and how, from the arguments.

    Raises:
        Failure: they do not go together.
    """

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.unix: str | None = arguments.unix
        if arguments.url is None and self.unix is None:
            raise Failure("what is to be connected to? Give a URL: ws://localhost:8765/", UNUSABLE)
        self.url: str = arguments.url or "ws://localhost/"
        self.timeout: float = arguments.timeout
        self._proxy: str | None = arguments.proxy
        trust = arguments.insecure or arguments.ca is not None
        if trust and not self.url.lower().startswith("wss:"):
            raise Failure("--ca and --insecure go with a wss:// URL", UNUSABLE)
        if self.unix is not None and self._proxy is not None:
            raise Failure("no proxy leads to a Unix socket: give --unix or --proxy", UNUSABLE)
        self._ssl_context = _ssl_context(arguments)
        self._options = ClientOptions(
            headers=arguments.headers,
            subprotocols=arguments.subprotocols,
            origin=arguments.origin,
            compression="deflate" if arguments.compress else None,
            limits=Limits(max_message_size=arguments.max_size),
            timeouts=Timeouts(open=arguments.timeout),
        )

    def __str__(self) -> str:
        return self.unix or self.url

    @asynccontextmanager
    async def open(self) -> AsyncGenerator[WebSocket, None]:
        """Connect; leaving the block closes with 1000, on cancellation with 1001.

        Raises:
            Failure: the connection could not be opened.
        """
        async with AsyncExitStack() as stack:
            try:
                websocket = await stack.enter_async_context(self._opening())
            except (WebSocketError, OSError, ValueError, ImportError) as error:
                raise opening_failure(error, str(self)) from error
            yield websocket

    def _opening(self) -> AbstractAsyncContextManager[WebSocket]:
        if self.unix is not None:
            return open_websocket_unix(self.unix, self.url, **self._options)
        proxy = FROM_ENVIRONMENT if self._proxy == ENVIRONMENT else self._proxy
        return open_websocket_url(self.url, self._ssl_context, proxy=proxy, **self._options)


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon:
        raise argparse.ArgumentTypeError(f"{text!r} has no colon; write 'Name: value'")
    return name, value.strip()


def _ssl_context(arguments: argparse.Namespace) -> ssl.SSLContext | None:
    if arguments.insecure:
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context
    if arguments.ca is None:
        return None
    try:
        return ssl.create_default_context(cafile=arguments.ca)
    except OSError as error:
        raise file_failure(error, arguments.ca, "certificate") from error
