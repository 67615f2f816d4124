"""Signing up: the states of the form, the stored rows, and refused input."""

import re
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import create_engine, func, select, text
from sqlalchemy.orm import Session

from crossroads import current
from models import ConsentEvent, Lead, Message
from models.lead import LeadState
from tests.support.hostile import send_hostile
from tests.support.signups import GOOD, shown

PAGE = "/compare/ai-product-manager-vs-traditional-product-manager"
COURSE = "/courses/ai-pm-bootcamp"
FORMS = ["/", "/compare", PAGE, COURSE, "/signup"]


def count(session: Session, model: type[Any]) -> int:
    return session.scalar(select(func.count()).select_from(model)) or 0


@pytest.mark.parametrize("address", FORMS)
def test_form_is_in_the_page_with_the_box_unticked(client: FlaskClient, address: str) -> None:
    html = client.get(address).text
    form = html[html.index('id="signup"') :]
    assert 'name="email"' in form
    assert 'name="consent"' in form
    assert "checked" not in form


@pytest.mark.parametrize("address", FORMS)
def test_valid_sign_up_is_stored_and_shows_the_address(
    client: FlaskClient, session: Session, address: str
) -> None:
    answer = client.post(address, data=GOOD)
    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "no-store"
    assert "maria@example.com" in shown(answer.text)
    assert "Check your inbox" in shown(answer.text)
    lead = session.scalars(select(Lead)).one()
    assert (lead.email, lead.name, lead.state) == ("maria@example.com", "Maria", "pending")
    event = session.scalars(select(ConsentEvent)).one()
    assert (event.lead_id, event.kind) == (lead.id, "given")
    mail = session.scalars(select(Message)).one()
    assert (mail.lead_id, mail.kind, mail.state) == (lead.id, "confirm", "due")


@pytest.mark.parametrize("address", FORMS[:-1])
def test_response_from_the_page_cache_equals_the_rendered_one(
    app: Flask, client: FlaskClient, address: str
) -> None:
    rendered = client.post(address, data=GOOD)
    client.get(address)
    assert current.of(app).pages.kept(address)
    again = client.post(address, data=GOOD)
    assert again.text == rendered.text
    assert again.headers["Cache-Control"] == "no-store"
    other = client.post(address, data={**GOOD, "email": "<b>@example.com"})
    assert (other.status_code, "<b>@" in other.text) == (422, False)


def test_exact_consent_text_is_stored(client: FlaskClient, session: Session) -> None:
    page = shown(client.get(PAGE).text)
    client.post(PAGE, data=GOOD, headers={"User-Agent": "Tester/1.0"})
    event = session.scalars(select(ConsentEvent)).one()
    assert event.wording
    assert event.wording in page
    assert (event.page, event.user_agent, event.ip) == (PAGE, "Tester/1.0", "127.0.0.0")


@pytest.mark.parametrize(
    ("address", "kept"),
    [
        ("203.0.113.77", "203.0.113.0"),
        ("2001:db8:1234:5678::9", "2001:db8:1234::"),
        ("::ffff:203.0.113.77", "203.0.113.0"),
        ("fe80::1%eth0", "fe80::"),
        ("[2001:db8:1:2::9]:4711", "2001:db8:1::"),
        ("nobody", None),
    ],
)
def test_ip_address_of_the_consent_is_shortened(
    client: FlaskClient, session: Session, address: str, kept: str | None
) -> None:
    client.post(PAGE, data=GOOD, environ_base={"REMOTE_ADDR": address})
    assert session.scalars(select(ConsentEvent.ip)).all() == [kept]


def test_page_and_campaign_are_stored_from_the_query(client: FlaskClient, session: Session) -> None:
    client.post(f"{PAGE}?utm_source=news&utm_campaign=fall%202026&other=1", data=GOOD)
    lead = session.scalars(select(Lead)).one()
    assert (lead.page, lead.utm_source, lead.utm_campaign) == (PAGE, "news", "fall 2026")
    assert lead.utm_medium is None


def test_separate_form_takes_page_and_campaign_from_the_referer(
    client: FlaskClient, session: Session
) -> None:
    came_from = f"http://localhost{PAGE}?utm_source=news&utm_medium=email"
    html = client.get("/signup", headers={"Referer": came_from}).text
    hidden = dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', html))
    del hidden["wording"]
    assert hidden == {"page": PAGE, "utm_source": "news", "utm_medium": "email"}
    client.post("/signup", data={**GOOD, **hidden})
    lead = session.scalars(select(Lead)).one()
    assert (lead.page, lead.utm_source, lead.utm_medium) == (PAGE, "news", "email")


def test_unknown_page_in_the_form_is_not_stored(client: FlaskClient, session: Session) -> None:
    client.post("/signup", data={**GOOD, "page": "/maria/was/here"})
    lead = session.scalars(select(Lead)).one()
    event = session.scalars(select(ConsentEvent)).one()
    assert (lead.page, lead.last_page, event.page) == (None, None, "/signup")


@pytest.mark.parametrize("address", ["https://evil.example/x?utm_source=y", "http://[evil"])
def test_referer_of_another_site_is_ignored(client: FlaskClient, address: str) -> None:
    answer = client.get("/signup", headers={"Referer": address})
    assert answer.status_code == 200
    assert re.findall(r'type="hidden" name="(\w+)"', answer.text) == ["wording"]


@pytest.mark.parametrize(
    ("typed", "sentence"),
    [
        ("", "Enter an email address, like name@example.com"),
        ("maria", "Enter one email address with a single @, like name@example.com"),
        ("a@b@example.com", "Enter one email address with a single @, like name@example.com"),
        ("maria@example", "Enter an email address with a full domain, like name@example.com"),
        ("mar ia@example.com", "Enter an email address without spaces"),
        ("i\u0307da@example.com", "without the second dot"),
        ("\u0646\u0627\u0645\u0647\u200c\u0627\u06cc@example.com", "that mail can reach"),
        ("m" * 308 + "@example.com", "Enter an email address of at most 254 characters"),
    ],
)
def test_invalid_address_is_explained_and_kept(
    client: FlaskClient, session: Session, typed: str, sentence: str
) -> None:
    answer = client.post(PAGE, data={**GOOD, "email": typed})
    assert answer.status_code == 422
    assert sentence in shown(answer.text)
    assert not typed or f'value="{typed}"' in answer.text
    assert 'value="Maria"' in answer.text
    assert "checked" in answer.text
    assert 'aria-invalid="true"' in answer.text
    assert answer.text.split("<title>")[1].startswith("Error: ")
    assert count(session, Lead) == 0


def test_several_mistakes_are_shown_together(client: FlaskClient) -> None:
    answer = client.post("/signup", data={"email": "maria@example", "name": "x" * 101})
    words = shown(answer.text)
    assert "Enter an email address with a full domain" in words
    assert "Enter a name of at most 100 characters" in words
    assert "Tick the box" in words


def test_known_address_gets_the_same_response_in_every_state(
    client: FlaskClient, session: Session
) -> None:
    def answer() -> str:
        return client.post("/signup", data=GOOD).text

    first = answer()
    assert answer() == first
    lead = session.scalars(select(Lead)).one()
    for state in ("confirmed", "unsubscribed", "held"):
        lead.state = LeadState(state)
        session.commit()
        assert answer() == first


def test_form_sent_again_makes_no_second_lead(client: FlaskClient, session: Session) -> None:
    for _ in range(3):
        client.post(PAGE, data=GOOD)
    client.post(PAGE, data={**GOOD, "email": "maria@EXAMPLE.com"})
    assert count(session, Lead) == 1


def test_address_gets_at_most_three_mails_an_hour(client: FlaskClient, session: Session) -> None:
    for _ in range(6):
        client.post(PAGE, data=GOOD)
    assert count(session, Message) == 3


def test_confirmed_lead_gets_one_notice_an_hour(client: FlaskClient, session: Session) -> None:
    client.post(PAGE, data=GOOD)
    session.scalars(select(Lead)).one().state = LeadState.CONFIRMED
    session.execute(text("DELETE FROM message"))
    session.commit()
    for _ in range(3):
        client.post(PAGE, data=GOOD)
    assert [mail.kind for mail in session.scalars(select(Message))] == ["already"]


def test_done_state_can_send_again_or_return_to_the_form(
    client: FlaskClient, session: Session
) -> None:
    client.post(PAGE, data=GOOD)
    again = client.post(PAGE, data={**GOOD, "action": "again"})
    assert "maria@example.com" in shown(again.text)
    assert again.text != client.post(PAGE, data=GOOD).text
    mails = count(session, Message)
    change = client.post(PAGE, data={**GOOD, "action": "change"})
    assert 'value="maria@example.com"' in change.text
    assert count(session, Message) == mails
    assert change.status_code == 200


def buttons(html: str) -> list[dict[str, str]]:
    """Return the fields that each button of the done state sends."""
    forms = re.findall(r'<form[^>]* class="choices".*?</form>', html, re.S)
    field = re.compile(r'type="hidden" name="(\w+)" value="([^"]*)"')
    return [{name: unescape(value) for name, value in field.findall(form)} for form in forms]


@pytest.mark.parametrize("address", [PAGE, "/signup"])
def test_probable_typo_can_be_corrected_with_one_click(
    client: FlaskClient, session: Session, address: str
) -> None:
    address += "?utm_source=news"
    answer = client.post(address, data={**GOOD, "email": "maria@gamil.com"})
    assert answer.status_code == 200
    assert "We sent a link to maria@gamil.com." in shown(answer.text)
    assert "Did you mean maria@gmail.com?" in shown(answer.text)
    mended = client.post(address, data=buttons(answer.text)[0])
    assert "We sent a link to maria@gmail.com." in shown(mended.text)
    assert "Did you mean" not in mended.text
    right = session.scalars(select(Lead).order_by(Lead.id.desc())).first()
    assert right is not None
    assert (right.email, right.name, right.utm_source) == ("maria@gmail.com", "Maria", "news")


@pytest.mark.parametrize("address", FORMS)
def test_disposable_mailbox_is_refused_with_the_reason(
    client: FlaskClient, session: Session, address: str
) -> None:
    answer = client.post(address, data={**GOOD, "email": "maria@fresh.mailinator.com"})
    assert answer.status_code == 422
    assert "Use a permanent address: disposable mailboxes" in shown(answer.text)
    assert 'value="maria@fresh.mailinator.com"' in answer.text
    assert 'value="Maria"' in answer.text
    assert "checked" in answer.text
    assert count(session, Lead) == 0


def test_dangerous_typo_domain_gets_a_question_and_no_mail(
    client: FlaskClient, session: Session
) -> None:
    answer = client.post(PAGE, data={**GOOD, "email": "maria@gmial.com"})
    assert answer.status_code == 422
    assert "Did you mean maria@gmail.com?" in shown(answer.text)
    assert count(session, Message) == 0


def test_sign_up_with_the_trap_field_is_held_and_gets_no_mail(
    client: FlaskClient, session: Session
) -> None:
    trapped = client.post(PAGE, data={**GOOD, "website": "http://spam.example"})
    assert session.scalars(select(Lead)).one().state == "held"
    assert count(session, Message) == 0
    honest = client.post(PAGE, data=GOOD)
    assert trapped.text == honest.text
    session.rollback()
    assert session.scalars(select(Lead)).one().state == "pending"
    assert count(session, Message) == 1


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Sec-Fetch-Site": "same-origin"}, 200),
        ({"Sec-Fetch-Site": "none"}, 200),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Sec-Fetch-Site": "cross-site", "Origin": "http://localhost"}, 403),
        ({"Origin": "http://localhost"}, 200),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://[evil"}, 403),
        ({}, 200),
    ],
)
def test_post_from_another_site_is_refused(
    client: FlaskClient, session: Session, headers: dict[str, str], status: int
) -> None:
    answer = client.post(PAGE, data=GOOD, headers=headers)
    assert answer.status_code == status
    assert count(session, Lead) == (status == 200)
    if status == 403:
        assert "This form came from another site" in shown(answer.text)
        assert 'href="/signup"' in answer.text


def test_headers_have_no_cookie_and_no_address(client: FlaskClient) -> None:
    for answer in (client.get(PAGE), client.post(PAGE, data=GOOD), client.get("/signup")):
        assert "Set-Cookie" not in answer.headers
        assert "maria" not in str(answer.headers).lower()


def test_typed_values_are_kept_when_the_database_fails(app: Flask, client: FlaskClient) -> None:
    client.get(PAGE)
    with app.app_context():
        from models import db

        db.session.execute(text("ALTER TABLE lead RENAME TO gone"))
        db.session.commit()
    answer = client.post(PAGE, data=GOOD)
    assert answer.status_code == 503
    assert "Nothing was saved" in shown(answer.text)
    assert 'name="email" value="maria@example.com"' in answer.text


def test_address_that_is_too_long_after_normalization_is_refused(
    make_app: Any, database_url: str
) -> None:
    app: Flask = make_app(database_url=database_url)
    # Normalization turns each of these characters into four.
    answer = app.test_client().post("/signup", data={**GOOD, "email": "㍿" * 70 + "@example.com"})
    assert answer.status_code == 422
    assert "Enter an email address of at most 254 characters" in answer.text


def test_hostile_strings_in_every_field_cause_no_error(
    client: FlaskClient, session: Session
) -> None:
    send_hostile(client, session, 60)


def test_changed_consent_text_must_be_accepted_again(
    make_app: Any, site_root: Path, sqlite_url: str
) -> None:
    client = make_app(root=site_root).test_client()
    opened = client.get("/signup").text
    found = re.search(r'name="wording" value="([0-9a-f]{64})"', opened)
    assert found
    words = site_root / "site" / "content" / "site.yaml"
    before = words.read_text("utf-8")
    agreed = "Send me whatever comes along."
    changed = re.sub(
        r"(?<=\n  consent: )>-\n.*?(?=\n  button)", agreed, before, count=1, flags=re.S
    )
    assert changed != before
    words.write_text(changed, "utf-8")
    answer = client.post("/signup", data={**GOOD, "wording": found[1]})
    assert answer.status_code == 422
    assert "What you agree to has changed: read it again and tick the box" in shown(answer.text)
    assert agreed in shown(answer.text)
    assert 'value="maria@example.com"' in answer.text
    assert "checked" not in answer.text
    again = re.search(r'name="wording" value="([0-9a-f]{64})"', answer.text)
    assert again
    assert client.post("/signup", data={**GOOD, "wording": again[1]}).status_code == 200
    engine = create_engine(sqlite_url)
    with Session(engine) as session:
        assert session.scalars(select(ConsentEvent.wording)).all() == [agreed]
    engine.dispose()
