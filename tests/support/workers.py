"""A worker for tests, with the content of the real site."""

from pathlib import Path
from typing import Any

from sqlalchemy import Engine

from crossroads import content
from crossroads.content import Content
from crossroads.database.presence import Presence
from crossroads.mail.composer import Composer
from crossroads.mail.mx import Domains
from crossroads.mail.smtp import Mailer
from crossroads.settings import Settings
from crossroads.worker.delivery import Worker
from tests.support.paths import ROOT

WORDS = content.load(ROOT / "site/content")
BASE_URL = "http://localhost"


def make_worker(
    engine: Engine,
    smtp_url: str = "",
    *,
    instance: Path = Path(),
    templates: Path = ROOT / "templates",
    words: Content = WORDS,
    domains: Domains | None = None,
    presence: Presence | None = None,
) -> Worker:
    """Return a worker that sends mail to this server, or captures it in this instance folder."""
    given: dict[str, Any] = {"instance": instance, "smtp_url": smtp_url, "base_url": BASE_URL}
    settings = Settings(**given)
    composer = Composer(settings, templates)
    return Worker(engine, composer, Mailer(settings), lambda: words, domains, presence)
