"""The application as a WSGI server or the flask command loads it: `wsgi:app`."""

import sys
from pathlib import Path

from crossroads import create_app
from crossroads.content import ContentError
from crossroads.settings import SettingsError

try:
    app = create_app(Path(__file__).resolve().parent)
except (SettingsError, ContentError) as error:
    sys.exit(str(error))  # one line for each fault, and no traceback around them
