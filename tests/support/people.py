"""People in tests, by their parsed addresses."""

import io

from sqlalchemy.orm import Session

from crossroads.leads.imports import importer
from crossroads.leads.imports.file import LeadFile
from crossroads.mail import addresses
from crossroads.mail.addresses import Address

# The same key as that of the site under test.
SUPPRESSION_KEY = "a key for tests that hashes addresses"


def address(email: str = "maria@example.com") -> Address:
    """Return an address as parsed by the site."""
    return addresses.parse(email, SUPPRESSION_KEY)


def hashed(email: str = "maria@example.com") -> str:
    """Return the keyed hash of an address."""
    return address(email).hash


def import_(session: Session, email: str, source: str = "A paper form.") -> int:
    """Import a file with one person, and return how many were added."""
    file = io.BytesIO(f"email\n{email}\n".encode())
    read = LeadFile(file, suppression_key=SUPPRESSION_KEY, source=source)
    importer.stage(session, read)
    assert read.mistakes == []
    return sum(importer.add(session, part) for part in importer.parts(session))
