"""The worker: delivers what the outbox owes, message by message, until it is told to stop."""

import time
from collections import Counter
from collections.abc import Callable
from os import getpid
from secrets import token_hex
from socket import gethostname
from threading import Event

import structlog
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from crossroads import letters, outbox
from crossroads.content import Content
from crossroads.logs import mask_email
from crossroads.mailer import Mailer, PermanentFailure
from models.base import now, writing
from models.lead import Lead
from models.message import HELD, Message

WAIT = 0.5  # seconds between two looks into an empty outbox
NAP = 0.1  # seconds until a stop is noticed
LONGEST_REST = 30.0  # seconds, while the database is away
# A mail that went out and is not noted goes out again, so noting it is tried for a while.
NOTE_RESTS = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0)

log = structlog.get_logger("crossroads.worker")


class Worker:
    """Delivers the outbox in this process. `content` returns the words of the site as of now."""

    def __init__(self, engine: Engine, mailer: Mailer, content: Callable[[], Content]) -> None:
        self._engine = engine
        self._mailer = mailer
        self._content = content
        self._owner = f"{gethostname()[:32]}-{getpid()}-{token_hex(4)}"

    def run(self, ended: Event) -> None:
        """Deliver what is due, again and again, until `ended` is set: within a second then.

        A message in hand is finished first. Trouble with the database is logged and waited out.
        """
        log.info("worker started", owner=self._owner)
        troubles = 0
        while not ended.is_set():
            try:
                self.deliver_due(ended)
                troubles = 0
                _rest(WAIT, ended)
            except Exception as error:
                troubles += 1
                rest = min(WAIT * 2**troubles, LONGEST_REST)
                log.error("worker in trouble", error=_reason(error), rest_seconds=rest)
                _rest(rest, ended)
        log.info("worker stopped", owner=self._owner)

    def deliver_due(self, ended: Event | None = None) -> Counter[str]:
        """Deliver every message that is due, and return how many were sent, held, postponed, ...

        Raises SQLAlchemy's errors when the database cannot be used.
        """
        outcomes: Counter[str] = Counter()
        while ended is None or not ended.is_set():
            outcome = self._deliver_next()
            if outcome is None:
                break
            outcomes[outcome] += 1
        return outcomes

    def _deliver_next(self) -> str | None:
        """Deliver one message: claim it, send it with no transaction open, note how it went."""
        with Session(self._engine, expire_on_commit=False) as session:
            writing(session)
            message = outbox.claim(session, self._owner, now())
            lead = outbox.admit(session, message, self._owner) if message else None
            session.commit()
        if message is None:
            return None
        if lead is None:
            outcome = "dead" if message.attempts > outbox.TRIES else HELD
            _report(message, outcome)
            return outcome
        try:
            self._send(message, lead)
        except PermanentFailure as error:
            return self._note(message, "dead", outbox.give_up, _reason(error))
        except Exception as error:  # also a mistake in a template: mended, it is sent after all
            outcome = "dead" if message.attempts >= outbox.TRIES else "postponed"
            return self._note(message, outcome, outbox.postpone, _reason(error))
        return self._note(message, "sent", outbox.sent)

    def _send(self, message: Message, lead: Lead) -> None:
        context = letters.context(message, lead, self._content(), self._mailer.base_url)
        mail = self._mailer.compose(message.kind, message.recipient, message.reference, context)
        self._mailer.send(mail)

    def _note(
        self, message: Message, outcome: str, verb: Callable[..., bool], error: str = ""
    ) -> str:
        """Write down how it went in a transaction of its own, through a short outage too."""
        arguments = (message, self._owner, error) if error else (message, self._owner)
        for rest in (*NOTE_RESTS, None):
            try:
                with Session(self._engine) as session:
                    writing(session)
                    kept = verb(session, *arguments)
                    session.commit()
                break
            except SQLAlchemyError as trouble:
                if rest is None:
                    raise
                log.warning("outcome not noted yet", message=message.id, error=_reason(trouble))
                time.sleep(rest)
        _report(message, outcome if kept else "lost", error)
        return outcome if kept else "lost"


def _report(message: Message, outcome: str, error: str = "") -> None:
    log.info(
        "mail",
        kind=message.kind,
        message=message.id,
        receiver=mask_email(message.recipient),
        attempt=message.attempts,
        outcome=outcome,
        **({"error": error} if error else {}),
    )


def _reason(error: Exception) -> str:
    """Return the error in one line without a whole address.

    Of a database error only its first line, which names the cause: the rest is the statement
    with its values.
    """
    text = str(error).strip() or type(error).__name__
    if isinstance(error, SQLAlchemyError):
        text = f"{type(error).__name__}: {text.splitlines()[0]}"
    elif type(error).__module__ != "crossroads.mailer":
        text = f"{type(error).__name__}: {text}"
    return mask_email(" ".join(text.split()))[: outbox.ERROR_LENGTH]


def _rest(seconds: float, ended: Event) -> None:
    """Sleep in naps. Not ended.wait(): a signal's handler that sets it could meet its own lock."""
    until = time.monotonic() + seconds
    while not ended.is_set() and (left := until - time.monotonic()) > 0:
        time.sleep(min(NAP, left))
