"""One person who did everything that a visitor can do."""

from flask.testing import FlaskClient

from tests.support.purchases import COURSE_PAGE, JANUARY

EMAIL = "zebedee.quill@marmalade-lane.example"

FORM = {"email": EMAIL, "name": "Zebedee Quillfeather", "consent": "yes"}

BROWSER = {"User-Agent": "TellTale/9.1"}

IP = {"REMOTE_ADDR": "203.0.113.77"}


def sign_up(client: FlaskClient) -> None:
    """Sign up with campaign, browser and network, and join a waiting list."""
    client.post("/?utm_source=cheese-letter", data=FORM, headers=BROWSER, environ_base=IP)
    waiting = f"{COURSE_PAGE}/waiting-list?cohort={JANUARY.code}&utm_term=zebedee"
    client.post(waiting, data=FORM, headers=BROWSER, environ_base=IP)
