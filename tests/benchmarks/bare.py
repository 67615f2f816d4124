"""The minimum of a WSGI application: the same response to every request.

The file named by BARE_ANSWER has the headers as JSON in its first line, followed by the body.
"""

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

head, _, body = Path(os.environ["BARE_ANSWER"]).read_bytes().partition(b"\n")
headers = [(name, value) for name, value in json.loads(head)]
answer = [body]


def app(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
    start_response("200 OK", headers)
    return answer
