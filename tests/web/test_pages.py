"""Public pages: content, structure, weight, and data for search engines."""

import json
import re
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit
from xml.etree import ElementTree

import brotli
import pytest
from flask import Flask
from flask.testing import FlaskClient

from crossroads import current
from crossroads.content import load
from tests.support.content_files import rewrite
from tests.support.paths import ROOT
from tests.support.signups import shown

CONTENT = load(ROOT / "site" / "content")
COMPARISON = f"/compare/{CONTENT.comparisons[0].slug}"
COURSE = f"/courses/{CONTENT.courses[0].slug}"
CACHED = ["/", "/compare", COMPARISON, COURSE, "/privacy", "/terms"]
PUBLIC = [*CACHED, "/signup"]
WEIGHT = 14 * 1024  # limit for HTML and CSS of a public page, in bytes compressed with brotli


class Outline(HTMLParser):
    """A parser for addresses, headings, landmarks, inline scripts and styles of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.headings: list[int] = []
        self.metas: dict[str, str] = {}
        self.links: dict[str, str] = {}
        self.inline: list[str] = []
        self.ids: list[str] = []
        self.landmarks: set[str] = set()
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.addresses += [given[name] for name in ("href", "src") if name in given]
        self.ids += [given["id"]] if "id" in given else []
        self.inline += [name for name in given if name == "style" or name.startswith("on")]
        if tag == "script" and "src" not in given and given.get("type") != "application/ld+json":
            self.inline.append("script")
        if tag == "style":
            self.inline.append("style")
        if re.fullmatch(r"h[1-6]", tag):
            self.headings.append(int(tag[1]))
        if tag == "meta" and "content" in given:
            self.metas[given.get("name") or given.get("property", "")] = given["content"]
        if tag == "link":
            self.links[given.get("rel", "")] = given.get("href", "")
        if tag in ("header", "nav", "main", "footer"):
            self.landmarks.add(tag)


def structured(html: str) -> list[dict[str, Any]]:
    blocks = re.findall(r'<script type="application/ld\+json">(.*?)</script>', html, re.S)
    found: list[dict[str, Any]] = []
    for block in map(json.loads, blocks):
        found += block if isinstance(block, list) else block.get("@graph", [block])
    return found


def score(html: str) -> str:
    """Return the text of the table's last row, with spaces between its cells."""
    return shown(re.findall(r"<tfoot.*?</tfoot>", html, re.S)[0].replace("<td", " <td"))


@pytest.mark.parametrize("address", PUBLIC)
def test_page_has_title_description_and_structure(client: FlaskClient, address: str) -> None:
    answer = client.get(address)
    assert answer.status_code == 200
    page = Outline(answer.text)
    title = re.search(r"<title>(.+?)</title>", answer.text)
    assert title
    assert 10 <= len(title[1]) <= 80
    assert 50 <= len(page.metas["description"]) <= 180
    assert page.links["canonical"] == f"http://localhost{address}"
    for name in ("og:title", "og:description", "og:url", "og:type", "og:image"):
        assert page.metas[name]
    assert page.metas["og:image"].startswith("http://localhost/share/")
    assert page.headings.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(page.headings))
    assert page.landmarks == {"header", "nav", "main", "footer"}
    assert len(page.ids) == len(set(page.ids))
    assert 'lang="en"' in answer.text


@pytest.mark.parametrize("address", PUBLIC)
def test_page_loads_nothing_from_other_sites(client: FlaskClient, address: str) -> None:
    answer = client.get(address)
    assert "Set-Cookie" not in answer.headers
    page = Outline(answer.text)
    assert page.inline == []
    policy = answer.headers["Content-Security-Policy"]
    assert "unsafe" not in policy
    assert "default-src 'none'" in policy
    loaded = re.findall(r'<(?:script|img|iframe|source)[^>]+src="([^"]+)"', answer.text)
    assert all(one.startswith("/static/") for one in loaded)


@pytest.mark.parametrize("address", PUBLIC)
def test_every_link_has_a_target(client: FlaskClient, address: str) -> None:
    page = Outline(client.get(address).text)
    for link in {urlsplit(one)._replace(fragment="").geturl() for one in page.addresses}:
        if link.startswith("/"):
            with client.get(link) as answer:
                assert answer.status_code == 200, link
    for link in page.addresses:
        if link.startswith("#"):
            assert link[1:] in page.ids, link


@pytest.mark.parametrize("address", PUBLIC)
def test_page_and_style_sheet_are_small(client: FlaskClient, address: str) -> None:
    html = client.get(address).data
    sheets = re.findall(rb'<link rel="stylesheet" href="([^"]+)"', html)
    assert len(sheets) == 1
    with client.get(sheets[0].decode()) as css:
        weight = len(brotli.compress(html)) + len(brotli.compress(css.data))
    assert weight <= WEIGHT


def test_comparison_shows_all_texts_of_its_file(client: FlaskClient) -> None:
    words = shown(client.get(COMPARISON).text)
    one = CONTENT.comparisons[0]
    said = [
        one.kicker, one.title, one.lede, one.verdict.label, one.verdict.headline,
        one.verdict.text, one.overview.heading, one.overview.text, one.table.heading,
        one.table.score_label, one.choose.heading, one.faq.heading,
        one.cta.heading, one.cta.text, one.cta.label,
    ]  # fmt: skip
    said += [option.name for option in one.options]
    for claim in one.rows:
        said += [claim.label, *claim.cells.values()]
    for choice in one.choose.lists:
        said += [choice.heading, *choice.reasons]
    for question in one.faq.questions:
        said += [question.question, question.answer]
    assert [text for text in said if " ".join(text.split()) not in words] == []


def test_score_is_counted_and_one_win_is_in_the_singular(client: FlaskClient) -> None:
    foot = score(client.get(COMPARISON).text)
    assert re.search(r"\b3 wins\b", foot)
    assert re.search(r"\b1 win\b(?!s)", foot)


def test_another_winner_changes_the_score(make_app: Any, site_root: Any) -> None:
    file = site_root / f"site/content{COMPARISON.replace('compare', 'comparisons')}.yaml"
    text = file.read_text()
    assert "winner: traditional" in text
    file.write_text(text.replace("winner: traditional", "winner: even"))
    html = make_app(root=site_root).test_client().get(COMPARISON).text
    assert re.search(r"\b3 wins .*\b0 wins\b", score(html))


def test_structured_data_has_the_questions_and_the_breadcrumbs(client: FlaskClient) -> None:
    blocks = {block["@type"]: block for block in structured(client.get(COMPARISON).text)}
    questions = blocks["FAQPage"]["mainEntity"]
    asked = CONTENT.comparisons[0].faq.questions
    assert [one["name"] for one in questions] == [one.question for one in asked]
    assert [one["acceptedAnswer"]["text"] for one in questions] == [one.answer for one in asked]
    trail = blocks["BreadcrumbList"]["itemListElement"]
    assert [step["position"] for step in trail] == list(range(1, len(trail) + 1))


def test_structured_data_has_the_course_with_price_and_dates(client: FlaskClient) -> None:
    course = CONTENT.courses[0]
    blocks = {block["@type"]: block for block in structured(client.get(COURSE).text)}
    told = blocks["Course"]
    assert told["name"] == course.title
    starts = [one["startDate"] for one in told["hasCourseInstance"]]
    assert starts == [cohort.starts.isoformat() for cohort in course.cohorts]
    assert "USD" in json.dumps(told["offers"])


def test_course_page_shows_price_refund_rule_and_seats(client: FlaskClient) -> None:
    html = client.get(COURSE).text
    words = shown(html)
    course = CONTENT.courses[0]
    for text in (course.promise, course.price.display, course.refund_rule):
        assert " ".join(text.split()) in words
    for cohort in course.cohorts:
        assert f"{cohort.seats} seats left" in words
        assert f'href="{COURSE}/enroll?cohort={cohort.code}"' in html


def test_only_legal_pages_are_rendered_at_the_first_request(app: Flask, tmp_path: Path) -> None:
    pages = current.of(app).pages
    pages.fill(tmp_path / "compressed.zip")
    paths = ["/", "/privacy", "/terms"]
    assert [pages.kept(path) is not None for path in paths] == [True, False, False]
    client = app.test_client()
    assert [client.get(path).status_code for path in paths] == [200, 200, 200]
    assert all(pages.kept(path) for path in paths)


def test_sitemap_lists_every_page_and_robots_txt_links_to_it(client: FlaskClient) -> None:
    answer = client.get("/sitemap.xml")
    assert answer.mimetype == "application/xml"
    space = "{http://www.sitemaps.org/schemas/sitemap/0.9}"
    listed = [one.text for one in ElementTree.fromstring(answer.data).iter(f"{space}loc")]
    for path in CACHED:
        assert f"http://localhost{path}" in listed
    for address in listed:
        assert client.get(urlsplit(str(address)).path).status_code == 200
    assert "Sitemap: http://localhost/sitemap.xml" in client.get("/robots.txt").text


def test_icon_is_in_the_page_and_at_favicon_ico(
    client: FlaskClient,
) -> None:
    icon = client.get("/favicon.ico")
    assert (icon.status_code, icon.mimetype) == (200, "image/svg+xml")
    assert f'<link rel="icon" href="data:image/svg+xml,{quote(icon.data)}">' in client.get("/").text


def test_addresses_come_from_the_settings_not_the_host_header(
    app: Flask, client: FlaskClient
) -> None:
    for address in PUBLIC:
        assert "evil.example" not in client.get(address, headers={"Host": "evil.example"}).text
    answer = client.post("/signup", data={"email": "x"}, headers={"Host": "evil.example"})
    assert "evil.example" not in answer.text


def share_picture(client: FlaskClient, path: str) -> bytes:
    """Return the share image of a page."""
    page = client.get(path).text
    address = re.search(r'property="og:image" content="http://localhost(/share/[^"]+)"', page)
    assert address
    with client.get(address[1]) as answer:
        assert answer.status_code == 200
        assert answer.headers["Content-Type"] == "image/png"
        return answer.get_data()


def test_share_image_is_made_on_request_and_changes_with_the_content(
    make_app: Any, site_root: Path
) -> None:
    client = make_app(root=site_root).test_client()
    path = "/courses/ai-pm-bootcamp"
    first = share_picture(client, path)
    assert first.startswith(b"\x89PNG")
    assert share_picture(client, path) == first
    file = site_root / "site" / "content" / "courses" / "ai-pm-bootcamp.yaml"
    rewrite(file, file.read_text().replace("hours_per_week: 6", "hours_per_week: 7"))
    assert share_picture(client, path) != first
    added = file.with_name("ai-pm-short.yaml")
    words = file.read_text().replace("slug: ai-pm-bootcamp", "slug: ai-pm-short")
    added.write_text(words.replace("AI PM Bootcamp & Certification", "AI PM in a Weekend"))
    assert share_picture(client, "/courses/ai-pm-short") != first


def test_share_image_is_sent_if_it_cannot_be_stored(make_app: Any, instance: Path) -> None:
    client = make_app().test_client()
    (instance / "share").write_text("no folder")
    assert share_picture(client, "/").startswith(b"\x89PNG")


@pytest.mark.parametrize("name", ["nothing.png", "drawn.json", "../secret_key", "compare/x.png"])
def test_share_image_of_an_unknown_page_is_not_found(client: FlaskClient, name: str) -> None:
    assert client.get(f"/share/{name}").status_code == 404
