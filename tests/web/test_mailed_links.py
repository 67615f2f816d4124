"""The test helper that opens all mailed links: it finds every link, and notices every change."""

from email.message import EmailMessage
from email.policy import SMTP

import pytest
from flask import Flask, request
from sqlalchemy import update

from models import Lead, db
from tests.support.desk_visits import add_leads, lead
from tests.support.mail_server import Mail
from tests.support.mailed_links import links, look


def mail(text: str = "", html: str = "", **headers: str) -> Mail:
    message = EmailMessage(SMTP)
    message.set_content(text)
    if html:
        message.add_alternative(html, subtype="html")
    for name, value in headers.items():
        message[name.replace("_", "-")] = value
    return Mail("", "", message.as_bytes())


def test_links_are_found_in_text_html_and_headers() -> None:
    sent = mail(
        "Confirm: http://localhost/confirm/a.\nOr not (http://localhost/compare). ünï",
        '<a href="http://localhost/enrollments/b?x=1&amp;y=2">Page</a> http://elsewhere/c',
        List_Unsubscribe="<http://localhost/unsubscribe/d>",
    )
    assert links([sent, sent], "http://localhost") == [
        "/confirm/a",
        "/compare",
        "/enrollments/b?x=1&y=2",
        "/unsubscribe/d",
    ]


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_link_that_changes_the_database_when_opened_is_reported(app: Flask, method: str) -> None:
    add_leads(app, lead("maria@example.com"))

    def act() -> str:
        if request.method == method:
            db.session.execute(update(Lead).values(state="confirmed"))
            db.session.commit()
        return ""

    app.add_url_rule("/confirmed-by-a-look", view_func=act)
    harmless, harmful = "http://localhost/compare", "http://localhost/confirmed-by-a-look"
    look(app, [mail(harmless)])
    with pytest.raises(AssertionError, match="changed the database"):
        look(app, [mail(f"{harmless} {harmful}")])
