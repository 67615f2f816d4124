"""Compares the schema of the database with this version of the program.

Compares two revision numbers without Alembic, which is slow to import.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sqlalchemy import Engine, inspect, text

import models

FOLDER: Final = Path(models.__file__).parent / "migrations"
HEAD: Final = "0025"  # the newest migration: raise it with each new file in versions/


@dataclass(frozen=True)
class SchemaMismatch:
    """What is wrong with the schema and what to do; if `older`, an upgrade corrects it."""

    text: str
    older: bool = True

    def __str__(self) -> str:
        return self.text


def mismatch(engine: Engine) -> SchemaMismatch | None:
    """Return what is wrong with the schema, or None. Raises SQLAlchemyError."""
    with engine.connect() as connection:
        if connection.dialect.name == "postgresql":
            encoding = connection.scalar(text("SHOW server_encoding"))
            if encoding != "UTF8":
                return SchemaMismatch(
                    f"the database is encoded in {encoding}, which cannot store every name: "
                    "create one with ENCODING 'UTF8' TEMPLATE template0",
                    older=False,
                )
        current = None
        if inspect(connection).has_table("alembic_version"):
            current = connection.scalar(text("SELECT version_num FROM alembic_version"))
    if current == HEAD:
        return None
    if current is None:
        return SchemaMismatch("the database has no tables yet: run flask setup")
    if current > HEAD:  # revisions are numbers of four digits
        return SchemaMismatch(
            f"the database is from a newer version (revision {current}): "
            "install that version, or restore a backup made before it",
            older=False,
        )
    return SchemaMismatch(
        f"the database is at revision {current}, not {HEAD}: run flask db upgrade"
    )
