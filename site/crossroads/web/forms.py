"""Forms of the public pages. The origin of the request is checked instead of a token."""

import re
import unicodedata
from typing import Any

from email_validator import EmailNotValidError
from wtforms import BooleanField, Field, HiddenField, RadioField, StringField
from wtforms.validators import ValidationError

from crossroads.leads.consent import wording_hash
from crossroads.mail import domain_hints
from crossroads.mail.addresses import (
    EMAIL_LENGTH,
    QUOTES,
    at_signs,
    cleaned,
    cleaned_name,
    email_key,
)
from crossroads.site_form import SiteForm

NAME_LENGTH = 100
TAG_LENGTH = 200
SEATS_AT_ONCE = 20
DOTTED = "i\u0307"  # what \u0130 is in lower case: it looks like an i, and is another mailbox's


def clean_tag(value: str | None) -> str | None:
    """Return a campaign tag fit to store: nobody typed it, so what cannot be kept is cut off."""
    return _without_controls(value or "").strip()[:TAG_LENGTH] or None


def _without_controls(text: str) -> str:
    if text.isprintable():  # most addresses are: no slower check is needed
        return text
    return "".join(c for c in text if unicodedata.category(c) not in ("Cc", "Cs"))


def _strip(value: str | None) -> str:
    return (value or "").strip()


def _address(value: str | None) -> str:
    return cleaned(value or "")


def _name(value: str | None) -> str:
    return cleaned_name(value or "")


def _email_sentence(typed: str) -> str | None:
    """Return the error message for an address, or None when it can be mailed."""
    if not typed:
        return "Enter an email address, like name@example.com"
    if len(typed) > EMAIL_LENGTH:
        return f"Enter an email address of at most {EMAIL_LENGTH} characters"
    if at_signs(typed) != 1:
        return "Enter one email address with a single @, like name@example.com"
    if " " in typed:
        return "Enter an email address without spaces, like name@example.com"
    mailbox, _, domain = typed.partition("@")
    if QUOTES.search(typed):
        return "Enter the email address without quotes, like name@example.com"
    if DOTTED in mailbox:
        return "Enter the letter i of the email address without the second dot of \u0130"
    try:
        email_key(typed)
    except EmailNotValidError:
        if domain and "." not in domain:
            return "Enter an email address with a full domain, like name@example.com"
        return "Enter an email address that mail can reach, like name@example.com"
    return None


def _short_lived(email: str) -> str | None:
    """Return the error message for an address at a disposable mailbox."""
    if not domain_hints.disposable(email_key(email).rpartition("@")[2]):
        return None
    suggestion = domain_hints.suggest(email)
    if suggestion:  # domains that imitate gmail.com are on the list, too
        return f"Did you mean {suggestion}? Use an address you check"
    return "Use a permanent address: disposable mailboxes stop working"


def _check_name(name: str) -> None:
    if len(name) > NAME_LENGTH:
        raise ValidationError(f"Enter a name of at most {NAME_LENGTH} characters")
    if name != _without_controls(name):
        raise ValidationError("Enter a name on one line, without control characters")


class PublicForm(SiteForm):
    """A form without a session: the same bytes for every visitor."""


class EnrollForm(PublicForm):
    """Who buys how many seats of which cohort. `request_key` makes a double click one order.

    `amount` is what the button showed, in the currency's smallest unit. `replaces` is the token of
    the buyer's order that this one is to replace; `action` is "change" to show the form again.
    """

    cohort = RadioField("Dates", validate_choice=False)
    seats = StringField("Number of seats", default="1", filters=[_strip])
    name = StringField("Name", filters=[_name])
    email = StringField("Email address", filters=[_address])
    request_key = HiddenField()
    amount = HiddenField()
    replaces = HiddenField()
    action = HiddenField()

    def validate_cohort(self, field: Field) -> None:
        if field.data not in [value for value, _ in field.choices or ()]:
            raise ValidationError("Choose dates with free seats")

    def validate_seats(self, field: Field) -> None:
        if not re.fullmatch(r"[0-9]{1,2}", field.data) or not 1 <= int(field.data) <= SEATS_AT_ONCE:
            raise ValidationError(f"Enter a number of seats from 1 to {SEATS_AT_ONCE}")

    def validate_name(self, field: Field) -> None:
        if not field.data:
            raise ValidationError("Enter your name")
        _check_name(field.data)

    def validate_email(self, field: Field) -> None:
        sentence = _email_sentence(field.data)
        if sentence:
            raise ValidationError(sentence)


class ParticipantForm(PublicForm):
    """Who takes a seat. `turn` counts how often the seat was named when the form was made."""

    name = StringField("Name", filters=[_name])
    email = StringField("Email address", filters=[_address])
    turn = HiddenField()

    @property
    def blank(self) -> bool:
        """Return whether nothing was typed."""
        return not self.name.data and not self.email.data

    def validate_name(self, field: Field) -> None:
        if not field.data:
            raise ValidationError("Enter the name of the participant")
        _check_name(field.data)

    def validate_email(self, field: Field) -> None:
        sentence = _email_sentence(field.data)
        if sentence:
            raise ValidationError(sentence)


class SignupForm(PublicForm):
    """Email, an optional name, and the consent box; `website` is for robots alone.

    What it carries along of the page before it comes with it unasked: nobody typed it.
    """

    email = StringField("Email address", filters=[_address])
    name = StringField("Name (optional)", filters=[_name])
    consent = BooleanField()
    website = StringField("Leave this field empty", filters=[_strip])
    wording = HiddenField()
    action = HiddenField()

    def __init__(self, *arguments: Any, agreeing_to: str = "", **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self.carried: dict[str, str] = {}
        self._agreeing_to = agreeing_to

    def hidden(self) -> list[tuple[str, str]]:
        """Return the names and values of what the form carries along unseen, if anything."""
        return list(self.carried.items())

    def validate_email(self, field: Field) -> None:
        sentence = _email_sentence(field.data) or _short_lived(field.data)
        if sentence:
            raise ValidationError(sentence)

    def validate_name(self, field: Field) -> None:
        _check_name(field.data)

    def validate_consent(self, field: Field) -> None:
        # The page may have been open since before the words beside the box were changed.
        if self.wording.data not in (None, "", wording_hash(self._agreeing_to)):
            field.data = False
            raise ValidationError("What you agree to has changed: read it again and tick the box")
        if not field.data:
            raise ValidationError("Tick the box so we can email you")
