"""The public pages: the same bytes for every visitor, served from memory by the page cache."""

from collections.abc import Callable
from io import BytesIO
from pathlib import PurePath

from flask import (
    Blueprint,
    Response,
    abort,
    get_template_attribute,
    make_response,
    render_template,
    request,
    send_file,
)

from crossroads import current
from crossroads.content import Content
from crossroads.middleware.security import PUBLIC
from crossroads.orders import seats
from crossroads.web import signup_form
from crossroads.web.signup_form import NO_STORE
from models import db, now

bp = Blueprint("pages", __name__)

STATIC_FOREVER = "public, max-age=31536000, immutable"
# Not what the machine has in its tables: those of a small one know no woff2.
STATIC_KINDS = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".ttf": "font/ttf",
    ".txt": "text/plain; charset=utf-8",
    ".woff2": "font/woff2",
}
# Where a page's sign-up form is: macros.html writes it, and no section is within it.
SIGNUP_SECTION = ('<section class="signup" id="signup"', "</section>")
SERVED_FROM_MEMORY = (
    *("admin.css", "admin.js", "site.css", "site.js"),
    "fonts/familjen-grotesk.woff2",
)
LEGAL = ("/privacy", "/terms")  # read by few, and nothing else has to be made from Markdown


def paths(content: Content, digest: str) -> list[str]:
    """Return every path whose page is the same for all visitors."""
    return [
        "/robots.txt",
        "/sitemap.xml",
        *(f"/static/{digest}/{name}" for name in SERVED_FROM_MEMORY),
        *content.pages,
    ]


def _page(
    template: str,
    *,
    share: str = "site.png",
    live: Callable[[], dict[str, object]] = dict,
    **context: object,
) -> Response:
    """Render a page that has a sign-up form: as it arrives on GET, with its answer on POST.

    `live` reads what the page shows from the database. It is called when the page is rendered,
    after a sign-up is stored: a transaction that has read can no longer begin to write.
    """
    signup = signup_form.receive() if request.method == "POST" else signup_form.empty()
    if signup.state == "done" and (around := current.pages().around_section(request.path)):
        section = get_template_attribute("macros.html", "signup_section")
        html = str(section(signup, current.content().site.signup)).join(around)
    else:
        settings = current.settings()
        html = render_template(
            template,
            signup=signup,
            canonical=settings.base_url + request.path,
            share=f"{settings.base_url}/share/{share}",
            **context,
            **live(),
        )
    control = NO_STORE if request.method == "POST" else PUBLIC
    return make_response(html, signup.status, {"Cache-Control": control})


@bp.route("/", methods=["GET", "POST"])
def home() -> Response:
    content = current.content()
    return _page("pages/home.html", comparisons=content.comparisons, courses=content.courses)


@bp.route("/compare", methods=["GET", "POST"])
def comparisons() -> Response:
    content = current.content()
    return _page(
        "pages/comparisons.html",
        comparisons=content.comparisons,
        topics=content.topics,
        topic=None,
    )


@bp.route("/compare/topics/<slug>", methods=["GET", "POST"])
def topic(slug: str) -> Response:
    content = current.content()
    topic = next((topic for topic in content.topics if topic.slug == slug), None)
    if topic is None:
        abort(404)
    return _page(
        "pages/comparisons.html",
        comparisons=[one for one in content.comparisons if one.topic_slug == slug],
        topics=content.topics,
        topic=topic,
    )


@bp.route("/compare/<slug>", methods=["GET", "POST"])
def comparison(slug: str) -> Response:
    content = current.content()
    comparison = content.comparison(slug)
    if comparison is None:
        abort(404)
    return _page(
        "pages/comparison.html",
        share=f"compare/{slug}.png",
        comparison=comparison,
        course=content.course(comparison.cta.course),
    )


@bp.route("/courses/<slug>", methods=["GET", "POST"])
def course(slug: str) -> Response:
    course = current.content().course(slug)
    if course is None:
        abort(404)

    def places() -> dict[str, object]:
        found = seats.availabilities(db.session, course, now())
        upcoming = (place for place in found if place.state in ("open", "few"))
        next_place = next(upcoming, None)
        full = next((place for place in found if place.state == "full"), None)
        return {
            "places": found,
            "next_place": next_place,
            "to_wait": signup_form.waiting_form(course, full) if full and not next_place else None,
        }

    return _page("pages/course.html", share=f"courses/{slug}.png", live=places, course=course)


@bp.get("/privacy")
def privacy() -> Response:
    return _page("pages/legal.html", legal=current.content().site.privacy)


@bp.get("/terms")
def terms() -> Response:
    return _page("pages/legal.html", legal=current.content().site.terms)


@bp.get("/sitemap.xml")
def sitemap() -> Response:
    content = current.content()
    settings = current.settings()
    changed = {f"/compare/{one.slug}": one.updated for one in content.comparisons}
    text = render_template(
        "pages/sitemap.xml",
        entries=[(settings.base_url + path, changed.get(path)) for path in content.pages],
    )
    return make_response(text, 200, {"Content-Type": "application/xml", "Cache-Control": PUBLIC})


@bp.get("/robots.txt")
def robots() -> Response:
    settings = current.settings()
    text = render_template("pages/robots.txt", sitemap=f"{settings.base_url}/sitemap.xml")
    return make_response(text, 200, {"Content-Type": "text/plain", "Cache-Control": PUBLIC})


@bp.get("/favicon.ico")
def favicon() -> Response:
    """Send the icon to clients that request it without reading a page, such as search engines."""
    data = current.store().file("icons/favicon.svg")
    return make_response(data, 200, {"Content-Type": STATIC_KINDS[".svg"], "Cache-Control": PUBLIC})


@bp.get("/share/<path:name>")
def share(name: str) -> Response:
    """Send a page's picture, drawn now if the page was added or changed since the last start."""
    from crossroads.content import (
        share_images,  # here alone: it loads a renderer that no other page needs
    )

    settings = current.settings()
    found = share_images.current(current.content(), settings.share_folder, name)
    if found is None:
        abort(404)
    sent = BytesIO(found) if isinstance(found, bytes) else found
    return send_file(sent, mimetype="image/png", max_age=3600)


@bp.get("/static/<digest>/<path:name>")
def static(digest: str, name: str) -> Response:
    store = current.store()
    data = store.file(name)
    if data is None:
        abort(404)
    kind = STATIC_KINDS.get(PurePath(name).suffix, "application/octet-stream")
    response = make_response(data, 200, {"Content-Type": kind})
    # A page kept by a browser from before a change may ask for old files by their old
    # address: it gets the present ones, but must not keep them under that name.
    latest = digest == store.digest
    response.headers["Cache-Control"] = STATIC_FOREVER if latest else "no-cache"
    response.add_etag()
    response.make_conditional(request)
    return response
