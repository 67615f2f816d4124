"""The minimum of Flask, WTForms and SQLAlchemy to store a sign-up or a webhook event durably.

Same tables, same durability and the site's own group commit, but no security, limit, log, count
or page. The difference to the site is the cost of these; the rest is the cost of any Flask
application.
"""

import json
import os
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from secrets import token_hex
from typing import Any

from flask import Flask, request
from flask_wtf import FlaskForm
from sqlalchemy import create_engine, insert
from sqlalchemy.orm import Session
from stripe import WebhookSignature
from wtforms import BooleanField, StringField
from wtforms.validators import DataRequired, Email, Length

from crossroads.database.group_commit import GroupCommit
from models import ConsentEvent, Lead, Message, StripeEvent, now
from models.base import AnySession, insert_on, prepare_engine, table_of
from models.lead import new_token
from models.message import new_reference

PAGE = "<!doctype html><title>Thank you</title>" + "We have written to you. " * 700
LEAD = insert_on("sqlite", Lead).on_conflict_do_nothing(index_elements=["email_key"])
ADD = LEAD.returning(table_of(Lead).c.email_key, table_of(Lead).c.id)
AGREE, OWE = insert(table_of(ConsentEvent)), insert(table_of(Message))
NOTE = insert_on("sqlite", StripeEvent).on_conflict_do_nothing(index_elements=["id"])


class SignupForm(FlaskForm):
    class Meta:
        csrf = False

    email = StringField("Email address", validators=[DataRequired(), Email(), Length(max=254)])
    name = StringField("Name", validators=[Length(max=100)])
    consent = BooleanField("Write to me", validators=[DataRequired()])


def sign_up(session: AnySession, rows: Sequence[tuple[dict[str, Any], ...]]) -> None:
    added = session.execute(ADD, [lead for lead, _, _ in rows])
    numbers: dict[str, int] = dict(added.tuples().all())
    found = [(numbers[lead["email_key"]], agreed, owed) for lead, agreed, owed in rows]
    session.execute(AGREE, [{**agreed, "lead_id": number} for number, agreed, _ in found])
    session.execute(OWE, [{**owed, "lead_id": number} for number, _, owed in found])


def note(session: AnySession, events: Sequence[dict[str, Any]]) -> None:
    session.execute(NOTE, events)


def create_app(database_url: str, secret: str) -> Flask:
    app = Flask(__name__)
    engine = create_engine(database_url)
    prepare_engine(engine)
    group = GroupCommit(Path(engine.url.database or "").with_suffix(".lock"))

    @app.route("/compare/<slug>", methods=["GET", "POST"])
    def compare(slug: str) -> str:
        form = SignupForm()
        if form.validate_on_submit():
            at, address = now(), token_hex(32)
            lead = {
                "email": form.email.data, "email_key": form.email.data, "address_hash": address,
                "name": form.name.data, "state": "pending", "page": request.path,
                "confirm_token": new_token(), "unsubscribe_token": new_token(),
                "confirm_until": at + timedelta(days=7), "created_at": at, "last_signup_at": at,
                "utm_source": request.args.get("utm_source"),
                "utm_medium": request.args.get("utm_medium"),
                "utm_campaign": request.args.get("utm_campaign"),
            }  # fmt: skip
            agreed = {
                "address_hash": address, "kind": "given", "form": "signup", "wording": PAGE[:150],
                "wording_hash": address, "page": request.path, "ip": request.remote_addr,
                "user_agent": str(request.user_agent), "created_at": at,
            }  # fmt: skip
            owed = {
                "kind": "confirm", "recipient": form.email.data, "address_hash": address,
                "reference": new_reference(), "state": "due", "attempts": 0, "due_at": at,
                "error": "", "created_at": at,
            }  # fmt: skip
            with Session(engine) as session:
                group.commit(lambda: session, sign_up, (lead, agreed, owed))
        return PAGE

    @app.post("/webhooks/stripe")
    def stripe() -> str:
        body = request.get_data()
        WebhookSignature.verify_header(body, request.headers["Stripe-Signature"], secret, 300)
        found, at = json.loads(body), now()
        event = {
            "id": found["id"], "kind": found["type"], "object_id": found["data"]["object"]["id"],
            "attempts": 0, "error": "", "due_at": at, "received_at": at, "delivered": True,
        }  # fmt: skip
        with Session(engine) as session:
            group.commit(lambda: session, note, event)
        return ""

    return app


if "LEAN_DATABASE" in os.environ:
    app = create_app(os.environ["LEAN_DATABASE"], os.environ["LEAN_SECRET"])
