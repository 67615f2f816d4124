"""Column names of other programs, and the field that each one fills."""

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from crossroads.leads.imports.status import Rule, fold, rule_of
from crossroads.leads.imports.suspects import suspect
from models import Lead, personal_data

# A person's fields besides the address, by the names of our export.
PERSONAL: Final = {
    name: column for name, column in personal_data.exported(Lead).items() if name != "email"
}
# The columns that hold text, and how many characters of it.
TEXTS: Final[Mapping[str, int]] = {
    **{name: column.type.length for name, column in PERSONAL.items()},
    "consent_source": 1000,
}
TIMES: Final = ("signed_up_at", "last_signup_at", "confirmed_at", "unsubscribed_at")
PARTS: Final = ("first_name", "last_name")
# What a column can be named as with --column; `status` is read for who left.
NAMES: Final = ("email", *TEXTS, *PARTS, *TIMES, "status", "suppressed")
OURS: Final[Mapping[str, str]] = {
    fold(name): name for name in ("email", *TEXTS, *TIMES, "suppressed")
}
# What other programs call them, the preferred first. OPTIN_TIME and CONFIRM_TIME are Mailchimp's,
# ADDED_TIME is Brevo's, "Email Address" Mailchimp's, Subscriber MailerLite's, "Name 1" AWeber's;
# other languages are believed.
_ALSO: Final[Mapping[str, str]] = {
    "email": """
        e mail, email address, emailaddress, e mail address, email adresse, e mail adresse,
        emailadresse, emailadres, e mailadres, adresse email, adresse e mail, adresse mail,
        subscriber email, contact email, correo electrónico, correo, e mail 1 value, e post, epost,
        email adres, indirizzo email, subscriber
    """,
    "name": """
        full name, fullname, contact name, your name, vollständiger name, nombre completo, name 1
    """,
    "first_name": """
        first name, firstname, fname, given name, forename, vorname, prénom, prenom, nombre,
        voornaam, förnamn, nome
    """,
    "last_name": """
        last name, lastname, lname, surname, family name, nachname, familienname, nom, apellido,
        apellidos, cognome, achternaam, efternamn
    """,
    "signed_up_at": """
        optin time, opt in time, optin date, opt in date, email optin date, subscribed at,
        subscribed date, date subscribed, subscription date, subscribe date, signup date,
        sign up date, signed up, sign up time, anmeldedatum, registered, registration date,
        date registered, date added, added time, added on, created at, created, date created,
        create date, created date, created utc, added
    """,
    "confirmed_at": """
        confirm time, confirmed time, confirmation time, confirmed date, confirm date,
        confirmation date, confirmed on, double opt in date, double opt in time, bestätigt am,
        bestätigungsdatum, aktiviert am
    """,
    "unsubscribed_at": """
        unsub time, unsub date, unsubscribe time, unsubscribe date, unsubscribed time, unsubscribed
        date, unsubscribed on, date unsubscribed, unsubscription date, opt out date, optout date,
        email optout date, clean time, abmeldedatum, abgemeldet am, deleted at
    """,
}
ALSO: Final[Mapping[str, tuple[str, ...]]] = {
    name: tuple(" ".join(head.split()) for head in heads.split(","))
    for name, heads in _ALSO.items()
}
# Together no other program has them.
OWN: Final = frozenset({"id", "state", "signed_up_at", "last_signup_at", "unsubscribed_at"})
KNOWN: Final = frozenset(OURS) | {head for heads in ALSO.values() for head in heads}


class Unclear(Exception):
    """Column names are missing or ambiguous; the text says what to do."""


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column of a file: its place from 0, its head as it is there."""

    place: int
    head: str


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The field that each column of a file fills.

    `reads` has for each name of ours the columns that hold it, the preferred first. `judges` are
    the columns that tell who left; `suspects` could, and nobody knows; `rest` is not read.
    `ignored` are the columns named with --ignore. `ours` is set when the heads are those of our
    own export.
    """

    reads: Mapping[str, Sequence[Column]]
    judges: Sequence[tuple[Column, Rule]]
    suspects: Sequence[Column]
    rest: Sequence[Column]
    ignored: frozenset[int]
    ours: bool

    @property
    def left_out(self) -> list[str]:
        """The heads of columns that are not read."""
        return [column.head for column in (*self.suspects, *self.rest)]


def fits(heads: Sequence[str], named: Iterable[str]) -> int:
    """Return how many column names are known, or given with --column."""
    known = KNOWN | {fold(head) for head in named}
    return sum(fold(head) in known or rule_of(fold(head)) is not None for head in heads)


def plan(heads: Sequence[str], named: Mapping[str, str], ignored: Iterable[str]) -> Plan:
    """Decide which field each column fills.

    `named` maps names of ours to heads, `ignored` are heads that are left out. Raises Unclear.
    """
    columns = [Column(place=place, head=head) for place, head in enumerate(heads)]
    out = {column.place for head in ignored for column in _called(columns, head, "--ignore")}
    free = [column for column in columns if column.place not in out]
    reads: dict[str, list[Column]] = {}
    judges: list[tuple[Column, Rule]] = []
    for name, head in named.items():
        found = _one(name, _called(free, head, "--column"))
        if name == "status":
            judges.append((found, rule_of(fold(head)) or Rule.STATUS))
        else:
            reads[name] = [found]
    taken = {column.place for found in reads.values() for column in found}
    for name in NAMES:
        if name not in reads and (chosen := _chosen(name, free, taken)):
            reads[name] = chosen
    taken |= {column.place for found in reads.values() for column in found}
    left = {column.place for column in reads.get("unsubscribed_at", ())}
    rest: list[Column] = []
    suspects: list[Column] = []
    judged = {column.place for column, _ in judges}
    for column in free:
        head = fold(column.head)
        rule = rule_of(head)
        if column.place in left:
            rule = rule or Rule.LEFT_WHEN
        elif head in OURS:  # what our own export says beside the state
            rule = None
        if rule and column.place not in judged:
            judges.append((column, rule))
        elif column.place not in taken | judged:
            (suspects if suspect(head) else rest).append(column)
    rest += [column for column in columns if column.place in out]
    return Plan(
        reads=reads,
        judges=judges,
        suspects=suspects,
        rest=rest,
        ignored=frozenset(out),
        ours={column.head for column in free} >= OWN,
    )


def _chosen(name: str, columns: Sequence[Column], taken: set[int]) -> list[Column]:
    """Return the columns that hold what we call `name`: ours, or else others' in their order."""
    ours = [column for column in columns if OURS.get(fold(column.head)) == name]
    if ours:
        return [_one(name, ours)]
    found = [
        column
        for head in ALSO.get(name, ())
        for column in columns
        if fold(column.head) == head and column.place not in taken
    ]
    return [_one(name, found)] if name == "email" and found else found


def _one(name: str, found: Sequence[Column]) -> Column:
    if len(found) > 1:
        heads = sorted({column.head for column in found})
        if len(heads) == 1:
            raise Unclear(f"two columns are called {heads[0]}: take one of them out")
        raise Unclear(
            f"{' and '.join(heads)} could both be the {name}: choose one with "
            f"--column {shlex.quote(f'{name}={heads[0]}')}"
        )
    return found[0]


def _called(columns: Sequence[Column], head: str, option: str) -> list[Column]:
    found = [column for column in columns if column.head == head]
    found = found or [column for column in columns if fold(column.head) == fold(head)]
    if not found:
        heads = ", ".join(column.head for column in columns)
        raise Unclear(f'{option}: no column is called "{head}". The columns are: {heads}')
    return found
