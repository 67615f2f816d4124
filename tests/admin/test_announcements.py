"""Announcements in the admin area: write, preview, test mail, queue, pause, unsubscribe."""

import re
from datetime import timedelta

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from models import Announcement, Lead, Message, db, now, writing
from tests.support.desk_visits import add_leads, desk, lead, send, token
from tests.support.mail_server import Mail, MailServer
from tests.support.workers import make_worker

NEW = "/admin/announcements/new"
WORDS = {
    "subject": "  The January\tcohort is open ",
    "body": "Hello.\r\n\r\nSee [the course](/courses/ai-pm-bootcamp) <script>alert(1)</script>",
    "page": "",
    "campaign": "",
    "waiting": "",
    "rate": "600",
}


def add_people(app: Flask, *names: str) -> None:
    at = now() - timedelta(days=1)
    people = (
        lead(f"{n}@example.com", state="confirmed", confirmed_at=at, page=f"/{n}") for n in names
    )
    add_leads(app, *people)


def written(client: FlaskClient, **given: str) -> str:
    """Write an announcement and return the path of its page."""
    answer = send(client, NEW, WORDS | given)
    assert answer.status_code == 303, answer.text
    return answer.location


def deliver(app: Flask, server: MailServer) -> dict[str, Mail]:
    """Deliver due mail, then mail that was due later; return each mail by its receiver."""
    with app.app_context():
        worker = make_worker(db.engine, server.url)
        worker.deliver_due()
        with Session(db.engine) as session:
            writing(session)
            session.execute(update(Message).where(Message.state == "due").values(due_at=now()))
            session.commit()
        worker.deliver_due()
    return {mail.recipient: mail for mail in server.mails}


def stored(app: Flask) -> Announcement:
    with app.app_context(), Session(db.engine, expire_on_commit=False) as session:
        return session.scalars(select(Announcement)).one()


def figures(page: str) -> list[int]:
    """Return the numbers sent, waiting, not delivered and unsubscribed."""
    return [int(number) for number in re.findall(r"<dd><b>(\d+)</b>", page)]


def test_empty_announcement_list_says_so(app: Flask) -> None:
    assert "Nothing was announced yet" in desk(app, "marketer").get("/admin/announcements").text


def test_announcement_from_draft_to_last_mail(app: Flask, server: MailServer) -> None:
    add_people(app, "maria", "jon")
    client = desk(app, "marketer")
    page = written(client)
    assert "Send to 2 people" in client.get(page).text
    assert client.get(f"{page}/queue").text.count("Send to 2 people") == 2
    assert deliver(app, server) == {}
    answer = send(client, f"{page}/queue", {})
    assert (answer.status_code, answer.location) == (303, page)
    assert figures(client.get(page).text) == [0, 2, 0, 0]
    server.replies["rcpt"] = ["250 OK", "550 5.1.1 no such user"]
    first = deliver(app, server)["maria@example.com"]
    assert first.message["Subject"] == "The January cohort is open"
    assert "List-Unsubscribe" in first.message
    assert figures(client.get(page).text) == [1, 0, 1, 0]
    assert "The January cohort is open" in client.get("/admin/announcements").text
    # Queueing again has no effect, nor has an edit of a queued announcement.
    assert client.get(f"{page}/queue").status_code == 303
    send(client, f"{page}/queue", {}, page=page)
    send(client, f"{page}/edit", WORDS | {"subject": "Other words"}, page=page)
    assert deliver(app, server).keys() == {"maria@example.com"}
    assert stored(app).subject == "The January cohort is open"


def test_preview_shows_the_mail_and_cannot_run_script(app: Flask) -> None:
    client = desk(app)
    page = written(client)
    answer = client.get(page)
    assert "frame-src 'self'" in answer.headers["Content-Security-Policy"]
    assert "See the course (http://localhost/courses/ai-pm-bootcamp) &lt;script&gt;" in answer.text
    frame = client.get(f"{page}/preview")
    policy = frame.headers["Content-Security-Policy"]
    assert "sandbox" in policy and "default-src 'none'" in policy and "script" not in policy
    assert "<script" not in frame.text
    assert 'href="http://localhost/courses/ai-pm-bootcamp"' in frame.text
    assert "Unsubscribe from these emails" in frame.text
    assert "<h1" in frame.text and "The January cohort is open</h1>" in frame.text


def test_test_mail_goes_only_to_its_sender_and_is_not_counted(
    app: Flask, server: MailServer
) -> None:
    add_people(app, "maria")
    client = desk(app)
    page = written(client)
    send(client, f"{page}/trial", {}, page=page)
    send(client, f"{page}/trial", {}, page=page)
    (mail,) = deliver(app, server).values()
    assert mail.recipient.startswith("owner")
    assert mail.message["Subject"] == "Test: The January cohort is open"
    assert "Send to 1 person<" in client.get(page).text
    send(client, f"{page}/queue", {})
    assert figures(client.get(page).text) == [0, 1, 0, 0]


def test_paused_announcement_is_sent_after_resuming(app: Flask, server: MailServer) -> None:
    add_people(app, "maria")
    client = desk(app)
    page = written(client)
    send(client, f"{page}/queue", {})
    send(client, f"{page}/pause", {}, page=page)
    assert "Paused" in client.get(page).text
    assert deliver(app, server) == {}
    send(client, f"{page}/resume", {}, page=page)
    assert list(deliver(app, server)) == ["maria@example.com"]


def test_receivers_can_be_filtered_by_page(app: Flask) -> None:
    add_people(app, "maria", "jon")
    client = desk(app)
    assert '<option value="/jon">' in client.get(NEW).text
    page = written(client, page="/jon")
    assert "Send to 1 person<" in client.get(page).text
    send(client, f"{page}/edit", WORDS | {"page": ""})
    assert "Send to 2 people<" in client.get(page).text


def test_unsubscribe_through_its_link_is_counted_until_undone(
    app: Flask, server: MailServer
) -> None:
    add_people(app, "maria")
    client = desk(app)
    page = written(client)
    send(client, f"{page}/queue", {})
    mail = deliver(app, server)["maria@example.com"]
    link = mail.message["List-Unsubscribe"].strip("<>").removeprefix("http://localhost")
    reader = app.test_client()
    for _ in range(2):
        assert reader.get(link).status_code == 200
        assert reader.head(link).status_code == 200
    assert figures(client.get(page).text)[3] == 0
    for _ in range(2):
        assert reader.post(link, data={"List-Unsubscribe": "One-Click"}).status_code == 200
    assert figures(client.get(page).text)[3] == 1
    reader.post(link, data={"action": "undo"})
    assert figures(client.get(page).text)[3] == 0
    # Not counted: the person unsubscribed through another mail's link before using this one's.
    reader.post(link.partition("?")[0])
    reader.post(link)
    assert figures(client.get(page).text)[3] == 0


@pytest.mark.parametrize("mail", ["", "x" * 5000, "\0", "'; DROP TABLE message", "%ED%A0%80"])
def test_link_with_invalid_mail_parameter_still_unsubscribes(app: Flask, mail: str) -> None:
    add_people(app, "maria")
    with app.app_context(), Session(db.engine) as session:
        path = f"/unsubscribe/{session.scalars(select(Lead.unsubscribe_token)).one()}"
    assert app.test_client().post(path, query_string={"mail": mail}).status_code == 200
    with app.app_context(), Session(db.engine) as session:
        assert session.scalars(select(Lead.state)).one() == "unsubscribed"


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"subject": " "}, "Enter a subject"),
        ({"subject": "x" * 151}, "Use 150 characters or fewer"),
        ({"body": "\n"}, "Enter a message"),
        ({"body": "x" * 8001}, "Use 8,000 characters or fewer"),
        ({"rate": "0"}, "Enter a whole number from 1"),
        ({"rate": "many"}, "Enter a whole number from 1"),
        ({"rate": "1e9"}, "Enter a whole number from 1"),
        # Longer than the database column, and not among the choices.
        *(({field: "x" * 300}, "Not a valid choice") for field in ("page", "campaign", "waiting")),
    ],
)
def test_mistakes_are_named_and_typed_text_is_kept(
    app: Flask, given: dict[str, str], error: str
) -> None:
    answer = send(desk(app), NEW, WORDS | {"body": "These words"} | given)
    assert answer.status_code == 422
    assert error in answer.text
    assert "body" in given or "These words</textarea>" in answer.text
    assert "<title>Error: " in answer.text


def test_hostile_text_is_stored_and_shown_as_plain_text(app: Flask) -> None:
    client = desk(app)
    page = written(client, subject="a\0b\nBcc: x@example.com", body="</textarea> é\0")
    assert stored(app).subject == "ab Bcc: x@example.com"
    assert stored(app).body == "</textarea> é"
    assert "&lt;/textarea&gt; é</textarea>" in client.get(f"{page}/edit").text
    assert client.get(page).status_code == 200


def test_preview_of_longest_announcement_is_under_30_kb(app: Flask) -> None:
    client = desk(app)
    page = written(client, body="é" * 8000)
    assert len(client.get(f"{page}/preview").data) < 30 * 1024


def test_get_changes_nothing_and_post_needs_the_token(app: Flask) -> None:
    client = desk(app)
    page = written(client)
    for verb in ("trial", "pause", "resume"):
        assert client.get(f"{page}/{verb}").status_code == 405
    for verb in ("trial", "pause", "resume", "queue", "edit"):
        assert client.post(f"{page}/{verb}").status_code == 400
    assert stored(app).state == "draft"
    assert client.get("/admin/announcements/99999999999").status_code == 404
    assert client.get("/admin/announcements/4711").status_code == 404


def test_finance_has_no_access_to_announcements(app: Flask) -> None:
    client = desk(app, "finance")
    form = {"csrf_token": token(client.get("/admin/password")), **WORDS}
    assert client.get("/admin/announcements").status_code == 403
    assert client.post(NEW, data=form).status_code == 403
