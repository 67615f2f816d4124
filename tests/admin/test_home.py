"""The dashboard of the admin area, for each role."""

import re
from datetime import timedelta
from pathlib import Path
from typing import Any

from flask import Flask
from sqlalchemy.orm import Session

from models import Message, db, now
from models.message import MessageState
from tests.support.desk_visits import add_leads, desk, lead


def figures(page: str) -> list[str]:
    return re.findall(r"<dd><b>([\d,]+)</b>", page)


def test_empty_desk_says_so(app: Flask) -> None:
    page = desk(app).get("/admin/").text
    assert figures(page) == ["0"] * 8
    assert "Nobody has signed up yet" in page
    assert '<svg viewBox="0 0 600' not in page


def test_four_figures_sum_up_the_leads(app: Flask) -> None:
    week = [lead(created_at=now() - timedelta(days=day)) for day in (1, 2, 3)]
    before = [lead(created_at=now() - timedelta(days=8), state="confirmed")]
    add_leads(app, *week, *before)
    page = desk(app, "marketer").get("/admin/").text
    assert figures(page) == ["4", "3", "1", "0"]
    assert "2 more than" in page
    assert "25% of all leads" in page


def test_bar_chart_and_table_show_the_same_numbers(app: Flask) -> None:
    add_leads(app, *(lead(created_at=now() - timedelta(days=day)) for day in (1, 1, 1, 5)))
    page = desk(app).get("/admin/").text
    drawn = [int(n) for n in re.findall(r"<title>\w+ \d+: (\d+)</title></rect>", page)]
    listed = re.findall(r"<td><time[^>]*>[^<]+</time>[^<]*</td><td class=\"number\">(\d+)<", page)
    assert len(drawn) == 30
    assert sum(drawn) == 4 and max(drawn) == 3
    assert drawn == [int(n) for n in reversed(listed)]
    heights = [float(h) for h in re.findall(r'<rect[^>]* height="([\d.]+)"', page)]
    assert max(heights) == 118 and heights.count(0) == 28
    assert "4 sign-ups, at most 3 on a day" in page
    assert " style=" not in page


def test_the_newest_leads_link_to_their_pages(app: Flask) -> None:
    (number,) = add_leads(app, lead("maria@example.com"))
    client = desk(app)
    assert f'href="/admin/leads/{number}"' in client.get("/admin/").text
    assert client.get(f"/admin/leads/{number}").status_code == 200


def test_sample_content_is_named_until_replaced(make_app: Any, app: Flask, site_root: Path) -> None:
    page = desk(app).get("/admin/").text
    assert "Visitors still see" in page
    assert "site/content/site.yaml" in page
    for file in (site_root / "site/content").rglob("*.yaml"):
        whole = file.read_text(encoding="utf-8")
        file.write_text(
            re.sub(r"^samples:.*\n(?:[ -].*\n)*", "samples: []\n", whole, flags=re.M),
            encoding="utf-8",
        )
    replaced = make_app(root=site_root)
    assert "Visitors still see" not in desk(replaced).get("/admin/").text


def test_undelivered_mail_is_named_with_the_reason(app: Flask) -> None:
    (number,) = add_leads(app, lead("maria@example.com"))
    with app.app_context(), Session(db.engine) as session:
        for state, error in (("dead", "550 no such user"), ("sent", ""), ("due", "451 later")):
            session.add(
                Message(
                    kind="confirm",
                    lead_id=number,
                    recipient="maria@example.com",
                    address_hash="",
                    state=MessageState(state),
                    error=error,
                    attempts=2,
                )
            )
        session.commit()
    page = desk(app, "marketer").get("/admin/").text
    assert "1 email was not delivered" in page
    assert "550 no such user" in page
    assert "451 later" not in page
    assert figures(page)[3] == "1"


def test_finance_sees_counts_and_no_addresses(app: Flask) -> None:
    add_leads(app, lead("maria@example.com"))
    page = desk(app, "finance").get("/admin/").text
    assert figures(page)[4] == "1"
    assert "maria@example.com" not in page
