"""What users hand to the functions that open and serve: refused before anything is done with it.

Each check says what is wrong with which argument, and what to write instead.  What only looks
unusual passes: streams and nurseries are known by what they can do.
"""

from __future__ import annotations

import ssl

import trio


def check_in_trio() -> None:
    """Refuse to go on outside of Trio, where its own functions fail with less clear words.

    Raises:
        RuntimeError: this is no task of Trio's.
    """
    if not trio.lowlevel.in_trio_task():
        raise RuntimeError(
            "trio_ws needs Trio, which does not run here: start the program by trio.run(main), not"
            " by asyncio.run(main())"
        )


def check_nursery(name: str, nursery: object, example: str) -> None:
    """Refuse what cannot start tasks.

    Args:
        name: the argument's.
        nursery: what was handed in.
        example: the call as it should be.

    Raises:
        TypeError: it is no nursery.
    """
    if not hasattr(nursery, "start_soon"):
        raise TypeError(f"{name} must be a trio.Nursery, not {nursery!r:.100}: write {example}")


def check_stream(stream: object) -> None:
    """Refuse what is no stream.

    Raises:
        TypeError: nothing can be sent to it, or received from it.
    """
    if not (hasattr(stream, "send_all") and hasattr(stream, "receive_some")):
        raise TypeError(
            f"the stream must be a trio.abc.Stream, not {stream!r:.100}: of a socket of Trio's,"
            " trio.SocketStream(socket) makes one"
        )


def check_ssl_context(name: str, context: object, *, server_side: bool) -> None:
    """Refuse what is no context for this side of TLS.

    Raises:
        TypeError: it is no `ssl.SSLContext`.
        ValueError: it is for the other side.
    """
    if context is None:
        return
    if server_side:
        recipe = "ssl.create_default_context(ssl.Purpose.CLIENT_AUTH), with load_cert_chain()"
        wrong, side = ssl.PROTOCOL_TLS_CLIENT, "clients, and this is a server"
    else:
        recipe = "ssl.create_default_context()"
        wrong, side = ssl.PROTOCOL_TLS_SERVER, "servers, and this is a client"
    if not isinstance(context, ssl.SSLContext):
        raise TypeError(f"{name} must be an ssl.SSLContext, not {context!r:.100}: write {recipe}")
    if context.protocol == wrong:
        raise ValueError(f"{name} is made for {side}: write {recipe}")


def check_port(port: object) -> None:
    """Refuse what is no TCP port to listen on.

    Raises:
        TypeError: it is no `int`.
        ValueError: there is no such port.
    """
    if not isinstance(port, int):
        raise TypeError(f"the port must be an int, not {port!r:.100}")
    if not 0 <= port <= 65535:  # getaddrinfo() would take the lower 16 bits
        raise ValueError(f"the port must be from 1 to 65535, or 0 for a free one, not {port}")
