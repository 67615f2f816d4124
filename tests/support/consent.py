"""Sign-ups with their proof of consent."""

from sqlalchemy.orm import Session

from crossroads.leads import lifecycle as leads
from crossroads.leads.consent import Evidence
from crossroads.leads.lifecycle import Touch
from tests.support.people import address

PROOF = Evidence(
    form="signup", page="/compare", page_version="abc", ip="192.0.2.0", user_agent="Tester"
)

WORDING = "Email me."


def capture(session: Session, email: str = "maria@example.com", *, suspect: bool = False) -> None:
    signup = leads.Submission(
        address=address(email),
        name="Maria",
        touch=Touch(),
        wording=WORDING,
        evidence=PROOF,
        suspect=suspect,
    )
    leads.capture(session, [signup])
