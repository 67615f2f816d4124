"""Serve a WSGI application as the site is served.

`python -m tests.benchmarks.served MODULE:NAME PORT`
"""

import sys

from crossroads.ops.server import web_server
from crossroads.settings import Settings

if __name__ == "__main__":
    target, port = sys.argv[1:]
    workers = Settings.model_fields["workers"].default
    web_server(target, host="127.0.0.1", port=int(port), workers=workers).serve()
