"""Pasted addresses: invisible characters are removed, other mistakes are named."""

import unicodedata
from typing import Any

import pytest
from email_validator import EmailNotValidError
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select
from sqlalchemy.orm import Session

from crossroads.leads import lifecycle as leads
from crossroads.leads.lifecycle import Submission, Touch
from crossroads.leads.listing import LeadFilter
from crossroads.mail import addresses, suppressions
from crossroads.mail.addresses import address_hash, at_signs, cleaned, email_key, former_key
from crossroads.orders import lifecycle as orders
from crossroads.staff import accounts
from models import Lead, Message, writing
from models.user import Role
from tests.support.consent import PROOF
from tests.support.orders import paid, with_checkout
from tests.support.people import SUPPRESSION_KEY, address, import_
from tests.support.purchases import JANUARY
from tests.support.signs import SHOWS_NOTHING, SIGNS
from tests.support.signups import shown

ADA = "ada@example.org"
SPACES = [sign for sign in SIGNS if unicodedata.category(sign) == "Zs"]
# Formats in which other programs copy an address.
PASTED = [
    "\u200bada@example.org",
    "\u202aada@example.org\u202c",
    "ada@exam\u00adple.org",
    "ada\u00a0@example.org",
    "ada\uff20example.org",
    "\uff21\uff24\uff21@example.org",
    "ada@example\u3002org",
    "mailto:ada@example.org",
    "MAILTO:ada%40example.org?subject=Hello",
    "Ada Example <ada@example.org>",
    '"Example, Ada" <Ada@Example.org>;',
    "'ada@example.org' <ada@example.org>",
    "\u201cada@example.org\u201d",
    "<ada@example.org>",
    "(ada@example.org)",
    "'ada@example.org'",
    "'ada@example.org",
    "ada@example.org'",
    "\u2018ada@example.org",
    "\"'ada@example.org",
    "ada@example.org.",
    "ada@example.org, ",
    "\tada@example.org\n",
]
COURSE = "/courses/ai-pm-bootcamp"


def sign_up(client: FlaskClient, email: str) -> Any:
    return client.post("/signup", data={"email": email, "consent": "yes"})


@pytest.mark.parametrize("pasted", PASTED)
def test_pasted_address_is_cleaned_to_the_plain_address(pasted: str) -> None:
    assert cleaned(pasted) == ADA
    assert email_key(pasted) == ADA


def test_invisible_character_is_removed_at_any_position() -> None:
    for sign in SHOWS_NOTHING:
        for place in range(len(ADA) + 1):
            assert cleaned(ADA[:place] + sign + ADA[place:]) == ADA, (hex(ord(sign)), place)


@given(st.text(st.sampled_from([*SHOWS_NOTHING, *"ada@example.org"]), max_size=40))
def test_cleaned_text_has_no_invisible_character(text: str) -> None:
    assert not set(cleaned(text)) & set(SHOWS_NOTHING)


@pytest.mark.parametrize("space", SPACES)
def test_outer_spaces_are_removed_and_inner_ones_refused(client: FlaskClient, space: str) -> None:
    for text in (f"{space}{ADA}{space}", f"ada{space}@{space}example.org"):
        assert cleaned(text) == ADA
    for text in (f"a{space}da@example.org", f"ada@exam{space}ple.org"):
        answer = sign_up(client, text)
        assert answer.status_code == 422
        assert "without spaces" in answer.text


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=30))
def test_cleaning_twice_changes_nothing_and_keeps_the_mailbox(text: str) -> None:
    once = cleaned(text)
    assert cleaned(once) == once
    try:
        key = email_key(text)
    except EmailNotValidError:
        return
    assert key.rpartition("@")[0] == once.rpartition("@")[0]


@given(st.text(st.characters(categories=["L", "Nd"]), min_size=1, max_size=12))
def test_spellings_with_one_key_are_mailed_at_one_address(mailbox: str) -> None:
    typed = f"{mailbox}@example.org"
    spellings = {typed, typed.upper(), typed.title(), unicodedata.normalize("NFD", typed)}
    by_key: dict[str, set[str]] = {}
    for spelling in spellings:
        try:
            by_key.setdefault(email_key(spelling), set()).add(address(spelling).typed)
        except EmailNotValidError:
            continue
    assert all(len(mailed) == 1 for mailed in by_key.values())


@pytest.mark.parametrize(
    "text",
    [
        "ada@example.org, bob@example.org",
        "bob@example.org <ada@example.org>",
        "ada@example.org\r\nBcc: <eve@example.org>",
        "Ada <ada>",
        '"ada"@example.org',
        "ada\uff20example.org@example.org",
        "ada@example.org\uff20example.org",
        "ada\ufe6bexample.org@example.org",
        "ada",
        "",
        "'",
        "<@>",
    ],
)
def test_text_that_is_not_one_address_is_unchanged_and_refused(
    client: FlaskClient, text: str
) -> None:
    assert cleaned(text) == text or text == "<@>"
    assert sign_up(client, text).status_code == 422


@pytest.mark.parametrize("sign", [sign for sign in SIGNS if at_signs(sign)])
def test_character_equivalent_to_an_at_sign_counts_as_one(client: FlaskClient, sign: str) -> None:
    for text in (f"a{sign}b.de@c.de", f"a@c.de{sign}b.de", f"a{sign}b.de{sign}c.de"):
        with pytest.raises(EmailNotValidError, match="single @"):
            email_key(text)
        assert "with a single @" in sign_up(client, text).text


@pytest.mark.parametrize("around", ['""', "\u201c\u201d", "\u201e\u201c", "\u00ab\u00bb", '" '])
def test_address_with_quotes_is_refused_with_the_reason(client: FlaskClient, around: str) -> None:
    text = f"{around[0]}a{around[1].strip()}@c.de" if around[1] != " " else 'a"b@c.de'
    with pytest.raises(EmailNotValidError, match="no quotes"):
        email_key(text)
    answer = sign_up(client, text)
    assert answer.status_code == 422
    assert "without quotes" in answer.text


def test_apostrophe_inside_a_mailbox_is_kept() -> None:
    assert cleaned("o'neil@example.org") == "o'neil@example.org"


@pytest.mark.parametrize("pasted", PASTED)
def test_sign_up_accepts_a_pasted_address_and_shows_the_cleaned_one(
    client: FlaskClient, session: Session, pasted: str
) -> None:
    answer = sign_up(client, pasted)
    assert answer.status_code == 200
    assert f"We sent a link to {ADA}." in shown(answer.text)
    assert session.scalars(select(Lead.email)).all() == [ADA]
    assert session.scalars(select(Message.recipient)).all() == [ADA]


@pytest.mark.usefixtures("one_day")
@pytest.mark.parametrize(
    "path", [f"{COURSE}/enroll", f"{COURSE}/waiting-list?cohort={JANUARY.code}"]
)
def test_course_forms_clean_a_pasted_address(client: FlaskClient, path: str) -> None:
    answer = client.post(path, data={"email": PASTED[1]})  # the other fields are still empty
    assert answer.status_code == 422
    assert f'value="{ADA}"' in answer.text


@pytest.mark.usefixtures("one_day")
def test_participant_is_invited_at_the_cleaned_address(
    client: FlaskClient, session: Session
) -> None:
    writing(session)
    order = with_checkout(session, cohort=JANUARY, number=2)
    orders.fulfill(session, order.id, paid(order), "test")
    session.commit()
    given = {"seat2-name": "Ada", "seat2-email": PASTED[9], "seat2-turn": "0"}
    assert client.post(f"/orders/{order.token}/participants", data=given).status_code == 303
    invited = select(Message.recipient).where(Message.kind == "invitation")
    assert session.scalars(invited).all() == [ADA]


@pytest.mark.parametrize("pasted", PASTED)
def test_staff_accounts_and_commands_find_a_pasted_address(
    app: Flask, session: Session, pasted: str
) -> None:
    accounts.add(session, pasted, Role.OWNER, "a long password", must_change=False)
    session.commit()
    found = accounts.find(session, "Ada@EXAMPLE.org")
    assert found is not None
    assert found.email == ADA
    assert accounts.find(session, pasted) is found
    sign_up(app.test_client(), ADA)
    result = app.test_cli_runner().invoke(args=["leads", "data", pasted, "--output", "-"])
    assert result.exit_code == 0, result.output
    assert ADA in result.stdout


@pytest.mark.parametrize("pasted", [*PASTED, "\u200bada@exam", "\u200bada"])
def test_desk_search_finds_a_pasted_address(
    client: FlaskClient, session: Session, pasted: str
) -> None:
    sign_up(client, ADA)
    sign_up(client, "bob@example.org")
    found = LeadFilter.of(q=pasted)
    page = session.scalars(select(Lead.email).where(*found.conditions())).all()
    assert page == [ADA]


def test_import_accepts_pasted_addresses(session: Session) -> None:
    writing(session)
    assert import_(session, "\u202aAda@example.org\u202c") == 1
    session.commit()
    assert session.scalars(select(Lead.email)).all() == [ADA]


def test_person_erased_under_the_former_key_stays_suppressed(engine: Any) -> None:
    """Migration 0016 changed the keys: an address erased before it is known only by its hash."""
    email = "stra\u00dfe@example.org"
    former = address_hash(former_key(email_key(email)), SUPPRESSION_KEY)
    with Session(engine) as session:
        writing(session)
        suppressions.add(session, former, "erased")
        assert import_(session, email) == 0
        session.commit()
        writing(session)
        signup = Submission(
            address=addresses.parse(email, SUPPRESSION_KEY),
            name="",
            touch=Touch(),
            wording="Mail me.",
            evidence=PROOF,
        )
        leads.capture(session, [signup])
        lead = session.scalars(select(Lead)).one()
        found = suppressions.find(session, lead.address_hash)
        assert found is not None
        assert found.reason == "erased"
        # A confirmation ends the suppression, and a further sign-up does not restore it.
        assert leads.confirm(session, lead.confirm_token, PROOF) == "done"
        leads.capture(session, [signup])
        assert suppressions.find(session, lead.address_hash) is None
        # The hash may also be that of the other mailbox, so that one stays suppressed.
        assert suppressions.find(session, former) is not None
        session.commit()
