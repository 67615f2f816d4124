"""Writes every kind of mail with sample data to files."""

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import assert_never

from crossroads import money
from crossroads.content import Content
from crossroads.mail.composer import Composer, as_bytes
from crossroads.mail.kinds import About, MailKind, SendIf
from crossroads.notifications import contexts
from crossroads.notifications.contexts import Announced, Participant, Unpaid, WaitingLead
from crossroads.orders.enrollments import Bought, Receipt, Returned
from models.announcement import Announcement
from models.base import now
from models.enrollment import Enrollment
from models.lead import Lead
from models.message import Message
from models.order import Order
from models.waiting_list import Waiting

RECEIVER = "maria.keller@example.com"
NAME = "Maria Keller"
TOKEN = "a-sample-that-opens-nothing-xxxx"  # noqa: S105 - as long as a real one
SEATS = 2


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One mail that was written: its files are called after its kind. `size` is in bytes."""

    kind: str
    subject: str
    size: int


def write(folder: Path, composer: Composer, content: Content) -> list[Sample]:
    """Write each kind of mail as .html, .txt and .eml, and an index.html that shows them all.

    Raises OSError when the folder cannot be written to, and TemplateNotFound for a kind of mail
    without templates.
    """
    folder.mkdir(parents=True, exist_ok=True)
    samples = [_write_one(folder, kind, composer, content) for kind in MailKind]
    index = composer.render("index.html", {"site": content.site, "samples": samples})
    (folder / "index.html").write_text(index, encoding="utf-8")
    return samples


def _write_one(folder: Path, kind: MailKind, composer: Composer, content: Content) -> Sample:
    message = Message(kind=kind, recipient=RECEIVER, address_hash="", reference=f"sample-{kind}")
    context = contexts.context(message, _sample(kind, content), content, composer.base_url)
    mail = composer.compose(kind, message.recipient, message.reference, context)
    whole = as_bytes(mail)
    (folder / f"{kind}.eml").write_bytes(whole)
    for part, ending in (("plain", "txt"), ("html", "html")):
        body = mail.get_body((part,))
        assert body is not None  # noqa: S101 - the composer gave it both
        words = body.get_content().replace("\r\n", "\n")
        (folder / f"{kind}.{ending}").write_text(words, encoding="utf-8")
    return Sample(kind=kind, subject=str(mail["Subject"]), size=len(whole))


def _lead(content: Content) -> Lead:
    page = content.comparisons[0] if content.comparisons else None
    return Lead(
        email=RECEIVER,
        email_key=RECEIVER,
        address_hash="",
        name=NAME,
        page=f"/compare/{page.slug}" if page else None,
        confirm_until=now() + timedelta(days=7),
        confirm_token=TOKEN,
        unsubscribe_token=TOKEN,
    )


def _waiter(content: Content) -> WaitingLead:
    course = content.courses[0] if content.courses else None
    cohort = course.cohorts[0] if course and course.cohorts else None
    waiting = Waiting(
        lead_id=1,
        course=course.slug if course else "course",
        cohort=cohort.code if cohort else "cohort",
        confirm_until=now() + timedelta(days=7),
        token=TOKEN,
    )
    return WaitingLead(lead=_lead(content), waiting=waiting)


def _bought(content: Content) -> Bought:
    """Return an order of two seats, with a discount and tax: every line that a receipt can have.

    Without a course in the content it is one that has left it.
    """
    course = content.courses[0] if content.courses else None
    cohort = course.cohorts[0] if course and course.cohorts else None
    amount = course.price.amount if course else 10_000
    currency = course.price.currency if course else "USD"
    order = Order(
        course=course.slug if course else "course",
        cohort=cohort.code if cohort else "cohort",
        email=RECEIVER,
        email_key=RECEIVER,
        address_hash="",
        name=NAME,
        item=f"{course.title}, {cohort.title or cohort.code}" if course and cohort else "Course",
        seats=SEATS,
        unit_amount=amount,
        currency=currency,
        session_until=now(),
        request_key=TOKEN,
        token=TOKEN,
    )
    order.id = 1041
    discount, tax = order.amount // 10, order.amount // 20

    def as_price(sum_: int) -> str:
        return money.display(sum_, currency)

    receipt = Receipt(
        number=order.id,
        item=order.item,
        seats=SEATS,
        price=as_price(amount),
        subtotal=as_price(order.amount),
        discount=f"-{as_price(discount)}",
        tax=as_price(tax),
        tax_included=False,
        total=as_price(order.amount - discount + tax),
        free=False,
        invoiced=True,
        returned=None,
        paid_at=now(),
    )
    share = Returned(amount=as_price(amount), seats=1, kept=SEATS - 1, whole=False)
    return Bought(order=order, receipt=receipt, token=TOKEN, leave_token=TOKEN, returned=share)


def _participant(content: Content) -> Participant:
    order = _bought(content).order
    order.name = "Maria"
    enrollment = Enrollment(
        order_id=order.id,
        seat=SEATS,
        course=order.course,
        cohort=order.cohort,
        email="ben.okafor@example.com",
        name="Ben Okafor",
        address_hash="another",
        token=TOKEN,
    )
    return Participant(enrollment=enrollment, order=order)


LETTER = """\
The next cohort starts on **January 19**. It has 12 seats, and the first week is free to read.

## What is new

- A session with a hiring manager, every second week
- Written feedback on [your case study](/courses/ai-pm-bootcamp)

> I can unsubscribe in one click.

See you there.
"""


def _announced(content: Content, *, to_waiting_list: bool) -> Announced:
    seat = _waiter(content).waiting
    announcement = Announcement(
        subject="The January cohort is open",
        body=LETTER,
        rate=60,
        waiting=f"{seat.course}/{seat.cohort}" if to_waiting_list else "",
    )
    return Announced(announcement=announcement, lead=_lead(content))


def _sample(
    kind: MailKind, content: Content
) -> Lead | WaitingLead | Bought | Unpaid | Participant | Announced:
    """Return sample data for a mail of this kind."""
    match kind.about:
        case About.LEAD:
            return _lead(content)
        case About.WAITING:
            return _waiter(content)
        case About.ORDER:
            return _bought(content)
        case About.UNPAID_ORDER:
            return Unpaid(order=_bought(content).order)
        case About.SEAT:
            return _participant(content)
        case About.ANNOUNCEMENT:
            return _announced(content, to_waiting_list=kind.send_if is SendIf.WAITING)
        case _:
            assert_never(kind.about)
