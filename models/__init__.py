"""Tables of Crossroads: one noun a module, importable without Flask running."""

from models.announcement import Announcement
from models.base import Base, db, insert_for, now, writing
from models.cohort import Cohort
from models.consent import ConsentEvent
from models.enrollment import Enrollment
from models.lead import Lead
from models.lead_import import LeadImport
from models.lead_word import LeadWord
from models.lost_checkout import LostCheckout
from models.message import Message
from models.order import CheckoutRequest, Hold, Order, OrderEvent
from models.reconciliation import Reconciliation
from models.site import Site
from models.site_version import SiteVersion
from models.stripe_event import RefusedEvent, StripeEvent
from models.suppression import Suppression
from models.user import StaffSession, User
from models.waiting_list import Waiting

__all__ = [
    "Announcement",
    "Base",
    "CheckoutRequest",
    "Cohort",
    "ConsentEvent",
    "Enrollment",
    "Hold",
    "Lead",
    "LeadImport",
    "LeadWord",
    "LostCheckout",
    "Message",
    "Order",
    "OrderEvent",
    "Reconciliation",
    "RefusedEvent",
    "Site",
    "SiteVersion",
    "StaffSession",
    "StripeEvent",
    "Suppression",
    "User",
    "Waiting",
    "db",
    "insert_for",
    "now",
    "writing",
]
