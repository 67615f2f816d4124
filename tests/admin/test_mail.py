"""The outbox in the admin area: find mail, and resend mail that was not delivered."""

import re
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select
from sqlalchemy.orm import Session

from models import Message, db, now, writing
from tests.support.desk_visits import add_leads, desk, lead, send, token
from tests.support.mail_server import MailServer
from tests.support.orders import place
from tests.support.people import hashed
from tests.support.workers import make_worker

REFUSED = "550 5.1.1 no such user"


def add_mails(app: Flask, *mails: Message) -> list[Message]:
    with app.app_context(), Session(db.engine, expire_on_commit=False) as session:
        writing(session)
        session.add_all(mails)
        session.commit()
    return list(mails)


def mail(lead_id: int | None = None, recipient: str = "maria@example.com", **given: Any) -> Message:
    given = {"kind": "confirm", "address_hash": hashed(recipient), **given}
    return Message(**given, lead_id=lead_id, recipient=recipient)


def dead(lead_id: int | None = None, **given: Any) -> Message:
    return mail(lead_id, **{"state": "dead", "error": REFUSED, "attempts": 12, **given})


def stored(app: Flask) -> dict[str, Message]:
    """Return every message by the local part of its receiver's address."""
    with app.app_context(), Session(db.engine, expire_on_commit=False) as session:
        found = session.scalars(select(Message)).all()
    return {message.recipient.partition("@")[0]: message for message in found}


def rows(page: str) -> list[str]:
    return re.findall(r"<tr>\n(.*?)</tr>", page.partition("<tbody>")[2], re.S)


def test_empty_outbox_says_so(app: Flask) -> None:
    assert "No emails yet" in desk(app).get("/admin/mail").text


def test_list_shows_the_state_of_each_mail(app: Flask) -> None:
    (number,) = add_leads(app, lead("maria@example.com"))
    add_mails(
        app,
        mail(number, state="sent", attempts=1, sent_at=now()),
        mail(number, kind="welcome", error="451 try later", attempts=3),
        dead(number, kind="already"),
    )
    page = desk(app, "marketer").get("/admin/mail").text
    given_up, waiting, sent = rows(page)
    assert "Not delivered" in given_up and REFUSED in given_up and "Already subscribed" in given_up
    assert "Waiting" in waiting and "451 try later" in waiting and ">3<" in waiting
    assert "Sent" in sent and f'href="/admin/leads/{number}"' in sent
    assert "Resend" in given_up and "Resend" not in waiting + sent


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", ["c", "b", "a"]),
        ("?sort=oldest", ["a", "b", "c"]),
        ("?state=dead", ["c"]),
        ("?kind=welcome", ["b"]),
        ("?q=A%40EXAMPLE", ["a"]),
        ("?kind=welcome&state=sent", []),
        ("?kind=nonsense&state=nonsense", ["c", "b", "a"]),
    ],
)
def test_list_is_filtered_by_state_kind_and_receiver(
    app: Flask, query: str, found: list[str]
) -> None:
    add_mails(
        app,
        mail(recipient="a@example.com", state="sent"),
        mail(recipient="b@example.com", kind="welcome"),
        dead(recipient="c@example.com"),
    )
    page = desk(app).get(f"/admin/mail{query}").text
    assert re.findall(r'class="address">(\w)<wbr>', page) == found


def test_resent_mail_keeps_its_message_id(app: Flask, server: MailServer) -> None:
    (number,) = add_leads(app, lead("maria@example.com"))
    (before, _) = add_mails(app, dead(number), dead(number, recipient="other@example.com"))
    with app.app_context():
        worker = make_worker(db.engine, server.url)
    assert worker.deliver_due().sent == 0
    client = desk(app, "marketer")
    path = f"/admin/mail/{before.id}/again"
    answer = send(client, path, {"state": "dead"}, page="/admin/mail")
    assert (answer.status_code, answer.location) == (303, "/admin/mail?state=dead")
    assert "1 email is queued again" in client.get(answer.location).text
    after = stored(app)["maria"]
    assert (after.state, after.attempts, after.error) == ("due", 0, "")
    assert worker.deliver_due().sent == 1
    assert server.mails[0].message["Message-ID"] == f"<{before.reference}@localhost>"
    assert stored(app)["other"].state == "dead"
    send(client, path, {}, page="/admin/mail")
    assert stored(app)["maria"].state == "sent"


def test_only_undelivered_mail_of_the_filter_is_resent(app: Flask) -> None:
    add_mails(
        app,
        dead(recipient="one@example.com"),
        dead(recipient="two@example.com"),
        dead(recipient="other@example.com", kind="welcome"),
        mail(recipient="sent@example.com", state="sent"),
        mail(recipient="held@example.com", state="held"),
    )
    client = desk(app)
    page = client.get("/admin/mail?kind=confirm").text
    assert "Resend 2 emails" in page
    answer = send(client, "/admin/mail/again", {"kind": "confirm"}, page="/admin/mail")
    assert "2 emails are queued again" in client.get(answer.location).text
    assert {name: message.state for name, message in stored(app).items()} == {
        "one": "due",
        "two": "due",
        "other": "dead",
        "sent": "sent",
        "held": "held",
    }
    send(client, "/admin/mail/again", {"state": "held"}, page="/admin/mail")
    assert stored(app)["held"].state == "held"
    assert stored(app)["other"].state == "dead"


def test_resent_mail_to_ineligible_receivers_is_held(app: Flask, server: MailServer) -> None:
    numbers = add_leads(app, lead(state="unsubscribed", unsubscribed_at=now()), lead(state="held"))
    add_mails(
        app,
        dead(numbers[0], kind="welcome"),
        dead(numbers[1], kind="welcome", recipient="robot@example.com"),
    )
    client = desk(app)
    send(client, "/admin/mail/again", {}, page="/admin/mail")
    with app.app_context():
        assert make_worker(db.engine, server.url).deliver_due().held == 2
    assert server.mails == []
    assert "Resend" not in "".join(rows(client.get("/admin/mail").text))


def test_get_resends_nothing_and_post_needs_the_token(app: Flask) -> None:
    (message,) = add_mails(app, dead())
    client = desk(app)
    for path in ("/admin/mail/again", f"/admin/mail/{message.id}/again"):
        assert client.get(path).status_code == 405
        assert client.post(path).status_code == 400  # no token
    assert stored(app)["maria"].state == "dead"


def test_marketer_does_not_see_or_resend_mail_to_buyers(app: Flask, session: Session) -> None:
    order = place(session)
    session.commit()
    (theirs,) = add_mails(app, dead(order_id=order.id, kind="receipt", recipient=order.email))
    marketer = desk(app, "marketer")
    assert "No emails yet" in marketer.get("/admin/mail").text
    form = {"csrf_token": token(marketer.get("/admin/password"))}
    for path in ("/admin/mail/again", f"/admin/mail/{theirs.id}/again"):
        assert marketer.post(path, data=form).status_code == 303
    assert [message.state for message in stored(app).values()] == ["dead"]
    owner = desk(app)
    assert f'href="/admin/orders/{order.id}"' in owner.get("/admin/mail").text
    send(owner, f"/admin/mail/{theirs.id}/again", {}, page="/admin/mail")
    assert [message.state for message in stored(app).values()] == ["due"]
    assert desk(app, "finance").get("/admin/mail").status_code == 403


def test_home_links_to_undelivered_mail(app: Flask) -> None:
    add_mails(app, dead())
    assert 'href="/admin/mail?state=dead"' in desk(app, "marketer").get("/admin/").text
    assert "/admin/mail" not in desk(app, "finance").get("/admin/").text
