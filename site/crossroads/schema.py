"""The database's schema: is it the one this version of the program was written for?"""

from pathlib import Path

from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Engine

import models

FOLDER = Path(models.__file__).parent / "migrations"


def fault(engine: Engine) -> str | None:
    """Return what is wrong with the schema and what to do, or None. Raises SQLAlchemyError."""
    config = Config()
    config.set_main_option("script_location", str(FOLDER))
    scripts = ScriptDirectory.from_config(config)
    head = scripts.get_current_head()
    with engine.connect() as connection:
        current = MigrationContext.configure(connection).get_current_revision()
    if current == head:
        return None
    if current is None:
        return "the database has no tables yet: run flask db upgrade"
    try:
        scripts.get_revision(current)
    except CommandError:
        return (
            f"the database is from a newer version (revision {current}): "
            "install that version, or restore a backup made before it"
        )
    return f"the database is at revision {current}, not {head}: run flask db upgrade"
