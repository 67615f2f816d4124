"""A counter that grows with every change to the data of public pages."""

from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base


class SiteVersion(Base):
    """The single row (id 1) that every web worker watches to know when to render again."""

    __tablename__ = "site_version"

    id: Mapped[int] = mapped_column(primary_key=True)
    version: Mapped[int] = mapped_column(default=0)
