"""A database between two migrations, and its leads."""

from datetime import UTC, date, datetime

from flask import Flask
from sqlalchemy import Engine, MetaData, select
from sqlalchemy.orm import Session

from models import (
    ConsentEvent,
    Lead,
    db,
    now,
    writing,
)
from models.consent import ConsentKind
from tests.support.people import hashed


def flask(app: Flask, *arguments: str) -> str:
    """Run a flask command, which must succeed, and return its output."""
    result = app.test_cli_runner().invoke(args=arguments)
    assert result.exit_code == 0, f"{result.output}{result.exception}"
    return result.output


def engine_of(app: Flask) -> Engine:
    with app.app_context():
        return db.engine


def add_lead(engine: Engine) -> str:
    """Add a lead with a consent, and return its address."""
    with Session(engine) as session:
        writing(session)
        lead = Lead(
            email="Maria@example.com",
            email_key="maria@example.com",
            address_hash=hashed("maria@example.com"),
            confirm_until=now(),
        )
        session.add(lead)
        session.flush()
        session.add(
            ConsentEvent(
                lead_id=lead.id,
                address_hash=lead.address_hash,
                kind=ConsentKind.GIVEN,
                form="signup",
            )
        )
        session.commit()
        return lead.email


def leads(engine: Engine) -> list[str]:
    """Return the addresses of all leads that still have their consent."""
    query = select(Lead.email).join(ConsentEvent, ConsentEvent.lead_id == Lead.id)
    with Session(engine) as session:
        return list(session.scalars(query))


def add_row_to_each(tables: MetaData, engine: Engine, number: int) -> None:
    """Add a row with this number to each of the tables, with a value in every column.

    A foreign key is the number, too: it refers to the row of the same call.
    """
    at = datetime(2026, 3, number, 12, tzinfo=UTC)
    values = {str: str(number), int: number, bool: False, object: {}, datetime: at, date: at.date()}
    with engine.begin() as connection:
        for table in tables.sorted_tables:
            row = {column.name: values[column.type.python_type] for column in table.columns}
            connection.execute(table.insert(), row)
