"""The counter in the database that makes every web worker render its public pages again."""

from sqlalchemy import select

from models import SiteVersion, insert_for
from models.base import AnySession


def current(session: AnySession) -> int:
    """Return the current number, 0 before the first change."""
    return session.scalar(select(SiteVersion.version).where(SiteVersion.id == 1)) or 0


def advance(session: AnySession) -> None:
    """Increase the number in the caller's transaction; its commit makes pages render again."""
    session.execute(
        insert_for(session, SiteVersion)
        .values(id=1, version=1)
        .on_conflict_do_update(
            index_elements=[SiteVersion.id], set_={"version": SiteVersion.version + 1}
        )
    )
