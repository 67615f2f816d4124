"""Links as changed by mail programs, chats and ad platforms."""

from typing import Any
from urllib.parse import quote, urlencode

import pytest
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select
from sqlalchemy.orm import Session

from crossroads.leads import campaign_links
from crossroads.leads.campaign_links import TAGS
from crossroads.mail import mailed_links
from crossroads.mail.addresses import visible
from crossroads.orders import lifecycle as orders
from models import Lead, Waiting, writing
from models.lead import new_token
from tests.support.orders import paid, with_checkout
from tests.support.purchases import JANUARY

SAID = {"utm_source": "news", "utm_medium": "email", "utm_campaign": "spring sale & more"}
GOOD = {"email": "maria@example.com", "consent": "yes"}
CLEAN = urlencode(SAID)
MANGLED = {
    "html": CLEAN.replace("&", "&amp;"),
    "html twice": CLEAN.replace("&", "&amp;amp;"),
    "number": CLEAN.replace("&", "&%2338;"),
    "number with zero": CLEAN.replace("&", "&%23038;"),
    "hexadecimal": CLEAN.replace("&", "&%23x26;"),
    "html, encoded": CLEAN.replace("&", "%26amp%3B"),
    "json": CLEAN.replace("&", "\\u0026"),
    "values encoded twice": urlencode({name: quote(value) for name, value in SAID.items()}),
    "all encoded": quote(CLEAN),
    "all encoded but the equals signs": CLEAN.replace("&", "%26"),
    "all encoded twice": quote(quote(urlencode(SAID, quote_via=quote))),
    "empty twins before": f"utm_source=&utm_medium=&utm_campaign=&{CLEAN}",
    "empty twins after": f"{CLEAN}&utm_source=&utm_medium=&utm_campaign=",
    "twins": f"{CLEAN}&utm_source=other",
    "second question mark": f"fbclid=1?{CLEAN}",
    "question marks": CLEAN.replace("&", "?"),
    "leading question mark": f"?{CLEAN}",
    "semicolons": CLEAN.replace("&", ";"),
    "unseen": urlencode({f"\u200b{name}": f"\u200b{text}\ufeff" for name, text in SAID.items()}),
    "unseen ends": urlencode({f"{name}\u2060": f"{text}\u00a0" for name, text in SAID.items()}),
    "capitals": CLEAN.replace("utm_", "UTM_"),
    "others between": CLEAN.replace("&", "&ref=x&gclid=y&"),
    "others within, encoded": CLEAN.replace("&", "%26ref%3Dx%26"),
}  # fmt: skip


@pytest.mark.parametrize("query", MANGLED.values(), ids=MANGLED)
def test_campaign_of_a_mangled_link_is_stored_by_every_form(
    client: FlaskClient, session: Session, query: str
) -> None:
    """Three ways: a form in a page, the separate form, and the separate form with a Referer."""
    page = "/compare/ai-product-manager-vs-traditional-product-manager"
    sign_up = {**GOOD, "email": "apart@example.com"}
    assert client.post(f"{page}?{query}", data=GOOD).status_code == 200
    assert client.post(f"/signup?{query}", data=sign_up).status_code == 200
    headers = {"Referer": f"http://localhost{page}?{query}"}
    sign_up["email"] = "before@example.com"
    assert client.post("/signup", data=sign_up, headers=headers).status_code == 200
    leads = session.scalars(select(Lead)).all()
    assert len(leads) == 3
    for lead in leads:
        assert {name: getattr(lead, name) for name in SAID} == SAID, lead.email


def test_page_has_the_same_bytes_for_every_mangled_link(client: FlaskClient) -> None:
    plain = client.get("/compare")
    for query in MANGLED.values():
        assert client.get(f"/compare?{query}").data == plain.data


TEXT = st.text(
    st.characters(exclude_categories=["C", "Z"], exclude_characters="%&#;?=\\"), min_size=1
)


@given(st.dictionaries(st.sampled_from(TAGS), TEXT, min_size=1))
def test_intact_and_encoded_campaign_links_are_read_unchanged(said: dict[str, str]) -> None:
    shown = {name: visible(text) for name, text in said.items()}
    meant = {name: text for name, text in shown.items() if text}
    for query in (urlencode(said), urlencode(said).replace("&", "&amp;"), quote(urlencode(said))):
        assert campaign_links.read(query) == meant


HOLDS_MORE = [
    "R&D=fun", "https://e.com/?a=1&b=2", "https://e.com/?a=1&copy=2;", "a&b=c&d=e", "x=1&y=2",
    "a?b=c;d=e#f=g",
]  # fmt: skip


@pytest.mark.parametrize("value", HOLDS_MORE)
def test_value_that_contains_parameters_is_kept_whole(
    client: FlaskClient, session: Session, value: str
) -> None:
    said = {"utm_source": value, "utm_content": value, "utm_medium": "email"}
    query = urlencode(said)
    apart = query.replace("&", "&amp;")
    twice = urlencode({name: quote(text) for name, text in said.items()})
    within = f"{urlencode({'utm_source': value})}%26utm_medium%3Demail&{query}"
    for sent in (query, apart, twice, within, quote(query), quote(quote(query))):
        assert campaign_links.read(sent) == said, sent
    assert client.post(f"/signup?{query}", data=GOOD).status_code == 200
    lead = session.scalars(select(Lead)).one()
    assert {name: getattr(lead, name) for name in said} == said


@given(st.text())
def test_any_query_is_read_without_an_error(text: str) -> None:
    for query in (text, quote(text, errors="replace"), f"utm_source={text}"):
        assert set(campaign_links.read(query)) <= set(TAGS)


def test_percent_sign_in_a_value_is_kept() -> None:
    assert campaign_links.read("utm_campaign=100%25") == {"utm_campaign": "100%"}
    assert campaign_links.read("utm_campaign=50%25ff") == {"utm_campaign": "50%ff"}


STUCK = [
    *(".", ",", ")", ">", '"', "'", ";", "=", "*", "_", "]", "!", ":", "\\", "|", "..", ").", '">'),
    *("%20", "%20%20and", "%09", "%0A", "%0D%0A", "%3E", "%22", "%2E", "&gt;", "&quot;", "&nbsp;"),
    *("%E2%80%8B", "%E2%80%8C", "%EF%BB%BF", "%C2%A0", "%E2%80%9D", "%C2%BB", "%E2%80%A6"),
    *("/", "//", "/.", ">/", "%2F", "%3E%2F"),
    *("&utm_source=x", "&fbclid=abc", "%3Ffbclid=abc", "?fbclid=abc", "?utm_source=a&utm_medium=b"),
    *("?", "?=", "=3D", "=20", "=%0D%0A", "%253E", "%2520"),
]


@pytest.fixture
def links(client: FlaskClient, session: Session, one_day: None) -> list[tuple[str, str]]:
    """Each kind of mailed link as path and token; some tokens end with - or _."""
    writing(session)
    order = with_checkout(session, cohort=JANUARY, number=1)
    orders.fulfill(session, order.id, paid(order), "test")
    [seat] = orders.enrollments(session, order)
    session.commit()
    client.post("/signup", data=GOOD)
    waits = f"/courses/ai-pm-bootcamp/waiting-list?cohort={JANUARY.code}"
    client.post(waits, data={**GOOD, "email": "waits@example.com"})
    lead = session.scalars(select(Lead).where(Lead.email == "maria@example.com")).one()
    waiting = session.scalars(select(Waiting)).one()
    lead.confirm_token = lead.confirm_token[:-1] + "-"
    lead.unsubscribe_token = lead.unsubscribe_token[:-1] + "_"
    order.token = order.token[:-2] + "--"
    session.merge(order)
    session.commit()
    return [
        ("/confirm/", lead.confirm_token),
        ("/unsubscribe/", lead.unsubscribe_token),
        ("/orders/", order.token),
        ("/enrollments/", seat.token),
        ("/waiting-list/", waiting.token),
    ]


def test_mailed_link_works_with_extra_characters(
    client: FlaskClient, links: list[tuple[str, str]]
) -> None:
    for kind, token in links:
        assert client.get(kind + token).status_code == 200
        for stuck in STUCK:
            opened = client.get(kind + token + stuck, follow_redirects=True)
            assert opened.status_code == 200, (kind, stuck)
        for before in ("%20", "%E2%80%8B", "<", "%3C", "/", "("):
            opened = client.get(kind + before + token, follow_redirects=True)
            assert opened.status_code == 200, (kind, before)
        twice = [kind + token + token, kind + token + quote(f"http://localhost{kind}{token}")]
        broken = [kind + token[:10] + cut + token[10:] for cut in ("=%0D%0A", "=", "%20", "%0A")]
        unseen = kind + token[:10] + "%E2%80%8B" + token[10:]
        for address in (*twice, *broken, unseen):
            opened = client.get(address, follow_redirects=True)
            assert opened.status_code == 200, address


def test_button_of_a_mangled_link_works(
    client: FlaskClient, session: Session, links: list[tuple[str, str]]
) -> None:
    (_, confirm), (_, leave), *_ = links
    answer = client.post(f"/confirm/{confirm}).")
    assert answer.status_code == 200
    lead = session.scalars(select(Lead).where(Lead.email == "maria@example.com")).one()
    session.refresh(lead)
    assert lead.state == "confirmed"
    session.commit()  # ends the transaction, so that the next read sees the app's changes
    data = {"List-Unsubscribe": "One-Click"}
    answer = client.post(f"/unsubscribe/{leave}/", data=data, follow_redirects=True)
    assert answer.status_code == 200
    session.refresh(lead)
    assert lead.state == "unsubscribed"


def test_redirect_to_the_clean_address_is_not_cached(
    client: FlaskClient, links: list[tuple[str, str]]
) -> None:
    kind, token = links[0]
    answer = client.get(f"{kind}{token}/?fbclid=1")
    assert (answer.status_code, answer.location) == (308, f"{kind}{token}?fbclid=1")
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Referrer-Policy"] == "no-referrer"


def test_calendar_and_public_pages_work_with_extra_characters(
    client: FlaskClient, links: list[tuple[str, str]]
) -> None:
    seat = links[3][1]
    pages = [f"/enrollments/{seat}/calendar.ics", "/compare", "/courses/ai-pm-bootcamp", "/signup"]
    for page in pages:
        for stuck in (".", ",", ")", "%3E", "&gt;", "%20", "%E2%80%8B", "/", '"', ").", "%3Fa=b"):
            opened = client.get(page + stuck, follow_redirects=True)
            assert opened.status_code == 200, (page, stuck)
    moved = client.get("/compare%3Futm_source=news&utm_medium=email")
    assert moved.location == "/compare?utm_source=news&utm_medium=email"


@given(st.integers(0, 2**32), st.text(max_size=5), st.text(max_size=5))
def test_token_is_found_between_extra_characters(number: int, before: str, after: str) -> None:
    made = new_token(number)
    assert mailed_links.token(made) == made
    letters = set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_%=")
    if not set(before) & letters:
        assert mailed_links.token(before + made + after) == made


@pytest.mark.parametrize("path", ["/confirm/", "/confirm/nonsense.", "/nothing.", "/compare/no)"])
def test_unknown_address_stays_unknown(client: FlaskClient, path: str) -> None:
    answer: Any = client.get(path, follow_redirects=True)
    assert answer.status_code == 404


@pytest.mark.parametrize("run", ["&gt;", ". ", ".", "= ", "&#38;", "/", "\u00a0"])
def test_long_runs_of_extra_characters_are_scanned_once(client: FlaskClient, run: str) -> None:
    """With backtracking, twenty repetitions took seconds, and sixty blocked a process forever."""
    for length in (60, 20_000):
        path = "/nothing" + run * length + "x"
        with client.open("/", environ_overrides={"PATH_INFO": path}) as answer:
            assert answer.status_code == 404
    assert mailed_links.clean("/compare" + run * 60) in (None, ("/compare", ""))
