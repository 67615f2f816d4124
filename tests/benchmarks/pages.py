"""The comparison page: its rate compared with minimal servers, and its weight."""

import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import brotli

from tests.benchmarks import load, processes
from tests.benchmarks.bench import Bench
from tests.benchmarks.figures import Row, interleave
from tests.benchmarks.sites import PAGE, Site, ask, process, served, site
from tests.support.ports import free_port

BROTLI = {"Accept-Encoding": "br"}
BARE = "a bare WSGI callable, same bytes and server"
NGINX = "nginx with a compressed file"
NGINX_CONFIG = """{user}
daemon off; worker_processes auto; pid {folder}/nginx.pid; error_log stderr error;
events {{ worker_connections 1024; }}
http {{
  access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000000;
  client_body_temp_path {folder}/t1; proxy_temp_path {folder}/t2; fastcgi_temp_path {folder}/t3;
  uwsgi_temp_path {folder}/t4; scgi_temp_path {folder}/t5;
  server {{
    listen 127.0.0.1:{port};
    location = {page} {{ alias {file}; default_type text/html; add_header Content-Encoding br; }}
  }}
}}
"""
# Other files that a browser loads for a page.
FETCHED = re.compile(r'<(?:link rel="(?:stylesheet|preload|icon)"|script|img) [^>]*="(/[^"]+)"')


def rows(bench: Bench) -> Iterator[Row]:
    bench = bench.in_seconds()
    with ExitStack() as stack:
        ours = stack.enter_context(site(bench.folder / "page"))
        answer = ask(ours.port, PAGE, BROTLI)
        body, etag = answer.read(), answer.headers["ETag"]
        bare_port = stack.enter_context(bare(bench.folder, answer.getheaders(), body))
        ports = {"page": ours.port, BARE: bare_port}
        if shutil.which("nginx"):
            ports[NGINX] = stack.enter_context(nginx(bench.folder, body))
        measures = [rate(bench, port) for port in ports.values()]
        known = rate(bench, ours.port, headers={"If-None-Match": etag})
        tagged = rate(bench, ours.port, query="?utm_source=news&utm_medium=email&utm_term=a%20b")
        page, *baselines, unchanged, tags = interleave(bench.rounds, *measures, known, tagged)
        for _ in range(10):  # both workers load the modules that only this page needs
            ask(ours.port, "/privacy").read()
        memory = sum(processes.memory(worker) for worker in processes.children(ours.process))
        weighed = weigh(ours, body)
    yield Row(
        what="comparison page", figures=page, unit="/s", against=BARE, baselines=baselines[0],
        least=0.80,
    )  # fmt: skip
    if NGINX in ports:
        yield Row(
            what="comparison page", figures=page, unit="/s", against=NGINX, baselines=baselines[1],
            least=0.60,
        )  # fmt: skip
        # The best that this web server can do for Python code.
        yield Row(what=BARE, figures=baselines[0], unit="/s", against=NGINX, baselines=baselines[1])
    else:
        yield Row(
            what="comparison page", against=NGINX, least=0.60, skipped="apt-get install nginx-light"
        )
    for what, figures in (("the same, If-None-Match", unchanged), ("the same, utm_*", tags)):
        yield Row(
            what=what, figures=figures, unit="/s", against="itself", baselines=page, least=0.95
        )
    weight, requests = weighed
    yield Row(what="page and its CSS, brotli", figures=[weight / 1024], unit="KB", most=12)
    yield Row(what="requests for a page", figures=[requests], most=4)
    yield Row(
        what="memory (PSS) of two web workers, their parent not counted",
        figures=[memory],
        unit="MB",
        most=100,
    )


def rate(
    bench: Bench, port: int, *, query: str = "", headers: dict[str, str] | None = None
) -> Callable[[], float]:
    def measure() -> float:
        found = load.run(
            f"http://127.0.0.1:{port}{PAGE}{query}",
            seconds=bench.seconds,
            headers={**BROTLI, **(headers or {})},
        )
        if found.refused:
            raise RuntimeError(f"{found.refused} of {found.requests} requests were refused")
        return found.rate

    return measure


def weigh(site: Site, page: bytes) -> tuple[int, int]:
    """Return the bytes of the page and its CSS, and the number of requests that a browser makes."""
    fetched = set(FETCHED.findall(brotli.decompress(page).decode()))
    css = [ask(site.port, path, BROTLI).read() for path in fetched if path.endswith(".css")]
    return len(page) + sum(map(len, css)), 1 + len(fetched)


@contextmanager
def bare(folder: Path, headers: list[tuple[str, str]], body: bytes) -> Iterator[int]:
    """Serve the response from a bare callable, and yield the port."""
    port, file = free_port(), folder / "answer"
    kept = [pair for pair in headers if pair[0].lower() not in ("date", "server", "connection")]
    file.write_bytes(json.dumps(kept).encode() + b"\n" + body)
    variables = {**os.environ, "BARE_ANSWER": str(file)}
    with served("tests.benchmarks.bare:app", port, folder / "bare.txt", variables):
        yield port


@contextmanager
def nginx(folder: Path, body: bytes) -> Iterator[int]:
    """Serve the compressed bytes from a file, and yield the port.

    The header is set in the configuration, because not every nginx has brotli.
    """
    port, file, config = free_port(), folder / "page.br", folder / "nginx.conf"
    file.write_bytes(body)
    user = "user root;" if os.getuid() == 0 else ""  # otherwise its workers may not read the file
    config.write_text(
        NGINX_CONFIG.format(user=user, folder=folder, port=port, page=PAGE, file=file)
    )
    with process(["nginx", "-p", str(folder), "-c", str(config)], port, folder / "nginx.txt"):
        yield port
