"""The schema of the content files: one class per object, one field per value.

Rules that tie fields or files together are in rules.py; reading is in __init__.py.
"""

from datetime import date
from functools import cached_property
from typing import Final, Literal

from markupsafe import Markup
from pydantic import BaseModel, ConfigDict

from crossroads import money
from crossroads.content import markdown
from crossroads.content.fields import (
    Amount,
    Cells,
    Clock,
    Count,
    Currency,
    Day,
    Email,
    Href,
    Markdown,
    Slug,
    Some,
    Text,
    Web,
    Zone,
    slugify,
)

EVEN: Final = "even"  # the winner of a row in which neither option is ahead


class Shape(BaseModel):
    """Base of all content objects: strict, frozen, and without unknown fields."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")


class Link(Shape):
    label: Text
    href: Href


class Section(Shape):
    heading: Text
    text: Text


class Home(Section):
    pass


class SignupWords(Shape):
    heading: Text
    text: Text
    consent: Text
    button: Text
    small_print: Text


class Legal(Shape):
    title: Text
    description: Text
    updated: date
    body: Markdown

    @cached_property
    def html(self) -> Markup:
        """Return the body as HTML from Markdown, without scripts, pictures or raw HTML."""
        return markdown.to_html(self.body)


class Site(Shape):
    brand: Text
    tagline: Text
    description: Text
    contact_email: Email
    postal_address: Text
    navigation: tuple[Link, ...]
    home: Home
    signup: SignupWords
    waiting_list: SignupWords
    privacy: Legal
    terms: Legal
    samples: tuple[Text, ...] = ()


class Option(Shape):
    key: Slug
    name: Text
    short: Text
    tally: Text


class Verdict(Shape):
    label: Text
    headline: Text
    highlight: Text
    text: Text
    link: Text


class Source(Shape):
    title: Text
    address: Web


class Claim(Shape):
    """One row of a comparison: a cell for each option, and which of them is ahead, or "even"."""

    label: Text
    cells: Cells
    winner: Text
    source: Source | None = None
    checked: date | None = None
    expires: date | None = None


class ChooseList(Shape):
    option: Slug
    heading: Text
    reasons: Some[Text]


class Choose(Shape):
    heading: Text
    lists: Some[ChooseList]


class Question(Shape):
    question: Text
    answer: Text


class Faq(Shape):
    heading: Text
    questions: Some[Question]


class Cta(Shape):
    heading: Text
    text: Text
    label: Text
    course: Slug


class Topic(Shape):
    slug: Slug
    name: Text


class TableWords(Shape):
    heading: Text
    category_heading: Text
    score_label: Text


class Comparison(Shape):
    slug: Slug
    kicker: Text
    title: Text
    description: Text
    lede: Text
    topic: Text
    published: date
    updated: date
    verdict: Verdict
    overview: Section
    options: tuple[Option, ...]
    table: TableWords
    rows: Some[Claim]
    choose: Choose
    faq: Faq
    cta: Cta

    @property
    def topic_slug(self) -> str:
        return slugify(self.topic)

    @property
    def even(self) -> int:
        """Count the rows in which neither option is ahead."""
        return sum(row.winner == EVEN for row in self.rows)

    def wins(self, key: str) -> int:
        """Count the rows that an option wins. Raises KeyError when there is no such option."""
        return sum(row.winner == self.option(key).key for row in self.rows)

    def option(self, key: str) -> Option:
        """Return an option by its key. Raises KeyError when there is none."""
        for option in self.options:
            if option.key == key:
                return option
        raise KeyError(key)


class Audience(Shape):
    for_you: Some[Text]
    not_for_you: Some[Text]


class Week(Shape):
    title: Text
    topics: Some[Text]
    outcome: Text


class Price(Shape):
    amount: Amount
    currency: Currency
    tax: Text

    @property
    def display(self) -> str:
        """Return the price for display, like "$1,200"."""
        return money.display(self.amount, self.currency)

    @property
    def decimal(self) -> str:
        """Return the price as a decimal number, like "1200.00"."""
        return money.decimal(self.amount, self.currency)


class Weekly(Shape):
    """One session of a cohort's week, in the cohort's time zone."""

    day: Day
    starts: Clock
    ends: Clock


class Cohort(Shape):
    """One run of a course. Its dates are days in its own time zone."""

    code: Slug
    title: Text | None = None
    starts: date
    ends: date
    timezone: Zone
    meets: Text
    weekly: tuple[Weekly, ...] = ()
    seats: Count

    @property
    def dates(self) -> str:
        """Return its dates for display, like "January 19 to March 11, 2027"."""
        year = f", {self.starts.year}" if self.starts.year != self.ends.year else ""
        first = f"{self.starts:%B} {self.starts.day}{year}"
        return f"{first} to {self.ends:%B} {self.ends.day}, {self.ends.year}"


class CheckoutOptions(Shape):
    """Options of a course's checkout besides payment; most must be set up at Stripe first.

    `tax_behavior` says whether the price includes the tax that Stripe calculates; None leaves it
    to the setting there. https://docs.stripe.com/api/checkout/sessions/create
    """

    promotion_codes: bool = False
    automatic_tax: bool = False
    tax_behavior: Literal["inclusive", "exclusive"] | None = None
    tax_ids: bool = False
    invoices: bool = False
    terms: bool = False
    recovery: bool = False


class Course(Shape):
    slug: Slug
    title: Text
    promise: Text
    description: Text
    audience: Audience
    outcomes: Some[Text]
    hours_per_week: Count
    weeks: Some[Week]
    price: Price
    checkout: CheckoutOptions = CheckoutOptions()
    cohorts: tuple[Cohort, ...]
    refund_rule: Text
    questions: tuple[Question, ...]
    samples: tuple[Text, ...] = ()

    def cohort(self, code: str) -> Cohort | None:
        """Return a cohort by its code."""
        return next((cohort for cohort in self.cohorts if cohort.code == code), None)
