"""Settings: their sources, the keys made once, and the values that stop the start."""

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from sqlalchemy import make_url

from crossroads import settings
from crossroads.settings import Settings, SettingsError
from tests.support.production import PRODUCTION

GOOD = {
    **PRODUCTION,
    "database_url": "postgresql://crossroads:hunter2@db.internal/crossroads",
}


def load(instance: Path, **given: Any) -> Settings:
    return settings.load(instance.parent, instance=instance, **given)


def problems(instance: Path, **given: Any) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        load(instance, **given)
    return caught.value.problems


def test_defaults_are_complete_when_nothing_is_set(instance: Path) -> None:
    found = load(instance)
    assert not found.production
    assert found.database_url == f"sqlite:///{instance}/crossroads.db"
    assert found.base_url == "http://127.0.0.1:8000"
    assert len(found.secret_key) >= 32
    assert len(found.suppression_key) >= 32
    assert found.secret_key != found.suppression_key


def test_keys_are_made_once_and_readable_only_by_their_owner(instance: Path) -> None:
    first = load(instance)
    again = load(instance)
    assert (first.secret_key, first.suppression_key) == (again.secret_key, again.suppression_key)
    for name in ("secret_key", "suppression_key", "crossroads.db"):
        assert stat.S_IMODE((instance / name).stat().st_mode) == 0o600
    assert not list(instance.glob(".*")), "drafts of keys were left"


def test_concurrent_starts_get_the_same_key(instance: Path) -> None:
    with ThreadPoolExecutor(8) as threads:
        keys = set(threads.map(lambda _: load(instance).suppression_key, range(32)))
    assert len(keys) == 1


def test_empty_key_file_is_reported_and_not_overwritten(instance: Path) -> None:
    (instance / "secret_key").write_text("\n")
    (found,) = problems(instance)
    assert found.startswith(f"{instance}/secret_key: must hold 32 characters")
    assert (instance / "secret_key").read_text() == "\n"


def test_environment_overrides_the_settings_file(
    instance: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (instance / "settings.env").write_text("PORT=8100\nWORKERS=7\nSOMETHING_ELSE=1\n")
    monkeypatch.setenv("PORT", "8200")
    monkeypatch.setenv("WORKERS", "")  # an empty value counts as not set
    found = load(instance)
    assert (found.port, found.workers) == (8200, 7)
    assert found.base_url == "http://127.0.0.1:8200"


def test_instance_folder_is_set_by_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INSTANCE", "elsewhere/data")
    found = settings.load(tmp_path)
    assert found.instance == tmp_path / "elsewhere" / "data"
    assert (tmp_path / "elsewhere" / "data" / "secret_key").exists()


def test_unusable_instance_folder_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for instance in (tmp_path / "file", tmp_path / "file" / "below"):
        (found,) = problems(instance)
        assert found.startswith("INSTANCE: ")
        assert "cannot be used" in found


def test_unreadable_settings_file_is_reported(instance: Path) -> None:
    (instance / "settings.env").write_bytes(b"PORT=\xff\n")
    (found,) = problems(instance)
    assert found.startswith(f"{instance}/settings.env: cannot be read: ")


def test_production_accepts_valid_settings_and_makes_no_key(instance: Path) -> None:
    found = load(instance, **GOOD)
    assert found.production
    assert found.database_url.startswith("postgresql+psycopg://crossroads:hunter2@")
    assert list(instance.iterdir()) == []


def test_production_names_all_missing_settings_at_once(instance: Path) -> None:
    found = problems(instance, env="production")
    assert [line.partition(":")[0] for line in found] == [
        "SECRET_KEY",
        "SUPPRESSION_KEY",
        "DATABASE_URL",
        "BASE_URL",
        "TRUSTED_PROXIES",
        "STRIPE_SECRET_KEY",
        "STRIPE_WEBHOOK_SECRET",
        "SMTP_URL",
        "MAIL_FROM",
    ]
    assert all("set it to" in line for line in found)


def test_bad_and_missing_settings_are_named_together_each_once(instance: Path) -> None:
    found = problems(instance, env="production", port="many", base_url="example", workers="0")
    names = [line.partition(":")[0] for line in found]
    missing = ["SECRET_KEY", "SUPPRESSION_KEY", "DATABASE_URL", "SMTP_URL", "MAIL_FROM"]
    missing += ["TRUSTED_PROXIES", "STRIPE_SECRET_KEY", "STRIPE_WEBHOOK_SECRET"]
    assert sorted(names) == sorted(["PORT", "WORKERS", "BASE_URL", *missing])
    assert "PORT: must be a valid integer, not 'many'" in found


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("env", "staging"),
        ("host", "localhost"),
        ("host", "courses.internal"),
        ("port", "0"),
        ("port", "70000"),
        ("sandbox_port", "x"),
        ("workers", "-1"),
        ("trusted_proxies", "11"),
        ("signup_limit", "plenty"),
        ("base_url", "ftp://example.org"),
        ("base_url", "https://example.org/blog"),
        ("base_url", "https://bücher.example"),
        ("base_url", "https://example.org?x=1"),
        ("base_url", "https://example.org#top"),
        ("base_url", "https://user:hunter2@example.org"),
        ("base_url", "https://example.org:port"),
        ("base_url", "https://"),
        ("base_url", "https://[broken"),
        ("stripe_api_base", "127.0.0.1:8001"),
        ("stripe_api_base", "ftp://stripe.internal"),
        ("stripe_api_base", "https://stripe.internal/v1"),
        ("stripe_api_base", "https://user:hunter2@stripe.internal"),
        ("stripe_api_base", "https://stripe.internal; script-src https://hunter2"),
        ("stripe_api_base", "https://[::1"),
        ("database_url", "hunter2"),
        ("database_url", "mysql://user:hunter2@host/name"),
        ("database_url", "postgresql://user:hunter2@host:port/name"),
        ("database_url", "sqlite://"),
        ("database_url", "sqlite:///:memory:"),
        ("smtp_url", "mail.example.org"),
        ("smtp_url", "smtp://"),
        ("smtp_url", "smtp://user:hunter2@host:99999"),
        ("smtp_url", "https://example.org"),
        ("mail_from", "The Team"),
        ("mail_from", "hello@"),
        ("mail_from", "The Team <hello>"),
    ],
)
def test_invalid_value_is_reported_in_one_line_without_secrets(
    instance: Path, name: str, value: str
) -> None:
    (found,) = problems(instance, **{name: value})
    assert found.startswith(f"{name.upper()}: must ")
    assert "hunter2" not in found
    assert "\n" not in found


# Characters that end the user or password in a URL, so that the rest is parsed as the host.
ENDS = ["/", "#", "?"]


@pytest.mark.parametrize("character", [*ENDS, "%"])
@pytest.mark.parametrize("where", ["smtp://us{}er:pass@host:587", "smtps://user:pa{}ss@host"])
def test_reserved_character_in_smtp_password_must_be_encoded(
    instance: Path, where: str, character: str
) -> None:
    (found,) = problems(instance, smtp_url=where.format(character))
    assert found.startswith(f"SMTP_URL: has a {character} in its user or password: write / as %2F")
    assert "pass" not in found.replace("password", "")
    written = where.format(quote(character, safe=""))
    assert load(instance, smtp_url=written).smtp_url == written


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg2"])
def test_database_url_formats_of_hosting_providers_are_accepted(
    instance: Path, scheme: str
) -> None:
    given = f"{scheme}://user:Se/cr#et@db.internal:5432/shop?sslmode=require&options=-c%20jit%3Don"
    url = make_url(load(instance, database_url=given).database_url)
    assert (url.drivername, url.password, url.host) == (
        "postgresql+psycopg",
        "Se/cr#et",
        "db.internal",
    )
    assert url.query == {"sslmode": "require", "options": "-c jit=on"}


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("postgres://u:hunter2@db/shop?pgbouncer=true", "has the parameter pgbouncer, which"),
        ("postgresql://u:hun@ter2@db/shop", "has a second @: write / as %2F"),
        ("postgresql://u:hunter2@one:a,two/shop", "has several hosts, and one of them cannot be"),
        ("postgresql://u:hunter2@one,,two/shop", "has several hosts, and one of them cannot be"),
        ("postgresql://u:hunter2@one,two/shop?host=three", "names hosts before the database and"),
    ],
)
def test_database_url_that_would_fail_later_is_refused(
    instance: Path, value: str, told: str
) -> None:
    (found,) = problems(instance, database_url=value)
    assert found.startswith(f"DATABASE_URL: {told}")
    assert "hunter2" not in found


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("secret_key", "hunter2", "SECRET_KEY: set it to 32 random characters"),
        ("suppression_key", "hunter2", "SUPPRESSION_KEY: set it to 32 random characters"),
        ("suppression_key", GOOD["secret_key"], "SUPPRESSION_KEY: must differ from SECRET_KEY"),
        ("base_url", "http://courses.internal", "BASE_URL: set it to the site's https://"),
        ("stripe_api_base", "http://stripe.internal", "STRIPE_API_BASE: the secret key goes there"),
        ("stripe_api_base", "http://127.example.org", "STRIPE_API_BASE: the secret key goes there"),
        ("mail_from", "hello@example.com", "MAIL_FROM: set it to your own address"),
    ],
)
def test_unsafe_value_stops_production(instance: Path, name: str, value: str, told: str) -> None:
    (found,) = problems(instance, **{**GOOD, name: value})
    assert found.startswith(told)
    assert value not in found


@pytest.mark.parametrize(
    "base",
    ["https://stripe.internal/", "http://127.0.0.1:8001", "http://localhost:1", "http://[::1]:1"],
)
def test_stripe_api_base_may_use_https_or_a_loopback_address(instance: Path, base: str) -> None:
    assert load(instance, **GOOD, stripe_api_base=base).stripe_api_base == base.rstrip("/")


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ("postgresql://u@h/d", "postgresql+psycopg://u@h/d"),
        ("postgresql+psycopg2://u@h/d", "postgresql+psycopg://u@h/d"),
        ("postgresql://u:p%40ss@h/d?sslmode=require", None),
        ("sqlite:////var/lib/crossroads.db", "sqlite:////var/lib/crossroads.db"),
    ],
)
def test_database_url_gets_the_installed_driver(
    instance: Path, given: str, used: str | None
) -> None:
    expected = used or given.replace("postgresql:", "postgresql+psycopg:")
    assert load(instance, database_url=given).database_url == expected


@pytest.mark.parametrize(
    ("given", "hosts", "ports"),
    [
        ("postgresql://u@h1:1,h2:2/d", "h1,h2", "1,2"),
        ("POSTGRES://u:a,b@h1,h2:2/d?target_session_attrs=read-write", "h1,h2", ",2"),
        ("postgresql://u:Se/c#r,et@h1:1,h2/d", "h1,h2", "1,"),
        ("postgresql+psycopg2://u@[::1]:1,[fe80::2]:2,10.1.2.3/d", "::1,fe80::2,10.1.2.3", "1,2,"),
        ("postgresql://h1,h2/d", "h1,h2", ","),
        ("postgresql://u@/d?host=h1:1&host=h2:2", "h1,h2", "1,2"),
    ],
)  # fmt: skip
def test_several_hosts_reach_the_driver_in_libpq_format(
    instance: Path, given: str, hosts: str, ports: str
) -> None:
    url = make_url(load(instance, database_url=given).database_url)
    _, sent = url.get_dialect()().create_connect_args(url)
    assert (sent["host"], sent.get("port"), sent["dbname"]) == (hosts, ports, "d")
    assert sent.get("user") == ("u" if "@" in given else None)
    conninfo_to_dict(make_conninfo(**sent))


@pytest.mark.parametrize(
    "given", ["POSTGRES://u:a,b@h/d", "PostgreSQL://u:a,b@h/d", "postgresql+psycopg://u:a,b@h/d"]
)
def test_scheme_case_is_ignored_and_password_may_have_a_comma(instance: Path, given: str) -> None:
    url = make_url(load(instance, database_url=given).database_url)
    assert (url.drivername, url.host, url.password) == ("postgresql+psycopg", "h", "a,b")


@pytest.mark.parametrize("kind", ["sk_test_", "rk_test_"])
def test_production_accepts_a_test_key_only_with_stripe_test(instance: Path, kind: str) -> None:
    given = {**GOOD, "stripe_secret_key": kind + "51abc"}
    (found,) = problems(instance, **{**given, "stripe_test": "0"})
    assert found.startswith("STRIPE_SECRET_KEY: is a test key, and this is production")
    assert load(instance, **{**given, "stripe_test": "1"}).stripe_test


@pytest.mark.parametrize("kind", ["sk_live_", "rk_live_"])
def test_live_key_needs_production_without_stripe_test(instance: Path, kind: str) -> None:
    key = kind + "51abc"
    (found,) = problems(instance, stripe_secret_key=key)
    assert found.startswith("STRIPE_SECRET_KEY: moves real money, and this is development")
    assert key not in found
    live = {**GOOD, "stripe_secret_key": key}
    assert load(instance, **{**live, "stripe_test": "0"}).stripe_live
    (found,) = problems(instance, **{**live, "stripe_test": "1"})
    assert found.startswith("STRIPE_TEST: is 1, and STRIPE_SECRET_KEY is a live key")


@pytest.mark.parametrize("given", [{}, GOOD])
@pytest.mark.parametrize("key", ["pk_test_51abc", "pk_live_51abc"])
def test_publishable_key_is_refused_everywhere(
    instance: Path, given: dict[str, Any], key: str
) -> None:
    (found,) = problems(instance, **{**given, "stripe_secret_key": key})
    assert found.startswith("STRIPE_SECRET_KEY: is the publishable key")
    assert key not in found
