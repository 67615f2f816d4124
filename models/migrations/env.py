"""How Alembic reaches the database: through the app that runs the flask command."""

from alembic import context
from flask import current_app

from models import db

config = context.config
database = current_app.extensions["migrate"].db
options = current_app.extensions["migrate"].configure_args


def run() -> None:
    """Run migrations on a connection; SQLite rebuilds a table where it cannot alter one."""
    with database.engine.connect() as connection:
        # Dropping the old table during a rebuild would empty its children. The pragma does
        # nothing inside a transaction, so it goes past SQLAlchemy, which would begin one.
        driver = connection.connection.dbapi_connection
        sqlite = connection.dialect.name == "sqlite"
        if sqlite:
            driver.execute("PRAGMA foreign_keys = OFF")
        context.configure(connection=connection, target_metadata=db.metadata, **options)
        with context.begin_transaction():
            context.run_migrations()
        if sqlite:
            driver.execute("PRAGMA foreign_keys = ON")


if context.is_offline_mode():
    raise SystemExit("migrations need a database: set DATABASE_URL")
run()
