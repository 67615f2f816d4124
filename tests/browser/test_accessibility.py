"""axe on every page in every state, in light and dark mode: WCAG 2.2 AA and best practices."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import urljoin

import pytest
from flask import Flask
from playwright.sync_api import expect
from werkzeug.serving import make_server

from crossroads.staff import accounts
from models import Lead, now, writing
from models.user import Role
from tests.browser.crowd import COMPARISON
from tests.browser.inspector import WCAG, Inspector
from tests.browser.pages import ELSEWHERE, PASSWORD, OpenPage, send_from_elsewhere, sign_up
from tests.browser.product import Product
from tests.support.desk_visits import add_user
from tests.support.people import hashed
from tests.support.ports import free_port
from tests.support.walks import each, walk

Serve = Callable[..., tuple[Flask, str]]


@pytest.fixture
def serve(make_app: Any) -> Iterator[Serve]:
    """Serves apps with settings and faults that the shared product must not have."""
    servers = []

    def serve_one(**given: Any) -> tuple[Flask, str]:
        port = free_port()
        address = f"http://127.0.0.1:{port}"
        app: Flask = make_app(base_url=address, **given)
        server = make_server("127.0.0.1", port, app, threaded=True)
        thread = Thread(target=server.serve_forever)
        thread.start()
        servers.append((server, thread))
        return app, address

    yield serve_one
    for server, thread in servers:
        server.shutdown()
        thread.join()
        server.server_close()


@walk
def test_public_pages_are_accessible(
    open_page: OpenPage, public_paths: list[str], inspector: Inspector
) -> None:
    page = open_page()
    for path in each(public_paths, 3):
        page.goto(path)
        inspector.look(page, path)


def test_sign_up_is_accessible_in_every_state(open_page: OpenPage, inspector: Inspector) -> None:
    page = open_page("/signup")
    page.get_by_role("button", name="Send me updates").click()
    expect(page.get_by_text("Correct these 2 things")).to_be_visible()
    inspector.look(page, "two mistakes")
    page.get_by_label("Email address").fill("states@example.com")
    page.get_by_role("button", name="Send me updates").click()
    expect(page.get_by_text("Tick the box so we can email you")).to_be_visible()
    inspector.look(page, "one mistake")
    page.route("**/signup", lambda route: route.fulfill(status=204))
    sign_up(page, "states@example.com")
    expect(page.get_by_role("button", name="Sending")).to_be_visible()
    inspector.look(page, "sending")
    page.unroute("**/signup")
    page.goto("/signup")
    sign_up(page, "states@example.com")
    expect(page.get_by_role("heading", name="Check your inbox")).to_be_visible()
    inspector.look(page, "done")
    page.get_by_role("button", name="Send it again").click()
    expect(page.get_by_text("Sent again to")).to_be_visible()
    inspector.look(page, "sent again")
    page.get_by_role("button", name="Change the address").click()
    expect(page.get_by_label("Email address")).to_have_value("states@example.com")
    inspector.look(page, "changing the address")


def test_sign_up_form_within_a_page_is_accessible(
    open_page: OpenPage, inspector: Inspector
) -> None:
    page = open_page(COMPARISON)
    page.get_by_role("button", name="Send me updates").click()
    expect(page.get_by_text("Correct these 2 things")).to_be_visible()
    inspector.look(page, "two mistakes")
    sign_up(page, "within@example.com")
    expect(page.get_by_role("heading", name="Check your inbox")).to_be_visible()
    inspector.look(page, "done")


def test_pages_of_mailed_links_are_accessible(
    open_page: OpenPage, product: Product, inspector: Inspector
) -> None:
    email = "links@example.com"
    with product.session() as session:
        writing(session)
        lead = Lead(
            email=email,
            email_key=email,
            address_hash=hashed(email),
            confirm_until=now() - timedelta(days=1),
        )
        session.add(lead)
        session.commit()
        confirm, unsubscribe = lead.confirm_token, lead.unsubscribe_token
    page = open_page()

    def look(heading: str) -> None:
        expect(page.get_by_role("heading", level=1)).to_have_text(heading)
        inspector.look(page, heading)

    page.goto(f"/confirm/{confirm}")
    look("This link has expired")
    page.get_by_role("button", name="Send a new link").click()
    look("Check your inbox")
    page.goto(f"/confirm/{confirm}")
    look("Confirm your email")
    page.get_by_role("button", name="Confirm my email").click()
    look("Your email is confirmed")
    page.goto("/confirm/no-such-token")
    look("This link is not valid")
    page.goto(f"/unsubscribe/{unsubscribe}")
    look("Unsubscribe")
    page.get_by_role("button", name="Unsubscribe").click()
    look("You are unsubscribed")
    page.get_by_role("button", name="Undo").click()
    look("You are back on the list")
    page.goto("/unsubscribe/no-such-token")
    look("This link is not valid")


def test_error_pages_are_accessible(
    open_page: OpenPage,
    product: Product,
    serve: Serve,
    site_root: Path,
    tmp_path: Path,
    inspector: Inspector,
) -> None:
    page = open_page("/no-such-page", also=(ELSEWHERE,))
    inspector.look(page, "404")
    send_from_elsewhere(page, product)
    expect(page.get_by_text("Error 403")).to_be_visible()
    inspector.look(page, "403")
    page.goto("/signup")
    page.get_by_label("Name (optional)").fill("long " * 20_000)
    sign_up(page, "errors@example.com")
    expect(page.get_by_text("Error 413")).to_be_visible()
    inspector.look(page, "413")

    _, strict = serve(signup_limit="1/hour")
    page = open_page(f"{strict}/signup", base_url=strict)
    sign_up(page, "errors@example.com")
    page.get_by_role("button", name="Send it again").click()
    expect(page.get_by_text("Error 429")).to_be_visible()
    expect(page.get_by_text("errors@example.com")).to_be_visible()
    inspector.look(page, "429")

    _, away = serve(database_url=f"sqlite:///{tmp_path}/no/such.db")
    page = open_page(f"{away}/signup", base_url=away)
    sign_up(page, "errors@example.com")
    expect(page.get_by_text("Error 503")).to_be_visible()
    inspector.look(page, "503")

    _, broken = serve(root=site_root)
    words = site_root / "site" / "content" / "site.yaml"
    words.write_text(words.read_text("utf-8").replace("tagline:", "tag line:"), "utf-8")
    page = open_page(f"{broken}/compare", base_url=broken)
    expect(page.get_by_text("Error 500")).to_be_visible()
    inspector.look(page, "500")


@walk
def test_desk_is_accessible(
    open_page: OpenPage, crowd: int, sold: int, signed_in: Any, inspector: Inspector
) -> None:
    page = open_page(storage_state=signed_in)
    paths = (
        "/admin/",
        "/admin/leads",
        "/admin/leads?q=okafor&state=confirmed&sort=email",
        "/admin/leads?q=nobody-of-that-name",
        f"/admin/leads/{crowd}",
        "/admin/leads/999999",
        "/admin/orders",
        "/admin/orders?q=buyer&state=paid&sort=email",
        "/admin/orders?q=nobody-of-that-name",
        f"/admin/orders/{sold}",
        "/admin/enrollments",
        "/admin/mail",
        "/admin/mail?q=nobody-of-that-name",
        "/admin/announcements",
        "/admin/announcements/new",
        "/admin/announcements/1",
        "/admin/announcements/1/queue",
        "/admin/enrollments?q=nobody-of-that-name",
        "/admin/password",
    )
    for path in each(paths, 4):
        page.goto(path)
        inspector.look(page, path)
    page.goto("/admin/password")
    page.get_by_label("Current password").fill("not this one")
    page.get_by_label("New password", exact=True).fill("short")
    page.get_by_label("New password again").fill("another")
    page.get_by_role("button", name="Show passwords").click()
    page.get_by_role("button", name="Change password").click()
    expect(page.get_by_text("Correct 2 things to change your password")).to_be_visible()
    inspector.look(page, "password refused")


def test_desk_sign_in_is_accessible(
    open_page: OpenPage, product: Product, inspector: Inspector
) -> None:
    email = "finance@example.com"
    with product.session() as session:
        writing(session)
        accounts.add(session, email, Role.FINANCE, PASSWORD)
        session.commit()
    page = open_page("/admin/login")
    inspector.look(page, "sign in")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_text("Correct 2 things to sign in")).to_be_visible()
    inspector.look(page, "nothing typed")
    page.get_by_label("Email address").fill(email)
    page.get_by_label("Password", exact=True).fill("not this one")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_text("The email address or the password is not right")).to_be_visible()
    inspector.look(page, "refused")
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Home")
    inspector.look(page, "home without leads' names")
    page.goto("/admin/leads")
    expect(page.get_by_text("Error 403")).to_be_visible()
    inspector.look(page, "403 at the desk")
    page.goto("/admin/")
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_text("You are signed out.")).to_be_visible()
    inspector.look(page, "signed out")


def test_empty_desk_is_accessible(open_page: OpenPage, serve: Serve, inspector: Inspector) -> None:
    app, address = serve()
    owner = add_user(app, must_change=True)
    page = open_page(f"{address}/admin/", base_url=address)
    page.get_by_label("Email address").fill(owner.email)
    page.get_by_label("Password", exact=True).fill("correct horse battery")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_text("You signed in with a one-time password")).to_be_visible()
    inspector.look(page, "one-time password")
    page.get_by_label("Current password").fill("correct horse battery")
    page.get_by_label("New password", exact=True).fill(PASSWORD)
    page.get_by_label("New password again").fill(PASSWORD)
    page.get_by_role("button", name="Change password").click()
    expect(page.get_by_text("Nobody has signed up yet")).to_be_visible()
    inspector.look(page, "empty home")
    page.goto("/admin/leads")
    expect(page.get_by_text("Nobody has signed up yet")).to_be_visible()
    inspector.look(page, "empty list")
    page.goto("/admin/orders")
    expect(page.get_by_text("Nobody has ordered yet")).to_be_visible()
    inspector.look(page, "no orders")
    page.goto("/admin/enrollments")
    expect(page.get_by_text("Nobody is enrolled yet")).to_be_visible()
    inspector.look(page, "no seats")


def test_mailbox_and_mails_are_accessible(
    open_page: OpenPage, product: Product, inspector: Inspector
) -> None:
    page = open_page(f"{product.mailbox}/no-such.eml")
    inspector.look(page, "no such mail")
    page.goto("/signup")
    sign_up(page, "mails@example.com")
    row = page.get_by_role("link").filter(has_text="mails@example.com")
    page.goto(f"{product.mailbox}/")
    row.click(timeout=20_000)  # the page reloads until the mail is there
    inspector.look(page, "a mail")
    # Shown as in a mail program, because the mailbox runs no script in a mail, not even axe.
    letter = open_page()
    source = urljoin(page.url, page.locator("iframe").get_attribute("src"))
    letter.set_content(letter.request.get(source).text())
    expect(letter.get_by_role("link", name="Confirm my email")).to_be_visible()
    inspector.look(letter, "its HTML", {"runOnly": {"type": "tag", "values": WCAG}})
    page.goto(f"{product.mailbox}/?still")  # without reloading, which axe would report
    inspector.look(page, "the list of mails")
