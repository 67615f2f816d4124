"""The flask command in a process of its own."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any


def run(
    root: Path, *arguments: str, stdout: Any = subprocess.PIPE, **settings: str
) -> subprocess.CompletedProcess[str]:
    """Run the flask command as a person does, in a process of its own."""
    command = shutil.which("flask", path=str(Path(sys.executable).parent)) or "flask"
    environment = {**os.environ, **{name.upper(): value for name, value in settings.items()}}
    return subprocess.run(
        [command, *arguments],
        cwd=root,
        env=environment,
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
        check=False,
    )
