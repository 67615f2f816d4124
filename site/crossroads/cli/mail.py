"""Mail."""

from pathlib import Path

import click
from flask.cli import AppGroup, with_appcontext

from crossroads import current
from crossroads.cli.support import count, fail, settings, templates
from crossroads.mail.composer import Composer
from crossroads.notifications import preview

group = AppGroup("mail", help="Mail: preview every kind.")


@group.command("preview")
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@with_appcontext
def write_preview(folder: Path) -> None:
    """Write every kind of mail with sample data to FOLDER, and an index.html that shows them."""
    try:
        samples = preview.write(folder, Composer(settings(), templates()), current.content())
    except OSError as error:
        fail(f"{folder}: cannot be written: {error.strerror}")
    click.echo(f"{count(len(samples), 'mail')} written: open {folder / 'index.html'}")
