"""PgBouncer in front of a test's PostgreSQL: each transaction may use another connection."""

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sqlalchemy import make_url

from tests.support.ports import free_port

SECONDS = 20


@contextmanager
def pooler(folder: Path, url: str, *settings: str) -> Iterator[str]:
    """Run PgBouncer in transaction mode with its defaults and these settings; yield its URL."""
    program = shutil.which("pgbouncer", path="/usr/sbin:/usr/bin:/usr/local/bin")
    assert program, "this test needs PgBouncer: apt-get install pgbouncer"
    server = make_url(url)
    host = server.query.get("host") or server.host
    port = free_port()
    folder.mkdir()
    folder.chmod(0o755)
    config = folder / "pgbouncer.ini"
    lines = [
        "[databases]",
        f"* = host={host} port={server.port or 5432}",
        "[pgbouncer]",
        "listen_addr = 127.0.0.1",
        f"listen_port = {port}",
        "unix_socket_dir =",
        "auth_type = any",
        "pool_mode = transaction",
        "default_pool_size = 4",
        *settings,
    ]
    if server.username:
        lines[1] += f" user={server.username}"
    config.write_text("\n".join(lines) + "\n")
    with (folder / "said.txt").open("wb") as said:
        # PgBouncer does not run as root, and needs access to the server's socket.
        # https://www.pgbouncer.org/usage.html
        process = subprocess.Popen(
            [program, "-u", Path(str(host)).owner(), str(config)], stdout=said, stderr=said, cwd="/"
        )
    try:
        until = time.monotonic() + SECONDS
        while time.monotonic() < until:
            with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            time.sleep(0.05)
        yield str(server.set(host="127.0.0.1", port=port, query={}).render_as_string(False))
    finally:
        process.terminate()
        process.wait()
