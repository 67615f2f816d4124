"""Rate limits: one count for all processes, per network and per address."""

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
    """Send the sign-up form from an IP address and return the status code."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    answer = client.post("/signup", data=FORM, environ_base={"REMOTE_ADDR": address}, headers=named)
    return answer.status_code


def test_threads_share_one_count(counters: CounterFile) -> None:
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: counters.incr("shared", 60), range(200)))
    assert sorted(found) == list(range(1, 201))
    counters.close()


def test_process_waits_for_the_lock_and_a_killed_holder_releases_it(
    counters: CounterFile, instance: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rate_limits, "TURN_SECONDS", 60)
    elsewhere = CounterFile(f"{SCHEME}://{instance / 'other.db'}")
    with another_turn(instance / "limits.lock") as other, ThreadPoolExecutor(1) as pool:
        coming = pool.submit(counters.incr, "key", 60)
        for number in range(1, 500):
            assert elsewhere.incr("key", 600) == number
        assert not coming.done(), "it waits, while another file is written"
        other.kill()
        assert coming.result() == 1
    elsewhere.close()
    counters.close()


def test_count_goes_on_after_a_lock_timeout(counters: CounterFile, instance: Path) -> None:
    with another_turn(instance / "limits.lock") as other:
        assert counters.incr("key", 60) == 1
        assert other.poll() is None, "it still holds the lock"
    counters.close()


def test_counter_restarts_after_its_window(counters: CounterFile) -> None:
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


MOMENTS = [0, 1, 30, 60, 3599, 3600, 86_400]  # seconds between two requests
WINDOWS = {"minute": (60, 1), "hour": (3600, 3), "day": (86_400, 5), "never": (10, 10**9)}


@given(st.lists(st.tuples(st.sampled_from(MOMENTS), st.permutations(sorted(WINDOWS))), max_size=30))
@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_limits_are_counted_up_to_the_first_exceeded_one(
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


def test_expired_counters_are_deleted(counters: CounterFile, instance: Path) -> None:
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


def test_sign_ups_over_the_limit_are_refused_until_the_window_ends(
    make_app: Any, session: Session
) -> None:
    client = make_app(signup_limit="2/minute").test_client()
    with time_machine.travel(START, tick=False) as clock:
        assert [knock(client) for _ in range(4)] == [200, 200, 429, 429]
        clock.shift(61)
        assert knock(client) == 200
    assert session.scalar(select(func.count()).select_from(Lead)) == 1


def test_request_refused_by_one_limit_does_not_count_for_the_others(
    make_app: Any, session: Session
) -> None:
    client = make_app(signup_limit="2/minute;5/hour", address_limit="4/day").test_client()
    with time_machine.travel(START, tick=False) as clock:
        assert [knock(client) for _ in range(9)] == [200, 200] + [429] * 7
        clock.shift(61)
        assert [knock(client) for _ in range(3)] == [200, 200, 429], "nor any of the address's"
        clock.shift(61)
        assert knock(client) == 429, "the address has had four today"


def test_refused_request_starts_no_window_of_another_limit(make_app: Any) -> None:
    client = make_app(signup_limit="1/minute", address_limit="3/hour").test_client()
    with time_machine.travel(START, tick=False) as clock:
        other = {**FORM, "email": "someone@example.org"}
        assert client.post("/signup", data=other).status_code == 200
        assert knock(client, "127.0.0.1") == 429, "the network has had its one"
        clock.shift(3590)
        assert [knock(client, f"192.0.2.{number}") for number in range(3)] == [200, 200, 200]
        clock.shift(20)  # an hour after the refused request
        assert knock(client, "192.0.2.9") == 429, "the hour began with the first that was taken"


def test_reading_the_form_and_correcting_an_address_are_not_counted(make_app: Any) -> None:
    client = make_app(signup_limit="2/minute").test_client()
    assert knock(client) == 200
    for _ in range(5):
        assert client.get("/signup").status_code == 200
        changed = client.post("/signup", data={**FORM, "action": "change"})
        assert changed.status_code == 200
    assert knock(client) == 200
    assert knock(client) == 429


def test_form_has_one_limit_on_all_pages(make_app: Any) -> None:
    client = make_app(signup_limit="2/minute").test_client()
    for address, status in (("/", 200), ("/courses/ai-pm-bootcamp", 200), ("/signup", 429)):
        assert client.post(address, data=FORM).status_code == status


def test_refused_form_shows_the_seconds_to_wait_and_keeps_its_fields(make_app: Any) -> None:
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


def test_addresses_of_one_ipv6_network_share_one_count(make_app: Any) -> None:
    client = make_app(signup_limit="2/minute").test_client()
    assert knock(client, "2001:db8:1:2::1") == 200
    assert knock(client, "2001:db8:1:2:ffff::9") == 200
    assert knock(client, "2001:db8:1:2:aaaa:bbbb:cccc:dddd") == 429
    assert knock(client, "2001:db8:1:3::1") == 200, "the next network is someone else"


def test_ipv4_addresses_on_a_dual_stack_socket_count_separately(make_app: Any) -> None:
    client = make_app(signup_limit="1/minute").test_client()
    assert knock(client, "::ffff:192.0.2.1") == 200
    assert knock(client, "::ffff:192.0.2.2") == 200
    assert knock(client, "192.0.2.1") == 429, "the same person by the other spelling"


def test_forwarded_header_is_ignored_without_a_trusted_proxy(make_app: Any) -> None:
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
def test_forged_hops_in_the_forwarded_header_are_ignored(
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
        # Fewer hops than proxies: the address of the nearest proxy counts, not its header.
        (2, "198.51.100.1", "198.51.100.2"),
        (3, "203.0.113.1, 198.51.100.1", "203.0.113.2, 198.51.100.2"),
        (1, "", "  "),
        # All invalid addresses count as one visitor, so that varying them does not help.
        (1, "unknown", "_hidden"),
        (1, "999.1.1.1", "1.2.3"),
        (1, "198.51.100.1.2", "::1::2"),
        (1, "[", "]"),
        (1, "x" * 5000, "\u00e9" * 50),
        (1, "fe80::1%eth0", "fe80::1%eth1"),
        # Two spellings of one IPv6 network or of one IPv4 address.
        (1, "2001:db8::1", "2001:0DB8:0:0:ffff::"),
        (1, "::ffff:198.51.100.1", "198.51.100.1"),
    ],
)
def test_unusable_forwarded_headers_count_as_one_visitor(
    make_app: Any, proxies: int, one: str, other: str
) -> None:
    client = make_app(signup_limit="1/minute", trusted_proxies=proxies).test_client()
    assert knock(client, "10.0.0.9", X_Forwarded_For=one) == 200
    assert knock(client, "10.0.0.9", X_Forwarded_For=other) == 429


def test_forwarded_header_in_several_lines_is_read_as_one_list(make_app: Any) -> None:
    client = make_app(signup_limit="1/minute", trusted_proxies=1).test_client()
    for made_up, status in (("203.0.113.1", 200), ("203.0.113.2", 429)):
        lines = [("X-Forwarded-For", made_up), ("X-Forwarded-For", "198.51.100.1")]
        assert client.post("/signup", data=FORM, headers=lines).status_code == status


def test_hour_limit_and_minute_limit_are_counted_separately(make_app: Any) -> None:
    client = make_app(signup_limit="2/minute;3/hour").test_client()
    with time_machine.travel(START, tick=False) as clock:
        assert [knock(client) for _ in range(3)] == [200, 200, 429]
        clock.shift(timedelta(minutes=1))
        assert knock(client) == 200
        answer = client.post("/signup", data=FORM, environ_base={"REMOTE_ADDR": "192.0.2.1"})
    assert answer.status_code == 429
    assert 3500 <= int(answer.headers["Retry-After"]) <= 3541


def test_counter_file_is_readable_only_by_its_owner(client: FlaskClient, instance: Path) -> None:
    client.post("/signup", data={"email": "x"})
    assert (instance / "limits.db").stat().st_mode & 0o777 == 0o600


def test_address_limit_counts_all_networks_and_spellings(make_app: Any) -> None:
    client = make_app(address_limit="2/hour").test_client()
    assert [knock(client, f"192.0.2.{number}") for number in range(3)] == [200, 200, 429]
    other = {**FORM, "email": "MARIA@example.org"}
    refused = client.post("/signup", data=other)
    assert refused.status_code == 429
    assert 'name="email" value="MARIA@example.org"' in refused.text
    assert client.post("/signup", data={**FORM, "email": "jo@example.org"}).status_code == 200
