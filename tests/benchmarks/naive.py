"""A simple sign-up: Flask-WTF with its token and session, and the ORM.

Nothing in it is slow on purpose: it follows common tutorials, on SQLite with its defaults. It
stores the same three rows and shows a page. `token` makes what a browser gets with the form.
"""

import os
from datetime import UTC, datetime, timedelta
from secrets import token_urlsafe
from uuid import uuid4

from flask import Flask, render_template_string, request
from flask_sqlalchemy import SQLAlchemy
from flask_wtf import FlaskForm
from flask_wtf.csrf import generate_csrf
from sqlalchemy import ForeignKey, String, Text, select
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from wtforms import BooleanField, StringField
from wtforms.validators import DataRequired, Email, Length

PAGE = """<!doctype html><title>AI product manager or product manager?</title>
<h1>AI product manager or product manager?</h1>
<table>{% for number in range(40) %}<tr><th>{{ "Question %d" % number }}</th>
{% for side in ("AI product manager", "Product manager") %}<td>{{ side }} answers {{ number }} in a
sentence of the length that such sentences have.</td>{% endfor %}</tr>{% endfor %}</table>
{% if done %}<p>Thank you, {{ form.name.data }}. We have written to {{ form.email.data }}.</p>
{% else %}<form method="post">{{ form.hidden_tag() }}{% for field in form %}<p>{{ field.label }}
{{ field() }}{% for error in field.errors %}<b>{{ error }}</b>{% endfor %}</p>{% endfor %}</form>
{% endif %}"""


class Base(DeclarativeBase):
    pass


db = SQLAlchemy(model_class=Base)


def now() -> datetime:
    return datetime.now(UTC)


class Lead(Base):
    __tablename__ = "lead"
    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str] = mapped_column(String(254), unique=True)
    name: Mapped[str] = mapped_column(String(100))
    state: Mapped[str] = mapped_column(String(16), default="pending", index=True)
    page: Mapped[str] = mapped_column(String(200))
    utm_source: Mapped[str | None] = mapped_column(String(200))
    utm_medium: Mapped[str | None] = mapped_column(String(200))
    utm_campaign: Mapped[str | None] = mapped_column(String(200))
    confirm_token: Mapped[str] = mapped_column(String(64), unique=True, default=token_urlsafe)
    unsubscribe_token: Mapped[str] = mapped_column(String(64), unique=True, default=token_urlsafe)
    confirm_until: Mapped[datetime] = mapped_column(default=lambda: now() + timedelta(days=7))
    created_at: Mapped[datetime] = mapped_column(default=now, index=True)


class Consent(Base):
    __tablename__ = "consent"
    id: Mapped[int] = mapped_column(primary_key=True)
    lead_id: Mapped[int] = mapped_column(ForeignKey("lead.id"), index=True)
    wording: Mapped[str] = mapped_column(Text)
    ip: Mapped[str] = mapped_column(String(45))
    user_agent: Mapped[str] = mapped_column(String(300))
    created_at: Mapped[datetime] = mapped_column(default=now)


class Message(Base):
    __tablename__ = "message"
    id: Mapped[int] = mapped_column(primary_key=True)
    lead_id: Mapped[int] = mapped_column(ForeignKey("lead.id"), index=True)
    kind: Mapped[str] = mapped_column(String(32))
    reference: Mapped[str] = mapped_column(String(64), unique=True, default=lambda: uuid4().hex)
    state: Mapped[str] = mapped_column(String(16), default="due", index=True)
    due_at: Mapped[datetime] = mapped_column(default=now)


class SignupForm(FlaskForm):
    email = StringField("Email address", validators=[DataRequired(), Email(), Length(max=254)])
    name = StringField("Name", validators=[Length(max=100)])
    consent = BooleanField("Write to me", validators=[DataRequired()])


def create_app(database_url: str) -> Flask:
    app = Flask(__name__)
    app.config.update(SECRET_KEY="naive" * 8, SQLALCHEMY_DATABASE_URI=database_url)
    db.init_app(app)

    @app.route("/compare/<slug>", methods=["GET", "POST"])
    def compare(slug: str) -> str:
        form = SignupForm()
        done = form.validate_on_submit()
        if done:
            sign_up(form)
        return render_template_string(PAGE, form=form, done=done)

    with app.app_context():
        db.create_all()
    return app


def sign_up(form: SignupForm) -> None:
    lead = db.session.scalar(select(Lead).filter_by(email=form.email.data))
    if lead is None:
        lead = Lead(
            email=form.email.data,
            name=form.name.data,
            page=request.path,
            utm_source=request.args.get("utm_source"),
            utm_medium=request.args.get("utm_medium"),
            utm_campaign=request.args.get("utm_campaign"),
        )
        db.session.add(lead)
        db.session.commit()
    consent = Consent(
        lead_id=lead.id,
        wording=str(form.consent.label.text),
        ip=request.remote_addr,
        user_agent=str(request.user_agent),
    )
    db.session.add(consent)
    db.session.add(Message(lead_id=lead.id, kind="confirm"))
    db.session.commit()


def token(app: Flask) -> tuple[str, str]:
    """Return a CSRF token and the cookie that belongs to it."""
    with app.test_request_context():
        from flask import session

        made = generate_csrf()
        serializer = app.session_interface.get_signing_serializer(app)  # type: ignore[attr-defined]
        return made, f"session={serializer.dumps(dict(session))}"


if "NAIVE_DATABASE" in os.environ:
    app = create_app(os.environ["NAIVE_DATABASE"])
