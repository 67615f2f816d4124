"""Behind PgBouncer in transaction mode, the site works as with PostgreSQL directly."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from models import Enrollment, Lead
from models.base import LOCK_SECONDS, engine_options, prepare_engine
from tests.faults.crowd import all_at_once, post
from tests.faults.pooler import pooler
from tests.faults.shop import form, shop
from tests.support.purchases import ENROLL

SIGNUPS = 150
BUYER = "buyer@example.com"
HOW = {"as it comes": (), "told to drop options": ("ignore_startup_parameters = options",)}


@pytest.fixture(params=HOW)
def url(request: pytest.FixtureRequest, tmp_path: Path, postgresql_url: str) -> Iterator[str]:
    """The URL of a database behind a pooler."""
    with pooler(tmp_path / "pooler", postgresql_url, *HOW[request.param]) as url:
        yield url


def test_sign_ups_and_a_purchase_work_behind_a_pooler(tmp_path: Path, url: str) -> None:
    with shop(tmp_path, url, 2) as site:
        site.start("serve", "worker")
        site.insist("/signup")
        calls = [
            post(
                f"{site.url}/signup",
                {"email": f"reader{number}@example.com", "consent": "yes"},
                f"10.2.{number}.1",
            )
            for number in range(SIGNUPS)
        ]
        replies = all_at_once(calls)
        assert Counter(reply.status for reply in replies) == {200: SIGNUPS}
        assert len(site.all(Lead)) == SIGNUPS
        page = site.insist(ENROLL, form(site, BUYER))
        site.sandbox.pay(page.location)
        site.wait(lambda: BUYER in [mail.recipient for mail in site.mail.mails])
        assert len(site.all(Enrollment)) == 1
        assert "Traceback" not in site.said("serve") + site.said("worker")


def test_lock_timeout_is_set_in_each_transaction(url: str) -> None:
    engine = create_engine(url, **engine_options(url, 2))
    prepare_engine(engine)
    with engine.begin() as connection:
        assert connection.scalar(text("SHOW lock_timeout")) == f"{LOCK_SECONDS}s"
        assert connection.scalar(text("SHOW jit")) == "off"
    engine.dispose()
