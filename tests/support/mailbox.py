"""Captured mail in the folder of the sandbox."""

import os
from pathlib import Path

MAIL = """\
From: The AI Internship <hello@example.com>
To: maria@example.com
Subject: Confirm your email
MIME-Version: 1.0
Content-Type: multipart/alternative; boundary="=="

--==
Content-Type: text/plain; charset="utf-8"

Confirm here: http://localhost/confirm/token
--==
Content-Type: text/html; charset="utf-8"

<!doctype html><html lang="en"><head><title>Confirm</title></head>
<body><a href="http://localhost/confirm/token">Confirm my email</a></body></html>
--==--
"""


def put(folder: Path, name: str, content: str | bytes = MAIL, *, age: int = 0) -> None:
    file = folder / name
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    moment = 1_790_000_000 - age
    os.utime(file, (moment, moment))
