"""The least that Flask, WTForms and SQLAlchemy take to store a sign-up or an event durably.

Same tables, same durability, and nothing that makes a site of it: no guard, limit, log, count or
page. What the site takes besides is what these cost; what this takes, no Flask application saves.
"""

import json
import os
from datetime import timedelta
from secrets import token_hex, token_urlsafe

from flask import Flask, request
from flask_wtf import FlaskForm
from sqlalchemy import create_engine, insert
from stripe import WebhookSignature
from wtforms import BooleanField, StringField
from wtforms.validators import DataRequired, Email, Length

from models import ConsentEvent, Lead, Message, StripeEvent, now
from models.base import insert_on, prepare_engine, table_of

PAGE = "<!doctype html><title>Thank you</title>" + "We have written to you. " * 700
LEAD = insert_on("sqlite", Lead).on_conflict_do_nothing(index_elements=["email_key"])
ADD = LEAD.returning(table_of(Lead).c.id)
AGREE, OWE = insert(table_of(ConsentEvent)), insert(table_of(Message))
NOTE = insert_on("sqlite", StripeEvent).on_conflict_do_nothing(index_elements=["id"])


class SignupForm(FlaskForm):
    class Meta:
        csrf = False

    email = StringField("Email address", validators=[DataRequired(), Email(), Length(max=254)])
    name = StringField("Name", validators=[Length(max=100)])
    consent = BooleanField("Write to me", validators=[DataRequired()])


def create_app(database_url: str, secret: str) -> Flask:
    app = Flask(__name__)
    engine = create_engine(database_url, execution_options={"begin": "IMMEDIATE"})
    prepare_engine(engine)

    @app.route("/compare/<slug>", methods=["GET", "POST"])
    def compare(slug: str) -> str:
        form = SignupForm()
        if form.validate_on_submit():
            at, address = now(), token_hex(32)
            lead = {
                "email": form.email.data, "email_key": form.email.data, "address_hash": address,
                "name": form.name.data, "state": "pending", "page": request.path,
                "confirm_token": token_urlsafe(24), "unsubscribe_token": token_urlsafe(24),
                "confirm_until": at + timedelta(days=7), "created_at": at, "last_signup_at": at,
                "utm_source": request.args.get("utm_source"),
                "utm_medium": request.args.get("utm_medium"),
                "utm_campaign": request.args.get("utm_campaign"),
            }  # fmt: skip
            with engine.begin() as connection:
                number = connection.scalar(ADD, lead)
                agreed = {
                    "lead_id": number, "address_hash": address, "kind": "given", "form": "signup",
                    "wording": PAGE[:150], "wording_hash": address, "page": request.path,
                    "ip": request.remote_addr, "user_agent": str(request.user_agent),
                    "created_at": at,
                }  # fmt: skip
                connection.execute(AGREE, agreed)
                owed = {
                    "kind": "confirm", "lead_id": number, "recipient": form.email.data,
                    "address_hash": address, "reference": token_hex(16), "state": "due",
                    "attempts": 0, "due_at": at, "error": "", "created_at": at,
                }  # fmt: skip
                connection.execute(OWE, owed)
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
        with engine.begin() as connection:
            connection.execute(NOTE, event)
        return ""

    return app


if "LEAN_DATABASE" in os.environ:
    app = create_app(os.environ["LEAN_DATABASE"], os.environ["LEAN_SECRET"])
