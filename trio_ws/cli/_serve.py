"""``trio-ws serve``: a server for trying things out, with an orderly end."""

from __future__ import annotations

import argparse
import logging
import signal
from collections.abc import AsyncIterator
from functools import partial

import trio

from trio_ws import ANY_ORIGIN, SAME_ORIGIN, Router, Server, ServerOptions, run_siblings
from trio_ws.cli._failures import UNUSABLE, Failure
from trio_ws.cli._handler import Handler, echo, load_handler
from trio_ws.cli._listening import Place, Port, UnixSocket
from trio_ws.cli._numbers import port, seconds
from trio_ws.cli._parsing import Group, Subparsers, add_command
from trio_ws.cli._server_tls import server_tls
from trio_ws.cli._signals import ending_signals, until_signal_of
from trio_ws.protocol.origins import Origins

_EXAMPLES = """\
Ctrl-C and SIGTERM close all connections with 1001 and wait for the handlers,
--grace seconds at most; a second one ends at once.

examples:
  trio-ws serve                            echo on ws://localhost:8765/
  trio-ws serve chat:handler --port 8000   handler() of chat.py, which is here
  trio-ws serve --tls-self-signed          wss, with a certificate made for it
"""


def add_to(commands: Subparsers) -> None:
    """Enter the command."""
    parser = add_command(commands, "serve", "serve an echo, or a handler of yours", run, _EXAMPLES)
    parser.add_argument(
        "handler",
        metavar="HANDLER",
        nargs="?",
        help="module:function, or module:router; echo by default",
    )
    parser.add_argument(
        "--origin",
        dest="origins",
        metavar="ORIGIN",
        action="append",
        help="let pages of this origin connect; may be given several times, '*' lets all;"
        " by default those that come from the same host and port",
    )
    parser.add_argument("--compress", action="store_true", help="compress messages if asked to")
    parser.add_argument(
        "--grace",
        metavar="SECONDS",
        type=seconds,
        default=10.0,
        help="for handlers to end when the server does, %(default)g by default",
    )
    parser.add_argument("-v", "--verbose", action="store_true", help="tell of connections")
    _add_place(parser.add_argument_group("where to listen"))
    _add_tls(parser.add_argument_group("TLS"))


def _add_place(group: Group) -> None:
    group.add_argument("--host", default="localhost", help="%(default)s by default")
    group.add_argument(
        "--port", type=port, default=8765, help="%(default)s by default, 0 takes a free one"
    )
    group.add_argument("--unix", metavar="PATH", help="listen on a Unix socket instead")


def _add_tls(group: Group) -> None:
    group.add_argument(
        "--tls-self-signed", action="store_true", help="serve wss with a certificate of the moment"
    )
    group.add_argument("--cert", metavar="FILE", help="serve wss with this certificate, in PEM")
    group.add_argument("--key", metavar="FILE", help="its private key, unless it is in that file")


async def run(arguments: argparse.Namespace) -> None:
    """Serve until a signal comes, then drain."""
    _check_tls(arguments)
    if arguments.verbose:
        logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    handler = echo if arguments.handler is None else load_handler(arguments.handler)
    options = ServerOptions(
        origins=_origins(arguments.origins),
        compression="deflate" if arguments.compress else None,
        process_request=handler.process_request if isinstance(handler, Router) else None,
    )
    with server_tls(arguments) as tls:
        place: Place = (
            Port(arguments.host, arguments.port, tls)
            if arguments.unix is None
            else UnixSocket(arguments.unix)
        )
        await _serve(place, handler, options, arguments.grace)


def _check_tls(arguments: argparse.Namespace) -> None:
    secure = arguments.tls_self_signed or arguments.cert is not None
    if arguments.key is not None and arguments.cert is None:
        raise Failure("--key goes with --cert", UNUSABLE)
    if arguments.tls_self_signed and arguments.cert is not None:
        raise Failure("the certificate is either --tls-self-signed or of --cert", UNUSABLE)
    if secure and arguments.unix is not None:
        raise Failure("a Unix socket is served without TLS", UNUSABLE)


def _origins(given: list[str] | None) -> Origins:
    if given is None:
        return SAME_ORIGIN
    # Programs have no page, and so no Origin: they may come as before.
    return ANY_ORIGIN if "*" in given else [*given, None]


async def _serve(place: Place, handler: Handler, options: ServerOptions, grace: float) -> None:
    """Serve until a signal comes, then drain until a second one does.

    Raises:
        Failure: the address cannot be listened on, or an option is none that can be served.
        Interrupted: there was a second signal.
    """
    started = _Started()

    async def serve() -> None:
        try:
            await place.serve(handler, options, task_status=started)
        except OSError as error:
            raise Failure(error.strerror or str(error)) from error
        except ValueError as error:  # an origin that is none, for one
            raise Failure(str(error), UNUSABLE) from error

    async def drain() -> None:
        server = await started.wait()
        _announce(*place.directions(server))
        await _drain(server, signals, grace)

    with ending_signals() as signals:
        await run_siblings(serve, drain)


class _Started(trio.TaskStatus[Server]):
    """Where a server says that it listens, to be waited for outside of a nursery."""

    def __init__(self) -> None:
        self._send, self._receive = trio.open_memory_channel[Server](1)

    def started(self, value: Server) -> None:
        """Note it."""
        self._send.send_nowait(value)

    async def wait(self) -> Server:
        """Wait until it listens."""
        return await self._receive.receive()


def _announce(address: str, arguments: str) -> None:
    print(f"serving on {address}", flush=True)
    print(f"to talk to it: trio-ws connect {arguments}", flush=True)


async def _drain(server: Server, signals: AsyncIterator[int], grace: float) -> None:
    name = signal.Signals(await anext(signals)).name
    count = len(server.connections)
    print(f"{name}: closing {count} connection{'s' * (count != 1)}", flush=True)
    await until_signal_of(partial(server.aclose, grace=grace), signals)
