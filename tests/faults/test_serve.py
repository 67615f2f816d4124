"""The product as `make serve` runs it: real processes on their own ports and data."""

import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlencode

import pytest

from tests.support.paths import ROOT
from tests.support.ports import free_port
from tests.support.production import PRODUCTION
from tests.support.signups import shown

FLASK = shutil.which("flask", path=str(Path(sys.executable).parent)) or "flask"
WAIT_SECONDS = 60  # for a busy machine
SHOWN_ONCE = re.compile(r"Sign in at the desk as (\S+) with the password (\S+)\n")
COURSE = "/courses/ai-pm-bootcamp"


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    text: str


@dataclass
class Product:
    """A running `flask up`, with its output in a file."""

    process: subprocess.Popen[bytes]
    instance: Path
    port: int
    sandbox_port: int

    def ask(
        self, path: str, form: dict[str, str] | None = None, method: str = "GET", port: int = 0
    ) -> Answer:
        """Send one request over a new connection: the kernel chooses the web worker."""
        connection = HTTPConnection("127.0.0.1", port or self.port, timeout=30)
        try:
            if form is None:
                connection.request(method, path)
            else:
                headers = {"Content-Type": "application/x-www-form-urlencoded"}
                connection.request("POST", path, urlencode(form), headers)
            answer = connection.getresponse()
            return Answer(answer.status, dict(answer.getheaders()), answer.read().decode())
        finally:
            connection.close()

    def said(self) -> str:
        return (self.instance.parent / "output.txt").read_text("utf-8")

    def answers(self, path: str = "/readyz", port: int = 0) -> bool:
        assert self.process.poll() is None, self.said()
        try:
            return self.ask(path, port=port).status == 200
        except OSError:
            return False

    def is_up(self) -> bool:
        mailbox = self.answers("/mail/", self.sandbox_port)
        return mailbox and self.answers() and "worker started" in self.said()

    def wait_until_it_says(self, words: str) -> None:
        wait_for(lambda: words in self.said())

    def processes(self) -> dict[int, tuple[int, str]]:
        """Return the processes of this instance: by number, the parent and the command line."""
        found = {}
        mark = f"\0INSTANCE={self.instance}\0".encode()
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                if mark not in b"\0" + (folder / "environ").read_bytes():
                    continue
                line = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                parent = int((folder / "stat").read_text().rpartition(") ")[2].split()[1])
            except (OSError, ValueError):
                continue
            if line:  # a zombie has none
                found[int(folder.name)] = (parent, line)
        return found

    def web_workers(self) -> list[int]:
        found = self.processes()
        serving = {number for number, (_, line) in found.items() if "flask serve" in line}
        return sorted(number for number in serving if found[number][0] in serving)

    def stop(self, number: int) -> None:
        """Send a signal to the process group, as a terminal does, and wait for the end."""
        os.killpg(self.process.pid, number)
        self.process.wait(WAIT_SECONDS)


@contextmanager
def up(
    folder: Path,
    root: Path = ROOT,
    *,
    command: str = "up",
    settings: dict[str, str] | None = None,
    output: int = 0,
) -> Iterator[Product]:
    """Run a command with its data in `folder`, and end all of its processes.

    Its output goes into a file, or to `output`.
    """
    port, sandbox_port = free_port(), free_port()
    instance = folder / "instance"
    environment = {
        **os.environ,
        "INSTANCE": str(instance),
        "PORT": str(port),
        "SANDBOX_PORT": str(sandbox_port),
        **{name.upper(): value for name, value in (settings or {}).items()},
    }
    with (folder / "output.txt").open("wb") as file:
        process = subprocess.Popen(
            [FLASK, command],
            cwd=root,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output or file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    product = Product(process, instance, port, sandbox_port)
    try:
        yield product
    finally:
        try:
            if process.poll() is None:
                product.stop(signal.SIGINT)
        finally:
            for left in product.processes():
                with suppress(ProcessLookupError):
                    os.kill(left, signal.SIGKILL)


def wait_for(condition: Callable[[], object], seconds: float = WAIT_SECONDS) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it did not come about"
        time.sleep(0.1)


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], Product]]:
    """Return the running product, shared by these tests, and start it when there is none."""
    with ExitStack() as stack:
        started: list[Product] = []

        def running() -> Product:
            if not started or started[-1].process.poll() is not None:
                started.append(stack.enter_context(up(tmp_path_factory.mktemp("product"))))
                wait_for(started[-1].is_up)
            return started[-1]

        yield running


@pytest.fixture
def product(running: Callable[[], Product]) -> Product:
    """The whole product. A test may stop it: the next test gets a new one."""
    return running()


@pytest.fixture
def sleepy_root(site_root: Path) -> Path:
    """A site whose Procfile starts processes that only sleep and print."""
    shutil.copy(ROOT / "wsgi.py", site_root)
    talk = "while sleep 0.2; do echo still here; done"
    (site_root / "Procfile").write_text(f"quiet: exec sleep 300\ntalker: {talk}\n")
    return site_root


def test_start_prints_the_address_of_every_part(product: Product) -> None:
    site = f"http://127.0.0.1:{product.port}"
    said = product.said()
    assert f"Site     {site}/\n" in said
    assert f"Desk     {site}/admin/\n" in said
    assert f"Mailbox  http://127.0.0.1:{product.sandbox_port}/mail/\n" in said
    assert f"Stripe   http://127.0.0.1:{product.sandbox_port}/stripe/\n" in said
    assert len(SHOWN_ONCE.findall(said)) == 1
    assert product.ask("/").status == 200
    assert product.ask(COURSE).status == 200
    desk = product.ask("/admin/")
    assert (desk.status, desk.headers["location"]) == (303, "/admin/login?next=/admin/")
    assert product.ask("/mail/", port=product.sandbox_port).status == 200
    assert len(product.web_workers()) == 2


def test_sign_up_reaches_the_mailbox_through_all_processes(product: Product) -> None:
    form = {"email": "maria@example.org", "consent": "yes"}
    assert product.ask("/signup", form).status == 200
    wait_for(lambda: list((product.instance / "mail").glob("*.eml")))
    mailbox = product.ask("/mail/", port=product.sandbox_port).text
    assert "maria@example.org" in mailbox
    assert "maria@example.org" not in product.said(), "the logs name nobody"


def test_server_answers_head_oversized_and_unknown_requests(product: Product) -> None:
    whole, head = product.ask(COURSE), product.ask(COURSE, method="HEAD")
    assert (head.status, head.text) == (200, "")
    assert head.headers["content-length"] == whole.headers["content-length"]
    assert product.ask("/signup", {"email": "x" * 70_000}).status == 413
    assert product.ask("/nothing").status == 404
    assert product.ask("/healthz").text.startswith("ok\n")


def test_metrics_are_summed_over_the_web_workers(product: Product) -> None:
    def count() -> int:
        line = r'^crossroads_requests_total{method="GET",route="/healthz",status="200"} (\S+)$'
        found = re.search(line, product.ask("/metrics").text, re.M)
        return int(float(found[1])) if found else 0

    before = count()
    for _ in range(30):
        product.ask("/healthz")
    assert {count() for _ in range(10)} == {before + 30}
    assert len(list((product.instance / "metrics").glob("counter_*.db"))) >= 2


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the workers share a listener")
def test_connections_are_spread_over_the_web_workers(product: Product) -> None:
    def open_files() -> list[int]:
        folders = (Path(f"/proc/{worker}/fd") for worker in product.web_workers())
        return [len(list(folder.iterdir())) for folder in folders]

    before = open_files()
    with ExitStack() as stack:
        for _ in range(48):
            connection = HTTPConnection("127.0.0.1", product.port, timeout=30)
            stack.callback(connection.close)
            connection.connect()
        # Half each by chance: fewer than 8 of 48 happen once in a million times.
        wait_for(lambda: min(map(int.__sub__, open_files(), before)) >= 8)


def test_change_of_seats_reaches_every_web_worker(product: Product) -> None:
    assert all("24 seats left of 24" in shown(product.ask(COURSE).text) for _ in range(20))
    reserve = [FLASK, "seats", "reserve", "ai-pm-bootcamp", "2027-january", "23"]
    environment = {**os.environ, "INSTANCE": str(product.instance)}
    subprocess.run(reserve, cwd=ROOT, env=environment, check=True, capture_output=True)
    wait_for(
        lambda: all("1 seat left of 24" in shown(product.ask(COURSE).text) for _ in range(20)), 10
    )


def test_killed_web_worker_is_replaced(product: Product) -> None:
    before = product.web_workers()
    os.kill(before[0], signal.SIGKILL)
    for _ in range(8):
        with suppress(OSError):  # a connection that the killed worker had accepted
            assert product.ask("/").status == 200, "the other one answers, or the next one"
    wait_for(lambda: len(set(product.web_workers()) - {before[0]}) == 2)
    after = product.web_workers()
    assert before[1] in after
    assert before[0] not in after
    for _ in range(20):
        assert product.ask("/").status == 200
    assert "Unexpected exit from worker" in product.said()
    assert product.process.poll() is None


def test_killed_supervisor_leaves_no_process(tmp_path: Path) -> None:
    with up(tmp_path) as product:
        wait_for(product.answers)
        os.kill(product.process.pid, signal.SIGKILL)
        product.process.wait()
        wait_for(lambda: product.processes() == {}, 15)


def test_ctrl_c_completes_running_requests_and_leaves_no_process(product: Product) -> None:
    lock = sqlite3.connect(product.instance / "crossroads.db", isolation_level=None)
    lock.execute("BEGIN IMMEDIATE")
    form = {"email": "in-hand@example.org", "consent": "yes"}
    with ThreadPoolExecutor(2) as pool:
        in_hand = pool.submit(product.ask, "/signup", form)
        time.sleep(0.5)
        assert not in_hand.done()
        stopping = pool.submit(product.stop, signal.SIGINT)
        time.sleep(1)
        lock.execute("ROLLBACK")
        assert in_hand.result().status == 200
        stopping.result()
    assert product.process.returncode == 0
    assert product.processes() == {}
    kept = lock.execute("SELECT count(*) FROM lead WHERE email = ?", [form["email"]]).fetchone()
    lock.close()
    assert kept == (1,)
    assert "Traceback" not in product.said()
    assert "SIGKILL" not in product.said(), "a process did not stop in time"


def test_owner_is_printed_only_once_and_signals_leave_no_process(
    sleepy_root: Path, tmp_path: Path
) -> None:
    named = []
    for number in (signal.SIGTERM, signal.SIGHUP):  # stopped; terminal closed
        with up(tmp_path, sleepy_root) as product:
            product.wait_until_it_says("started (pid=")  # the first process, not yet the second
            named.append(SHOWN_ONCE.findall(product.said()))
            product.stop(number)
            assert product.process.returncode == 128 + number
            assert "SIGKILL" not in product.said(), "a process did not stop in time"
            assert product.processes() == {}
    first, second = named
    assert len(first) == 1
    assert len(first[0][1]) >= 16
    assert second == []


def test_end_of_one_process_stops_the_others_with_exit_code_1(
    sleepy_root: Path, tmp_path: Path
) -> None:
    (sleepy_root / "Procfile").write_text("quiet: exec sleep 300\nshort: sleep 0.3\n")
    with up(tmp_path, sleepy_root) as product:
        assert product.process.wait(WAIT_SECONDS) == 1
        assert product.processes() == {}


def test_closed_output_pipe_stops_all_processes(sleepy_root: Path, tmp_path: Path) -> None:
    """As with `make serve | head`: no output would show which processes still run."""
    with up(tmp_path, sleepy_root, output=subprocess.PIPE) as product:
        assert product.process.stdout
        while b"still here" not in product.process.stdout.readline():
            pass
        product.process.stdout.close()
        assert product.process.wait(WAIT_SECONDS) != 0
        assert product.processes() == {}


def test_serve_stops_at_sigterm_and_logs_in_the_format_of_the_site(
    instance: Path, sqlite_url: str, tmp_path: Path
) -> None:
    """As under a service manager: SIGTERM while browsers keep their connections open."""
    given = {**PRODUCTION, "database_url": sqlite_url}
    with up(tmp_path, command="serve", settings=given) as product:
        wait_for(product.answers)
        held = [HTTPConnection("127.0.0.1", product.port, timeout=30) for _ in range(8)]
        for connection in held:
            connection.request("GET", "/healthz")
            connection.getresponse().read()
        victim, other = product.web_workers()
        os.kill(victim, signal.SIGKILL)
        wait_for(lambda: len(set(product.web_workers()) - {victim, other}) == 1)
        os.kill(product.process.pid, signal.SIGTERM)
        assert product.process.wait(WAIT_SECONDS) == 0
        for connection in held:
            connection.close()
        assert product.processes() == {}
        first, second = [json.loads(line) for line in product.said().splitlines()]
        assert (first["event"], first["port"]) == ("web server starting", product.port)
        assert second["event"].startswith("Unexpected exit from worker-")


SPAWNED = """
import multiprocessing, sys
from crossroads.ops.server import web_server
if __name__ == "__main__":
    multiprocessing.set_start_method("spawn")
    web_server("spawned:app", host="127.0.0.1", port=int(sys.argv[1]), workers=2).serve()

def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"here"]
"""


def test_spawned_workers_listen_too(tmp_path: Path) -> None:
    """The start method `spawn`, as on some systems and from Python 3.14 on."""
    (tmp_path / "spawned.py").write_text(SPAWNED)
    port = free_port()
    words = [sys.executable, str(tmp_path / "spawned.py"), str(port)]
    with subprocess.Popen(words, cwd=tmp_path, stderr=subprocess.DEVNULL) as server:
        try:
            wait_for(lambda: _answers(port))
            assert all(_answers(port) for _ in range(20))
        finally:
            server.terminate()


def _answers(port: int) -> bool:
    connection = HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", "/")
        return connection.getresponse().read() == b"here"
    except OSError:
        return False
    finally:
        connection.close()
