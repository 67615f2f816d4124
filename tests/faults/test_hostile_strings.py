"""Ten thousand hostile strings in every field of the sign-up form."""

import pytest
from flask.testing import FlaskClient
from sqlalchemy.orm import Session

from tests.support.hostile import send_hostile


@pytest.mark.parametrize("seed", [100, 200])
def test_hostile_strings_in_every_field_are_handled(
    client: FlaskClient, session: Session, seed: int
) -> None:
    send_hostile(client, session, 5_000, seed)
