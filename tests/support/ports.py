"""Ports for servers of tests."""

import socket
from secrets import choice

# Below the range for outgoing connections: a free port here is not taken by a client of another
# test before the server listens on it.
PORTS = range(15_000, 32_000)


def free_port() -> int:
    """Return a free port of this machine."""
    while True:
        port = choice(PORTS)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
