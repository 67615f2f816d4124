"""List view from a query string: filters, sort order and page."""

from typing import Any, Generic

from flask import request, url_for
from wtforms import SelectField

from crossroads.admin.forms import FilterForm
from crossroads.database.pagination import NEWEST, Listing, Page, Row
from models import db


class ListView(Generic[Row]):
    """One look at a list: the page that is shown, and the addresses of the others.

    `any` tells whether the list has rows at all, whatever the filter; `total` is None when they
    are many and were not counted.
    """

    def __init__(self, listing: Listing[Row], form: FilterForm, endpoint: str) -> None:
        self.form = form
        self.endpoint = endpoint
        self.active = form.which.active
        asked = request.args.get("sort", "")
        self.sort = asked if asked in listing.sorts else NEWEST
        self.shown: Page[Row] = listing.page(
            db.session,
            form.which,
            sort=self.sort,
            after=request.args.get("after", type=int),
            before=request.args.get("before", type=int),
        )
        everything = type(form.which)()
        self.any = bool(self.shown.rows) or listing.any(db.session, everything)
        # A large list is counted only on request, with ?count.
        self.total = self.shown.total
        if self.total is None and "count" in request.args:
            self.total = listing.count(db.session, form.which)

    def link(self, **changes: Any) -> str:
        """Return the list's address with these changes, back at the first page."""
        sort = None if self.sort == NEWEST else self.sort
        return url_for(self.endpoint, **{**self.active, "sort": sort, **changes})

    def bare(self) -> str:
        """Return the list's address without any filter."""
        return self.link(**dict.fromkeys(self.active))

    def chips(self) -> list[tuple[str, str, str]]:
        """Return label, value and the address without it, for each filter in use."""
        return [
            (self.form[name].label.text, self._said(name, value), self.link(**{name: None}))
            for name, value in self.active.items()
        ]

    def _said(self, name: str, value: str) -> str:
        field = self.form[name]
        choices: list[tuple[str, str]] = field.choices if isinstance(field, SelectField) else []
        return dict(choices).get(value, value)
