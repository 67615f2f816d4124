"""Mail delivery: sends the messages of the outbox one by one, until it is stopped."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import structlog
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from crossroads.content import Content
from crossroads.database import leases
from crossroads.database.presence import Presence
from crossroads.database.writing_session import writing_session
from crossroads.leads import lifecycle as leads
from crossroads.logs import first_line, mask_email
from crossroads.mail import eligibility, outages, outbox
from crossroads.mail.composer import Composer, NoAddress
from crossroads.mail.eligibility import Receiver
from crossroads.mail.kinds import About, kind_of
from crossroads.mail.mx import Domains
from crossroads.mail.smtp import (
    Bounced,
    Mailer,
    PermanentFailure,
    ServerUnavailable,
    TemporaryFailure,
)
from crossroads.notifications import announcements, contexts
from crossroads.notifications.contexts import Announced, Participant, Unpaid, WaitingLead
from crossroads.orders import enrollments
from crossroads.orders.enrollments import Bought
from crossroads.worker.loop import Loop
from models.announcement import Announcement
from models.base import now
from models.enrollment import Enrollment
from models.lead import Lead
from models.message import Message, MessageState
from models.order import Order
from models.user import User
from models.waiting_list import Waiting

# A sent mail whose outcome is not stored is sent twice, so storing it is retried for a while.
NOTE_RESTS = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0)
# While the mail server is away one mail is tried so often, whatever each mail has to wait: it
# finds the server back within a minute, and a server that counts refused sign-ins is not provoked.
PROBE_SECONDS = 60.0
# Least time between two times that waiting mail is brought forward, so that a server that accepts
# every other mail does not get the same ones all the time.
FORWARD_SECONDS = 10.0

log = structlog.get_logger("crossroads.worker")


Outcome = Literal["sent", "held", "postponed", "dead", "lost"]
# What became of a message that the gate did not let pass.
PUT_AWAY: Mapping[str, Outcome] = {
    MessageState.HELD: "held",
    MessageState.DUE: "postponed",
    MessageState.DEAD: "dead",
}


@dataclass
class Delivery:
    """How many messages of one pass had which outcome; a lost one is another worker's by now."""

    sent: int = 0
    held: int = 0
    postponed: int = 0
    dead: int = 0
    lost: int = 0


class Worker(Loop):
    """Delivers the outbox in this process. `content` returns the words of the site as of now.

    With `domains` it asks whether a domain takes mail before the first mail to an address. With
    its `presence` it is known to be alive, and takes over what dead workers of this machine had.
    """

    name = "worker"

    def __init__(
        self,
        engine: Engine,
        composer: Composer,
        mailer: Mailer,
        content: Callable[[], Content],
        domains: Domains | None = None,
        presence: Presence | None = None,
    ) -> None:
        super().__init__()
        self._engine = engine
        self._composer = composer
        self._mailer = mailer
        self._content = content
        self._domains = domains
        self._presence = presence
        self._owner = presence.owner if presence else leases.new_owner()
        self._probe_at = self._forward_at = 0.0

    def work(self) -> None:
        self.deliver_due()

    def reason(self, error: Exception) -> str:
        return _reason(error)

    def deliver_due(self) -> Delivery:
        """Deliver every message that is due, or fewer when told to stop.

        Raises SQLAlchemy's errors when the database cannot be used.
        """
        self._take_over()
        self._feed()
        delivery = Delivery()
        while not self.stopping and (outcome := self._deliver_next() or self._probe()):
            setattr(delivery, outcome, getattr(delivery, outcome) + 1)
        return delivery

    def _take_over(self) -> None:
        """Release the jobs of dead workers of this machine before their leases end."""
        if self._presence is None:
            return
        for owner in self._presence.dead():
            with writing_session(self._engine) as session:
                count = leases.release(session, owner)
            log.warning("worker died", owner=owner, jobs_taken_over=count)
            self._presence.forget(owner)

    def _probe(self) -> Outcome | None:
        """Try one of the mails that wait for the mail server, once a minute."""
        if time.monotonic() < self._probe_at:
            return None
        self._probe_at = time.monotonic() + PROBE_SECONDS
        return self._deliver_next() if self._bring_forward(1) else None

    def _bring_forward(self, most: int = outages.FORWARD) -> int:
        with Session(self._engine) as session:
            # Mostly nothing waits, and on SQLite to write keeps all others from it.
            if not outages.awaits_server(session, now()):
                return 0
        with writing_session(self._engine) as session:
            count = outages.bring_forward(session, now(), most)
        log.info("mail brought forward", count=count)
        return count

    def _feed(self) -> None:
        """Add the announcement mails that are due in the next minute to the outbox."""
        with Session(self._engine) as session:
            numbers = announcements.due_for_queueing(session, now())
        for number in numbers:
            with writing_session(self._engine) as session:
                count = announcements.queue_next_minute(session, number, now())
            log.info("announcement", announcement=number, queued=count)

    def _deliver_next(self) -> Outcome | None:
        """Deliver one message: claim it, send it with no transaction open, note how it went."""
        with writing_session(self._engine, expire_on_commit=False) as session:
            message = outbox.claim(session, self._owner, now())
            receiver = eligibility.admit(session, message, self._owner) if message else None
            if message is not None and receiver is None:
                session.refresh(message)
        if message is None:
            return None
        if receiver is None:
            return _report(message, PUT_AWAY[message.state])
        try:
            self._send(message, receiver)
        except Bounced as error:
            return self._note(message, "dead", _bounce, _reason(error))
        except (PermanentFailure, NoAddress) as error:
            return self._note(message, "dead", outbox.give_up, _reason(error))
        except Exception as error:  # also a mistake in a template: sent once that is fixed
            away = isinstance(error, ServerUnavailable)
            last = outbox.is_last(message, server_away=away)
            outcome: Outcome = "dead" if last else "postponed"
            if away:
                self._probe_at = time.monotonic() + PROBE_SECONDS
            verb = outages.wait_for_server if away else outbox.retry_later
            return self._note(message, outcome, verb, _reason(error))
        outcome = self._note(message, "sent", outbox.mark_sent)
        if time.monotonic() >= self._forward_at:
            self._forward_at = time.monotonic() + FORWARD_SECONDS
            self._bring_forward()
        return outcome

    def _send(self, message: Message, receiver: Receiver) -> None:
        if self._domains and kind_of(message.kind).asks_to_confirm:
            refusal = self._domains.refusal(message.recipient)
            if refusal:
                raise Bounced(refusal)
        subject = self._subject(message, receiver)
        context = contexts.context(message, subject, self._content(), self._composer.base_url)
        mail = self._composer.compose(message.kind, message.recipient, message.reference, context)
        self._mailer.send(mail)

    def _subject(
        self, message: Message, receiver: Receiver
    ) -> Lead | Bought | Participant | Unpaid | WaitingLead | Announced:
        """Read what the mail is about, after the claim: an error here concerns this mail alone."""
        with Session(self._engine, expire_on_commit=False) as session:
            match kind_of(message.kind).about, receiver:
                case About.LEAD, Lead():
                    return receiver
                case About.WAITING, Lead():
                    waiting = session.get_one(Waiting, message.waiting_id)
                    return WaitingLead(lead=receiver, waiting=waiting)
                case About.ORDER, Order():
                    return enrollments.bought(session, receiver, message.order_event_id)
                case About.UNPAID_ORDER, Order():
                    return Unpaid(order=receiver)
                case About.SEAT, Enrollment():
                    order = session.get_one(Order, receiver.order_id)
                    return Participant(enrollment=receiver, order=order)
                case About.ANNOUNCEMENT, Lead() | User():
                    announcement = session.get_one(Announcement, message.announcement_id)
                    lead = receiver if isinstance(receiver, Lead) else None
                    return Announced(announcement=announcement, lead=lead)
        raise TypeError(f"no mail of kind {message.kind} goes to a {type(receiver).__name__}")

    def _note(
        self, message: Message, outcome: Outcome, verb: Callable[..., bool], error: str = ""
    ) -> Outcome:
        """Write down how it went in a transaction of its own, through a short outage too."""
        arguments = (message, self._owner, error) if error else (message, self._owner)
        for rest in (*NOTE_RESTS, None):
            try:
                with writing_session(self._engine) as session:
                    kept = verb(session, *arguments)
                break
            except SQLAlchemyError as trouble:
                if rest is None:
                    raise
                log.warning("outcome not noted yet", message=message.id, error=_reason(trouble))
                time.sleep(rest)
        return _report(message, outcome if kept else "lost", error)


def _bounce(session: Session, message: Message, owner: str, error: str) -> bool:
    """Give up the message, and suppress its address for lists."""
    kept = outbox.give_up(session, message, owner, error)
    if kept:
        leads.bounced(session, message)
    return kept


def _report(message: Message, outcome: Outcome, error: str = "") -> Outcome:
    log.info(
        "mail",
        kind=message.kind,
        message=message.id,
        receiver=mask_email(message.recipient),
        attempt=message.attempts,
        outcome=outcome,
        **({"error": error} if error else {}),
    )
    return outcome


def _reason(error: Exception) -> str:
    """Return the error in one line without a whole address."""
    text = first_line(error)
    if not isinstance(error, TemporaryFailure | PermanentFailure | NoAddress):
        text = f"{type(error).__name__}: {text}"
    return text[: outbox.ERROR_LENGTH]
