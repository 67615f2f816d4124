"""Text typed into an announcement is never lost.

Not by a broken link, an ended sign-in, an old token, a double click or a colleague's save. On both
databases.
"""

import html
import re
import threading
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from crossroads import current
from crossroads.content import link_check
from models import Announcement, db, now, writing
from tests.support.desk_visits import (
    PASSWORD,
    add_leads,
    add_user,
    desk,
    lead,
    send,
    sign_in,
    token,
)
from tests.support.purchases import JANUARY

NEW = "/admin/announcements/new"
BODY = 'First line.\n\nThe "second" <b>line</b> & more\n\n  - é 🎓'
WORDS = {
    "subject": "The January cohort", "body": BODY, "page": "", "campaign": "", "waiting": "",
    "rate": "60",
}  # fmt: skip
LINKS = """See https://example.com/kurs for the dates.

Or [the page](www.example.com/kurs), or [call us](tel:+15550100).

![Our team in Bern](https://example.com/team.png)
"""


@pytest.fixture
def app(make_app: Any, database_url: str) -> Flask:
    built: Flask = make_app(database_url=database_url)
    return built


def fields(page: str) -> dict[str, str]:
    """Return what a browser would send for the last form of the page."""
    form = re.findall(r'<form method="post".*?</form>', page, re.S)[-1]
    found = dict(
        re.findall(r'<input type="[a-z]+"[^>]*? name="([^"]+)"[^>]*? value="([^"]*)"', form)
    )
    found |= dict(
        re.findall(r'<textarea[^>]*? name="([^"]+)"[^>]*>\n?(.*?)</textarea>', form, re.S)
    )
    for name, options in re.findall(r'<select id="\w+" name="(\w+)".*?>(.*?)</select>', form, re.S):
        chosen = re.findall(r'<option value="([^"]*)" selected', options)
        found[name] = chosen[0] if chosen else ""
    return {name: html.unescape(value) for name, value in found.items()}


def shown(page: str) -> dict[str, str]:
    """Return the typed values as the page's form shows them."""
    return {name: value for name, value in fields(page).items() if name in WORDS}


def stored(app: Flask) -> list[Announcement]:
    with app.app_context(), Session(db.engine, expire_on_commit=False) as session:
        return list(session.scalars(select(Announcement).order_by(Announcement.id)))


def opened(client: FlaskClient, path: str = NEW) -> dict[str, str]:
    return fields(client.get(path).text)


@pytest.mark.parametrize(
    ("source", "error"),
    [
        (LINKS, "Line 3: [the page](www.example.com/kurs) leads nowhere: "
                "did you mean https://www.example.com/kurs?"),
        ("[x](courses/ai-pm-bootcamp#dates)", "did you mean /courses/ai-pm-bootcamp#dates?"),
        ("[x](ai-pm-bootcamp)", "did you mean /courses/ai-pm-bootcamp?"),
        ("[x](kurs)", "Line 1: [x](kurs) leads nowhere: write the whole address"),
        ("[x](/kurs)", "Line 1: [x](/kurs) leads nowhere: this site has no such page"),
        ("[x](/course/ai-pm-bootcamp?utm_source=a)",
         "did you mean /courses/ai-pm-bootcamp?utm_source=a?"),
        ("[x](/Compare)", "did you mean /compare?"),
        ("[x](/compare/../terms)", "leads nowhere"),
        ("[x](/%5Cevil.com)", "leads nowhere: this site has no such page"),
        ("[x](/\\evil.com)", "leads nowhere: this site has no such page"),
        ("[x](/courses/ai-pm-bootcamp/waiting-list)",
         "did you mean /courses/ai-pm-bootcamp/waiting-list?cohort="),
        ("[x](/admin/leads)", "leads nowhere: this site has no such page"),
        ("[x](http://localhost/kurs)", "leads nowhere: this site has no such page"),
        ("[x](HTTP://LOCALHOST:80/Compare)", "did you mean http://localhost/compare?"),
        ("[x](https://localhost/ai-pm-bootcamp)",
         "did you mean http://localhost/courses/ai-pm-bootcamp?"),
        ("a\nSee http://localhost/compar now",
         "Line 2: http://localhost/compar leads nowhere: did you mean http://localhost/compare?"),
        ("<http://localhost/kurs>", "leads nowhere: this site has no such page"),
        ("[e](a@example.com)", "did you mean mailto:a@example.com?"),
        ("[p](//example.com/x)", "did you mean https://example.com/x?"),
        ("[t](https://https://example.com)", "did you mean https://example.com?"),
        ("[t](http:example.com)", "did you mean https://example.com?"),
        ("a\nb [p](example.com:8080/x)", "Line 2: [p](example.com:8080/x) leads nowhere: "
                                         "did you mean https://example.com:8080/x?"),
        ("[call](<tel:+1 555 0100>)", "did you mean tel:+15550100?"),
        ("[n]()", "Line 1: [n]() leads nowhere: write the whole address"),
        ("[n](#top)", "write the whole address"),
        ("[n](https://nodot)", "write the whole address"),
        ("[n](mailto:nobody)", "write the whole address"),
        ("[n](ftp://example.com)", "write the whole address"),
        ("[n](javascript:x)", "Line 1: [n](javascript:x) is not read as a link"),
        ("[n](https://example.com/a b)", "[n](https://example.com/a b) is not read as a link"),
        ("![pic](team.png)", "Line 1: ![pic](team.png) leads nowhere"),
        ("[r][r]\n\n[r]: www.example.com", "did you mean https://www.example.com?"),
        ("| a |\n|---|\n| [q](www.example.com) |", "did you mean https://www.example.com?"),
        ("> - [q](www.example.com)", "did you mean https://www.example.com?"),
    ],
)  # fmt: skip
def test_broken_link_is_refused_and_named(make_app: Any, source: str, error: str) -> None:
    app = make_app()
    answer = send(desk(app), NEW, WORDS | {"body": source})
    assert answer.status_code == 422
    assert error in html.unescape(answer.text)
    assert shown(answer.text)["body"].strip() == source.strip()
    assert stored(app) == []


@pytest.mark.usefixtures("one_day")
def test_every_allowed_link_target_exists(client: FlaskClient) -> None:
    app = client.application
    with app.app_context():
        known = link_check.own_paths(current.content()) | current.store().addresses
    for path in known:
        with client.get(path) as answer:
            assert answer.status_code == 200, path


def test_all_broken_links_are_named_at_once(make_app: Any) -> None:
    app = make_app()
    source = "[a](www.one.example)\n\n[b](www.two.example)\n[c](https://three.example)"
    page = html.unescape(send(desk(app), NEW, WORDS | {"body": source}).text)
    assert "Line 1: [a](www.one.example)" in page and "Line 3: [b](www.two.example)" in page
    assert "Line 4" not in page


@pytest.mark.parametrize(
    "source",
    [
        "[a](https://example.com) [b](http://bücher.example/straße?x=1#y) [c](/compare)",
        f"[w](/courses/ai-pm-bootcamp/waiting-list?utm_source=a&cohort={JANUARY.code}#x)",
        "[h](/) [s](/signup) [e](/courses/ai-pm-bootcamp/enroll#form) [p](/compare/?a=b#c)",
        "[p](/share/courses/ai-pm-bootcamp.png) [i](/favicon.ico) http://localhost",
        "[ported](http://localhost:8000/x) http://localhost/compare.",
        "[m](mailto:us@example.com?subject=Hi%20you) [t](tel:+1-555-0100)",
        "https://example.com, <https://example.com>, us@example.com, README.md, a.b",
        "`[code](www.example.com)` and [ ] (brackets) [1]",
        "[ours](http://localhost/terms) [ip](http://127.0.0.1:8000/)",
    ],
)
def test_valid_links_are_saved(make_app: Any, source: str) -> None:
    app = make_app()
    assert send(desk(app), NEW, WORDS | {"body": source}).status_code == 303
    assert stored(app)[0].body == source


def test_older_draft_with_a_broken_link_is_not_sent(make_app: Any) -> None:
    app = make_app()
    add_leads(app, lead(state="confirmed", confirmed_at=now()))
    client = desk(app)
    page = send(client, NEW, WORDS).location
    with app.app_context(), Session(db.engine) as session:
        writing(session)
        session.execute(update(Announcement).values(body="[x](www.example.com)"))
        session.commit()
    answer = client.get(f"{page}/queue", follow_redirects=True)
    assert answer.request.path == f"{page}/edit"
    assert "did you mean https://www.example.com?" in answer.text
    answer = client.post(f"{page}/queue", data={"csrf_token": token(answer)})
    assert stored(app)[0].state == "draft"


def test_typed_text_survives_an_ended_sign_in(app: Flask) -> None:
    add_user(app, "writer@example.com", "marketer")
    client = app.test_client()
    sign_in(client, "writer@example.com")
    form = opened(client) | WORDS
    client.post("/admin/logout", data={"csrf_token": form["csrf_token"]})
    answer = client.post(NEW, data=form)
    assert answer.status_code == 401
    assert "Your sign-in has ended" in answer.text
    # A wrong password does not lose it either.
    form = fields(answer.text)
    wrong = client.post("/admin/login", data=form | {"email": "writer@example.com",
                                                     "password": "not this one"})  # fmt: skip
    assert wrong.status_code == 422
    form = fields(wrong.text)
    right = client.post("/admin/login", data=form | {"email": "writer@example.com",
                                                     "password": PASSWORD})  # fmt: skip
    assert right.status_code == 200
    assert right.headers["Cache-Control"] == "no-store"
    assert f'action="{NEW}"' in right.text
    assert stored(app) == []
    page = client.post(NEW, data=fields(right.text))
    assert page.status_code == 200
    assert shown(page.text) == WORDS
    assert stored(app) == []
    assert client.post(NEW, data=fields(page.text)).status_code == 303
    assert stored(app)[0].body == BODY


def test_sign_in_page_drops_a_form_posted_by_another_site(app: Flask) -> None:
    client = app.test_client()
    answer = client.post(NEW, data=WORDS, headers={"Sec-Fetch-Site": "cross-site"})
    assert answer.status_code == 403
    assert "January" not in answer.text


def test_typed_text_survives_an_old_token(app: Flask) -> None:
    client = desk(app)
    path = send(client, NEW, WORDS | {"body": "before"}).location + "/edit"
    for address in (NEW, path):
        answer = client.post(address, data=WORDS | {"csrf_token": "an old one"})
        assert answer.status_code == 400
        assert "open for too long" in answer.text
        assert shown(answer.text) == WORDS
    assert [one.body for one in stored(app)] == ["before"]
    assert client.post(path, data=fields(answer.text)).status_code == 303
    assert [one.body for one in stored(app)] == [BODY]


def test_double_click_makes_one_announcement(app: Flask) -> None:
    client = desk(app)
    form = opened(client) | WORDS
    answers = [client.post(NEW, data=form) for _ in range(2)]
    assert {answer.status_code for answer in answers} == {303}
    assert len({answer.location for answer in answers}) == 1
    assert len(stored(app)) == 1
    # A newly opened form makes another announcement, even with the same text.
    assert client.post(NEW, data=opened(client) | WORDS).status_code == 303
    assert len(stored(app)) == 2


def test_concurrent_clicks_make_one_announcement(app: Flask) -> None:
    client = desk(app)
    form = opened(client) | WORDS
    named = app.config["SESSION_COOKIE_NAME"]
    cookie = client.get_cookie(named, path=app.config["SESSION_COOKIE_PATH"] or "/")
    assert cookie is not None
    answers, ready = [], threading.Barrier(4)

    def click() -> None:
        other = app.test_client()
        other.set_cookie(named, cookie.value)
        ready.wait()
        answers.append(other.post(NEW, data=form))

    clicks = [threading.Thread(target=click) for _ in range(4)]
    for one in clicks:
        one.start()
    for one in clicks:
        one.join()
    assert {answer.status_code for answer in answers} == {303}
    assert len({answer.location for answer in answers}) == 1
    assert len(stored(app)) == 1


def test_form_resent_with_other_text_keeps_both_texts(app: Flask) -> None:
    client = desk(app)
    form = opened(client) | WORDS
    client.post(NEW, data=form)
    answer = client.post(NEW, data=form | {"body": "Other words"})  # Back, changed, saved
    assert answer.status_code == 409
    assert shown(answer.text)["body"] == "Other words"
    assert html.escape(BODY, quote=False).splitlines()[0] in answer.text
    assert [one.body for one in stored(app)] == [BODY]
    path = re.findall(r'action="(/admin/announcements/\d+/edit)"', answer.text)[0]
    assert client.post(path, data=fields(answer.text)).status_code == 303
    assert [one.body for one in stored(app)] == ["Other words"]


def test_edit_conflict_shows_the_saved_text_and_the_typed_text(app: Flask) -> None:
    one, other = desk(app, "owner"), desk(app, "marketer")
    path = send(one, NEW, WORDS | {"body": "At first"}).location + "/edit"
    mine, theirs = opened(one, path), opened(other, path)
    saved = other.post(path, data=theirs | {"body": "Their words", "subject": "Their subject"})
    assert saved.status_code == 303
    answer = one.post(path, data=mine | {"body": "My words"})
    assert answer.status_code == 409
    assert shown(answer.text)["body"] == "My words"
    assert "Their words</pre>" in answer.text and "Their subject" in answer.text
    assert stored(app)[0].body == "Their words"
    assert one.post(path, data=fields(answer.text)).status_code == 303
    assert stored(app)[0].body == "My words"
    # Both saved the same text: there is no conflict.
    mine, theirs = opened(one, path), opened(other, path)
    for client, form in ((one, mine), (other, theirs)):
        assert client.post(path, data=form | {"body": "The same"}).status_code == 303


def test_typed_text_survives_when_a_colleague_queues_the_announcement(app: Flask) -> None:
    add_leads(app, lead(state="confirmed", confirmed_at=now()))
    one, other = desk(app, "owner"), desk(app, "marketer")
    page = send(one, NEW, WORDS).location
    mine = opened(one, f"{page}/edit")
    send(other, f"{page}/queue", {})
    answer = one.post(f"{page}/edit", data=mine | {"body": "My words"})
    assert answer.status_code == 409
    assert "It was queued" in answer.text and shown(answer.text)["body"] == "My words"
    assert stored(app)[0].body == BODY
    assert one.post(NEW, data=fields(answer.text)).status_code == 303
    assert [one.body for one in stored(app)] == [BODY, "My words"]
