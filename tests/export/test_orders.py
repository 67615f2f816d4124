"""Exports of orders and seats: columns, complete rows, and the same file from desk and CLI."""

import csv
import io
import re
from codecs import BOM_UTF8
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import Engine, select, update
from sqlalchemy.orm import Session

from crossroads import export
from crossroads.database.pagination import Filter
from crossroads.export import Sheet, csv_file
from crossroads.orders import enrollment_listing, listing
from crossroads.orders.enrollment_listing import EnrollmentFilter
from crossroads.orders.listing import OrderFilter
from models import Enrollment, Order, OrderEvent, writing
from tests.support.desk_visits import desk, send
from tests.support.order_states import COHORT, NARROW, SOLD, STATES, add_orders, bring
from tests.support.orders import COURSE

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
ORDER_HEAD = (
    "order,state,placed_at,paid_at,ended_at,ended_by,email,name,course,cohort,item,seats,"
    "seats_kept,currency,unit_price,price,paid_subtotal,paid_discount,paid_tax,paid_total,returned,net,stripe_session,"
    "stripe_payment_intent"
)
SEAT_HEAD = "id,course,cohort,seat,name,email,order,bought_by,enrolled_at"


@pytest.fixture
def session(engine: Engine) -> Iterator[Session]:
    with Session(engine) as session:
        writing(session)
        yield session


def rows(body: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(body.decode("utf-8-sig"), newline=""), strict=True))


def write(engine: Engine, sheet: Sheet, which: Filter) -> bytes:
    file = io.BytesIO()
    count = export.write(engine, sheet, which, "csv", file)
    assert count == len(rows(file.getvalue()))
    return file.getvalue()


def test_paid_order_has_all_amounts_and_times_in_its_row(engine: Engine, session: Session) -> None:
    order = bring(
        session, "paid", email="maria@example.com", name="Maria", number=2, cause="event evt_1"
    )
    order.created_at = NOON
    session.execute(
        update(OrderEvent)
        .where(OrderEvent.kind == "paid")
        .values(
            created_at=NOON + timedelta(minutes=5, microseconds=9),
            amount_discount=5000,
            amount_tax=1,
            amount_total=235_001,
        )
    )
    session.commit()
    body = write(engine, listing.SHEET, OrderFilter())
    assert body.split(b"\r\n")[0].decode() == ORDER_HEAD
    (row,) = rows(body)
    assert row == {
        "order": str(order.id),
        "state": "paid",
        "placed_at": "2026-11-22T12:00:00Z",
        "paid_at": "2026-11-22T12:05:00Z",
        "ended_at": "2026-11-22T12:05:00Z",
        "ended_by": "event evt_1",
        "email": "maria@example.com",
        "name": "Maria",
        "course": COURSE.slug,
        "cohort": COHORT.code,
        "item": order.item,
        "seats": "2",
        "seats_kept": "2",
        "currency": "USD",
        "unit_price": "1200.00",
        "price": "2400.00",
        "paid_subtotal": "2400.00",
        "paid_discount": "50.00",
        "paid_tax": "0.01",
        "paid_total": "2350.01",
        "returned": "0.00",
        "net": "2350.01",
        "stripe_session": order.session_id,
        "stripe_payment_intent": order.payment_intent,
    }


def test_every_state_is_exported_and_only_paid_orders_have_amounts(
    engine: Engine, session: Session
) -> None:
    for state in STATES:
        bring(session, state)
    session.commit()
    found = {row["state"]: row for row in rows(write(engine, listing.SHEET, OrderFilter()))}
    assert set(found) == set(STATES)
    assert (found["partly-refunded"]["returned"], found["partly-refunded"]["net"]) == (
        "600.00", "600.00"
    )  # fmt: skip
    for gone in ("refunded", "dispute-lost"):
        assert (found[gone]["returned"], found[gone]["net"]) == ("1200.00", "0.00")
    for kept in ("paid", "disputed", "dispute-won", "unseated"):
        assert (found[kept]["returned"], found[kept]["net"]) == ("0.00", "1200.00")
    for word, row in found.items():
        paid = word in SOLD
        assert bool(row["paid_total"]) is bool(row["paid_at"]) is bool(row["net"]) is paid, word
        assert bool(row["ended_at"]) is (word not in ("open", "pending")), word


@pytest.mark.parametrize(
    ("currency", "price", "total"),
    [("JPY", "120000", "7"), ("KWD", "120.000", "0.007"), ("EUR", "1200.00", "0.07")],
)
def test_amounts_have_the_digits_of_their_currency(
    engine: Engine, session: Session, currency: str, price: str, total: str
) -> None:
    bring(session, "paid")
    session.execute(update(Order).values(currency=currency))
    session.execute(update(OrderEvent).where(OrderEvent.kind == "paid").values(amount_total=7))
    session.commit()
    (row,) = rows(write(engine, listing.SHEET, OrderFilter()))
    assert (row["price"], row["paid_total"], row["currency"]) == (price, total, currency)


def test_free_order_has_a_paid_total_of_zero(engine: Engine, session: Session) -> None:
    bring(session, "paid")
    session.execute(update(OrderEvent).where(OrderEvent.kind == "paid").values(amount_total=0))
    session.commit()
    (row,) = rows(write(engine, listing.SHEET, OrderFilter()))
    assert row["paid_total"] == "0.00"


def test_export_has_only_rows_that_match_the_filter(engine: Engine, session: Session) -> None:
    paid = bring(session, "paid", email="maria@example.com", number=2)
    bring(session, "open", email="maria@elsewhere.example")
    bring(session, "paid", cohort=COHORT.model_copy(update={"code": "later"}))
    session.commit()
    which = OrderFilter.of(q="maria", state="paid", course=NARROW)
    assert [row["order"] for row in rows(write(engine, listing.SHEET, which))] == [str(paid.id)]
    seats = rows(write(engine, enrollment_listing.SHEET, EnrollmentFilter.of(course=NARROW)))
    assert [(row["order"], row["seat"]) for row in seats] == [
        (str(paid.id), "1"),
        (str(paid.id), "2"),
    ]


def test_unnamed_seat_is_exported_with_its_buyer(engine: Engine, session: Session) -> None:
    order = bring(session, "paid", email="maria@example.com", name="=Maria", number=2)
    session.execute(update(Enrollment).values(created_at=NOON))
    session.commit()
    body = write(engine, enrollment_listing.SHEET, EnrollmentFilter())
    assert body.decode().splitlines() == [
        SEAT_HEAD,
        f"1,{COURSE.slug},{COHORT.code},1,'=Maria,maria@example.com,{order.id},"
        "maria@example.com,2026-11-22T12:00:00Z",
        f"2,{COURSE.slug},{COHORT.code},2,,,{order.id},maria@example.com,2026-11-22T12:00:00Z",
    ]


def test_export_of_several_chunks_has_each_row_once(
    engine: Engine, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    numbers = [bring(session, state, number=3).id for state in (*STATES, "paid")]
    session.commit()
    monkeypatch.setattr(csv_file, "AT_ONCE", 3)
    found = rows(write(engine, listing.SHEET, OrderFilter()))
    assert [int(row["order"]) for row in found] == numbers
    seats = rows(write(engine, enrollment_listing.SHEET, EnrollmentFilter()))
    assert len({(row["order"], row["seat"]) for row in seats}) == len(seats) == 5 * 3


@pytest.mark.parametrize(
    ("room", "head", "count"), [("orders", ORDER_HEAD, 2), ("enrollments", SEAT_HEAD, 3)]
)
def test_desk_sends_a_complete_file_of_the_filtered_rows(
    app: Flask, room: str, head: str, count: int
) -> None:
    add_orders(app, "paid", email="maria@example.com", number=3)
    add_orders(app, "open", email="maria@example.com")
    add_orders(app, "paid", email="jonas@example.com")
    client = desk(app, "finance")
    form = {"format": "csv", "q": "maria"}
    with send(client, f"/admin/{room}/export", form, page=f"/admin/{room}") as answer:
        body = answer.data
    assert answer.status_code == 200
    assert body.splitlines()[0] == BOM_UTF8 + head.encode()
    assert len(rows(body)) == count
    assert int(answer.headers["Content-Length"]) == len(body)
    assert answer.headers["Cache-Control"] == "no-store"
    assert re.fullmatch(
        rf"attachment; filename={room}-\d{{4}}-\d\d-\d\d\.csv",
        answer.headers["Content-Disposition"],
    )


def test_export_has_no_token_of_a_buyers_pages(engine: Engine, session: Session) -> None:
    order = bring(session, "paid")
    # Stripe's ids do not contain the order's token; those of the test factory do.
    order.session_id, order.payment_intent = "cs_test_1", "pi_1"
    session.commit()
    tokens = [order.token, *session.scalars(select(Enrollment.token))]
    for sheet, which in (
        (listing.SHEET, OrderFilter()),
        (enrollment_listing.SHEET, EnrollmentFilter()),
    ):
        body = write(engine, sheet, which).decode()
        assert not any(token in body for token in tokens)


@pytest.mark.parametrize("room", ["orders", "enrollments"])
def test_marketer_cannot_export_orders_or_seats(app: Flask, room: str) -> None:
    client = desk(app, "marketer")
    form = {"format": "csv"}
    answer = send(client, f"/admin/{room}/export", form, page="/admin/password")
    assert answer.status_code == 403


@pytest.fixture
def sold(make_app: Any) -> Flask:
    """An app with two orders."""
    app: Flask = make_app()
    add_orders(app, "paid", "expired")
    return app


def test_command_line_writes_the_same_bytes(sold: Flask, tmp_path: Path) -> None:
    client = desk(sold)
    with send(client, "/admin/orders/export", {"format": "csv"}, page="/admin/orders") as answer:
        body = answer.data
    target = tmp_path / "orders.csv"
    runner = sold.test_cli_runner()
    result = runner.invoke(args=["orders", "export", "--output", str(target)])
    assert result.exit_code == 0, result.stderr
    assert "2 orders written" in result.stderr
    assert target.read_bytes() == body
    assert target.stat().st_mode & 0o777 == 0o600
    result = runner.invoke(args=["orders", "export", "--format", "csv", "--output", "-"])
    assert BOM_UTF8 + result.stdout_bytes == body


def test_command_line_has_the_filters_of_the_desk(sold: Flask) -> None:
    runner = sold.test_cli_runner()

    def states(*options: str) -> list[str]:
        result = runner.invoke(args=["orders", "export", "--output", "-", *options])
        assert result.exit_code == 0, result.stderr
        return [row["state"] for row in rows(result.stdout_bytes)]

    assert states("--state", "paid") == ["paid"]
    assert states("--course", NARROW) == ["paid", "expired"]
    assert states("--course", "elsewhere") == states("--search", "nobody") == []
    refused = runner.invoke(args=["orders", "export", "--output", "-", "--state", "odd"])
    assert refused.exit_code == 2


def test_command_line_exports_seats_like_the_desk(sold: Flask) -> None:
    client = desk(sold)
    path = "/admin/enrollments"
    with send(client, f"{path}/export", {"format": "csv"}, page=path) as answer:
        body = answer.data
    runner = sold.test_cli_runner()
    command = ["enrollments", "export", "--output", "-"]
    assert BOM_UTF8 + runner.invoke(args=command).stdout_bytes == body
    assert len(rows(body)) > 0
    narrowed = runner.invoke(args=[*command, "--course", NARROW]).stdout_bytes
    assert BOM_UTF8 + narrowed == body
    for options in (("--course", "elsewhere"), ("--search", "nobody")):
        assert rows(runner.invoke(args=[*command, *options]).stdout_bytes) == []


def test_unwritable_file_is_one_error_line_and_leaves_no_file(sold: Flask, tmp_path: Path) -> None:
    target = tmp_path / "no such folder" / "orders.csv"
    result = sold.test_cli_runner().invoke(args=["orders", "export", "--output", str(target)])
    assert result.exit_code == 1
    assert result.stderr.strip().splitlines() == [
        f"Error: {target}: cannot be written: No such file or directory"
    ]
    assert list(tmp_path.rglob("*.csv*")) == []
