"""The forms of the desk. admin/access checks their token before they are read."""

import re
from collections.abc import Collection

from flask import request
from wtforms import (
    Field,
    HiddenField,
    PasswordField,
    SelectField,
    SelectMultipleField,
    StringField,
    TextAreaField,
)
from wtforms.validators import ValidationError

from crossroads import export, money
from crossroads.content import link_check
from crossroads.database.pagination import Filter, cleaned
from crossroads.leads.listing import LeadFilter
from crossroads.mail.kinds import MailKind
from crossroads.mail.listing import MailFilter
from crossroads.mail_headers import one_line
from crossroads.orders import refunds
from crossroads.orders.enrollment_listing import EnrollmentFilter
from crossroads.orders.ledger import Balance
from crossroads.orders.listing import OrderFilter
from crossroads.site_form import SiteForm
from crossroads.staff.accounts import password_problem
from models import Announcement, Order
from models.labels import Labeled
from models.lead import LeadState
from models.message import MessageState
from models.order import OrderState

SUBJECT_LENGTH = 150
BODY_LENGTH = 8_000  # in Markdown; the whole mail stays under 30 KB
RATE_MAX = 6_000
WORDS = ("subject", "body", "page", "campaign", "waiting", "rate")  # of an announcement


class DeskForm(SiteForm):
    """A form whose token is checked by admin/access."""


class SignInForm(DeskForm):
    """Email and password; `next` is the requested page."""

    email = StringField("Email address")
    password = PasswordField("Password")
    next = HiddenField()

    def validate_email(self, field: Field) -> None:
        if not (field.data or "").strip():
            raise ValidationError("Enter your email address")

    def validate_password(self, field: Field) -> None:
        if not field.data:
            raise ValidationError("Enter your password")


class PasswordForm(DeskForm):
    """The present password, and a new one twice."""

    current = PasswordField("Current password")
    new = PasswordField("New password")
    repeat = PasswordField("New password again")

    def validate_current(self, field: Field) -> None:
        if not field.data:
            raise ValidationError("Enter the password you signed in with")

    def validate_new(self, field: Field) -> None:
        if problem := password_problem(field.data or ""):
            raise ValidationError(problem)
        if field.data == self.current.data:
            raise ValidationError("Use a password other than the current one")

    def validate_repeat(self, field: Field) -> None:
        if field.data != self.new.data:
            raise ValidationError("Type the same new password twice")


class FilterForm(DeskForm):
    """The filter of a list, from the query string. Invalid values are ignored."""

    which: Filter

    def __init__(self, which: Filter) -> None:
        super().__init__(formdata=request.args)
        self.which = which
        for name, value in which.active.items():
            self[name].data = value


class LeadFilterForm(FilterForm):
    """Which leads to list."""

    q = StringField("Email or name")
    state = SelectField("State")
    page = SelectField("Page")
    campaign = SelectField("Campaign")
    waiting = SelectField("Waiting for")

    def __init__(
        self, pages: list[str], campaigns: list[str], waited_for: list[tuple[str, str]]
    ) -> None:
        which = LeadFilter.read(request.args)
        super().__init__(which)
        self.state.choices = _any_state(LeadState)
        self.page.choices = _choices("Any page", [(page, page) for page in pages], which.page)
        names = [(campaign, campaign) for campaign in campaigns]
        self.campaign.choices = _choices("Any campaign", names, which.campaign)
        self.waiting.choices = _choices("Any", waited_for, which.waiting)


class MailFilterForm(FilterForm):
    """Which mails to list."""

    which: MailFilter

    q = StringField("Email")
    state = SelectField("State")
    kind = SelectField("Kind")

    def __init__(self, which: MailFilter) -> None:
        super().__init__(which)
        self.state.choices = _any_state(MessageState)
        self.kind.choices = _choices(
            "Any kind", [(kind, kind.label) for kind in MailKind], which.kind
        )


class AnnouncementForm(DeskForm):
    """An announcement and whom it is for; the choices are those of the list of leads."""

    subject = StringField("Subject")
    body = TextAreaField("Message (Markdown)")
    page = SelectField("First page visited")
    campaign = SelectField("First campaign")
    waiting = SelectField("Waiting list")
    rate = StringField("Emails per minute")
    version = HiddenField()  # of the announcement that the form was filled from
    form_key = HiddenField()  # of this form: sent twice, it is one announcement

    def __init__(
        self,
        announcement: Announcement | None,
        pages: list[str],
        campaigns: list[str],
        waited_for: list[tuple[str, str]],
        base_url: str,
        own_paths: Collection[str],
    ) -> None:
        super().__init__(obj=announcement)
        self._base_url, self._own_paths = base_url, own_paths
        # An earlier choice stays available, even if no lead matches it now.
        before = announcement or Announcement(subject="", body="", rate=0)
        self.page.choices = _choices("Any page", [(page, page) for page in pages], before.page)
        names = [(campaign, campaign) for campaign in campaigns]
        self.campaign.choices = _choices("Any campaign", names, before.campaign)
        everyone = "Everyone confirmed"
        self.waiting.choices = _choices(everyone, waited_for, before.waiting)

    def validate_subject(self, field: Field) -> None:
        field.data = one_line(cleaned(field.data, keep="\t\r\n"))
        if not field.data:
            raise ValidationError("Enter a subject: it is the first thing people read")
        if len(field.data) > SUBJECT_LENGTH:
            raise ValidationError(f"Use {SUBJECT_LENGTH} characters or fewer")

    def validate_body(self, field: Field) -> None:
        field.data = cleaned(field.data, keep="\r\n").replace("\r\n", "\n").strip()
        if not field.data:
            raise ValidationError("Enter a message")
        if len(field.data) > BODY_LENGTH:
            raise ValidationError(f"Use {BODY_LENGTH:,} characters or fewer: mail stays small")
        *others, last = [*link_check.problems(field.data, self._base_url, self._own_paths)] or [""]
        field.errors = [*field.errors, *(_sentence(one) for one in others)]
        if last:
            raise ValidationError(_sentence(last))

    def words(self) -> dict[str, object]:
        """Return the announcement's text and receivers by field, from a valid form."""
        return {name: self[name].data for name in WORDS}

    def validate_rate(self, field: Field) -> None:
        typed = (field.data or "").strip()
        if not re.fullmatch(r"[0-9]{1,6}", typed) or not 1 <= int(typed) <= RATE_MAX:
            raise ValidationError(f"Enter a whole number from 1 to {RATE_MAX:,}")
        field.data = int(typed)


class OrderFilterForm(FilterForm):
    """Which orders to list. `courses` are values of the filter with their names."""

    q = StringField("Email, name, number or Stripe id")
    state = SelectField("State")
    course = SelectField("Course or dates")

    def __init__(self, courses: list[tuple[str, str]]) -> None:
        which = OrderFilter.read(request.args)
        super().__init__(which)
        self.state.choices = _any_state(OrderState)
        self.course.choices = _choices("Any course", courses, which.course)


class EnrollmentFilterForm(FilterForm):
    """Which seats to list."""

    which: EnrollmentFilter

    q = StringField("Email or name")
    course = SelectField("Course or dates")

    def __init__(self, courses: list[tuple[str, str]]) -> None:
        which = EnrollmentFilter.read(request.args)
        super().__init__(which)
        self.course.choices = _choices("Any course", courses, which.course)


class ExportForm(DeskForm):
    """The kind of file; the rows are chosen by the list's address."""

    format = SelectField(choices=list(export.KINDS))


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _any_state(states: type[Labeled]) -> list[tuple[str, str]]:
    return [("", "Any state"), *states.choices()]


def _choices(
    anything: str, known: list[tuple[str, str]], chosen: str | None
) -> list[tuple[str, str]]:
    """Return the choices, including the current value if it is no longer known."""
    unknown = [(chosen, chosen)] if chosen and chosen not in dict(known) else []
    return [("", anything), *unknown, *known]


class RefundForm(DeskForm):
    """What to refund of an order: the rest, a number of seats, or an amount."""

    what = SelectField("What to refund")
    seat = SelectMultipleField("Seats to refund", coerce=int, validate_choice=False)
    amount = StringField("Amount to refund")
    returns = HiddenField()  # what the page named that was agreed to, in the smallest unit
    number = HiddenField()  # of the refund that the page was about: sent twice, it is one

    def __init__(self, order: Order, balance: Balance) -> None:
        super().__init__(formdata=request.values)
        self._currency = order.currency
        self.what.choices = _refundable(order, balance)
        self.seat.choices = [(number, f"Seat {number}") for number in balance.free_to_return]
        self.what.data = self.what.data or self.what.choices[0][0]

    @property
    def seats(self) -> int | None:
        """Return how many seats to refund; None if the refund is not by seats."""
        return int(self.what.data) if self.what.data.isdecimal() else None

    @property
    def sum(self) -> int | None:
        """Return the amount to refund; None if the refund is not by amount."""
        named = self.what.data == "amount"
        return money.parse(self.amount.data or "", self._currency) if named else None

    def validate_amount(self, field: Field) -> None:
        if self.what.data == "amount":
            try:
                money.parse(field.data or "", self._currency)
            except ValueError:
                example = money.decimal(12000, self._currency)
                raise ValidationError(f"Enter an amount like {example}") from None


def _refundable(order: Order, balance: Balance) -> list[tuple[str, str]]:
    def described(seats: int | None) -> str:
        amount, taken = refunds.price(order, balance, seats, None)
        text = money.display(amount, order.currency)
        return f"{text}, {taken} {'seat' if taken == 1 else 'seats'}"

    parts = [(str(seats), described(seats)) for seats in range(1, balance.seats_left)]
    return [
        ("all", f"The full remaining amount: {described(None)}"),
        *parts,
        ("amount", "An amount, no seat"),
    ]
