"""The database's schema: is it the one this version of the program was written for?

What a start asks is answered without Alembic, which takes half a second to import.
"""

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from sqlalchemy import Engine, inspect, text

import models

FOLDER: Final = Path(models.__file__).parent / "migrations"
REVISION: Final = re.compile(r'^revision = "(\w+)"\ndown_revision = (?:None|"(\w+)")$', re.M)


@dataclass(frozen=True)
class SchemaMismatch:
    """What is wrong with the schema and what to do; `older` means that an upgrade mends it."""

    text: str
    older: bool = True

    def __str__(self) -> str:
        return self.text


def mismatch(engine: Engine) -> SchemaMismatch | None:
    """Return what is wrong with the schema, or None. Raises SQLAlchemyError."""
    known = revisions()
    head = known[-1]
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
    if current == head:
        return None
    if current is None:
        return SchemaMismatch("the database has no tables yet: run flask db upgrade")
    if current not in known:
        return SchemaMismatch(
            f"the database is from a newer version (revision {current}): "
            "install that version, or restore a backup made before it",
            older=False,
        )
    return SchemaMismatch(
        f"the database is at revision {current}, not {head}: run flask db upgrade"
    )


@cache
def revisions() -> tuple[str, ...]:
    """Return the names of all migrations, first to last: each names the one before it."""
    after: dict[str | None, str] = {}
    for file in (FOLDER / "versions").glob("*.py"):
        found = REVISION.search(file.read_text(encoding="utf-8"))
        if found is None:
            raise ValueError(f"{file}: names no revision and the one before it")
        after[found[2]] = found[1]
    names: list[str] = []
    while (name := after.get(names[-1] if names else None)) is not None:
        names.append(name)
    return tuple(names)
