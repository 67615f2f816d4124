"""The supervisor of `flask up`: runs processes, prints their output, ends all with the first."""

import os
import signal
import sys
import time
from contextlib import suppress
from itertools import cycle
from pathlib import Path
from queue import Empty, SimpleQueue
from subprocess import PIPE, STDOUT, Popen
from threading import Lock, Thread
from typing import Any, Final

COLORS: Final = (36, 33, 32, 35, 31, 34)  # ANSI: cyan, yellow, green, magenta, red, blue
STOP_SECONDS: Final = 5.0  # to end in before a process is killed
SYSTEM: Final = "system"  # the name before the supervisor's own lines
HOW: Final[Any] = {"shell": True, "stdout": PIPE, "stderr": STDOUT, "start_new_session": True}


class Supervisor:
    """Runs shell commands, each in a session of its own, until one ends or a signal comes."""

    def __init__(self, commands: dict[str, str], folder: Path) -> None:
        self._commands = commands
        self._folder = folder
        self._running: dict[str, Popen[bytes]] = {}
        # Processes that ended, with their exit codes; SYSTEM with the exit code to end with.
        self._events: SimpleQueue[tuple[str, int]] = SimpleQueue()
        self._printing = Lock()

    def run(self) -> int:
        """Run everything; return the exit code: 0 after Ctrl-C, else never 0."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._ask)  # stored, and handled when everything has started
        for (name, command), color in zip(self._commands.items(), cycle(COLORS), strict=False):
            process = self._running[name] = Popen(command, cwd=self._folder, **HOW)  # noqa: S603
            self._print(SYSTEM, f"{name} started (pid={process.pid})")
            Thread(target=self._follow, args=(name, process, color), daemon=True).start()
        name, code = self._next(None)
        self._stop()
        return code if name == SYSTEM else max(code, 1)

    def _ask(self, number: int, *_: object) -> None:
        self._events.put((SYSTEM, 0 if number == signal.SIGINT else 128 + number))

    def _follow(self, name: str, process: "Popen[bytes]", color: int) -> None:
        for line in process.stdout or ():
            self._print(name, line.decode(errors="replace"), color)
        self._events.put((name, process.wait()))

    def _next(self, seconds: float | None) -> tuple[str, int]:
        name, code = self._events.get(timeout=seconds)
        if self._running.pop(name, None):
            self._print(SYSTEM, f"{name} stopped (rc={code})")
        return name, code

    def _stop(self) -> None:
        for number in (signal.SIGTERM, signal.SIGKILL):
            for name, process in self._running.items():
                self._print(SYSTEM, f"sending {number.name} to {name} (pid {process.pid})")
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, number)
            until = time.monotonic() + STOP_SECONDS
            with suppress(Empty):
                while self._running:
                    self._next(max(until - time.monotonic(), 0))

    def _print(self, name: str, text: str, color: int | None = None) -> None:
        width = max(map(len, (SYSTEM, *self._commands)))
        prefix = f"{time.strftime('%H:%M:%S')} {name.ljust(width)} | "
        if color and sys.stdout.isatty():
            prefix = f"\033[0m\033[{color}m{prefix}\033[0m"
        with self._printing:
            try:
                sys.stdout.writelines(f"{prefix}{line}\n" for line in text.splitlines())
                sys.stdout.flush()
            except OSError:  # the reader has closed the pipe
                self._ask(signal.SIGPIPE)
