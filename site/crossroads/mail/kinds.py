"""The one registry of mail kinds: all other modules read the properties of a kind from here.

A new kind is one entry in `MailKind` and one folder of templates, `templates/email/<kind>/`.
"""

from dataclasses import dataclass
from enum import StrEnum, auto


class About(StrEnum):
    """The subject of a mail: it selects the data for its templates and the preview's sample."""

    LEAD = auto()
    WAITING = auto()  # a lead on the waiting list of a cohort
    ORDER = auto()  # an order that was paid
    UNPAID_ORDER = auto()
    SEAT = auto()  # an enrollment, and the order that paid for it
    ANNOUNCEMENT = auto()


class SendIf(StrEnum):
    """The required state of the receiver when a queued mail is sent; eligibility checks it."""

    # To leads. An address on the do-not-mail list gets none of these, with one exception: a
    # request to confirm that was queued after the address was added to that list.
    LEAD_NOT_CONFIRMED = auto()
    LEAD_CONFIRMED = auto()  # marketing
    NOT_WAITING = auto()
    WAITING = auto()
    # To buyers and participants, even if their address is on the do-not-mail list.
    BUYER = auto()  # always: a buyer has a right to this information
    SEAT_TAKEN = auto()
    SEAT_LOST = auto()  # and only if the receiver knows about the seat


@dataclass(frozen=True, kw_only=True)
class _Kind:
    value: str
    label: str
    about: About
    send_if: SendIf
    limited: bool = False


class MailKind(StrEnum):
    """A kind of mail. Its value is stored in the outbox and names its folder of templates.

    `label` is its name at the desk. A `limited` kind can be triggered by anyone who types an
    address: together, an address gets at most `outbox.MAILS_AN_HOUR` of them.
    """

    label: str
    about: About
    send_if: SendIf
    limited: bool

    def __new__(cls, kind: _Kind) -> "MailKind":
        member = str.__new__(cls, kind.value)
        member._value_ = kind.value
        member.label, member.about = kind.label, kind.about
        member.send_if, member.limited = kind.send_if, kind.limited
        return member

    @property
    def asks_to_confirm(self) -> bool:
        """Whether the mail asks for confirmation of a sign-up or of a waiting-list entry."""
        return self.send_if in (SendIf.LEAD_NOT_CONFIRMED, SendIf.NOT_WAITING)

    CONFIRM = _Kind(
        value="confirm",
        label="Confirm your email",
        about=About.LEAD,
        send_if=SendIf.LEAD_NOT_CONFIRMED,
        limited=True,
    )
    WELCOME = _Kind(
        value="welcome",
        label="Welcome",
        about=About.LEAD,
        send_if=SendIf.LEAD_CONFIRMED,
        limited=True,
    )
    ALREADY = _Kind(
        value="already",
        label="Already subscribed",
        about=About.LEAD,
        send_if=SendIf.LEAD_CONFIRMED,
        limited=True,
    )
    WAIT = _Kind(
        value="wait",
        label="Confirm the waiting list",
        about=About.WAITING,
        send_if=SendIf.NOT_WAITING,
        limited=True,
    )
    WAITING = _Kind(
        value="waiting",
        label="On the waiting list",
        about=About.WAITING,
        send_if=SendIf.WAITING,
        limited=True,
    )
    RECEIPT = _Kind(
        value="receipt",
        label="Receipt",
        about=About.ORDER,
        send_if=SendIf.BUYER,
    )
    ENROLLED = _Kind(
        value="enrolled",
        label="Enrolled",
        about=About.ORDER,
        send_if=SendIf.BUYER,
    )
    UNSEATED = _Kind(
        value="unseated",
        label="No seat was left",
        about=About.ORDER,
        send_if=SendIf.BUYER,
    )
    REFUND = _Kind(
        value="refund",
        label="Refund",
        about=About.ORDER,
        send_if=SendIf.BUYER,
    )
    REFUND_FAILED = _Kind(
        value="refund-failed",
        label="Refund failed",
        about=About.ORDER,
        send_if=SendIf.BUYER,
    )
    FAILED = _Kind(
        value="failed",
        label="Payment failed",
        about=About.UNPAID_ORDER,
        send_if=SendIf.BUYER,
    )
    INVITATION = _Kind(
        value="invitation",
        label="Invitation to a seat",
        about=About.SEAT,
        send_if=SendIf.SEAT_TAKEN,
        limited=True,
    )
    REPLACED = _Kind(
        value="replaced",
        label="Seat given to someone else",
        about=About.SEAT,
        send_if=SendIf.SEAT_LOST,
    )
    WITHDRAWN = _Kind(
        value="withdrawn",
        label="Seat canceled",
        about=About.SEAT,
        send_if=SendIf.SEAT_LOST,
    )
    ANNOUNCEMENT = _Kind(
        value="announcement",
        label="Announcement",
        about=About.ANNOUNCEMENT,
        send_if=SendIf.LEAD_CONFIRMED,
    )
    SEATS = _Kind(
        value="places",
        label="Announcement to a waiting list",
        about=About.ANNOUNCEMENT,
        send_if=SendIf.WAITING,
    )


LIMITED = tuple(kind for kind in MailKind if kind.limited)
_BY_VALUE = {str(kind): kind for kind in MailKind}


def kind_of(value: str) -> MailKind:
    """Return the kind of a stored message. Raises KeyError for one of another version."""
    return _BY_VALUE[value]


def find(value: str) -> MailKind | None:
    """Return the kind of a stored message; None for a kind of another version of the app."""
    return _BY_VALUE.get(value)


def label(value: str) -> str:
    """Return the desk's name of the kind of a stored message."""
    kind = find(value)
    return kind.label if kind else value.capitalize()
