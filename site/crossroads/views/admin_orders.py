"""Orders at the desk: the list, one order, the export."""

from flask import Response, abort, current_app, render_template, request

from crossroads import desk, download, money, order_list, order_record
from crossroads.admin_forms import OrderFilterForm
from crossroads.browse import Browse
from crossroads.order_list import ORDERS, OrderFilter
from crossroads.payments import Gateway
from crossroads.shelf import current_content
from models import db

bp = desk.blueprint("admin_orders", roles=desk.MONEY_ROLES)


@bp.get("/orders")
def orders() -> str:
    courses = order_list.courses(db.session, current_content())
    listed = Browse(ORDERS, OrderFilterForm(courses), desk.ORDERS)
    return render_template(
        "admin/orders.html",
        list=listed,
        standings=order_list.standings(db.session, listed.shown.rows),
        cohorts=dict(courses),
        money=money.display,
    )


@bp.get("/orders/<int:order_id>")
def order(order_id: int) -> str:
    found = ORDERS.find(db.session, order_id)
    if found is None:
        abort(404)
    gateway: Gateway = current_app.extensions["crossroads.gateway"]
    course = current_content().course(found.course)
    return render_template(
        "admin/order.html",
        order=found,
        record=order_record.of(db.session, found),
        cohort=course.cohort(found.cohort) if course else None,
        payment=gateway.payment_page(found.payment_intent) if found.payment_intent else None,
        money=money.display,
    )


@bp.post("/orders/export")
def export_orders() -> Response:
    return download.csv(order_list.SHEET, OrderFilter.read(request.form), "orders")
