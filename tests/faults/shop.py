"""The site in real processes that may be killed, a mail server, and buyers who retry."""

import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from http.client import HTTPException
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, create_engine, func, select, update
from sqlalchemy.orm import Session

from crossroads.content import Cohort
from crossroads.fulfillment.reconciliation import Sweep
from crossroads.fulfillment.sweep_lease import AlreadyRunning
from crossroads.orders import seats
from crossroads.payments import Gateway
from models import Message, Order, Reconciliation, StripeEvent, now, writing
from models.base import prepare_engine
from tests.faults.crowd import Reply
from tests.support.mail_server import MailServer
from tests.support.paths import ROOT
from tests.support.ports import free_port
from tests.support.purchases import COURSE, ENROLL, SEPTEMBER, hidden
from tests.support.sandbox_server import KEY, SECRET, Page, SandboxServer, fetch, start

SECONDS = 60  # for a busy machine


@dataclass
class Shop:
    """A site on its own database, run by flask commands with a fuse."""

    folder: Path
    url: str
    sandbox: SandboxServer
    mail: MailServer
    engine: Engine
    environment: dict[str, str]
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start(self, *commands: str) -> None:
        """Run commands, each restarted when it is killed. Their output goes into files."""
        for command in commands:
            with (self.folder / f"{command}.txt").open("ab") as said:
                self.running[command] = subprocess.Popen(
                    [sys.executable, "-m", "tests.faults.fuse", command],
                    cwd=ROOT,
                    env={**self.environment, "FUSE": str(self.fuse(command))},
                    stdin=subprocess.DEVNULL,
                    stdout=said,
                    stderr=said,
                    start_new_session=True,  # so that its child processes end with it
                )

    def stop(self, command: str) -> None:
        process = self.running.pop(command)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def finish(self, command: str) -> int:
        """Wait until a command that ends by itself has ended; return its exit code."""
        return self.running.pop(command).wait(SECONDS)

    def has_ended(self, command: str) -> bool:
        return self.running[command].poll() is not None

    def fuse(self, command: str) -> Path:
        return self.folder / f"{command}.fuse"

    def light(self, command: str, steps: int, name: str = "") -> None:
        """Kill a command at the last of `steps` steps from now on, or of steps with this name."""
        draft = self.fuse(command).with_suffix(".new")
        draft.write_text(f"{steps} {name}")
        draft.replace(self.fuse(command))

    def is_burnt(self, command: str) -> bool:
        return not self.fuse(command).exists()

    def burnt(self, command: str) -> str | None:
        """Remove the fuse; return the step at which the command was killed, None if it was not."""
        self.fuse(command).unlink(missing_ok=True)
        note = self.fuse(command).with_suffix(".burnt")
        name = note.read_text() if note.exists() else None
        note.unlink(missing_ok=True)
        return name

    def said(self, command: str) -> str:
        return (self.folder / f"{command}.txt").read_text()

    def ask(self, path: str, form: dict[str, str] | None = None) -> Page:
        """Send a request as a proxy does, from a random network.

        Raises OSError and HTTPException.
        """
        network = ".".join(str(random.randrange(256)) for _ in range(3))
        return fetch(f"{self.url}{path}", form=form, headers={"X-Forwarded-For": f"10.{network}"})

    def insist(self, path: str, form: dict[str, str] | None = None) -> Page:
        """Repeat a request until there is an answer other than an error or status 503."""
        until = time.monotonic() + SECONDS
        while time.monotonic() < until:
            with suppress(OSError, HTTPException):
                page = self.ask(path, form)
                if page.status != 503:
                    return page
            time.sleep(0.05)
        raise AssertionError(f"no answer from {path}: {self.said('serve')}")

    def all(self, model: type[Any]) -> list[Any]:
        """Return every row of a table, in its order."""
        with Session(self.engine) as session:
            found = list(session.scalars(select(model).order_by(*model.__table__.primary_key)))
            session.expunge_all()
            return found

    def left(self, cohort: Cohort = SEPTEMBER) -> int:
        with Session(self.engine) as session:
            return seats.seats_left(session, COURSE, cohort)

    def change(self, *statements: Any) -> None:
        with Session(self.engine) as session:
            writing(session)
            for statement in statements:
                session.execute(statement)
            session.commit()

    def run_out_leases(self) -> None:
        """Let the leases of killed processes expire."""
        past = now() - timedelta(seconds=1)
        for kind in (Message, StripeEvent, Reconciliation):
            self.change(update(kind).where(kind.lease_until.is_not(None)).values(lease_until=past))

    def age(self) -> None:
        """Make every order old enough for the sweep."""
        self.change(update(Order).values(created_at=now() - timedelta(minutes=5)))

    def sweep(self) -> None:
        """Run one sweep, as soon as no other sweep runs."""
        sweep = Sweep(self.engine, Gateway(KEY, base=self.sandbox.url), self.url, "a test")

        def swept() -> bool:
            try:
                list(sweep.run())
            except AlreadyRunning:
                return False
            return True

        self.wait(swept)

    def idle(self) -> bool:
        """Return whether no webhook is being delivered, and nothing waits for a worker."""
        if not self.delivered():
            return False
        with Session(self.engine) as session:
            mails = select(func.count()).select_from(Message).where(Message.state == "due")
            events = select(func.count()).where(StripeEvent.done_at.is_(None))
            return not session.scalar(mails) and not session.scalar(events)

    def delivered(self) -> bool:
        """Return whether no webhook is being delivered."""
        states = {one["state"] for one in self.sandbox.state()["deliveries"]}
        return not states & {"pending", "sending"}

    def wait(self, true: Callable[[], object]) -> None:
        """Wait until a condition is true."""
        until = time.monotonic() + SECONDS
        while not true():
            assert time.monotonic() < until, "it did not happen in time"
            time.sleep(0.1)


@contextmanager
def shop(folder: Path, database_url: str, workers: int) -> Iterator[Shop]:
    """Open a site with `workers` web workers on a migrated database."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    sandbox = start(folder / "sandbox", f"{url}/webhooks/stripe", retry_delays=(0.3,) * 200)
    mail = MailServer().start()
    engine = create_engine(database_url)
    prepare_engine(engine)
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join((str(ROOT / "site"), str(ROOT))),
        "INSTANCE": str(folder / "instance"),
        "DATABASE_URL": database_url,
        "BASE_URL": url,
        "PORT": str(port),
        "WORKERS": str(workers),
        "TRUSTED_PROXIES": "1",
        "ORDER_LOOK_LIMIT": "100000/minute",  # buyers retry
        "ORDER_LIMIT": "100000/minute",
        "SMTP_URL": mail.url,
        "STRIPE_SECRET_KEY": KEY,
        "STRIPE_WEBHOOK_SECRET": SECRET,
        "STRIPE_API_BASE": sandbox.url,
    }
    opened = Shop(folder, url, sandbox, mail, engine, environment)
    try:
        yield opened
    finally:
        for command in list(opened.running):
            opened.stop(command)
        sandbox.stop()
        mail.stop()
        engine.dispose()


def form(shop: Shop, email: str, number: int = 1, cohort: Cohort = SEPTEMBER) -> dict[str, str]:
    """Return a filled-in form of the enroll page."""
    return {
        **hidden(shop.insist(ENROLL).text),
        "cohort": cohort.code,
        "seats": str(number),
        "amount": str(COURSE.price.amount * number),
        "name": "Maria",
        "email": email,
    }


def order_address(page: Page | Reply) -> str:
    """Return the path of a page's order, or of the order that a pay page returns to."""
    found = re.search(r"/orders/[\w-]+", page.location or page.text)
    assert found, page.text
    return found[0]
