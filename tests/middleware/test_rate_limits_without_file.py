"""Rate limits while their file cannot be used: each process counts in memory."""

import shutil
import sqlite3
import time
from pathlib import Path
from typing import Any

import pytest
import time_machine
from flask import Flask

from crossroads.middleware.rate_limits import RETRY_SECONDS, SCHEME, CounterFile
from models import now
from tests.support.desk_visits import add_user, sign_in

NEVER_SENT = 422
FORM = {"email": "maria@example.org", "consent": "yes"}


def damage(instance: Path, how: str) -> None:
    file = instance / "limits.db"
    if how == "junk":
        file.write_bytes(b"no database at all" * 100)
    elif how == "folder":
        file.mkdir()
    elif how == "folder of its log":
        (instance / "limits.db-wal").mkdir()
    else:  # a valid file whose table is missing
        CounterFile(f"{SCHEME}://{file}").incr("key", 60)
        with sqlite3.connect(file) as connection:
            connection.execute("DROP TABLE counter")
            connection.execute("CREATE VIEW counter AS SELECT 1 AS key")
        connection.close()


@pytest.mark.parametrize("how", ["junk", "folder", "folder of its log", "view"])
def test_sign_in_and_sign_up_stay_limited_and_error_is_logged_once(
    make_app: Any, instance: Path, capsys: pytest.CaptureFixture[str], how: str
) -> None:
    damage(instance, how)
    app: Flask = make_app(signup_limit="2/minute")
    add_user(app)
    client = app.test_client()
    for number in range(10):
        given: dict[str, Any] = {"environ_base": {"REMOTE_ADDR": f"192.0.2.{number}"}}
        assert sign_in(app.test_client(), password="wrong", **given).status_code == NEVER_SENT
    stopped = sign_in(app.test_client(), environ_base={"REMOTE_ADDR": "192.0.2.99"})
    assert stopped.status_code == 429, "the address has had its ten"
    assert 0 < int(stopped.headers["Retry-After"]) <= 300
    signed_up = [client.post("/signup", data=FORM).status_code for _ in range(3)]
    assert signed_up == [200, 200, 429]
    assert capsys.readouterr().err.count("limits cannot be counted in their file") == 1


def test_counts_in_memory_are_added_to_the_file_when_it_works_again(
    instance: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "monotonic", time.time)  # both clocks must travel
    file = instance / "limits.db"
    uri = f"{SCHEME}://{file}"
    before = CounterFile(uri)
    assert [before.incr("key", 600) for _ in range(3)] == [1, 2, 3]
    before.close()
    file.rename(instance / "away.db")
    file.mkdir()
    counters = CounterFile(uri)
    with time_machine.travel(now(), tick=False) as clock:
        assert [counters.incr("key", 600) for _ in range(2)] == [1, 2]
        shutil.rmtree(file)
        (instance / "away.db").rename(file)
        clock.shift(RETRY_SECONDS - 1)
        assert counters.incr("key", 600) == 3, "the file is left alone for a while"
        clock.shift(1)
        assert counters.incr("key", 600) == 7
        assert CounterFile(uri).get("key") == 7
    counters.close()


def test_counter_in_memory_restarts_after_its_window(instance: Path) -> None:
    (instance / "limits.db").mkdir()
    counters = CounterFile(f"{SCHEME}://{instance / 'limits.db'}")
    with time_machine.travel(now(), tick=False) as clock:
        assert counters.incr_up_to_the_first_over([("key", 60, 1)]) is None
        clock.shift(59)
        assert counters.incr_up_to_the_first_over([("key", 60, 1)]) == time.time() + 1
        clock.shift(1)
        assert counters.incr_up_to_the_first_over([("key", 60, 1)]) is None
    counters.close()
