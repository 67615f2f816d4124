"""The application as a WSGI server or the flask command loads it: `wsgi:app`."""

from pathlib import Path

from crossroads import create_app

app = create_app(Path(__file__).resolve().parent)
