"""Migrations by Flask-Migrate. Imported only by commands that migrate, as it is slow to load."""

from flask import Flask
from flask_migrate import Migrate, upgrade

from crossroads.database import schema
from models import db


def init_app(app: Flask) -> None:
    """Give the app the commands of `flask db`."""
    Migrate(app, db, directory=str(schema.FOLDER), render_as_batch=True)


def to_this_version(app: Flask) -> None:
    """Bring the database to this version, inside an app context. Raises SQLAlchemyError."""
    init_app(app)
    upgrade()
