"""Errors in the content files: each is reported with its place and the fix."""

import shutil
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crossroads.content import Comparison, Content, ContentError
from tests.support.content_files import COURSE, PAGE, PAGE_SLUG, REAL, Folder
from tests.support.walks import examples, walk


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


# Each mistake: the file, the text to replace, its replacement, words on the line that must be
# reported, the field, and a part of the message.
MISTAKES = {
    "row without winner": (PAGE, "    winner: ai\n", "", "- label: Median Salary (US)",
        "rows[0].winner", "is missing"),
    "winner left empty": (PAGE, "    winner: traditional", "    winner:", "winner:\n\n",
        "rows[4].winner", "is empty: write its value after the colon"),
    "winner that is no option": (PAGE, "winner: traditional", "winner: waterfall",
        "winner: waterfall", "rows[4].winner",
        "must be one of ai, traditional or even, not 'waterfall'"),
    "winner as yes": (PAGE, "winner: traditional", "winner: yes", "winner: yes",
        "rows[4].winner", "must be one of ai, traditional or even"),
    "cell for no option": (PAGE, "      ai: Steeper", "      ia: Steeper", "ia: Steeper",
        "rows[4].cells.ia", "is no option: use ai or traditional"),
    "cell missing": (PAGE, "      ai: Steeper — must understand probabilistic systems and AI "
        "failure modes\n", "", "cells:\n      traditional: Lower", "rows[4].cells.ai",
        "is missing: each option needs its cell"),
    "source address": (PAGE, "    winner: ai\n",
        "    winner: ai\n    source: {title: A survey, address: 'javascript:alert(1)'}\n",
        "source: {", "rows[0].source.address", "must be a full web address"),
    "expires before checked": (PAGE, "    winner: ai\n",
        "    winner: ai\n    checked: 2026-11-02\n    expires: 2026-11-01\n", "expires: 2026-11-01",
        "rows[0].expires", "must not be before it was checked, 2026-11-02"),
    "checked in the future": (PAGE, "    winner: ai\n", "    winner: ai\n    checked: 2026-11-24\n",
        "checked: 2026-11-24", "rows[0].checked", "must not be in the future"),
    "highlight elsewhere": (PAGE, "highlight: faster-growing", "highlight: slower-growing",
        "highlight: slower", "verdict.highlight", "must be words of the headline"),
    "one option twice": (PAGE, "key: traditional", "key: ai", "key: ai\n    name: Trad",
        "options[1].key", "is the key of another option already: ai"),
    "option called even": (PAGE, "key: traditional", "key: even", "key: even",
        "options[1].key", "must not be even"),
    "third option": (PAGE, "options:\n",
        "options:\n  - {key: third, name: Third, short: Third, tally: Third}\n", "options:",
        "options", "must have exactly two options, not 3"),
    "list for no option": (PAGE, "- option: traditional", "- option: tradition",
        "- option: tradition", "choose.lists[1].option", "is no option: did you mean traditional?"),
    "two lists for one option": (PAGE, "- option: traditional", "- option: ai",
        "- option: ai\n      heading: Choose Trad", "choose.lists[1].option", "has a list already"),
    "course that does not exist": (PAGE, "course: ai-pm-bootcamp", "course: ai-pm-camp",
        "course: ai-pm-camp", "cta.course", "is no course: did you mean ai-pm-bootcamp?"),
    "slug not the file's name": (PAGE, "slug: ai-product", "slug: an-ai-product", "slug: an-ai",
        "slug", f"must be '{PAGE_SLUG}', the name of its file"),
    "slug with capitals": (COURSE, "slug: ai-pm", "slug: AI-pm", "slug: AI", "slug",
        "must be 'ai-pm-bootcamp'"),
    "updated before published": (PAGE, "updated: 2026-11-22", "updated: 2026-11-21",
        "updated: 2026-11-21", "updated", "must not be before it was published"),
    "topic without an address": (PAGE, "topic: Product management", "topic: 產品管理", "topic: ",
        "topic", "must be a short name with a letter a to z or a digit in it"),
    "date as text": (PAGE, "updated: 2026-11-22", "updated: '2026-11-22'", "updated: '",
        "updated", "must be a date without quotes, like 2027-01-18, not '2026-11-22'"),
    "date with time": (PAGE, "updated: 2026-11-22", "updated: 2026-11-22T10:00:00", "updated: ",
        "updated", "must be a date without a time, like 2027-01-18, not 2026-11-22T10:00:00"),
    "day that does not exist": (PAGE, "updated: 2026-11-22", "updated: 2026-11-31", "updated: ",
        "updated", "must be a day of the calendar, not 2026-11-31"),
    "unknown field": (PAGE, "lede: >-", "leed: >-", "leed: >-", "leed",
        "is not a field here: did you mean lede?"),
    "unknown field inside": (COURSE, "    meets: Tue", "    meet: Tue", "meet: Tue",
        "cohorts[0].meet", "is not a field here: did you mean meets?"),
    "text as a list": (PAGE, "kicker: Comparison", "kicker: [Comparison]", "kicker: [", "kicker",
        "must be text, not a list"),
    "text as a number": (PAGE, "kicker: Comparison", "kicker: 7", "kicker: 7", "kicker",
        "must be text: put quotes around 7"),
    "list as text": (COURSE, "samples:\n  - price\n  - cohorts\n  - refund_rule\n  - questions",
        "samples: price", "samples: price", "samples", "must be a list"),
    "group as text": (COURSE, "  tax: Tax is", "tax: Tax is", "tax: Tax is", "tax",
        "is not a field here"),
    "two paragraphs": (PAGE, "lede: >-", "lede: |-", "lede: |-", "lede", "must be one paragraph"),
    "only spaces": (PAGE, "kicker: Comparison", "kicker: ' '", "kicker: ", "kicker", "is empty"),
    "empty list": (PAGE, "      reasons:\n",
        "      reasons: []\n      other:\n",
        "reasons: []", "choose.lists[0].reasons", "must have at least one item"),
    "negative price": (COURSE, "amount: 120000", "amount: -1", "amount: -1", "price.amount",
        "must be a price above zero"),
    "zero price": (COURSE, "amount: 120000", "amount: 0", "amount: 0", "price.amount",
        "must be a price above zero"),
    "price with a point": (COURSE, "amount: 120000", "amount: 1200.00", "amount: 1200",
        "price.amount", "must be a whole number without quotes, like 20, not 1200.00"),
    "price in octal": (COURSE, "amount: 120000", "amount: 0120000", "amount: 0", "price.amount",
        "must be written in plain digits"),
    "price of a planet": (COURSE, "amount: 120000", "amount: 12000000000", "amount: 12",
        "price.amount", "at most 99999999"),
    "unknown currency": (COURSE, "currency: USD", "currency: BTC", "currency: BTC",
        "price.currency", "must be a currency code like USD or EUR, not 'BTC'"),
    "price between two steps": (COURSE, "amount: 120000\n  currency: USD",
        "amount: 120005\n  currency: KWD", "amount: 120005", "price.amount",
        "must be a multiple of 10: Stripe charges KWD in steps of 0.010"),
    "option as text": (COURSE, "promotion_codes: false", 'promotion_codes: "true"',
        'promotion_codes: "true"', "checkout.promotion_codes",
        "must be true or false, without quotes, not 'true'"),
    "option of a number": (COURSE, "invoices: false", "invoices: 1", "invoices: 1",
        "checkout.invoices", "must be true or false, without quotes, not 1"),
    "option misspelled": (COURSE, "tax_ids: false", "tax_id: true", "tax_id: true",
        "checkout.tax_id", "is not a field here: did you mean tax_ids?"),
    "option nobody knows": (COURSE, "automatic_tax: false\n  # tax_behavior: inclusive",
        "automatic_tax: true\n  tax_behavior: both", "tax_behavior: both", "checkout.tax_behavior",
        "must be inclusive or exclusive, not"),
    "tax behavior without tax": (COURSE, "# tax_behavior: inclusive", "tax_behavior: inclusive",
        "tax_behavior: inclusive\n  tax_ids", "checkout.tax_behavior",
        "means nothing without automatic_tax: true"),
    "cohort ends first": (COURSE, "ends: 2027-03-11", "ends: 2027-01-18", "ends: 2027-01-18",
        "cohorts[0].ends", "must not be before the start, 2027-01-19"),
    "cohort twice": (COURSE, "code: 2027-april", "code: 2027-january",
        "code: 2027-january\n    title: April", "cohorts[1].code", "of another cohort already"),
    "unknown time zone": (COURSE, "timezone: America/New_York", "timezone: New York time",
        "timezone: New", "cohorts[0].timezone", "must be a time zone name like America/New_York"),
    "folder for a time zone": (COURSE, "timezone: America/New_York", "timezone: America",
        "timezone: America\n", "cohorts[0].timezone", "must be a time zone name"),
    "no seats": (COURSE, "seats: 24", "seats: 0", "seats: 0", "cohorts[0].seats",
        "must be 1 or more"),
    "seats as text": (COURSE, "seats: 24", 'seats: "20"', "seats: ", "cohorts[0].seats",
        "must be a whole number without quotes, like 20, not '20'"),
    "seats as yes": (COURSE, "seats: 24", "seats: yes", "seats: ", "cohorts[0].seats",
        "must be a whole number without quotes, like 20, not yes"),
    "sample of nothing": (COURSE, "  - price\n", "  - prices\n", "- prices", "samples[0]",
        "must name a field: did you mean price?"),
    "contact that is no email": ("site.yaml", "contact_email: hello@", "contact_email: hello at ",
        "contact_email: hello at", "contact_email", "must be an email address"),
    "link to a lost page": ("site.yaml", "href: /courses/ai-pm-bootcamp", "href: /courses/ai-pm",
        "href: /courses/ai-pm", "navigation[1].href",
        "leads nowhere: did you mean /courses/ai-pm-bootcamp?"),
    "link that runs script": ("site.yaml", "href: /compare", "href: javascript:alert(1)",
        "href: java", "navigation[0].href", "must begin with / or https://"),
    "link to another host": ("site.yaml", "href: /compare", "href: //evil.example", "href: //",
        "navigation[0].href", "must begin with / or https://"),
    "field twice": (PAGE, "kicker: Comparison", "kicker: A\nkicker: B", "kicker: B", "kicker",
        "stands here twice, first on line"),
    "control character": (PAGE, "kicker: Comparison", 'kicker: "A\\x07"', "kicker: ", "kicker",
        "has an invisible control character"),
    "text turned around": (PAGE, "kicker: Comparison", "kicker: A\u202eB", "kicker: ", "kicker",
        "has an invisible control character"),
    "field name in a number": (PAGE, "kicker: Comparison", "7: Comparison", "7: ", "",
        "has a field name that is not a plain word: 7"),
    "colon in text": (PAGE, "kicker: Comparison", "kicker: Comparison: here", "kicker: ", "",
        "text with a colon in it needs quotes around it"),
    "tab": (PAGE, "  label: Our", "\tlabel: Our", "\tlabel", "", "indent with spaces"),
    "quote left open": (PAGE, "label: View course →", "label: 'View course →", "label: 'View",
        "", "is not valid YAML: a quote is opened and never closed"),
    "raw control character": (PAGE, "kicker: Comparison", "kicker: \x07", "kicker: ", "",
        "has an invisible control character"),
    "character that cannot be": (PAGE, "kicker: Comparison", 'kicker: "\\UFFFFFFFF"', "kicker: ",
        "", "there is no such character"),
    "anchor": (PAGE, "kicker: Comparison", "kicker: &a Comparison", "kicker: ", "",
        "uses & or * to repeat a part"),
    "tag": (PAGE, "kicker: Comparison", "kicker: !!python/name:os.system", "kicker: ", "",
        "begins with !"),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistake_is_reported_with_file_line_and_field(folder: Folder, mistake: str) -> None:
    file, old, new, words, field, message = MISTAKES[mistake]
    folder.edit(file, old, new)
    line = folder.line(file, words)
    start = f"site/content/{file}:{line}: {field}: " if field else f"site/content/{file}:{line}: "
    found = folder.problems()
    assert [one for one in found if one.startswith(start) and message in one], found


def test_all_mistakes_are_reported_at_once_without_repetition(folder: Folder) -> None:
    folder.edit("site.yaml", "brand: The AI", "brnad: The AI")
    folder.edit(COURSE, "seats: 24", "seats: 0")
    folder.edit(COURSE, "ends: 2027-03-11", "ends: 2026-03-11")
    folder.edit(PAGE, "winner: traditional", "winner: nobody")
    folder.edit(PAGE, "  label: Our verdict\n", "")
    (folder.path / "courses" / "broken.yaml").write_text("slug: [", "utf-8")
    found = [one.removeprefix("site/content/").split(": ")[:2] for one in folder.problems()]
    assert [(Path(where).name.split(":")[0], field) for where, field in found] == [
        ("ai-product-manager-vs-traditional-product-manager.yaml", "verdict.label"),
        ("ai-product-manager-vs-traditional-product-manager.yaml", "rows[4].winner"),
        ("ai-pm-bootcamp.yaml", "cohorts[0].ends"),
        ("ai-pm-bootcamp.yaml", "cohorts[0].seats"),
        ("broken.yaml", "is not valid YAML"),
        ("site.yaml", "brand"),
        ("site.yaml", "brnad"),
    ]


def test_a_copied_file_that_keeps_its_slug_names_the_other_file(folder: Folder) -> None:
    shutil.copy(folder.path / PAGE, folder.path / "comparisons" / "copy.yaml")
    (found,) = folder.problems()
    assert "comparisons/copy.yaml:" in found
    assert f"must be 'copy', the name of its file, not '{PAGE_SLUG}'" in found
    assert found.endswith(f"which is the slug of site/content/{PAGE}")


def test_topic_spelled_in_two_ways_is_reported(folder: Folder) -> None:
    text = folder.text(PAGE).replace(PAGE_SLUG, "other", 1)
    (folder.path / "comparisons" / "other.yaml").write_text(
        text.replace("topic: Product management", "topic: Product Management"), "utf-8"
    )
    (found,) = folder.problems()
    assert "topic: must be written 'Product management', as in" in found


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is empty"),
        (b"# only a comment\n", "is empty"),
        (b"null", "must be a group of fields"),
        (b"- a\n- b\n", "must be a group of fields"),
        (b"a: 1\n---\na: 2\n", "a second document"),
        (b"slug: caf\xe9\n", "is not UTF-8 text"),
        (b"a: " + b"[" * 5000, "is nested too deeply"),
    ],
)
def test_unreadable_content_file_is_reported_with_the_reason(
    folder: Folder, data: bytes, message: str
) -> None:
    (folder.path / COURSE).write_bytes(data)
    assert any(
        one.startswith(f"site/content/{COURSE}:") and message in one for one in folder.problems()
    )


def test_yaml_alias_bomb_is_refused(folder: Folder) -> None:
    lines = ["a0: &a0 [x, x]"] + [f"a{i}: &a{i} [{f'*a{i - 1}, ' * 9}]" for i in range(1, 40)]
    (folder.path / COURSE).write_text("\n".join(lines), "utf-8")
    assert any("uses & or * to repeat a part" in one for one in folder.problems())


def test_file_with_the_wrong_extension_is_reported(folder: Folder) -> None:
    (folder.path / PAGE).rename((folder.path / PAGE).with_suffix(".yml"))
    assert any("would be left out: end its name in .yaml" in one for one in folder.problems())


def test_missing_site_file_is_reported(folder: Folder) -> None:
    (folder.path / "site.yaml").unlink()
    assert folder.problems() == ["site/content/site.yaml:1: is missing"]


def test_unreadable_path_is_reported(folder: Folder) -> None:
    (folder.path / "courses" / "folder.yaml").mkdir()
    assert any("courses/folder.yaml:1: cannot be read" in one for one in folder.problems())


def test_site_without_comparisons_is_valid(folder: Folder) -> None:
    (folder.path / PAGE).unlink()
    content = folder.read()
    assert content.comparisons == ()
    assert content.topics == ()


def read_or_refuse(folder: Folder) -> None:
    """Read the content: it must load, or every problem must name a file and a line."""
    try:
        content = folder.read()
    except ContentError as error:
        assert error.problems
        assert all(one.line >= 1 and one.file and one.message for one in error.problems)
    else:
        assert isinstance(content, Content)
        assert len(content.topics) == len(content.comparisons) == 1
        assert all(content.samples)


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.dates() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from([*Comparison.model_fields, "key", "winner", "cells", "lists"]), inner
        )
    ),
    max_leaves=12,
)
ours = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


@given(data=st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
@walk
@settings(ours, max_examples=examples(100, 30))
def test_any_bytes_are_read_or_reported(folder: Folder, data: bytes) -> None:
    (folder.path / COURSE).write_bytes(data)
    read_or_refuse(folder)


@given(value=anything, field=st.sampled_from([*Comparison.model_fields]))
@walk
@settings(ours, max_examples=examples(60, 20))
def test_any_field_value_is_read_or_reported(folder: Folder, value: object, field: str) -> None:
    page = yaml.safe_load((REAL / PAGE).read_text("utf-8")) | {field: value}
    (folder.path / PAGE).write_text(yaml.safe_dump(page), "utf-8")
    read_or_refuse(folder)


@given(
    at=st.floats(0, 1), cut=st.integers(0, 40), put=st.text("{}[]:-&*!|>'\"% \n\t#,7a", max_size=6)
)
@walk
@settings(ours, max_examples=examples(60, 20))
def test_any_typing_error_is_read_or_reported(
    folder: Folder, at: float, cut: int, put: str
) -> None:
    text = (REAL / PAGE).read_text("utf-8")
    place = int(at * len(text))
    (folder.path / PAGE).write_text(text[:place] + put + text[place + cut :], "utf-8")
    read_or_refuse(folder)
