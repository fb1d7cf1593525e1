"""The protocol alone: a client over a plain blocking socket, without Trio.

    python sans_io_client.py [URL]

Run hello_server.py first.  ``trio_ws.protocol`` does no I/O: bytes that were read go in, events
and bytes to be written come out.  Nothing that a server sends makes it raise; at worst it closes.
"""

import socket
import sys
from collections.abc import Iterator

from trio_ws import Close
from trio_ws.protocol import ClientHandshake, Event, Protocol, Role, State, parse_url


def shake_hands(sock: socket.socket, handshake: ClientHandshake) -> None:
    """Ask for a WebSocket and wait for the answer."""
    sock.sendall(handshake.data_to_send())
    while handshake.state is State.CONNECTING:
        handshake.receive_data(sock.recv(65536) or None)  # None is the end of the stream
    if handshake.error is not None:
        raise handshake.error


def receive(sock: socket.socket, protocol: Protocol, data: bytes | None) -> Iterator[Event]:
    """Yield all that comes, beginning with data read before, until the connection is closed."""
    while True:
        events = protocol.receive_data(data)
        sock.sendall(protocol.data_to_send())  # pongs, and the answer to a Close
        yield from events
        if protocol.state is State.CLOSED:
            return
        data = sock.recv(65536) or None


def main() -> None:
    """Say a name, print the greeting, close."""
    url = parse_url(sys.argv[1] if len(sys.argv) > 1 else "ws://localhost:8765/")
    with socket.create_connection((url.host, url.port), timeout=10) as sock:
        handshake = ClientHandshake(url)
        shake_hands(sock, handshake)
        protocol = Protocol(Role.CLIENT)
        sock.sendall(protocol.send("Ada"))
        # The server's first frames may have come along with its answer to the handshake.
        for event in receive(sock, protocol, handshake.trailing_data):
            if isinstance(event, str):
                print(f"received {event!r}")
                sock.sendall(protocol.close())  # nothing, if the server has closed already
            elif isinstance(event, Close):
                print(f"closed: {event}")


if __name__ == "__main__":
    main()
