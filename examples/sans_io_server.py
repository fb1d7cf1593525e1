"""The protocol alone: an echo server of blocking sockets and threads, without Trio.

    python sans_io_server.py [PORT]

Each connection is a thread.  What is bounded here is what a peer may send; how long it may take
is for the transport to say, here by the timeout of the socket.
"""

import socketserver
import sys

from trio_ws.protocol import Protocol, Role, ServerHandshake, State


class Connection(socketserver.BaseRequestHandler):
    """One connection, from the first byte to the last."""

    timeout = 60  # seconds of silence

    def read(self) -> bytes | None:
        """Wait for bytes; ``None`` is the end of the stream."""
        return self.request.recv(65536) or None

    def handle(self) -> None:
        """Shake hands, then echo until the connection is closed."""
        self.request.settimeout(self.timeout)
        handshake = ServerHandshake()
        while not (handshake.request or handshake.refusal or handshake.state is State.CLOSED):
            handshake.receive_data(self.read())
        if handshake.refusal is not None:
            self.request.sendall(handshake.reject(handshake.refusal))
        elif handshake.request is not None:  # or else the client hung up without a word
            self.request.sendall(handshake.accept())
            self.echo(Protocol(Role.SERVER), handshake.trailing_data)

    def echo(self, protocol: Protocol, data: bytes | None) -> None:
        """Send back each message, beginning with data that came behind the handshake."""
        while True:
            for event in protocol.receive_data(data):
                if isinstance(event, str | bytes) and protocol.state is State.OPEN:
                    self.request.sendall(protocol.send(event))
            self.request.sendall(protocol.data_to_send())  # pongs, and the answer to a Close
            if protocol.state is State.CLOSED:
                return
            data = self.read()


def main() -> None:
    """Serve until Ctrl-C."""
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8765
    with socketserver.ThreadingTCPServer(("127.0.0.1", port), Connection) as server:
        print(f"serving on ws://127.0.0.1:{server.server_address[1]}/")
        server.serve_forever()


if __name__ == "__main__":
    main()
