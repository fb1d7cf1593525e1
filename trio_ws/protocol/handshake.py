"""The opening handshake of RFC 6455 section 4, sans-I/O: one class for each role.

Nothing but the public names: what the roles do is in ``_server_handshake`` and
``_client_handshake``, what they share in ``_upgrade``, the HTTP of both in ``_exchange``.
"""

from trio_ws.protocol._client_handshake import ClientHandshake
from trio_ws.protocol._server_handshake import Accept, ServerHandshake
from trio_ws.protocol._upgrade import checked_subprotocols

__all__ = ["Accept", "ClientHandshake", "ServerHandshake", "checked_subprotocols"]
