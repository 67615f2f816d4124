"""Strings that may break parsers, pages, files and databases, and a form that sends them."""

import random
import unicodedata

from flask.testing import FlaskClient
from sqlalchemy import select
from sqlalchemy.orm import Session

from models import Lead

TEXTS = ("name", "utm_source", "utm_medium", "utm_campaign", "utm_term", "utm_content", "page")


def hostile(number: int, seed: int) -> list[str]:
    """Return strings that may break parsers, pages, files and databases; the same for each seed."""
    # Reproducible, so that a string that once broke something stays in the set.
    dice = random.Random(seed)
    pieces = [
        "'; DROP TABLE lead; --", "<script>alert(1)</script>", "{{ 7*7 }}", "${7*7}", "%s%n%00",
        "\x00", "\r\nBcc: all@example.com", "\u202e", "\u200b", "\ufeff", "=cmd|' /C calc'!A0",
        "@SUM(A1)", "../../etc/passwd", "\ud800", "🧑‍💻", "ﷺ", "İi", "ß", "a\u0301", "\x1b[31m",
        "A" * 300, '"', "'", "\\", "&amp;", "]]>", "\u2028", "maria@example.com", "@", ".", "+",
        "xn--", "пример.рф", "用户@例子.公司", "()<>@,;:", " ", "\t", "-1", "NaN", "null",
        "\U0010ffff",
    ]  # fmt: skip
    made = []
    for _ in range(number):
        text = "".join(dice.choice(pieces) for _ in range(dice.randint(1, 4)))
        if dice.random() < 0.3:
            text += "".join(chr(dice.randint(0, 0x10FFFF)) for _ in range(dice.randint(1, 20)))
        made.append(text)
    return made


def send_hostile(client: FlaskClient, session: Session, number: int, seed: int = 0) -> None:
    """Send the sign-up form this many times with hostile strings in each of its fields.

    Half of the forms have a valid address, so that the strings in the other fields reach the
    database.
    """
    for turn, (email, consent, website, *texts) in enumerate(
        zip(*(hostile(number, seed + field) for field in range(len(TEXTS) + 3)), strict=True)
    ):
        others = dict(zip(TEXTS, texts, strict=True))
        for fields in (
            {"email": email, "consent": consent, "website": website},
            {"email": f"p{turn}@example.com", "consent": "yes", **others},
        ):
            body = {key: value.encode("utf-8", "surrogatepass") for key, value in fields.items()}
            answer = client.post("/signup", data=body)
            assert answer.status_code in (200, 422), fields
            assert "<script>alert(1)" not in answer.text, fields
    kept = session.scalars(select(Lead)).all()
    assert kept
    for lead in kept:
        stored = f"{lead.email}{lead.name}{lead.utm_source}{lead.utm_campaign}{lead.page}"
        assert not any(unicodedata.category(char) in ("Cc", "Cs") for char in stored)
