"""Sends an export as a download: the full file, or an error."""

import os
import tempfile
from typing import IO, cast

import structlog
from flask import Response, abort
from werkzeug.wsgi import FileWrapper

from crossroads import export
from crossroads.admin import access
from crossroads.admin.forms import ExportForm
from crossroads.database.pagination import Filter
from crossroads.export import Sheet
from models import db, now

IN_MEMORY = 1024 * 1024  # a larger export waits on disk until it is sent

log = structlog.get_logger()


def send(sheet: Sheet, which: Filter) -> Response:
    """Return the selected rows as a file named after the sheet and the day.

    The form's `format` is one of export.KINDS; another one is answered with 400.
    """
    form = ExportForm()
    if not form.validate():
        abort(400)
    kind: str = form.format.data
    file = tempfile.SpooledTemporaryFile(max_size=IN_MEMORY)  # noqa: SIM115, closed when sent
    try:
        rows = export.write(db.engine, sheet, which, kind, cast(IO[bytes], file), signed=True)
        size = file.seek(0, os.SEEK_END)
        file.seek(0)
    except BaseException:
        file.close()
        raise
    user = access.signed_in().id
    log.info(f"{sheet.name} exported", user=user, format=kind, rows=rows, bytes=size)
    name = f"{sheet.name}-{now():%Y-%m-%d}.{kind}"
    response = Response(FileWrapper(file, 65536), direct_passthrough=True)
    response.headers["Content-Type"] = export.KINDS[kind][1]
    response.headers["Content-Disposition"] = f"attachment; filename={name}"
    response.headers["Cache-Control"] = "no-store"
    response.content_length = size  # so that half an export cannot pass for a whole one
    return response
