"""The application as a WSGI server or the flask command loads it: `wsgi:app`."""

import gc
import sys
from pathlib import Path

# What a start makes stays. Python would look through it for garbage again and again, which takes
# an eighth of the time until the site stands.
gc.disable()

from crossroads import create_app
from crossroads.content import ContentError
from crossroads.settings import SettingsError

try:
    app = create_app(Path(__file__).resolve().parent)
except (SettingsError, ContentError) as error:
    sys.exit(str(error))  # one line for each fault, and no traceback around them
gc.freeze()  # nor is it later: the workers go on sharing it
gc.enable()
