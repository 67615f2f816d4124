"""Output and shutdown of the supervisor; tests/faults covers it with the real processes."""

import os
import pty
import re
import subprocess
import sys
from pathlib import Path

from tests.support.paths import ROOT

# It imports the module without its package, which would import the whole site, for seconds.
RUN = """
import json, sys
from pathlib import Path
import supervisor
supervisor.STOP_SECONDS = 0.2
sys.exit(supervisor.Supervisor(json.loads(sys.argv[1]), Path(sys.argv[2])).run())
"""
TIME = r"\d\d:\d\d:\d\d"


def run(commands: str, folder: Path, stdout: int = subprocess.PIPE) -> "subprocess.Popen[str]":
    words = [sys.executable, "-c", RUN, commands, str(folder)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "site" / "crossroads" / "ops")}
    return subprocess.Popen(words, env=environment, stdout=stdout, text=True)


def test_lines_have_time_and_name_and_first_exit_stops_all(tmp_path: Path) -> None:
    commands = '{"one": "printf \'caf\\\\303\\\\251\\\\nhalf\'; exit 3", "longname": "sleep 60"}'
    with run(commands, tmp_path) as process:
        lines = process.communicate(timeout=60)[0].splitlines()
    assert process.returncode == 3
    found = {re.sub(r"\d{2,}", "N", line[9:]) for line in lines}
    assert all(re.match(TIME, line) for line in lines)
    assert found == {
        "system   | one started (pid=N)",
        "system   | longname started (pid=N)",
        "one      | café",
        "one      | half",
        "system   | one stopped (rc=3)",
        "system   | sending SIGTERM to longname (pid N)",
        "system   | longname stopped (rc=-N)",
    }


def test_process_that_does_not_stop_is_killed_with_its_children(tmp_path: Path) -> None:
    stubborn = "trap '' TERM; sleep 60 & echo $! > child; touch ready; wait"
    commands = f'{{"stubborn": "{stubborn}", "short": "until [ -e ready ]; do sleep 0.1; done"}}'
    with run(commands, tmp_path) as process:
        said = process.communicate(timeout=60)[0]
    assert process.returncode == 1, "an end is a failure, even with code 0"
    assert "sending SIGKILL to stubborn" in said
    child = Path("/proc") / (tmp_path / "child").read_text().strip()
    assert not child.exists() or "State:\tZ" in (child / "status").read_text()


def test_names_are_colored_only_on_a_terminal(tmp_path: Path) -> None:
    terminal, end = pty.openpty()
    with run('{"one": "echo hello", "two": "echo hello; sleep 60"}', tmp_path, stdout=end):
        os.close(end)
        said = b""
        while b"two stopped" not in said:
            said += os.read(terminal, 4096)
    os.close(terminal)
    lines = said.decode()
    assert re.search(rf"\033\[0m\033\[36m{TIME} one    \| \033\[0mhello\r\n", lines)
    assert re.search(rf"(?m)^{TIME} system \| one started", lines)
