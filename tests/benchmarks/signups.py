"""Complete sign-ups, compared with raw commits of the same rows and with a simple version."""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from secrets import token_hex

from models.lead import new_token
from models.message import new_reference
from tests.benchmarks import commits, load, naive
from tests.benchmarks.bench import Bench
from tests.benchmarks.commits import Rows
from tests.benchmarks.figures import Row, interleave
from tests.benchmarks.load import Load
from tests.benchmarks.sites import PAGE, Site, fill, lean, served, site
from tests.support.ports import free_port

SCRIPT = Path(__file__).with_name("signup.lua")
TABLES = ("lead", "consent_event", "message")
MANY = 1_000_000


def rows(bench: Bench) -> Iterator[Row]:
    with ExitStack() as stack:
        ours = stack.enter_context(site(bench.folder / "few"))
        first = load.run(ours.url + PAGE, seconds=1, script=SCRIPT, arguments=("first",))
        raw = bench.folder / "raw.db"
        commits.copy(ours.database, raw)
        make = signup_rows(ours.database)
        other = stack.enter_context(naive_site(bench))
        fields = stack.enter_context(filled(bench))
        least = stack.enter_context(lean(bench.folder, ours))
        signed_up: list[Load] = []
        quick: list[Load] = []

        def measure(url: str, kept: list[Load]) -> float:
            kept.append(sign_up(bench, url))
            return kept[-1].rate

        figures, inserts, naives, many, leans = interleave(
            bench.rounds,
            lambda: measure(ours.url, signed_up),
            lambda: commits.rate(raw, make, bench.seconds),
            lambda: sign_up(bench, other[0], *other[1]).rate,
            lambda: sign_up(bench, fields.url).rate,
            lambda: measure(least.url, quick),
        )
        acknowledged = first.requests + sum(one.requests for one in signed_up)
        found = min(commits.count(ours.database, table) for table in TABLES)
    yield Row(
        what="sign-up, whole path", figures=figures, unit="/s",
        against="raw durable inserts of the same rows", baselines=inserts, least=0.45,
    )  # fmt: skip
    yield Row(
        what="the least that Flask, WTForms and SQLAlchemy take", figures=leans, unit="/s",
        against="raw durable inserts of the same rows", baselines=inserts,
    )  # fmt: skip
    yield Row(
        what="sign-up, whole path", figures=figures, unit="/s",
        against="naive Flask-WTF, ORM and session", baselines=naives, least=2.5,
    )  # fmt: skip
    yield Row(
        what=f"the same, p99 at {load.CONNECTIONS} connections",
        figures=[one.p99 for one in signed_up], unit="ms", most=50,
    )  # fmt: skip
    yield Row(
        what="the same, the least that Flask, WTForms and SQLAlchemy take",
        figures=[one.p99 for one in quick], unit="ms",
    )  # fmt: skip
    yield Row(
        what=f"the same with {MANY:,} leads stored", figures=many, unit="/s",
        against="with none", baselines=figures, least=0.85,
    )  # fmt: skip
    yield Row(
        what="acknowledged sign-ups found in the database, with consent and mail",
        figures=[min(1, found / acknowledged)], least=1,
    )  # fmt: skip


def sign_up(bench: Bench, url: str, *further: str, connections: int = load.CONNECTIONS) -> Load:
    """Sign people up for some seconds. Raises RuntimeError when one is refused."""
    found = load.run(
        f"{url}{PAGE}?utm_source=news&utm_medium=email&utm_campaign=spring",
        seconds=bench.seconds,
        connections=connections,
        script=SCRIPT,
        arguments=(token_hex(4), *further),
    )
    if found.refused:
        raise RuntimeError(f"{found.refused} of {found.requests} sign-ups were refused")
    return found


def signup_rows(database: Path) -> Callable[[], Rows]:
    """Return a function that makes the rows of another sign-up, like those of the site."""
    last = commits.like(database, *TABLES)
    numbers = iter(range(10_000_000, 2**31))

    def make() -> Rows:
        number, address = next(numbers), token_hex(32)
        email = f"{address[:12]}@example.com"
        lead = {
            **last["lead"], "id": number, "email": email, "email_key": email,
            "address_hash": address, "confirm_token": new_token(), "unsubscribe_token": new_token(),
        }  # fmt: skip
        consent = {
            **last["consent_event"],
            "id": number,
            "lead_id": number,
            "address_hash": address,
        }
        message = {
            **last["message"], "id": number, "lead_id": number, "recipient": email,
            "address_hash": address, "reference": new_reference(),
        }  # fmt: skip
        return list(zip(TABLES, (lead, consent, message), strict=True))

    return make


@contextmanager
def naive_site(bench: Bench) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Serve the simple version, and yield its URL and further parts of its form."""
    port, database = free_port(), f"sqlite:///{bench.folder / 'naive.db'}"
    token, cookie = naive.token(naive.create_app(database))
    with served(
        "tests.benchmarks.naive:app",
        port,
        bench.folder / "naive.txt",
        {**os.environ, "NAIVE_DATABASE": database},
    ):
        yield f"http://127.0.0.1:{port}", (f"&csrf_token={token}", "Cookie", cookie)


@contextmanager
def filled(bench: Bench) -> Iterator[Site]:
    """Serve the site with many leads in its database."""
    instance = bench.folder / "many"
    fill(instance, MANY, bench.shared)
    with site(instance) as found:
        yield found
