"""The counter that tells every web worker to render its public pages again."""

from sqlalchemy import select

from models import SiteVersion, insert_for
from models.base import AnySession


def current(session: AnySession) -> int:
    """Return the number as it is now, 0 before the first change."""
    return session.scalar(select(SiteVersion.version).where(SiteVersion.id == 1)) or 0


def advance(session: AnySession) -> None:
    """Let the number grow in the caller's transaction: pages follow once it is committed."""
    session.execute(
        insert_for(session, SiteVersion)
        .values(id=1, version=1)
        .on_conflict_do_update(
            index_elements=[SiteVersion.id], set_={"version": SiteVersion.version + 1}
        )
    )
