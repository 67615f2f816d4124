"""Template contexts of mail: the values and links for one receiver."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime

from crossroads.content import Comparison, Content, Course, markdown, schedule
from crossroads.leads import waiting_list
from crossroads.mail.kinds import kind_of
from crossroads.orders import lifecycle as orders
from crossroads.orders.enrollments import Bought
from models.announcement import Announcement
from models.enrollment import Enrollment
from models.lead import Lead
from models.message import Message
from models.order import Order
from models.waiting_list import Waiting

LINKED = re.compile(r"[/:@\\<>]|\.\S")


@dataclass(frozen=True, kw_only=True)
class Page:
    """A page of this site as a mail names it."""

    title: str
    link: str


@dataclass(frozen=True, kw_only=True)
class WaitingLead:
    """A lead and the entry on a waiting list that a mail is about."""

    lead: Lead
    waiting: Waiting


@dataclass(frozen=True, kw_only=True)
class Unpaid:
    """An order whose payment failed."""

    order: Order


@dataclass(frozen=True, kw_only=True)
class Participant:
    """A participant, and the order that paid for the seat."""

    enrollment: Enrollment
    order: Order


@dataclass(frozen=True, kw_only=True)
class Announced:
    """An announcement and its receiver; None for a test to a member of the staff."""

    announcement: Announcement
    lead: Lead | None


def context(
    message: Message,
    receiver: Lead | Bought | Participant | Unpaid | WaitingLead | Announced,
    content: Content,
    base_url: str,
) -> dict[str, object]:
    """Return the template context for the message's kind.

    `link` is where the button leads. Only mail of a kind that one can be taken off has an
    `unsubscribe_link`; only a request to confirm has `until`, when its link stops working.
    """
    words: dict[str, object] = {"site": content.site, "base_url": base_url}
    if isinstance(receiver, Bought):
        return words | _purchase(receiver, content, base_url)
    if isinstance(receiver, Participant):
        return words | _participant(receiver, content, base_url)
    if isinstance(receiver, Unpaid):
        return words | _unpaid(receiver.order, content, base_url)
    if isinstance(receiver, WaitingLead):
        return words | _waiting(message, receiver, content, base_url)
    if isinstance(receiver, Announced):
        return words | _announced(message, receiver, content, base_url)
    return words | _signup(message, receiver, content, base_url)


def _signup(message: Message, lead: Lead, content: Content, base_url: str) -> dict[str, object]:
    words: dict[str, object] = {"page": _page(content, lead.page, base_url)}
    if kind_of(message.kind).asks_to_confirm:
        # The address is not confirmed yet. With the name in the mail, the form would be
        # a way to mail one's own words to strangers.
        words["link"] = f"{base_url}/confirm/{lead.confirm_token}"
        words["until"] = _moment(lead.confirm_until)
    else:
        words["name"] = _greetable(lead.name)
        words["link"] = f"{base_url}/compare"
        words["unsubscribe_link"] = f"{base_url}/unsubscribe/{lead.unsubscribe_token}"
    return words


def _waiting(
    message: Message, to: WaitingLead, content: Content, base_url: str
) -> dict[str, object]:
    course, cohort = to.waiting.course, to.waiting.cohort
    title, dates = waiting_list.describe_cohort(content, course, cohort)
    consent = waiting_list.wording(content, course, cohort)
    words: dict[str, object] = {"title": title, "dates": dates, "consent": consent}
    if kind_of(message.kind).asks_to_confirm:  # without the name, as for the sign-up
        words["link"] = f"{base_url}/waiting-list/{to.waiting.token}"
        words["until"] = _moment(to.waiting.confirm_until)
    else:
        words["name"] = _greetable(to.lead.name)
        words["link"] = f"{base_url}/courses/{course}"
        words["unsubscribe_link"] = f"{base_url}/unsubscribe/{to.lead.unsubscribe_token}"
    return words


def _announced(
    message: Message, to: Announced, content: Content, base_url: str
) -> dict[str, object]:
    announcement = to.announcement
    course, _, cohort = announcement.waiting.partition("/")
    # The link says which mail it stood in, so that leaving by it is counted there. The one of a
    # trial opens nothing.
    link = f"{to.lead.unsubscribe_token}?mail={message.reference}" if to.lead else "trial"
    return {
        "subject": announcement.subject,
        "trial": to.lead is None,
        "html": markdown.to_html(announcement.body, base_url),
        "text": markdown.to_text(announcement.body, base_url),
        "place": ", ".join(waiting_list.describe_cohort(content, course, cohort)) if course else "",
        "unsubscribe_link": f"{base_url}/unsubscribe/{link}",
    }


def _purchase(bought: Bought, content: Content, base_url: str) -> dict[str, object]:
    """Return the words for a buyer. A course or cohort taken out of the content is None."""
    order = bought.order
    course = content.course(order.course)
    cohort = course.cohort(order.cohort) if course else None
    student_link = f"{base_url}/enrollments/{bought.token}"
    order_link = f"{base_url}/orders/{order.token}"
    return {
        "name": _greetable(order.name),
        "order": order,
        "receipt": bought.receipt,
        "returned": bought.returned,
        "leave_link": f"{base_url}/unsubscribe/{bought.leave_token}" if bought.leave_token else "",
        "waiting_link": f"{base_url}/courses/{order.course}/waiting-list?cohort={order.cohort}",
        "paid_at": schedule.local(cohort, bought.receipt.paid_at),
        "course": course,
        "cohort": cohort,
        "first": next(iter(schedule.meetings(cohort)), None) if cohort else None,
        "eve": schedule.day_before_start(cohort) if cohort else None,
        "invoice_link": f"{order_link}/invoice" if bought.receipt.invoiced else "",
        "own": bought.token is not None,
        "link": order_link,
        "page_link": student_link if bought.token else order_link,
        "calendar_link": f"{student_link}/calendar.ics",
    }


def _participant(to: Participant, content: Content, base_url: str) -> dict[str, object]:
    """Return the values for a participant: the buyer's name, but no amounts."""
    course = content.course(to.order.course)
    cohort = course.cohort(to.order.cohort) if course else None
    link = f"{base_url}/enrollments/{to.enrollment.token}"
    return {
        "name": _greetable(to.enrollment.name),
        "own": to.enrollment.address_hash == to.order.address_hash,
        "giver": _greetable(to.order.name),
        "title": course.title if course else to.order.item,
        "course": course,
        "cohort": cohort,
        "first": next(iter(schedule.meetings(cohort)), None) if cohort else None,
        "eve": schedule.day_before_start(cohort) if cohort else None,
        "link": link,
        "calendar_link": f"{link}/calendar.ics",
    }


def _unpaid(order: Order, content: Content, base_url: str) -> dict[str, object]:
    course = content.course(order.course)
    sold = course is not None and course.cohort(order.cohort) is not None
    enroll = f"{base_url}/courses/{order.course}/enroll?cohort={order.cohort}"
    return {
        "name": _greetable(order.name),
        "order": order,
        "total": orders.total(order),
        "again": sold,
        "link": enroll if sold else f"{base_url}/orders/{order.token}",
    }


def _greetable(name: str) -> str:
    """Return the name on one line, or nothing when mail programs would make a link of it."""
    name = " ".join(name.split())
    return "" if LINKED.search(name) else name


def _page(content: Content, path: str | None, base_url: str) -> Page | None:
    """Return the page of ours at this path, or None: a form can claim to come from anywhere."""
    kind, _, slug = (path or "").strip("/").partition("/")
    found: Comparison | Course | None = None
    if kind == "compare":
        found = content.comparison(slug)
    elif kind == "courses":
        found = content.course(slug)
    return Page(title=found.title, link=f"{base_url}/{kind}/{slug}") if found else None


def _moment(time: datetime) -> str:
    time = time.astimezone(UTC)
    return f"{time:%B} {time.day}, {time.year}, {time:%H:%M} UTC"
