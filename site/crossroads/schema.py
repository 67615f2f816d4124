"""The database's schema: is it the one this version of the program was written for?"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Engine

import models

FOLDER = Path(models.__file__).parent / "migrations"


@dataclass(frozen=True)
class Fault:
    """What is wrong with the schema and what to do; `older` means that an upgrade mends it."""

    text: str
    older: bool = True

    def __str__(self) -> str:
        return self.text


def fault(engine: Engine) -> Fault | None:
    """Return what is wrong with the schema, or None. Raises SQLAlchemyError."""
    scripts = _scripts()
    head = scripts.get_current_head()
    with engine.connect() as connection:
        current = MigrationContext.configure(connection).get_current_revision()
    if current == head:
        return None
    if current is None:
        return Fault("the database has no tables yet: run flask db upgrade")
    try:
        scripts.get_revision(current)
    except CommandError:
        return Fault(
            f"the database is from a newer version (revision {current}): "
            "install that version, or restore a backup made before it",
            older=False,
        )
    return Fault(f"the database is at revision {current}, not {head}: run flask db upgrade")


@cache
def _scripts() -> ScriptDirectory:
    config = Config()
    # In an .ini file, which this stands for, a percent sign is doubled.
    config.set_main_option("script_location", str(FOLDER).replace("%", "%%"))
    return ScriptDirectory.from_config(config)
