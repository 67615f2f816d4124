"""Rate limits: counted by all processes together, and per network."""

import re
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import time_machine
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from crossroads.middleware import rate_limits
from crossroads.middleware.rate_limits import SCHEME, CounterFile
from models import Lead
from tests.support.turns import another_turn

FORM = {"email": "maria@example.org", "name": "Maria <b>Lopez</b>", "consent": "yes"}
START = datetime(2027, 3, 4, 10, 0, 5, tzinfo=UTC)


@pytest.fixture
def counters(instance: Path) -> CounterFile:
    return CounterFile(f"{SCHEME}://{instance / 'limits.db'}")


def knock(client: FlaskClient, address: str = "192.0.2.1", **headers: str) -> int:
    """Send the form from an address and return the status of the answer."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    answer = client.post("/signup", data=FORM, environ_base={"REMOTE_ADDR": address}, headers=named)
    return answer.status_code


def test_threads_count_together(counters: CounterFile) -> None:
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: counters.incr("shared", 60), range(200)))
    assert sorted(found) == list(range(1, 201))
    counters.close()


def test_processes_take_turns_to_count_and_a_killed_one_has_none(
    counters: CounterFile, instance: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rate_limits, "TURN_SECONDS", 30)
    with another_turn(instance / "limits.lock") as other, ThreadPoolExecutor(1) as pool:
        coming = pool.submit(counters.incr, "key", 60)
        time.sleep(0.2)
        assert not coming.done()
        other.kill()
        assert coming.result(5) == 1
    counters.close()


def test_a_process_that_keeps_the_turn_does_not_stop_the_count(
    counters: CounterFile, instance: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rate_limits, "TURN_SECONDS", 0.3)
    with another_turn(instance / "limits.lock"):
        began = time.monotonic()
        assert counters.incr("key", 60) == 1
        assert 0.3 <= time.monotonic() - began < 5
    counters.close()


def test_counter_ends_with_its_window(counters: CounterFile) -> None:
    with time_machine.travel(START, tick=False) as clock:
        assert [counters.incr("key", 60) for _ in range(3)] == [1, 2, 3]
        assert counters.get_expiry("key") == START.timestamp() + 60
        clock.shift(59)
        assert counters.incr("key", 60) == 4
        assert counters.get_expiry("key") == START.timestamp() + 60
        clock.shift(1)
        assert counters.get("key") == 0
        assert counters.incr("key", 60) == 1
    counters.close()


MOMENTS = [0, 1, 30, 60, 3599, 3600, 86_400]  # seconds from one to the next
WINDOWS = {"minute": (60, 1), "hour": (3600, 3), "day": (86_400, 5), "never": (10, 10**9)}


@given(st.lists(st.tuples(st.sampled_from(MOMENTS), st.permutations(sorted(WINDOWS))), max_size=30))
@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_counted_up_to_the_first_that_is_over(
    counters: CounterFile, asked: list[tuple[int, list[str]]]
) -> None:
    counters.reset()
    kept: dict[str, tuple[int, float]] = {}
    with time_machine.travel(START, tick=False) as clock:
        for seconds, names in asked:
            clock.shift(seconds)
            at, over = time.time(), None
            for name in names:
                length, most = WINDOWS[name]
                count, ends = kept.get(name, (0, 0))
                kept[name] = (count + 1, ends) if ends > at else (1, at + length)
                if kept[name][0] > most:
                    over = kept[name][1]
                    break
            ordered = [(name, *WINDOWS[name]) for name in names]
            assert counters.incr_up_to_the_first_over(ordered) == over
            for name, (count, ends) in kept.items():
                assert counters.get(name) == (count if ends > at else 0)
    counters.close()


def test_counters_that_ran_out_are_cleared_away(counters: CounterFile, instance: Path) -> None:
    with time_machine.travel(START, tick=False) as clock:
        for number in range(400):
            counters.incr(f"old {number}", 60)
        clock.shift(61)
        for number in range(400):
            counters.incr(f"new {number}", 60)
    counters.close()
    with sqlite3.connect(instance / "limits.db") as connection:
        (rows,) = connection.execute("SELECT count(*) FROM counter").fetchone()
    connection.close()
    assert rows == 400


def test_too_many_sign_ups_are_stopped_until_the_window_ends(
    make_app: Any, session: Session
) -> None:
    client = make_app(signup_limit="2/minute").test_client()
    with time_machine.travel(START, tick=False) as clock:
        assert [knock(client) for _ in range(4)] == [200, 200, 429, 429]
        clock.shift(61)
        assert knock(client) == 200
    assert session.scalar(select(func.count()).select_from(Lead)) == 1


def test_who_is_too_fast_for_a_minute_does_not_lose_an_hour(
    make_app: Any, session: Session
) -> None:
    client = make_app(signup_limit="2/minute;5/hour", address_limit="4/day").test_client()
    with time_machine.travel(START, tick=False) as clock:
        assert [knock(client) for _ in range(9)] == [200, 200] + [429] * 7
        clock.shift(61)
        assert [knock(client) for _ in range(3)] == [200, 200, 429], "nor any of the address's"
        clock.shift(61)
        assert knock(client) == 429, "the address has had four today"


def test_who_is_refused_begins_no_other_window(make_app: Any) -> None:
    client = make_app(signup_limit="1/minute", address_limit="3/hour").test_client()
    with time_machine.travel(START, tick=False) as clock:
        other = {**FORM, "email": "someone@example.org"}
        assert client.post("/signup", data=other).status_code == 200
        assert knock(client, "127.0.0.1") == 429, "the network has had its one"
        clock.shift(3590)
        assert [knock(client, f"192.0.2.{number}") for number in range(3)] == [200, 200, 200]
        clock.shift(20)  # an hour after the refused one
        assert knock(client, "192.0.2.9") == 429, "the hour began with the first that was taken"


def test_reading_and_mending_a_typo_count_as_nothing(make_app: Any) -> None:
    client = make_app(signup_limit="2/minute").test_client()
    assert knock(client) == 200
    for _ in range(5):
        assert client.get("/signup").status_code == 200
        changed = client.post("/signup", data={**FORM, "action": "change"})
        assert changed.status_code == 200
    assert knock(client) == 200
    assert knock(client) == 429


def test_one_limit_for_the_form_wherever_it_stands(make_app: Any) -> None:
    client = make_app(signup_limit="2/minute").test_client()
    for address, status in (("/", 200), ("/courses/ai-pm-bootcamp", 200), ("/signup", 429)):
        assert client.post(address, data=FORM).status_code == status


def test_stopped_visitor_learns_the_seconds_and_loses_nothing(make_app: Any) -> None:
    client = make_app(signup_limit="1/minute").test_client()
    with time_machine.travel(START, tick=False):
        client.post("/signup?utm_source=mail", data=FORM)
        answer = client.post("/signup?utm_source=mail", data=FORM)
    assert answer.status_code == 429
    seconds = int(answer.headers["Retry-After"])
    assert 1 <= seconds <= 61
    assert re.search(rf"<b>{seconds} seconds</b>", answer.text)
    assert 'action="/signup?utm_source=mail#signup"' in answer.text
    assert 'name="email" value="maria@example.org"' in answer.text
    assert 'name="consent" value="yes"' in answer.text
    assert "Maria &lt;b&gt;Lopez&lt;/b&gt;" in answer.text
    assert "<b>Lopez" not in answer.text
    assert answer.headers["Cache-Control"] == "no-store"


def test_one_subscriber_has_one_count_whatever_address_is_used(make_app: Any) -> None:
    client = make_app(signup_limit="2/minute").test_client()
    assert knock(client, "2001:db8:1:2::1") == 200
    assert knock(client, "2001:db8:1:2:ffff::9") == 200
    assert knock(client, "2001:db8:1:2:aaaa:bbbb:cccc:dddd") == 429
    assert knock(client, "2001:db8:1:3::1") == 200, "the next network is someone else"


def test_addresses_of_version_4_stay_apart_on_a_socket_for_both(make_app: Any) -> None:
    client = make_app(signup_limit="1/minute").test_client()
    assert knock(client, "::ffff:192.0.2.1") == 200
    assert knock(client, "::ffff:192.0.2.2") == 200
    assert knock(client, "192.0.2.1") == 429, "the same person by the other spelling"


def test_header_is_not_believed_without_a_proxy(make_app: Any) -> None:
    client = make_app(signup_limit="1/minute").test_client()
    assert knock(client, X_Forwarded_For="198.51.100.1") == 200
    assert knock(client, X_Forwarded_For="198.51.100.2") == 429


@pytest.mark.parametrize(
    ("proxies", "first", "again"),
    [
        (1, "198.51.100.1", "198.51.100.1"),
        (1, "198.51.100.1", "203.0.113.77, 198.51.100.1"),
        (1, "198.51.100.1", "203.0.113.77, 203.0.113.78, 198.51.100.1"),
        (1, "198.51.100.1", "198.51.100.1:4711"),
        (1, "2001:db8::1", "[2001:db8::1]:4711"),
        (2, "198.51.100.1, 10.0.0.1", "203.0.113.77, 198.51.100.1, 10.0.0.1"),
    ],
)
def test_hops_made_up_by_the_visitor_do_not_help(
    make_app: Any, proxies: int, first: str, again: str
) -> None:
    client = make_app(signup_limit="1/minute", trusted_proxies=proxies).test_client()
    assert knock(client, "10.0.0.9", X_Forwarded_For=first) == 200
    assert knock(client, "10.0.0.9", X_Forwarded_For=again) == 429
    other = first.replace("198.51.100.1", "198.51.100.2").replace("db8::1", "db8:0:1::1")
    assert knock(client, "10.0.0.9", X_Forwarded_For=other) == 200


@pytest.mark.parametrize(
    ("proxies", "one", "other"),
    [
        # Fewer hops than proxies: the nearest proxy itself is asked about, not what it was told.
        (2, "198.51.100.1", "198.51.100.2"),
        (3, "203.0.113.1, 198.51.100.1", "203.0.113.2, 198.51.100.2"),
        (1, "", "  "),
        # What is no address at all counts as one visitor, however it is varied.
        (1, "unknown", "_hidden"),
        (1, "999.1.1.1", "1.2.3"),
        (1, "198.51.100.1.2", "::1::2"),
        (1, "[", "]"),
        (1, "x" * 5000, "\u00e9" * 50),
        (1, "fe80::1%eth0", "fe80::1%eth1"),
        # The same IPv6 subscriber in other words.
        (1, "2001:db8::1", "2001:0DB8:0:0:ffff::"),
        (1, "::ffff:198.51.100.1", "198.51.100.1"),
    ],
)
def test_header_that_tells_no_two_visitors_apart_counts_one(
    make_app: Any, proxies: int, one: str, other: str
) -> None:
    client = make_app(signup_limit="1/minute", trusted_proxies=proxies).test_client()
    assert knock(client, "10.0.0.9", X_Forwarded_For=one) == 200
    assert knock(client, "10.0.0.9", X_Forwarded_For=other) == 429


def test_header_in_several_lines_is_one_list(make_app: Any) -> None:
    client = make_app(signup_limit="1/minute", trusted_proxies=1).test_client()
    for made_up, status in (("203.0.113.1", 200), ("203.0.113.2", 429)):
        lines = [("X-Forwarded-For", made_up), ("X-Forwarded-For", "198.51.100.1")]
        assert client.post("/signup", data=FORM, headers=lines).status_code == status


def test_windows_of_an_hour_are_kept_beside_those_of_a_minute(make_app: Any) -> None:
    client = make_app(signup_limit="2/minute;3/hour").test_client()
    with time_machine.travel(START, tick=False) as clock:
        assert [knock(client) for _ in range(3)] == [200, 200, 429]
        clock.shift(timedelta(minutes=1))
        assert knock(client) == 200
        answer = client.post("/signup", data=FORM, environ_base={"REMOTE_ADDR": "192.0.2.1"})
    assert answer.status_code == 429
    assert 3500 <= int(answer.headers["Retry-After"]) <= 3541


def test_counters_are_for_this_user_alone(client: FlaskClient, instance: Path) -> None:
    client.post("/signup", data={"email": "x"})
    assert (instance / "limits.db").stat().st_mode & 0o777 == 0o600


def test_one_address_is_signed_up_so_often_from_anywhere_in_any_spelling(make_app: Any) -> None:
    client = make_app(address_limit="2/hour").test_client()
    assert [knock(client, f"192.0.2.{number}") for number in range(3)] == [200, 200, 429]
    other = {**FORM, "email": "MARIA@example.org"}
    refused = client.post("/signup", data=other)
    assert refused.status_code == 429
    assert 'name="email" value="MARIA@example.org"' in refused.text
    assert client.post("/signup", data={**FORM, "email": "jo@example.org"}).status_code == 200
