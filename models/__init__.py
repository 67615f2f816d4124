"""Tables of Crossroads: one noun a module, importable without Flask running."""

from models.base import Base, db, insert_for, now, writing
from models.cohort import Cohort
from models.consent import ConsentEvent
from models.lead import Lead
from models.message import Message
from models.site_version import SiteVersion
from models.user import StaffSession, User

__all__ = [
    "Base",
    "Cohort",
    "ConsentEvent",
    "Lead",
    "Message",
    "SiteVersion",
    "StaffSession",
    "User",
    "db",
    "insert_for",
    "now",
    "writing",
]
