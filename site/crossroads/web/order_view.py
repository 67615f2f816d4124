"""The view of an order for its page: state, texts and possible actions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, assert_never

from wtforms import Field

from crossroads.content import Cohort, Course
from crossroads.content.schedule import Meeting
from crossroads.orders.enrollments import Receipt
from crossroads.orders.ledger import Balance
from crossroads.orders.participants import Seat
from crossroads.web.forms import ParticipantForm
from models import Enrollment, Order
from models.labels import Labeled
from models.order import OrderState

# What Stripe was asked for in vain; "refused" is a payment page that it will not open, "ours" one
# that could not be opened by a fault of this site.
Trouble = Literal["", "pay", "refused", "ours", "cancel", "look", "invoice"]


class PageState(Labeled):
    """What the page is about, with its heading. Its text is in templates/checkout/order/."""

    OPEN = "open", "Not paid yet"
    WAITING = "waiting", "Opening the payment page"
    PENDING = "pending", "Your payment is on its way"
    PAID = "paid", "You're in"
    UNSEATED = "unseated", "Paid, but no seat was left"
    REFUNDED = "refunded", "Your payment was refunded"
    DISPUTED = "disputed", "Your payment is disputed"
    LOST = "lost", "Your payment was taken back"
    FAILED = "failed", "Payment failed"
    EXPIRED = "expired", "This order has expired"
    CANCELED = "canceled", "No payment was taken"
    TROUBLE_PAY = "trouble-pay", "The payment page did not open"
    TROUBLE_OURS = "trouble-ours", "Something is wrong on our side"
    TROUBLE_REFUSED = "trouble-refused", "This order cannot be paid"
    TROUBLE_CANCEL = "trouble-cancel", "Not canceled yet"
    TROUBLE_LOOK = "trouble-look", "We are checking your payment"


@dataclass(frozen=True, kw_only=True)
class RejectedNames:
    """Rejected input for the seats of an order, by seat, and the message to show."""

    forms: Mapping[int, ParticipantForm] = field(default_factory=dict)
    notices: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True)
class SeatsView:
    """The seats of a paid order, and the forms to name their participants, by seat.

    `changeable` tells whether participants may be named now, `locked` that a seat with a
    participant stays theirs, as the course has started; `past` that it is over. `done` is what
    the buyer has just done.
    """

    each: Sequence[Seat] = ()
    forms: Mapping[int, ParticipantForm] = field(default_factory=dict)
    notices: Sequence[str] = ()
    done: str = ""
    changeable: bool = False
    locked: bool = False
    past: bool = False

    @property
    def own(self) -> Enrollment | None:
        """Return the buyer's own seat."""
        return next((seat.participant for seat in self.each if seat.own and seat.kept), None)

    @property
    def unnamed(self) -> list[Seat]:
        """Return the seats without a participant."""
        return [seat for seat in self.each if seat.kept and not seat.named]

    @property
    def listed(self) -> list[Seat]:
        """Return the seats that are shown with their participants, not as an empty form."""
        return [seat for seat in self.each if seat.named or not seat.kept or not self.changeable]

    @property
    def wrong(self) -> list[Field]:
        """Return the fields with mistakes, in the order of the page."""
        fields = [one for form in self.forms.values() for one in (form.name, form.email)]
        return [one for one in fields if one.errors]

    @property
    def mistaken(self) -> bool:
        """Return whether any submitted seat was rejected."""
        return bool(self.wrong or self.notices)


@dataclass(frozen=True, kw_only=True)
class OrderView:
    """An order as its buyer sees it.

    `minutes` are left to pay, begun ones counted; `total` is what is asked for, in words.
    `typed` is what the buyer entered, by field, for the form that changes the order.
    `receipt` and `paid_at` (in the cohort's time) are there once it was paid. `confirming` says
    that a copy of an expired checkout was paid and its money is on its way, `late` that the
    payment page takes longer to open than usual, `waits` that the buyer is on the waiting list.
    `recovery` is where an expired order can still be paid. `refresh` is after how many seconds the
    page loads again, None for never; `refresh_query` goes with its address then.
    """

    order: Order
    course: Course | None
    cohort: Cohort | None
    first_meeting: Meeting | None
    state: PageState
    trouble: Trouble
    balance: Balance
    receipt: Receipt | None
    paid_at: datetime | None
    seats: SeatsView
    minutes: int
    total: str
    typed: list[tuple[str, str]]
    confirming: bool
    late: bool
    waits: bool
    recovery: str | None
    refresh: int | None
    refresh_query: str
    refresh_stopped: bool

    @property
    def address(self) -> str:
        """Return the address of the page, without a host."""
        return f"/orders/{self.order.token}"

    @property
    def enroll_address(self) -> str:
        """Return the path to order the same seats again."""
        return f"/courses/{self.order.course}/enroll?cohort={self.order.cohort}"

    @property
    def seat_count(self) -> int:
        """Return how many seats the page is about: those that are left, once it is paid."""
        left = self.balance.paid and self.state != PageState.UNSEATED
        return self.balance.seats if left else self.order.seats

    @property
    def your_seats(self) -> str:
        """Return the seats in words."""
        return "your seat" if self.seat_count == 1 else f"your {self.seat_count} seats"


def state_of(
    balance: Balance,
    *,
    unseated: bool = False,
    trouble: Trouble = "",
    waiting: bool = False,
    confirming: bool = False,
    over: bool = False,
) -> PageState:
    """Return what the page is about.

    `unseated`: no seat was left when the payment came, whatever became of the money. `waiting`: the
    buyer waits for the payment page. `confirming`: a copy of the checkout was paid and its money
    is on its way. `over`: the time to pay has passed, and Stripe never made a checkout.
    """
    if unseated:
        return PageState.UNSEATED
    if not balance.state.paid and trouble:
        found = _of_trouble(trouble)
        if found is not None:
            return found
    if not balance.state.paid and waiting:
        return PageState.WAITING
    if not balance.state.paid and confirming:
        return PageState.PENDING
    if balance.state == OrderState.OPEN and over:
        return PageState.EXPIRED
    return _of_order(balance)


def _of_order(balance: Balance) -> PageState:
    match balance.state:
        case OrderState.OPEN:
            return PageState.OPEN
        case OrderState.PENDING:
            return PageState.PENDING
        case OrderState.FAILED:
            return PageState.FAILED
        case OrderState.EXPIRED:
            return PageState.EXPIRED
        case OrderState.CANCELED:
            return PageState.CANCELED
        case OrderState.DISPUTED:
            return PageState.DISPUTED
        case OrderState.DISPUTE_LOST:
            return PageState.LOST
        case OrderState.UNSEATED:
            return PageState.UNSEATED
        case OrderState.REFUNDED:
            return PageState.REFUNDED
        case OrderState.PAID | OrderState.PARTLY_REFUNDED | OrderState.DISPUTE_WON:
            return PageState.PAID if balance.access == "given" else PageState.REFUNDED
    assert_never(balance.state)


def _of_trouble(trouble: Trouble) -> PageState | None:
    """Return the page state for an error; None when the page only mentions it."""
    match trouble:
        case "pay":
            return PageState.TROUBLE_PAY
        case "ours":
            return PageState.TROUBLE_OURS
        case "refused":
            return PageState.TROUBLE_REFUSED
        case "cancel":
            return PageState.TROUBLE_CANCEL
        case "look":
            return PageState.TROUBLE_LOOK
        case "" | "invoice":
            return None
    assert_never(trouble)
