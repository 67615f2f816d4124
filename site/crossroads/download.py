"""An export as an answer: the whole file, or an error and none of it."""

import tempfile

import structlog
from flask import Response, abort
from werkzeug.wsgi import FileWrapper

from crossroads import desk, export
from crossroads.admin_forms import ExportForm
from crossroads.export import Sheet
from crossroads.listing import Filter
from models import db, now

IN_MEMORY = 1024 * 1024  # a larger export waits on disk until it is sent

log = structlog.get_logger()


def csv(sheet: Sheet, which: Filter, name: str) -> Response:
    """Return the rows that are meant as a file called after `name` and the day.

    Answers 400 to a form that asks for another kind of file.
    """
    if not ExportForm().validate():
        abort(400)
    file = tempfile.SpooledTemporaryFile(max_size=IN_MEMORY)  # noqa: SIM115, closed when sent
    try:
        rows = export.write_csv(db.engine, sheet, which, file)
    except BaseException:
        file.close()
        raise
    size = file.tell()
    file.seek(0)
    log.info(f"{name} exported", user=desk.signed_in().id, rows=rows, bytes=size)
    response = Response(FileWrapper(file, 65536), mimetype="text/csv", direct_passthrough=True)
    response.content_length = size  # so that half an export cannot pass for a whole one
    response.headers["Content-Disposition"] = f"attachment; filename={name}-{now():%Y-%m-%d}.csv"
    response.headers["Cache-Control"] = "no-store"
    return response
