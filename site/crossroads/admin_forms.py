"""The forms of the desk. Their token is checked before any of them is read, in desk.py."""

from typing import Any

from flask import request
from flask_wtf import FlaskForm
from wtforms import Field, HiddenField, PasswordField, SelectField, StringField
from wtforms.validators import ValidationError

from crossroads.lead_list import LeadFilter
from crossroads.users import password_problem
from models.lead import STATES


class DeskForm(FlaskForm):
    """A form that leaves the token to the guard at the door."""

    class Meta:
        csrf = False


class SignInForm(DeskForm):
    """Email and password; `next` is where the person was going."""

    email = StringField("Email address")
    password = PasswordField("Password")
    next = HiddenField()

    def validate_email(self, field: Field) -> None:
        if not (field.data or "").strip():
            raise ValidationError("Enter your email address")

    def validate_password(self, field: Field) -> None:
        if not field.data:
            raise ValidationError("Enter your password")


class PasswordForm(DeskForm):
    """The present password, and a new one twice."""

    current = PasswordField("Current password")
    new = PasswordField("New password")
    repeat = PasswordField("New password again")

    def validate_current(self, field: Field) -> None:
        if not field.data:
            raise ValidationError("Enter the password you signed in with")

    def validate_new(self, field: Field) -> None:
        if problem := password_problem(field.data or ""):
            raise ValidationError(problem)
        if field.data == self.current.data:
            raise ValidationError("Use another password than the current one")

    def validate_repeat(self, field: Field) -> None:
        if field.data != self.new.data:
            raise ValidationError("Type the same new password twice")


class LeadFilterForm(DeskForm):
    """Which leads to list. Read from the address, where what means nothing is left out."""

    q = StringField("Email or name")
    state = SelectField("State")
    page = SelectField("Page")
    campaign = SelectField("Campaign")

    def __init__(self, pages: list[str], campaigns: list[str]) -> None:
        super().__init__(formdata=request.args)
        self.which = which(request.args)
        self.q.data = self.which.q
        self.state.choices = [("", "Any state"), *((state, state.capitalize()) for state in STATES)]
        self.page.choices = _choices("Any page", pages, self.which.page)
        self.campaign.choices = _choices("Any campaign", campaigns, self.which.campaign)


class ExportForm(DeskForm):
    """The kind of file; which leads go in is said as in the list's address."""

    format = HiddenField()

    def validate_format(self, field: Field) -> None:
        if field.data != "csv":
            raise ValidationError("Choose csv as the format")


def which(values: Any) -> LeadFilter:
    """Return the filter that the values of a query or of a form stand for."""
    return LeadFilter.of(
        q=values.get("q", ""),
        state=values.get("state", ""),
        page=values.get("page", ""),
        campaign=values.get("campaign", ""),
    )


def _choices(anything: str, names: list[str], chosen: str) -> list[tuple[str, str]]:
    known = names if not chosen or chosen in names else [chosen, *names]
    return [("", anything), *((name, name) for name in known)]
