"""Search index: finds leads by the words of their address and name.

A term finds what it stands in from the beginning of a word on: "silva", "sil" and "silva@ac" find
maria.silva@acme.example, "ilva" does not. Words are runs of letters, marks and digits, whatever
their case and accents; what stands between them is compared as it is.

The index is filled behind the sign-ups, some hundred at once: one by one its scattered pages would
cost each of them a fifth of its time. Until then a lead is looked through as it stands. It is a
plain table, since SQLite's full text search keeps what was deleted from it, before 3.42 for good:
https://sqlite.org/fts5.html#the_secure_delete_configuration_option
"""

import re
import unicodedata
from collections.abc import Sequence

from sqlalchemy import (
    ColumnElement,
    and_,
    bindparam,
    delete,
    false,
    insert,
    intersect,
    or_,
    select,
    union_all,
    update,
)

from crossroads.database.pagination import MANY, count_up_to, matches_person
from models import Lead, LeadWord
from models.base import AnySession, table_of
from models.folding import fold
from models.lead_word import WORD_LENGTH

AT_ONCE = 500  # leads: a hundredth of a second, in which nobody else can write on SQLite
MARK = "\x1f"  # stands before each word; no text has it, since it is a control character
LAST = "\U0010ffff"
ASCII_WORD = re.compile("[0-9a-z]+")
ASCII_BEGIN = re.compile("(?<![0-9a-z])(?=[0-9a-z])")


def mark_words(text: str) -> str:
    """Return the text in the form that is compared, with each word marked where it begins."""
    plain = " ".join(fold(text).split())
    if plain.isascii():  # most are: in a tenth of the time
        return ASCII_BEGIN.sub(MARK, plain)
    marked: list[str] = []
    within = False
    for letter in plain:
        was_within, within = within, _in_word(letter)
        marked.append(MARK + letter if within and not was_within else letter)
    return "".join(marked)


def lead_text(email: str, email_key: str, name: str) -> str:
    """Return what a lead is found by: address and name, marked, and how else the address is spelt.

    The key spells a domain in ASCII, the address has it as it was typed.
    """
    address, key = mark_words(email), mark_words(email_key)
    return "\n".join([address, *([key] if key != address else []), mark_words(name)])


def tokens(text: str) -> set[str]:
    """Return the words of a marked text, each cut to the length that the index stores."""
    if text.isascii():
        return {word[:WORD_LENGTH] for word in ASCII_WORD.findall(text)}
    return {_word(part)[:WORD_LENGTH] for part in text.split(MARK)[1:]}


def any_waiting(session: AnySession) -> bool:
    """Return whether any lead is missing from the index."""
    return session.scalar(select(Lead.id).where(Lead.words.is_(None)).limit(1)) is not None


def index(session: AnySession) -> int:
    """Add missing leads to the index, the oldest first; return how many."""
    query = select(Lead.id, Lead.email, Lead.email_key, Lead.name).where(Lead.words.is_(None))
    query = query.order_by(Lead.id).limit(AT_ONCE).with_for_update(skip_locked=True)
    leads = [
        {"lead": row.id, "text": lead_text(row.email, row.email_key, row.name)}
        for row in session.execute(query)
    ]
    if leads:
        table = table_of(Lead)
        known = update(table).where(table.c.id == bindparam("lead"))
        connection = session.connection()
        connection.execute(known.values(words=bindparam("text")), leads)
        rows = sorted(
            (word, int(one["lead"])) for one in leads for word in tokens(str(one["text"]))
        )
        values = [{"word": word, "lead_id": lead} for word, lead in rows]
        if values:
            connection.execute(insert(table_of(LeadWord)), values)
    return len(leads)


def remove(session: AnySession, leads: Sequence[int]) -> None:
    """Take leads out of the index. The caller holds them locked, and changes or deletes them."""
    query = select(Lead.id, Lead.words).where(Lead.id.in_(leads), Lead.words.is_not(None))
    rows = [{"lead": row.id, "text": word} for row in session.execute(query)
            for word in tokens(row.words)]  # fmt: skip
    if rows:
        table = table_of(LeadWord)
        gone = delete(table).where(
            table.c.word == bindparam("text"), table.c.lead_id == bindparam("lead")
        )
        session.connection().execute(gone, rows)


def contains(term: str) -> ColumnElement[bool]:
    """Return the SQL condition that a lead's address or name has the term at a word's start."""
    marked_term = _marked_term(term)
    if not marked_term:
        return false()
    return or_(
        Lead.words.contains(marked_term, autoescape=True),
        and_(Lead.words.is_(None), matches_person(Lead, term)),
    )


def by_index(session: AnySession, term: str) -> tuple[int, ColumnElement[bool]]:
    """Return the same as the index answers it, and how many it leads to, as far as it matters.

    They have all words of the term that few have; if there is none, its first.
    """
    parts = _marked_term(term).split(MARK)[1:]
    if not parts:
        return 0, false()
    ranges = [_equals(part) for part in parts[:-1]] + [_equals_or_starts_with(parts[-1])]
    entries = [select(LeadWord.lead_id).where(one) for one in ranges]
    numbers = [count_up_to(session, one) for one in entries]
    few = [one for one, number in zip(entries, numbers, strict=True) if number <= MANY]
    found = select(intersect(*few or entries[:1]).subquery().c.lead_id)
    number = count_up_to(session, found) if len(few) > 1 else min(numbers)
    fresh = select(Lead.id).where(Lead.words.is_(None), matches_person(Lead, term))
    by_index = Lead.id.in_(union_all(found, fresh))
    if parts == [_word(parts[0])[:WORD_LENGTH]]:  # a word or its beginning: the index knows it all
        return number, by_index
    return number, by_index & contains(term)


def _in_word(letter: str) -> bool:
    return letter.isalnum() or unicodedata.category(letter)[0] == "M"


def _word(part: str) -> str:
    """Return the word that a piece of marked text begins with."""
    ends = (place for place, letter in enumerate(part) if not _in_word(letter))
    return part if part.isalnum() else part[: next(ends, len(part))]


def _marked_term(term: str) -> str:
    """Return a term marked from its first word on, or an empty text when it has no word."""
    _, mark, rest = mark_words(term).partition(MARK)
    return mark + rest


def _equals(part: str) -> ColumnElement[bool]:
    return LeadWord.word == _word(part)[:WORD_LENGTH]


def _equals_or_starts_with(part: str) -> ColumnElement[bool]:
    """Say that a word is the term's last one, or begins with it where the term ends within it."""
    word = _word(part)[:WORD_LENGTH]
    if len(word) < len(part):  # something follows, or the index has no more of the word
        return LeadWord.word == word
    return and_(LeadWord.word >= word, LeadWord.word < word + LAST)
