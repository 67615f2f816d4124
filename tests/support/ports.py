"""Ports for what tests start."""

import socket
from secrets import choice

# Below those that a system hands to outgoing connections: one that is free now is not taken by a
# client of another test before the server that is to have it listens.
PORTS = range(15_000, 32_000)


def free_port() -> int:
    """Return a port of this machine that nothing listens on."""
    while True:
        port = choice(PORTS)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
