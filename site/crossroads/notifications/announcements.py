"""Announcements: one mail to many leads, added to the outbox at a set rate.

The outbox gets the messages of the next minute only, each with its due time: a hundred thousand
receivers are queued by one small write, a pause acts at once, and a request to confirm never
stands in line behind them. The place in the list moves on in the transaction that adds the
messages, so a crash loses and doubles nobody.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Select, exists, false, func, select, update
from sqlalchemy.orm import aliased

from crossroads.leads.listing import LeadFilter
from crossroads.leads.waiting_list import WAITS
from crossroads.mail import outbox
from models import Announcement, Lead, Message, Suppression, Waiting
from models.announcement import AnnouncementState
from models.base import AnySession
from models.lead import LeadState
from models.message import MessageState

AHEAD = timedelta(minutes=1)
SHOWN = 50


@dataclass(frozen=True)
class Progress:
    """How many receivers an announcement has, and what became of the mail to them.

    `waiting` counts those whose mail is still to come, `held` those who left or bounced before it
    was their turn; of the ones it was sent to, `unsubscribed` left by its link. `state` is SENT
    once no mail is still to come.
    """

    receivers: int
    sent: int
    waiting: int
    held: int
    failed: int
    unsubscribed: int
    state: AnnouncementState


def newest(session: AnySession) -> Sequence[Announcement]:
    """Return the last fifty announcements, the newest first."""
    return session.scalars(select(Announcement).order_by(Announcement.id.desc()).limit(SHOWN)).all()


def find(session: AnySession, number: int, *, lock: bool = False) -> Announcement | None:
    """Return one announcement, locked for the caller."""
    query = select(Announcement).where(Announcement.id == number)
    return session.scalar(query.with_for_update() if lock else query)


def draft(words: Mapping[str, object], form_key: str | None) -> Announcement:
    """Return a new announcement with these words, by field, first saved from this form."""
    made = Announcement(subject="", body="", rate=1, form_key=form_key, version=0)
    change(made, words)
    return made


def saved_from(session: AnySession, form_key: str) -> Announcement | None:
    """Return what was first saved from this form, locked; None when nothing was."""
    if not form_key:
        return None
    query = select(Announcement).where(Announcement.form_key == form_key)
    return session.scalar(query.with_for_update())


def has_values(announcement: Announcement, words: Mapping[str, object]) -> bool:
    """Return whether the announcement already has these values, field by field."""
    return all(getattr(announcement, name) == value for name, value in words.items())


def change(announcement: Announcement, words: Mapping[str, object]) -> None:
    """Save new values, field by field. The caller has compared the version."""
    for name, value in words.items():
        setattr(announcement, name, value)
    announcement.version += 1


def count(session: AnySession, announcement: Announcement) -> int:
    """Count who would get the announcement if it were queued now."""
    return _counted(session, _receivers(announcement))


def queue(session: AnySession, announcement: Announcement, at: datetime) -> bool:
    """Queue a draft for its present receivers. False when it is not a draft."""
    if announcement.state != AnnouncementState.DRAFT:
        return False
    announcement.receivers = count(session, announcement)
    announcement.last_id = session.scalar(select(func.max(Lead.id))) or 0
    announcement.state = AnnouncementState.SENDING
    announcement.queued_at = announcement.next_at = at
    return True


def pause(announcement: Announcement) -> None:
    """Stop sending it at once, including messages in the outbox."""
    if announcement.state == AnnouncementState.SENDING:
        announcement.state = AnnouncementState.PAUSED


def resume(session: AnySession, announcement: Announcement, at: datetime) -> None:
    """Go on where it was paused, at the set rate: what fell due meanwhile leaves one by one."""
    if announcement.state != AnnouncementState.PAUSED:
        return
    announcement.state = AnnouncementState.SENDING
    step = timedelta(minutes=1) / announcement.rate
    untried = select(Message.id).where(
        Message.announcement_id == announcement.id,
        Message.user_id.is_(None),
        Message.state == MessageState.DUE,
        Message.attempts == 0,
    )
    numbers = session.scalars(untried.order_by(Message.due_at, Message.id)).all()
    times = [{"id": number, "due_at": at + turn * step} for turn, number in enumerate(numbers)]
    if times:
        session.execute(update(Message), times)
    if announcement.next_at is not None:
        announcement.next_at = at + len(times) * step


def due_for_queueing(session: AnySession, at: datetime) -> Sequence[int]:
    """Return the announcements that have messages to add to the outbox now."""
    wanting = Announcement.next_at < at + AHEAD / 2  # half a minute of mail at a time
    query = select(Announcement.id).where(Announcement.state == AnnouncementState.SENDING, wanting)
    return session.scalars(query.order_by(Announcement.id)).all()


def queue_next_minute(session: AnySession, number: int, at: datetime) -> int:
    """Add the messages of the next minute to the outbox, spaced as the rate says; count them."""
    announcement = find(session, number, lock=True)
    if (
        announcement is None
        or announcement.state != AnnouncementState.SENDING
        or announcement.next_at is None
    ):
        return 0
    step = timedelta(minutes=1) / announcement.rate
    # After a time without a worker, mail is not sent faster to catch up.
    due_at = max(announcement.next_at, at)
    room = -((due_at - at - AHEAD) // step)
    if room <= 0:  # another worker was here
        return 0
    rows = session.execute(_rest(announcement).limit(room)).all()
    for lead, waiting in rows:
        outbox.announce(session, announcement.id, lead, waiting, due_at)
        due_at += step
    announcement.next_at = due_at if len(rows) == room else None
    if rows:
        announcement.reached_id = rows[-1][0].id
    return len(rows)


def progress(session: AnySession, announcement: Announcement) -> Progress:
    """Count the receivers by the state of their mail."""
    mine = Message.announcement_id == announcement.id
    rows = session.execute(
        select(Message.state, func.count(Message.id), func.count(Message.unsubscribed_at))
        .where(mine, Message.user_id.is_(None))
        .group_by(Message.state)
    ).all()
    counts = {state: number for state, number, _ in rows}
    rest = _receivers(announcement).where(Lead.id > announcement.reached_id)
    ahead = _counted(session, rest) if announcement.next_at is not None else 0
    # Receivers who left before the outbox had their message count as held, too.
    unwritten = max(0, announcement.receivers - sum(counts.values()) - ahead)
    waiting = counts.get(MessageState.DUE, 0) + ahead
    over = announcement.state == AnnouncementState.SENDING and waiting == 0
    return Progress(
        state=AnnouncementState.SENT if over else announcement.state,
        receivers=announcement.receivers,
        sent=counts.get(MessageState.SENT, 0),
        waiting=waiting,
        held=counts.get(MessageState.HELD, 0) + unwritten,
        failed=counts.get(MessageState.DEAD, 0),
        unsubscribed=sum(left for _, _, left in rows),
    )


def record_unsubscribe(
    session: AnySession, token: str, reference: str, at: datetime | None
) -> None:
    """Note on the mail whose link is used that its receiver is leaving now; None takes it back.

    Call before the lead itself is changed: an unsubscribed lead cannot unsubscribe by another mail.
    """
    lead = select(Lead.id).where(Lead.unsubscribe_token == token)
    if at is not None:
        lead = lead.where(Lead.state != LeadState.UNSUBSCRIBED)
    session.execute(
        update(Message)
        .where(
            Message.reference == reference,
            Message.announcement_id.is_not(None),
            Message.lead_id == lead.scalar_subquery(),
        )
        .values(unsubscribed_at=at),
        execution_options={"synchronize_session": False},
    )


def _receivers(announcement: Announcement) -> Select[Lead, Waiting]:
    """Return the query for the receivers, including suppressed ones."""
    filters = LeadFilter.of(page=announcement.page, campaign=announcement.campaign).conditions()
    query = select(Lead, Waiting)
    if announcement.waiting:
        course, _, cohort = announcement.waiting.partition("/")
        place = (Waiting.lead_id == Lead.id) & (Waiting.course == course)
        query = query.join(Waiting, place & (Waiting.cohort == cohort))
        asked: Any = Waiting.since
        filters.append(WAITS)
    else:
        query = query.outerjoin(Waiting, false())  # about no entry on a list
        asked = Lead.confirmed_at
        filters.append(Lead.state == LeadState.CONFIRMED)
    if announcement.queued_at is not None:
        filters += [Lead.id <= announcement.last_id, asked <= announcement.queued_at]
    return query.where(*filters)


def _rest(announcement: Announcement) -> Select[Lead, Waiting]:
    """Return the query for receivers without a message, in sending order."""
    held_back = exists().where(Suppression.address_hash == Lead.address_hash)
    rest = _receivers(announcement).where(Lead.id > announcement.reached_id, ~held_back)
    return rest.order_by(Lead.id)


def _counted(session: AnySession, query: Select[Lead, Waiting]) -> int:
    """Count the receivers that may be mailed: all but the suppressed ones.

    To look for each one among those would take a second and more with a million.
    """
    number = query.with_only_columns(func.count(Lead.id))
    other = aliased(Lead)  # or SQLite would read each receiver
    held_back = select(other.id).where(other.address_hash.in_(select(Suppression.address_hash)))
    held = number.where(Lead.id.in_(held_back))
    return (session.scalar(number) or 0) - (session.scalar(held) or 0)
