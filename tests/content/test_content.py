"""Loading of the content files."""

import shutil
from datetime import date
from pathlib import Path

import pytest
from pydantic import ValidationError

from crossroads.content import (
    Comparison,
    expired,
    figures_without_source,
    load,
    stamp,
    yaml_document,
)
from tests.support.content_files import COURSE, PAGE, PAGE_SLUG, REAL, Folder

SEED = Path(__file__).parents[1] / "data" / "seed.txt"


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def as_seed(page: Comparison, brand: str) -> list[str]:
    """Return a comparison as lines of text in the order of the seed."""
    keys = [option.key for option in page.options]
    lines = [brand, page.kicker, page.title, page.lede, page.verdict.label]
    lines += [page.verdict.headline, page.verdict.text, page.overview.heading, page.overview.text]
    lines += [page.table.heading]
    lines += [page.table.category_heading + "".join(option.name for option in page.options)]
    for row in page.rows:
        lines += [row.label, *(row.cells[key] for key in keys)]
    lines += [page.table.score_label + "".join(f"{page.wins(key)} wins" for key in keys)]
    lines += [page.choose.heading]
    for choice in page.choose.lists:
        lines += [choice.heading, *(f"  • {reason}" for reason in choice.reasons)]
    lines += [page.faq.heading]
    for question in page.faq.questions:
        lines += [question.question, question.answer]
    return [*lines, page.cta.heading, page.cta.text, page.cta.label]


def test_both_yaml_loaders_give_the_same_result(monkeypatch: pytest.MonkeyPatch) -> None:
    files = [path.read_bytes() for path in sorted(REAL.rglob("*.yaml"))]
    quick = [yaml_document.load.__wrapped__(data) for data in files]
    assert all(document.spots and not document.mistakes for document in quick)
    monkeypatch.setattr(yaml_document, "_QuickLoader", yaml_document._Loader)
    assert [yaml_document.load.__wrapped__(data) for data in files] == quick


def test_page_has_the_exact_text_of_the_seed_in_its_order() -> None:
    content = load(REAL)
    seed = [line for line in SEED.read_text("utf-8").splitlines() if line.strip()]
    assert as_seed(content.comparisons[0], content.site.brand) == seed


def test_hidden_files_of_editors_are_ignored(folder: Folder) -> None:
    (folder.path / "comparisons" / ".#draft.yaml").symlink_to("maria@laptop.4711:1")
    (folder.path / "courses" / "._ai-pm-bootcamp.yaml").write_bytes(b"\x00\x05\x16\x07")
    (folder.path / "courses" / ".old.yml").write_text("{", "utf-8")
    assert len(folder.read().comparisons) == 1


def test_symlinked_file_is_read(folder: Folder, tmp_path: Path) -> None:
    link = folder.path / COURSE
    link.symlink_to(link.rename(tmp_path / "elsewhere.yaml"))
    assert folder.read().course("ai-pm-bootcamp")
    folder.edit(COURSE, "seats: ", "seats: -")
    assert folder.problems()[0].startswith(f"site/content/{COURSE}:")


def test_the_score_is_counted_from_the_rows() -> None:
    page = load(REAL).comparisons[0]
    assert (page.wins("ai"), page.even, page.wins("traditional")) == (3, 4, 1)


def test_a_changed_winner_changes_the_score(folder: Folder) -> None:
    folder.edit(PAGE, "winner: even", "winner: traditional")
    page = folder.read().comparisons[0]
    assert (page.wins("ai"), page.even, page.wins("traditional")) == (3, 3, 2)


def test_wins_of_an_unknown_option_raise_key_error() -> None:
    with pytest.raises(KeyError):
        load(REAL).comparisons[0].wins("waterfall")


def test_pages_are_found_by_slug() -> None:
    content = load(REAL)
    page, course = content.comparisons[0], content.courses[0]
    assert content.comparison(page.slug) is page
    assert content.course(page.cta.course) is course
    assert content.comparison("nothing") is None
    assert content.course("nothing") is None
    assert page.option("traditional").name == "Traditional Product Manager"
    assert course.cohort("2027-april") is course.cohorts[1]


def test_sample_content_is_listed_until_replaced(folder: Folder) -> None:
    before = load(REAL).samples
    assert any("price of AI PM Bootcamp" in sentence for sentence in before)
    assert any("contact email" in sentence and "site.yaml" in sentence for sentence in before)
    folder.edit(COURSE, "  - price\n", "")
    after = folder.read().samples
    assert [sentence for sentence in before if sentence not in after] == [
        "The price of AI PM Bootcamp & Certification is a sample: replace it in "
        "site/content/courses/ai-pm-bootcamp.yaml, then take it off the samples list there."
    ]


def test_comparisons_are_newest_first_and_topics_sorted_by_name(folder: Folder) -> None:
    folder.edit(PAGE, "published: 2026-11-22", "published: 2026-11-20")
    text = folder.text(PAGE)
    for slug, topic, day in (("zebra", "Analytics", "2026-11-21"), ("ape", "Design", "2026-11-19")):
        copy = text.replace(PAGE_SLUG, slug, 1).replace("Product management", topic)
        copy = copy.replace("published: 2026-11-20", f"published: {day}")
        (folder.path / "comparisons" / f"{slug}.yaml").write_text(copy, "utf-8")
    content = folder.read()
    assert [page.slug for page in content.comparisons] == ["zebra", PAGE_SLUG, "ape"]
    assert [(topic.slug, topic.name) for topic in content.topics] == [
        ("analytics", "Analytics"),
        ("design", "Design"),
        ("product-management", "Product management"),
    ]


def test_loaded_content_is_immutable() -> None:
    page = load(REAL).comparisons[0]
    with pytest.raises(ValidationError):
        page.rows[0].winner = "even"  # type: ignore[misc]
    with pytest.raises(TypeError):
        page.rows[0].cells["ai"] = "$1"  # type: ignore[index]
    assert isinstance(page.rows, tuple)


def test_rows_with_figures_and_no_source_are_named(folder: Folder) -> None:
    found = [str(one) for one in figures_without_source(folder.read())]
    lines = folder.text(PAGE).splitlines()
    for label, index in (("Median Salary (US)", 0), ("Job Openings Growth", 2)):
        line = lines.index(f"  - label: {label}") + 1
        start = f"site/content/{PAGE}:{line}: rows[{index}]: {label}: has figures and no source"
        assert any(one.startswith(start) for one in found)
    assert len(found) == 2


def test_a_row_with_its_source_is_not_named(folder: Folder) -> None:
    source = "    winner: ai\n    source: {title: A survey, address: https://example.com/survey}\n"
    folder.edit(PAGE, "    winner: ai\n", source)
    found = figures_without_source(folder.read())
    assert [one.field for one in found] == ["rows[2]"]


def test_figure_expires_on_the_day_after_its_expiry_date(folder: Folder) -> None:
    folder.edit(PAGE, "    winner: ai\n", "    winner: ai\n    expires: 2027-05-22\n")
    content = folder.read()
    assert expired(content, date(2027, 5, 22)) == []
    (found,) = expired(content, date(2027, 5, 23))
    line = folder.text(PAGE).splitlines().index("    expires: 2027-05-22") + 1
    assert (found.line, found.field) == (line, "rows[0].expires")
    assert "Median Salary (US): expired on 2027-05-22" in found.message


def test_the_stamp_changes_with_every_kind_of_edit(folder: Folder) -> None:
    marks = [stamp(folder.path)]
    assert stamp(folder.path) == marks[0]
    folder.edit(PAGE, "kicker: Comparison", "kicker: Contrast!!")
    marks.append(stamp(folder.path))
    shutil.copy(folder.path / COURSE, folder.path / "courses" / "second.yaml")
    marks.append(stamp(folder.path))
    (folder.path / "courses" / "second.yaml").rename(folder.path / "courses" / "third.yaml")
    marks.append(stamp(folder.path))
    (folder.path / "courses" / "third.yaml").unlink()
    marks.append(stamp(folder.path))
    assert len(set(marks)) == 4
    assert marks[-1] == marks[1]


def test_legal_texts_name_the_addresses_of_the_site(folder: Folder) -> None:
    folder.edit("site.yaml", "contact_email: hello@", "contact_email: people@")
    site = folder.read().site
    assert '<a href="mailto:people@example.com"' in site.privacy.html
    assert site.postal_address in site.privacy.html
    assert "{" not in site.privacy.html + site.terms.html


def test_script_in_markdown_is_removed_or_escaped(folder: Folder) -> None:
    hostile = "[a](javascript:alert(1)) <script>alert(2)</script> <img src=x onerror=alert(3)>"
    hostile += " ![b](https://evil.example/p.gif)"
    folder.edit("site.yaml", "{brand} keeps", f"{hostile} {{brand}} keeps")
    html = folder.read().site.privacy.html
    assert 'href="javascript:' not in html
    assert "<script" not in html
    assert "<img" not in html
    assert "&lt;script&gt;" in html
