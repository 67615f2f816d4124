"""A refused sign-in at the desk: its time must not reveal which addresses have an account."""

import time
from collections.abc import Iterator

from crossroads.staff import accounts
from models import User
from models.user import Role
from tests.benchmarks.bench import Bench
from tests.benchmarks.figures import Row, interleave

PASSWORD = "correct horse battery"


def rows(bench: Bench) -> Iterator[Row]:
    known = User(
        email="maria@example.com", email_key="maria@example.com", role=Role.OWNER,
        password_hash=accounts.hash_password(PASSWORD),
    )  # fmt: skip

    def refused(user: User | None) -> float:
        began = time.perf_counter()
        if accounts.check_password(user, PASSWORD + "!") is not None:
            raise RuntimeError("a wrong password was taken")
        return 1000 * (time.perf_counter() - began)

    ours, theirs = interleave(
        bench.in_seconds().rounds, lambda: refused(None), lambda: refused(known)
    )
    yield Row(
        what="check of a password, address without an account", figures=ours, unit="ms",
        against="with an account, wrong password", baselines=theirs, least=0.9,
    )  # fmt: skip
