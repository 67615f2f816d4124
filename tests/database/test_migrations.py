"""Migrations: up, down and up again on both databases, and no difference from the models."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from alembic.script import ScriptDirectory
from flask import Flask
from sqlalchemy import Engine, MetaData, func, inspect, select, text

from crossroads.database import schema
from models import (
    Base,
)
from tests.support.databases import administering, named
from tests.support.migrated import add_lead, add_row_to_each, engine_of, flask, leads

NEXT = """
import sqlalchemy as sa
from alembic import op

revision = "9999"
down_revision = "{head}"
branch_labels = None
depends_on = None


def upgrade():
    with op.batch_alter_table("lead") as batch_op:
        batch_op.add_column(sa.Column("note", sa.String(length=20), nullable=True))
        batch_op.alter_column("name", existing_type=sa.String(100), type_=sa.String(120))


def downgrade():
    with op.batch_alter_table("lead") as batch_op:
        batch_op.alter_column("name", existing_type=sa.String(120), type_=sa.String(100))
        batch_op.drop_column("note")
"""


@pytest.fixture
def app(make_app: Any, empty_database_url: str) -> Flask:
    """The site on an empty database."""
    built: Flask = make_app(database_url=empty_database_url)
    return built


def shape(engine: Engine) -> dict[str, Any]:
    """Return the database's definition of its tables, without Alembic's own."""
    found = inspect(engine)
    return {
        table: {
            "columns": sorted(  # a column added later is the last one
                (column["name"], str(column["type"]), column["nullable"])
                for column in found.get_columns(table)
            ),
            "key": found.get_pk_constraint(table),
            "unique": sorted(map(plain, found.get_unique_constraints(table))),
            "checks": sorted(map(plain, found.get_check_constraints(table))),
            "foreign": sorted(map(plain, found.get_foreign_keys(table))),
            "indexes": sorted(map(plain, found.get_indexes(table))),
        }
        for table in found.get_table_names()
        if table != "alembic_version"
    }


def plain(found: Any) -> str:
    """Return a constraint or an index as text to compare."""
    options = {name: str(value) for name, value in found.get("dialect_options", {}).items()}
    return str(sorted({**found, "dialect_options": options}.items()))


def test_migrations_run_up_down_and_up_again(app: Flask) -> None:
    engine = engine_of(app)
    flask(app, "db", "upgrade")
    first = shape(engine)
    assert set(first) == set(Base.metadata.tables)
    assert schema.mismatch(engine) is None
    flask(app, "db", "downgrade", "base")
    assert shape(engine) == {}
    flask(app, "db", "upgrade")
    assert shape(engine) == first


def test_migrations_make_what_the_models_say(app: Flask) -> None:
    engine = engine_of(app)
    flask(app, "db", "upgrade")
    flask(app, "db", "check")
    migrated = shape(engine)
    flask(app, "db", "downgrade", "base")
    Base.metadata.create_all(engine)
    assert shape(engine) == migrated


def test_head_is_the_newest_of_numbered_migrations() -> None:
    found = [one.revision for one in ScriptDirectory(str(schema.FOLDER)).walk_revisions()][::-1]
    assert found == [f"{number:04d}" for number in range(1, len(found) + 1)]
    assert found[-1] == schema.HEAD, "set HEAD in database/schema.py to the newest migration"


def test_check_finds_a_table_that_no_migration_makes(app: Flask) -> None:
    flask(app, "db", "upgrade")
    with engine_of(app).begin() as connection:
        connection.execute(text("DROP TABLE site_version"))
    result = app.test_cli_runner().invoke(args=["db", "check"])
    assert result.exit_code != 0


def test_newest_migration_accepts_rows_of_the_version_before(app: Flask) -> None:
    """The version before stores rows until it is replaced: before the migration and after it."""
    engine = engine_of(app)
    before = ScriptDirectory(str(schema.FOLDER)).get_revision(schema.HEAD).down_revision
    flask(app, "db", "upgrade", str(before))
    tables = MetaData()
    tables.reflect(engine)
    tables.remove(tables.tables["alembic_version"])
    assert len(tables.sorted_tables) > 20
    add_row_to_each(tables, engine, 2)  # a migration adds the first row of site
    flask(app, "db", "upgrade")
    add_row_to_each(tables, engine, 3)
    with engine.connect() as connection:
        for table in tables.sorted_tables:
            count = connection.scalar(select(func.count()).select_from(table))
            assert count is not None and count >= 2, table.name


def test_second_setup_keeps_existing_rows(app: Flask) -> None:
    flask(app, "setup")
    lead = add_lead(engine_of(app))
    flask(app, "setup")
    flask(app, "db", "upgrade")
    assert leads(engine_of(app)) == [lead]


def test_rebuilt_table_keeps_its_rows_and_their_children(app: Flask, tmp_path: Path) -> None:
    """SQLite rebuilds a table to alter it: up and down must both keep its rows."""
    folder = str(tmp_path / "migrations")
    shutil.copytree(schema.FOLDER, folder)
    engine = engine_of(app)
    flask(app, "db", "upgrade")
    with engine.connect() as connection:
        head = connection.scalar(text("SELECT version_num FROM alembic_version"))
    Path(folder, "versions", "9999_next.py").write_text(NEXT.format(head=head))
    lead = add_lead(engine)
    flask(app, "db", "upgrade", "--directory", folder)
    assert "note" in [column["name"] for column in inspect(engine).get_columns("lead")]
    assert leads(engine) == [lead]
    flask(app, "db", "downgrade", "--directory", folder)
    assert "note" not in [column["name"] for column in inspect(engine).get_columns("lead")]
    assert leads(engine) == [lead]
    assert schema.mismatch(engine) is None


def test_failed_migration_leaves_no_partial_change(app: Flask, tmp_path: Path) -> None:
    folder = tmp_path / "migrations"
    shutil.copytree(schema.FOLDER, folder)
    (first,) = (folder / "versions").glob("0001_*.py")
    source = first.read_text()
    first.write_text(source.replace("def downgrade", "    raise RuntimeError\n\n\ndef downgrade"))
    result = app.test_cli_runner().invoke(args=["db", "upgrade", "--directory", str(folder)])
    assert result.exit_code != 0
    assert shape(engine_of(app)) == {}
    flask(app, "db", "upgrade")


def test_database_that_is_not_utf_8_is_refused_before_setup(make_app: Any, postgres: str) -> None:
    with administering(postgres) as connection:
        connection.execute(
            text(
                "CREATE DATABASE latin ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' "
                "TEMPLATE template0"
            )
        )
    app = make_app(database_url=named(postgres, "latin"))
    result = app.test_cli_runner().invoke(args=["setup"])
    assert result.exit_code == 1
    assert "encoded in LATIN1" in result.output
    assert "ENCODING 'UTF8'" in result.output
    assert inspect(engine_of(app)).get_table_names() == []
    ready = app.test_client().get("/readyz")
    assert ready.status_code == 503


def test_schema_mismatch_message_has_the_fix(app: Flask) -> None:
    engine = engine_of(app)
    assert "run flask setup" in str(schema.mismatch(engine))
    flask(app, "db", "upgrade")
    assert schema.mismatch(engine) is None
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = 'a-later-one'"))
    fault = schema.mismatch(engine)
    assert fault is not None
    assert not fault.older
    assert "newer version (revision a-later-one)" in str(fault)
