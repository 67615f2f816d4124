"""Leads in the admin area: list and record."""

import html
import re
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest
from flask import Flask
from sqlalchemy import select
from sqlalchemy.orm import Session

from crossroads import current
from crossroads.database import pagination
from crossroads.leads import consent
from crossroads.leads.consent import Evidence
from models import ConsentEvent, Lead, Message, db
from models.consent import ConsentKind
from models.message import MessageState
from tests.support.desk_visits import add_leads, desk, lead, token

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
ROW = re.compile(r'<tr>\s*<td class="address">(.*?)</td>', re.S)


def emails(page: str) -> list[str]:
    return [html.unescape(found.replace("<wbr>", "")) for found in ROW.findall(page)]


def link(page: str, words: str) -> str:
    found = re.search(rf'href="([^"]*)"[^>]*>(?:<span class="vh">[^<]*</span>)?{words}', page)
    assert found, words
    return html.unescape(found[1])


def test_empty_list_says_so_and_offers_no_filter_and_no_export(app: Flask) -> None:
    page = desk(app).get("/admin/leads").text
    assert "Nobody has signed up yet" in page
    assert "Export" not in page
    assert 'name="q"' not in page


def test_filter_without_matches_says_that_no_lead_matches(app: Flask) -> None:
    add_leads(app, lead())
    page = desk(app).get("/admin/leads?q=nobody").text
    assert "No lead matches" in page
    assert 'value="nobody"' in page
    assert "Export" not in page


def test_the_list_shows_the_newest_first_and_counts_all(app: Flask) -> None:
    add_leads(
        app,
        lead("old@example.com", created_at=NOON - timedelta(days=1)),
        lead("new@example.com", created_at=NOON, state="confirmed", name="Maria Silva"),
    )
    page = desk(app).get("/admin/leads").text
    assert emails(page) == ["new@example.com", "old@example.com"]
    assert "Export 2 leads" in page
    assert '<span class="status is-confirmed">Confirmed</span>' in page
    assert '<time datetime="2026-11-22T12:00:00Z">Nov 22, 2026, 12:00</time>' in page
    assert "Signed up (UTC)" in page
    assert "Maria Silva" in page


def test_count_of_one_lead_is_singular(app: Flask) -> None:
    add_leads(app, lead())
    assert "Export 1 lead<" in desk(app).get("/admin/leads").text


def test_older_and_newer_links_page_through_the_whole_list(app: Flask) -> None:
    every = [lead(created_at=NOON + timedelta(minutes=i), page="/signup") for i in range(120)]
    names = [one.email for one in reversed(every)]
    add_leads(app, *every, lead(page="/compare"))
    client = desk(app)
    first = client.get("/admin/leads?page=/signup").text
    second = client.get(link(first, "Older")).text
    third = client.get(link(second, "Older")).text
    assert emails(first) + emails(second) + emails(third) == names
    assert "101 to 120 of <b>120 leads</b>" in third
    assert ">Older<" not in third and ">Newer<" not in first
    assert emails(client.get(link(third, "Newer")).text) == emails(second)
    assert "@" not in link(second, "Older")


def test_chip_removes_only_its_own_filter(app: Flask) -> None:
    add_leads(
        app,
        lead("a@example.com", utm_campaign="spring & fall", state="confirmed"),
        lead("b@example.com", utm_campaign="spring & fall"),
        lead("c@example.com", utm_campaign="other"),
    )
    client = desk(app)
    page = client.get("/admin/leads?state=confirmed&campaign=spring+%26+fall&sort=email").text
    assert emails(page) == ["a@example.com"]
    without = client.get(link(page, "State")).text
    assert emails(without) == ["a@example.com", "b@example.com"]
    assert "State: <b>" not in without and "spring &amp; fall</b>" in without
    assert emails(client.get(link(page, "Remove all")).text) == [
        f"{letter}@example.com" for letter in "abc"
    ]


def test_filter_form_keeps_the_chosen_values(app: Flask) -> None:
    add_leads(app, lead(page="/signup", utm_campaign="spring"), lead(page="/compare"))
    page = desk(app).get("/admin/leads?q=person&state=pending&page=/signup&sort=oldest").text
    assert 'name="q" value="person"' in page
    assert '<option value="pending" selected>Pending</option>' in page
    assert '<option value="/signup" selected>/signup</option>' in page
    assert '<option value="spring">spring</option>' in page
    assert '<input type="hidden" name="sort" value="oldest">' in page


@pytest.mark.parametrize(
    ("sort", "state", "first"),
    [
        ("newest", "descending", "b"),
        ("oldest", "ascending", "a"),
        ("email", "ascending", "a"),
        ("email-down", "descending", "c"),
    ],
)
def test_column_head_shows_the_sort_order_and_reverses_it(
    app: Flask, sort: str, state: str, first: str
) -> None:
    add_leads(
        app,
        lead("c@example.com", created_at=NOON + timedelta(days=1)),
        lead("a@example.com", created_at=NOON),
        lead("b@example.com", created_at=NOON + timedelta(days=2)),
    )
    client = desk(app)
    page = client.get(f"/admin/leads?sort={sort}").text
    assert emails(page)[0] == f"{first}@example.com"
    assert page.count("aria-sort") == page.count(f'aria-sort="{state}"') == 1
    turned = client.get(link(page, "Email" if "email" in sort else "Signed up")).text
    assert emails(turned) == emails(page)[::-1]


HOSTILE = [
    "q=%00",
    "q=%ff%fe",
    "q=" + quote("'; DROP TABLE lead; --"),
    "q=" + "x" * 5000,
    "state=" + quote("<script>"),
    "page=%00&campaign=%00",
    "sort=nonsense",
    "after=abc&before=",
    "after=99999999999999999999999",
    "before=-1&after=0",
    "q=a&q=b&state=pending&state=confirmed",
]


def test_hostile_query_string_still_gets_a_page(app: Flask) -> None:
    add_leads(app, lead())
    client = desk(app)
    for query in HOSTILE:
        answer = client.get(f"/admin/leads?{query}")
        assert answer.status_code == 200, query
        assert "<script>" not in answer.text, query


def test_typed_text_is_never_shown_as_markup(app: Flask) -> None:
    evil = '"><script>alert(1)</script>'
    given = {"page": evil, "utm_campaign": evil, "utm_source": evil, "utm_term": evil}
    (number,) = add_leads(app, lead("evil@example.com", name=evil, **given))
    with app.app_context(), Session(db.engine) as session:
        session.add(
            Message(
                kind="odd" + evil,
                lead_id=number,
                recipient="evil@example.com",
                address_hash="",
                error=evil,
            )
        )
        session.commit()
    client = desk(app)
    for path in (
        "/admin/",
        "/admin/leads",
        f"/admin/leads?q={quote(evil)}",
        f"/admin/leads/{number}",
    ):
        page = client.get(path).text
        assert "<script>alert" not in page, path
    assert "&lt;script&gt;alert(1)" in client.get(f"/admin/leads/{number}").text


def test_touch_page_with_a_script_url_is_not_linked(app: Flask) -> None:
    (number,) = add_leads(app, lead(page="javascript:alert(1)"))
    client = desk(app)
    for path in ("/admin/", "/admin/leads", f"/admin/leads/{number}"):
        assert 'href="javascript:' not in client.get(path).text


def test_lead_shows_the_exact_consent_text(app: Flask) -> None:
    one = lead("maria@example.com", created_at=NOON, utm_source="news", state="confirmed")
    one.confirmed_at = NOON + timedelta(hours=1)
    (number,) = add_leads(app, one)
    proof = Evidence(form="signup", page="/compare", ip="203.0.113.0", user_agent="Firefox 140")
    with app.app_context(), Session(db.engine) as session:
        consent.record(
            session, session.merge(one), ConsentKind.GIVEN, proof, "Email me <this> & that."
        )
        consent.record(session, session.merge(one), ConsentKind.CONFIRMED, Evidence(form="confirm"))
        session.add(
            Message(
                kind="confirm",
                lead_id=number,
                recipient="maria@example.com",
                address_hash="",
                state=MessageState.SENT,
                attempts=1,
                sent_at=NOON + timedelta(minutes=1),
            )
        )
        session.add(
            Message(
                kind="welcome",
                lead_id=number,
                recipient="maria@example.com",
                address_hash="",
                state=MessageState.HELD,
                error="the receiver is unsubscribed",
            )
        )
        session.commit()
    page = desk(app).get(f"/admin/leads/{number}").text
    for words in (
        "maria<wbr>@example.com",
        "<blockquote>Email me &lt;this&gt; &amp; that.</blockquote>",
        "203.0.113.0",
        "Firefox 140",
        "<dd>/compare</dd>",
        "<dd>signup</dd>",
        "<dd>news</dd>",
        "Signed up and agreed",
        "Confirmed the address",
        "2026-11-22T12:01:00Z",
        "2026-11-22T13:00:00Z",
        '<span class="status is-sent">Sent</span>',
        '<span class="status is-held">Held</span>',
        "the receiver is unsubscribed",
        "All times are in UTC",
    ):
        assert words in page, words
    assert page.index("Signed up and agreed") < page.index("Confirmed the address")


def test_held_lead_shows_the_reason(app: Flask) -> None:
    (number,) = add_leads(app, lead(state="held"))
    client = desk(app)
    assert "looks like one from a bot" in client.get(f"/admin/leads/{number}").text
    assert f'href="/admin/leads/{number}"' in client.get("/admin/leads?state=held").text


def test_missing_lead_is_not_found(app: Flask) -> None:
    client = desk(app)
    for number in ("0", "7", "2147483648", "9" * 40):
        assert client.get(f"/admin/leads/{number}").status_code == 404


def test_the_desk_works_on_both_databases(make_app: Any, database_url: str) -> None:
    app = make_app(database_url=database_url)
    (number,) = add_leads(app, lead("maria@example.com", utm_campaign="spring", page="/signup"))
    client = desk(app)
    query = "q=MARIA&state=pending&campaign=spring&page=/signup&sort=email-down&after=1"
    for path in ("/admin/", "/admin/leads", f"/admin/leads?{query}", f"/admin/leads/{number}"):
        answer = client.get(path)
        assert answer.status_code == 200
        assert "maria<wbr>@example.com" in answer.text
    assert client.get("/admin/leads?q=%00&page=%00").status_code == 200


def test_not_found_page_links_back_to_the_desk(app: Flask) -> None:
    client = desk(app, "marketer")
    answer = client.get("/admin/leads/999")
    assert answer.status_code == 404
    assert 'href="/admin/leads"' in answer.text


def test_approved_lead_is_asked_once_to_confirm(app: Flask) -> None:
    visitor = app.test_client()
    form = {"email": "maria@example.com", "consent": "yes", "website": "https://auto.example"}
    visitor.post("/signup", data=form)
    client = desk(app, "marketer")
    page = "/admin/leads/1"
    assert "This is a person" in client.get(page).text
    for _ in range(2):  # the second click has no effect
        given = {"csrf_token": token(client.get("/admin/leads"))}
        assert client.post(f"{page}/release", data=given).status_code == 303
    with app.app_context(), Session(db.engine) as session:
        assert session.get_one(Lead, 1).state == "pending"
        assert list(session.scalars(select(Message.kind))) == ["confirm"]
    shown = client.get(page).text
    assert "This is a person" not in shown
    assert "Approved by staff" in shown
    assert client.post("/admin/leads/99/release", data=given).status_code == 404


def test_consent_record_keeps_its_wording_and_page_version(app: Flask) -> None:
    app.test_client().post("/", data={"email": "maria@example.com", "consent": "yes"})
    with app.app_context(), Session(db.engine) as session:
        event = session.scalars(select(ConsentEvent)).one()
        content = current.of(app).store.content
        assert event.page_version == content.version("/")
        assert event.page_version != content.version("/courses/ai-pm-bootcamp")
    page = desk(app).get("/admin/leads/1").text
    for fact in (event.wording, event.wording_hash, event.page_version or "", event.address_hash):
        assert fact in page


def test_many_leads_are_counted_only_on_request(
    app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pagination, "COUNTED", 60)
    add_leads(app, *(lead(f"many{number}@example.com") for number in range(70)))
    browser = desk(app)
    page = browser.get("/admin/leads").text
    assert "1 to 50 of <b>many leads</b>" in page
    assert "Export all of them" in page
    asked = browser.get("/admin/leads?count=1").text
    assert "1 to 50 of <b>70 leads</b>" in asked
    assert "Export 70 leads" in asked
    second = browser.get(link(page, "Older")).text
    assert "20 of <b>many leads</b>" in second
