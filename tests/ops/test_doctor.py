"""flask doctor: each problem is named in one line, and no secret is shown."""

from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from tests.support.desk_visits import add_leads, lead
from tests.support.doctor import LIVE_SITE, RESTRICTED, SECRET, Verdict, verdict
from tests.support.mail_server import MailServer
from tests.support.ports import free_port
from tests.support.sandbox_server import SandboxServer

PAGE = "site/content/comparisons/ai-product-manager-vs-traditional-product-manager.yaml"


Examine = Callable[..., Verdict]


@pytest.fixture
def examine(make_app: Any, empty_sqlite_url: str) -> Examine:
    """Run the doctor on an app with the given settings that was not set up."""

    def examine_one(**given: Any) -> Verdict:
        given.setdefault("stripe_api_base", f"http://127.0.0.1:{free_port()}")
        given.setdefault("database_url", empty_sqlite_url)
        return verdict(make_app(**given))

    return examine_one


@pytest.fixture
def mail() -> Iterator[MailServer]:
    server = MailServer().start()
    yield server
    server.stop()


@pytest.fixture
def refusing() -> Iterator[str]:
    """The URL of a server that refuses every key, with the response that Stripe gives.

    https://docs.stripe.com/api/errors
    """

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = b'{"error": {"type": "invalid_request_error", "message": "Invalid API Key"}}'
            self.send_response(401)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_words: Any) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_site_after_setup_has_no_problems(
    make_app: Any, empty_sqlite_url: str, sandbox: SandboxServer
) -> None:
    app = make_app(database_url=empty_sqlite_url, stripe_api_base=sandbox.url)
    assert app.test_cli_runner().invoke(args=["setup"]).exit_code == 0
    found = verdict(app)
    assert found.wrong == []
    assert found.code == 0
    assert len(found.about("fine: ")) == 13
    assert len(found.about("fine: Stripe account acct_1")) == 1
    assert found.about("note: webhook endpoint: Stripe sends no events to http://localhost/web")
    assert found.about(f"Stripe sandbox at {sandbox.url} accepts the key, in test mode")


def test_missing_setup_is_reported_with_the_fix(examine: Examine) -> None:
    found = examine()
    assert found.code == 1
    assert found.about("wrong: the database has no tables yet: run flask setup")
    assert found.about("share pictures: drawn when first asked for: site.png")


def test_unusable_database_is_reported(examine: Examine, tmp_path: Path) -> None:
    found = examine(database_url=f"sqlite:///{tmp_path}/no/such.db")
    assert found.about("wrong: DATABASE_URL: the database cannot be used: unable to open")


def test_sample_content_is_a_note_but_an_error_in_production(examine: Examine) -> None:
    assert len(examine().about("note: The price of ")) == 1
    found = examine(**LIVE_SITE)
    assert len(found.about("wrong: The price of ")) == 1
    assert not found.about("note: ")


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("51abc", "is no secret key of Stripe's"),
        ("sk_test_", "is no secret key of Stripe's"),
        (" sk_test_5 1", "is no secret key of Stripe's"),
        ("sk_test_schlüssel", "is no secret key of Stripe's"),
    ],
)
def test_malformed_key_is_reported_and_never_sent_to_stripe(
    examine: Examine, sandbox: SandboxServer, key: str, words: str
) -> None:
    found = examine(
        stripe_secret_key=key, stripe_webhook_secret=SECRET, stripe_api_base=sandbox.url
    )
    assert len(found.about(f"wrong: STRIPE_SECRET_KEY: {words}")) == 1
    assert len(found.about("STRIPE_SECRET_KEY")) == 1
    assert sandbox.state()["calls"] == []


def test_test_mode_in_production_is_a_note(examine: Examine) -> None:
    found = examine(**{**LIVE_SITE, "stripe_secret_key": RESTRICTED, "stripe_test": "1"})
    assert found.about("note: STRIPE_TEST: the site takes no real money")


def test_production_refuses_another_stripe_address(
    examine: Examine, sandbox: SandboxServer
) -> None:
    found = examine(**LIVE_SITE, stripe_api_base=sandbox.url)
    assert found.about(f"wrong: STRIPE_API_BASE: points to {sandbox.url}, and this is production")
    assert sandbox.state()["calls"] == []


def test_key_refused_by_stripe_is_reported(examine: Examine, refusing: str) -> None:
    found = examine(
        stripe_secret_key=RESTRICTED, stripe_webhook_secret=SECRET, stripe_api_base=refusing
    )
    assert found.about("wrong: STRIPE_SECRET_KEY: Stripe refuses it: copy it again")
    assert not found.about("51abc")


def test_unreachable_stripe_is_reported(examine: Examine) -> None:
    base = f"http://127.0.0.1:{free_port()}"
    found = examine(stripe_api_base=base)
    assert found.about(
        f"wrong: Stripe does not answer at {base}: APIConnectionError; start the sandbox"
    )


@pytest.mark.parametrize(
    ("secret", "words"),
    [
        ("", "set it to the whsec_… of the endpoint http://localhost/webhooks/stripe"),
        ("we_51abc", "is no signing secret"),
        ("whsec_", "is no signing secret"),
        (f"{SECRET},{RESTRICTED}", "is no signing secret"),
    ],
)
def test_malformed_webhook_secret_is_reported(examine: Examine, secret: str, words: str) -> None:
    found = examine(stripe_secret_key=RESTRICTED, stripe_webhook_secret=secret)
    assert found.about(f"wrong: STRIPE_WEBHOOK_SECRET: {words}")
    assert not found.about("51abc")


def test_two_webhook_secrets_are_accepted(examine: Examine) -> None:
    found = examine(stripe_webhook_secret=f"{SECRET}, {SECRET}6")
    assert found.about("fine: webhook secret")
    assert not found.about("5555")


def test_working_mail_server_is_fine_and_gets_no_mail(examine: Examine, mail: MailServer) -> None:
    found = examine(smtp_url=mail.url, mail_from="The Team <hello@courses.internal>")
    assert found.about("fine: mail server")
    assert not found.about("MAIL_FROM")
    assert mail.mails == []


def test_mail_server_that_refuses_the_sender_is_reported(
    examine: Examine, mail: MailServer
) -> None:
    mail.replies["mail"] = ["550 who are you"]
    found = examine(smtp_url=mail.url)
    assert found.about("wrong: SMTP_URL: the mail server refused MAIL_FROM: 550 who are you")
    assert found.about("wrong: MAIL_FROM: is a sample")


def test_refused_mail_login_is_reported_without_the_password(examine: Examine) -> None:
    server = MailServer(replies={"auth": ["535 no"]})
    server.start(auth_require_tls=False)
    url = server.url.replace("//", "//postman:hunter2@")
    try:
        found = examine(smtp_url=url)
    finally:
        server.stop()
    assert found.about("wrong: SMTP_URL: ")
    assert not found.about("hunter2")


def test_unreachable_mail_server_is_reported(examine: Examine) -> None:
    found = examine(smtp_url=f"smtp://postman:hunter2@127.0.0.1:{free_port()}")
    assert found.about("wrong: SMTP_URL: the mail server cannot be used: Connection refused")
    assert not found.about("hunter2")


def test_unusable_mail_folder_is_reported(examine: Examine, instance: Path) -> None:
    (instance / "mail").write_text("in the way")
    found = examine()
    assert found.about("wrong: INSTANCE: the folder of captured mail cannot be used: File exists")


def test_expired_claim_is_reported_with_file_and_line(examine: Examine, site_root: Path) -> None:
    page = site_root / PAGE
    text = page.read_text("utf-8")
    at = text.index("    winner: ai\n")
    page.write_text(
        f"{text[:at]}    checked: 2026-01-01\n    expires: 2026-02-01\n{text[at:]}", "utf-8"
    )
    line = text[:at].count("\n") + 2
    found = examine(root=site_root)
    assert found.about(f"wrong: {PAGE}:{line}: rows[0].expires: ")


def test_no_secret_of_the_settings_is_shown(examine: Examine, sandbox: SandboxServer) -> None:
    secrets = {
        "secret_key": "hunter-" * 6,
        "suppression_key": "letmein-" * 6,
        "stripe_secret_key": RESTRICTED,
        "stripe_webhook_secret": "whsec_" + "geheim",
        "metrics_token": "token-of-the-meters",
    }
    found = examine(
        **secrets,
        smtp_url=f"smtp://postman:hunter2@127.0.0.1:{free_port()}",
        stripe_api_base=sandbox.url,
    )
    said = "\n".join(found.lines)
    for secret in (*secrets.values(), "hunter2", "geheim", "51abc"):
        assert secret not in said


def test_changed_suppression_key_is_reported(make_app: Any) -> None:
    """With another key no suppression is found, and an import would mail suppressed addresses."""
    app = make_app()
    assert not verdict(app).about("suppression key")
    add_leads(app, lead("first@example.com"), lead("second@example.com"))
    assert verdict(app).about("suppression key") == ["fine: suppression key"]
    other = verdict(make_app(suppression_key="x" * 40))
    assert other.code == 1
    assert [
        line
        for line in other.wrong
        if line.startswith("SUPPRESSION_KEY: stored addresses were hashed")
    ]


def test_unexpected_proxy_is_logged_once_and_reported(
    make_app: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    app = make_app()
    client = app.test_client()
    assert not [one for one in verdict(app).wrong if one.startswith("TRUSTED_PROXIES")]
    for _ in range(3):
        client.get("/signup", headers={"X-Forwarded-For": "198.51.100.1"})
    assert capsys.readouterr().err.count("TRUSTED_PROXIES does not match") == 1
    (told,) = [one for one in verdict(app).wrong if one.startswith("TRUSTED_PROXIES")]
    assert "is 0, but requests come through a proxy" in told
    right = verdict(make_app(trusted_proxies=1))
    assert right.about("proxies in front: 1")
    assert not [one for one in right.wrong if one.startswith("TRUSTED_PROXIES")]


def test_too_many_trusted_proxies_are_reported_with_the_right_number(make_app: Any) -> None:
    app = make_app(trusted_proxies=2)
    app.test_client().get("/signup", headers={"X-Forwarded-For": "198.51.100.1"})
    (told,) = [one for one in verdict(app).wrong if one.startswith("TRUSTED_PROXIES")]
    assert told.endswith("Set it to 1")


def test_https_base_url_without_a_proxy_is_reported(examine: Examine) -> None:
    (told,) = [
        one
        for one in examine(**{**LIVE_SITE, "trusted_proxies": "0"}).wrong
        if one.startswith("TRUSTED_PROXIES")
    ]
    assert "the https of BASE_URL comes from a proxy" in told
